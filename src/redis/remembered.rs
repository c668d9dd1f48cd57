//! What was answered under an idempotency key of the API that belongs to no workspace: one string a
//! key, which ends by itself. Keys of changes are the scripts' to keep, with the workspace.

use super::{RedisError, RedisLedger};
use crate::domain::ports::{Claim, Remembered};

/// How long an answer is kept.
const ANSWER_SECONDS: u64 = 24 * 3600;
/// How long a request may run before another may take its key: longer than Kafka takes to give up.
const CLAIM_SECONDS: u64 = 300;

impl RedisLedger {
    /// Takes the right to answer, unless somebody has it or answered.
    pub async fn claim(&self, place: &str, request: &str) -> Result<Claim, RedisError> {
        let mut set = ::redis::cmd("SET");
        set.arg(self.keys.remembered(place)).arg(request).arg("NX").arg("GET").arg("EX").arg(CLAIM_SECONDS);
        let earlier: Option<String> = self.office.query(&set).await?;
        Ok(earlier.map_or(Claim::Ours, |earlier| read(&earlier)))
    }

    /// Keeps the answer in place of the right to give it.
    pub async fn remember(&self, place: &str, answer: &Remembered) -> Result<(), RedisError> {
        let mut set = ::redis::cmd("SET");
        set.arg(self.keys.remembered(place)).arg(written(answer)).arg("EX").arg(ANSWER_SECONDS);
        self.office.query(&set).await
    }

    /// Gives the right back.
    pub async fn release_claim(&self, place: &str) -> Result<(), RedisError> {
        let mut delete = ::redis::cmd("DEL");
        delete.arg(self.keys.remembered(place));
        self.office.query::<u64>(&delete).await.map(drop)
    }
}

/// The digest alone while the request runs; then status and body behind it.
fn written(answer: &Remembered) -> String {
    format!("{}\n{}\n{}", answer.request, answer.status, answer.body)
}

fn read(text: &str) -> Claim {
    let mut parts = text.splitn(3, '\n');
    let request = parts.next().unwrap_or_default().to_owned();
    match (parts.next().and_then(|status| status.parse().ok()), parts.next()) {
        (Some(status), Some(body)) => Claim::Answered(Remembered { request, status, body: body.to_owned() }),
        _ => Claim::Running(request),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_back_and_a_claim_has_none() {
        let answer = Remembered { request: "ab".into(), status: 202, body: "{\"a\":\n1}".into() };
        assert_eq!(read(&written(&answer)), Claim::Answered(answer));
        assert_eq!(read("ab"), Claim::Running("ab".into()));
    }
}

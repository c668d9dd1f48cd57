//! Changes: made through the office, told in one sentence or as the API answers them.

use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::clerk::Clerk;
use super::refused::Refused;
use super::said::{self, Told};
use crate::domain::WorkspaceId;
use crate::domain::book::Workspace;
use crate::domain::change::{Author, Change, Changed, IdempotencyKey, Refusal};
use crate::domain::period::{Instant, Period, PeriodName};
use crate::domain::ports::{Office, View};
use crate::domain::reports::Reports;
use crate::http::answer::Written;
use crate::http::answer::plan::PlanLine;
use crate::pipeline::decide::now;

/// Who asks for a write, in which words, under which key.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The name in the ledger.
    pub actor: String,
    /// Their words; empty for none.
    pub reason: String,
    /// The key by which a retry is recognised.
    pub key: Option<String>,
}

impl Asker {
    /// The author of a write. `what` names the command and what it is about; `arguments` are compared
    /// when the same key comes again.
    pub fn author(&self, what: &[&str], arguments: &impl Serialize) -> anyhow::Result<Author> {
        let arguments = serde_json::to_string(arguments)?;
        let key = self.key.as_ref().map(|key| IdempotencyKey {
            key: key.clone(),
            place: digest(&[&["tollgate admin"], what, &[key]].concat()),
            request: digest(&[&arguments, &self.reason]),
        });
        Ok(Author { actor: self.actor.clone(), reason: self.reason.clone(), key })
    }
}

/// Of texts that hold no line break, or of JSON.
fn digest(texts: &[&str]) -> String {
    Sha256::digest(texts.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a change is about, besides its kind.
fn subject(change: &Change) -> String {
    match change {
        Change::User(change) => change.user.to_string(),
        Change::Team { team, .. } => team.to_string(),
        Change::Feature { feature, .. } => feature.to_string(),
        _ => String::new(),
    }
}

/// Makes a change and tells it.
pub async fn change(
    clerk: &Clerk<'_>,
    asker: &Asker,
    workspace: &WorkspaceId,
    change: Change,
) -> anyhow::Result<()> {
    let author = asker.author(&[change.kind(), &subject(&change)], &change)?;
    make(clerk, workspace, &change, &author).await
}

/// Gives an event's credits back.
pub async fn reverse(
    clerk: &Clerk<'_>,
    asker: &Asker,
    workspace: &WorkspaceId,
    source: &str,
    event_id: &str,
) -> anyhow::Result<()> {
    let author = asker.author(&["reversal"], &(source, event_id))?;
    let Some(past) = clerk.tables().event(workspace, source, event_id).await.map_err(Refused::from)? else {
        // Through the office, so that the answer is remembered under the key.
        let answer = clerk.office().refuse(workspace, Refusal::UnknownEvent, &author).await;
        let refusal = answer.map_err(Refused::from)?.err().unwrap_or(Refusal::UnknownEvent);
        return Err(Refused::from(refusal).into());
    };
    make(clerk, workspace, &Change::Reversal(past.event), &author).await
}

async fn make(
    clerk: &Clerk<'_>,
    workspace: &WorkspaceId,
    change: &Change,
    author: &Author,
) -> anyhow::Result<()> {
    let (started, period) = (now(), period_of(change));
    let before = clerk.office().view(workspace, period).await.map_err(Refused::from)?;
    let before = before.unwrap_or_else(|| nothing(started));
    let changed = clerk.administration.change(workspace, change, author).await?.map_err(Refused::from)?;
    let after = clerk.view(workspace, period).await?;
    let answer = Answer::of(workspace, change, &changed);
    // The ledger keeps milliseconds, so a change of this very one is none of before.
    let is_repeat = author.key.is_some() && changed.at.millis() < started.millis();
    let told = Told { workspace, change, changed: &changed, before: &before, after: &after };
    clerk.print(&answer, || if is_repeat { said::repeat(&told) } else { said::sentence(&told) })
}

/// A reversal works in the event's own period.
fn period_of(change: &Change) -> Option<PeriodName> {
    if let Change::Reversal(event) = change { Some(event.period) } else { None }
}

/// How a workspace stood that was never seen.
fn nothing(as_of: Instant) -> Arc<View> {
    Arc::new(View { state: Workspace::default(), period: Period::default(), as_of })
}

/// A change as the API answers it; that of a plan holds the plan too.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    written: Written,
    #[serde(flatten)]
    plan: Option<PlanWritten>,
}

#[derive(Serialize)]
struct PlanWritten {
    #[serde(flatten)]
    plan: PlanLine,
    effective_from: Option<Instant>,
}

impl Answer {
    fn of(workspace: &WorkspaceId, change: &Change, changed: &Changed) -> Self {
        let plan = if let Change::Plan(plan) = change { Some(PlanLine::from(plan)) } else { None };
        let plan = plan.map(|plan| PlanWritten { plan, effective_from: changed.effective_from });
        Self { written: Written::of(workspace, change, changed), plan }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Credits;

    #[test]
    fn a_key_stands_for_one_command_and_its_arguments() {
        let asker = |reason: &str| Asker { actor: "a".into(), reason: reason.into(), key: Some("k".into()) };
        let key = |reason: &str, what: &[&str], credits| {
            asker(reason)
                .author(what, &Change::TopUp { credits: Credits::whole(credits) })
                .unwrap()
                .key
                .unwrap()
        };
        let first = key("", &["top_up", ""], 1);
        assert_eq!((first.place.len(), first.request.len()), (64, 64));
        assert_eq!(first, key("", &["top_up", ""], 1));
        assert_eq!(first.place, key("", &["top_up", ""], 2).place);
        assert_ne!(first.request, key("", &["top_up", ""], 2).request);
        assert_ne!(first.request, key("why", &["top_up", ""], 1).request);
        assert_ne!(first.place, key("", &["grant", ""], 1).place);
    }
}

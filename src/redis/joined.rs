//! Checks of one shard that arrive while a call of theirs is under way go together with the next, and so do holds.
//! Nobody waits for a timer: a single request goes at once, and the more there are, the fewer calls each of them costs.

use std::sync::{Arc, Mutex, PoisonError};

use ::redis::{ErrorKind, Script};
use tokio::sync::oneshot;

use super::RedisError;
use super::codec::{Malformed, Packer, Unpacker};
use super::hold::Answer;
use super::keys::Keys;
use super::link::Link;
use super::mend::Unready;
use super::told::read_books;
use crate::domain::ledger::Effects;
use crate::domain::period::Instant;

/// Requests in one call: about half a millisecond of Redis.
const JOINED_MAX: usize = 64;

/// A request that waits for its answer.
struct Waiting {
    request: Packer,
    now: Instant,
    answer: oneshot::Sender<Result<Answer, RedisError>>,
}

/// Who waits in one shard, and whether somebody serves them.
#[derive(Default)]
struct Line {
    waiting: Vec<Waiting>,
    served: bool,
}

/// The lines of all shards for one script.
pub(super) struct Joined {
    office: Arc<Link>,
    script: Script,
    keys: Keys,
    touched: Arc<Mutex<Effects>>,
    lines: Vec<Mutex<Line>>,
}

impl Joined {
    /// Lines in which nobody waits. What calls touch is added to `touched`.
    pub(super) fn new(
        office: Arc<Link>,
        script: Script,
        keys: Keys,
        touched: Arc<Mutex<Effects>>,
    ) -> Arc<Self> {
        let lines = (0..keys.shards()).map(|_| Mutex::default()).collect();
        Arc::new(Self { office, script, keys, touched, lines })
    }

    /// The answer to one packed request of the script. A call that was made is finished also when whoever asked has
    /// gone: others wait for it.
    pub(super) async fn ask(
        self: &Arc<Self>,
        shard: u16,
        request: Packer,
        now: Instant,
    ) -> Result<Answer, RedisError> {
        let (answer, answered) = oneshot::channel();
        let first = self.of(shard, |line| {
            line.waiting.push(Waiting { request, now, answer });
            !std::mem::replace(&mut line.served, true)
        });
        if first {
            tokio::spawn(Serving { joined: Arc::clone(self), shard, done: false }.serve());
        }
        let given_up = |_| RedisError::Server((ErrorKind::Io, "the call was given up").into());
        answered.await.unwrap_or_else(|gone| Err(given_up(gone)))
    }

    fn of<T>(&self, shard: u16, work: impl FnOnce(&mut Line) -> T) -> T {
        work(&mut self.lines[usize::from(shard)].lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn call(&self, shard: u16, waiting: &[Waiting]) -> Result<std::vec::IntoIter<Answer>, RedisError> {
        let now = waiting.iter().map(|one| one.now).max().unwrap_or_default();
        let mut out = Packer::default();
        out.array(2).int(now.millis()).array(waiting.len());
        for one in waiting {
            out.append(&one.request);
        }
        let bytes = self.office.run(&self.script, &self.keys.heads(shard), &[out.into_bytes()]).await?;
        Ok(self.read(&bytes, waiting.len(), now)?.into_iter())
    }

    fn read(&self, bytes: &[u8], requests: usize, now: Instant) -> Result<Vec<Answer>, Malformed> {
        let mut input = Unpacker::new(bytes);
        input.array()?;
        let word = input.text()?;
        if let Some(Unready::Due) = Unready::read(word, &mut input)? {
            return Ok((0..requests).map(|_| Answer::Unready(Unready::Due)).collect());
        }
        let answers = (0..input.array()?).map(|_| Answer::read(&mut input)).collect::<Result<_, _>>()?;
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        read_books(&mut input, now, &mut touched)?;
        Ok(answers)
    }
}

/// Whoever serves a line, until nobody waits in it.
struct Serving {
    joined: Arc<Joined>,
    shard: u16,
    done: bool,
}

impl Serving {
    async fn serve(mut self) {
        loop {
            let waiting: Vec<Waiting> = self.joined.of(self.shard, |line| {
                line.served = !line.waiting.is_empty();
                line.waiting.drain(..line.waiting.len().min(JOINED_MAX)).collect()
            });
            if waiting.is_empty() {
                self.done = true;
                return;
            }
            let mut answers = self.joined.call(self.shard, &waiting).await;
            for Waiting { answer, .. } in waiting {
                let given = match &mut answers {
                    Ok(answers) => {
                        answers.next().ok_or_else(|| Malformed("an answer is missing".to_owned()).into())
                    }
                    Err(fault) => Err(fault.clone()),
                };
                let _ = answer.send(given); // whoever asked may have gone
            }
        }
    }
}

impl Drop for Serving {
    /// Of one that ended on the way: its line is left as if nobody had come, and who waits there learns it.
    fn drop(&mut self) {
        if !self.done {
            self.joined.of(self.shard, |line| *line = Line::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::Settings;

    #[tokio::test]
    async fn a_line_whose_server_died_is_served_by_the_next() {
        let settings = Settings {
            url: "redis://127.0.0.1:1/0".to_owned(), // nobody listens there
            name: "joined".to_owned(),
            shards: 1,
            call_events_max: 1,
            call_users_max: 1,
            connect_timeout_ms: 1000,
            response_timeout_ms: 1000,
        };
        let link = Arc::new(Link::new(&settings).unwrap());
        let joined = Joined::new(link, Script::new("return 1"), Keys::new("joined", 1), Arc::default());
        let (answer, answered) = oneshot::channel();
        joined.of(0, |line| {
            let waiting = Waiting { request: Packer::default(), now: Instant::default(), answer };
            *line = Line { waiting: vec![waiting], served: true };
        });
        drop(Serving { joined: Arc::clone(&joined), shard: 0, done: false });
        assert!(answered.await.is_err(), "who waited learns that nobody will answer");
        // Asked and answered, even if with a fault: somebody served the line.
        let answer = joined.ask(0, Packer::default(), Instant::default()).await;
        assert!(answer.is_err() && !joined.of(0, |line| line.served));
    }
}

//! What goes wrong with a store of the tests, planned call by call.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::domain::ports::Fault;

#[derive(Debug, thiserror::Error)]
#[error("the test wanted it")]
pub struct TestFault {
    transient: bool,
}

impl Fault for TestFault {
    fn is_transient(&self) -> bool {
        self.transient
    }
}

/// What becomes of one call.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    /// Nothing.
    Fine,
    /// The work is done half way through so many milliseconds.
    Slow(u64),
    /// Nothing is done.
    Away,
    /// All is done, and the answer lost.
    Lost,
    /// Nothing is done, and never will be.
    Refused,
    /// A fault of the program.
    Panic,
}

/// The troubles of one store; without any left, all is well.
#[derive(Debug, Default)]
pub struct Troubles {
    planned: Mutex<VecDeque<Trouble>>,
    away_until: Mutex<Option<Instant>>,
}

impl Troubles {
    pub fn plan(&self, troubles: &[Trouble]) {
        self.planned.lock().unwrap().extend(troubles);
    }

    pub fn away_for(&self, time: Duration) {
        *self.away_until.lock().unwrap() = Some(Instant::now() + time);
    }

    pub fn clear(&self) {
        self.planned.lock().unwrap().clear();
    }

    fn next(&self) -> Trouble {
        let away = self.away_until.lock().unwrap().is_some_and(|until| Instant::now() < until);
        let planned = || self.planned.lock().unwrap().pop_front().unwrap_or(Trouble::Fine);
        if away { Trouble::Away } else { planned() }
    }

    /// Does the work, as far as the trouble of this call lets it.
    pub async fn meet<T>(&self, work: impl FnOnce() -> T) -> Result<T, TestFault> {
        match self.next() {
            Trouble::Fine => Ok(work()),
            Trouble::Slow(ms) => {
                sleep(Duration::from_millis(ms / 2)).await;
                let done = work();
                sleep(Duration::from_millis(ms - ms / 2)).await;
                Ok(done)
            }
            Trouble::Away => Err(TestFault { transient: true }),
            Trouble::Lost => {
                work();
                Err(TestFault { transient: true })
            }
            Trouble::Refused => Err(TestFault { transient: false }),
            Trouble::Panic => panic!("the test wanted it"),
        }
    }
}

//! What was decided and is not recorded. A rebuild sums what is recorded, so it waits for the rest first: what it
//! missed could be spent once more.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Held from before a decision until its rows are written.
pub type Guard = UnboundedSender<()>;

/// Knows who holds a guard, by whether the channel of it is still open.
#[derive(Debug)]
pub struct UnderWay(Mutex<(Guard, UnboundedReceiver<()>)>);

impl Default for UnderWay {
    fn default() -> Self {
        Self(Mutex::new(unbounded_channel()))
    }
}

impl UnderWay {
    /// Something is about to be decided.
    pub fn begin(&self) -> Guard {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Returns when all that began before is over; what begins meanwhile is not waited for.
    pub async fn emptied(&self) {
        let fresh = unbounded_channel();
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), fresh);
        let (guard, mut open) = before;
        drop(guard);
        while open.recv().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn what_began_before_is_waited_for_and_what_begins_later_is_not() {
        let (under_way, mut context) = (UnderWay::default(), Context::from_waker(Waker::noop()));
        let first = under_way.begin();
        let mut emptied = pin!(under_way.emptied());
        assert!(emptied.as_mut().poll(&mut context).is_pending());
        let later = under_way.begin();
        assert!(emptied.as_mut().poll(&mut context).is_pending());
        drop(first);
        assert!(emptied.as_mut().poll(&mut context).is_ready());
        assert!(pin!(under_way.emptied()).poll(&mut context).is_pending());
        drop(later);
        assert!(pin!(under_way.emptied()).poll(&mut context).is_ready());
    }
}

//! Waiting for a guest to do its part, such as letting go of a slot.

use parking_lot::Condvar;
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

/// Why what was waited for did not come about.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAcknowledged {
    /// The guest did not do its part in the time given. It may still: the wait can be repeated.
    #[error("the guest did not acknowledge within {0:?}")]
    TimedOut(Duration),
    /// It cannot come about any more: the device is gone, or the port.
    #[error("the device or its port is gone")]
    Abandoned,
}

/// What the guest is to do: to be awaited by a task, or waited for by a thread. Dropping it takes nothing back.
///
/// ```
/// use pci_bus::{Acknowledgement, NotAcknowledged};
/// use std::time::Duration;
///
/// let (acknowledger, acknowledgement) = Acknowledgement::pending();
/// let timeout = Duration::from_millis(1);
/// assert_eq!(acknowledgement.wait(timeout), Err(NotAcknowledged::TimedOut(timeout)));
/// acknowledger.acknowledge();
/// assert_eq!(acknowledgement.wait(timeout), Ok(()));
/// ```
#[derive(Clone, Debug)]
pub struct Acknowledgement(Arc<Shared>);

/// The other side of an [`Acknowledgement`], which is abandoned if this is dropped first.
#[derive(Debug)]
pub struct Acknowledger(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Result<(), NotAcknowledged>>,
    wakers: Vec<Waker>,
}

impl Acknowledgement {
    /// Both sides of something that is yet to come.
    pub fn pending() -> (Acknowledger, Self) {
        let shared = Arc::<Shared>::default();
        (Acknowledger(shared.clone()), Self(shared))
    }

    /// How it ended, if it did.
    pub fn outcome(&self) -> Option<Result<(), NotAcknowledged>> {
        self.0.state.lock().outcome
    }

    /// Blocks this thread until it ends, at most for `timeout`. The caller must not hold a lock that the guest's accesses need.
    ///
    /// # Errors
    ///
    /// - [`NotAcknowledged::TimedOut`]: it did not end in time;
    /// - [`NotAcknowledged::Abandoned`]: the device or its port is gone.
    pub fn wait(&self, timeout: Duration) -> Result<(), NotAcknowledged> {
        let mut state = self.0.state.lock();
        self.0
            .settled
            .wait_while_for(&mut state, |state| state.outcome.is_none(), timeout);
        state
            .outcome
            .unwrap_or(Err(NotAcknowledged::TimedOut(timeout)))
    }
}

impl Future for Acknowledgement {
    type Output = Result<(), NotAcknowledged>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state.lock();
        match state.outcome {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    state.wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl Acknowledger {
    /// The guest did its part.
    pub fn acknowledge(self) {
        self.0.settle(Ok(()));
    }

    /// Whether anyone still waits.
    pub fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl Drop for Acknowledger {
    fn drop(&mut self) {
        self.0.settle(Err(NotAcknowledged::Abandoned));
    }
}

impl Shared {
    /// The first outcome stays.
    fn settle(&self, outcome: Result<(), NotAcknowledged>) {
        let wakers = {
            let mut state = self.state.lock();
            state.outcome.get_or_insert(outcome);
            std::mem::take(&mut state.wakers)
        };
        self.settled.notify_all();
        for waker in wakers {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_thread_waits_until_the_guest_is_done() {
        let (acknowledger, acknowledgement) = Acknowledgement::pending();
        assert_eq!(acknowledgement.outcome(), None);
        let waiting = acknowledgement.clone();
        let thread = std::thread::spawn(move || waiting.wait(LONG));
        acknowledger.acknowledge();
        assert_eq!(thread.join().unwrap(), Ok(()));
        assert_eq!(acknowledgement.wait(Duration::MAX), Ok(()));
    }

    #[test]
    fn a_task_is_woken() {
        let (acknowledger, acknowledgement) = Acknowledgement::pending();
        let thread = std::thread::spawn(move || pollster::block_on(acknowledgement));
        drop(acknowledger);
        assert_eq!(thread.join().unwrap(), Err(NotAcknowledged::Abandoned));
    }

    #[test]
    fn nobody_waits_any_more() {
        let (acknowledger, acknowledgement) = Acknowledgement::pending();
        assert!(acknowledger.is_awaited());
        drop(acknowledgement);
        assert!(!acknowledger.is_awaited());
    }
}

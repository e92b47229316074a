//! An interrupt controller for tests.

use super::LineSetTarget;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

/// Remembers the level of every input that was ever driven.
#[derive(Debug, Default)]
pub struct TestLineInterruptTarget {
    inputs: Mutex<BTreeMap<u32, Input>>,
}

#[derive(Debug, Default)]
struct Input {
    high: bool,
    waker: Option<Waker>,
}

impl TestLineInterruptTarget {
    /// A controller whose inputs are all low.
    pub fn new_arc() -> Arc<Self> {
        Arc::default()
    }

    /// Whether input `vector` is high. An input that was never driven is low.
    pub fn is_high(&self, vector: u32) -> bool {
        self.inputs
            .lock()
            .get(&vector)
            .is_some_and(|input| input.high)
    }

    /// Waits for input `vector` to be high.
    ///
    /// # Panics
    ///
    /// When the input was never driven: the device under test is not connected to it.
    #[track_caller]
    #[expect(clippy::expect_used, reason = "a test that fails should stop at once")]
    pub fn poll_high(&self, cx: &mut Context<'_>, vector: u32) -> Poll<()> {
        let mut inputs = self.inputs.lock();
        let input = inputs
            .get_mut(&vector)
            .expect("nothing ever drove this input");
        if input.high {
            Poll::Ready(())
        } else {
            input.waker = Some(cx.waker().clone());
            Poll::Pending
        }
    }
}

impl LineSetTarget for TestLineInterruptTarget {
    fn set_irq(&self, vector: u32, high: bool) {
        let waker = {
            let mut inputs = self.inputs.lock();
            let input = inputs.entry(vector).or_default();
            input.high = high;
            if high { input.waker.take() } else { None }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering;
    use std::task::Wake;

    #[test]
    fn poll_high_is_woken_by_the_rise() {
        #[derive(Default)]
        struct Flag(AtomicBool);
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(flag.clone());
        let mut cx = Context::from_waker(&waker);
        let target = TestLineInterruptTarget::new_arc();
        target.set_irq(1, false);
        assert_eq!(target.poll_high(&mut cx, 1), Poll::Pending);
        target.set_irq(1, false);
        assert!(!flag.0.load(Ordering::Relaxed));
        target.set_irq(1, true);
        assert!(flag.0.load(Ordering::Relaxed));
        assert_eq!(target.poll_high(&mut cx, 1), Poll::Ready(()));
    }

    #[test]
    #[should_panic(expected = "nothing ever drove this input")]
    fn poll_high_of_an_unknown_input_panics() {
        let target = TestLineInterruptTarget::new_arc();
        let _ = target.poll_high(&mut Context::from_waker(Waker::noop()), 1);
    }
}

//! Making processors stand still: to save the machine, to reset it, to end it.
//!
//! A processor's thread holds its processor while it runs and looks, on each exit, whether it is to pause. One that is deep in the guest
//! gets a signal, which ends its system call. A signal that comes just before the call is lost, so it is sent again until all stand.

use parking_lot::Condvar;
use parking_lot::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a lost signal delays a pause.
const SIGNAL_AGAIN: Duration = Duration::from_millis(5);

/// What the processors are to do.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Run,
    Pause,
    End,
}

#[derive(Debug, Default)]
struct State {
    order: Order,
    /// Processors whose threads live, and those of them that stand still.
    living: usize,
    standing: usize,
}

/// Between those who order and the processors.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// Whether the order is another than to run: what a processor looks at on each exit.
    interrupted: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
    /// One at a time saves or resets.
    operation: Mutex<()>,
}

impl Control {
    /// See [`Cpu::run`](crate::cpu::Cpu::run).
    pub(crate) fn interrupted(&self) -> &AtomicBool {
        &self.interrupted
    }

    /// A run begins: processors that arrive run.
    pub(crate) fn begin(&self) {
        self.state.lock().order = Order::Run;
        self.interrupted.store(false, Ordering::Release);
    }

    /// A processor's thread begins. It must call [`Self::depart`] when it ends.
    pub(crate) fn arrive(&self) {
        self.state.lock().living += 1;
    }

    /// A processor's thread ends.
    pub(crate) fn depart(&self) {
        self.state.lock().living -= 1;
        self.changed.notify_all();
    }

    /// A processor's thread, which does not hold its processor, waits while the order is to pause. Gives whether to go on.
    pub(crate) fn proceed(&self) -> bool {
        let mut state = self.state.lock();
        state.standing += 1;
        self.changed.notify_all();
        while state.order == Order::Pause {
            self.changed.wait(&mut state);
        }
        state.standing -= 1;
        state.order == Order::Run
    }

    /// A processor's thread that cannot go on stands still until the end.
    pub(crate) fn await_end(&self) {
        let mut state = self.state.lock();
        state.standing += 1;
        self.changed.notify_all();
        while state.order != Order::End {
            self.changed.wait(&mut state);
        }
        state.standing -= 1;
    }

    /// Pauses all processors, does `operation`, and lets them go on. `signal` ends their system calls.
    pub(crate) fn paused<R>(&self, signal: impl Fn(), operation: impl FnOnce() -> R) -> R {
        let _one = self.operation.lock();
        self.give(Order::Pause);
        let mut state = self.state.lock();
        while state.standing < state.living && state.order == Order::Pause {
            signal();
            self.changed.wait_for(&mut state, SIGNAL_AGAIN);
        }
        drop(state);
        let result = operation();
        self.give(Order::Run);
        result
    }

    /// Ends all processors' threads.
    pub(crate) fn end(&self, signal: impl Fn()) {
        self.give(Order::End);
        let mut state = self.state.lock();
        while state.living > 0 {
            signal();
            self.changed.wait_for(&mut state, SIGNAL_AGAIN);
        }
    }

    /// Gives an order, unless the end was ordered.
    fn give(&self, order: Order) {
        let mut state = self.state.lock();
        if state.order != Order::End {
            state.order = order;
            self.interrupted
                .store(order != Order::Run, Ordering::Release);
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::thread;

    /// A processor that counts its exits, and whether it is in its loop.
    fn processor(control: &Control, exits: &AtomicU64, inside: &AtomicBool) {
        while control.proceed() {
            inside.store(true, Ordering::SeqCst);
            while !control.interrupted().load(Ordering::Acquire) {
                exits.fetch_add(1, Ordering::Relaxed);
                thread::yield_now();
            }
            inside.store(false, Ordering::SeqCst);
        }
        control.depart();
    }

    #[test]
    fn nobody_runs_during_an_operation_and_everybody_after() {
        let control = Control::default();
        let exits = AtomicU64::new(0);
        let inside = [const { AtomicBool::new(false) }; 3];
        thread::scope(|scope| {
            for inside in &inside {
                control.arrive();
                scope.spawn(|| processor(&control, &exits, inside));
            }
            for _ in 0..20 {
                let seen = control.paused(
                    || {},
                    || {
                        assert!(inside.iter().all(|inside| !inside.load(Ordering::SeqCst)));
                        exits.load(Ordering::Relaxed)
                    },
                );
                while exits.load(Ordering::Relaxed) == seen {
                    thread::yield_now();
                }
            }
            control.end(|| {});
        });
        control.paused(|| {}, || ());
        assert!(!control.proceed(), "after the end nothing runs again");
    }
}

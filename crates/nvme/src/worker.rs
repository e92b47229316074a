//! The threads that carry out commands.

use crate::controller::Controller;
use crate::controller::Scratch;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;
use std::thread::JoinHandle;
use vmcore::event::Event;
use vmcore::event::Waiter;

/// Wakes a worker, from the guest's processor: at the cost of a look where the worker is awake.
pub(crate) struct Wake {
    event: Event,
    sleeping: AtomicBool,
}

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            event: Event::try_new()?,
            sleeping: AtomicBool::new(false),
        })
    }

    /// What the caller did before, the worker sees.
    pub(crate) fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.sleeping.swap(false, Ordering::SeqCst) {
            self.event.signal();
        }
    }

    /// An event that wakes the worker too.
    pub(crate) fn event(&self) -> &Event {
        &self.event
    }
}

/// The workers of a controller. Dropping them ends them: when that returns, they touch nothing any more.
pub(crate) struct Workers {
    controller: Arc<Controller>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` workers.
    pub(crate) fn start(controller: Arc<Controller>, count: usize) -> io::Result<Self> {
        let mut workers = Self {
            controller,
            threads: Vec::with_capacity(count),
        };
        for index in 0..count {
            let controller = workers.controller.clone();
            let Some(wake) = controller.wake_of(index) else {
                break;
            };
            let waiter = Waiter::new([wake.event()])?;
            let thread = std::thread::Builder::new()
                .name(format!("nvme-{index}"))
                .spawn(move || run(&controller, index, &waiter))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.controller.stop();
        for thread in self.threads.drain(..) {
            // A panic has been reported where it happened.
            let _ = thread.join();
        }
    }
}

fn run(controller: &Controller, index: usize, waiter: &Waiter) {
    let Some(wake) = controller.wake_of(index) else {
        return;
    };
    let mut scratch = Scratch::default();
    while !controller.exiting() {
        if controller.service(index, &mut scratch) {
            continue;
        }
        wake.sleeping.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        // Whoever came before could not know that it must signal.
        if !controller.exiting()
            && !controller.service(index, &mut scratch)
            && !wake.event.try_wait()
        {
            waiter.wait();
            // Taken here or already: it says no more than that there may be something to do.
            let _ = wake.event.try_wait();
        }
        wake.sleeping.store(false, Ordering::SeqCst);
    }
}

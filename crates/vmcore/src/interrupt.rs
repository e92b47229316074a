//! Edge-triggered interrupts, as a device sees them.

use crate::event::Event;
use crate::event::Waiter;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::thread::JoinHandle;

/// An interrupt that a device can deliver, whatever is behind it. Clones are the same interrupt.
///
/// ```
/// use vmcore::event::Event;
/// use vmcore::interrupt::Interrupt;
///
/// let event = Event::new();
/// Interrupt::from_event(event.clone()).deliver();
/// assert!(event.try_wait());
/// ```
#[derive(Clone)]
pub struct Interrupt(Arc<Inner>);

struct Inner {
    target: Target,
    /// The event once it is known. That a target has none is not remembered: it may get one later.
    event: OnceLock<Arc<Event>>,
}

enum Target {
    Null,
    Event(Arc<Event>),
    Fn(Box<dyn Fn() + Send + Sync>),
    Dyn(Box<dyn InterruptTarget>),
}

/// What is behind an [`Interrupt`].
pub trait InterruptTarget: Send + Sync {
    /// Delivers one interrupt. Must not block.
    fn deliver(&self);

    /// An event whose signal delivers the interrupt without a call, if there is one.
    ///
    /// The first event returned is kept for the life of the interrupt, so it must stay valid. Before that, the target is
    /// asked each time.
    fn event(&self) -> Option<Arc<Event>> {
        None
    }
}

impl Interrupt {
    /// An interrupt that goes nowhere.
    pub fn null() -> Self {
        Self::new(Target::Null)
    }

    /// An interrupt that signals `event`.
    pub fn from_event(event: Event) -> Self {
        Self::new(Target::Event(Arc::new(event)))
    }

    /// An interrupt that calls `f`, which must not block.
    pub fn from_fn<F: 'static + Send + Sync + Fn()>(f: F) -> Self {
        Self::new(Target::Fn(Box::new(f)))
    }

    /// An interrupt that goes to `target`.
    pub fn from_target(target: impl InterruptTarget + 'static) -> Self {
        Self::new(Target::Dyn(Box::new(target)))
    }

    fn new(target: Target) -> Self {
        Self(Arc::new(Inner {
            target,
            event: OnceLock::new(),
        }))
    }

    /// Delivers the interrupt once.
    pub fn deliver(&self) {
        match &self.0.target {
            Target::Null => {}
            Target::Event(event) => event.signal(),
            Target::Fn(f) => f(),
            Target::Dyn(target) => target.deliver(),
        }
    }

    /// The event whose signal delivers the interrupt, if it has one.
    ///
    /// Once there is one it stays the same. The null interrupt has one too, which nobody waits for; it is made when it is
    /// asked for first (and is missing when the process has no file descriptor left).
    pub fn event(&self) -> Option<&Event> {
        if let Some(event) = self.0.event.get() {
            return Some(event);
        }
        let event = match &self.0.target {
            Target::Null => Event::try_new().ok().map(Arc::new),
            Target::Event(event) => Some(event.clone()),
            Target::Fn(_) => None,
            Target::Dyn(target) => target.event(),
        }?;
        // If another thread was faster, its event stands.
        Some(self.0.event.get_or_init(|| event))
    }

    /// An event whose signal delivers the interrupt: the interrupt's own, or one with an [`EventProxy`] that must be kept
    /// for as long as the event is used.
    ///
    /// # Errors
    ///
    /// Those of [`EventProxy::new`].
    pub fn event_or_proxy(&self) -> io::Result<(Event, Option<EventProxy>)> {
        match self.event() {
            Some(event) => Ok((event.clone(), None)),
            None => {
                let (proxy, event) = EventProxy::new(self.clone())?;
                Ok((event, Some(proxy)))
            }
        }
    }
}

impl Default for Interrupt {
    fn default() -> Self {
        Self::null()
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0.target {
            Target::Null => "null",
            Target::Event(_) => "event",
            Target::Fn(_) => "fn",
            Target::Dyn(_) => "target",
        };
        f.debug_struct("Interrupt")
            .field("kind", &kind)
            .field("event", &self.0.event.get())
            .finish()
    }
}

/// Turns each signal of an event into one delivery of an interrupt that has no event of its own.
///
/// A thread does the work. Dropping the proxy ends it; when the drop returns, the interrupt is delivered no more.
#[derive(Debug)]
pub struct EventProxy {
    stop: Event,
    thread: Option<JoinHandle<()>>,
}

impl EventProxy {
    /// Starts a proxy for `interrupt`, and returns the event to signal.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptor or no thread left.
    pub fn new(interrupt: Interrupt) -> io::Result<(Self, Event)> {
        let event = Event::try_new()?;
        let stop = Event::try_new()?;
        let waiter = Waiter::new([&event, &stop])?;
        let thread = std::thread::Builder::new()
            .name("interrupt-proxy".into())
            .spawn({
                let (event, stop) = (event.clone(), stop.clone());
                move || {
                    while !stop.try_wait() {
                        if event.try_wait() {
                            interrupt.deliver();
                        } else {
                            waiter.wait();
                        }
                    }
                }
            })?;
        let proxy = Self {
            stop,
            thread: Some(thread),
        };
        Ok((proxy, event))
    }
}

impl Drop for EventProxy {
    fn drop(&mut self) {
        self.stop.signal();
        if let Some(thread) = self.thread.take() {
            // The interrupt itself may drop the proxy, on the proxy's thread; that one ends by itself.
            if thread.thread().id() != std::thread::current().id() {
                // A panic of the interrupt's owner has been reported where it happened.
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::os::fd::AsRawFd;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;
    use std::sync::mpsc;

    #[test]
    fn null_goes_nowhere_and_has_one_event() {
        let interrupt = Interrupt::default();
        interrupt.deliver();
        let event = interrupt.event().unwrap();
        assert!(!event.try_wait());
        let again = interrupt.clone();
        assert_eq!(event.as_raw_fd(), again.event().unwrap().as_raw_fd());
    }

    #[test]
    fn event_is_signalled() {
        let event = Event::new();
        let interrupt = Interrupt::from_event(event.clone());
        interrupt.deliver();
        assert!(event.try_wait());
        assert_eq!(interrupt.event().unwrap().as_raw_fd(), event.as_raw_fd());
        let (direct, proxy) = interrupt.event_or_proxy().unwrap();
        assert_eq!(direct.as_raw_fd(), event.as_raw_fd());
        assert!(proxy.is_none());
    }

    #[test]
    fn function_is_called_by_every_clone() {
        let count = Arc::new(AtomicUsize::new(0));
        let interrupt = Interrupt::from_fn({
            let count = count.clone();
            move || {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        interrupt.deliver();
        interrupt.clone().deliver();
        assert_eq!(count.load(Ordering::Relaxed), 2);
        assert!(interrupt.event().is_none());
    }

    #[derive(Default)]
    struct LateTarget {
        event: Mutex<Option<Arc<Event>>>,
        asked: AtomicUsize,
        delivered: AtomicUsize,
    }

    impl InterruptTarget for Arc<LateTarget> {
        fn deliver(&self) {
            self.delivered.fetch_add(1, Ordering::Relaxed);
        }
        fn event(&self) -> Option<Arc<Event>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.event.lock().clone()
        }
    }

    #[test]
    fn target_may_get_its_event_late_and_is_then_asked_no_more() {
        let target = Arc::new(LateTarget::default());
        let interrupt = Interrupt::from_target(target.clone());
        interrupt.deliver();
        assert_eq!(target.delivered.load(Ordering::Relaxed), 1);
        assert!(interrupt.event().is_none());

        let event = Arc::new(Event::new());
        *target.event.lock() = Some(event.clone());
        for _ in 0..3 {
            let found = interrupt.event().unwrap();
            assert_eq!(found.as_raw_fd(), event.as_raw_fd());
        }
        assert_eq!(target.asked.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn proxy_turns_signals_into_deliveries_until_dropped() {
        let (send, receive) = mpsc::channel();
        let interrupt = Interrupt::from_fn(move || send.send(()).unwrap());
        let (event, proxy) = interrupt.event_or_proxy().unwrap();
        let proxy = proxy.unwrap();
        for _ in 0..3 {
            event.signal();
            receive.recv().unwrap();
        }
        drop(proxy);
        event.signal();
        assert_eq!(receive.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(interrupt);
        assert_eq!(
            receive.try_recv(),
            Err(mpsc::TryRecvError::Disconnected),
            "the thread gave its clone of the interrupt back"
        );
    }
}

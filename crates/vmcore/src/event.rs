//! Events: something happened, without saying how often.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::RawFd;
use std::sync::Arc;
use vmm_sys_util::epoll::ControlOperation;
use vmm_sys_util::epoll::Epoll;
use vmm_sys_util::epoll::EpollEvent;
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::eventfd::EFD_CLOEXEC;
use vmm_sys_util::eventfd::EFD_NONBLOCK;
use vmm_sys_util::eventfd::EventFd;

/// An event that one side signals and another waits for, in this process, another one, or the kernel (`irqfd`,
/// `ioeventfd`): Linux `eventfd(2)`.
///
/// A signal stays until a wait takes it; signals that nobody took yet count as one. Clones are the same event. The descriptor
/// is non-blocking.
#[derive(Clone, Debug)]
pub struct Event(Arc<EventFd>);

impl Event {
    /// A new event, not signalled.
    ///
    /// # Panics
    ///
    /// When the process or the machine has no file descriptor left. [`try_new`](Self::try_new) returns that as an error.
    #[expect(
        clippy::new_without_default,
        reason = "a default that takes a file descriptor would surprise"
    )]
    #[expect(
        clippy::expect_used,
        reason = "documented; a guest cannot make a device create events"
    )]
    pub fn new() -> Self {
        Self::try_new().expect("an eventfd can be created")
    }

    /// A new event, not signalled.
    ///
    /// # Errors
    ///
    /// When the process or the machine has no file descriptor left.
    pub fn try_new() -> io::Result<Self> {
        Ok(Self(Arc::new(EventFd::new(EFD_CLOEXEC | EFD_NONBLOCK)?)))
    }

    /// Signals the event, and wakes one of those who wait. Never blocks.
    pub fn signal(&self) {
        // The write fails only when the counter is full, and then the event is signalled already.
        let _ = self.0.write(1);
    }

    /// Takes a signal if there is one, and says whether there was. Never blocks.
    #[must_use]
    pub fn try_wait(&self) -> bool {
        self.0.read().is_ok()
    }

    /// Blocks until there is a signal, and takes it.
    ///
    /// # Panics
    ///
    /// When the process or the machine has no file descriptor left for the wait.
    #[expect(clippy::expect_used, reason = "documented; devices do not wait")]
    pub fn wait(&self) {
        let mut waiter = None;
        while !self.try_wait() {
            waiter
                .get_or_insert_with(|| Waiter::new([self]).expect("an epoll can be created"))
                .wait();
        }
    }

    /// The descriptor, as the rust-vmm crates take it.
    pub fn as_event_fd(&self) -> &EventFd {
        &self.0
    }
}

impl AsRawFd for Event {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        #[expect(unsafe_code, reason = "EventFd does not implement AsFd")]
        // SAFETY: the descriptor stays open for as long as `self` is borrowed.
        unsafe {
            BorrowedFd::borrow_raw(self.as_raw_fd())
        }
    }
}

/// Blocks until one of several events is signalled.
///
/// For a thread that waits again and again: [`Event::wait`] makes one of these each time. The events must live as long.
#[derive(Debug)]
pub struct Waiter(Epoll);

impl Waiter {
    /// A waiter for `events`.
    ///
    /// # Errors
    ///
    /// When the process or the machine has no file descriptor left.
    pub fn new<'a>(events: impl IntoIterator<Item = &'a Event>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        for event in events {
            epoll.ctl(
                ControlOperation::Add,
                event.as_raw_fd(),
                EpollEvent::new(EventSet::IN, 0),
            )?;
        }
        Ok(Self(epoll))
    }

    /// Returns when an event is signalled, and sometimes without (a Unix signal): the caller asks the events.
    pub fn wait(&self) {
        let _ = self.0.wait(-1, &mut [EpollEvent::default()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_taken_once() {
        let event = Event::new();
        assert!(!event.try_wait());
        event.signal();
        event.signal();
        assert!(event.try_wait(), "two signals count as one");
        assert!(!event.try_wait());
    }

    #[test]
    fn clones_are_the_same_event() {
        let event = Event::new();
        let clone = event.clone();
        clone.signal();
        assert_eq!(event.as_raw_fd(), clone.as_fd().as_raw_fd());
        assert!(event.try_wait());
        assert!(!clone.try_wait());
    }

    #[test]
    fn a_full_counter_stays_signalled() {
        let event = Event::new();
        event.as_event_fd().write(u64::MAX - 1).unwrap();
        event.signal();
        assert!(event.try_wait());
        assert!(!event.try_wait());
    }

    #[test]
    fn wait_returns_for_a_signal_before_and_after() {
        let event = Event::new();
        event.signal();
        event.wait();
        assert!(!event.try_wait(), "the wait took the signal");

        let (there, back) = (Event::new(), Event::new());
        let echo = std::thread::spawn({
            let (there, back) = (there.clone(), back.clone());
            move || {
                there.wait();
                back.signal();
            }
        });
        there.signal();
        back.wait();
        echo.join().unwrap();
    }
}

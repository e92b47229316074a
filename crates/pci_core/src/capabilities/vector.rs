//! One message-signalled vector, as MSI and MSI-X share it: live or not, and what is pending meanwhile.

use crate::msi::MsiRoute;
use crate::msi::MsiTarget;
use parking_lot::Mutex;
use parking_lot::MutexGuard;

/// Address and data of a message.
pub(super) type Message = (u64, u32);

/// The state of a capability that sends messages, and where they go.
pub(super) struct Sender<S> {
    state: Mutex<S>,
    target: MsiTarget,
}

impl<S> Sender<S> {
    pub(super) fn new(state: S, target: &MsiTarget) -> Self {
        Self {
            state: Mutex::new(state),
            target: target.clone(),
        }
    }

    /// The state. What becomes due under this lock is to be sent by way of [`Self::change`].
    pub(super) fn lock(&self) -> MutexGuard<'_, S> {
        self.state.lock()
    }

    pub(super) fn target(&self) -> &MsiTarget {
        &self.target
    }

    /// Changes the state under the lock, and sends what became due after dropping it: who gets a message may look at the
    /// device at once.
    pub(super) fn change<M: IntoIterator<Item = Message>>(&self, change: impl FnOnce(&mut S) -> M) {
        let due = change(&mut self.state.lock());
        for (address, data) in due {
            self.target.signal_msi(address, data);
        }
    }
}

/// A vector's delivery state. Methods that may send return the message: the caller sends it after dropping the lock.
#[derive(Default)]
pub(super) struct Vector {
    /// The message to send, while the vector is enabled and unmasked.
    live: Option<Message>,
    /// An interrupt that came while it was not.
    pub(super) pending: bool,
    route: Option<MsiRoute>,
}

impl Vector {
    /// Makes the vector live with a message, or takes it out of service. A pending interrupt is sent as soon as it can be.
    #[must_use]
    pub(super) fn program(&mut self, live: Option<Message>) -> Option<Message> {
        self.live = live;
        self.sync_route();
        if live.is_some() && std::mem::take(&mut self.pending) {
            return live;
        }
        None
    }

    /// The device raises the interrupt.
    #[must_use]
    pub(super) fn deliver(&mut self) -> Option<Message> {
        self.pending |= self.live.is_none();
        self.live
    }

    /// Whether an interrupt is pending, one signalled on the route's event included.
    pub(super) fn poll_pending(&mut self) -> bool {
        self.latch();
        self.pending
    }

    /// The route, made on first use; `None` where the monitor has no irqfd.
    pub(super) fn route(&mut self, target: &MsiTarget) -> Option<&MsiRoute> {
        if self.route.is_none() {
            match target.new_route()? {
                Ok(route) => {
                    self.route = Some(route);
                    self.sync_route();
                }
                Err(error) => {
                    tracelimit::warn_ratelimited!(error = %error, "no irqfd route; the device delivers by message");
                }
            }
        }
        self.route.as_ref()
    }

    /// Forgets what is pending, as a reset does.
    pub(super) fn reset(&mut self) {
        let _ = self.program(None);
        self.latch();
        self.pending = false;
    }

    /// Takes an interrupt signalled on the event while the route is disabled.
    fn latch(&mut self) {
        if let Some(route) = &self.route {
            // While live, the hypervisor consumes the event itself.
            if self.live.is_none() {
                self.pending |= route.consume_pending();
            }
        }
    }

    fn sync_route(&self) {
        match (&self.route, self.live) {
            (Some(route), Some((address, data))) => route.enable(address, data),
            (Some(route), None) => route.disable(),
            (None, _) => {}
        }
    }
}

//! Message-signalled interrupts that the hypervisor delivers when an event is signalled.

use crate::event::Event;

/// A source of interrupt routes, such as KVM's `irqfd`.
pub trait IrqFd: Send + Sync {
    /// Creates a route with an event of its own, disabled.
    ///
    /// # Errors
    ///
    /// When the hypervisor has no route left, or an event cannot be made.
    fn new_irqfd_route(&self) -> anyhow::Result<Box<dyn IrqFdRoute>>;
}

/// One route: an event which, when signalled, makes the hypervisor deliver a message-signalled interrupt.
///
/// Dropping the route disables it and gives it back.
pub trait IrqFdRoute: Send + Sync {
    /// The event of the route. The same one for the route's whole life.
    fn event(&self) -> &Event;

    /// Delivers the message `data` to `address` on each signal from now on. `devid` is the requester ID, for interrupt
    /// controllers that tell devices apart.
    ///
    /// A signal that came while the route was disabled is delivered now.
    fn enable(&self, address: u64, data: u32, devid: Option<u32>);

    /// Stops delivery. Signals arriving while the route is disabled stay pending on the event.
    fn disable(&self);
}

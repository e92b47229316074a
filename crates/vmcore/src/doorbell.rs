//! Doorbells: writes of the guest that reach a device as an event, without an exit to the monitor.

use crate::event::Event;
use std::io;

/// A source of events for the guest's writes, such as KVM's `ioeventfd`.
pub trait DoorbellRegistration: Send + Sync {
    /// From now on, signals `event` when the guest writes `length` bytes (1, 2, 4 or 8; 0 for any) to guest physical address `address`,
    /// and, where `value` is given, only for that value. Such a write does not reach the device in another way, and without `value` what
    /// was written is lost: the device must be able to find it elsewhere.
    ///
    /// Dropping what is returned ends this.
    ///
    /// # Errors
    ///
    /// When the hypervisor refuses, as for an address that has such an event already. Writes then go on to reach the device as MMIO.
    fn register(
        &self,
        address: u64,
        value: Option<u64>,
        length: u32,
        event: &Event,
    ) -> io::Result<Box<dyn Send + Sync>>;
}

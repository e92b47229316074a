//! Devices with work of their own.

use std::task::Context;

/// A device with work that proceeds without an access by the guest.
pub trait PollDevice {
    /// Proceeds as far as possible without blocking.
    ///
    /// The monitor calls this when the device starts and, while it runs, whenever the waker of `cx` has fired. The device
    /// must keep the waker wherever its work is waiting.
    fn poll_device(&mut self, cx: &mut Context<'_>);
}

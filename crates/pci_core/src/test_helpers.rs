//! What a test needs on the other side of a device.

use crate::msi::SignalMsi;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// An interrupt controller that keeps the messages it gets, in order.
#[derive(Debug, Clone, Default)]
pub struct TestPciInterruptController {
    messages: Arc<Mutex<VecDeque<(u64, u32)>>>,
}

impl TestPciInterruptController {
    /// One that has got none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the oldest message: `(address, data)`.
    pub fn get_next_interrupt(&self) -> Option<(u64, u32)> {
        self.messages.lock().pop_front()
    }

    /// Where devices send to; the device identifier is ignored.
    pub fn signal_msi(&self) -> Arc<dyn SignalMsi> {
        Arc::new(self.clone())
    }
}

impl SignalMsi for TestPciInterruptController {
    fn signal_msi(&self, _devid: Option<u32>, address: u64, data: u32) {
        self.messages.lock().push_back((address, data));
    }
}

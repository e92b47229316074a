//! The messages that devices send, on their way to the interrupt controller.

use parking_lot::Mutex;
use pci_core::msi::SignalMsi;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// A message: requester ID where known, address, data.
pub(crate) type Message = (Option<u32>, u64, u32);

/// Messages kept between two accesses. A guest that makes more by one access than any driver asks for loses the rest from the record,
/// not from its interrupt controller.
const MESSAGES_MAX: usize = 4096;

/// An interrupt controller that notes what passes, for a [`Recorder`](crate::Recorder) or a replay to take.
///
/// A hierarchy sends its messages here when composed with [`Self::new`] around the monitor's own sink. Messages that a hypervisor
/// delivers by itself, by irqfd, do not come this way. Before there is a recorder, messages pass and nothing is noted.
pub struct MessageLog {
    sink: Option<Arc<dyn SignalMsi>>,
    /// What is raised when there is one, for whoever takes them.
    listener: OnceLock<Arc<AtomicBool>>,
    messages: Mutex<Vec<Message>>,
}

impl MessageLog {
    /// Passes messages on to `sink`, if there is one, and notes them once there is a recorder.
    pub fn new(sink: Option<Arc<dyn SignalMsi>>) -> Arc<Self> {
        Arc::new(Self {
            sink,
            listener: OnceLock::new(),
            messages: Mutex::default(),
        })
    }

    /// Notes what passes from now on, and raises `flag` then.
    pub(crate) fn listen(&self, flag: Arc<AtomicBool>) {
        // There is one listener in a log's life.
        let _ = self.listener.set(flag);
    }

    /// What was sent since the last call.
    pub(crate) fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.messages.lock())
    }
}

impl SignalMsi for MessageLog {
    fn signal_msi(&self, devid: Option<u32>, address: u64, data: u32) {
        if let Some(flag) = self.listener.get() {
            let mut messages = self.messages.lock();
            if messages.len() < MESSAGES_MAX {
                messages.push((devid, address, data));
            }
            flag.store(true, Ordering::Release);
        }
        if let Some(sink) = &self.sink {
            sink.signal_msi(devid, address, data);
        }
    }
}

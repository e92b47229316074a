//! The messages that devices send, on their way to the interrupt controller.

use parking_lot::Mutex;
use pci_core::msi::SignalMsi;
use std::sync::Arc;
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
    listening: AtomicBool,
    messages: Mutex<Vec<Message>>,
    some: AtomicBool,
}

impl MessageLog {
    /// Passes messages on to `sink`, if there is one, and notes them once there is a recorder.
    pub fn new(sink: Option<Arc<dyn SignalMsi>>) -> Arc<Self> {
        Arc::new(Self {
            sink,
            listening: AtomicBool::new(false),
            messages: Mutex::default(),
            some: AtomicBool::new(false),
        })
    }

    /// Notes what passes from now on.
    pub(crate) fn listen(&self) {
        self.listening.store(true, Ordering::Relaxed);
    }

    /// Whether something was sent since [`Self::take`].
    #[inline]
    pub(crate) fn has_some(&self) -> bool {
        self.some.load(Ordering::Relaxed)
    }

    /// What was sent since the last call.
    pub(crate) fn take(&self) -> Vec<Message> {
        let mut messages = self.messages.lock();
        self.some.store(false, Ordering::Relaxed);
        std::mem::take(&mut messages)
    }
}

impl SignalMsi for MessageLog {
    fn signal_msi(&self, devid: Option<u32>, address: u64, data: u32) {
        if self.listening.load(Ordering::Relaxed) {
            let mut messages = self.messages.lock();
            if messages.len() < MESSAGES_MAX {
                messages.push((devid, address, data));
            }
            self.some.store(true, Ordering::Relaxed);
        }
        if let Some(sink) = &self.sink {
            sink.signal_msi(devid, address, data);
        }
    }
}

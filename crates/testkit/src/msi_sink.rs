//! The monitor's interrupt controller.

use parking_lot::Mutex;
use pci_core::msi::SignalMsi;
use std::collections::VecDeque;
use std::sync::Arc;

/// Messages kept; older ones are only counted.
const KEPT_MAX: usize = 4096;

/// A message that was signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The requester ID, bus in bits 15:8, device and function in 7:0; `None` where the sender told none.
    pub requester: Option<u32>,
    /// The address it was written to.
    pub address: u64,
    /// What was written.
    pub data: u32,
}

#[derive(Default)]
struct Received {
    count: u64,
    kept: VecDeque<Message>,
}

/// Counts messages and keeps the last 4096.
///
/// ```
/// use pci_core::msi::SignalMsi;
/// use testkit::MsiSink;
///
/// let sink = MsiSink::new();
/// sink.signal_msi(Some(0x0108), 0xfee0_0000, 0x30);
/// assert_eq!(sink.count(), 1);
/// assert_eq!(sink.take()[0].requester, Some(0x0108));
/// ```
#[derive(Default)]
pub struct MsiSink(Mutex<Received>);

impl MsiSink {
    /// A sink to connect to an [`MsiConnection`](pci_core::msi::MsiConnection).
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Messages received from the beginning.
    pub fn count(&self) -> u64 {
        self.0.lock().count
    }

    /// Takes the messages kept since this was last called, oldest first.
    pub fn take(&self) -> Vec<Message> {
        self.0.lock().kept.drain(..).collect()
    }
}

impl SignalMsi for MsiSink {
    fn signal_msi(&self, devid: Option<u32>, address: u64, data: u32) {
        let mut received = self.0.lock();
        received.count += 1;
        if received.kept.len() == KEPT_MAX {
            received.kept.pop_front();
        }
        received.kept.push_back(Message {
            requester: devid,
            address,
            data,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_messages_go_and_stay_counted() {
        let sink = MsiSink::new();
        for data in 0..5000 {
            sink.signal_msi(None, 0, data);
        }
        assert_eq!(sink.count(), 5000);
        let kept = sink.take();
        assert_eq!(
            (kept.len(), kept[0].data, kept[4095].data),
            (4096, 904, 4999)
        );
        assert_eq!(sink.take(), []);
    }
}

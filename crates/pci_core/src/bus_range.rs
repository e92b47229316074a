//! The bus numbers a guest gave to a bridge, shared with whoever routes or tags by them.

use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering;

/// A bridge's secondary and subordinate bus number (PCIe 6.2 section 7.5.1.3.4), shared by all clones and always read as a
/// pair. It says what the guest wrote, sensible or not; the segment is not part of it.
#[derive(Clone, Default)]
pub struct AssignedBusRange(Arc<Shared>);

#[derive(Default)]
struct Shared {
    numbers: AtomicU16,
    watchers: Mutex<Vec<Weak<dyn BusWatcher>>>,
}

/// Someone who keeps a copy of the bus numbers where these cannot be asked: in a hypervisor's table of interrupt routes.
pub(crate) trait BusWatcher: Send + Sync {
    /// The numbers changed. Called within a configuration write: it must not block, nor change the numbers.
    fn renumbered(&self);
}

impl fmt::Debug for AssignedBusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AssignedBusRange")
            .field(&self.bus_range())
            .finish()
    }
}

impl AssignedBusRange {
    /// An unprogrammed range: `(0, 0)`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces both numbers at once. Interrupt routes of functions that the numbers name follow.
    pub fn set_bus_range(&self, secondary: u8, subordinate: u8) {
        let numbers = u16::from_le_bytes([secondary, subordinate]);
        if self.0.numbers.swap(numbers, Ordering::Relaxed) == numbers {
            return;
        }
        // They are told without the lock, which a route made meanwhile takes.
        let watchers: Vec<_> = self
            .0
            .watchers
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for watcher in watchers {
            watcher.renumbered();
        }
    }

    /// Tells `watcher` of changes for as long as it is there.
    pub(crate) fn watch(&self, watcher: Weak<dyn BusWatcher>) {
        let mut watchers = self.0.watchers.lock();
        watchers.retain(|watcher| watcher.strong_count() > 0);
        watchers.push(watcher);
    }

    /// `(secondary, subordinate)`.
    #[inline]
    pub fn bus_range(&self) -> (u8, u8) {
        let [secondary, subordinate] = self.0.numbers.load(Ordering::Relaxed).to_le_bytes();
        (secondary, subordinate)
    }

    /// Whether `bus` lies in the range, both ends included; never, when secondary is above subordinate. Bus 0 is in an
    /// unprogrammed range.
    #[inline]
    pub fn contains_bus(&self, bus: u8) -> bool {
        let (secondary, subordinate) = self.bus_range();
        (secondary..=subordinate).contains(&bus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_numbers() {
        let range = AssignedBusRange::new();
        let clone = range.clone();
        assert_eq!(clone.bus_range(), (0, 0));
        range.set_bus_range(3, 7);
        assert_eq!(clone.bus_range(), (3, 7));
    }

    #[test]
    fn containment_includes_both_ends_and_nothing_when_inverted() {
        let range = AssignedBusRange::new();
        assert!(range.contains_bus(0) && !range.contains_bus(1));
        range.set_bus_range(3, 7);
        assert!([3, 5, 7].iter().all(|&bus| range.contains_bus(bus)));
        assert!(!range.contains_bus(2) && !range.contains_bus(8));
        range.set_bus_range(7, 3);
        assert!((0..=255).all(|bus| !range.contains_bus(bus)));
    }
}

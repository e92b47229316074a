//! How often the guest left for the monitor, and why: what a virtual machine's speed depends on.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Why a processor left the guest.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// A read from a port of a serial port.
    SerialRead,
    /// A write to a port of a serial port.
    SerialWrite,
    /// Any other access to a port.
    Port,
    /// A read of configuration space, by ECAM.
    ConfigRead,
    /// A write to configuration space, by ECAM.
    ConfigWrite,
    /// A read from a window of a root complex.
    MemoryRead,
    /// A write to a window of a root complex.
    MemoryWrite,
    /// A read from a port in a window of a root complex.
    IoRead,
    /// A write to a port in a window of a root complex.
    IoWrite,
    /// An access to an address where there is nothing.
    Unclaimed,
    /// A signal to the processor's thread.
    Interrupted,
    /// Anything else.
    Other,
}

impl ExitKind {
    /// All of them, each with its name, in the order of the summary.
    const ALL: [(Self, &str); 12] = [
        (Self::SerialRead, "serial reads"),
        (Self::SerialWrite, "serial writes"),
        (Self::Port, "other port accesses"),
        (Self::ConfigRead, "configuration reads"),
        (Self::ConfigWrite, "configuration writes"),
        (Self::MemoryRead, "memory reads"),
        (Self::MemoryWrite, "memory writes"),
        (Self::IoRead, "I/O reads"),
        (Self::IoWrite, "I/O writes"),
        (Self::Unclaimed, "unclaimed accesses"),
        (Self::Interrupted, "signals"),
        (Self::Other, "others"),
    ];
}

/// Counts exits, of all processors together.
#[derive(Debug, Default)]
pub(crate) struct ExitCounters([AtomicU64; ExitKind::ALL.len()]);

impl ExitCounters {
    pub(crate) fn count(&self, kind: ExitKind) {
        if let Some(counter) = self.0.get(kind as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn counts(&self) -> ExitCounts {
        ExitCounts(ExitKind::ALL.map(|(kind, _)| {
            self.0
                .get(kind as usize)
                .map_or(0, |counter| counter.load(Relaxed))
        }))
    }
}

/// Exits by kind. Prints as a line: `3600 exits: 1200 serial reads, …`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ExitCounts([u64; ExitKind::ALL.len()]);

impl ExitCounts {
    /// Exits of one kind.
    pub fn of(&self, kind: ExitKind) -> u64 {
        self.0.get(kind as usize).copied().unwrap_or(0)
    }

    /// Exits of all kinds.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl fmt::Display for ExitCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} exits", self.total())?;
        let mut separator = ": ";
        for (kind, name) in ExitKind::ALL {
            if self.of(kind) != 0 {
                write!(f, "{separator}{} {name}", self.of(kind))?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_apart_and_the_summary_leaves_out_what_never_came() {
        let counters = ExitCounters::default();
        assert_eq!(counters.counts().to_string(), "0 exits");
        for (kind, times) in [(ExitKind::ConfigRead, 3), (ExitKind::Other, 2)] {
            for _ in 0..times {
                counters.count(kind);
            }
        }
        let counts = counters.counts();
        assert_eq!(counts.of(ExitKind::ConfigRead), 3);
        assert_eq!(counts.of(ExitKind::ConfigWrite), 0);
        assert_eq!(
            counts.to_string(),
            "5 exits: 3 configuration reads, 2 others"
        );
    }

    #[test]
    fn names_stand_in_the_order_of_the_kinds() {
        for (index, (kind, name)) in ExitKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "{name}");
        }
    }
}

//! What the bridges above a device let through to it, and from it (PCIe 6.2 sections 7.5.1.1.3 and 7.5.1.3).

use inspect::Inspect;
use std::fmt;
use std::ops::RangeInclusive;

/// A set of addresses: ranges in ascending order that neither overlap nor touch.
///
/// ```
/// use pci_bus::AddressRanges;
///
/// let windows: AddressRanges = [0x8000_0000..=0x800f_ffff, 0x8010_0000..=0x801f_ffff].into_iter().collect();
/// assert!(windows.contains(0x800f_f000, 0x2000), "windows that touch are one");
/// assert!(!windows.contains(0x801f_f000, 0x2000));
/// assert_eq!(windows.to_string(), "0x80000000-0x801fffff");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRanges(Vec<RangeInclusive<u64>>);

impl AddressRanges {
    /// No address.
    pub const NONE: Self = Self(Vec::new());

    /// Every address.
    pub fn all() -> Self {
        Self(vec![0..=u64::MAX])
    }

    /// The addresses that both have. It has at most as many ranges as the two together, so a chain of bridges makes no more of
    /// them than it has windows.
    pub fn intersection(&self, other: &Self) -> Self {
        let pairs = self
            .0
            .iter()
            .flat_map(|a| other.0.iter().map(move |b| (a, b)));
        pairs
            .map(|(a, b)| *a.start().max(b.start())..=*a.end().min(b.end()))
            .collect()
    }

    /// Whether all of the `len` bytes from `start` on are in the set. Those beyond the last address are in none.
    pub fn contains(&self, start: u64, len: u64) -> bool {
        let Some(end) = start.checked_add(len.saturating_sub(1)) else {
            return false;
        };
        self.0
            .iter()
            .any(|range| *range.start() <= start && end <= *range.end())
    }

    /// The ranges, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = &RangeInclusive<u64>> {
        self.0.iter()
    }
}

impl FromIterator<RangeInclusive<u64>> for AddressRanges {
    /// The addresses that any of the ranges has.
    fn from_iter<T: IntoIterator<Item = RangeInclusive<u64>>>(ranges: T) -> Self {
        let mut sorted: Vec<_> = ranges
            .into_iter()
            .filter(|range| !range.is_empty())
            .collect();
        sorted.sort_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u64>> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                Some(_) | None => merged.push(range),
            }
        }
        Self(merged)
    }
}

impl fmt::Display for AddressRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{:#x}-{:#x}", range.start(), range.end())?;
        }
        Ok(())
    }
}

/// What all bridges above a device let through together.
///
/// A bridge hands it down to what is attached below it whenever its registers or its link change it
/// ([`ManagedDevice::upstream_changed`](crate::ManagedDevice::upstream_changed)), so that no access has to ask any bridge on its way: a
/// BAR that no access can reach is not mapped.
#[derive(Clone, Debug, PartialEq, Eq, Inspect)]
pub struct Upstream {
    /// Memory addresses that come down: those that lie in a memory window or prefetchable window of every bridge.
    #[inspect(display)]
    pub memory: AddressRanges,
    /// I/O addresses that come down.
    #[inspect(display)]
    pub io: AddressRanges,
    /// Memory and I/O requests go up, messages of MSI and MSI-X among them.
    pub bus_master: bool,
}

impl Upstream {
    /// No bridge above, or none that holds anything back: what a function on a root bus has.
    pub fn open() -> Self {
        Self {
            memory: AddressRanges::all(),
            io: AddressRanges::all(),
            bus_master: true,
        }
    }

    /// A bridge above lets nothing through: after a reset, with its link down, or with its secondary bus held in reset.
    pub const fn closed() -> Self {
        Self {
            memory: AddressRanges::NONE,
            io: AddressRanges::NONE,
            bus_master: false,
        }
    }

    /// What comes through two bridges, one below the other.
    pub fn and(&self, below: &Self) -> Self {
        Self {
            memory: self.memory.intersection(&below.memory),
            io: self.io.intersection(&below.io),
            bus_master: self.bus_master && below.bus_master,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges() -> impl Strategy<Value = Vec<RangeInclusive<u64>>> {
        let bound = prop_oneof![4 => 0u64..32, 1 => u64::MAX - 4..=u64::MAX];
        proptest::collection::vec((bound.clone(), bound).prop_map(|(a, b)| a..=b), 0..5)
    }

    fn has(ranges: &[RangeInclusive<u64>], address: u64) -> bool {
        ranges.iter().any(|range| range.contains(&address))
    }

    proptest! {
        #[test]
        fn sets_are_what_their_addresses_say(a in ranges(), b in ranges(), start in 0u64..40, len in 1u64..8) {
            let (set_a, set_b): (AddressRanges, AddressRanges) =
                (a.iter().cloned().collect(), b.iter().cloned().collect());
            let both = set_a.intersection(&set_b);
            prop_assert_eq!(
                both.contains(start, len),
                (start..start + len).all(|address| has(&a, address) && has(&b, address))
            );
            prop_assert!(both.iter().count() <= set_a.iter().count() + set_b.iter().count());
            let iter = both.iter().collect::<Vec<_>>();
            for pair in iter.windows(2) {
                prop_assert!(pair[0].end() + 1 < *pair[1].start());
            }
        }
    }

    #[test]
    fn the_last_address_is_an_address() {
        let all = AddressRanges::all();
        assert!(all.contains(u64::MAX, 1));
        assert!(!all.contains(u64::MAX, 2));
        assert!(!AddressRanges::NONE.contains(0, 1));
        assert_eq!(AddressRanges::NONE.to_string(), "none");
    }
}

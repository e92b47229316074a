//! Which port an address is for: by a table, made anew when an address is looked up after a port's windows or its BAR changed.

use pci_bus::AddressRanges;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// Set by the ports of a bus when what one of them claims may have changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClaimsChanged(Arc<AtomicBool>);

impl ClaimsChanged {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

/// What one port claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) memory: AddressRanges,
    pub(crate) io: AddressRanges,
}

/// The claims of all ports of a bus.
#[derive(Debug, Default)]
pub(crate) struct ClaimTable {
    changed: ClaimsChanged,
    memory: Map,
    io: Map,
}

impl ClaimTable {
    /// The flag that makes the table be made anew.
    pub(crate) fn changed(&self) -> &ClaimsChanged {
        &self.changed
    }

    /// Makes the table anew if that is due. `claims` gives each claimant with what it claims; of several that claim an address, the one
    /// with the lowest number has it.
    pub(crate) fn refresh<I>(&mut self, claims: impl FnOnce() -> I)
    where
        I: Iterator<Item = (u16, Claims)>,
    {
        if self.changed.take() {
            let claims: Vec<_> = claims().collect();
            self.memory = Map::new(claims.iter().map(|(who, claims)| (*who, &claims.memory)));
            self.io = Map::new(claims.iter().map(|(who, claims)| (*who, &claims.io)));
        }
    }

    pub(crate) fn memory(&self, address: u64) -> Option<u16> {
        self.memory.claimant(address)
    }

    pub(crate) fn io(&self, port: u16) -> Option<u16> {
        self.io.claimant(port.into())
    }
}

/// Who has the addresses from each of these on, up to the next; in ascending order.
#[derive(Debug, Default)]
struct Map(Vec<(u64, Option<u16>)>);

impl Map {
    fn new<'a>(claims: impl Iterator<Item = (u16, &'a AddressRanges)>) -> Self {
        // Where a claim begins, and the first address after it.
        let mut edges: Vec<(u64, u16, bool)> = claims
            .flat_map(|(who, ranges)| ranges.iter().flat_map(move |range| edges_of(range, who)))
            .collect();
        edges.sort_unstable();
        // The ranges of one claimant neither overlap nor touch.
        let mut open = BTreeSet::new();
        let mut steps: Vec<(u64, Option<u16>)> = Vec::new();
        for (address, who, begins) in edges {
            if begins {
                open.insert(who);
            } else {
                open.remove(&who);
            }
            let claimant = open.first().copied();
            match steps.last_mut() {
                Some(last) if last.0 == address => last.1 = claimant,
                Some(last) if last.1 == claimant => {}
                Some(_) | None => steps.push((address, claimant)),
            }
        }
        Self(steps)
    }

    fn claimant(&self, address: u64) -> Option<u16> {
        let after = self.0.partition_point(|(from, _)| *from <= address);
        self.0.get(after.checked_sub(1)?)?.1
    }
}

fn edges_of(range: &RangeInclusive<u64>, who: u16) -> impl Iterator<Item = (u64, u16, bool)> {
    let begin = (*range.start(), who, true);
    let end = range.end().checked_add(1).map(|after| (after, who, false));
    std::iter::once(begin).chain(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges() -> impl Strategy<Value = AddressRanges> {
        let bound = prop_oneof![8 => 0u64..40, 1 => u64::MAX - 4..=u64::MAX];
        proptest::collection::vec((bound.clone(), bound).prop_map(|(a, b)| a..=b), 0..4)
            .prop_map(|ranges| ranges.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_lowest_claimant_has_an_address(claims in proptest::collection::vec(ranges(), 0..6)) {
            let map = Map::new((0u16..).zip(&claims));
            for address in (0..42).chain(u64::MAX - 6..=u64::MAX) {
                let lowest = (0u16..).zip(&claims).find(|(_, ranges)| ranges.contains(address, 1));
                prop_assert_eq!(map.claimant(address), lowest.map(|(who, _)| who), "{:#x}", address);
            }
        }
    }

    #[test]
    fn the_table_is_made_when_a_claim_changed_and_only_then() {
        let mut table = ClaimTable::default();
        let claim = |end| {
            let memory = std::iter::once(0..=end).collect();
            let io = AddressRanges::all();
            move || std::iter::once((7, Claims { memory, io }))
        };
        table.refresh(claim(9));
        assert_eq!(table.memory(9), None, "nothing was said to have changed");
        table.changed().set();
        table.refresh(claim(9));
        assert_eq!((table.memory(9), table.memory(10)), (Some(7), None));
        assert_eq!(table.io(0xffff), Some(7));
        table.refresh(claim(20));
        assert_eq!(table.memory(10), None);
    }
}

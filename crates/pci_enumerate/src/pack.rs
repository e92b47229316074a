//! Packs one kind of address space: windows around BARs, bottom up, within one aperture.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use pci_spec::Bdf;

use crate::demand::{Demand, Leaf, Opening};
use crate::shortfall::Resource;

/// How much work may go into putting back what was left out, counted in placed items.
const RETRY_WORK_MAX: usize = 1 << 18;
/// Where a window is laid out before it has a place. It never fills: there are fewer than 2^20 items, none with more
/// than 2^64 bytes or a larger alignment, on fewer than 2^8 levels.
const BOUNDLESS: Range<u128> = 0..u128::MAX;

/// What can be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// A BAR or expansion ROM of a function.
    Leaf(Bdf, Resource),
    /// The window of a bridge.
    Window(Bdf),
}

/// Where everything went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Packing {
    /// The addresses of each item that has some. A window that is not here is closed.
    pub(crate) places: BTreeMap<Item, Range<u64>>,
    /// How many bytes of the aperture are left.
    pub(crate) left: u64,
    /// The size of the largest piece of those.
    pub(crate) largest: u64,
}

/// Fits as much of `demand` as possible into `aperture`; windows come in multiples of `granularity`, a power of two.
///
/// If not everything fits, the reserves are halved together until it does. If they are down to one granule each and
/// it still does not, items are left out, as few as possible, in this order: single reserves from the last port on,
/// expansion ROMs from the largest on, BARs from the largest on, and last the BARs of bridges, as a bridge without
/// its BAR takes what is behind it along.
pub(crate) fn pack(demand: &Demand, aperture: &Range<u64>, granularity: u64) -> Packing {
    let mut plan = Plan {
        aperture: aperture.start.into()..aperture.end.into(),
        granularity: granularity.into(),
        reserve_shift: 0,
        left_out: BTreeSet::new(),
    };
    let mut candidates = Vec::new();
    list(demand, &mut candidates);
    // What does not even fit alone is left out for good: no other item makes room for it.
    let (candidates, hopeless): (Vec<_>, Vec<_>) = candidates
        .into_iter()
        .partition(|candidate| plan.fits_alone(candidate));
    plan.left_out
        .extend(hopeless.iter().map(|candidate| candidate.item));
    if !plan.shrink_reserves(demand) {
        plan.leave_out(demand, candidates);
    }
    plan.packing(demand)
}

/// Something that can be left out.
struct Candidate {
    class: Class,
    /// In bytes; 0 for a reserve, whose size is the plan's to choose.
    size: u64,
    item: Item,
}

/// The order in which things are left out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Reserve,
    Rom,
    Bar,
    BridgeBar,
}

fn list(demand: &Demand, candidates: &mut Vec<Candidate>) {
    for leaf in &demand.leaves {
        candidates.push(Candidate {
            class: match leaf.resource {
                Resource::Rom => Class::Rom,
                Resource::Bar(_) if leaf.bridge => Class::BridgeBar,
                Resource::Bar(_) => Class::Bar,
            },
            size: leaf.size,
            item: Item::Leaf(leaf.function, leaf.resource),
        });
    }
    for opening in &demand.openings {
        if opening.reserve > 0 {
            candidates.push(Candidate {
                class: Class::Reserve,
                size: 0,
                item: Item::Window(opening.bridge),
            });
        }
        list(&opening.inside, candidates);
    }
}

/// What is placed and how large the reserves are.
struct Plan {
    aperture: Range<u128>,
    granularity: u128,
    /// Reserves are divided by two to the power of this.
    reserve_shift: u32,
    /// BARs, ROMs, and, by its window, each reserve that is not made.
    left_out: BTreeSet<Item>,
}

/// Something with a size and an alignment, not yet placed.
struct Shape {
    item: Item,
    size: u128,
    align: u128,
    inside: Vec<Placed>,
}

/// A shape with its place, relative to the window around it.
struct Placed {
    item: Item,
    start: u128,
    size: u128,
    inside: Vec<Placed>,
}

struct Layout {
    placed: Vec<Placed>,
    /// What is free, in ascending order.
    gaps: Vec<Range<u128>>,
}

impl Plan {
    fn fits_alone(&self, candidate: &Candidate) -> bool {
        let size = u128::from(candidate.size);
        let start = align_up(self.aperture.start, size.max(1));
        start + size <= self.aperture.end
    }

    /// Chooses the largest reserves with which everything fits; false if there are none.
    fn shrink_reserves(&mut self, demand: &Demand) -> bool {
        // 64 halvings bring the largest reserve down to one granule.
        for reserve_shift in 0..=u64::BITS {
            self.reserve_shift = reserve_shift;
            if self.lay_out(demand).is_some() {
                return true;
            }
            if self.reserves_are_least(demand) {
                return false;
            }
        }
        false
    }

    fn reserves_are_least(&self, demand: &Demand) -> bool {
        demand.openings.iter().all(|opening| {
            self.reserve(opening) <= self.granularity && self.reserves_are_least(&opening.inside)
        })
    }

    /// Leaves out the fewest candidates with which the rest fits.
    fn leave_out(&mut self, demand: &Demand, mut candidates: Vec<Candidate>) {
        candidates.sort_by_key(|candidate| {
            (
                candidate.class,
                Reverse(candidate.size),
                Reverse(candidate.item),
            )
        });
        let hopeless = std::mem::take(&mut self.left_out);
        let first = |count| {
            let first: &[Candidate] = candidates.get(..count).unwrap_or(&candidates);
            let items = first.iter().map(|candidate| candidate.item);
            hopeless.iter().copied().chain(items).collect()
        };
        // With none left out it does not fit, with all left out there is nothing that has to.
        let (mut too_few, mut enough) = (0, candidates.len());
        while enough - too_few > 1 {
            let middle = too_few + (enough - too_few) / 2;
            self.left_out = first(middle);
            if self.lay_out(demand).is_some() {
                enough = middle;
            } else {
                too_few = middle;
            }
        }
        self.left_out = first(enough);
        // Some of them may fit beside what did it: a ROM, when it was a BAR that had to go.
        let attempts = (RETRY_WORK_MAX / candidates.len().max(1)).max(1);
        for candidate in candidates.iter().take(enough).rev().take(attempts) {
            self.left_out.remove(&candidate.item);
            if self.lay_out(demand).is_none() {
                self.left_out.insert(candidate.item);
            }
        }
    }

    fn packing(&self, demand: &Demand) -> Packing {
        let mut packing = Packing::default();
        let Some(layout) = self.lay_out(demand) else {
            return packing;
        };
        record(&layout.placed, 0, &mut packing.places);
        let gaps = layout.gaps.iter().map(|gap| gap.end - gap.start);
        packing.left = narrow(gaps.clone().sum());
        packing.largest = narrow(gaps.max().unwrap_or(0));
        packing
    }

    fn lay_out(&self, demand: &Demand) -> Option<Layout> {
        place(self.shapes(demand), self.aperture.clone())
    }

    fn shapes(&self, demand: &Demand) -> Vec<Shape> {
        let leaves = demand.leaves.iter().filter_map(|leaf| self.leaf(leaf));
        let windows = demand
            .openings
            .iter()
            .filter_map(|opening| self.window(opening));
        leaves.chain(windows).collect()
    }

    fn leaf(&self, leaf: &Leaf) -> Option<Shape> {
        let item = Item::Leaf(leaf.function, leaf.resource);
        let size = leaf.size.into();
        (!self.left_out.contains(&item)).then(|| Shape {
            item,
            size,
            align: size,
            inside: Vec::new(),
        })
    }

    /// The window that holds what is inside and the reserve, aligned for the largest of that; `None` if it is empty.
    fn window(&self, opening: &Opening) -> Option<Shape> {
        let shapes = self.shapes(&opening.inside);
        let align_inside = shapes.iter().map(|shape| shape.align).max();
        let inside = place(shapes, BOUNDLESS)?.placed;
        let end = inside.iter().map(|placed| placed.start + placed.size).max();
        let reserve = self.reserve(opening);
        let size = align_up(end.unwrap_or(0), self.granularity).max(reserve);
        if size == 0 {
            return None;
        }
        // A reserve is of use to a device with one BAR that fills it, so it is aligned like one.
        let align_reserve = if reserve == 0 {
            1
        } else {
            1 << reserve.ilog2()
        };
        Some(Shape {
            item: Item::Window(opening.bridge),
            size,
            align: align_inside
                .unwrap_or(1)
                .max(self.granularity)
                .max(align_reserve),
            inside,
        })
    }

    /// The reserve as the plan makes it: 0, or some granules.
    fn reserve(&self, opening: &Opening) -> u128 {
        if opening.reserve == 0 || self.left_out.contains(&Item::Window(opening.bridge)) {
            return 0;
        }
        let reserve = opening.reserve.checked_shr(self.reserve_shift).unwrap_or(0);
        align_up(u128::from(reserve).max(1), self.granularity)
    }
}

/// Places all shapes in `within`, the most aligned first, each in the lowest gap that holds it; `None` if one fits in
/// none.
fn place(mut shapes: Vec<Shape>, within: Range<u128>) -> Option<Layout> {
    shapes.sort_by_key(|shape| (Reverse(shape.align), Reverse(shape.size), shape.item));
    let mut layout = Layout {
        placed: Vec::new(),
        gaps: vec![within],
    };
    for shape in shapes {
        let (index, gap, start) = layout.gaps.iter().enumerate().find_map(|(index, gap)| {
            let start = align_up(gap.start, shape.align);
            (start + shape.size <= gap.end).then(|| (index, gap.clone(), start))
        })?;
        let rest = [gap.start..start, start + shape.size..gap.end];
        let rest = rest.into_iter().filter(|gap| !gap.is_empty());
        layout.gaps.splice(index..=index, rest);
        layout.placed.push(Placed {
            item: shape.item,
            start,
            size: shape.size,
            inside: shape.inside,
        });
    }
    Some(layout)
}

fn record(placed: &[Placed], base: u128, places: &mut BTreeMap<Item, Range<u64>>) {
    for placed in placed {
        let start = base + placed.start;
        places.insert(placed.item, narrow(start)..narrow(start + placed.size));
        record(&placed.inside, start, places);
    }
}

/// The next multiple of `align`, a power of two.
fn align_up(value: u128, align: u128) -> u128 {
    (value + (align - 1)) & !(align - 1)
}

/// Everything that is placed lies in an aperture, so within 64 bits.
fn narrow(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn bdf(bus: u8, device: u8) -> Bdf {
        Bdf::new(bus, device, 0).unwrap()
    }

    fn leaf(function: Bdf, size: u64) -> Leaf {
        Leaf {
            function,
            resource: Resource::Bar(0),
            size,
            kind: None,
            bridge: false,
        }
    }

    fn leaves(bus: u8, sizes: &[u64]) -> Demand {
        let devices = 0..32;
        Demand {
            leaves: devices
                .zip(sizes)
                .map(|(device, size)| leaf(bdf(bus, device), *size))
                .collect(),
            openings: Vec::new(),
        }
    }

    fn port(device: u8, reserve: u64, inside: Demand) -> Opening {
        Opening {
            bridge: bdf(0, device),
            inside,
            reserve,
        }
    }

    fn ports(openings: Vec<Opening>) -> Demand {
        Demand {
            leaves: Vec::new(),
            openings,
        }
    }

    fn place_of(packing: &Packing, bus: u8, device: u8) -> Option<Range<u64>> {
        let item = Item::Leaf(bdf(bus, device), Resource::Bar(0));
        packing.places.get(&item).cloned()
    }

    fn window_of(packing: &Packing, device: u8) -> Option<Range<u64>> {
        packing.places.get(&Item::Window(bdf(0, device))).cloned()
    }

    #[test]
    fn powers_of_two_pack_without_waste_in_any_order() {
        let demand = leaves(0, &[4096, MIB, 16, 8192, MIB / 2]);
        let total = 4096 + MIB + 16 + 8192 + MIB / 2;
        let packing = pack(&demand, &(0x1000_0000..0x1000_0000 + 2 * MIB), MIB);
        assert_eq!(place_of(&packing, 0, 1), Some(0x1000_0000..0x1010_0000));
        assert_eq!(place_of(&packing, 0, 2), Some(0x1018_3000..0x1018_3010));
        assert_eq!(packing.left, 2 * MIB - total);
        assert_eq!(packing.largest, packing.left);
    }

    #[test]
    fn the_gap_that_an_odd_window_leaves_is_filled() {
        // 5 MiB, aligned to 4, twice: the second starts at 8, and what is small goes into the 3 MiB between.
        let odd = |device: u8| port(device, 0, leaves(device, &[4 * MIB, 4096]));
        let mut demand = ports(vec![odd(1), odd(2)]);
        demand.leaves.push(leaf(bdf(0, 3), 2 * MIB));
        let packing = pack(&demand, &(0x1000_0000..0x1000_0000 + 13 * MIB), MIB);
        assert_eq!(window_of(&packing, 1), Some(0x1000_0000..0x1050_0000));
        assert_eq!(window_of(&packing, 2), Some(0x1080_0000..0x10d0_0000));
        assert_eq!(place_of(&packing, 0, 3), Some(0x1060_0000..0x1080_0000));
    }

    #[test]
    fn a_bar_that_never_fits_pushes_nothing_else_out() {
        let demand = leaves(0, &[1 << 40, MIB, 1 << 63]);
        let packing = pack(&demand, &(0x1000_0000..0x1000_0000 + MIB), MIB);
        assert_eq!(place_of(&packing, 0, 0), None);
        assert_eq!(place_of(&packing, 0, 1), Some(0x1000_0000..0x1010_0000));
        assert_eq!(place_of(&packing, 0, 2), None);
        assert_eq!(packing.left, 0);
    }

    #[test]
    fn the_largest_bar_gives_way_and_roms_before_bars() {
        let mut demand = leaves(0, &[4 * MIB, 2 * MIB, 2 * MIB, MIB]);
        demand.leaves.push(Leaf {
            resource: Resource::Rom,
            ..leaf(bdf(0, 3), MIB)
        });
        let packing = pack(&demand, &(0x1000_0000..0x1000_0000 + 6 * MIB), MIB);
        assert_eq!(place_of(&packing, 0, 0), None);
        assert!(place_of(&packing, 0, 1).is_some());
        assert!(place_of(&packing, 0, 2).is_some());
        assert!(place_of(&packing, 0, 3).is_some());
        // The ROM was left out first, but fits beside what remains.
        let rom = Item::Leaf(bdf(0, 3), Resource::Rom);
        assert!(packing.places.contains_key(&rom));
        assert_eq!(packing.left, 0);
    }

    #[test]
    fn reserves_shrink_alike_before_a_bar_is_left_out() {
        let slot = |device: u8| port(device, 8 * MIB, Demand::default());
        let mut demand = ports((1..=4).map(slot).collect());
        demand.leaves.push(leaf(bdf(0, 8), 4 * MIB));
        let packing = pack(&demand, &(0x1000_0000..0x1000_0000 + 20 * MIB), MIB);
        for device in 1..=4 {
            let window = window_of(&packing, device).unwrap();
            assert_eq!(window.end - window.start, 4 * MIB);
        }
        assert!(place_of(&packing, 0, 8).is_some());
    }

    #[test]
    fn the_last_ports_lose_their_reserve_when_a_granule_each_is_too_much() {
        let slot = |device: u8| port(device, 8 * MIB, Demand::default());
        let demand = ports((1..=4).map(slot).collect());
        let packing = pack(&demand, &(0x1000_0000..0x1000_0000 + 3 * MIB), MIB);
        assert_eq!(window_of(&packing, 1), Some(0x1000_0000..0x1010_0000));
        assert_eq!(window_of(&packing, 2), Some(0x1010_0000..0x1020_0000));
        assert_eq!(window_of(&packing, 3), Some(0x1020_0000..0x1030_0000));
        assert_eq!(window_of(&packing, 4), None);
    }

    #[test]
    fn a_reserve_is_aligned_like_the_bar_that_would_fill_it() {
        let demand = ports(vec![port(1, 32 * MIB, leaves(1, &[4096]))]);
        let packing = pack(&demand, &(0x1010_0000..0x2000_0000), MIB);
        assert_eq!(window_of(&packing, 1), Some(0x1200_0000..0x1400_0000));
        assert_eq!(place_of(&packing, 1, 0), Some(0x1200_0000..0x1200_1000));
    }

    #[test]
    fn extreme_reserves_and_apertures_are_survived() {
        let slot = |device: u8| port(device, u64::MAX, Demand::default());
        let demand = ports((1..=3).map(slot).collect());
        let packing = pack(&demand, &(1 << 32..u64::MAX), MIB);
        assert!((1..=3).all(|device| window_of(&packing, device).is_some()));
        let packing = pack(&demand, &(0..0), MIB);
        assert_eq!(packing, Packing::default());
    }
}

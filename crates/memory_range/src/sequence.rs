//! Sorted sequences of ranges.
//!
//! Every sequence given to these functions is sorted, and its ranges do not overlap (but for [`flatten_ranges`]).
//! A sequence that is not gives meaningless ranges, but nothing worse.

use crate::MemoryRange;
use std::iter::Peekable;

/// Which of two sequences a range belongs to, with what they say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeWalkResult<L, R> {
    /// Neither sequence: a gap between two ranges.
    Neither,
    /// The left sequence alone.
    Left(L),
    /// The right sequence alone.
    Right(R),
    /// Both sequences.
    Both(L, R),
}

/// Walks two sequences at once: splits the addresses from the first range's start to the last one's end at each bound,
/// and tells to which of the sequences each part belongs.
///
/// ```
/// use memory_range::{MemoryRange, RangeWalkResult, walk_ranges};
///
/// let ram = [(MemoryRange::new(0..0x3000), "ram")];
/// let reserved = [(MemoryRange::new(0x2000..0x3000), 7)];
/// let parts: Vec<_> = walk_ranges(ram, reserved).collect();
/// assert_eq!(parts, [
///     (MemoryRange::new(0..0x2000), RangeWalkResult::Left("ram")),
///     (MemoryRange::new(0x2000..0x3000), RangeWalkResult::Both("ram", 7)),
/// ]);
/// ```
pub fn walk_ranges<L: Clone, R: Clone>(
    left: impl IntoIterator<Item = (MemoryRange, L)>,
    right: impl IntoIterator<Item = (MemoryRange, R)>,
) -> impl Iterator<Item = (MemoryRange, RangeWalkResult<L, R>)> {
    let mut left = Side((left.into_iter().filter(|(range, _)| !range.is_empty())).peekable());
    let mut right = Side((right.into_iter().filter(|(range, _)| !range.is_empty())).peekable());
    let mut position = None;
    std::iter::from_fn(move || {
        // The first part starts where the first range does.
        let start = match position {
            Some(position) => position,
            None => [left.start(), right.start()].into_iter().flatten().min()?,
        };
        left.skip_to(start);
        right.skip_to(start);
        let end = [left.next_bound(start), right.next_bound(start)]
            .into_iter()
            .flatten()
            .min()?;
        position = Some(end);
        let result = match (left.value_at(start), right.value_at(start)) {
            (None, None) => RangeWalkResult::Neither,
            (Some(left), None) => RangeWalkResult::Left(left),
            (None, Some(right)) => RangeWalkResult::Right(right),
            (Some(left), Some(right)) => RangeWalkResult::Both(left, right),
        };
        Some((MemoryRange::new(start..end), result))
    })
}

/// The addresses in both sequences: each overlap of a range of `left` with one of `right`.
pub fn overlapping_ranges(
    left: impl IntoIterator<Item = MemoryRange>,
    right: impl IntoIterator<Item = MemoryRange>,
) -> impl Iterator<Item = MemoryRange> {
    walk_ranges(unmarked(left), unmarked(right))
        .filter_map(|(range, result)| matches!(result, RangeWalkResult::Both(..)).then_some(range))
}

/// The addresses in `left` but not in `right`: what is left of each range of `left`.
pub fn subtract_ranges(
    left: impl IntoIterator<Item = MemoryRange>,
    right: impl IntoIterator<Item = MemoryRange>,
) -> impl Iterator<Item = MemoryRange> {
    walk_ranges(unmarked(left), unmarked(right))
        .filter_map(|(range, result)| matches!(result, RangeWalkResult::Left(())).then_some(range))
}

/// The addresses in any of `ranges`, which are sorted by their starts and may overlap, in as few ranges as possible.
pub fn flatten_ranges(
    ranges: impl IntoIterator<Item = MemoryRange>,
) -> impl Iterator<Item = MemoryRange> {
    let mut ranges = ranges
        .into_iter()
        .filter(|range| !range.is_empty())
        .peekable();
    std::iter::from_fn(move || {
        let mut whole = ranges.next()?;
        while let Some(next) = ranges.next_if(|next| next.start() <= whole.end()) {
            whole = MemoryRange::new(whole.start()..whole.end().max(next.end()));
        }
        Some(whole)
    })
}

/// Joins ranges that touch and have equal values.
pub fn merge_adjacent_ranges<T: PartialEq>(
    ranges: impl IntoIterator<Item = (MemoryRange, T)>,
) -> impl Iterator<Item = (MemoryRange, T)> {
    let mut ranges = ranges.into_iter().peekable();
    std::iter::from_fn(move || {
        let (mut whole, value) = ranges.next()?;
        while let Some((next, _)) =
            ranges.next_if(|(next, other)| next.start() == whole.end() && *other == value)
        {
            whole = MemoryRange::new(whole.start()..next.end());
        }
        Some((whole, value))
    })
}

/// Ranges about which nothing is said.
fn unmarked(
    ranges: impl IntoIterator<Item = MemoryRange>,
) -> impl Iterator<Item = (MemoryRange, ())> {
    ranges.into_iter().map(|range| (range, ()))
}

/// One sequence of a walk.
struct Side<I: Iterator>(Peekable<I>);

impl<T: Clone, I: Iterator<Item = (MemoryRange, T)>> Side<I> {
    /// Where the next range starts.
    fn start(&mut self) -> Option<u64> {
        self.0.peek().map(|(range, _)| range.start())
    }

    /// Drops the ranges that end at `address` or before.
    fn skip_to(&mut self, address: u64) {
        while self
            .0
            .next_if(|(range, _)| range.end() <= address)
            .is_some()
        {}
    }

    /// The next address above `address` where a range starts or ends.
    fn next_bound(&mut self, address: u64) -> Option<u64> {
        let (range, _) = self.0.peek()?;
        let bound = if range.start() > address {
            range.start()
        } else {
            range.end()
        };
        (bound > address).then_some(bound)
    }

    /// What the sequence says about `address`.
    fn value_at(&mut self, address: u64) -> Option<T> {
        let (range, value) = self.0.peek()?;
        range.contains_addr(address).then(|| value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(start: u64, end: u64) -> MemoryRange {
        MemoryRange::new(start << 12..end << 12)
    }

    #[test]
    fn a_walk_splits_at_each_bound() {
        let left = [(range(1, 4), 'a'), (range(4, 6), 'b'), (range(9, 10), 'c')];
        let right = [
            (range(3, 5), 1),
            (range(6, 7), 2),
            (range(7, 7), 3),
            (range(9, 12), 4),
        ];
        let parts: Vec<_> = walk_ranges(left, right).collect();
        let expected = [
            (range(1, 3), RangeWalkResult::Left('a')),
            (range(3, 4), RangeWalkResult::Both('a', 1)),
            (range(4, 5), RangeWalkResult::Both('b', 1)),
            (range(5, 6), RangeWalkResult::Left('b')),
            (range(6, 7), RangeWalkResult::Right(2)),
            (range(7, 9), RangeWalkResult::Neither),
            (range(9, 10), RangeWalkResult::Both('c', 4)),
            (range(10, 12), RangeWalkResult::Right(4)),
        ];
        assert_eq!(parts, expected);
        assert_eq!(walk_ranges::<(), ()>([], []).next(), None);
    }

    #[test]
    fn merging_needs_equal_values() {
        let ranges = [
            (range(0, 1), 'a'),
            (range(1, 2), 'a'),
            (range(2, 3), 'b'),
            (range(4, 5), 'b'),
        ];
        let merged: Vec<_> = merge_adjacent_ranges(ranges).collect();
        assert_eq!(
            merged,
            [(range(0, 2), 'a'), (range(2, 3), 'b'), (range(4, 5), 'b')]
        );
    }

    #[test]
    fn flattening_joins_what_overlaps_or_touches() {
        let ranges = [
            range(0, 4),
            range(1, 2),
            range(3, 5),
            range(5, 6),
            range(6, 6),
            range(7, 8),
        ];
        assert_eq!(
            flatten_ranges(ranges).collect::<Vec<_>>(),
            [range(0, 6), range(7, 8)]
        );
    }

    /// Sorted ranges within 32 pages, by the lengths of the gaps and of the ranges.
    fn sorted() -> impl Strategy<Value = Vec<MemoryRange>> {
        prop::collection::vec((0..4u64, 0..4u64), 0..6).prop_map(|lengths| {
            let mut end = 0;
            let mut place = |(gap, len)| {
                let start = end + gap;
                end = start + len;
                range(start, end)
            };
            lengths.into_iter().map(&mut place).collect()
        })
    }

    /// The pages of ranges, as a bit mask: the model.
    fn pages(ranges: impl IntoIterator<Item = MemoryRange>) -> u64 {
        let pages = ranges
            .into_iter()
            .flat_map(|range| range.start_4k_gpn()..range.end_4k_gpn());
        pages.fold(0, |mask, page| {
            assert_eq!(mask & 1 << page, 0, "page {page} occurs twice");
            mask | 1 << page
        })
    }

    proptest! {
        #[test]
        fn set_operations_match_bit_operations(left in sorted(), right in sorted()) {
            let (left_pages, right_pages) = (pages(left.clone()), pages(right.clone()));
            prop_assert_eq!(pages(overlapping_ranges(left.clone(), right.clone())), left_pages & right_pages);
            prop_assert_eq!(pages(subtract_ranges(left.clone(), right.clone())), left_pages & !right_pages);
            prop_assert_eq!(pages(flatten_ranges(left)), left_pages);
        }
    }
}

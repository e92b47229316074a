//! One range.

use inspect::Inspect;
use inspect::Request;
use std::fmt;
use std::ops::Range;
use thiserror::Error;

/// A half-open range of addresses in bytes.
///
/// Both bounds are multiples of 4 KiB, and the start is not above the end.
///
/// ```
/// use memory_range::MemoryRange;
///
/// let range = MemoryRange::new(0x1000..0x4000);
/// assert_eq!(range.len(), 0x3000);
/// assert_eq!(range.to_string(), "0x1000-0x4000");
/// assert!(MemoryRange::try_new(0x1000..0x1234).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryRange {
    start: u64,
    end: u64,
}

/// The bounds are no [`MemoryRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidMemoryRange {
    /// A bound is not a multiple of 4 KiB.
    #[error("{start:#x}-{end:#x} is not aligned to 4 KiB pages")]
    Unaligned {
        /// The start address.
        start: u64,
        /// The end address.
        end: u64,
    },
    /// The start is above the end.
    #[error("{start:#x}-{end:#x} ends before it starts")]
    Reversed {
        /// The start address.
        start: u64,
        /// The end address.
        end: u64,
    },
}

const PAGE_SIZE_BYTES: u64 = 0x1000;
const LARGE_PAGE_SIZE_BYTES: u64 = 0x20_0000;

impl MemoryRange {
    /// The empty range at address 0.
    pub const EMPTY: Self = Self { start: 0, end: 0 };

    /// The highest end that a range can have: the last page of the 64-bit address space is out of reach.
    pub const MAX_ADDRESS: u64 = !(PAGE_SIZE_BYTES - 1);

    /// The range with these bounds.
    ///
    /// # Panics
    ///
    /// A bound is not a multiple of 4 KiB, or the start is above the end. For bounds that are not known to be right,
    /// there is [`try_new`](Self::try_new).
    #[track_caller]
    #[expect(
        clippy::panic,
        reason = "the documented contract, and a compile error in a constant"
    )]
    pub const fn new(range: Range<u64>) -> Self {
        match Self::try_new(range) {
            Ok(range) => range,
            Err(InvalidMemoryRange::Unaligned { .. }) => {
                panic!("memory range is not aligned to 4 KiB pages")
            }
            Err(InvalidMemoryRange::Reversed { .. }) => {
                panic!("memory range ends before it starts")
            }
        }
    }

    /// The range with these bounds.
    ///
    /// # Errors
    ///
    /// - a bound is not a multiple of 4 KiB;
    /// - the start is above the end.
    pub const fn try_new(range: Range<u64>) -> Result<Self, InvalidMemoryRange> {
        let Range { start, end } = range;
        if !start.is_multiple_of(PAGE_SIZE_BYTES) || !end.is_multiple_of(PAGE_SIZE_BYTES) {
            Err(InvalidMemoryRange::Unaligned { start, end })
        } else if start > end {
            Err(InvalidMemoryRange::Reversed { start, end })
        } else {
            Ok(Self { start, end })
        }
    }

    /// The smallest range that contains these addresses.
    ///
    /// # Panics
    ///
    /// The start is above the end, or the end is above [`MAX_ADDRESS`](Self::MAX_ADDRESS).
    #[track_caller]
    pub const fn bounding(range: Range<u64>) -> Self {
        Self::bounding_aligned(range, PAGE_SIZE_BYTES)
    }

    /// The smallest range of `alignment`-byte blocks that contains these addresses.
    ///
    /// # Panics
    ///
    /// `alignment` is not a power of two of at least 4 KiB, the start is above the end, or the end cannot be rounded
    /// up to `alignment`.
    #[track_caller]
    #[expect(
        clippy::panic,
        reason = "the documented contract, and a compile error in a constant"
    )]
    pub const fn bounding_aligned(range: Range<u64>, alignment: u64) -> Self {
        check_alignment(alignment);
        let start = range.start & !(alignment - 1);
        let Some(end) = range.end.checked_next_multiple_of(alignment) else {
            panic!("memory range ends too high to be rounded up");
        };
        if range.start > range.end {
            panic!("memory range ends before it starts");
        }
        Self { start, end }
    }

    /// The range of 4-KiB pages with these numbers.
    ///
    /// # Panics
    ///
    /// The start is above the end, or the end's address does not fit 64 bits.
    #[track_caller]
    #[expect(
        clippy::panic,
        reason = "the documented contract, and a compile error in a constant"
    )]
    pub const fn from_4k_gpn_range(range: Range<u64>) -> Self {
        match (
            range.start.checked_mul(PAGE_SIZE_BYTES),
            range.end.checked_mul(PAGE_SIZE_BYTES),
        ) {
            (Some(start), Some(end)) => Self::new(start..end),
            _ => panic!("page number is too high"),
        }
    }

    /// The first address.
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// The address behind the last.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Length in bytes.
    pub const fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether the range has no address.
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The number of the first 4-KiB page.
    pub const fn start_4k_gpn(&self) -> u64 {
        self.start / PAGE_SIZE_BYTES
    }

    /// The number of the 4-KiB page behind the last.
    pub const fn end_4k_gpn(&self) -> u64 {
        self.end / PAGE_SIZE_BYTES
    }

    /// Length in 4-KiB pages.
    pub const fn page_count_4k(&self) -> u64 {
        self.len() / PAGE_SIZE_BYTES
    }

    /// Length in whole 2-MiB pages, wherever the range starts.
    pub const fn page_count_2m(&self) -> u64 {
        self.len() / LARGE_PAGE_SIZE_BYTES
    }

    /// The largest power of two, in bytes, that divides both bounds when addresses are counted from `base`.
    ///
    /// The empty range at `base` is aligned to any power of two; the answer then is the largest there is, `1 << 63`.
    pub const fn alignment(&self, base: u64) -> u64 {
        match self.start.wrapping_sub(base) | self.end.wrapping_sub(base) {
            0 => 1 << 63,
            bits => 1 << bits.trailing_zeros(),
        }
    }

    /// The largest range of `alignment`-byte blocks within this one; [`EMPTY`](Self::EMPTY) if not even one block is.
    ///
    /// # Panics
    ///
    /// `alignment` is not a power of two of at least 4 KiB.
    #[track_caller]
    pub const fn aligned_subrange(&self, alignment: u64) -> Self {
        check_alignment(alignment);
        let end = self.end & !(alignment - 1);
        match self.start.checked_next_multiple_of(alignment) {
            Some(start) if start < end => Self { start, end },
            _ => Self::EMPTY,
        }
    }

    /// Whether some address is in both ranges.
    pub const fn overlaps(&self, other: &Self) -> bool {
        !self.intersection(other).is_empty()
    }

    /// Whether each address of `other` is in this range. An empty range is contained if its bounds are.
    pub const fn contains(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the address is in this range.
    pub const fn contains_addr(&self, addr: u64) -> bool {
        self.start <= addr && addr < self.end
    }

    /// How many bytes behind the start the address is, if it is in this range.
    pub const fn offset_of(&self, addr: u64) -> Option<u64> {
        if self.contains_addr(addr) {
            Some(addr - self.start)
        } else {
            None
        }
    }

    /// The addresses in both ranges; [`EMPTY`](Self::EMPTY) if there are none.
    pub const fn intersection(&self, other: &Self) -> Self {
        // `Ord::max` is not const.
        let start = if self.start > other.start {
            self.start
        } else {
            other.start
        };
        let end = if self.end < other.end {
            self.end
        } else {
            other.end
        };
        if start < end {
            Self { start, end }
        } else {
            Self::EMPTY
        }
    }

    /// The first `offset` bytes, and the rest.
    ///
    /// # Panics
    ///
    /// `offset` is not a multiple of 4 KiB, or more than the length.
    #[track_caller]
    pub const fn split_at_offset(&self, offset: u64) -> (Self, Self) {
        assert!(
            offset <= self.len(),
            "split offset is behind the end of the memory range"
        );
        let middle = self.start + offset;
        (Self::new(self.start..middle), Self::new(middle..self.end))
    }
}

#[track_caller]
const fn check_alignment(alignment: u64) {
    assert!(
        alignment.is_power_of_two() && alignment >= PAGE_SIZE_BYTES,
        "alignment of a memory range is not a power of two of at least 4 KiB"
    );
}

impl fmt::Display for MemoryRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}-{:#x}", self.start, self.end)
    }
}

impl Inspect for MemoryRange {
    fn inspect(&self, req: Request<'_>) {
        req.value(self.to_string());
    }
}

impl TryFrom<Range<u64>> for MemoryRange {
    type Error = InvalidMemoryRange;

    fn try_from(range: Range<u64>) -> Result<Self, InvalidMemoryRange> {
        Self::try_new(range)
    }
}

impl TryFrom<Range<usize>> for MemoryRange {
    type Error = InvalidMemoryRange;

    fn try_from(range: Range<usize>) -> Result<Self, InvalidMemoryRange> {
        // No target has a `usize` of more than 64 bits.
        Self::try_new(range.start as u64..range.end as u64)
    }
}

impl From<MemoryRange> for Range<u64> {
    fn from(range: MemoryRange) -> Self {
        range.start..range.end
    }
}

/// The fewest ranges that make up one range, each with a power of two as length and a start that is a multiple of its
/// length, in ascending order.
///
/// ```
/// # use memory_range::{AlignedSubranges, MemoryRange};
/// let subranges = AlignedSubranges::new(MemoryRange::new(0x3000..0x9000));
/// let subranges: Vec<_> = subranges.map(|range| range.to_string()).collect();
/// assert_eq!(subranges, ["0x3000-0x4000", "0x4000-0x8000", "0x8000-0x9000"]);
/// ```
#[derive(Clone, Debug)]
pub struct AlignedSubranges {
    rest: MemoryRange,
    len_max: u64,
}

impl AlignedSubranges {
    /// The parts of `range`.
    pub const fn new(range: MemoryRange) -> Self {
        Self {
            rest: range,
            len_max: 1 << 63,
        }
    }

    /// Makes no part longer than `len_max` bytes.
    ///
    /// # Panics
    ///
    /// `len_max` is not a power of two of at least 4 KiB.
    #[must_use]
    #[track_caller]
    pub const fn with_max_range_len(self, len_max: u64) -> Self {
        check_alignment(len_max);
        Self { len_max, ..self }
    }
}

impl Iterator for AlignedSubranges {
    type Item = MemoryRange;

    fn next(&mut self) -> Option<MemoryRange> {
        // The highest power of two that is not above the length: none if the range is empty.
        let fits = 1 << self.rest.len().checked_ilog2()?;
        let aligned = match self.rest.start {
            0 => fits,
            start => 1 << start.trailing_zeros(),
        };
        let (part, rest) = self
            .rest
            .split_at_offset(aligned.min(fits).min(self.len_max));
        self.rest = rest;
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVERSED: Range<u64> = Range {
        start: 0x2000,
        end: 0x1000,
    };

    fn range(start: u64, end: u64) -> MemoryRange {
        MemoryRange::new(start << 12..end << 12)
    }

    #[test]
    fn bounds_are_checked() {
        assert_eq!(MemoryRange::try_new(0..0), Ok(MemoryRange::EMPTY));
        let unaligned = |start, end| Err(InvalidMemoryRange::Unaligned { start, end });
        assert_eq!(
            MemoryRange::try_new(0x800..0x1000),
            unaligned(0x800, 0x1000)
        );
        assert_eq!(
            MemoryRange::try_new(0x1000..0x1fff),
            unaligned(0x1000, 0x1fff)
        );
        let reversed = InvalidMemoryRange::Reversed {
            start: 0x2000,
            end: 0x1000,
        };
        assert_eq!(MemoryRange::try_from(REVERSED), Err(reversed));
        assert_eq!(MemoryRange::try_from(0x1000usize..0x2000), Ok(range(1, 2)));
        assert_eq!(reversed.to_string(), "0x2000-0x1000 ends before it starts");
        let whole = MemoryRange::new(0..MemoryRange::MAX_ADDRESS);
        assert_eq!(whole.end(), 0xffff_ffff_ffff_f000);
        assert_eq!(Range::from(range(1, 3)), 0x1000..0x3000);
    }

    #[test]
    #[should_panic(expected = "not aligned")]
    fn new_panics_if_misaligned() {
        MemoryRange::new(0..1);
    }

    #[test]
    #[should_panic(expected = "ends before it starts")]
    fn new_panics_if_reversed() {
        MemoryRange::new(REVERSED);
    }

    #[test]
    fn bounding_rounds_outwards() {
        assert_eq!(MemoryRange::bounding(0x1fff..0x2001), range(1, 3));
        assert_eq!(MemoryRange::bounding(0x1000..0x2000), range(1, 2));
        assert_eq!(
            MemoryRange::bounding_aligned(0x1000..0x4001, 0x4000),
            range(0, 8)
        );
    }

    #[test]
    #[should_panic(expected = "too high")]
    fn bounding_panics_at_the_last_page() {
        MemoryRange::bounding(0..u64::MAX);
    }

    #[test]
    fn pages_are_counted() {
        let pages = MemoryRange::from_4k_gpn_range(0x1ff..0x601);
        assert_eq!((pages.start(), pages.end()), (0x1f_f000, 0x60_1000));
        assert_eq!((pages.start_4k_gpn(), pages.end_4k_gpn()), (0x1ff, 0x601));
        assert_eq!((pages.page_count_4k(), pages.page_count_2m()), (0x402, 2));
        assert!(!pages.is_empty());
    }

    #[test]
    fn alignment_is_that_of_both_bounds() {
        assert_eq!(range(4, 12).alignment(0), 0x4000);
        assert_eq!(range(4, 12).alignment(0x1000), 0x1000);
        assert_eq!(range(5, 13).alignment(0x1000), 0x4000);
        assert_eq!(MemoryRange::EMPTY.alignment(0), 1 << 63);
        assert_eq!(range(3, 13).aligned_subrange(0x4000), range(4, 12));
        assert_eq!(range(3, 7).aligned_subrange(0x4000), MemoryRange::EMPTY);
        let top = MemoryRange::new(MemoryRange::MAX_ADDRESS - 0x1000..MemoryRange::MAX_ADDRESS);
        assert_eq!(top.aligned_subrange(1 << 63), MemoryRange::EMPTY);
    }

    #[test]
    fn ranges_relate() {
        let two_to_six = range(2, 6);
        for (other, overlaps, contained, intersection) in [
            (range(0, 2), false, false, MemoryRange::EMPTY),
            (range(6, 8), false, false, MemoryRange::EMPTY),
            (range(0, 3), true, false, range(2, 3)),
            (range(5, 8), true, false, range(5, 6)),
            (range(3, 5), true, true, range(3, 5)),
            (range(2, 6), true, true, range(2, 6)),
            (range(0, 8), true, false, range(2, 6)),
            (range(3, 3), false, true, MemoryRange::EMPTY),
        ] {
            assert_eq!(two_to_six.overlaps(&other), overlaps, "{other}");
            assert_eq!(other.overlaps(&two_to_six), overlaps, "{other}");
            assert_eq!(two_to_six.contains(&other), contained, "{other}");
            assert_eq!(two_to_six.intersection(&other), intersection, "{other}");
        }
        assert_eq!(two_to_six.offset_of(0x1fff), None);
        assert_eq!(two_to_six.offset_of(0x2000), Some(0));
        assert_eq!(two_to_six.offset_of(0x5fff), Some(0x3fff));
        assert_eq!(two_to_six.offset_of(0x6000), None);
        assert_eq!(
            two_to_six.split_at_offset(0x1000),
            (range(2, 3), range(3, 6))
        );
        assert_eq!(
            two_to_six.split_at_offset(0x4000),
            (two_to_six, range(6, 6))
        );
    }

    #[test]
    #[should_panic(expected = "behind the end")]
    fn split_panics_behind_the_end() {
        range(2, 6).split_at_offset(0x5000);
    }

    #[test]
    fn aligned_subranges_are_naturally_aligned() {
        let parts = |subranges: AlignedSubranges| subranges.collect::<Vec<_>>();
        assert_eq!(parts(AlignedSubranges::new(MemoryRange::EMPTY)), []);
        assert_eq!(
            parts(AlignedSubranges::new(range(0, 6))),
            [range(0, 4), range(4, 6)]
        );
        assert_eq!(
            parts(AlignedSubranges::new(range(1, 9))),
            [range(1, 2), range(2, 4), range(4, 8), range(8, 9)]
        );
        let short = AlignedSubranges::new(range(0, 5)).with_max_range_len(0x2000);
        assert_eq!(parts(short), [range(0, 2), range(2, 4), range(4, 5)]);
    }

    #[test]
    fn a_range_prints_its_bounds() {
        assert_eq!(range(0x10, 0x20).to_string(), "0x10000-0x20000");
    }
}

//! Every public item that others program against, with its signature: this file compiles, or the interface has changed.

use inspect::Inspect;
use memory_range::AlignedSubranges;
use memory_range::InvalidMemoryRange;
use memory_range::MemoryRange;
use memory_range::RangeWalkResult;
use memory_range::flatten_ranges;
use memory_range::merge_adjacent_ranges;
use memory_range::overlapping_ranges;
use memory_range::subtract_ranges;
use memory_range::walk_ranges;
use mesh_protobuf::DescribedProtobuf;
use std::ops::Range;
use std::panic::catch_unwind;

/// Usable in a constant.
const RANGE: MemoryRange = MemoryRange::new(0x1000..0x20_3000);

#[test]
fn one_range() {
    fn plain<T: Copy + std::fmt::Debug + Ord + Inspect>() {}
    plain::<MemoryRange>();
    fn error<T: std::error::Error>() {}
    error::<InvalidMemoryRange>();
    const TRIED: Result<MemoryRange, InvalidMemoryRange> = MemoryRange::try_new(0x1000..0x1001);
    assert!(TRIED.is_err());
    assert!(catch_unwind(|| MemoryRange::new(0x1000..0x1800)).is_err());
    let _: fn(Range<u64>) -> MemoryRange = MemoryRange::bounding;
    let _: fn(Range<u64>, u64) -> MemoryRange = MemoryRange::bounding_aligned;
    let _: fn(Range<u64>) -> MemoryRange = MemoryRange::from_4k_gpn_range;
    assert!(MemoryRange::EMPTY.is_empty());
    const { assert!(MemoryRange::MAX_ADDRESS == 0xFFFF_FFFF_FFFF_F000) };
    let numbers: [fn(&MemoryRange) -> u64; 7] = [
        MemoryRange::start,
        MemoryRange::end,
        MemoryRange::len,
        MemoryRange::start_4k_gpn,
        MemoryRange::end_4k_gpn,
        MemoryRange::page_count_4k,
        MemoryRange::page_count_2m,
    ];
    assert_eq!(
        numbers.map(|number| number(&RANGE)),
        [0x1000, 0x20_3000, 0x20_2000, 1, 0x203, 0x202, 1]
    );
    assert_eq!(RANGE.alignment(0), 0x1000);
    assert_eq!(RANGE.aligned_subrange(0x20_0000), MemoryRange::EMPTY);
    let other = MemoryRange::from_4k_gpn_range(2..4);
    assert!(RANGE.overlaps(&other) && RANGE.contains(&other) && RANGE.contains_addr(0x1FFF));
    assert_eq!(RANGE.offset_of(0x1004), Some(4));
    assert_eq!(RANGE.intersection(&other), other);
    let (low, high): (MemoryRange, MemoryRange) = RANGE.split_at_offset(0x1000);
    assert_eq!((low.end(), high.start()), (0x2000, 0x2000));
    assert_eq!(RANGE.to_string(), "0x1000-0x203000");
    let converted: Range<u64> = RANGE.into();
    assert_eq!(MemoryRange::try_from(converted), Ok(RANGE));
    let _: Result<MemoryRange, InvalidMemoryRange> = MemoryRange::try_from(0usize..0x1000);
    assert_eq!(MemoryRange::bounding(1..2), MemoryRange::new(0..0x1000));
}

#[test]
fn sequences() {
    let left = [MemoryRange::new(0..0x3000)];
    let right = [MemoryRange::new(0x1000..0x4000)];
    let both = [MemoryRange::new(0x1000..0x3000)];
    assert!(overlapping_ranges(left, right).eq(both));
    assert!(subtract_ranges(left, right).eq([MemoryRange::new(0..0x1000)]));
    let parts = [left[0], MemoryRange::new(0x3000..0x4000)];
    assert!(flatten_ranges(parts).eq([MemoryRange::new(0..0x4000)]));
    assert!(
        merge_adjacent_ranges(parts.map(|range| (range, 'a')))
            .eq([(MemoryRange::new(0..0x4000), 'a')])
    );
    let walked: Vec<_> = walk_ranges(left.map(|r| (r, 'l')), right.map(|r| (r, 'r')))
        .map(|(range, result)| (range.start(), result))
        .collect();
    assert_eq!(
        walked,
        [
            (0, RangeWalkResult::Left('l')),
            (0x1000, RangeWalkResult::Both('l', 'r')),
            (0x3000, RangeWalkResult::Right('r')),
        ]
    );
    let aligned: Vec<_> = AlignedSubranges::new(MemoryRange::new(0x1000..0x4000)).collect();
    assert_eq!(
        aligned,
        [
            MemoryRange::new(0x1000..0x2000),
            MemoryRange::new(0x2000..0x4000)
        ]
    );
}

#[test]
fn saved_state() {
    let message = MemoryRange::DESCRIPTION;
    assert_eq!(message.full_name(), "topology.MemoryRange");
    let fields: Vec<_> = message.fields.iter().map(|f| (f.number, f.name)).collect();
    assert_eq!(fields, [(1, "start"), (2, "end")]);
    assert_eq!(
        mesh_protobuf::encode(MemoryRange::new(0x1000..0x2000)),
        [0x08, 0x80, 0x20, 0x10, 0x80, 0x40]
    );
}

//! Page-aligned guest physical address ranges.
//!
//! [`MemoryRange`] is one range; [`walk_ranges`] and its kin work on sorted sequences of them.

#![forbid(unsafe_code)]

mod range;
#[cfg(feature = "mesh")]
mod saved_state;
mod sequence;

pub use range::AlignedSubranges;
pub use range::InvalidMemoryRange;
pub use range::MemoryRange;
pub use sequence::RangeWalkResult;
pub use sequence::flatten_ranges;
pub use sequence::merge_adjacent_ranges;
pub use sequence::overlapping_ranges;
pub use sequence::subtract_ranges;
pub use sequence::walk_ranges;

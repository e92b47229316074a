//! What is wrong with a description of host bridges.

use std::ops::{Range, RangeInclusive};

use thiserror::Error;

use crate::shortfall::{WindowKind, span};

/// Why host bridges can't be enumerated: their description contradicts itself. Nothing has been accessed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EnumerateError {
    /// A host bridge has no bus number, not even for its root bus.
    #[error(
        "segment {segment:04x}: the bus range {first:02x}-{last:02x} is empty; a host bridge needs one bus at least"
    )]
    NoBuses {
        /// The host bridge's segment.
        segment: u16,
        /// The first bus of the range.
        first: u8,
        /// The last bus of the range.
        last: u8,
    },
    /// An aperture ends before it starts, or lies where that kind of address can't be.
    #[error("the {} aperture {} must lie within {}", kind.aperture_name(), span(aperture), span(bound))]
    Aperture {
        /// Which aperture.
        kind: WindowKind,
        /// As it was described.
        aperture: Range<u64>,
        /// Where it may lie.
        bound: Range<u64>,
    },
    /// Two host bridges of a segment claim the same bus.
    #[error(
        "segment {segment:04x}: two host bridges claim bus {bus:02x}: one has buses {first:02x?}, one {second:02x?}"
    )]
    OverlappingBuses {
        /// The segment of both.
        segment: u16,
        /// The lowest bus that both claim.
        bus: u8,
        /// The buses of the one that is listed first.
        first: RangeInclusive<u8>,
        /// The buses of the other.
        second: RangeInclusive<u8>,
    },
    /// Two host bridges claim the same memory.
    #[error(
        "two host bridges claim the same memory: {} and {} overlap",
        span(first),
        span(second)
    )]
    OverlappingMemory {
        /// The aperture of the one that is listed first.
        first: Range<u64>,
        /// The aperture of the other.
        second: Range<u64>,
    },
    /// There is no config access for a host bridge's segment.
    #[error("segment {segment:04x}: there is a host bridge, but no access to its config space")]
    NoAccess {
        /// The host bridge's segment.
        segment: u16,
    },
}

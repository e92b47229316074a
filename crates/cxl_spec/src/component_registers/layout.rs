//! Where the blocks go, and the directories by which software finds them (CXL 3.1 section 8.2.4).
//!
//! A directory is no register table: its length and every entry follow from the blocks that were added, and all of it is
//! read-only.

use crate::spec::*;
use std::ops::Range;
use thiserror::Error;

/// Why a block could not be added to the component registers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ComponentRegisterError {
    /// Arbiter/multiplexer registers have no directory.
    #[error("block '{label}': arbiter/multiplexer registers are not supported")]
    UnsupportedType {
        /// The block.
        label: String,
    },
    /// The length is zero or no multiple of 4.
    #[error("block '{label}' has {len} bytes; a block has a multiple of 4 and not zero")]
    InvalidLength {
        /// The block.
        label: String,
        /// Its bytes.
        len: u16,
    },
    /// The ID is that of the NULL capability, or of a structure made by the space itself.
    #[error("block '{label}': capability ID {id:#x} is not for blocks")]
    ReservedId {
        /// The block.
        label: String,
        /// Its capability ID.
        id: u16,
    },
    /// The capability must be in the primary range.
    #[error(
        "block '{label}': capability ID {id:#x} must be in the primary range; IDs 0x1 to 0xa cannot be extended"
    )]
    ForbiddenInExtendedRange {
        /// The block.
        label: String,
        /// Its capability ID.
        id: u16,
    },
    /// The version does not fit the directory.
    #[error("block '{label}': version {version} is above 15")]
    InvalidVersion {
        /// The block.
        label: String,
        /// Its version.
        version: u8,
    },
    /// The ranges are full.
    #[error(
        "block '{label}': {len:#x} bytes do not fit in the {range} beside its directory and the other blocks"
    )]
    NoRoom {
        /// The block.
        label: String,
        /// Its bytes.
        len: u16,
        /// "primary range" or "extended ranges".
        range: &'static str,
    },
}

/// What the layout needs to know of a block.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) label: String,
    pub(super) register_type: CxlComponentRegisterType,
    pub(super) id: u16,
    pub(super) version: u8,
    pub(super) len: u16,
}

/// A run of dwords of the space.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Byte offsets in the space.
    pub(super) bytes: Range<u16>,
    pub(super) content: Content,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Directories: read-only.
    Words(Vec<u32>),
    /// A block, by its place in the order of adding.
    Block(usize),
}

/// Blocks start at multiples of this, so that no 8-byte access touches two.
const ALIGNMENT: usize = 8;

const PRIMARY: usize = bytes(CXL_COMPONENT_REG_RANGE_CACHEMEM_PRIMARY_OFFSET);
const RANGE_BYTES: usize = bytes(CXL_CACHEMEM_REGION_SIZE_BYTES);
const EXTENDED: usize = bytes(CXL_COMPONENT_REG_RANGE_CACHEMEM_EXTENDED_OFFSET);
const EXTENDED_RANGES: usize =
    bytes(CXL_COMPONENT_REG_RANGE_CACHEMEM_EXTENDED_SIZE_BYTES) / RANGE_BYTES;

#[expect(clippy::cast_possible_truncation, reason = "the space has 64 KiB")]
const fn bytes(value: u64) -> usize {
    value as usize
}

/// The capability that names the extended ranges in use (CXL 3.1 section 8.2.4.25): one dword, bit n for the range at
/// n * 4 KiB.
const EXTENDED_REGISTER_CAPABILITY_ID: u16 = 0xA;
const EXTENDED_REGISTER_CAPABILITY_VERSION: u8 = 1;
const EXTENDED_REGISTER_CAPABILITY_BYTES: u16 = 4;

/// An entry of a directory and what it points to.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: u16,
    version: u8,
    len: u16,
    content: Target,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Block(usize),
    ExtendedRanges(u32),
}

/// Checks what can be said of a block by itself.
pub(super) fn check(shape: &Shape) -> Result<(), ComponentRegisterError> {
    let label = shape.label.clone();
    let extended = match shape.register_type {
        CxlComponentRegisterType::CacheMemRegister => false,
        CxlComponentRegisterType::CacheMemExtendedRegister => true,
        CxlComponentRegisterType::CxlArbMuxRegister => {
            return Err(ComponentRegisterError::UnsupportedType { label });
        }
    };
    if shape.len == 0 || !shape.len.is_multiple_of(4) {
        return Err(ComponentRegisterError::InvalidLength {
            label,
            len: shape.len,
        });
    }
    let forbidden = CXL_CACHEMEM_EXTENDED_FORBIDDEN_CAPABILITY_ID_MIN
        ..=CXL_CACHEMEM_EXTENDED_FORBIDDEN_CAPABILITY_ID_MAX;
    if extended && forbidden.contains(&shape.id) {
        return Err(ComponentRegisterError::ForbiddenInExtendedRange {
            label,
            id: shape.id,
        });
    }
    let header = u16::from(CxlCacheMemCapabilityHeader::CAPABILITY_ID);
    if [0, header, EXTENDED_REGISTER_CAPABILITY_ID].contains(&shape.id) {
        return Err(ComponentRegisterError::ReservedId {
            label,
            id: shape.id,
        });
    }
    if shape.version > 0xF {
        return Err(ComponentRegisterError::InvalidVersion {
            label,
            version: shape.version,
        });
    }
    Ok(())
}

/// Lays out blocks that each passed [`check`]; the spans come in order of offset.
///
/// A block of the extended type goes to the extended ranges, unless it is alone: then the primary range, which software
/// must look into anyhow, holds it. When extended ranges are in use, the primary directory ends with the capability that
/// names them.
pub(super) fn lay_out(shapes: &[Shape]) -> Result<Vec<Span>, ComponentRegisterError> {
    let alone = shapes.len() == 1;
    let (mut primary, mut extended) = (Vec::new(), Vec::new());
    for (index, shape) in shapes.iter().enumerate() {
        let entry = Entry {
            id: shape.id,
            version: shape.version,
            len: shape.len,
            content: Target::Block(index),
        };
        match shape.register_type {
            CxlComponentRegisterType::CacheMemExtendedRegister if !alone => extended.push(entry),
            _ => primary.push(entry),
        }
    }
    let no_room = |entry: Option<&Entry>, range| {
        let shape = entry.and_then(|entry| match entry.content {
            Target::Block(index) => shapes.get(index),
            Target::ExtendedRanges(_) => shapes.last(),
        });
        ComponentRegisterError::NoRoom {
            label: shape.map(|shape| shape.label.clone()).unwrap_or_default(),
            len: shape.map_or(0, |shape| shape.len),
            range,
        }
    };
    let (in_use, extended_spans) =
        fill_extended(&extended).map_err(|entry| no_room(Some(&entry), "extended ranges"))?;
    if in_use != 0 {
        primary.push(Entry {
            id: EXTENDED_REGISTER_CAPABILITY_ID,
            version: EXTENDED_REGISTER_CAPABILITY_VERSION,
            len: EXTENDED_REGISTER_CAPABILITY_BYTES,
            content: Target::ExtendedRanges(in_use),
        });
    }
    let mut spans =
        fill(PRIMARY, &primary).ok_or_else(|| no_room(primary.last(), "primary range"))?;
    spans.extend(extended_spans);
    Ok(spans)
}

/// Puts entries into as few extended ranges as their order allows: a bit for each range in use, and the spans. The error
/// is the entry that does not fit.
fn fill_extended(entries: &[Entry]) -> Result<(u32, Vec<Span>), Entry> {
    let (mut in_use, mut spans) = (0, Vec::new());
    let mut starts = (0..EXTENDED_RANGES).map(|n| EXTENDED + n * RANGE_BYTES);
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let start = starts.next().ok_or(*first)?;
        let (count, filled) = (1..=rest.len())
            .map_while(|count| Some((count, fill(start, rest.get(..count)?)?)))
            .last()
            .ok_or(*first)?;
        in_use |= 1 << (start / RANGE_BYTES);
        spans.extend(filled);
        rest = rest.get(count..).unwrap_or_default();
    }
    Ok((in_use, spans))
}

/// Fills one range that starts at `start`: a directory, then the blocks in order; `None` if they do not fit.
fn fill(start: usize, entries: &[Entry]) -> Option<Vec<Span>> {
    let span = |from: usize, bytes: usize, content| {
        let [from, to] = [start + from, start + from + bytes].map(u16::try_from);
        Some(Span {
            bytes: from.ok()?..to.ok()?,
            content,
        })
    };
    let mut directory = vec![CxlCacheMemCapabilityHeader::encode(entries.len())?];
    let mut next = (4 * (1 + entries.len())).next_multiple_of(ALIGNMENT);
    let mut blocks = Vec::new();
    for entry in entries {
        let bytes = usize::from(entry.len);
        if next + bytes > RANGE_BYTES {
            return None;
        }
        let pointer = u16::try_from(next).ok()?;
        directory.push(CxlCacheMemCapabilityArrayEntry::encode(
            entry.id,
            entry.version,
            pointer,
        )?);
        let content = match entry.content {
            Target::Block(index) => Content::Block(index),
            Target::ExtendedRanges(in_use) => Content::Words(vec![in_use]),
        };
        blocks.push(span(next, bytes, content)?);
        next = (next + bytes).next_multiple_of(ALIGNMENT);
    }
    let directory_bytes = 4 * directory.len();
    let mut spans = vec![span(0, directory_bytes, Content::Words(directory))?];
    spans.extend(blocks);
    Some(spans)
}

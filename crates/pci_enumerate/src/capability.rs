//! The capability lists (PCIe 6.2 sections 7.5.1.1.11 and 7.6.3), walked within bounds.

use std::collections::BTreeSet;

use pci_spec::caps::{
    COMMON_HEADER_END, CapabilityId, EXT_CAP_START, ExtendedCapabilityHeader, ExtendedCapabilityId,
};
use pci_spec::cfg_space::{Status, Type0HeaderReg};

use crate::access::{Config, header};

/// As many 4-byte structures as fit behind the 64-byte header in 256 bytes.
const CAPABILITIES_MAX: usize = 48;
/// As many 4-byte structures as fit in the 3,840 bytes of extended config space.
const EXTENDED_CAPABILITIES_MAX: usize = 960;
/// Pointers are to dwords; their two low bits are reserved.
const POINTER_MASK: u16 = !3;

/// A capability in the first 256 bytes of config space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Which it is.
    pub id: CapabilityId,
    /// Its offset in config space, in bytes.
    pub offset: u16,
}

/// An extended capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedCapability {
    /// Which it is.
    pub id: ExtendedCapabilityId,
    /// The version of its layout.
    pub version: u8,
    /// Its offset in config space, in bytes.
    pub offset: u16,
}

/// Lists the capabilities in the first 256 bytes, in list order; a loop ends the list.
pub(crate) fn capabilities(config: &mut Config<'_>) -> Vec<Capability> {
    let mut found = Vec::new();
    let status = Status::from_bits(config.read_u16(header(Type0HeaderReg::Status)));
    if !status.capabilities_list() {
        return found;
    }
    let mut seen = BTreeSet::new();
    let pointer = config.read_u8(header(Type0HeaderReg::CapabilitiesPointer));
    let mut offset = u16::from(pointer) & POINTER_MASK;
    while offset >= COMMON_HEADER_END && seen.len() < CAPABILITIES_MAX && seen.insert(offset) {
        let [id, next] = config.read_u16(offset).to_le_bytes();
        if id == 0xff {
            break;
        }
        // ID 0 is a null capability: it only links to the next.
        if id != 0 {
            found.push(Capability {
                id: CapabilityId(id),
                offset,
            });
        }
        offset = u16::from(next) & POINTER_MASK;
    }
    found
}

/// Lists the extended capabilities, in list order; a loop ends the list.
pub(crate) fn extended_capabilities(config: &mut Config<'_>) -> Vec<ExtendedCapability> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut offset = EXT_CAP_START;
    while offset >= EXT_CAP_START && seen.len() < EXTENDED_CAPABILITIES_MAX && seen.insert(offset) {
        let header = config.read_u32(offset);
        // All zeros, or an absent function's all ones, in the first header say that there are none.
        if header == 0 || header == u32::MAX {
            break;
        }
        let header = ExtendedCapabilityHeader::from_bits(header);
        // ID 0 is a null capability: it only links to the next.
        if header.capability_id() != 0 {
            found.push(ExtendedCapability {
                id: ExtendedCapabilityId(header.capability_id()),
                version: header.capability_version(),
                offset,
            });
        }
        offset = header.next_offset() & POINTER_MASK;
    }
    found
}

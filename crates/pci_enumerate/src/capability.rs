//! The capability lists (PCIe 6.2 sections 7.5.1.1.11 and 7.6.3), walked within bounds.

use std::collections::BTreeSet;

use crate::access::Config;
use crate::registers;

/// As many 4-byte structures as fit behind the 64-byte header in 256 bytes.
const CAPABILITIES_MAX: usize = 48;
/// As many 4-byte structures as fit in the 3,840 bytes of extended config space.
const EXTENDED_CAPABILITIES_MAX: usize = 960;

/// Which structure a capability is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CapabilityId {
    /// A capability in the first 256 bytes, by its Capability ID.
    Legacy(u8),
    /// An extended capability, by its PCI Express Extended Capability ID.
    Extended(u16),
}

/// A capability that a function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Which it is.
    pub id: CapabilityId,
    /// The Capability Version of an extended capability; 0 for others, whose version is their own matter.
    pub version: u8,
    /// Its offset in config space, in bytes.
    pub offset: u16,
}

/// Lists the capabilities in the first 256 bytes, in list order; a loop ends the list.
pub(crate) fn legacy(config: &mut Config<'_>) -> Vec<Capability> {
    let mut found = Vec::new();
    if config.read_u16(registers::STATUS) & registers::STATUS_CAPABILITIES_LIST == 0 {
        return found;
    }
    let mut seen = BTreeSet::new();
    let mut offset = config.read_u8(registers::CAPABILITIES_POINTER) & !3;
    while offset >= 0x40 && seen.len() < CAPABILITIES_MAX && seen.insert(offset) {
        let [id, next] = config.read_u16(offset.into()).to_le_bytes();
        if id == 0xff {
            break;
        }
        // ID 0 is a null capability: it only links to the next.
        if id != 0 {
            found.push(Capability {
                id: CapabilityId::Legacy(id),
                version: 0,
                offset: offset.into(),
            });
        }
        offset = next & !3;
    }
    found
}

/// Lists the extended capabilities, in list order; a loop ends the list.
pub(crate) fn extended(config: &mut Config<'_>) -> Vec<Capability> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut offset = registers::EXTENDED_CAPABILITIES;
    while offset >= registers::EXTENDED_CAPABILITIES
        && seen.len() < EXTENDED_CAPABILITIES_MAX
        && seen.insert(offset)
    {
        let header = config.read_u32(offset);
        // All zeros, or an absent function's all ones, in the first header say that there are none.
        if header == 0 || header == u32::MAX {
            break;
        }
        let id = (header & 0xffff) as u16;
        // ID 0 is a null capability: it only links to the next.
        if id != 0 {
            found.push(Capability {
                id: CapabilityId::Extended(id),
                version: ((header >> 16) & 0xf) as u8,
                offset,
            });
        }
        offset = ((header >> 20) & 0xffc) as u16;
    }
    found
}

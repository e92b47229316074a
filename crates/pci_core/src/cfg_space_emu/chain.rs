//! Where each capability lies: the two lists, packed back to back, and their next pointers.

use super::ConfigSpaceError;
use crate::capabilities::ConfigSlot;
use crate::capabilities::PciCapability;
use crate::capabilities::PciExtendedCapability;
use crate::spec::caps::COMMON_HEADER_END;
use crate::spec::caps::EXT_CAP_END;
use crate::spec::caps::EXT_CAP_START;
use reg_table::Page;
use std::sync::Arc;

/// Next pointer in the first dword of a legacy capability (PCIe 6.2 section 7.5.3.1).
const LEGACY_LINK: u32 = 0x0000_ff00;
/// Next offset in the first dword of an extended capability (PCIe 6.2 section 7.6.3).
const EXTENDED_LINK: u32 = 0xfff0_0000;

/// Which list, and which entry of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Legacy(usize),
    Extended(usize),
}

/// A capability's run of the configuration space.
#[derive(Copy, Clone, Debug)]
pub(super) struct Placement {
    pub(super) owner: Owner,
    pub(super) offset: u16,
    end: u16,
    /// Its registers are in the page; else each read is a call.
    attached: bool,
}

/// All placements, in order of offset.
#[derive(Debug, Default)]
pub(super) struct Chain {
    placements: Vec<Placement>,
    /// Whether any capability is reached by calls.
    pub(super) foreign: bool,
}

impl Chain {
    /// Places all capabilities, writes the next pointers, and moves those that can into the page.
    pub(super) fn new(
        page: &Arc<Page>,
        legacy: &mut [Box<dyn PciCapability>],
        extended: &mut [Box<dyn PciExtendedCapability>],
    ) -> Result<Self, ConfigSpaceError> {
        let legacy_items = legacy.iter().map(|c| Item {
            label: c.label(),
            bytes: c.len(),
            header: c.read_u32(0),
            expected: 0,
            fixed_bits: LEGACY_LINK,
        });
        let extended_items = extended.iter().map(|c| Item {
            label: c.label(),
            bytes: c.len(),
            header: c.read_u32(0),
            expected: u32::from(c.extended_capability_id())
                | (u32::from(c.capability_version()) << 16),
            fixed_bits: u32::MAX,
        });
        let legacy_places = pack(legacy_items, COMMON_HEADER_END.into(), EXT_CAP_START.into())?;
        let extended_places = pack(extended_items, EXT_CAP_START.into(), EXT_CAP_END.into())?;
        link(page, &legacy_places, LEGACY_LINK);
        link(page, &extended_places, EXTENDED_LINK);

        let mut chain = Self::default();
        for (i, (capability, &(offset, end))) in legacy.iter_mut().zip(&legacy_places).enumerate() {
            let slot =
                ConfigSlot::new(page.clone(), offset, usize::from(end - offset), LEGACY_LINK);
            chain.push(Owner::Legacy(i), (offset, end), capability.attach(&slot));
        }
        for (i, (capability, &(offset, end))) in
            extended.iter_mut().zip(&extended_places).enumerate()
        {
            let slot = ConfigSlot::new(
                page.clone(),
                offset,
                usize::from(end - offset),
                EXTENDED_LINK,
            );
            chain.push(Owner::Extended(i), (offset, end), capability.attach(&slot));
        }
        Ok(chain)
    }

    fn push(&mut self, owner: Owner, (offset, end): (u16, u16), attached: bool) {
        self.foreign |= !attached;
        self.placements.push(Placement {
            owner,
            offset,
            end,
            attached,
        });
    }

    /// The capability that covers a byte offset.
    pub(super) fn find(&self, offset: u16) -> Option<&Placement> {
        let after = self.placements.partition_point(|p| p.offset <= offset);
        self.placements
            .get(after.checked_sub(1)?)
            .filter(|p| offset < p.end)
    }

    /// The capability that must be called to read the dword at an offset.
    pub(super) fn find_foreign(&self, offset: u16) -> Option<&Placement> {
        self.find(offset).filter(|p| !p.attached)
    }
}

impl Placement {
    /// The bits of the first dword that belong to the chain; none of the others.
    pub(super) fn link_bits(&self, offset: u16) -> u32 {
        match self.owner {
            _ if offset != self.offset => 0,
            Owner::Legacy(_) => LEGACY_LINK,
            Owner::Extended(_) => EXTENDED_LINK,
        }
    }
}

/// What placing needs to know of a capability.
struct Item<'a> {
    label: &'a str,
    bytes: usize,
    header: u32,
    expected: u32,
    fixed_bits: u32,
}

/// Start and end of each, back to back from `start`.
fn pack<'a>(
    items: impl Iterator<Item = Item<'a>>,
    start: usize,
    end: usize,
) -> Result<Vec<(u16, u16)>, ConfigSpaceError> {
    let mut offset = start;
    items
        .map(|item| {
            let label = || item.label.to_string();
            if item.bytes == 0 || !item.bytes.is_multiple_of(4) {
                return Err(ConfigSpaceError::CapabilityLength {
                    label: label(),
                    bytes: item.bytes,
                });
            }
            if (item.header & item.fixed_bits) != item.expected {
                return Err(ConfigSpaceError::CapabilityHeader {
                    label: label(),
                    header: item.header,
                });
            }
            let next = offset.saturating_add(item.bytes);
            let place = match (u16::try_from(offset), u16::try_from(next)) {
                (Ok(offset), Ok(next)) if usize::from(next) <= end => (offset, next),
                _ => {
                    let (label, bytes) = (label(), item.bytes);
                    return Err(ConfigSpaceError::CapabilityOverflow {
                        label,
                        offset,
                        bytes,
                        end,
                    });
                }
            };
            offset = next;
            Ok(place)
        })
        .collect()
}

/// Writes each one's offset into the one before it.
fn link(page: &Page, places: &[(u16, u16)], bits: u32) {
    for (&(this, _), &(next, _)) in places.iter().zip(places.iter().skip(1)) {
        page.update(this, |word| {
            (word & !bits) | (u32::from(next) << bits.trailing_zeros())
        });
    }
}

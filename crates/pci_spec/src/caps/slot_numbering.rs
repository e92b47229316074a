//! Slot Numbering (PCI-to-PCI Bridge Architecture 1.2 section 3.2.6): the chassis that a bridge leads to, and how many
//! slots it has, so that people find the card that software means.
//!
//! Not emulated: a chassis number that survives power-off.

use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// The Expansion Slot register (PCI-to-PCI Bridge Architecture 1.2 section 3.2.6).
#[derive(Inspect)]
#[bitfield(u8)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct ExpansionSlot {
    /// Slots on the bridge's secondary bus.
    #[bits(5)]
    pub expansion_slots_provided: u8,
    /// The bridge is the first of its chassis.
    pub first_in_chassis: bool,
    #[bits(2)]
    _reserved: u8,
}

const _: () = assert!(size_of::<ExpansionSlot>() == 1);

register_block! {
    /// The Slot Numbering capability. The composer describes the slots; software numbers the chassis.
    pub SLOT_NUMBERING: SlotNumberingReg = "slot_numbering" {
        title: "Slot Numbering capability",
        section: "PCI-to-PCI Bridge Architecture 1.2 section 3.2.6",
        bytes: 0x04,
    }
    0x00 capability_id: u8 as () = 0x04, "PCI-to-PCI Bridge Architecture 1.2 section 3.2.6" { ro: [value[7:0]] }
    0x01 next_pointer: u8 as () = 0, "PCI-to-PCI Bridge Architecture 1.2 section 3.2.6" { ro: [value[7:0]] }
    0x02 expansion_slot: u8 as ExpansionSlot = 0, "PCI-to-PCI Bridge Architecture 1.2 section 3.2.6" {
        hwinit: [expansion_slots_provided, first_in_chassis],
    }
    0x03 chassis_number: u8 as () = 0, "PCI-to-PCI Bridge Architecture 1.2 section 3.2.6" { rw: [value[7:0]] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BlockRegister;

    #[test]
    fn bits_lie_where_linux_expects_them() {
        assert_eq!(SlotNumberingReg::CapabilityId.register().reset, 0x04); // PCI_CAP_ID_SLOTID
        assert_eq!(SlotNumberingReg::ExpansionSlot.register().offset, 2); // PCI_SID_ESR
        assert_eq!(SlotNumberingReg::ChassisNumber.register().offset, 3); // PCI_SID_CHASSIS_NR
        let slots = ExpansionSlot::new().with_expansion_slots_provided(0x1f);
        assert_eq!(slots.into_bits(), 0x1f); // PCI_SID_ESR_NSLOTS
        let first = ExpansionSlot::new().with_first_in_chassis(true);
        assert_eq!(first.into_bits(), 0x20); // PCI_SID_ESR_FIC
    }
}

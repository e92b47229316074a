//! Legacy capabilities that are their register table and nothing else: no write has a side effect.

use super::block::LegacyBlock;
use super::block::RegisterBlock;
use super::saved_registers;
use crate::spec::caps::slot_numbering::ExpansionSlot;
use crate::spec::caps::slot_numbering::SlotNumberingReg;
use crate::spec::caps::subsystem_id::SubsystemIdReg;
use inspect::Inspect;
use reg_table::BlockRegister;
use reg_table::RegisterFile;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

/// A legacy capability made of a register table.
///
/// ```
/// use pci_core::capabilities::{PciCapability, table::TableCapability};
///
/// let subsystem = TableCapability::subsystem_id(0x1af4, 0x1100);
/// assert_eq!(subsystem.read_u32(4), 0x1100_1af4);
/// ```
#[derive(Debug, Inspect)]
pub struct TableCapability<R: BlockRegister> {
    #[inspect(flatten)]
    registers: RegisterFile<R>,
}

impl<R: BlockRegister> TableCapability<R> {
    /// A capability of composed registers: their first byte is the capability ID, the second (the next pointer) is zero, and
    /// the label is the block's name.
    pub fn new(registers: RegisterFile<R>) -> Self {
        Self { registers }
    }
}

impl TableCapability<SubsystemIdReg> {
    /// Subsystem Vendor ID and Subsystem ID of a bridge (PCIe 6.2 section 7.9.23).
    pub fn subsystem_id(vendor_id: u16, id: u16) -> Self {
        let mut registers = RegisterFile::new(SubsystemIdReg::CapabilityId);
        registers.init(SubsystemIdReg::SubsystemVendorId, vendor_id);
        registers.init(SubsystemIdReg::SubsystemId, id);
        Self::new(registers)
    }
}

impl TableCapability<SlotNumberingReg> {
    /// The slots behind a bridge (PCI-to-PCI Bridge Architecture 1.2 section 3.2.6).
    pub fn slot_numbering(slots: ExpansionSlot) -> Self {
        let mut registers = RegisterFile::new(SlotNumberingReg::CapabilityId);
        registers.init(SlotNumberingReg::ExpansionSlot, slots.into_bits());
        Self::new(registers)
    }
}

impl<R: BlockRegister> RegisterBlock for TableCapability<R> {
    type Register = R;

    fn file(&self) -> &RegisterFile<R> {
        &self.registers
    }

    fn file_mut(&mut self) -> &mut RegisterFile<R> {
        &mut self.registers
    }
}

impl<R: BlockRegister> LegacyBlock for TableCapability<R> {}

impl<R: BlockRegister> SaveRestore for TableCapability<R> {
    type SavedState = saved_registers::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(saved_registers::save(self))
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        saved_registers::check(self, state)
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&state)?;
        saved_registers::restore(self, &state);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::PciCapability;
    use crate::capabilities::saved_registers::SavedRegister;
    use crate::capabilities::saved_registers::SavedState;
    use crate::spec::caps::CapabilityId;

    fn two_slots() -> TableCapability<SlotNumberingReg> {
        TableCapability::slot_numbering(
            ExpansionSlot::new()
                .with_expansion_slots_provided(2)
                .with_first_in_chassis(true),
        )
    }

    fn saved(registers: &[(&str, u32)]) -> SavedState {
        let registers = registers.iter().map(|&(name, value)| SavedRegister {
            name: name.to_string().into(),
            value,
        });
        SavedState {
            registers: registers.collect(),
        }
    }

    #[test]
    fn ids_come_from_the_table() {
        let capability = two_slots();
        assert_eq!(
            (capability.capability_id(), capability.label()),
            (CapabilityId::SLOT_IDENTIFICATION, "slot_numbering")
        );
        assert_eq!((capability.len(), capability.read_u32(0)), (4, 0x0022_0004));
        let subsystem = TableCapability::subsystem_id(1, 2);
        assert_eq!(subsystem.capability_id(), CapabilityId::BRIDGE_SUBSYSTEM_ID);
    }

    #[test]
    fn registers_are_saved_by_name() {
        let mut capability = two_slots();
        capability.write_u32(0, u32::MAX);
        assert_eq!(capability.read_u32(0), 0xff22_0004);
        let state = capability.save().unwrap();
        let found: Vec<_> = state
            .registers
            .iter()
            .map(|r| (&*r.name, r.value))
            .collect();
        assert_eq!(found, [("chassis_number", 0xff)]);
        let mut subsystem = TableCapability::subsystem_id(1, 2);
        assert!(subsystem.save().unwrap().registers.is_empty());
    }

    #[test]
    fn a_missing_name_is_the_reset_value_and_surplus_bits_are_dropped() {
        let mut capability = two_slots();
        capability
            .restore(saved(&[("chassis_number", 0xabcd)]))
            .unwrap();
        assert_eq!(capability.read_u32(0), 0xcd22_0004);
        capability.restore(saved(&[])).unwrap();
        assert_eq!(capability.read_u32(0), 0x0022_0004);
    }

    #[test]
    fn an_unknown_name_is_refused_and_changes_nothing() {
        let mut capability = two_slots();
        capability.write_u32(0, u32::MAX);
        for name in ["expansion_slot", "no_such"] {
            let error = capability
                .restore(saved(&[("chassis_number", 1), (name, 0)]))
                .unwrap_err();
            assert!(matches!(error, RestoreError::UnknownEntryId(found) if found == name));
            assert_eq!(capability.read_u32(0), 0xff22_0004);
        }
    }
}

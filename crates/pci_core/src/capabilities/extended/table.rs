//! Extended capabilities that are their register table and nothing else: software may change registers, and no write has a side
//! effect.

use crate::capabilities::block::ExtendedBlock;
use crate::capabilities::block::RegisterBlock;
use crate::capabilities::saved_registers;
use crate::spec::caps::l1_pm_substates::L1PmSubstatesCapabilities;
use crate::spec::caps::l1_pm_substates::L1PmSubstatesControl1;
use crate::spec::caps::l1_pm_substates::L1PmSubstatesReg;
use crate::spec::caps::ltr::LtrReg;
use crate::spec::caps::pci_express::DevicePortType;
use crate::spec::caps::ptm::PtmCapability;
use crate::spec::caps::ptm::PtmControl;
use crate::spec::caps::ptm::PtmReg;
use crate::spec::caps::virtual_channel::VirtualChannelReg;
use inspect::Inspect;
use reg_table::BlockRegister;
use reg_table::RegisterFile;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

/// An extended capability made of a register table.
///
/// ```
/// use pci_core::capabilities::extended::{PciExtendedCapability, table::TableExtendedCapability};
///
/// let mut ltr = TableExtendedCapability::ltr();
/// ltr.write_u32(4, 0x1003_1003);
/// assert_eq!(ltr.read_u32(4), 0x1003_1003);
/// ```
#[derive(Debug, Inspect)]
pub struct TableExtendedCapability<R: BlockRegister> {
    #[inspect(flatten)]
    registers: RegisterFile<R>,
}

impl<R: BlockRegister> TableExtendedCapability<R> {
    /// A capability of composed registers: the first dword holds ID and version, and the label is the block's name.
    pub fn new(registers: RegisterFile<R>) -> Self {
        Self { registers }
    }
}

impl TableExtendedCapability<LtrReg> {
    /// Latency Tolerance Reporting (PCIe 6.2 section 7.8.2) of an upstream port.
    pub fn ltr() -> Self {
        Self::new(RegisterFile::new(LtrReg::Header))
    }
}

impl TableExtendedCapability<VirtualChannelReg> {
    /// Virtual Channel (PCIe 6.2 section 7.9.1) of a function with VC0 only.
    pub fn virtual_channel() -> Self {
        Self::new(RegisterFile::new(VirtualChannelReg::Header))
    }
}

impl TableExtendedCapability<PtmReg> {
    /// Precision Time Measurement (PCIe 6.2 section 7.9.15) in the roles of `capability`.
    pub fn ptm(capability: PtmCapability) -> Self {
        let mut registers = RegisterFile::new(PtmReg::Header);
        registers.init(PtmReg::Capability, capability.into_bits());
        let granularity = if capability.requester_capable() {
            0xff
        } else {
            0
        };
        let writable = PtmControl::new()
            .with_ptm_enable(true)
            .with_root_select(capability.root_capable())
            .with_effective_granularity(granularity);
        registers.narrow(PtmReg::Control, writable.into_bits());
        Self::new(registers)
    }
}

impl TableExtendedCapability<L1PmSubstatesReg> {
    /// L1 PM Substates (PCIe 6.2 section 7.8.3) of a port of type `typ`. L1 PM Substates Supported follows from the others;
    /// Link Activation is not there.
    pub fn l1_pm_substates(capabilities: L1PmSubstatesCapabilities, typ: DevicePortType) -> Self {
        let l1_2 = capabilities.pci_pm_l1_2_supported() || capabilities.aspm_l1_2_supported();
        let l1_1 = capabilities.pci_pm_l1_1_supported() || capabilities.aspm_l1_1_supported();
        let mut registers = RegisterFile::new(L1PmSubstatesReg::Header);
        registers.init(
            L1PmSubstatesReg::Capabilities,
            capabilities
                .with_l1_pm_substates_supported(l1_1 || l1_2)
                .with_link_activation_supported(false)
                .into_bits(),
        );
        let if_l1_2 = |all: u16| if l1_2 { all } else { 0 };
        let common_mode = if l1_2 && typ.is_downstream() { 0xff } else { 0 };
        let writable = L1PmSubstatesControl1::new()
            .with_pci_pm_l1_2_enable(capabilities.pci_pm_l1_2_supported())
            .with_pci_pm_l1_1_enable(capabilities.pci_pm_l1_1_supported())
            .with_aspm_l1_2_enable(capabilities.aspm_l1_2_supported())
            .with_aspm_l1_1_enable(capabilities.aspm_l1_1_supported())
            .with_common_mode_restore_time(common_mode)
            .with_ltr_l1_2_threshold_value(if_l1_2(0x3ff))
            .with_ltr_l1_2_threshold_scale(if l1_2 { 7 } else { 0 });
        registers.narrow(L1PmSubstatesReg::Control1, writable.into_bits());
        if !l1_2 {
            // Without L1.2 there is no clock to wait for.
            registers.init(L1PmSubstatesReg::Control2, 0u32);
            registers.narrow(L1PmSubstatesReg::Control2, 0);
        }
        Self::new(registers)
    }
}

impl<R: BlockRegister> RegisterBlock for TableExtendedCapability<R> {
    type Register = R;

    fn file(&self) -> &RegisterFile<R> {
        &self.registers
    }

    fn file_mut(&mut self) -> &mut RegisterFile<R> {
        &mut self.registers
    }
}

impl<R: BlockRegister> ExtendedBlock for TableExtendedCapability<R> {}

impl<R: BlockRegister> SaveRestore for TableExtendedCapability<R> {
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
    use super::super::PciExtendedCapability;
    use super::super::assert_extended_header_contract;
    use super::*;

    fn after_all_ones(capability: &mut dyn PciExtendedCapability) -> Vec<u32> {
        assert_extended_header_contract(capability);
        let offsets = (0u16..).step_by(4).take(capability.len() / 4);
        for offset in offsets.clone() {
            capability.write_u32(offset, u32::MAX);
        }
        offsets.map(|offset| capability.read_u32(offset)).collect()
    }

    #[test]
    fn ltr_stores_two_latencies() {
        assert_eq!(
            after_all_ones(&mut TableExtendedCapability::ltr()),
            [0x0001_0018, 0x1fff_1fff]
        );
    }

    #[test]
    fn ptm_controls_follow_the_roles() {
        let requester = PtmCapability::new().with_requester_capable(true);
        let mut ptm = TableExtendedCapability::ptm(requester);
        assert_eq!(after_all_ones(&mut ptm), [0x0001_001f, 0x1, 0xff01]);
        let root = PtmCapability::new()
            .with_responder_capable(true)
            .with_root_capable(true)
            .with_local_clock_granularity(4);
        let mut ptm = TableExtendedCapability::ptm(root);
        assert_eq!(after_all_ones(&mut ptm), [0x0001_001f, 0x0406, 0x3]);
    }

    #[test]
    fn l1_controls_follow_the_capabilities_and_the_side_of_the_link() {
        let all = L1PmSubstatesCapabilities::from_bits(0xf);
        let l1_1 = L1PmSubstatesCapabilities::new().with_aspm_l1_1_supported(true);
        for (capabilities, typ, expected) in [
            (all, DevicePortType::RootPort, [0x1f, 0xe3ff_ff0f, 0xfb]),
            (all, DevicePortType::Endpoint, [0x1f, 0xe3ff_000f, 0xfb]),
            (l1_1, DevicePortType::RootPort, [0x18, 0x8, 0]),
        ] {
            let mut l1 = TableExtendedCapability::l1_pm_substates(capabilities, typ);
            assert_eq!(after_all_ones(&mut l1)[1..], expected);
        }
    }

    #[test]
    fn a_state_goes_from_one_instance_to_another() {
        let mut source = TableExtendedCapability::virtual_channel();
        source.write_u32(0x14, 0);
        let mut target = TableExtendedCapability::virtual_channel();
        target.restore(source.save().unwrap()).unwrap();
        assert_eq!(target.read_u32(0x14), 0x8000_0001);
        let mut other = TableExtendedCapability::ltr();
        assert!(other.restore(source.save().unwrap()).is_err());
    }

    #[test]
    fn restoring_changes_what_software_can_change_and_a_missing_register_is_reset() {
        let mut vc = TableExtendedCapability::virtual_channel();
        vc.write_u32(0x14, 0);
        let mut all_ones = vc.save().unwrap();
        all_ones.registers[0].value = u32::MAX;
        vc.restore(all_ones).unwrap();
        assert_eq!(vc.read_u32(0x14), 0x8000_00ff);
        vc.write_u32(0x14, 0);
        let mut none = vc.save().unwrap();
        none.registers.clear();
        vc.restore(none).unwrap();
        assert_eq!(vc.read_u32(0x14), 0x8000_00ff);
    }
}

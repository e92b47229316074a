//! Access Control Services (PCIe 6.2 section 7.7.11).
//!
//! Not emulated: redirection itself (there is no peer-to-peer traffic to redirect), and the egress control vector, which has size
//! zero.

use crate::capabilities::block::ExtendedBlock;
use crate::capabilities::block::RegisterBlock;
use crate::spec::caps::acs::AcsReg;
use crate::spec::caps::acs::DEFAULT_ACS_CAP_MASK;
use inspect::Inspect;
use reg_table::RegisterFile;

/// The ACS capability of a port or a multi-function endpoint. Each capability bit makes its enable bit writable.
///
/// ```
/// use pci_core::capabilities::extended::{PciExtendedCapability, acs::AcsExtendedCapability};
///
/// let mut acs = AcsExtendedCapability::with_capabilities(0x3);
/// acs.write_u32(4, 0xffff_0000);
/// assert_eq!(acs.read_u32(4), 0x0003_0003);
/// ```
#[derive(Debug, Inspect)]
pub struct AcsExtendedCapability {
    #[inspect(flatten)]
    registers: RegisterFile<AcsReg>,
}

impl Default for AcsExtendedCapability {
    fn default() -> Self {
        Self::new()
    }
}

impl AcsExtendedCapability {
    /// All services but egress control.
    pub fn new() -> Self {
        Self::with_capabilities(DEFAULT_ACS_CAP_MASK)
    }

    /// The services of `capability_bits`, as in the ACS Capability register.
    pub fn with_capabilities(capability_bits: u16) -> Self {
        let mut registers = RegisterFile::new(AcsReg::Header);
        registers.init(AcsReg::Capabilities, capability_bits);
        registers.narrow(AcsReg::Control, capability_bits.into());
        Self { registers }
    }
}

impl RegisterBlock for AcsExtendedCapability {
    type Register = AcsReg;

    fn file(&self) -> &RegisterFile<AcsReg> {
        &self.registers
    }

    fn file_mut(&mut self) -> &mut RegisterFile<AcsReg> {
        &mut self.registers
    }
}

impl ExtendedBlock for AcsExtendedCapability {}

mod save_restore {
    use super::*;
    use vmcore::save_restore::RestoreError;
    use vmcore::save_restore::SaveError;
    use vmcore::save_restore::SaveRestore;

    mod state {
        use mesh_protobuf::Protobuf;
        use vmcore::save_restore::SavedStateRoot;

        #[derive(Debug, Protobuf, SavedStateRoot)]
        #[mesh(package = "pci.capabilities.extended.acs")]
        pub struct SavedState {
            #[mesh(1)]
            pub control: u16,
        }
    }

    impl SaveRestore for AcsExtendedCapability {
        type SavedState = state::SavedState;

        fn save(&mut self) -> Result<Self::SavedState, SaveError> {
            Ok(state::SavedState {
                control: self.registers.get16(AcsReg::Control),
            })
        }

        fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
            self.registers.set_writable(AcsReg::Control, state.control);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PciExtendedCapability;
    use super::super::assert_extended_header_contract;
    use super::*;
    use vmcore::save_restore::SaveRestore;

    #[test]
    fn header_and_default_services() {
        let acs = AcsExtendedCapability::new();
        assert_extended_header_contract(&acs);
        assert_eq!(
            [0, 4, 8, 12].map(|o| acs.read_u32(o)),
            [0x0001_000d, 0x5f, 0, u32::MAX]
        );
        assert_eq!((acs.label(), acs.len()), ("acs", 12));
    }

    #[test]
    fn control_follows_the_capabilities() {
        let mut acs = AcsExtendedCapability::with_capabilities(0x1f);
        acs.write_u32(4, u32::MAX);
        assert_eq!(acs.read_u32(4), 0x001f_001f);
        let saved = acs.save().unwrap();
        acs.reset();
        assert_eq!(acs.read_u32(4), 0x1f);
        acs.restore(saved).unwrap();
        assert_eq!(acs.read_u32(4), 0x001f_001f);
        let mut smaller = AcsExtendedCapability::with_capabilities(0x1);
        let saved = acs.save().unwrap();
        smaller.restore(saved).unwrap();
        assert_eq!(smaller.read_u32(4), 0x0001_0001, "masked on restore");
    }

    #[test]
    fn the_egress_vector_ignores_writes() {
        let mut acs = AcsExtendedCapability::new();
        acs.write_u32(8, u32::MAX);
        assert_eq!(acs.read_u32(8), 0);
    }
}

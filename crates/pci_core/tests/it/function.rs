//! What the tests compose and how they reach it.

use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use pci_core::cfg_space_emu::Effects;
use pci_core::spec::hwid::ClassCode;
use pci_core::spec::hwid::HardwareIds;
use pci_core::spec::hwid::ProgrammingInterface;
use pci_core::spec::hwid::Subclass;

/// An NVMe controller's identity.
pub(crate) fn endpoint_ids() -> HardwareIds {
    HardwareIds {
        vendor_id: 0x1111,
        device_id: 0x2222,
        revision_id: 3,
        prog_if: ProgrammingInterface::MASS_STORAGE_CONTROLLER_NON_VOLATILE_MEMORY_NVME,
        sub_class: Subclass::MASS_STORAGE_CONTROLLER_NON_VOLATILE_MEMORY,
        base_class: ClassCode::MASS_STORAGE_CONTROLLER,
        type0_sub_vendor_id: 0x4444,
        type0_sub_system_id: 0x5555,
    }
}

/// A root port's identity.
pub(crate) fn port_ids() -> HardwareIds {
    HardwareIds {
        vendor_id: 0x1414,
        device_id: 0xc030,
        revision_id: 0,
        prog_if: ProgrammingInterface::NONE,
        sub_class: Subclass::BRIDGE_PCI_TO_PCI,
        base_class: ClassCode::BRIDGE,
        type0_sub_vendor_id: 0,
        type0_sub_system_id: 0,
    }
}

/// Accesses that are expected to succeed, to a function of either header type.
pub(crate) trait Config {
    fn try_read(&self, offset: u16) -> Result<u32, IoError>;
    fn try_write(&mut self, offset: u16, value: u32) -> Result<(), IoError>;
    fn write_lanes(&mut self, offset: u16, value: u32, lanes: u8) -> Effects;

    #[track_caller]
    fn read(&self, offset: u16) -> u32 {
        self.try_read(offset).unwrap()
    }

    #[track_caller]
    fn write(&mut self, offset: u16, value: u32) {
        self.try_write(offset, value).unwrap();
    }

    /// Reads each offset and compares.
    #[track_caller]
    fn shows(&self, expected: &[(u16, u32)]) {
        for &(offset, value) in expected {
            let read = self.read(offset);
            assert_eq!(
                read, value,
                "{offset:#05x} reads {read:#010x}, not {value:#010x}"
            );
        }
    }

    /// Each offset is written with all-ones, then reads as given.
    #[track_caller]
    fn shows_after_all_ones(&mut self, expected: &[(u16, u32)]) {
        for &(offset, _) in expected {
            self.write(offset, u32::MAX);
        }
        self.shows(expected);
    }
}

macro_rules! impl_config {
    ($emulator:ty) => {
        impl Config for $emulator {
            fn try_read(&self, offset: u16) -> Result<u32, IoError> {
                let mut value = 0xdead_beef;
                self.read_u32(offset, &mut value).now_or_never()?;
                Ok(value)
            }

            fn try_write(&mut self, offset: u16, value: u32) -> Result<(), IoError> {
                match self.write_u32(offset, value) {
                    IoResult::Ok => Ok(()),
                    IoResult::Err(error) => Err(error),
                    IoResult::Defer(_) => panic!("an emulator defers nothing"),
                }
            }

            fn write_lanes(&mut self, offset: u16, value: u32, lanes: u8) -> Effects {
                self.write_bytes(offset, value, ByteEnables::new(lanes).unwrap())
                    .unwrap()
            }
        }
    };
}

impl_config!(ConfigSpaceType0Emulator);
impl_config!(ConfigSpaceType1Emulator);

//! An endpoint's configuration space (PCIe 6.2 section 7.5.1.2).

use super::ConfigSpaceCommonHeaderEmulatorType0;
use super::ConfigSpaceError;
use super::DeviceBars;
use super::Effects;
use crate::capabilities::PciCapability;
use crate::capabilities::PciExtendedCapability;
use crate::spec::hwid::HardwareIds;
use chipset_device::io::IoError;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use reg_table::Reset;

/// The configuration space of an endpoint.
///
/// ```
/// use chipset_device::io::IoResult;
/// use pci_core::cfg_space_emu::{BarMemoryKind, ConfigSpaceType0Emulator, DeviceBars};
/// use pci_core::spec::hwid::{ClassCode, HardwareIds, ProgrammingInterface, Subclass};
///
/// let ids = HardwareIds {
///     vendor_id: 0x1234,
///     device_id: 0x5678,
///     revision_id: 1,
///     prog_if: ProgrammingInterface::NONE,
///     sub_class: Subclass::NONE,
///     base_class: ClassCode::UNCLASSIFIED,
///     type0_sub_vendor_id: 0,
///     type0_sub_system_id: 0,
/// };
/// let bars = DeviceBars::new().bar0(0x1_0000, BarMemoryKind::Dummy);
/// let mut config = ConfigSpaceType0Emulator::new(ids, vec![], vec![], bars);
/// let mut value = 0;
/// config.read_u32(0, &mut value).unwrap();
/// assert_eq!(value, 0x5678_1234);
/// config.write_u32(0x10, 0xfe00_0000).unwrap();
/// config.write_u32(0x04, 0x2).unwrap(); // Memory Space Enable
/// assert_eq!(config.find_bar(0xfe00_0010), Some((0, 0x10)));
/// assert!(matches!(config.read_u32(0x1, &mut value), IoResult::Err(_)));
/// ```
#[derive(Inspect)]
pub struct ConfigSpaceType0Emulator {
    #[inspect(flatten)]
    pub(super) common: ConfigSpaceCommonHeaderEmulatorType0,
}

impl ConfigSpaceType0Emulator {
    /// Composes an endpoint.
    ///
    /// # Panics
    ///
    /// Where [`Self::try_new`] gives an error, with its text.
    pub fn new(
        hardware_ids: HardwareIds,
        capabilities: Vec<Box<dyn PciCapability>>,
        extended_capabilities: Vec<Box<dyn PciExtendedCapability>>,
        bars: DeviceBars,
    ) -> Self {
        Self {
            common: ConfigSpaceCommonHeaderEmulatorType0::new(
                hardware_ids,
                capabilities,
                extended_capabilities,
                bars,
            ),
        }
    }

    /// Composes an endpoint.
    ///
    /// # Errors
    ///
    /// [`ConfigSpaceError`] names the capability or BAR that cannot be.
    pub fn try_new(
        hardware_ids: HardwareIds,
        capabilities: Vec<Box<dyn PciCapability>>,
        extended_capabilities: Vec<Box<dyn PciExtendedCapability>>,
        bars: DeviceBars,
    ) -> Result<Self, ConfigSpaceError> {
        let common = ConfigSpaceCommonHeaderEmulatorType0::try_new(
            hardware_ids,
            capabilities,
            extended_capabilities,
            bars,
        )?;
        Ok(Self { common })
    }

    /// Says in Header Type that the device has several functions, or has not.
    pub fn with_multi_function_bit(self, bit: bool) -> Self {
        Self {
            common: self.common.with_multi_function_bit(bit),
        }
    }

    /// Says in Header Type that the device has several functions, or has not.
    pub fn set_multi_function_bit(&mut self, bit: bool) {
        self.common.set_multi_function_bit(bit);
    }

    /// Resets to the state after power-on.
    pub fn reset(&mut self) {
        self.common.reset();
    }

    /// Resets as `kind` says.
    pub fn reset_by(&mut self, kind: Reset) {
        self.common.reset_by(kind);
    }

    /// Writes the enabled bytes of a dword and says what that changed.
    ///
    /// # Errors
    ///
    /// As [`Self::read_u32`].
    pub fn write_bytes(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Result<Effects, IoError> {
        self.common.write(offset, value, enables)
    }
}

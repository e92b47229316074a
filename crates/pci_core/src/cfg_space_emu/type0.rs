//! An endpoint's configuration space (PCIe 6.2 section 7.5.1.2).

use super::ConfigSpaceCommonHeaderEmulatorType0;
use super::ConfigSpaceError;
use super::DeviceBars;
use super::Effects;
use super::IntxInterrupt;
use crate::PciInterruptPin;
use crate::bar_mapping::BarMappings;
use crate::bus_master::BusMaster;
use crate::capabilities::PciCapability;
use crate::capabilities::PciExtendedCapability;
use crate::capabilities::pci_express::PciExpressCapability;
use crate::spec::caps::power_management::PowerState;
use crate::spec::cfg_space::Status;
use crate::spec::hwid::HardwareIds;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use pci_bus::Upstream;
use reg_table::Page;
use reg_table::Reset;
use std::sync::Arc;
use vmcore::line_interrupt::LineInterrupt;

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

    /// The power state that software chose; D0 without a Power Management capability.
    pub fn power_state(&self) -> PowerState {
        self.common.power_state()
    }

    /// Gives the function an INTx pin, wired to `line`.
    pub fn set_interrupt_pin(
        &mut self,
        pin: PciInterruptPin,
        line: LineInterrupt,
    ) -> Arc<IntxInterrupt> {
        self.common.set_interrupt_pin(pin, line)
    }

    /// Lets Bus Master Enable gate MSI and MSI-X, the function's own and that of the bridges above (PCIe 6.2 section 7.5.1.1.3).
    ///
    /// A message that is held back stays pending where the function has pending bits (MSI-X, and MSI with per-vector masking), and is
    /// sent when the function may; MSI without masking has no place for it, and it is lost.
    pub fn with_bus_master_gate(self) -> Self {
        Self {
            common: self.common.with_bus_master_gate(),
        }
    }

    /// Follows whether the function may issue requests: its own Bus Master Enable and that of the bridges above.
    pub fn bus_master(&self) -> BusMaster {
        self.common.bus_master()
    }

    /// What the bridges above let through: everything, until [`Self::set_upstream`] says otherwise.
    pub fn upstream(&self) -> &Upstream {
        self.common.upstream()
    }

    /// The bridges above let `upstream` through from now on. BARs that no access reaches any more are unmapped, those that are reached
    /// again are mapped, and [`Self::bus_master`] follows. A device calls it from
    /// [`ManagedDevice::upstream_changed`](pci_bus::ManagedDevice::upstream_changed).
    pub fn set_upstream(&mut self, upstream: &Upstream) {
        self.common.set_upstream(upstream);
    }

    /// Records error bits in Status, which software clears (PCIe 6.2 section 7.5.1.1.4). Other bits are ignored.
    pub fn record_status(&self, errors: Status) {
        self.common.record_status(errors);
    }

    /// Resets to the state after power-on.
    pub fn reset(&mut self) {
        self.common.reset();
    }

    /// Resets as `kind` says.
    pub fn reset_by(&mut self, kind: Reset) {
        self.common.reset_by(kind);
    }

    /// Reads a dword. `InvalidRegister` where the offset is not a multiple of 4 or beyond the configuration space: 4096 bytes with
    /// a PCI Express capability, 256 without.
    #[inline]
    pub fn read_u32(&self, offset: u16, value: &mut u32) -> IoResult {
        match self.common.read(offset) {
            Ok(read) => {
                *value = read;
                IoResult::Ok
            }
            Err(error) => IoResult::Err(error),
        }
    }

    /// Writes a dword. Errors as [`Self::read_u32`].
    pub fn write_u32(&mut self, offset: u16, value: u32) -> IoResult {
        match self.write_bytes(offset, value, ByteEnables::ALL) {
            Ok(_) => IoResult::Ok,
            Err(error) => IoResult::Err(error),
        }
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

    /// Which memory BAR claims an address, and the offset into it; none while Memory Space Enable is clear, or where a bridge above
    /// does not let accesses to all of the BAR through. The expansion ROM is [`EXPANSION_ROM`](super::EXPANSION_ROM).
    pub fn find_bar(&self, address: u64) -> Option<(u8, u64)> {
        self.common.find_bar(address)
    }

    /// Which I/O BAR claims a port, and the offset into it; as [`Self::find_bar`], by I/O Space Enable.
    pub fn find_io_bar(&self, port: u16) -> Option<(u8, u64)> {
        self.common.find_io_bar(port)
    }

    /// Where a BAR answers, if it does: the address of a memory BAR or the port of an I/O BAR.
    pub fn bar_address(&self, bar: u8) -> Option<u64> {
        self.common.bar_address(bar)
    }

    /// Where I/O BARs answer.
    pub fn io_bar_mappings(&self) -> &BarMappings {
        self.common.io_bar_mappings()
    }

    /// Where memory BARs and the expansion ROM answer.
    pub fn bar_mappings(&self) -> &BarMappings {
        self.common.bar_mappings()
    }

    /// Whether it has a PCI Express capability.
    pub fn is_pcie_device(&self) -> bool {
        self.common.is_pcie_device()
    }

    /// Sets Presence Detect State in the PCI Express capability; without one, nothing happens.
    pub fn set_presence_detect_state(&mut self, present: bool) {
        if let Some(pcie) = self.pci_express() {
            pcie.set_presence_detect_state(present);
        }
    }

    /// The PCI Express capability, if there is one.
    pub fn pci_express(&self) -> Option<&PciExpressCapability> {
        let capabilities = self.common.capabilities();
        capabilities.iter().find_map(|c| c.as_pci_express())
    }

    /// The page that holds the configuration space.
    pub fn page(&self) -> &Arc<Page> {
        self.common.page()
    }
}

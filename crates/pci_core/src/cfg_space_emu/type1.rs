//! The configuration space of a port or bridge (PCIe 6.2 section 7.5.1.3).

use super::ConfigSpaceCommonHeaderEmulatorType1;
use super::ConfigSpaceError;
use super::DeviceBars;
use super::Effects;
use super::IntxInterrupt;
use super::header::Header;
use crate::PciInterruptPin;
use crate::bar_mapping::BarMappings;
use crate::bus_master::BusMaster;
use crate::bus_range::AssignedBusRange;
use crate::capabilities::PciCapability;
use crate::capabilities::PciExtendedCapability;
use crate::capabilities::pci_express::PciExpressCapability;
use crate::spec::caps::power_management::PowerState;
use crate::spec::cfg_space::BridgeControl;
use crate::spec::cfg_space::IoAddressing;
use crate::spec::cfg_space::SecondaryStatus;
use crate::spec::cfg_space::Status;
use crate::spec::cfg_space::Type1HeaderReg;
use crate::spec::hwid::HardwareIds;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use pci_bus::Upstream;
use reg_table::Page;
use reg_table::Reset;
use std::ops::RangeInclusive;
use std::sync::Arc;
use vmcore::line_interrupt::LineInterrupt;

/// The configuration space of a port or bridge.
///
/// ```
/// use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
/// use pci_core::spec::hwid::{ClassCode, HardwareIds, ProgrammingInterface, Subclass};
///
/// let ids = HardwareIds {
///     vendor_id: 0x1234,
///     device_id: 0x5678,
///     revision_id: 0,
///     prog_if: ProgrammingInterface::NONE,
///     sub_class: Subclass::BRIDGE_PCI_TO_PCI,
///     base_class: ClassCode::BRIDGE,
///     type0_sub_vendor_id: 0,
///     type0_sub_system_id: 0,
/// };
/// let mut bridge = ConfigSpaceType1Emulator::new(ids, vec![], vec![]);
/// bridge.write_u32(0x18, 0x0005_0100).unwrap();
/// assert_eq!(bridge.assigned_bus_range(), 1..=5);
/// ```
#[derive(Inspect)]
pub struct ConfigSpaceType1Emulator {
    #[inspect(flatten)]
    pub(super) common: ConfigSpaceCommonHeaderEmulatorType1,
    /// The bus numbers, for those who route or tag by them.
    #[inspect(skip)]
    bus_range: AssignedBusRange,
}

impl ConfigSpaceType1Emulator {
    /// Composes a bridge without BARs.
    ///
    /// # Panics
    ///
    /// Where [`Self::try_new`] gives an error, with its text.
    pub fn new(
        hardware_ids: HardwareIds,
        capabilities: Vec<Box<dyn PciCapability>>,
        extended_capabilities: Vec<Box<dyn PciExtendedCapability>>,
    ) -> Self {
        Self::new_with_bars(
            hardware_ids,
            capabilities,
            extended_capabilities,
            DeviceBars::new(),
        )
    }

    /// Composes a bridge.
    ///
    /// # Panics
    ///
    /// Where [`Self::try_new`] gives an error, with its text.
    pub fn new_with_bars(
        hardware_ids: HardwareIds,
        capabilities: Vec<Box<dyn PciCapability>>,
        extended_capabilities: Vec<Box<dyn PciExtendedCapability>>,
        bars: DeviceBars,
    ) -> Self {
        Self::from_common(ConfigSpaceCommonHeaderEmulatorType1::new(
            hardware_ids,
            capabilities,
            extended_capabilities,
            bars,
        ))
    }

    /// Composes a bridge.
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
        let common = ConfigSpaceCommonHeaderEmulatorType1::try_new(
            hardware_ids,
            capabilities,
            extended_capabilities,
            bars,
        )?;
        Ok(Self::from_common(common))
    }

    fn from_common(common: ConfigSpaceCommonHeaderEmulatorType1) -> Self {
        Self {
            common,
            bus_range: AssignedBusRange::new(),
        }
    }

    /// Says in Header Type that the device has several functions, or has not.
    pub fn with_multi_function_bit(self, multi_function: bool) -> Self {
        Self {
            common: self.common.with_multi_function_bit(multi_function),
            ..self
        }
    }

    /// Gives the bridge an I/O window with addresses of so many bits (PCIe 6.2 section 7.5.1.3.6). Without, its registers read zero,
    /// and no I/O access goes through.
    pub fn with_io_window(mut self, addressing: IoAddressing) -> Self {
        self.common.header.init_io_window(Some(addressing));
        self
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
            ..self
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
        self.reset_by(Reset::Cold);
    }

    /// Resets as `kind` says.
    pub fn reset_by(&mut self, kind: Reset) {
        self.common.reset_by(kind);
        self.publish_bus_range();
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
        let effects = self.common.write(offset, value, enables)?;
        if effects.bus_numbers {
            self.publish_bus_range();
        }
        Ok(effects)
    }

    pub(super) fn get(&self, register: Type1HeaderReg) -> u32 {
        match &self.common.header {
            Header::Type1(file) => file.get(register),
            // A bridge is never composed with another header.
            Header::Type0(_) => 0,
        }
    }

    fn get8(&self, register: Type1HeaderReg) -> u8 {
        u8::try_from(self.get(register)).unwrap_or(u8::MAX)
    }

    pub(super) fn publish_bus_range(&self) {
        self.bus_range.set_bus_range(
            self.get8(Type1HeaderReg::SecondaryBusNumber),
            self.get8(Type1HeaderReg::SubordinateBusNumber),
        );
    }

    /// The power state that software chose; D0 without a Power Management capability.
    pub fn power_state(&self) -> PowerState {
        self.common.power_state()
    }

    /// The buses below: secondary to subordinate; `0..=0` while unprogrammed or when the guest wrote secondary above subordinate.
    pub fn assigned_bus_range(&self) -> RangeInclusive<u8> {
        let (secondary, subordinate) = self.bus_range.bus_range();
        if secondary <= subordinate {
            secondary..=subordinate
        } else {
            0..=0
        }
    }

    /// `(secondary, subordinate)` as [`Self::assigned_bus_range`] gives them.
    #[inline]
    pub fn bus_numbers(&self) -> (u8, u8) {
        let (secondary, subordinate) = self.bus_range.bus_range();
        if secondary <= subordinate {
            (secondary, subordinate)
        } else {
            (0, 0)
        }
    }

    /// A handle on the bus numbers that follows them: what the guest wrote, sensible or not.
    pub fn bus_range(&self) -> AssignedBusRange {
        self.bus_range.clone()
    }

    /// Records error bits in Secondary Status, which software clears (PCIe 6.2 section 7.5.1.3.7). Other bits are ignored.
    ///
    /// A request that the bridge forwards and that nobody below answers leaves Received Master Abort as it is: that bit is about
    /// requests that the bridge itself sends down.
    pub fn record_secondary_status(&self, errors: SecondaryStatus) {
        if let Header::Type1(file) = &self.common.header {
            let errors =
                u32::from(errors.into_bits()) & file.writable(Type1HeaderReg::SecondaryStatus);
            file.update(Type1HeaderReg::SecondaryStatus, |status| status | errors);
        }
    }

    /// Whether the guest holds the bus below in reset (PCIe 6.2 section 7.5.1.3.13).
    pub fn secondary_bus_reset(&self) -> bool {
        self.bridge_control().secondary_bus_reset()
    }

    /// Whether the bridge has an I/O window.
    pub(super) fn has_io_window(&self) -> bool {
        match &self.common.header {
            Header::Type1(file) => file.writable(Type1HeaderReg::IoBase) != 0,
            Header::Type0(_) => false,
        }
    }

    /// Bridge Control.
    pub(super) fn bridge_control(&self) -> BridgeControl {
        let control = u16::try_from(self.get(Type1HeaderReg::BridgeControl)).unwrap_or_default();
        BridgeControl::from_bits(control)
    }

    /// Which memory BAR claims an address, and the offset into it; none while Memory Space Enable is clear, or where a bridge above
    /// does not let accesses to all of the BAR through. The expansion ROM is [`EXPANSION_ROM`](super::EXPANSION_ROM).
    #[inline]
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

    /// The legacy capabilities, in order.
    pub fn capabilities(&self) -> &[Box<dyn PciCapability>] {
        self.common.capabilities()
    }

    /// The legacy capabilities, in order.
    pub fn capabilities_mut(&mut self) -> &mut [Box<dyn PciCapability>] {
        self.common.capabilities_mut()
    }

    /// The extended capabilities, in order.
    pub fn extended_capabilities(&self) -> &[Box<dyn PciExtendedCapability>] {
        self.common.extended_capabilities()
    }

    /// The PCI Express capability, if there is one.
    pub fn pci_express(&self) -> Option<&PciExpressCapability> {
        self.capabilities().iter().find_map(|c| c.as_pci_express())
    }

    /// Sets Presence Detect State in the PCI Express capability; without one, nothing happens.
    pub fn set_presence_detect_state(&mut self, present: bool) {
        if let Some(pcie) = self.pci_express() {
            pcie.set_presence_detect_state(present);
        }
    }

    /// The page that holds the configuration space.
    pub fn page(&self) -> &Arc<Page> {
        self.common.page()
    }
}

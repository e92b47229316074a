//! The configuration space of a port or bridge (PCIe 6.2 section 7.5.1.3).

use super::ConfigSpaceCommonHeaderEmulatorType1;
use super::ConfigSpaceError;
use super::DeviceBars;
use super::Effects;
use super::header::Header;
use crate::bus_range::AssignedBusRange;
use crate::capabilities::PciCapability;
use crate::capabilities::PciExtendedCapability;
use crate::spec::cfg_space::BridgeControl;
use crate::spec::cfg_space::IoAddressing;
use crate::spec::cfg_space::SecondaryStatus;
use crate::spec::cfg_space::Type1HeaderReg;
use crate::spec::hwid::HardwareIds;
use chipset_device::io::IoError;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use reg_table::Reset;
use std::ops::RangeInclusive;

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

    /// Resets to the state after power-on.
    pub fn reset(&mut self) {
        self.reset_by(Reset::Cold);
    }

    /// Resets as `kind` says.
    pub fn reset_by(&mut self, kind: Reset) {
        self.common.reset_by(kind);
        self.publish_bus_range();
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
}

//! The PCI Express capability (PCIe 6.2 section 7.5.3): device, link, slot and root registers.
//!
//! [`SlotConfig`] and [`LinkConfig`] say what a port has. Its owner then tells it what happens to the hardware
//! ([`PciExpressCapability::insert_card`] and its neighbours), asks [`PciExpressCapability::downstream_reachable`] before it routes
//! anything below, and takes [`PortEvents`] after each write of the guest: register code performs nothing itself.
//!
//! Not emulated: link retraining and slot commands take no time; no Set_Slot_Power_Limit messages.

mod errors;
mod events;
mod inspection;
mod link;
mod machine;
mod operate;
mod pme;
mod save_restore;
mod slot;
mod standard;

pub use events::PortCounters;
pub use events::PortEvents;
pub use link::LinkConfig;
pub use link::LinkError;
pub use link::LinkRate;
pub use operate::BandwidthChange;
pub use slot::SlotConfig;
pub use slot::SlotError;
pub use slot::SlotPowerLimit;

use super::block::LegacyBlock;
use super::block::RegisterBlock;
use crate::spec::caps::pci_express::DeviceCapabilities;
use crate::spec::caps::pci_express::DeviceCapabilities2;
use crate::spec::caps::pci_express::DeviceControl2;
use crate::spec::caps::pci_express::DevicePortType;
use crate::spec::caps::pci_express::LinkCapabilities;
use crate::spec::caps::pci_express::LinkControl;
use crate::spec::caps::pci_express::LinkControl2;
use crate::spec::caps::pci_express::LinkSpeed;
use crate::spec::caps::pci_express::LinkStatus;
use crate::spec::caps::pci_express::PciExpressCapabilities;
use crate::spec::caps::pci_express::PciExpressReg;
use crate::spec::caps::pci_express::RootCapabilities;
use crate::spec::caps::pci_express::SlotCapabilities;
use crate::spec::caps::pci_express::SlotCapabilities2;
use crate::spec::caps::pci_express::SlotControl;
use crate::spec::caps::pci_express::SlotStatus;
use inspect::Inspect;
use link::has_link;
use machine::Cause;
use machine::Machine;
use parking_lot::Mutex;
use reg_table::Change;
use reg_table::RegisterFile;
use reg_table::Reset;
use slot::is_downstream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use vmcore::interrupt::Interrupt;

/// Function Level Reset Capability in Device Capabilities.
pub const PCI_EXPRESS_DEVICE_CAPS_FLR_BIT_MASK: u32 = 1 << 28;

/// The highest Physical Slot Number (PCIe 6.2 section 7.5.3.9).
pub const PHYSICAL_SLOT_NUMBER_MAX: u32 = 0x1fff;

/// Performs a function-level reset (PCIe 6.2 section 6.6.2) when the guest asks for it.
///
/// Called from within a configuration write, with the function's lock held: an implementor notes the request and resets
/// afterwards; it must not block.
pub trait FlrHandler: Send + Sync + Inspect {
    /// The guest set Initiate Function Level Reset.
    fn initiate_flr(&self);
}

/// The PCI Express capability of a function.
///
/// ```
/// use pci_core::capabilities::{PciCapability, pci_express::PciExpressCapability};
/// use pci_core::spec::caps::pci_express::DevicePortType;
///
/// let slot = PciExpressCapability::new(DevicePortType::RootPort, None).with_hotplug_support(3);
/// assert_eq!(slot.slot_capabilities().physical_slot_number(), 3);
/// slot.set_hotplug_state(true);
/// assert_eq!(slot.read_u32(0x18) >> 16, 0x148); // presence detected, presence and link state changed
/// ```
pub struct PciExpressCapability {
    registers: RegisterFile<PciExpressReg>,
    slot_capabilities: SlotCapabilities,
    /// The slot has out-of-band presence detection, which no register tells.
    presence_pin: bool,
    /// Composed [`Self::with_standard_registers`].
    standard: bool,
    /// Target of function-level resets.
    flr_handler: Option<Arc<dyn FlrHandler>>,
    /// The guest asked for a function-level reset, and the owner does not know yet.
    flr_requested: AtomicBool,
    machine: Mutex<Machine>,
    /// Whether the link is up, beside the lock: routing asks for each packet.
    link_up: AtomicBool,
}

impl PciExpressCapability {
    /// The capability of a function or port of type `typ`, which has function-level reset if `flr_handler` is given.
    pub fn new(typ: DevicePortType, flr_handler: Option<Arc<dyn FlrHandler>>) -> Self {
        let mut registers = RegisterFile::new(PciExpressReg::CapabilityId);
        let capabilities =
            PciExpressCapabilities::from_bits(registers.get16(PciExpressReg::Capabilities));
        registers.init(
            PciExpressReg::Capabilities,
            capabilities.with_device_port_type(typ).into_bits(),
        );
        let flr = DeviceCapabilities::new().with_function_level_reset(flr_handler.is_some());
        registers.init(PciExpressReg::DeviceCapabilities, flr.into_bits());
        if !has_link(typ) {
            // No link: its registers are reserved (PCIe 6.2 section 7.5.3).
            for register in [
                PciExpressReg::LinkCapabilities,
                PciExpressReg::LinkControl,
                PciExpressReg::LinkStatus,
                PciExpressReg::LinkCapabilities2,
                PciExpressReg::LinkControl2,
            ] {
                registers.init(register, 0u32);
                registers.narrow(register, 0);
            }
        }
        let mut this = Self {
            registers,
            slot_capabilities: SlotCapabilities::new(),
            presence_pin: false,
            standard: false,
            flr_handler,
            flr_requested: AtomicBool::new(false),
            machine: Mutex::default(),
            link_up: AtomicBool::new(false),
        };
        this.gate_slot_control();
        this.gate_ari_forwarding();
        this.begin();
        this
    }

    /// A function that has function-level reset (PCIe 6.2 section 6.6.2). What the guest asks for is an
    /// [effect](crate::cfg_space_emu::Effects::function_reset) of its write.
    pub fn with_function_level_reset(mut self) -> Self {
        let capabilities =
            DeviceCapabilities::from_bits(self.registers.get(PciExpressReg::DeviceCapabilities));
        self.registers.init(
            PciExpressReg::DeviceCapabilities,
            capabilities.with_function_level_reset(true).into_bits(),
        );
        self
    }

    fn has_function_level_reset(&self) -> bool {
        DeviceCapabilities::from_bits(self.registers.get(PciExpressReg::DeviceCapabilities))
            .function_level_reset()
    }

    /// Whether the guest asked for a function-level reset since the last call.
    pub fn take_function_level_reset(&self) -> bool {
        self.flr_requested.swap(false, Ordering::Relaxed)
    }

    /// A hot-plug capable slot without button, indicators or power controller: devices come and go by surprise.
    ///
    /// # Panics
    ///
    /// - unless this is a root port or a switch's downstream port: only these have slots;
    /// - when `slot_number` is above 8191: the register has 13 bits for it.
    #[expect(clippy::panic, reason = "documented; `with_slot` has a typed error")]
    pub fn with_hotplug_support(self, slot_number: u32) -> Self {
        match self.with_slot(SlotConfig::surprise(slot_number)) {
            Ok(this) => this,
            Err(SlotError::NoSlot { port_type }) => {
                panic!("Hotplug support is not valid for device port type {port_type:?}")
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A slot with what `config` names, and no card in it.
    ///
    /// # Errors
    ///
    /// - [`SlotError::NoSlot`]: this is neither a root port nor a switch's downstream port;
    /// - [`SlotError::Number`], [`SlotError::PowerLimitScale`]: a value that its register cannot hold;
    /// - [`SlotError::PowerWithoutPresence`], [`SlotError::PresenceWithoutPin`]: parts that need out-of-band presence detection.
    pub fn with_slot(mut self, config: SlotConfig) -> Result<Self, SlotError> {
        config.check(self.device_port_type())?;
        self.slot_capabilities = config.capabilities();
        self.presence_pin = config.out_of_band_presence;
        let capabilities =
            PciExpressCapabilities::from_bits(self.registers.get16(PciExpressReg::Capabilities))
                .with_slot_implemented(true);
        let link = LinkCapabilities::from_bits(self.registers.get(PciExpressReg::LinkCapabilities));
        let reports = link.data_link_layer_link_active_reporting() || config.hot_plug_capable;
        let link = link.with_data_link_layer_link_active_reporting(reports);
        let registers = &mut self.registers;
        registers.init(PciExpressReg::Capabilities, capabilities.into_bits());
        registers.init(PciExpressReg::LinkCapabilities, link.into_bits());
        registers.init(
            PciExpressReg::SlotCapabilities,
            self.slot_capabilities.into_bits(),
        );
        registers.init(
            PciExpressReg::SlotCapabilities2,
            config.capabilities_2().into_bits(),
        );
        registers.init(PciExpressReg::SlotControl, config.control().into_bits());
        self.gate_slot_control();
        let machine = self.machine.get_mut();
        machine.card = None;
        machine.presence_pin = false;
        self.begin();
        Ok(self)
    }

    /// A link that can do what `config` says. It trains to what both ends can; see [`Self::insert_card`].
    ///
    /// # Errors
    ///
    /// - [`LinkError::NoLink`]: an integrated endpoint or an event collector;
    /// - [`LinkError::Speed`], [`LinkError::Width`]: no such speed or width.
    pub fn with_link(mut self, config: LinkConfig) -> Result<Self, LinkError> {
        let typ = self.device_port_type();
        config.check(typ)?;
        let downstream = is_downstream(typ);
        let link = config.capabilities(downstream);
        let reports = link.data_link_layer_link_active_reporting()
            || self.slot_capabilities.hot_plug_capable();
        let link = link.with_data_link_layer_link_active_reporting(reports);
        let flit = config.max_speed >= LinkSpeed::Speed64_0GtS;
        let capabilities =
            PciExpressCapabilities::from_bits(self.registers.get16(PciExpressReg::Capabilities))
                .with_flit_mode_supported(flit);
        let control_2 =
            LinkControl2::new().with_target_link_speed(low_half(config.max_speed.into_bits()));
        // What only a port that leads downstream has is reserved elsewhere (PCIe 6.2 section 7.5.3.7).
        let notifies = link.link_bandwidth_notification_capability();
        let absent = LinkControl::new()
            .with_link_disable(!downstream)
            .with_retrain_link(!downstream)
            .with_link_bandwidth_management_interrupt_enable(!notifies)
            .with_link_autonomous_bandwidth_interrupt_enable(!notifies);
        let registers = &mut self.registers;
        registers.init(PciExpressReg::Capabilities, capabilities.into_bits());
        registers.init(PciExpressReg::LinkCapabilities, link.into_bits());
        registers.init(
            PciExpressReg::LinkCapabilities2,
            config.capabilities_2().into_bits(),
        );
        registers.init(PciExpressReg::LinkControl2, control_2.into_bits());
        registers.narrow(PciExpressReg::LinkControl, u32::from(!absent.into_bits()));
        self.begin();
        Ok(self)
    }

    /// Shows what follows from the composition.
    fn begin(&mut self) {
        self.act(Cause::Beginning, |_| {});
        self.machine.get_mut().events = PortEvents::default();
        self.machine.get_mut().counters = PortCounters::default();
    }

    /// Lets software turn on ARI forwarding in this downstream port (PCIe 6.2 section 7.5.3.15).
    pub fn with_ari_forwarding(mut self) -> Self {
        let supported =
            DeviceCapabilities2::from_bits(self.registers.get(PciExpressReg::DeviceCapabilities2));
        self.registers.init(
            PciExpressReg::DeviceCapabilities2,
            supported.with_ari_forwarding_supported(true).into_bits(),
        );
        self.gate_ari_forwarding();
        self
    }

    /// Lets software see, in this root port, that a device below is not ready yet (PCIe 6.2 section 7.5.3.13).
    pub fn with_crs_software_visibility(mut self) -> Self {
        let capabilities = RootCapabilities::new().with_crs_software_visibility(true);
        self.registers
            .init(PciExpressReg::RootCapabilities, capabilities.into_bits());
        self
    }

    /// Whether software asked to see that a device below is not ready yet, in a port that can show it.
    pub fn crs_software_visible(&self) -> bool {
        let can =
            RootCapabilities::from_bits(self.registers.get16(PciExpressReg::RootCapabilities));
        can.crs_software_visibility() && self.root_control().crs_software_visibility_enable()
    }

    /// ARI Forwarding Enable is hardwired to zero unless forwarding is supported (PCIe 6.2 section 7.5.3.16).
    fn gate_ari_forwarding(&mut self) {
        let supported =
            DeviceCapabilities2::from_bits(self.registers.get(PciExpressReg::DeviceCapabilities2))
                .ari_forwarding_supported();
        let fixed = DeviceControl2::new().with_ari_forwarding_enable(!supported);
        self.registers
            .narrow(PciExpressReg::DeviceControl2, u32::from(!fixed.into_bits()));
    }

    /// Delivers hot-plug events through `interrupt`.
    pub fn set_hot_plug_interrupt(&mut self, interrupt: Interrupt) {
        self.machine.get_mut().hot_plug.interrupt = Some(interrupt);
    }

    /// Delivers bandwidth changes of the link through `interrupt`, which may be that of [`Self::set_hot_plug_interrupt`].
    pub fn set_link_interrupt(&mut self, interrupt: Interrupt) {
        self.machine.get_mut().bandwidth.interrupt = Some(interrupt);
    }

    /// Takes away the control bits of what the slot does not have.
    fn gate_slot_control(&mut self) {
        let has_2 =
            SlotCapabilities2::from_bits(self.registers.get(PciExpressReg::SlotCapabilities2));
        let writable = slot::writable(&self.slot_capabilities, &has_2);
        self.registers
            .narrow(PciExpressReg::SlotControl, writable.into_bits().into());
    }

    /// The type of function or port.
    pub fn device_port_type(&self) -> DevicePortType {
        PciExpressCapabilities::from_bits(self.registers.get16(PciExpressReg::Capabilities))
            .device_port_type()
    }

    /// Whether messages of what is below, or associated, end here.
    pub(crate) fn ends_messages(&self) -> bool {
        matches!(
            self.device_port_type(),
            DevicePortType::RootPort | DevicePortType::RootComplexEventCollector
        )
    }

    /// What the slot has.
    pub fn slot_capabilities(&self) -> &SlotCapabilities {
        &self.slot_capabilities
    }

    /// Slot Status as of now.
    pub fn slot_status(&self) -> SlotStatus {
        SlotStatus::from_bits(self.registers.get16(PciExpressReg::SlotStatus))
    }

    /// Slot Control as of now.
    pub fn slot_control(&self) -> SlotControl {
        SlotControl::from_bits(self.registers.get16(PciExpressReg::SlotControl))
    }

    /// Link Status as of now.
    pub fn link_status(&self) -> LinkStatus {
        LinkStatus::from_bits(self.registers.get16(PciExpressReg::LinkStatus))
    }

    fn slot_implemented(&self) -> bool {
        PciExpressCapabilities::from_bits(self.registers.get16(PciExpressReg::Capabilities))
            .slot_implemented()
    }

    /// Whether the guest turned on ARI forwarding: functions above 7 are reached below this port.
    pub fn ari_forwarding_enabled(&self) -> bool {
        DeviceControl2::from_bits(self.registers.get16(PciExpressReg::DeviceControl2))
            .ari_forwarding_enable()
    }

    /// Whether the guest set Hot-Plug Interrupt Enable.
    pub fn hot_plug_interrupt_enabled(&self) -> bool {
        self.slot_control().hot_plug_interrupt_enable()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the caller asks for the low half"
)]
fn low_half(value: u32) -> u16 {
    value as u16
}

impl RegisterBlock for PciExpressCapability {
    type Register = PciExpressReg;

    const LABEL: &'static str = "pci-express";

    fn file(&self) -> &RegisterFile<PciExpressReg> {
        &self.registers
    }

    fn file_mut(&mut self) -> &mut RegisterFile<PciExpressReg> {
        &mut self.registers
    }

    fn written(&mut self, change: Change<PciExpressReg>) {
        use PciExpressReg::*;
        match change.register {
            DeviceControl => {
                if change.strobes != 0 && self.has_function_level_reset() {
                    self.flr_requested.store(true, Ordering::Relaxed);
                    if let Some(handler) = &self.flr_handler {
                        handler.initiate_flr();
                    }
                }
            }
            SlotControl => self.slot_control_written(change),
            LinkControl => self.link_control_written(change),
            LinkControl2 => self.link_control_2_written(),
            SlotStatus | LinkStatus | RootControl => self.status_written(),
            RootStatus => self.root_status_written(),
            // The port's and the root complex's to look at.
            DeviceControl2 | DeviceStatus => {}
            // Read-only.
            CapabilityId | NextPointer | Capabilities | DeviceCapabilities | LinkCapabilities
            | SlotCapabilities | RootCapabilities | DeviceCapabilities2 | DeviceStatus2
            | LinkCapabilities2 | LinkStatus2 | SlotCapabilities2 | SlotControl2 | SlotStatus2 => {}
        }
    }

    fn reset_registers(&mut self, kind: Reset) {
        self.take_function_level_reset();
        self.registers.reset(kind);
        self.after_reset(kind);
    }
}

impl LegacyBlock for PciExpressCapability {}

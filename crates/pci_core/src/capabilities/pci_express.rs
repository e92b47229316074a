//! The PCI Express capability (PCIe 6.2 section 7.5.3): device, link, slot and root registers.
//!
//! Not emulated: link retraining takes no time, and a slot has neither buttons, indicators nor a power controller unless it is
//! composed with them.

use super::CapabilityRegisters;
use super::ConfigSlot;
use super::PciCapability;
use crate::spec::caps::CapabilityId;
use crate::spec::caps::pci_express::DeviceCapabilities;
use crate::spec::caps::pci_express::DeviceCapabilities2;
use crate::spec::caps::pci_express::DeviceControl2;
use crate::spec::caps::pci_express::DevicePortType;
use crate::spec::caps::pci_express::LinkCapabilities;
use crate::spec::caps::pci_express::LinkControl2;
use crate::spec::caps::pci_express::LinkStatus;
use crate::spec::caps::pci_express::PciExpressCapabilities;
use crate::spec::caps::pci_express::PciExpressReg;
use crate::spec::caps::pci_express::SlotCapabilities;
use crate::spec::caps::pci_express::SlotControl;
use crate::spec::caps::pci_express::SlotStatus;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use parking_lot::Mutex;
use reg_table::RegisterFile;
use reg_table::Reset;
use std::sync::Arc;
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
#[derive(Inspect)]
pub struct PciExpressCapability {
    #[inspect(flatten)]
    registers: RegisterFile<PciExpressReg>,
    #[inspect(skip)]
    slot_capabilities: SlotCapabilities,
    /// Target of function-level resets.
    flr_handler: Option<Arc<dyn FlrHandler>>,
    #[inspect(skip)]
    hot_plug: Mutex<HotPlugInterrupt>,
}

/// The hot-plug interrupt: an edge whenever an enabled event appears while none was (PCIe 6.2 section 6.7.3.4).
#[derive(Default)]
struct HotPlugInterrupt {
    interrupt: Option<Interrupt>,
    asserted: bool,
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
        if matches!(
            typ,
            DevicePortType::RootComplexIntegratedEndpoint
                | DevicePortType::RootComplexEventCollector
        ) {
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
            flr_handler,
            hot_plug: Mutex::default(),
        };
        this.gate_slot_control();
        this.gate_ari_forwarding();
        this
    }

    /// A hot-plug capable slot without button, indicators or power controller: devices come and go by surprise.
    ///
    /// # Panics
    ///
    /// - unless this is a root port or a switch's downstream port: only these have slots;
    /// - when `slot_number` is above 8191: the register has 13 bits for it.
    pub fn with_hotplug_support(mut self, slot_number: u32) -> Self {
        let typ = self.device_port_type();
        assert!(
            matches!(
                typ,
                DevicePortType::RootPort | DevicePortType::DownstreamSwitchPort
            ),
            "Hotplug support is not valid for device port type {typ:?}"
        );
        assert!(
            slot_number <= PHYSICAL_SLOT_NUMBER_MAX,
            "the physical slot number is {slot_number}; it is at most {PHYSICAL_SLOT_NUMBER_MAX}"
        );
        let capabilities =
            PciExpressCapabilities::from_bits(self.registers.get16(PciExpressReg::Capabilities));
        self.registers.init(
            PciExpressReg::Capabilities,
            capabilities.with_slot_implemented(true).into_bits(),
        );
        self.slot_capabilities = SlotCapabilities::new()
            .with_hot_plug_surprise(true)
            .with_hot_plug_capable(true)
            .with_no_command_completed_support(true)
            .with_physical_slot_number(slot_number);
        let link = LinkCapabilities::from_bits(self.registers.get(PciExpressReg::LinkCapabilities));
        self.registers.init(
            PciExpressReg::LinkCapabilities,
            link.with_data_link_layer_link_active_reporting(true)
                .into_bits(),
        );
        self.registers.init(
            PciExpressReg::SlotCapabilities,
            self.slot_capabilities.into_bits(),
        );
        self.gate_slot_control();
        // An empty slot has no link.
        self.show_presence(false);
        self
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
        self.hot_plug.get_mut().interrupt = Some(interrupt);
    }

    /// Takes away the control bits of what the slot does not have (PCIe 6.2 section 7.5.3.10).
    fn gate_slot_control(&mut self) {
        let has = &self.slot_capabilities;
        let indicator = |present| if present { 0b11 } else { 0 };
        let writable = SlotControl::new()
            .with_attention_button_pressed_enable(has.attention_button_present())
            .with_power_fault_detected_enable(true)
            .with_mrl_sensor_changed_enable(has.mrl_sensor_present())
            .with_presence_detect_changed_enable(true)
            .with_command_completed_interrupt_enable(!has.no_command_completed_support())
            .with_hot_plug_interrupt_enable(has.hot_plug_capable())
            .with_attention_indicator_control(indicator(has.attention_indicator_present()))
            .with_power_indicator_control(indicator(has.power_indicator_present()))
            .with_power_controller_control(has.power_controller_present())
            .with_electromechanical_interlock_control(has.electromechanical_interlock_present())
            .with_data_link_layer_state_changed_enable(true)
            .with_auto_slot_power_limit_enable(true);
        self.registers
            .narrow(PciExpressReg::SlotControl, writable.into_bits().into());
    }

    /// The type of function or port.
    pub fn device_port_type(&self) -> DevicePortType {
        PciExpressCapabilities::from_bits(self.registers.get16(PciExpressReg::Capabilities))
            .device_port_type()
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

    /// Says that a card is or is not in the slot, as at power-on: the "changed" bits stay. Without a slot, nothing happens.
    pub fn set_presence_detect_state(&self, present: bool) {
        if self.slot_implemented() {
            self.show_presence(present);
        }
    }

    /// Records that presence and link state changed, and interrupts if the guest wants that.
    pub fn set_hotplug_changed_bits(&self) {
        let changed = SlotStatus::new()
            .with_presence_detect_changed(true)
            .with_data_link_layer_state_changed(true);
        self.registers.update(PciExpressReg::SlotStatus, |status| {
            status | u32::from(changed.into_bits())
        });
        self.evaluate_hot_plug_interrupt();
    }

    /// Says that a card came or went: presence, link, and the "changed" bits; interrupts if the guest wants that. Without a slot,
    /// nothing happens.
    pub fn set_hotplug_state(&self, present: bool) {
        if self.slot_implemented() {
            self.show_presence(present);
            self.set_hotplug_changed_bits();
        }
    }

    fn show_presence(&self, present: bool) {
        self.registers.update(PciExpressReg::SlotStatus, |status| {
            let status =
                SlotStatus::from_bits(low_half(status)).with_presence_detect_state(present.into());
            status.into_bits().into()
        });
        self.registers.update(PciExpressReg::LinkStatus, |status| {
            let status = LinkStatus::from_bits(low_half(status));
            let link =
                LinkCapabilities::from_bits(self.registers.get(PciExpressReg::LinkCapabilities));
            let status = status
                .with_current_link_speed(if present { self.target_speed() } else { 0 })
                .with_negotiated_link_width(if present {
                    low_half(link.max_link_width())
                } else {
                    0
                })
                .with_data_link_layer_link_active(present);
            status.into_bits().into()
        });
    }

    /// The speed a link trains to: the target, at most what the port can.
    fn target_speed(&self) -> u16 {
        let link = LinkCapabilities::from_bits(self.registers.get(PciExpressReg::LinkCapabilities));
        let control = LinkControl2::from_bits(self.registers.get16(PciExpressReg::LinkControl2));
        control
            .target_link_speed()
            .min(low_half(link.max_link_speed()))
    }

    /// The guest changed the target speed, or a reset did: the target is kept within what the port can, and a link that is up
    /// follows.
    fn retarget(&self) {
        let control = LinkControl2::from_bits(self.registers.get16(PciExpressReg::LinkControl2));
        let speed = self.target_speed();
        self.registers.set(
            PciExpressReg::LinkControl2,
            control.with_target_link_speed(speed).into_bits(),
        );
        let status = self.link_status();
        if status.negotiated_link_width() != 0 {
            self.registers.set(
                PciExpressReg::LinkStatus,
                status.with_current_link_speed(speed).into_bits(),
            );
        }
    }

    /// Whether an event is pending that the guest enabled.
    fn hot_plug_event(&self) -> bool {
        let (status, control) = (self.slot_status(), self.slot_control());
        control.hot_plug_interrupt_enable()
            && (status.attention_button_pressed() && control.attention_button_pressed_enable()
                || status.power_fault_detected() && control.power_fault_detected_enable()
                || status.mrl_sensor_changed() && control.mrl_sensor_changed_enable()
                || status.presence_detect_changed() && control.presence_detect_changed_enable()
                || status.command_completed() && control.command_completed_interrupt_enable()
                || status.data_link_layer_state_changed()
                    && control.data_link_layer_state_changed_enable())
    }

    fn evaluate_hot_plug_interrupt(&self) {
        let mut hot_plug = self.hot_plug.lock();
        let event = self.hot_plug_event();
        let edge = event && !hot_plug.asserted;
        hot_plug.asserted = event;
        let interrupt = hot_plug.interrupt.clone().filter(|_| edge);
        drop(hot_plug);
        if let Some(interrupt) = interrupt {
            interrupt.deliver();
        }
    }

    /// What a write to one register leads to.
    fn written(&self, change: reg_table::Change<PciExpressReg>) {
        use PciExpressReg::*;
        match change.register {
            DeviceControl => {
                if change.strobes != 0
                    && let Some(handler) = &self.flr_handler
                {
                    handler.initiate_flr();
                }
            }
            SlotControl | SlotStatus => self.evaluate_hot_plug_interrupt(),
            LinkControl2 => self.retarget(),
            // Retraining takes no time and ends as it began; the rest of Link Control, and what follows here, concerns the
            // wire or is the port's and root complex's to look at.
            LinkControl | RootControl | DeviceControl2 | DeviceStatus | LinkStatus | RootStatus => {
            }
            // Read-only.
            CapabilityId | NextPointer | Capabilities | DeviceCapabilities | LinkCapabilities
            | SlotCapabilities | RootCapabilities | DeviceCapabilities2 | DeviceStatus2
            | LinkCapabilities2 | LinkStatus2 | SlotCapabilities2 | SlotControl2 | SlotStatus2 => {}
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the caller asks for the low half"
)]
fn low_half(value: u32) -> u16 {
    value as u16
}

impl PciCapability for PciExpressCapability {
    fn label(&self) -> &str {
        "pci-express"
    }

    fn capability_id(&self) -> CapabilityId {
        CapabilityId::PCI_EXPRESS
    }

    fn len(&self) -> usize {
        self.registers.block().bytes.into()
    }

    fn read_u32(&self, offset: u16) -> u32 {
        self.registers.read(offset)
    }

    fn write_u32(&mut self, offset: u16, val: u32) {
        self.write_bytes(offset, val, ByteEnables::ALL);
    }

    fn write_bytes(&mut self, offset: u16, val: u32, enables: ByteEnables) {
        for change in self.registers.write(offset, val, enables.mask()) {
            self.written(change);
        }
    }

    fn reset(&mut self) {
        self.reset_by(Reset::Cold);
    }

    fn reset_by(&mut self, kind: Reset) {
        self.registers.reset(kind);
        self.retarget();
        self.evaluate_hot_plug_interrupt();
    }

    fn attach(&mut self, slot: &ConfigSlot) -> bool {
        slot.attach(&mut self.registers)
    }

    fn registers(&self) -> Option<CapabilityRegisters> {
        Some((&self.registers).into())
    }

    fn as_pci_express(&self) -> Option<&PciExpressCapability> {
        Some(self)
    }

    fn as_pci_express_mut(&mut self) -> Option<&mut PciExpressCapability> {
        Some(self)
    }
}

mod save_restore {
    use super::*;
    use vmcore::save_restore::RestoreError;
    use vmcore::save_restore::SaveError;
    use vmcore::save_restore::SaveRestore;

    mod state {
        use mesh_protobuf::Protobuf;
        use vmcore::save_restore::SavedStateRoot;

        #[derive(Protobuf, SavedStateRoot)]
        #[mesh(package = "pci.capabilities.pci_express")]
        pub struct SavedState {
            #[mesh(1)]
            pub device_control: u16,
            #[mesh(2)]
            pub device_status: u16,
            #[mesh(3)]
            pub link_control: u16,
            #[mesh(4)]
            pub link_status: u16,
            #[mesh(5)]
            pub slot_control: u16,
            #[mesh(6)]
            pub slot_status: u16,
            #[mesh(7)]
            pub root_control: u16,
            #[mesh(8)]
            pub root_status: u32,
            #[mesh(9)]
            pub device_control_2: u16,
            #[mesh(10)]
            pub device_status_2: u16,
            #[mesh(11)]
            pub link_control_2: u16,
            #[mesh(12)]
            pub link_status_2: u16,
            #[mesh(13)]
            pub slot_control_2: u16,
            #[mesh(14)]
            pub slot_status_2: u16,
        }
    }

    impl SaveRestore for PciExpressCapability {
        type SavedState = state::SavedState;

        fn save(&mut self) -> Result<Self::SavedState, SaveError> {
            let get = |register| self.registers.get16(register);
            Ok(state::SavedState {
                device_control: get(PciExpressReg::DeviceControl),
                device_status: get(PciExpressReg::DeviceStatus),
                link_control: get(PciExpressReg::LinkControl),
                link_status: get(PciExpressReg::LinkStatus),
                slot_control: get(PciExpressReg::SlotControl),
                slot_status: get(PciExpressReg::SlotStatus),
                root_control: get(PciExpressReg::RootControl),
                root_status: self.registers.get(PciExpressReg::RootStatus),
                device_control_2: get(PciExpressReg::DeviceControl2),
                device_status_2: get(PciExpressReg::DeviceStatus2),
                link_control_2: get(PciExpressReg::LinkControl2),
                link_status_2: get(PciExpressReg::LinkStatus2),
                slot_control_2: get(PciExpressReg::SlotControl2),
                slot_status_2: get(PciExpressReg::SlotStatus2),
            })
        }

        /// The values go back as they are, bits that no longer mean anything included: states of other versions of this
        /// capability are to be saved again as they came.
        fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
            let set = |register, value: u16| self.registers.set(register, value);
            set(PciExpressReg::DeviceControl, state.device_control);
            set(PciExpressReg::DeviceStatus, state.device_status);
            set(PciExpressReg::LinkControl, state.link_control);
            set(PciExpressReg::LinkStatus, state.link_status);
            set(PciExpressReg::SlotControl, state.slot_control);
            set(PciExpressReg::SlotStatus, state.slot_status);
            set(PciExpressReg::RootControl, state.root_control);
            self.registers
                .set(PciExpressReg::RootStatus, state.root_status);
            set(PciExpressReg::DeviceControl2, state.device_control_2);
            set(PciExpressReg::DeviceStatus2, state.device_status_2);
            set(PciExpressReg::LinkControl2, state.link_control_2);
            set(PciExpressReg::LinkStatus2, state.link_status_2);
            set(PciExpressReg::SlotControl2, state.slot_control_2);
            set(PciExpressReg::SlotStatus2, state.slot_status_2);
            // The interrupt for what is pending went out before the state was saved.
            let event = self.hot_plug_event();
            self.hot_plug.lock().asserted = event;
            Ok(())
        }
    }
}

//! What a function's configuration space says.

use super::Bridge;
use super::Link;
use super::Slot;
use crate::lspci::CONFIG_SPACE_BYTES;
use inspect::Inspect;
use inspect::Node;
use inspect::ValueKind;
use pci_spec::caps::CapabilityId;
use pci_spec::caps::EXT_CAP_START;
use pci_spec::caps::ExtendedCapabilityHeader;
use pci_spec::caps::ExtendedCapabilityId;
use pci_spec::caps::aer::AerReg;
use pci_spec::caps::aer::CorrectableErrors;
use pci_spec::caps::aer::UncorrectableErrors;
use pci_spec::caps::dpc::DpcReg;
use pci_spec::caps::dpc::DpcStatus;
use pci_spec::caps::msi::MessageControl;
use pci_spec::caps::msix::MsixMessageControl;
use pci_spec::caps::pci_express::DevicePortType;
use pci_spec::caps::pci_express::DeviceStatus;
use pci_spec::caps::pci_express::LinkCapabilities;
use pci_spec::caps::pci_express::LinkControl;
use pci_spec::caps::pci_express::LinkStatus;
use pci_spec::caps::pci_express::PciExpressCapabilities;
use pci_spec::caps::pci_express::PciExpressReg;
use pci_spec::caps::pci_express::SlotCapabilities;
use pci_spec::caps::pci_express::SlotControl;
use pci_spec::caps::pci_express::SlotIndicator;
use pci_spec::caps::pci_express::SlotStatus;
use pci_spec::caps::power_management::PowerManagementControlStatus;
use pci_spec::caps::power_management::PowerManagementReg;
use pci_spec::caps::power_management::PowerState;
use pci_spec::cfg_space::Command;
use pci_spec::cfg_space::Type0HeaderReg;
use pci_spec::cfg_space::Type1HeaderReg;
use reg_table::BlockRegister;

/// As many 4-byte structures as fit behind the header, and behind the first 256 bytes.
const CAPABILITIES_MAX: usize = 48;
const EXTENDED_CAPABILITIES_MAX: usize = 960;
const POINTER_MASK: u16 = !3;
/// The layout in the Header Type register.
const LAYOUT_MASK: u8 = 0x7f;
const LAYOUT_BRIDGE: u8 = 1;
/// The vendor ID in a DVSEC of CXL (CXL 3.1 section 8.1.1), and where a DVSEC has it.
const CXL_DVSEC_VENDOR: u16 = 0x1e98;
const DVSEC_HEADER1: u16 = 4;
/// Where MSI and MSI-X have their Message Control.
const MESSAGE_CONTROL: u16 = 2;
/// Address bits in I/O Base and I/O Limit, and of the other windows' 16-bit registers.
const IO_ADDRESS: u8 = 0xf0;
const MEMORY_ADDRESS: u16 = 0xfff0;
/// The low bits of a window's last address.
const IO_GRANULE: u64 = 0xfff;
const MEMORY_GRANULE: u64 = 0xf_ffff;

/// Whether each way that a function has for its interrupts is open; `None` is a way that it has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InterruptWays {
    pub(super) msi: Option<bool>,
    pub(super) msix: Option<bool>,
    pub(super) intx: Option<bool>,
}

/// A copy of a function's configuration space.
pub(super) struct Image(Box<[u8; CONFIG_SPACE_BYTES]>);

impl Image {
    /// What an absent function answers.
    pub(super) fn absent() -> Self {
        Self(Box::new([0xff; CONFIG_SPACE_BYTES]))
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut *self.0
    }

    pub(super) fn into_bytes(self) -> Box<[u8; CONFIG_SPACE_BYTES]> {
        self.0
    }

    pub(super) fn is_present(&self) -> bool {
        self.id().0 != u16::MAX
    }

    fn bytes<const N: usize>(&self, offset: u16) -> [u8; N] {
        let rest = self.0.get(usize::from(offset)..).unwrap_or_default();
        rest.first_chunk().copied().unwrap_or([0; N])
    }

    fn u8(&self, offset: u16) -> u8 {
        let [byte] = self.bytes(offset);
        byte
    }

    fn u16(&self, offset: u16) -> u16 {
        u16::from_le_bytes(self.bytes(offset))
    }

    fn u32(&self, offset: u16) -> u32 {
        u32::from_le_bytes(self.bytes(offset))
    }

    pub(super) fn id(&self) -> (u16, u16) {
        (
            self.u16(at(0, Type0HeaderReg::VendorId)),
            self.u16(at(0, Type0HeaderReg::DeviceId)),
        )
    }

    pub(super) fn class(&self) -> u32 {
        self.u32(at(0, Type0HeaderReg::RevisionId)) >> 8
    }

    fn is_bridge(&self) -> bool {
        self.u8(at(0, Type0HeaderReg::HeaderType)) & LAYOUT_MASK == LAYOUT_BRIDGE
    }

    fn capability(&self, wanted: CapabilityId) -> Option<u16> {
        let mut offset =
            u16::from(self.u8(at(0, Type0HeaderReg::CapabilitiesPointer))) & POINTER_MASK;
        for _ in 0..CAPABILITIES_MAX {
            if offset == 0 {
                return None;
            }
            let [id, next] = self.bytes(offset);
            if id == wanted.0 {
                return Some(offset);
            }
            offset = u16::from(next) & POINTER_MASK;
        }
        None
    }

    fn extended_capabilities(&self) -> impl Iterator<Item = (ExtendedCapabilityId, u16)> {
        let mut next = EXT_CAP_START;
        (0..EXTENDED_CAPABILITIES_MAX).map_while(move |_| {
            let offset = next;
            let header = ExtendedCapabilityHeader::from_bits(self.u32(offset));
            next = header.next_offset() & POINTER_MASK;
            let is_one = offset >= EXT_CAP_START && !matches!(header.into_bits(), 0 | u32::MAX);
            is_one.then_some((ExtendedCapabilityId(header.capability_id()), offset))
        })
    }

    pub(super) fn has_cxl_dvsec(&self) -> bool {
        self.extended_capabilities()
            .filter(|(id, _)| *id == ExtendedCapabilityId::DVSEC)
            .any(|(_, offset)| self.u16(offset + DVSEC_HEADER1) == CXL_DVSEC_VENDOR)
    }

    /// Whether configuration accesses pass it: it is a port with power and bus numbers, and with something behind its link.
    pub(super) fn forwards(&self) -> bool {
        let is_awake = self.power_state() == PowerState::D0;
        let is_numbered = self.u8(at(0, Type1HeaderReg::SecondaryBusNumber)) != 0;
        let has_link = match self.port_type() {
            Some(DevicePortType::RootPort | DevicePortType::DownstreamSwitchPort) => {
                self.link().is_some_and(|link| link.active)
            }
            _ => true,
        };
        self.is_bridge() && is_awake && is_numbered && has_link
    }

    /// The power state; a function without power management is always in D0.
    pub(super) fn power_state(&self) -> PowerState {
        let control = self
            .capability(CapabilityId::POWER_MANAGEMENT)
            .map(|offset| self.u16(at(offset, PowerManagementReg::ControlStatus)));
        control.map_or(PowerState::D0, |control| {
            PowerManagementControlStatus::from_bits(control).power_state()
        })
    }

    pub(super) fn command(&self) -> Command {
        Command::from_bits(self.u16(at(0, Type0HeaderReg::Command)))
    }

    /// The address in a Base Address register; 0 is none.
    pub(super) fn bar_address(&self, index: u8, is_64_bit: bool) -> u64 {
        const ADDRESS: u32 = !0xf;
        let at = at(0, Type0HeaderReg::Bar0).saturating_add(u16::from(index) * 4);
        let high = if is_64_bit {
            self.u32(at.saturating_add(4))
        } else {
            0
        };
        u64::from(self.u32(at) & ADDRESS) | u64::from(high) << 32
    }

    /// How an interrupt of the function would leave it.
    pub(super) fn interrupt_ways(&self) -> InterruptWays {
        let msi = self.capability(CapabilityId::MSI).map(|offset| {
            MessageControl::from_bits(self.u16(offset + MESSAGE_CONTROL)).msi_enable()
        });
        let msix = self.capability(CapabilityId::MSIX).map(|offset| {
            let control = MsixMessageControl::from_bits(self.u16(offset + MESSAGE_CONTROL));
            control.msix_enable() && !control.function_mask()
        });
        let pin = self.u8(at(0, Type0HeaderReg::InterruptPin)) != 0;
        InterruptWays {
            msi,
            msix,
            intx: pin.then(|| !self.command().intx_disable()),
        }
    }

    pub(super) fn link_control(&self) -> Option<LinkControl> {
        let express = self.express()?;
        Some(LinkControl::from_bits(
            self.u16(at(express, PciExpressReg::LinkControl)),
        ))
    }

    pub(super) fn slot_control(&self) -> Option<SlotControl> {
        let express = self.express()?;
        Some(SlotControl::from_bits(
            self.u16(at(express, PciExpressReg::SlotControl)),
        ))
    }

    pub(super) fn slot_status(&self) -> Option<SlotStatus> {
        let express = self.express()?;
        Some(SlotStatus::from_bits(
            self.u16(at(express, PciExpressReg::SlotStatus)),
        ))
    }

    /// DPC Status, of a port that has Downstream Port Containment.
    pub(super) fn containment(&self) -> Option<DpcStatus> {
        let mut capabilities = self.extended_capabilities();
        let (_, dpc) = capabilities.find(|(id, _)| *id == ExtendedCapabilityId::DPC)?;
        Some(DpcStatus::from_bits(self.u16(at(dpc, DpcReg::Status))))
    }

    fn express(&self) -> Option<u16> {
        self.capability(CapabilityId::PCI_EXPRESS)
    }

    fn port_type(&self) -> Option<DevicePortType> {
        let capabilities = self.u16(at(self.express()?, PciExpressReg::Capabilities));
        Some(PciExpressCapabilities::from_bits(capabilities).device_port_type())
    }

    pub(super) fn bridge(&self) -> Option<Bridge> {
        if !self.is_bridge() {
            return None;
        }
        let u8 = |register| self.u8(at(0, register));
        let u16 = |register| self.u16(at(0, register));
        let u32 = |register| u64::from(self.u32(at(0, register)));
        let io = |low: u8, high: u16| u64::from(low & IO_ADDRESS) << 8 | u64::from(high) << 16;
        let memory = |low: u16, high: u64| u64::from(low & MEMORY_ADDRESS) << 16 | high << 32;
        Some(Bridge {
            secondary: u8(Type1HeaderReg::SecondaryBusNumber),
            subordinate: u8(Type1HeaderReg::SubordinateBusNumber),
            io: window(
                io(u8(Type1HeaderReg::IoBase), u16(Type1HeaderReg::IoBaseUpper)),
                io(
                    u8(Type1HeaderReg::IoLimit),
                    u16(Type1HeaderReg::IoLimitUpper),
                ),
                IO_GRANULE,
            ),
            memory: window(
                memory(u16(Type1HeaderReg::MemoryBase), 0),
                memory(u16(Type1HeaderReg::MemoryLimit), 0),
                MEMORY_GRANULE,
            ),
            prefetchable: window(
                memory(
                    u16(Type1HeaderReg::PrefetchableMemoryBase),
                    u32(Type1HeaderReg::PrefetchableBaseUpper),
                ),
                memory(
                    u16(Type1HeaderReg::PrefetchableMemoryLimit),
                    u32(Type1HeaderReg::PrefetchableLimitUpper),
                ),
                MEMORY_GRANULE,
            ),
        })
    }

    pub(super) fn link(&self) -> Option<Link> {
        let express = self.express()?;
        let port_type = self.port_type()?;
        if matches!(
            port_type,
            DevicePortType::RootComplexIntegratedEndpoint
                | DevicePortType::RootComplexEventCollector
        ) {
            return None;
        }
        let has =
            LinkCapabilities::from_bits(self.u32(at(express, PciExpressReg::LinkCapabilities)));
        let status = LinkStatus::from_bits(self.u16(at(express, PciExpressReg::LinkStatus)));
        Some(Link {
            active: match port_type {
                DevicePortType::RootPort | DevicePortType::DownstreamSwitchPort
                    if has.data_link_layer_link_active_reporting() =>
                {
                    status.data_link_layer_link_active()
                }
                // Without that report, and above an upstream port or endpoint, lanes that are in use are what there is to go by.
                _ => status.negotiated_link_width() != 0,
            },
            speed: status.current_link_speed(),
            width: status.negotiated_link_width(),
        })
    }

    pub(super) fn slot(&self) -> Option<Slot> {
        let express = self.express()?;
        let capabilities = self.u16(at(express, PciExpressReg::Capabilities));
        if !PciExpressCapabilities::from_bits(capabilities).slot_implemented() {
            return None;
        }
        let has =
            SlotCapabilities::from_bits(self.u32(at(express, PciExpressReg::SlotCapabilities)));
        let control = self.slot_control()?;
        let status = self.slot_status()?;
        let is_set = |bit: u16| bit != 0;
        Some(Slot {
            number: has.physical_slot_number(),
            hot_plug: has.hot_plug_capable(),
            present: status.presence_detect_state() != 0,
            powered: !(has.power_controller_present() && control.power_controller_control()),
            power_fault: status.power_fault_detected(),
            // The bits that say how things are, and not that they changed, are no bools.
            events: names_of_set_bits(&status),
            attention_indicator: has
                .attention_indicator_present()
                .then(|| shown(control.attention_indicator_control())),
            power_indicator: has
                .power_indicator_present()
                .then(|| shown(control.power_indicator_control())),
            attention_button: has.attention_button_present(),
            power_controller: has.power_controller_present(),
            latch_open: has
                .mrl_sensor_present()
                .then(|| is_set(status.mrl_sensor_state())),
            interlock_engaged: has
                .electromechanical_interlock_present()
                .then(|| is_set(status.electromechanical_interlock_status())),
        })
    }

    pub(super) fn errors(&self) -> Vec<String> {
        let aer = self
            .extended_capabilities()
            .find(|(id, _)| *id == ExtendedCapabilityId::AER);
        if let Some((_, aer)) = aer {
            let uncorrectable = self.u32(at(aer, AerReg::UncorrectableStatus));
            let correctable = self.u32(at(aer, AerReg::CorrectableStatus));
            let mut errors = names_of_set_bits(&UncorrectableErrors::from_bits(uncorrectable));
            errors.extend(names_of_set_bits(&CorrectableErrors::from_bits(
                correctable,
            )));
            return errors;
        }
        let Some(express) = self.express() else {
            return Vec::new();
        };
        let status = DeviceStatus::from_bits(self.u16(at(express, PciExpressReg::DeviceStatus)));
        let errors = status
            .with_aux_power_detected(false)
            .with_transactions_pending(false);
        names_of_set_bits(&errors)
    }
}

fn at(block: u16, register: impl BlockRegister) -> u16 {
    block.saturating_add(register.register().offset)
}

/// The first and last address, if the window is open.
fn window(base: u64, limit: u64, granule: u64) -> Option<(u64, u64)> {
    (base <= limit && (base, limit) != (0, 0)).then_some((base, limit | granule))
}

/// The names that inspection gives to the bits that are set.
fn names_of_set_bits(register: &impl Inspect) -> Vec<String> {
    match inspect::inspect("", register).results() {
        Node::Dir(entries) => entries
            .into_iter()
            .filter(|entry| {
                matches!(&entry.node, Node::Value(value) if value.kind == ValueKind::Bool(true))
            })
            .map(|entry| entry.name.into_owned())
            .collect(),
        _ => Vec::new(),
    }
}

/// What an indicator shows that is commanded so. The reserved encoding lights none (PCIe 6.2 section 7.5.3.10).
fn shown(commanded: u16) -> String {
    match SlotIndicator(commanded) {
        SlotIndicator::On => "on",
        SlotIndicator::Blink => "blink",
        _ => "off",
    }
    .to_owned()
}

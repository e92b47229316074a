//! Capabilities as the common plan ([`reg_table::plan`]) drives them, and those here as its subjects.

use super::CapabilityRegisters;
use super::PciCapability;
use super::PciExtendedCapability;
use super::advanced_features::AdvancedFeaturesCapability;
use super::extended::acs::AcsExtendedCapability;
use super::extended::aer::AerExtendedCapability;
use super::extended::dpc::DpcExtendedCapability;
use super::extended::fixed::FixedExtendedCapability;
use super::extended::resizable_bar::ResizableBar;
use super::extended::resizable_bar::ResizableBarExtendedCapability;
use super::extended::table::TableExtendedCapability;
use super::msi_cap::MsiCapability;
use super::msix::MsixEmulator;
use super::pci_express::FlrHandler;
use super::pci_express::LinkConfig;
use super::pci_express::PciExpressCapability;
use super::pci_express::SlotConfig;
use super::power_management::PowerManagementCapability;
use super::table::TableCapability;
use crate::msi::MsiTarget;
use crate::spec::caps::aer::CorrectableErrors;
use crate::spec::caps::aer::UncorrectableErrors;
use crate::spec::caps::l1_pm_substates::L1PmSubstatesCapabilities;
use crate::spec::caps::msix::MSIX_TABLE_ENTRY;
use crate::spec::caps::pci_express::DevicePortType;
use crate::spec::caps::pci_express::LinkSpeed;
use crate::spec::caps::pci_express::LinkWidth;
use crate::spec::caps::power_management::PowerManagementCapabilities;
use crate::spec::caps::ptm::PtmCapability;
use crate::spec::caps::slot_numbering::ExpansionSlot;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use reg_table::Block;
use reg_table::Reset;
use reg_table::WordMask;
use reg_table::plan::Consequence;
use reg_table::plan::Subject;
use reg_table::plan_subjects;
use std::sync::Arc;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::SavedStateBlob;

/// A capability of either list as a subject of the plan.
///
/// ```
/// use pci_core::capabilities::{extended::acs::AcsExtendedCapability, plan_subject::CapabilitySubject};
/// use reg_table::plan::{SubjectEntry, run};
///
/// let acs = SubjectEntry {
///     name: "acs without redirection",
///     make: || Box::new(CapabilitySubject::extended(AcsExtendedCapability::with_capabilities(0x3))),
/// };
/// assert_eq!(run(&acs), Vec::<String>::new());
/// ```
pub struct CapabilitySubject {
    capability: Capability,
    consequences: &'static [Consequence],
}

enum Capability {
    Legacy(Box<dyn PciCapability>),
    Extended(Box<dyn PciExtendedCapability>),
}

/// Runs one expression on whichever list's capability it is.
macro_rules! each {
    ($subject:expr, $capability:ident => $body:expr) => {
        match $subject {
            Capability::Legacy($capability) => $body,
            Capability::Extended($capability) => $body,
        }
    };
}

impl CapabilitySubject {
    /// A capability of the legacy list.
    pub fn legacy(capability: impl PciCapability + 'static) -> Self {
        Self {
            capability: Capability::Legacy(Box::new(capability)),
            consequences: &[],
        }
    }

    /// A capability of the extended list.
    pub fn extended(capability: impl PciExtendedCapability + 'static) -> Self {
        Self {
            capability: Capability::Extended(Box::new(capability)),
            consequences: &[],
        }
    }

    /// Says what the table cannot.
    pub fn with_consequences(self, consequences: &'static [Consequence]) -> Self {
        Self {
            consequences,
            ..self
        }
    }

    /// # Panics
    ///
    /// When the capability does not say what its registers are: the plan has nothing to check then.
    #[expect(clippy::expect_used, reason = "documented; only tests come here")]
    fn registers(&self) -> CapabilityRegisters {
        each!(&self.capability, c => c.registers())
            .expect("a capability that the plan checks has a register table")
    }
}

impl Subject for CapabilitySubject {
    fn block(&self) -> &'static Block {
        self.registers().block
    }

    fn masks(&self) -> Vec<WordMask> {
        self.registers().masks
    }

    fn read(&self, offset: u16) -> u32 {
        each!(&self.capability, c => c.read_u32(offset))
    }

    fn write(&mut self, offset: u16, value: u32, lanes: u32) {
        each!(&mut self.capability, c => c.write_bytes(offset, value, enables(lanes)));
    }

    fn latch(&mut self, offset: u16, bits: u32) {
        self.registers().hardware.set_bits(offset, bits);
    }

    fn reset(&mut self, kind: Reset) {
        each!(&mut self.capability, c => c.reset_by(kind));
    }

    fn save(&mut self) -> Vec<u8> {
        each!(&mut self.capability, c => encoded(c.as_mut()))
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        each!(&mut self.capability, c => restore_encoded(c.as_mut(), saved))
    }

    fn consequences(&self) -> &'static [Consequence] {
        self.consequences
    }
}

/// The byte enables of a lane mask.
pub(crate) fn enables(lanes: u32) -> ByteEnables {
    let bits = (0..4)
        .filter(|n| lanes & (0xff << (8 * n)) != 0)
        .fold(0u8, |bits, n| bits | (1 << n));
    ByteEnables::new(bits).unwrap_or(ByteEnables::NONE)
}

/// A saved state as bytes; none where saving fails, which no restore accepts.
pub(crate) fn encoded(item: &mut (impl ProtobufSaveRestore + ?Sized)) -> Vec<u8> {
    item.save().map(mesh_protobuf::encode).unwrap_or_default()
}

/// Restores a saved state from bytes.
pub(crate) fn restore_encoded(
    item: &mut (impl ProtobufSaveRestore + ?Sized),
    saved: &[u8],
) -> Result<(), String> {
    let blob: SavedStateBlob = mesh_protobuf::decode(saved).map_err(|error| error.to_string())?;
    item.restore(blob).map_err(|error| format!("{error:?}"))
}

/// One entry of an MSI-X table, in its BAR.
struct MsixEntrySubject {
    emulator: MsixEmulator,
    capability: Box<dyn PciCapability>,
}

impl MsixEntrySubject {
    const BASE: u64 = 16;

    fn new() -> Self {
        let (emulator, capability) = MsixEmulator::new(0, 3, &MsiTarget::disconnected());
        Self {
            emulator,
            capability: Box::new(capability),
        }
    }
}

impl Subject for MsixEntrySubject {
    fn block(&self) -> &'static Block {
        &MSIX_TABLE_ENTRY
    }

    fn masks(&self) -> Vec<WordMask> {
        MSIX_TABLE_ENTRY.masks.to_vec()
    }

    fn read(&self, offset: u16) -> u32 {
        self.emulator.read_u32(Self::BASE + u64::from(offset))
    }

    fn write(&mut self, offset: u16, value: u32, lanes: u32) {
        self.emulator
            .write_bytes(Self::BASE + u64::from(offset), value, enables(lanes));
    }

    /// An entry has no RW1C bit.
    fn latch(&mut self, _offset: u16, _bits: u32) {}

    fn reset(&mut self, kind: Reset) {
        self.capability.reset_by(kind);
    }

    fn save(&mut self) -> Vec<u8> {
        encoded(self.capability.as_mut())
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        restore_encoded(self.capability.as_mut(), saved)
    }
}

fn msi(vectors_log2: u8, wide: bool, masked: bool) -> CapabilitySubject {
    let target = MsiTarget::disconnected();
    CapabilitySubject::legacy(MsiCapability::new(vectors_log2, wide, masked, &target))
        // More vectors than there are cannot be allocated.
        .with_consequences(&[Consequence {
            of: "message_control",
            on: "message_control",
            bits: 0x70,
        }])
}

/// A line of [`Consequence`]s: what a write to `of` does on other registers.
const fn effect(of: &'static str, on: &'static str, bits: u32) -> Consequence {
    Consequence { of, on, bits }
}

/// Speed and width, Data Link Layer Link Active.
const LINK: u32 = 0x23ff;
/// Link Bandwidth Management Status.
const RETRAINED: u32 = 0x4000;
/// Flit Mode Status.
const FLIT_MODE: u32 = 0x0400;
/// Data Link Layer State Changed.
const LINK_CHANGED: u32 = 0x100;
/// Presence Detect State and Changed.
const PRESENCE: u32 = 0x48;
/// LTR Mechanism Enable, which goes with the link.
const LTR: u32 = 1 << 10;
/// Command Completed, Electromechanical Interlock Status.
const COMMAND: u32 = 0x90;

/// The target speed is kept within what the function can, and an established link follows it, after a reset as well.
const ENDPOINT: &[Consequence] = &[
    effect("link_control_2", "link_control_2", 0xf),
    effect("link_control_2", "link_status", 0xf),
    effect("link_control_2", "link_status_2", FLIT_MODE),
    // A link that may not use Flit Mode is slower.
    effect("link_control", "link_status", 0xf),
    effect("link_control", "link_status_2", FLIT_MODE),
    effect("reset", "link_status", 0xf),
    effect("reset", "link_status_2", FLIT_MODE),
];

/// A downstream port's link can be disabled and retrained; a slot tells that it went down, and a reset brings it back.
const PORT: &[Consequence] = &[
    effect("link_control_2", "link_control_2", 0xf),
    effect("link_control_2", "link_status", 0xf),
    effect("link_control", "link_status", LINK | RETRAINED),
    effect("link_control", "device_control_2", LTR),
    effect("link_control", "slot_status", LINK_CHANGED),
    effect("reset", "link_status", LINK),
];

/// A slot takes commands as well: power, interlock, presence detection.
const SLOT: &[Consequence] = &[
    effect("link_control_2", "link_control_2", 0xf),
    effect("link_control_2", "link_status", 0xf),
    effect("link_control", "link_status", LINK | RETRAINED),
    effect("link_control", "slot_status", LINK_CHANGED),
    effect("slot_control", "link_status", LINK),
    effect(
        "slot_control",
        "slot_status",
        LINK_CHANGED | PRESENCE | COMMAND,
    ),
    effect("reset", "link_status", LINK),
];

fn pci_express(capability: PciExpressCapability) -> CapabilitySubject {
    let consequences = match capability.device_port_type() {
        DevicePortType::RootPort | DevicePortType::DownstreamSwitchPort => PORT,
        _ => ENDPOINT,
    };
    CapabilitySubject::legacy(capability).with_consequences(consequences)
}

fn port(typ: DevicePortType) -> PciExpressCapability {
    PciExpressCapability::new(typ, None)
}

#[expect(clippy::expect_used, reason = "only tests come here")]
fn standard(typ: DevicePortType) -> CapabilitySubject {
    let port = port(typ)
        .with_link(LinkConfig::new(LinkSpeed::Speed16_0GtS, LinkWidth::X4))
        .expect("the link is valid");
    pci_express(port.with_ltr().with_standard_registers())
}

fn occupied_slot() -> PciExpressCapability {
    let slot = port(DevicePortType::DownstreamSwitchPort).with_hotplug_support(7);
    slot.set_presence_detect_state(true);
    slot
}

#[expect(clippy::expect_used, reason = "only tests come here")]
fn slot(config: SlotConfig) -> CapabilitySubject {
    let slot = port(DevicePortType::RootPort)
        .with_slot(config)
        .expect("the slot is valid");
    slot.set_presence_detect_state(true);
    CapabilitySubject::legacy(slot).with_consequences(SLOT)
}

#[expect(clippy::expect_used, reason = "only tests come here")]
fn link(typ: DevicePortType, speed: LinkSpeed, width: LinkWidth) -> CapabilitySubject {
    let config = LinkConfig::new(speed, width);
    pci_express(port(typ).with_link(config).expect("the link is valid"))
}

/// Function-level resets are asked for and not carried out.
#[derive(Inspect)]
struct IgnoredFlr;

impl FlrHandler for IgnoredFlr {
    fn initiate_flr(&self) {}
}

/// States that the function does not have are not entered.
fn power_management(capabilities: PowerManagementCapabilities) -> CapabilitySubject {
    CapabilitySubject::legacy(PowerManagementCapability::new(capabilities, false))
        .with_consequences(&[Consequence {
            of: "control_status",
            on: "control_status",
            bits: 0x3,
        }])
}

/// What it signals does not survive a reset, as it does where the table's stickiness is needed.
fn forgetful_pme() -> CapabilitySubject {
    let capabilities = PowerManagementCapabilities::new().with_pme_support(0b01001);
    CapabilitySubject::legacy(PowerManagementCapability::new(capabilities, true)).with_consequences(
        &[
            Consequence {
                of: "control_status",
                on: "control_status",
                bits: 0x3,
            },
            Consequence {
                of: "reset",
                on: "control_status",
                bits: 0x8100,
            },
        ],
    )
}

/// Software triggers containment, whose cause is logged.
fn dpc(capability: DpcExtendedCapability) -> CapabilitySubject {
    CapabilitySubject::extended(capability).with_consequences(&[
        Consequence {
            of: "control",
            on: "status",
            bits: 0x6f,
        },
        Consequence {
            of: "control",
            on: "error_source_id",
            bits: 0xffff,
        },
    ])
}

/// BAR0 has 1 or 4 MiB, BAR2 every size. Sizes that BAR0 does not have are not taken.
#[expect(
    clippy::expect_used,
    reason = "the BARs are given here; only tests come here"
)]
fn resizable_bars() -> CapabilitySubject {
    let bars =
        [(0, 0b101, 2), (2, 0x0fff_ffff, 0)].map(|(index, supported_sizes, default_size)| {
            ResizableBar {
                index,
                supported_sizes,
                default_size,
            }
        });
    let capability = ResizableBarExtendedCapability::new(&bars).expect("these can be");
    CapabilitySubject::extended(capability).with_consequences(&[
        Consequence {
            of: "control_0",
            on: "control_0",
            bits: 0x3f00,
        },
        Consequence {
            of: "control_1",
            on: "control_1",
            bits: 0x3f00,
        },
    ])
}

plan_subjects! {
    "acs" => CapabilitySubject::extended(AcsExtendedCapability::new()),
    "acs with source validation only" => CapabilitySubject::extended(AcsExtendedCapability::with_capabilities(0x1)),
    "acs with undefined capability bits" => CapabilitySubject::extended(AcsExtendedCapability::with_capabilities(0xffff)),
    "ari" => CapabilitySubject::extended(FixedExtendedCapability::ari(3)),
    "device serial number" => CapabilitySubject::extended(
        FixedExtendedCapability::device_serial_number(0x0102_0304_0506_0708)
    ),
    "event collector association" => CapabilitySubject::extended(
        FixedExtendedCapability::event_collector(0x0000_fffe)
    ),
    "msi, 32-bit" => msi(0, false, false),
    "msi, 64-bit, 4 vectors" => msi(2, true, false),
    "msi, 32-bit, masked, 8 vectors" => msi(3, false, true),
    "msi, 64-bit, masked, 32 vectors" => msi(5, true, true),
    "msi-x" => CapabilitySubject::legacy(MsixEmulator::new(2, 3, &MsiTarget::disconnected()).1),
    "msi-x table entry" => MsixEntrySubject::new(),
    "pci express, endpoint" => pci_express(port(DevicePortType::Endpoint)),
    "pci express, endpoint with function-level reset" => pci_express(
        PciExpressCapability::new(DevicePortType::Endpoint, Some(Arc::new(IgnoredFlr)))
    ),
    "pci express, integrated endpoint" => pci_express(port(DevicePortType::RootComplexIntegratedEndpoint)),
    "pci express, standard endpoint at 16.0 GT/s" => standard(DevicePortType::Endpoint),
    "pci express, standard root port at 16.0 GT/s" => standard(DevicePortType::RootPort),
    "pci express, standard event collector" => pci_express(
        port(DevicePortType::RootComplexEventCollector).with_standard_registers()
    ),
    "pci express, root port" => pci_express(port(DevicePortType::RootPort)),
    "pci express, root port with an empty slot" => pci_express(port(DevicePortType::RootPort).with_hotplug_support(1)),
    "pci express, downstream port with an occupied slot" => pci_express(occupied_slot()),
    "pci express, downstream port with ari forwarding" => pci_express(
        port(DevicePortType::DownstreamSwitchPort).with_ari_forwarding()
    ),
    "pci express, slot with everything" => slot(SlotConfig::full(9)),
    "pci express, slot that sees cards by their link only" => slot(SlotConfig {
        out_of_band_presence: false,
        ..SlotConfig::surprise(9)
    }),
    "pci express, root port at 8.0 GT/s x4" => link(DevicePortType::RootPort, LinkSpeed::Speed8_0GtS, LinkWidth::X4),
    "pci express, endpoint at 64.0 GT/s x8" => link(DevicePortType::Endpoint, LinkSpeed::Speed64_0GtS, LinkWidth::X8),
    "pci express, upstream port" => pci_express(port(DevicePortType::UpstreamSwitchPort)),
    "advanced features" => CapabilitySubject::legacy(AdvancedFeaturesCapability::new(Arc::new(IgnoredFlr))),
    "aer, endpoint" => CapabilitySubject::extended(AerExtendedCapability::new()),
    "aer, root port with everything" => CapabilitySubject::extended(
        AerExtendedCapability::new_root(31).with_ecrc().with_multiple_header_recording()
    ),
    "aer with few errors" => CapabilitySubject::extended(
        AerExtendedCapability::new()
            .with_uncorrectable_errors(UncorrectableErrors::new().with_uncorrectable_internal(true))
            .with_correctable_errors(CorrectableErrors::new().with_advisory_non_fatal(true))
    ),
    "data link feature" => CapabilitySubject::extended(TableExtendedCapability::data_link_feature()),
    "dpc, downstream port" => dpc(DpcExtendedCapability::new(1)),
    "dpc, root port" => dpc(DpcExtendedCapability::new_root_port(0)),
    "l1 pm substates, root port" => CapabilitySubject::extended(TableExtendedCapability::l1_pm_substates(
        L1PmSubstatesCapabilities::from_bits(0xf),
        DevicePortType::RootPort,
    )),
    "l1 pm substates, endpoint with L1.1" => CapabilitySubject::extended(TableExtendedCapability::l1_pm_substates(
        L1PmSubstatesCapabilities::new().with_pci_pm_l1_1_supported(true),
        DevicePortType::Endpoint,
    )),
    "lane margining, 4 lanes" => CapabilitySubject::extended(TableExtendedCapability::lane_margining(LinkWidth::X4)),
    "ltr" => CapabilitySubject::extended(TableExtendedCapability::ltr()),
    "physical layer 16.0 GT/s, 1 lane" => CapabilitySubject::extended(
        TableExtendedCapability::physical_layer_16gt(DevicePortType::Endpoint, LinkWidth::X1)
    ),
    "physical layer 32.0 GT/s, 16 lanes" => CapabilitySubject::extended(
        TableExtendedCapability::physical_layer_32gt(DevicePortType::RootPort, LinkWidth::X16)
    ),
    "physical layer 64.0 GT/s, 16 lanes" => CapabilitySubject::extended(
        TableExtendedCapability::physical_layer_64gt(DevicePortType::RootPort, LinkWidth::X16)
    ),
    "power management" => power_management(PowerManagementCapabilities::new()),
    "power management with D2 and PME" => power_management(
        PowerManagementCapabilities::new().with_d2_support(true).with_pme_support(0x1f)
    ),
    "power management with PME from D0 and D3hot" => forgetful_pme(),
    "ptm, requester" => CapabilitySubject::extended(TableExtendedCapability::ptm(
        PtmCapability::new().with_requester_capable(true)
    )),
    "ptm, root" => CapabilitySubject::extended(TableExtendedCapability::ptm(
        PtmCapability::new().with_responder_capable(true).with_root_capable(true)
    )),
    "resizable bars" => resizable_bars(),
    "secondary pci express, root port, 2 lanes" => CapabilitySubject::extended(
        TableExtendedCapability::secondary_pci_express(DevicePortType::RootPort, LinkWidth::X2)
    ),
    "secondary pci express, endpoint, 16 lanes" => CapabilitySubject::extended(
        TableExtendedCapability::secondary_pci_express(DevicePortType::Endpoint, LinkWidth::X16)
    ),
    "slot numbering" => CapabilitySubject::legacy(TableCapability::slot_numbering(
        ExpansionSlot::new().with_expansion_slots_provided(4).with_first_in_chassis(true)
    )),
    "subsystem id" => CapabilitySubject::legacy(TableCapability::subsystem_id(0x1af4, 0x1100)),
    "virtual channel" => CapabilitySubject::extended(TableExtendedCapability::virtual_channel()),
}

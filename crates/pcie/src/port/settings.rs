//! What a port is composed from, and what can be wrong with it.

use cxl_spec::pci_registers::spec::flex_bus_port_dvsec::CxlFlexBusPortDvsecCapability;
use pci_core::PciInterruptPin;
use pci_core::capabilities::msix::MsixLayoutError;
use pci_core::capabilities::pci_express::LinkConfig;
use pci_core::capabilities::pci_express::LinkError;
use pci_core::capabilities::pci_express::SlotConfig;
use pci_core::capabilities::pci_express::SlotError;
use pci_core::cfg_space_emu::ConfigSpaceError;
use pci_core::spec::cfg_space::IoAddressing;
use std::fmt;

/// Settings of a port.
#[derive(Debug, Default, Clone)]
pub struct PciePortSettings {
    /// Access Control Services the port offers, as in the ACS Capability register; those a port of its type cannot have are
    /// left out. 0 for no ACS.
    pub acs_capabilities_supported: u16,
    /// What the port says of CXL; with cache or memory capability it becomes a CXL port.
    pub cxl_flex_bus_port_capability: Option<CxlFlexBusPortDvsecCapability>,
}

/// Further settings of a port.
#[derive(Debug, Default, Clone)]
pub struct PortOptions {
    /// The Device Serial Number, an EUI-64. `None` for no such capability.
    pub serial_number: Option<u64>,
    /// Lets the guest turn on ARI forwarding, and reach functions above 7 behind the port.
    pub ari_forwarding: bool,
    /// Lets the guest turn on Configuration RRS Software Visibility (PCIe 6.2 section 2.3.2), and so see that a device is not ready
    /// yet. Without, it reads all-ones until then. Only root ports show it.
    pub retry_visibility: bool,
    /// What a CXL port has beyond its DVSECs.
    pub cxl: CxlPortOptions,
    /// A slot with all that it has; downstream ports only.
    /// [`PortConfig::slot_number`](crate::PortConfig::slot_number) is the short form for a slot of surprises.
    pub slot: Option<SlotConfig>,
    /// What the port's link can do. `None` for 32 GT/s and 16 lanes.
    pub link: Option<LinkConfig>,
    /// Power Management, which PCI Express asks of every function (PCIe 6.2 section 5.3).
    pub power_management: bool,
    /// Advanced Error Reporting, and role-based error reporting in Device Capabilities.
    pub error_reporting: bool,
    /// What the speed of the link asks for: Secondary PCI Express, Data Link Feature, the physical layers up to that speed, and lane
    /// margining; and, in a downstream port, that Link Status says whether the link is active.
    pub physical_layer: bool,
    /// Downstream Port Containment (PCIe 6.2 section 6.2.11); downstream ports only.
    pub dpc: bool,
    /// Latency Tolerance Reporting.
    pub ltr: bool,
    /// L1 PM Substates: L1.1, and with [`Self::ltr`] L1.2.
    pub l1_pm_substates: bool,
    /// Precision Time Measurement; not in a switch's downstream ports, which the upstream port speaks for.
    pub ptm: bool,
    /// The Virtual Channel capability, with VC0 only.
    pub virtual_channel: bool,
    /// Max_Read_Request_Size is 512 bytes after a reset (PCIe 6.2 section 7.5.3.4); 128 without.
    pub read_requests_of_512: bool,
    /// How much of an address the port's I/O window has; `None` for no I/O window, and then no device below has I/O space.
    pub io_window: Option<IoAddressing>,
    /// The port's INTx pin; `None` for none. It tells of the port's events while the guest uses neither MSI nor MSI-X. What is below
    /// needs no pin here.
    pub interrupt_pin: Option<PciInterruptPin>,
}

impl PortOptions {
    /// What a port of these days has: power management, error reporting, and what the speed of its link asks for. [`Self::default`] is a
    /// port with none of these.
    pub fn standard() -> Self {
        Self {
            power_management: true,
            error_reporting: true,
            physical_layer: true,
            read_requests_of_512: true,
            ..Self::default()
        }
    }
}

/// The component registers of a CXL port. They are in the port's BAR.
#[derive(Debug, Default, Clone)]
pub struct CxlPortOptions {
    /// The CXL RAS capability (CXL 3.1 section 8.2.4.17).
    pub ras: bool,
    /// The CXL Link capability (CXL 3.1 section 8.2.4.19).
    pub link: bool,
}

/// A BAR of a port.
#[derive(Clone, Debug)]
pub struct PortBarDefinition {
    /// The BAR's number. A port's BAR is 64 bits wide and takes both slots of its header, so this is 0.
    pub index: u8,
    /// Bytes; rounded up to a power of two of at least 4096.
    pub size_bytes: u64,
    /// What lies in it. The rest reads zero.
    pub subregions: Vec<PortBarSubregionDefinition>,
}

/// A part of a port's BAR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortBarSubregionDefinition {
    /// What it is.
    pub kind: PortBarSubregionKind,
    /// Bytes from the start of the BAR.
    pub offset: u64,
    /// Bytes.
    pub size_bytes: u64,
}

/// What lies in a part of a port's BAR.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum PortBarSubregionKind {
    /// CXL component registers (CXL 3.1 section 8.2.3): 64 KiB, 64-KiB aligned.
    CxlComponentRegisters,
    /// The MSI-X table: 16 bytes a vector.
    MsiXTable,
    /// The MSI-X pending bits: 8 bytes for 64 vectors.
    MsiXPba,
}

/// What a [`PortBarDefinition`] is for, as far as it keeps other BARs from their place.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum PortBarHolder {
    /// CXL component registers.
    CxlComponentRegisters,
    /// MSI-X.
    Msix,
    /// Neither.
    Plain,
}

impl fmt::Display for PortBarHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CxlComponentRegisters => "the BAR of the CXL component registers",
            Self::Msix => "the BAR of MSI-X",
            Self::Plain => "the port's 64-bit BAR",
        })
    }
}

/// A port that cannot be composed.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The BAR is not number 0.
    #[error(
        "port '{port}': BAR{index} asked for; a port's BAR is 64 bits wide and can only be BAR0"
    )]
    BarIndex {
        /// The port.
        port: String,
        /// The BAR.
        index: u8,
    },
    /// A BAR of the port's own in a slot that there is not.
    #[error("port '{port}': BAR{index} asked for; a port has BAR0 and BAR1")]
    BarNumber {
        /// The port.
        port: String,
        /// The BAR.
        index: u8,
    },
    /// A BAR of the port's own where another is already.
    #[error("port '{port}': BAR{index} asked for; {holder} takes BAR0 and BAR1")]
    BarTaken {
        /// The port.
        port: String,
        /// The BAR.
        index: u8,
        /// What has it.
        holder: PortBarHolder,
    },
    /// A part of the BAR sticks out of it.
    #[error(
        "port '{port}': {kind:?} of {size:#x} bytes at {offset:#x} do not fit in a BAR of {bar:#x} bytes"
    )]
    Subregion {
        /// The port.
        port: String,
        /// The part.
        kind: PortBarSubregionKind,
        /// Its offset.
        offset: u64,
        /// Its size.
        size: u64,
        /// Bytes of the BAR.
        bar: u64,
    },
    /// Two parts of the BAR share bytes, or one is there twice.
    #[error("port '{port}': {first:?} and {second:?} collide in BAR0")]
    SubregionCollision {
        /// The port.
        port: String,
        /// One part.
        first: PortBarSubregionKind,
        /// The other.
        second: PortBarSubregionKind,
    },
    /// The component registers are misplaced.
    #[error(
        "port '{port}': CXL component registers at {offset:#x}, {size:#x} bytes; they are 64 KiB at a multiple of 64 KiB"
    )]
    ComponentRegisters {
        /// The port.
        port: String,
        /// Their offset.
        offset: u64,
        /// Their size.
        size: u64,
    },
    /// A CXL port whose BAR has no component registers.
    #[error("port '{port}': a CXL port's BAR needs a part for the component registers")]
    NoComponentRegisters {
        /// The port.
        port: String,
    },
    /// The MSI-X table came without pending bits, or the other way round.
    #[error("port '{port}': MSI-X needs both a table and pending bits in the BAR")]
    MsixHalf {
        /// The port.
        port: String,
    },
    /// The MSI-X table or pending bits are misplaced.
    #[error("port '{port}': {source}")]
    Msix {
        /// The port.
        port: String,
        /// What is wrong.
        source: MsixLayoutError,
    },
    /// The BAR cannot be registered.
    #[error("port '{port}': a port with a BAR needs MMIO registration, and none was given")]
    NoMmioRegistration {
        /// The port.
        port: String,
    },
    /// The configuration space cannot be composed.
    #[error("port '{port}': {source}")]
    ConfigSpace {
        /// The port.
        port: String,
        /// What is wrong.
        source: ConfigSpaceError,
    },
    /// The port cannot have such a slot.
    #[error("port '{port}': {source}")]
    Slot {
        /// The port.
        port: String,
        /// What is wrong.
        source: SlotError,
    },
    /// The port was given a slot in its options and a slot number beside it.
    #[error("port '{port}': slot {slot} and a slot number, {number}; a port has one slot")]
    TwoSlots {
        /// The port.
        port: String,
        /// The number of the slot in the options.
        slot: u32,
        /// The slot number beside it.
        number: u32,
    },
    /// The port cannot have such a link.
    #[error("port '{port}': {source}")]
    Link {
        /// The port.
        port: String,
        /// What is wrong.
        source: LinkError,
    },
}

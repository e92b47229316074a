//! What enumeration found and where it put it.

use std::fmt;
use std::ops::RangeInclusive;

use pci_spec::Bdf;
use pci_spec::caps::pci_express::DevicePortType;
use pci_spec::caps::{CapabilityId, ExtendedCapabilityId};

use crate::bar::{Bar, BarFault, Rom};
use crate::capability::{Capability, ExtendedCapability};
use crate::number::Refusal;
use crate::shortfall::{Resource, Shortfall, WindowKind};

/// The hierarchy below one host bridge, enumerated and programmed. It prints as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// The segment group.
    pub segment: u16,
    /// The host bridge's bus numbers; the first is the root bus.
    pub buses: RangeInclusive<u8>,
    /// The last bus number in use, hot-plug reserves included.
    pub last_bus_used: u8,
    /// The functions on the root bus, by Routing ID; those behind a bridge are within it.
    pub functions: Vec<Function>,
    /// Everything that got less than it asked for; empty if all is well.
    pub shortfalls: Vec<Shortfall>,
}

/// A function that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its address after enumeration.
    pub bdf: Bdf,
    /// Vendor ID.
    pub vendor_id: u16,
    /// Device ID.
    pub device_id: u16,
    /// Revision ID.
    pub revision_id: u8,
    /// Class code in bits 23:0: base class, sub-class, programming interface.
    pub class_code: u32,
    /// Subsystem Vendor ID and Subsystem ID; of a bridge, from its capability, if it has one.
    pub subsystem: Option<(u16, u16)>,
    /// The layout of its header.
    pub header_type: HeaderType,
    /// The PCI Express device or port type; `None` without PCI Express capability.
    pub port_type: Option<DevicePortType>,
    /// The slot below it; `None` unless it is a root port or switch downstream port that implements one.
    pub slot: Option<Slot>,
    /// The device serial number (PCIe 6.2 section 7.9.3).
    pub serial_number: Option<u64>,
    /// Its capabilities in the first 256 bytes of config space, in list order.
    pub capabilities: Vec<Capability>,
    /// Its extended capabilities, in list order.
    pub extended_capabilities: Vec<ExtendedCapability>,
    /// The BARs that ask for address space, by number.
    pub bars: Vec<Bar>,
    /// The expansion ROM, if it asks for address space.
    pub rom: Option<Rom>,
    /// I/O Space Enable was set.
    pub io_decode: bool,
    /// Memory Space Enable was set.
    pub memory_decode: bool,
    /// What is behind it, if it is a bridge.
    pub bridge: Option<Bridge>,
    pub(crate) faults: Vec<(Resource, BarFault)>,
}

/// The bridge side of a function with a Type 1 header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Its bus numbers; `None` when there was none for it, and then nothing is forwarded.
    pub buses: Option<BusNumbers>,
    /// The I/O window; `None` when it is closed.
    pub io: Option<Window>,
    /// The memory window; `None` when it is closed.
    pub memory: Option<Window>,
    /// The prefetchable memory window; `None` when it is closed.
    pub prefetchable: Option<Window>,
    /// The functions on its secondary bus, by Routing ID.
    pub functions: Vec<Function>,
    pub(crate) not_ready: Vec<u8>,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) implemented: Implemented,
}

/// The windows a bridge implements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Implemented {
    pub(crate) io: Option<AddressBits>,
    pub(crate) memory: bool,
    pub(crate) prefetchable: Option<AddressBits>,
}

/// How much of an address a window register holds: the short form, or with the upper register too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressBits {
    /// 16 bits of I/O, 32 of memory.
    Short,
    /// 32 bits of I/O, 64 of memory.
    Long,
}

/// A bridge's bus numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusNumbers {
    /// The bus the bridge itself is on.
    pub primary: u8,
    /// The bus right behind it.
    pub secondary: u8,
    /// The last bus behind it.
    pub subordinate: u8,
}

/// An open window of a bridge: the addresses `base` to `limit`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first address.
    pub base: u64,
    /// The last address.
    pub limit: u64,
}

/// A slot, from Slot Capabilities (PCIe 6.2 section 7.5.3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Physical Slot Number, 13 bits.
    pub number: u32,
    /// Hot-Plug Capable.
    pub hot_plug: bool,
}

/// The layout of a function's header (PCIe 6.2 section 7.5.1.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderType {
    /// Type 0: an endpoint.
    Type0,
    /// Type 1: a bridge.
    Type1,
    /// A layout that PCI Express does not define; nothing but its identity was read, and nothing written.
    Other(u8),
}

impl Hierarchy {
    /// All functions, each bridge before what is behind it.
    pub fn iter(&self) -> impl Iterator<Item = &Function> {
        let mut pending: Vec<_> = vec![self.functions.iter()];
        std::iter::from_fn(move || {
            loop {
                let Some(function) = pending.last_mut()?.next() else {
                    pending.pop();
                    continue;
                };
                if let Some(bridge) = &function.bridge {
                    pending.push(bridge.functions.iter());
                }
                return Some(function);
            }
        })
    }

    /// The function at `bdf`.
    pub fn find(&self, bdf: Bdf) -> Option<&Function> {
        self.iter().find(|function| function.bdf == bdf)
    }
}

impl Function {
    /// The config offset of the first capability `id`, in bytes.
    pub fn capability(&self, id: CapabilityId) -> Option<u16> {
        let mut capabilities = self.capabilities.iter();
        let found = capabilities.find(|capability| capability.id == id);
        found.map(|capability| capability.offset)
    }

    /// The config offset of the first extended capability `id`, in bytes.
    pub fn extended_capability(&self, id: ExtendedCapabilityId) -> Option<u16> {
        let mut capabilities = self.extended_capabilities.iter();
        let found = capabilities.find(|capability| capability.id == id);
        found.map(|capability| capability.offset)
    }

    /// True of a root port or switch downstream port: a link leads down from it.
    pub fn is_downstream_port(&self) -> bool {
        matches!(
            self.port_type,
            Some(DevicePortType::RootPort | DevicePortType::DownstreamSwitchPort)
        )
    }
}

impl Bridge {
    /// The window of this kind, if it is open.
    pub fn window(&self, kind: WindowKind) -> Option<Window> {
        match kind {
            WindowKind::Io => self.io,
            WindowKind::Memory => self.memory,
            WindowKind::Prefetchable => self.prefetchable,
        }
    }

    pub(crate) fn window_mut(&mut self, kind: WindowKind) -> &mut Option<Window> {
        match kind {
            WindowKind::Io => &mut self.io,
            WindowKind::Memory => &mut self.memory,
            WindowKind::Prefetchable => &mut self.prefetchable,
        }
    }
}

impl HeaderType {
    pub(crate) fn from_bits(bits: u8) -> Self {
        match bits & 0x7f {
            0 => Self::Type0,
            1 => Self::Type1,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}-{:#x}", self.base, self.limit)
    }
}

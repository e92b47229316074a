//! The PCI Express fabric: root complexes, ports, switches and hot-plug slots.
//!
//! A monitor composes a [`root::GenericPcieRootComplex`], attaches endpoints and [`switch::GenericPcieSwitch`]es to its ports, and
//! forwards MMIO accesses to it. A configuration access takes this way: ECAM address → bus, function, register → the bus's
//! table → the port's registers, or the device behind it.
//!
//! Which bus goes where is what the guest wrote into the ports; each root complex and switch keeps a table of it
//! ([`routing`](crate::root#routing)), so that an access costs the same with one port and with 256.

#![forbid(unsafe_code)]

mod claims;
mod compose;
mod event_collector;
pub mod its;
mod messages;
pub(crate) mod port;
mod port_set;
pub mod root;
pub mod switch;
#[cfg(any(test, feature = "test_helpers"))]
pub mod test_helpers;

pub use compose::ComposeError;
pub use compose::PortConfig;
pub use compose::port_hardware_ids;
pub use port::CxlPortOptions;
pub use port::PciePortSettings;
pub use port::PortBarDefinition;
pub use port::PortBarHolder;
pub use port::PortBarSubregionDefinition;
pub use port::PortBarSubregionKind;
pub use port::PortBars;
pub use port::PortError;
pub use port::PortOptions;
pub use port::PortRegisters;

pub use pci_bus::events;

/// The README's examples, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// Vendor ID of the ports.
const VENDOR_ID: u16 = 0x1414;
/// Device ID of a root port.
const ROOT_PORT_DEVICE_ID: u16 = 0xc030;
/// Device ID of a switch's upstream port.
const UPSTREAM_SWITCH_PORT_DEVICE_ID: u16 = 0xc031;
/// Device ID of a switch's downstream port.
const DOWNSTREAM_SWITCH_PORT_DEVICE_ID: u16 = 0xc032;

/// Bytes of configuration space of a function.
const PAGE_SIZE: u64 = 4096;
/// Functions on a bus.
const MAX_FUNCTIONS_PER_BUS: usize = 256;
/// Bits of ECAM address space a bus takes: its number begins here (PCIe 6.2 section 7.2.2).
const ECAM_BUS_SHIFT: u32 = 20;
/// Bits of ECAM address space a function takes: its number begins here.
const ECAM_FUNCTION_SHIFT: u32 = 12;

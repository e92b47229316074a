//! The bus device trait, and the legacy CF8/CFC configuration mechanism.
//!
//! [`GenericPciBusDevice`] is what a bus, a root complex or a switch knows of the devices attached to it. [`GenericPciBus`] is
//! a legacy host bridge's way to reach them: configuration mechanism #1 of the PCI Local Bus Specification 3.0, section
//! 3.2.2.3.2.

#![forbid(unsafe_code)]

mod acknowledgement;
mod address;
mod bus;
mod device;
pub mod events;
mod fabric;
mod intx;
mod managed;
mod multi_function;
mod upstream;

pub use acknowledgement::Acknowledgement;
pub use acknowledgement::Acknowledger;
pub use acknowledgement::NotAcknowledged;
pub use bus::GenericPciBus;
pub use bus::PciSlotOccupiedError;
pub use device::ConfigSpaceDevice;
pub use device::GenericPciBusDevice;
pub use fabric::Fabric;
pub use fabric::Stimulus;
pub use fabric::StimulusError;
pub use intx::IntxLines;
pub use managed::HotPlugPort;
pub use managed::LinkEnd;
pub use managed::ManagedDevice;
pub use managed::SlotGoal;
pub use multi_function::MultiFunctionDevice;
pub use multi_function::MultiFunctionError;
pub use upstream::AddressRanges;
pub use upstream::Upstream;

/// The ports of configuration mechanism #1 on a PC.
pub mod standard_x86_io_ports {
    /// First port of the address register.
    pub const ADDR_START: u16 = 0xcf8;
    /// Last port of the address register.
    pub const ADDR_END: u16 = 0xcfb;
    /// First port of the data window.
    pub const DATA_START: u16 = 0xcfc;
    /// Last port of the data window.
    pub const DATA_END: u16 = 0xcff;
}

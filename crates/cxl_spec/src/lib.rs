//! CXL register blocks as the CXL specification lays them out: the DVSECs in configuration space
//! ([`pci_registers`]) and the component registers in memory ([`component_registers`]).
//!
//! This crate has layouts, reset values, access rights and the side effects that the specification itself defines. Which
//! function shows which block, and what a committed decoder or a CXL reset means for the machine, is for its owner to say.

#![forbid(unsafe_code)]

pub mod component_registers;
mod encoding;
pub mod pci_registers;
mod plan_subjects;
mod saved_words;
pub mod spec;

pub use component_registers::CxlComponentRegister;
pub use component_registers::CxlComponentRegisters;
pub use pci_registers::CxlDeviceDevsecExtendedCapability;
pub use pci_registers::CxlFlexBusPortDvsecExtendedCapability;
pub use pci_registers::CxlMemoryConfigError;
pub use pci_registers::CxlMemoryRange;
pub use pci_registers::CxlPortDvsecExtendedCapability;
pub use pci_registers::CxlRegisterLocatorDvsecExtendedCapability;
pub use pci_registers::RegisterLocatorConfigError;
pub use spec::CfmwsWindowRestrictions;
pub use spec::CxlComponentRegisterType;

/// The low and the high half of an address or size.
#[expect(clippy::cast_possible_truncation, reason = "the halves are asked for")]
const fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

//! The mechanism of a PCI function: configuration space, capabilities, BARs, MSI and MSI-X.
//!
//! A device author starts at [`cfg_space_emu::ConfigSpaceType0Emulator`]: give it identifiers, capabilities and BARs, forward
//! configuration accesses to it, and ask [`find_bar`](cfg_space_emu::ConfigSpaceType0Emulator::find_bar) which BAR an MMIO
//! address belongs to. [`capabilities`] has the capabilities, [`msi`] the way interrupts leave.
//!
//! A function's configuration space is one page of words that may be read without a lock
//! ([`reg_table::Page`]). Capabilities of this workspace keep their registers in it; one written elsewhere against
//! [`capabilities::PciCapability`] alone is reached by a call for its own words.

#![forbid(unsafe_code)]

pub mod bar_mapping;
pub mod bus_master;
pub mod bus_range;
pub mod capabilities;
pub mod cfg_space_emu;
pub mod chipset_device_ext;
pub mod msi;
pub mod test_helpers;

pub use pci_spec as spec;
pub use pci_spec::cfg_space::PciInterruptPin;

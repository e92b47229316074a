//! The other side of a device, modelled once: what a monitor and a guest's driver do with a PCI Express hierarchy.
//!
//! | who | modelled by |
//! | --- | --- |
//! | the monitor's address map | [`MmioMap`] |
//! | the monitor's interrupt controller | [`MsiSink`] |
//! | the processor's way to configuration space | [`ecam`] |
//! | a driver in the guest | [`Driver`] |
//!
//! ```
//! use pci_enumerate::{Apertures, HostBridge};
//! use pcie_topology::{DOORBELL_OFFSET, Topology};
//! use testkit::{Driver, MmioMap, MsiSink, ecam};
//!
//! let topology = Topology::from_toml(r#"
//!     [[root_complex]]
//!     name = "rc0"
//!     ecam = 0xe000_0000
//!     buses = { start = 0, end = 15 }
//!
//!     [[root_complex.port]]
//!     name = "rp0"
//!
//!     [root_complex.port.endpoint]
//!     name = "device"
//!     bar = [{ size = "16K" }]
//!     msix = { bar = 0, vectors = 2 }
//! "#)?;
//! let (mut map, sink) = (MmioMap::new(), MsiSink::new());
//! let mut hierarchy = topology.compose(&mut map, Some(sink.clone()))?;
//! let root = &mut hierarchy.complexes[0].root;
//! let host_bridge = HostBridge::new(Apertures {
//!     buses: 0..=15,
//!     mmio32: 0xc000_0000..0xd000_0000,
//!     mmio64: None,
//!     io: None,
//! });
//! let found = pci_enumerate::enumerate(&mut ecam(root), &host_bridge)?;
//! let endpoint = found.iter().last().unwrap();
//!
//! let mut driver = Driver::new(root, endpoint.bdf);
//! driver.enable_msix(&[(0xfee0_0000, 0x40), (0xfee0_0000, 0x41)])?;
//! driver.write_memory(endpoint.bars[0].address.unwrap() + DOORBELL_OFFSET, 1);
//! assert_eq!(sink.take()[0].data, 0x41);
//! assert_eq!(map.region_at(0xe000_0000).unwrap().name, "ecam");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod driver;
mod mmio_map;
mod msi_sink;

pub use driver::Driver;
pub use driver::DriverError;
pub use mmio_map::MappedRegion;
pub use mmio_map::MmioMap;
pub use msi_sink::Message;
pub use msi_sink::MsiSink;

use pci_enumerate::EcamAccess;
use pcie::root::GenericPcieRootComplex;

/// Accesses to a root complex's functions as a processor makes them, and to the memory below it.
pub fn ecam(root: &mut GenericPcieRootComplex) -> EcamAccess<'_> {
    let (first, last) = root.bus_range();
    let address = root.ecam_range().start();
    EcamAccess::new(root, address, first..=last)
}

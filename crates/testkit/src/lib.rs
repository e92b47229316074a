//! The other side of a device, modelled once: what a monitor and a guest's driver do with a PCI Express hierarchy.
//!
//! | who | modelled by |
//! | --- | --- |
//! | the monitor's address map | [`MmioMap`] |
//! | the monitor's interrupt controller | [`MsiSink`] |
//! | the processor's way to configuration space | [`EcamAccess`] |
//! | a driver in the guest | [`Driver`] |
//! | the simplest device with registers and interrupts | [`Endpoint`] |
//!
//! ```
//! use memory_range::MemoryRange;
//! use pci_core::{bus_range::AssignedBusRange, msi::MsiConnection};
//! use pci_enumerate::{Apertures, Bdf, HostBridge};
//! use pcie::{PortConfig, root::GenericPcieRootComplex};
//! use testkit::{Driver, EcamAccess, Endpoint, MmioMap, MsiSink};
//!
//! let (mut map, sink) = (MmioMap::new(), MsiSink::new());
//! let msi = MsiConnection::new(AssignedBusRange::new(), 0);
//! msi.connect(sink.clone());
//! let ecam = MemoryRange::new(0xe000_0000..0xe100_0000);
//! let mut root = GenericPcieRootComplex::builder(0, 15, ecam)
//!     .port(PortConfig::new("rp0", 1, 0))
//!     .build(&mut map, msi.target())?;
//! let bus = root.downstream_ports()[0].bus_range.clone();
//! let endpoint = Endpoint::new(2, &msi.target().with_bus_range(bus, 0));
//! let interrupt = endpoint.interrupt(1).unwrap();
//! root.add_pcie_device(0x08, "device", Box::new(endpoint)).unwrap();
//!
//! let host_bridge = HostBridge::new(Apertures {
//!     buses: 0..=15,
//!     mmio32: 0xc000_0000..0xd000_0000,
//!     mmio64: None,
//!     io: None,
//! });
//! let found = pci_enumerate::enumerate(&mut EcamAccess::new(&mut root), &host_bridge)?;
//! assert_eq!(found.iter().count(), 2);
//!
//! let mut driver = Driver::new(&mut root, Bdf::new(1, 0, 0).unwrap());
//! driver.enable_msix(&[(0xfee0_0000, 0x40), (0xfee0_0000, 0x41)])?;
//! interrupt.deliver();
//! assert_eq!(sink.take()[0].data, 0x41);
//! assert_eq!(map.regions()[0].name, "ecam");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod driver;
mod ecam;
mod endpoint;
mod mmio_map;
mod msi_sink;

pub use driver::Driver;
pub use driver::DriverError;
pub use ecam::EcamAccess;
pub use endpoint::Endpoint;
pub use mmio_map::MappedRegion;
pub use mmio_map::MmioMap;
pub use msi_sink::Message;
pub use msi_sink::MsiSink;

//! Describing a PCI Express hierarchy, finding every mistake in the description, and composing it.
//!
//! A [`Topology`] is plain data: a TOML file read with [`Topology::from_toml`], or structs filled in by a program.
//! [`Topology::validate`] names every mistake with its place in the file; [`Topology::compose`] makes the root complexes, ports,
//! switches and endpoints it asks for ([`TestEndpoint`]s, and what a [`DeviceFactory`] makes), and gives the [`Hierarchy`] that names them and that devices are plugged into.
//!
//! ```
//! use chipset_device::mmio::ExternallyManagedMmioIntercepts;
//! use pcie_topology::{EndpointSpec, Topology};
//!
//! let topology = Topology::from_toml(r#"
//!     [[root_complex]]
//!     name = "rc0"
//!     ecam = 0xe000_0000
//!
//!     [[root_complex.port]]
//!     name = "rp0"
//!     slot = 1
//! "#)?;
//! let mut hierarchy = topology.compose(&mut ExternallyManagedMmioIntercepts, None)?;
//! hierarchy.plug("rp0", &EndpointSpec::new("net0"))?;
//! assert_eq!(hierarchy.functions()[1].path, "rc0/functions/rp0/device/functions/0");
//!
//! // Every mistake is found, each with its place.
//! let problems = Topology::from_toml(r#"
//!     root_complex = [{ name = "rc0", ecam = 0xe000_1000, port = [{ name = "rc0", slot = 9000 }] }]
//! "#).unwrap_err();
//! assert_eq!(problems.to_string(), "\
//! root_complex[0].ecam: 0xe0001000 is not a multiple of 0x100000
//! root_complex[0].port[0].name: \"rc0\" is used by root_complex[0] as well
//! root_complex[0].port[0].slot: 9000; slot numbers are 0 to 8191");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod compose;
mod device_factory;
mod endpoint;
mod hierarchy;
mod layout;
mod model;
pub mod name;
mod parse;
mod port_scratch;
mod problem;
pub mod traffic;
mod validate;
mod windows;

pub use compose::Platform;
pub use device_factory::DeviceConnections;
pub use device_factory::DeviceError;
pub use device_factory::DeviceFactory;
pub use device_factory::DeviceOptions;
pub use device_factory::NoDevices;
pub use device_factory::Seat;
pub use device_factory::TEST_KIND;
pub use endpoint::DOORBELL_OFFSET;
pub use endpoint::INTX_ACKNOWLEDGE;
pub use endpoint::TestEndpoint;
pub use hierarchy::Complex;
pub use hierarchy::FunctionKind;
pub use hierarchy::Hierarchy;
pub use hierarchy::NamedFunction;
pub use hierarchy::PlugError;
pub use model::AddressRange;
pub use model::BarKind;
pub use model::BarSpec;
pub use model::BusNumbers;
pub use model::CapabilitiesSpec;
pub use model::CxlDeviceSpec;
pub use model::CxlPortSpec;
pub use model::CxlWindowSpec;
pub use model::EndpointSpec;
pub use model::EventCollectorSpec;
pub use model::IoWindowSpec;
pub use model::LinkSpec;
pub use model::LinkSpeedSpec;
pub use model::MediaType;
pub use model::MsiSpec;
pub use model::MsixSpec;
pub use model::ParseSerialNumberError;
pub use model::ParseSizeError;
pub use model::PinSpec;
pub use model::PortBarSpec;
pub use model::PortSpec;
pub use model::RootComplexSpec;
pub use model::SerialNumber;
pub use model::Size;
pub use model::SlotSpec;
pub use model::SwitchSpec;
pub use model::Topology;
pub use problem::Problem;
pub use problem::Problems;
pub use windows::Window;
pub use windows::WindowKind;
pub use windows::Windows;

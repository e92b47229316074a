//! What a guest is told of a composed hierarchy before it reads the first register: ACPI tables, or a device tree.
//!
//! A [`Platform`] is plain data: processors, memory, serial ports, and a [`HostBridge`] for each root complex.
//! [`AcpiTables::new`] checks it as a whole and writes RSDP, XSDT, FADT, DSDT, MADT, MCFG, and where there is something to say SRAT
//! and CEDT; the monitor copies two blobs to guest memory. [`fdt`] says the same of the host bridges in a flattened device tree.
//!
//! ```
//! use pcie_topology::AddressRange;
//! use pcie_topology::PortSpec;
//! use pcie_topology::RootComplexSpec;
//! use platform_tables::AcpiTables;
//! use platform_tables::HostBridge;
//! use platform_tables::Platform;
//!
//! let mut root_complex = RootComplexSpec::new("rc0", 0xe000_0000);
//! root_complex.mmio32 = Some(AddressRange::new(0xc000_0000, 0x2000_0000));
//! root_complex.port.push(PortSpec { slot: Some(1.into()), ..PortSpec::new("rp0") });
//!
//! let mut bridge = HostBridge::from_root_complex(0, &root_complex);
//! // What the ports implement the operating system may control.
//! assert!(bridge.control.native_hot_plug() && bridge.control.aer() && !bridge.control.dpc());
//! bridge.intx = Some([16, 17, 18, 19]);
//! let mut platform = Platform::new(2);
//! platform.host_bridges.push(bridge);
//!
//! // Where in guest memory the tables go; the RSDP goes where the boot protocol says.
//! let tables = AcpiTables::new(&platform, AddressRange::new(0xe_0000, 0x1_0000))?;
//! assert_eq!(&tables.rsdp[..8], b"RSD PTR ");
//! assert!(tables.iter().any(|table| &table[..4] == b"MCFG"));
//! # Ok::<(), platform_tables::Error>(())
//! ```

#![forbid(unsafe_code)]

mod acpi;
mod cxl;
mod error;
pub mod fdt;

mod host_bridge;
mod osc;
mod platform;
mod validate;

pub use acpi::AcpiTables;
pub use cxl::CxlHostBridge;
pub use cxl::CxlWindow;
pub use cxl::CxlWindowRestrictions;
pub use error::Error;
pub use host_bridge::HostBridge;
pub use host_bridge::Port;
pub use osc::CxlControl;
pub use osc::PciControl;
pub use platform::Cpu;
pub use platform::IoApic;
pub use platform::Memory;
pub use platform::Platform;
pub use platform::PowerRegisters;
pub use platform::Register;
pub use platform::SLEEP_CONTROL_POWER_OFF;
pub use platform::SerialPort;

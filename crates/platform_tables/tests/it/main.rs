//! The tables, byte by byte, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails should stop at once"
)]

mod acpi;
mod device_tree;
mod mistakes;
mod properties;

use pcie_topology::AddressRange;
use pcie_topology::PortSpec;
use pcie_topology::RootComplexSpec;
use platform_tables::Cpu;
use platform_tables::CxlWindow;
use platform_tables::CxlWindowRestrictions;
use platform_tables::HostBridge;
use platform_tables::Memory;
use platform_tables::Platform;
use platform_tables::PowerRegisters;
use platform_tables::Register;

/// Room for the tables of [`platform`].
const ROOM: AddressRange = AddressRange::new(0xe_0000, 0x2_0000);

/// A machine of everything: two nodes, an x2APIC, a plain host bridge on buses 0x00 to 0x3f, a CXL host bridge on 0x40 to 0x7f.
fn platform() -> Platform {
    let mut platform = Platform::new(0);
    platform.cpus = vec![
        Cpu {
            apic_id: 0,
            node: Some(0),
        },
        Cpu {
            apic_id: 0x100,
            node: Some(0x0001_0203),
        },
    ];
    platform.memory = vec![Memory {
        range: AddressRange::new(0x10_0000, 0x3ff0_0000),
        node: Some(0),
    }];
    platform.power = Some(PowerRegisters {
        sleep_control: Register::Io(0x600),
        sleep_status: Register::Memory(0xfed0_0000),
    });
    platform.reset = Some((Register::Io(0xcf9), 6));
    platform.host_bridges = vec![plain(), cxl()];
    platform.cxl_windows = vec![CxlWindow {
        range: AddressRange::new(0x10_0000_0000, 0x1000_0000),
        targets: vec![7],
        granularity: 1024,
        restrictions: CxlWindowRestrictions::new()
            .with_host_only_coherent(true)
            .with_volatile(true),
        qos_group: 3,
    }];
    platform
}

fn plain() -> HostBridge {
    let mut spec = RootComplexSpec::new("plain", 0xe000_0000);
    spec.buses.end = 0x3f;
    spec.io = Some(AddressRange::new(0x1000, 0x1000));
    spec.mmio32 = Some(AddressRange::new(0xc000_0000, 0x1000_0000));
    spec.port.push(PortSpec {
        slot: Some(1.into()),
        ..PortSpec::new("rp0")
    });
    let mut bridge = HostBridge::from_root_complex(0, &spec);
    bridge.intx = Some([16, 17, 18, 19]);
    bridge
}

fn cxl() -> HostBridge {
    let mut spec = RootComplexSpec::new("cxl", 0xe400_0000);
    spec.buses.start = 0x40;
    spec.buses.end = 0x7f;
    spec.mmio64 = Some(AddressRange::new(0x40_0000_0000, 0x40_0000_0000));
    spec.chbcr = Some(0xf000_0000);
    HostBridge::from_root_complex(7, &spec)
}

//! The tables that describe a hierarchy to its guest, as files.

use pcie_topology::AddressRange;
use pcie_topology::Topology;
use platform_tables::AcpiTables;
use platform_tables::Cpu;
use platform_tables::CxlWindow;
use platform_tables::Error;
use platform_tables::HostBridge;
use platform_tables::Memory;
use platform_tables::Platform;
use platform_tables::PowerRegisters;
use platform_tables::Register;
use platform_tables::fdt;
use platform_tables::fdt::GicV3;

/// Where the ACPI tables would be in guest memory: below 1 MiB, where a PC's firmware has them.
const ROOM: AddressRange = AddressRange::new(0xe_0000, 0x2_0000);

const LOW_MEMORY: AddressRange = AddressRange::new(0, 0xa_0000);
const HIGH_MEMORY: AddressRange = AddressRange::new(0x10_0000, 0x10_0000);

/// All memory is below: where CXL windows can be.
const FREE: u64 = 1 << 32;

/// The interrupts that INTx is signalled on: the first that a PC has for nothing else.
const INTX: [u32; 4] = [16, 17, 18, 19];

/// The interrupt controller of the machine that has the device tree, and where I/O ports are in its memory: 64 KiB for each root complex.
const GIC: GicV3 = GicV3 {
    distributor: AddressRange::new(0x0800_0000, 0x1_0000),
    its: AddressRange::new(0x0808_0000, 0x2_0000),
    redistributors: AddressRange::new(0x080a_0000, 0xf6_0000),
    intx: [3, 4, 5, 6],
};
const IO_IN_MEMORY: u64 = 0x0b00_0000;
const IO_SIZE: u64 = 0x1_0000;
const MEMORY: AddressRange = AddressRange::new(0x4000_0000, 0x4000_0000);

/// A file, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFile {
    /// Its name: a table's signature in small letters, and `.aml`, as the ACPI tools write it.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// The ACPI tables of a PC that has this hierarchy, a file each. It has two processors and two pieces of memory, one of each in a node, and the
/// second processor's APIC ID is one that only an x2APIC has, so that all kinds of structures are there to be seen.
///
/// # Errors
///
/// The addresses of the hierarchy cannot be told, or are in the way of the PC's own: see [`AcpiTables::new`].
pub fn acpi(topology: &Topology) -> Result<Vec<TableFile>, Error> {
    let mut platform = Platform::new(0);
    platform.cpus = [(0, 0), (0x100, 1)]
        .map(|(apic_id, node)| Cpu {
            apic_id,
            node: Some(node),
        })
        .to_vec();
    platform.memory = [(0, LOW_MEMORY), (1, HIGH_MEMORY)]
        .map(|(node, range)| Memory {
            range,
            node: Some(node),
        })
        .to_vec();
    platform.power = Some(PowerRegisters {
        sleep_control: Register::Io(0x600),
        sleep_status: Register::Io(0x601),
    });
    platform.reset = Some((Register::Io(0xcf9), 6));
    platform.host_bridges = host_bridges(topology);
    platform.cxl_windows = CxlWindow::of(topology, FREE);
    let tables = AcpiTables::new(&platform, ROOM)?;
    let mut files = vec![TableFile {
        name: "rsdp.bin".to_owned(),
        content: tables.rsdp.clone(),
    }];
    files.extend(tables.iter().map(|table| TableFile {
        name: file_name(table),
        content: table.to_vec(),
    }));
    Ok(files)
}

/// The device tree of a machine with a GICv3 that has this hierarchy; it has no processors.
///
/// # Errors
///
/// The addresses of the hierarchy are in the way of the machine's own: see [`fdt::blob`].
pub fn device_tree(topology: &Topology) -> Result<TableFile, Error> {
    let mut bridges = host_bridges(topology);
    let places = (0..).map(|i| IO_IN_MEMORY + i * IO_SIZE);
    for (bridge, place) in bridges.iter_mut().zip(places) {
        bridge.io_in_memory = bridge.io.map(|io| place + io.base);
    }
    Ok(TableFile {
        name: "tables.dtb".to_owned(),
        content: fdt::blob(&[MEMORY], &GIC, &bridges)?,
    })
}

fn file_name(table: &[u8]) -> String {
    let signature = table.get(..4).unwrap_or_default();
    format!("{}.aml", String::from_utf8_lossy(signature).to_lowercase())
}

fn host_bridges(topology: &Topology) -> Vec<HostBridge> {
    let mut bridges = HostBridge::of(topology);
    for bridge in &mut bridges {
        bridge.intx = Some(INTX);
    }
    bridges
}

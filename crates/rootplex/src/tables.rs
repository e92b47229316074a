//! The tables that describe a hierarchy to its guest, as files.

use pcie_topology::AddressRange;
use pcie_topology::Topology;
use platform_tables::AcpiTables;
use platform_tables::Error;
use platform_tables::HostBridge;
use platform_tables::PciControl;
use platform_tables::Platform;

/// Where the ACPI tables would be in guest memory: below 1 MiB, where a PC's firmware has them.
const ROOM: AddressRange = AddressRange::new(0xe_0000, 0x2_0000);

/// The interrupts that INTx is signalled on: the first that a PC has for nothing else.
const INTX: [u32; 4] = [16, 17, 18, 19];

/// What the ports of this stack implement for an operating system to control.
const CONTROL: PciControl = PciControl::new()
    .with_capability_structure(true)
    .with_native_hot_plug(true);

/// A file, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFile {
    /// Its name: a table's signature in small letters, and `.aml`, as the ACPI tools write it.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// The ACPI tables of a PC of one processor that has this hierarchy, a file each.
///
/// # Errors
///
/// The addresses of the hierarchy cannot be told, or are in the way of the PC's own: see [`AcpiTables::new`].
pub fn acpi(topology: &Topology) -> Result<Vec<TableFile>, Error> {
    let mut platform = Platform::new(1);
    platform.host_bridges = host_bridges(topology);
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

fn file_name(table: &[u8]) -> String {
    let signature = table.get(..4).unwrap_or_default();
    format!("{}.aml", String::from_utf8_lossy(signature).to_lowercase())
}

fn host_bridges(topology: &Topology) -> Vec<HostBridge> {
    (0..)
        .zip(&topology.root_complex)
        .map(|(uid, root_complex)| {
            let mut bridge = HostBridge::from_root_complex(uid, root_complex);
            bridge.control = CONTROL;
            bridge.intx = Some(INTX);
            bridge
        })
        .collect()
}

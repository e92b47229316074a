//! Firmware's part of memory: the ACPI tables, and where a reset begins.

use crate::MachineError;
use crate::boot::FirmwareTables;
use crate::boot::layout;
use crate::irq::INTX_GSIS;
use crate::power;
use crate::serial::Com;
use pcie_topology::AddressRange;
use pcie_topology::Topology;
use platform_tables::AcpiTables;
use platform_tables::CxlWindow;
use platform_tables::HostBridge;
use platform_tables::Platform;
use platform_tables::PowerRegisters;
use platform_tables::Register;
use platform_tables::SerialPort;

/// The root pointer is first, where a guest that is not told of it looks; the tables follow on the next page.
const ROOT: u64 = layout::FIRMWARE.start;
const TABLES: AddressRange = AddressRange {
    base: ROOT + 0x1000,
    size: pcie_topology::Size(RESET_VECTOR - ROOT - 0x1000),
};

/// Where a PC's firmware begins in real mode. Linux jumps there to start anew when ACPI is hardware-reduced and there is no EFI: it takes
/// the one to mean the other, and does not try the reset register.
const RESET_VECTOR: u64 = 0xf_fff0;
/// `mov dx, RESET_PORT; mov al, RESET_VALUE; out dx, al; l: hlt; jmp l`.
const RESET_PROGRAM: [u8; 9] = {
    let [low, high] = power::RESET_PORT.to_le_bytes();
    [
        0xba,
        low,
        high,
        0xb0,
        power::RESET_VALUE,
        0xee,
        0xf4,
        0xeb,
        0xfd,
    ]
};

/// Writes the tables, and the little program that resets the machine. CXL windows that the description does not place are above memory,
/// which ends at `memory_end`.
pub(crate) fn tables(
    topology: &Topology,
    cpus: u32,
    memory_end: u64,
) -> Result<FirmwareTables, MachineError> {
    let tables = AcpiTables::new(&platform(topology, cpus, memory_end), TABLES)?;
    Ok(FirmwareTables {
        root: ROOT,
        pieces: vec![
            (ROOT, tables.rsdp),
            (tables.base, tables.tables),
            (RESET_VECTOR, RESET_PROGRAM.to_vec()),
        ],
    })
}

fn platform(topology: &Topology, cpus: u32, memory_end: u64) -> Platform {
    Platform {
        serial_ports: Com::ALL
            .map(|com| SerialPort {
                base: com.port(),
                gsi: com.interrupt(),
            })
            .to_vec(),
        power: Some(PowerRegisters {
            sleep_control: Register::Io(power::SLEEP_CONTROL_PORT),
            sleep_status: Register::Io(power::SLEEP_STATUS_PORT),
        }),
        reset: Some((Register::Io(power::RESET_PORT), power::RESET_VALUE)),
        host_bridges: HostBridge::of(topology)
            .into_iter()
            .map(|bridge| HostBridge {
                intx: Some(INTX_GSIS),
                ..bridge
            })
            .collect(),
        cxl_windows: CxlWindow::of(topology, memory_end),
        ..Platform::new(cpus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_fit_where_firmware_has_its_part() {
        let topology = Topology::from_toml(include_str!("../../rootplex/examples/demo.toml"));
        let tables = tables(&topology.unwrap(), 4, 0).unwrap();
        let [(root, pointer), (base, blob), (vector, _)] = &tables.pieces[..] else {
            panic!("a root pointer, a blob and a program");
        };
        assert_eq!((*root, tables.root), (0xe_0000, 0xe_0000));
        assert!(pointer.starts_with(b"RSD PTR "));
        assert_eq!(*base, 0xe_1000);
        assert!(base + blob.len() as u64 <= *vector);
        let fadt = blob.windows(4).position(|bytes| bytes == b"FACP").unwrap();
        assert_eq!(
            blob[fadt + 116..fadt + 129],
            [1, 8, 0, 1, 2, 6, 0, 0, 0, 0, 0, 0, 1],
            "the reset register: port 0x602, one byte, and its value"
        );
    }

    #[test]
    fn cxl_windows_are_above_memory_unless_they_are_placed() {
        let text = r#"
            root_complex = [{ name = "cxl0", ecam = 0xe000_0000, chbcr = 0xf000_0000 }]
            cxl_window = [
                { name = "a", size = "1G", targets = ["cxl0"] },
                { name = "b", base = 0x4000_0000_0000, size = "1G", targets = ["cxl0"] },
            ]
        "#;
        let platform = platform(&Topology::from_toml(text).unwrap(), 1, 0x1_4000_0001);
        let places: Vec<_> = platform
            .cxl_windows
            .iter()
            .map(|window| (window.range.base, window.targets.clone()))
            .collect();
        assert_eq!(
            places,
            [(0x1_5000_0000, vec![0]), (0x4000_0000_0000, vec![0])]
        );
    }
}

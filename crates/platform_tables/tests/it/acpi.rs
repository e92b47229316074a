//! What is in which table.

use super::ROOM;
use super::plain;
use super::platform;
use pcie_topology::AddressRange;
use platform_tables::AcpiTables;
use platform_tables::Error;
use platform_tables::Platform;

fn tables(platform: &Platform) -> AcpiTables {
    AcpiTables::new(platform, ROOM).unwrap()
}

fn table(tables: &AcpiTables, signature: &str) -> Option<Vec<u8>> {
    tables
        .iter()
        .find(|table| table.starts_with(signature.as_bytes()))
        .map(<[u8]>::to_vec)
}

/// What is behind a table's header.
fn body(signature: &str) -> Vec<u8> {
    table(&tables(&platform()), signature).unwrap()[36..].to_vec()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Bytes from words of hexadecimal digits.
fn bytes(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn the_guest_finds_each_table_from_the_rsdp_on() {
    let tables = tables(&platform());
    let at = |address: u64| {
        let offset = usize::try_from(address - tables.base).unwrap();
        assert_eq!(offset % 16, 0);
        let length = u32_at(&tables.tables, offset + 4);
        let table = &tables.tables[offset..][..usize::try_from(length).unwrap()];
        assert_eq!(sum(table), 0, "{:?}", &table[..4]);
        table
    };
    let signature = |table: &[u8]| String::from_utf8(table[..4].to_vec()).unwrap();

    assert_eq!(tables.base, ROOM.base);
    assert_eq!(tables.rsdp.len(), 36);
    assert_eq!(sum(&tables.rsdp[..20]), 0);
    assert_eq!(sum(&tables.rsdp), 0);
    let xsdt = at(u64_at(&tables.rsdp, 24));
    assert_eq!(signature(xsdt), "XSDT");
    let listed: Vec<&[u8]> = xsdt[36..]
        .chunks(8)
        .map(|entry| at(u64_at(entry, 0)))
        .collect();
    let names: Vec<String> = listed.iter().map(|table| signature(table)).collect();
    assert_eq!(names, ["FACP", "APIC", "MCFG", "SRAT", "CEDT"]);
    assert_eq!(signature(at(u64_at(listed[0], 140))), "DSDT");
    // What the iterator shows is what is there: these, DSDT and XSDT.
    assert_eq!(tables.iter().count(), names.len() + 2);
    assert!(tables.iter().all(|table| sum(table) == 0));
}

#[test]
fn a_table_with_nothing_to_say_is_not_there() {
    let mut platform = Platform::new(1);
    platform.host_bridges.push(plain());
    let tables = tables(&platform);
    for signature in ["SRAT", "CEDT"] {
        assert_eq!(table(&tables, signature), None);
    }
}

#[test]
fn hardware_is_reduced_to_what_there_is() {
    let fadt = table(&tables(&platform()), "FACP").unwrap();
    assert_eq!(fadt.len(), 276);
    // IAPC_BOOT_ARCH: no VGA, no CMOS clock, no 8042.
    assert_eq!(fadt[109..111], [0x24, 0]);
    // Hardware-reduced, reset register, no fixed buttons, WBINVD.
    assert_eq!(u32_at(&fadt, 112), 1 << 20 | 1 << 10 | 1 << 5 | 1 << 4 | 1);
    assert_eq!(
        fadt[116..129],
        bytes("01 08 00 01 f9 0c 00 00 00 00 00 00 06")
    );
    // Sleep control and sleep status.
    assert_eq!(fadt[244..256], bytes("01 08 00 01 00 06 00 00 00 00 00 00"));
    assert_eq!(fadt[256..268], bytes("00 08 00 01 00 00 d0 fe 00 00 00 00"));

    let without = table(&tables(&Platform::new(1)), "FACP").unwrap();
    assert_eq!(u32_at(&without, 112) & (1 << 10), 0);
    assert_eq!(sum(&without[244..268]), 0);
}

#[test]
fn interrupt_controllers_of_both_kinds() {
    let expected = "
        00 00 e0 fe  00 00 00 00
        00 08 00 00  01 00 00 00
        09 10 00 00  00 01 00 00  01 00 00 00  01 00 00 00
        01 0c 00 00  00 00 c0 fe  00 00 00 00";
    assert_eq!(body("APIC"), bytes(expected));
}

#[test]
fn a_processor_of_each_kind_and_memory_have_a_node() {
    let expected = "
        01 00 00 00  00 00 00 00 00 00 00 00
        00 10 00 00  01 00 00 00  00 00 00 00  00 00 00 00
        02 18 00 00  03 02 01 00  00 01 00 00  01 00 00 00  00 00 00 00 00 00 00 00
        01 28 00 00 00 00 00 00
            00 00 10 00 00 00 00 00  00 00 f0 3f 00 00 00 00
            00 00 00 00  01 00 00 00  00 00 00 00 00 00 00 00";
    assert_eq!(body("SRAT"), bytes(expected));
}

#[test]
fn a_node_of_a_local_apic_has_32_bits() {
    let mut platform = platform();
    platform.cpus[0].node = Some(0x0403_0201);
    let srat = table(&tables(&platform), "SRAT").unwrap();
    assert_eq!(
        srat[48..64],
        bytes("00 10 01 00  01 00 00 00  00 02 03 04  00 00 00 00")
    );
}

#[test]
fn ecam_is_given_by_the_address_of_bus_0() {
    // The second bridge's first bus, 0x40, is at 0xe400_0000.
    let expected = "
        00 00 00 00 00 00 00 00
        00 00 00 e0 00 00 00 00  00 00 00 3f  00 00 00 00
        00 00 00 e0 00 00 00 00  00 00 40 7f  00 00 00 00";
    assert_eq!(body("MCFG"), bytes(expected));
}

#[test]
fn a_cxl_host_bridge_has_32_bytes_and_a_window_36_and_its_targets() {
    let expected = "
        00 00 20 00  07 00 00 00  01 00 00 00  00 00 00 00
            00 00 00 f0 00 00 00 00  00 00 01 00 00 00 00 00
        01 00 28 00  00 00 00 00
            00 00 00 00 10 00 00 00  00 00 00 10 00 00 00 00
            00 00 00 00  02 00 00 00  06 00  03 00  07 00 00 00";
    assert_eq!(body("CEDT"), bytes(expected));
}

#[test]
fn a_window_of_three_ways_has_their_code() {
    let mut platform = platform();
    for uid in [8, 9] {
        let mut bridge = super::cxl();
        bridge.uid = uid;
        bridge.segment = 1;
        let index = u64::from(uid) - 7;
        bridge.buses.start = 0x40 * u8::try_from(index).unwrap();
        bridge.buses.end = bridge.buses.start + 0x3f;
        bridge.ecam.base = 0x100_0000_0000 + (index << 30);
        bridge.mmio64 = None;
        bridge.cxl.as_mut().unwrap().component_registers += index << 16;
        platform.host_bridges.push(bridge);
    }
    platform.cxl_windows[0].targets = vec![9, 7, 8];
    platform.cxl_windows[0].range.size.0 = 3 << 28;
    let cedt = table(&tables(&platform), "CEDT").unwrap();
    let window = &cedt[36 + 3 * 32..];
    assert_eq!(window[..4], bytes("01 00 30 00"));
    // Encoded ways, and the targets in their order.
    assert_eq!(window[24], 8);
    assert_eq!(window[36..], bytes("09 00 00 00  07 00 00 00  08 00 00 00"));
}

#[test]
fn tables_fit_exactly_or_not_at_all() {
    let needed = u64::try_from(tables(&platform()).tables.len()).unwrap();
    let exactly = AddressRange::new(ROOM.base, needed);
    assert!(AcpiTables::new(&platform(), exactly).is_ok());
    let less = AddressRange::new(ROOM.base, needed - 1);
    assert_eq!(
        AcpiTables::new(&platform(), less),
        Err(Error::NoRoom {
            needed,
            room: needed - 1
        })
    );
    let at_the_end = AddressRange::new(u64::MAX - 0xf, ROOM.size.0);
    assert!(matches!(
        AcpiTables::new(&platform(), at_the_end),
        Err(Error::NoRoom { .. })
    ));
}

#[test]
fn as_many_host_bridges_as_there_can_be() {
    let mut platform = Platform::new(1);
    for i in 0..=0xff_u8 {
        let mut bridge = plain();
        bridge.uid = i.into();
        bridge.segment = i.into();
        bridge.ecam.base = 0x100_0000_0000 + (u64::from(i) << 26);
        bridge.mmio32 = None;
        bridge.io = None;
        bridge.ports.clear();
        platform.host_bridges.push(bridge);
    }
    let room = AddressRange::new(0x10_0000, 0x100_0000);
    let tables = AcpiTables::new(&platform, room).unwrap();
    let dsdt = table(&tables, "DSDT").unwrap();
    for name in [b"PC00", b"PC7F", b"PCFF"] {
        assert_eq!(dsdt.windows(4).filter(|window| window == name).count(), 1);
    }
}

#[test]
fn windows_of_a_description_go_to_its_root_complexes() {
    let text = r#"
        root_complex = [
            { name = "pcie0", ecam = 0xe000_0000, buses = { start = 0, end = 15 } },
            { name = "cxl0", ecam = 0xe100_0000, buses = { start = 16, end = 31 }, chbcr = 0xf000_0000 },
            { name = "cxl1", ecam = 0xe200_0000, buses = { start = 32, end = 47 }, chbcr = 0xf001_0000 },
        ]
        [[cxl_window]]
        name = "interleaved"
        size = "1G"
        targets = ["cxl1", "cxl0"]
        granularity = "4K"
        host_only_coherent = false
        back_invalidate = true
        persistent = true
        fixed_configuration = true
        qos_group = 9
    "#;
    let topology = pcie_topology::Topology::from_toml(text).unwrap();
    let mut platform = Platform::new(1);
    platform.host_bridges = platform_tables::HostBridge::of(&topology);
    platform.cxl_windows = platform_tables::CxlWindow::of(&topology, 0x1_8000_0001);
    let cedt = table(&tables(&platform), "CEDT").unwrap();
    // Behind the structures of both host bridges.
    let expected = "
        01 00 2c 00  00 00 00 00
            00 00 00 90 01 00 00 00  00 00 00 40 00 00 00 00
            01 00 00 00  04 00 00 00  3c 00  09 00  02 00 00 00  01 00 00 00";
    assert_eq!(cedt[36 + 2 * 32..], bytes(expected));
}

//! What is refused, and with which words.

use super::ROOM;
use super::plain;
use super::platform;
use pcie_topology::AddressRange;
use platform_tables::AcpiTables;
use platform_tables::Memory;
use platform_tables::Platform;
use platform_tables::Port;
use platform_tables::Register;

#[track_caller]
fn check(change: impl FnOnce(&mut Platform), message: &str) {
    let mut platform = platform();
    change(&mut platform);
    let error = AcpiTables::new(&platform, ROOM).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn processors() {
    check(|p| p.cpus.clear(), "there is no processor");
    check(
        |p| p.cpus[1].apic_id = 0,
        "two processors have the number 0x0",
    );
    check(
        |p| p.cpus = Platform::new(4097).cpus,
        "there are 4097 processors; there can be 4096",
    );
    check(
        |p| p.cpus[1].node = None,
        "processor 1 has no node, and others have: either all have one or none",
    );
    check(
        |p| p.memory[0].node = None,
        "memory 0 has no node, and others have: either all have one or none",
    );
}

#[test]
fn numbers_of_host_bridges() {
    check(
        |p| p.host_bridges[1].uid = 0,
        "two host bridges have the number 0x0",
    );
    check(
        |p| p.host_bridges = vec![plain(); 257],
        "there are 257 host bridges; there can be 256",
    );
    check(
        |p| p.host_bridges[1].buses.end = 0x3f,
        "host bridge 7: there is no bus in 0x40-0x3f",
    );
    check(
        |p| p.host_bridges[0].buses.end = 0x40,
        "host bridge 0: buses 0x00-0x40 need 0x4100000 bytes of ECAM, and 0xe0000000-0xe3ffffff is less",
    );
    check(
        |p| p.host_bridges[1].buses.start = 0x3f,
        "host bridge 7: buses 0x3f-0x7f need 0x4100000 bytes of ECAM, and 0xe4000000-0xe7ffffff is less",
    );
    check(
        |p| {
            p.host_bridges[0].ecam.size.0 = 0x410_0000;
            p.host_bridges[0].buses.end = 0x40;
        },
        "host bridges 0 and 7 share bus numbers of segment 0x0000: 0x00-0x40 and 0x40-0x7f",
    );
    check(
        |p| p.host_bridges[1].ecam.base = 0x300_0000,
        "host bridge 7: with bus 0x40 at 0x3000000, bus 0 would be below address 0, and MCFG cannot say that",
    );
}

#[test]
fn addresses() {
    check(
        |p| p.host_bridges[1].ecam.base = 0xe3f0_0000,
        "host bridge 0: ECAM (0xe0000000-0xe3ffffff) and host bridge 7: ECAM (0xe3f00000-0xe7efffff) overlap",
    );
    check(
        |p| p.host_bridges[1].ecam.base = 0xe400_1000,
        "host bridge 7: ECAM: 0xe4001000 is not a multiple of 0x100000",
    );
    check(
        |p| p.host_bridges[0].mmio32 = Some(AddressRange::new(0xf000_0000, 0x1000_0001)),
        "host bridge 0: 32-bit memory: 0xf0000000-0x100000000 must have an address, and none from 0x100000000 up",
    );
    check(
        |p| p.host_bridges[0].mmio64 = Some(AddressRange::new(0, 0)),
        "host bridge 0: 64-bit memory: 0x0-0x0 must have an address, and none from 0x10000000000000 up",
    );
    check(
        |p| p.host_bridges[0].prefetchable = Some(AddressRange::new(u64::MAX, 2)),
        "host bridge 0: prefetchable memory: 0xffffffffffffffff-0xfffffffffffffffe must have an address, and none from \
         0x10000000000000 up",
    );
    check(
        |p| p.host_bridges[0].io = Some(AddressRange::new(0, 0x1_0001)),
        "host bridge 0: I/O ports: 0x0-0x10000 must have an address, and none from 0x10000 up",
    );
    check(
        |p| p.host_bridges[0].io = Some(AddressRange::new(0, 0x1_0000)),
        "host bridge 0: I/O ports (0x0-0xffff) and serial port 0 (0x3f8-0x3ff) overlap",
    );
    check(
        |p| p.reserved.push(AddressRange::new(0xfee0_0000, 1)),
        "reserved range 0 (0xfee00000-0xfee00000) and local APIC (0xfee00000-0xfee00fff) overlap",
    );
    check(
        |p| p.reset = Some((Register::Io(0x600), 1)),
        "sleep control register (0x600-0x600) and reset register (0x600-0x600) overlap",
    );
    check(
        |p| p.host_bridges[1].cxl.as_mut().unwrap().component_registers += 0x1000,
        "host bridge 7: component registers: 0xf0001000 is not a multiple of 0x10000",
    );
    let error = AcpiTables::new(&platform(), AddressRange::new(0xe_0008, 0x1_0000)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the room for tables: 0xe0008 is not a multiple of 0x10"
    );
}

#[test]
fn a_range_that_holds_several_overlaps_the_first() {
    check(
        |p| {
            p.memory.push(Memory {
                range: AddressRange::new(0xc000_0000, 0x4000_0000),
                node: Some(0),
            });
        },
        "memory 1 (0xc0000000-0xffffffff) and host bridge 0: 32-bit memory (0xc0000000-0xcfffffff) overlap",
    );
}

#[test]
fn root_ports() {
    let port = |device, function, slot| Port {
        device,
        function,
        slot,
        ..Port::default()
    };
    check(
        |p| p.host_bridges[1].ports.push(port(32, 0, None)),
        "host bridge 7: there is no device 0x20 function 0",
    );
    check(
        |p| p.host_bridges[1].ports.push(port(0, 8, None)),
        "host bridge 7: there is no device 0x0 function 8",
    );
    check(
        |p| p.host_bridges[0].ports.push(port(0, 0, None)),
        "two root ports of one root bus have the number 0x0",
    );
    check(
        |p| p.host_bridges[1].ports.push(port(0, 0, Some(1))),
        "two slots have the number 0x1",
    );
    check(
        |p| p.host_bridges[1].ports.push(port(0, 0, Some(0x2000))),
        "slot 8192: slot numbers are 0 to 8191",
    );
    check(
        |p| p.host_bridges[0].ports[0].switch = vec![port(1, 0, None), port(1, 0, None)],
        "two downstream ports of one switch have the number 0x8",
    );
    check(
        |p| {
            p.host_bridges[1].ports.push(Port {
                switch: vec![port(0, 0, Some(1))],
                ..port(0, 0, None)
            })
        },
        "two slots have the number 0x1",
    );
    check(
        |p| p.host_bridges[0].ports[0].label = "a\0b".into(),
        "label \"a\\0b\" is not printable ASCII",
    );
}

#[test]
fn cxl_windows() {
    let window = "the CXL window 0x1000000000-0x100fffffff";
    check(
        |p| p.cxl_windows[0].targets = vec![0],
        &format!("{window} goes to 0, which is no CXL host bridge"),
    );
    check(
        |p| p.cxl_windows[0].targets = vec![7; 5],
        &format!("{window} has 5 targets; there can be 1, 2, 3, 4, 6, 8, 12 or 16"),
    );
    check(
        |p| p.cxl_windows[0].targets = vec![7; 2],
        "the size of a CXL window: 0x10000000 is not a multiple of 0x20000000",
    );
    check(
        |p| {
            p.cxl_windows[0].targets = vec![7; 2];
            p.cxl_windows[0].range.size.0 = 0x2000_0000;
        },
        "two targets of one CXL window have the number 0x7",
    );
    check(
        |p| p.cxl_windows[0].granularity = 128,
        &format!("{window} has a granularity of 128; it is a power of two from 256 to 16384"),
    );
    check(
        |p| p.cxl_windows[0].granularity = 768,
        &format!("{window} has a granularity of 768; it is a power of two from 256 to 16384"),
    );
    check(
        |p| p.cxl_windows[0].range.base += 0x1000,
        "the base of a CXL window: 0x1000001000 is not a multiple of 0x10000000",
    );
    check(
        |p| p.cxl_windows[0].range.base = 0x40_0000_0000,
        "host bridge 7: 64-bit memory (0x4000000000-0x7fffffffff) and CXL window 0 (0x4000000000-0x400fffffff) overlap",
    );
}

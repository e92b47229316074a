//! What is in a host bridge's node.

use super::cxl;
use super::plain;
use pcie_topology::AddressRange;
use platform_tables::Error;
use platform_tables::HostBridge;
use platform_tables::fdt;
use platform_tables::fdt::GicV3;
use platform_tables::fdt::Interrupts;
use platform_tables::fdt::IntxParent;
use vm_fdt::FdtWriter;

fn be_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The properties of all nodes in order, as the specification of device trees lays them out (version 0.4, section 5.4).
fn properties(blob: &[u8]) -> Vec<(String, Vec<u32>)> {
    let offset = |at| usize::try_from(be_u32(blob, at)).unwrap();
    let (mut at, strings) = (offset(8), offset(12));
    let text = |from: usize| {
        let end = blob[from..].iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8(blob[from..from + end].to_vec()).unwrap()
    };
    let mut properties = Vec::new();
    loop {
        let token = be_u32(blob, at);
        at += 4;
        match token {
            1 => at = (at + text(at).len() + 1).next_multiple_of(4),
            2 => {}
            3 => {
                let len = offset(at);
                let cells = blob[at + 8..at + 8 + len].chunks_exact(4);
                let cells = cells.map(|cell| be_u32(cell, 0)).collect();
                properties.push((text(strings + offset(at + 4)), cells));
                at = (at + 8 + len).next_multiple_of(4);
            }
            9 => return properties,
            _ => panic!("{token} is no token"),
        }
    }
}

fn node(bridge: &HostBridge, interrupts: &Interrupts) -> Result<Vec<(String, Vec<u32>)>, Error> {
    let mut fdt = FdtWriter::new().unwrap();
    let root = fdt.begin_node("").unwrap();
    fdt::add_host_bridge(&mut fdt, bridge, interrupts)?;
    fdt.end_node(root).unwrap();
    Ok(properties(&fdt.finish().unwrap()))
}

fn cells(properties: &[(String, Vec<u32>)], name: &str) -> Option<Vec<u32>> {
    properties
        .iter()
        .find(|(property, _)| property == name)
        .map(|(_, cells)| cells.clone())
}

const NO_INTERRUPTS: Interrupts = Interrupts {
    msi: None,
    intx: None,
};

#[test]
fn buses_and_windows() {
    let mut bridge = plain();
    bridge.io_in_memory = Some(0x3eff_0000);
    bridge.mmio64 = Some(AddressRange::new(0x40_0000_0000, 0x1_0000_0000));
    bridge.prefetchable = Some(AddressRange::new(0x80_0000_0000, 0x20_0000_0000));
    bridge.segment = 2;
    let node = node(&bridge, &NO_INTERRUPTS).unwrap();
    assert_eq!(
        cells(&node, "reg").unwrap(),
        [0, 0xe000_0000, 0, 0x400_0000]
    );
    assert_eq!(cells(&node, "bus-range").unwrap(), [0, 0x3f]);
    assert_eq!(cells(&node, "linux,pci-domain").unwrap(), [2]);
    assert_eq!(cells(&node, "dma-coherent").unwrap(), []);
    #[rustfmt::skip]
    assert_eq!(
        cells(&node, "ranges").unwrap(),
        [
            0x0100_0000, 0, 0x1000, 0, 0x3eff_0000, 0, 0x1000,
            0x0200_0000, 0, 0xc000_0000, 0, 0xc000_0000, 0, 0x1000_0000,
            0x0300_0000, 0x40, 0, 0x40, 0, 1, 0,
            0x4300_0000, 0x80, 0, 0x80, 0, 0x20, 0,
        ]
    );
    for absent in ["msi-map", "interrupt-map", "#interrupt-cells"] {
        assert_eq!(cells(&node, absent), None);
    }
}

#[test]
fn a_function_is_known_to_the_msi_controller_by_segment_and_requester_id() {
    let mut bridge = cxl();
    bridge.segment = 1;
    let interrupts = Interrupts {
        msi: Some((5, 0)),
        intx: None,
    };
    let node = node(&bridge, &interrupts).unwrap();
    assert_eq!(
        cells(&node, "msi-map").unwrap(),
        [0x4000, 5, 0x1_4000, 0x4000]
    );
    // ECAM begins with the first bus.
    assert_eq!(
        cells(&node, "reg").unwrap(),
        [0, 0xe400_0000, 0, 0x400_0000]
    );
}

#[test]
fn wired_interrupts_turn_with_the_device_number() {
    let interrupts = Interrupts {
        msi: None,
        intx: Some(IntxParent {
            phandle: 9,
            address_cells: 1,
            specifiers: [10, 11, 12, 13].map(|number| vec![0, number, 4]),
        }),
    };
    let mut bridge = plain();
    bridge.io = None;
    let node = node(&bridge, &interrupts).unwrap();
    let map = cells(&node, "interrupt-map").unwrap();
    let expected: Vec<u32> = (0..4)
        .flat_map(|device| (0..4).map(move |pin| (device, pin)))
        .flat_map(|(device, pin)| {
            [
                device << 11,
                0,
                0,
                pin + 1,
                9,
                0,
                0,
                10 + (device + pin) % 4,
                4,
            ]
        })
        .collect();
    assert_eq!(map, expected);
    assert_eq!(
        cells(&node, "interrupt-map-mask").unwrap(),
        [3 << 11, 0, 0, 7]
    );
}

#[test]
fn io_ports_need_a_place_in_memory() {
    let error = node(&plain(), &NO_INTERRUPTS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "host bridge 0: a device tree needs `io_in_memory` for the I/O ports 0x1000-0x1fff"
    );
}

#[test]
fn a_bridge_is_checked_by_itself() {
    let mut bridge = cxl();
    bridge.ecam.size.0 -= 1 << 20;
    let error = node(&bridge, &NO_INTERRUPTS).unwrap_err();
    assert!(matches!(error, Error::EcamTooSmall { uid: 7, .. }));
}

#[test]
fn a_whole_tree_has_no_overlaps() {
    let gic = GicV3 {
        distributor: AddressRange::new(0x800_0000, 0x1_0000),
        redistributors: AddressRange::new(0x80a_0000, 0x10_0000),
        its: AddressRange::new(0x808_0000, 0x2_0000),
        intx: [3, 4, 5, 6],
    };
    let memory = AddressRange::new(0x4000_0000, 0x4000_0000);
    assert!(fdt::blob(&[memory], &gic, &[cxl()]).is_ok());
    let memory = AddressRange::new(0x4000_0000, 0xa400_0001);
    assert_eq!(
        fdt::blob(&[memory], &gic, &[cxl()])
            .unwrap_err()
            .to_string(),
        "memory (0x40000000-0xe4000000) and host bridge 7: ECAM (0xe4000000-0xe7ffffff) overlap"
    );
}

//! Devices that come and go, and how the guest learns of it (PCIe 6.2 section 6.7).

use crate::model::*;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use pci_core::PciInterruptPin;
use pci_core::msi::MsiConnection;
use pcie::PortBarDefinition;
use pcie::PortBarSubregionDefinition;
use pcie::PortBarSubregionKind;
use pcie::PortConfig;
use pcie::root::GenericPcieRootComplex;
use vmcore::line_interrupt::LineInterrupt;
use vmcore::line_interrupt::test_helpers::TestLineInterruptTarget;

const ADDRESS: u32 = 0xfee0_1000;

/// Points MSI of a port at `ADDRESS` with `data`, and turns on the interrupts of its slot.
fn enable_msi(root: &mut GenericPcieRootComplex, (bus, devfn): (u8, u8), data: u32) {
    root.write(bus, devfn, 0x80, ADDRESS);
    root.write(bus, devfn, 0x84, 0);
    root.write(bus, devfn, 0x88, data);
    root.write(bus, devfn, 0x7c, 1 << 16);
    root.write(bus, devfn, 0x04, 4);
    enable_slot_interrupts(root, (bus, devfn));
}

/// Presence Detect Changed Enable, Hot-Plug Interrupt Enable.
fn enable_slot_interrupts(root: &mut GenericPcieRootComplex, (bus, devfn): (u8, u8)) {
    root.store(config(bus, devfn, 0x58), &[0x28, 0x00]).unwrap();
}

fn acknowledge(root: &mut GenericPcieRootComplex, (bus, devfn): (u8, u8)) {
    root.store(config(bus, devfn, 0x5a), &[0xff, 0x01]).unwrap();
}

fn connected(
    ports: impl IntoIterator<Item = PortConfig>,
    connection: &MsiConnection,
) -> GenericPcieRootComplex {
    ports
        .into_iter()
        .fold(builder(), |builder, port| builder.port(port))
        .build(&mut ExternallyManagedMmioIntercepts, connection.target())
        .unwrap()
}

#[test]
fn a_root_port_interrupts_with_its_own_requester_id() {
    let (messages, connection) = Messages::connected();
    let ports = [3, 9]
        .map(|device| PortConfig::new(format!("rp{device}"), device, 0).with_slot(device.into()));
    let mut root = connected(ports, &connection);
    for (devfn, data) in [(0x18, 0x33), (0x48, 0x99)] {
        enable_msi(&mut root, (0, devfn), data);
    }
    root.hotplug_add_device("rp9", "ep", Scratch::boxed(0xd009))
        .unwrap();
    assert_eq!(messages.take(), [(Some(0x48), u64::from(ADDRESS), 0x99)]);
    root.number((0, 0x48), 1, 1);
    assert_eq!(root.read(1, 0, 0), 0xd009);
    acknowledge(&mut root, (0, 0x48));
    root.hotplug_remove_device("rp9").unwrap();
    assert_eq!(messages.take(), [(Some(0x48), u64::from(ADDRESS), 0x99)]);
    assert_eq!(root.read(1, 0, 0), !0);
    root.hotplug_add_device("rp3", "ep", Scratch::boxed(0xd003))
        .unwrap();
    assert_eq!(messages.take(), [(Some(0x18), u64::from(ADDRESS), 0x33)]);
}

#[test]
fn the_requester_id_is_on_the_complexs_first_bus() {
    let (messages, connection) = Messages::connected();
    let mut root = GenericPcieRootComplex::builder(64, 127, ecam(64, 127))
        .port(PortConfig::new("rp", 1, 0).with_slot(1))
        .build(&mut ExternallyManagedMmioIntercepts, connection.target())
        .unwrap();
    // This ECAM begins with bus 64, where `config` counts from 0.
    enable_msi(&mut root, (0, 8), 7);
    root.hotplug_add_device("rp", "ep", Scratch::boxed(1))
        .unwrap();
    assert_eq!(messages.take(), [(Some(0x4008), u64::from(ADDRESS), 7)]);
}

#[test]
fn ports_of_nested_switches_are_found_by_name() {
    let (messages, connection) = Messages::connected();
    let mut root = connected([PortConfig::new("rp0", 0, 0).with_slot(1)], &connection);
    let target = connection.target();
    let mut outer = switch_with("outer", 2, target);
    outer
        .add_pcie_device(8, "inner", switch_with("inner", 2, target).into_device())
        .unwrap();
    root.add_pcie_device(0, "outer", outer.into_device())
        .unwrap();
    // rp0: bus 1, outer: bus 2, outer-1: bus 3, inner: bus 4, inner-1: bus 5.
    root.number((0, 0), 1, 9);
    root.number((1, 0), 2, 9);
    root.number((2, 8), 3, 9);
    root.number((3, 0), 4, 9);
    root.number((4, 8), 5, 5);
    for bridge in [(0, 0), (1, 0), (2, 8), (3, 0)] {
        root.open(bridge);
    }
    enable_msi(&mut root, (4, 8), 0x45);
    enable_msi(&mut root, (2, 0), 0x20);

    root.hotplug_add_device("inner-1", "ep", Scratch::boxed(0xd000))
        .unwrap();
    assert_eq!(messages.take(), [(Some(0x0408), u64::from(ADDRESS), 0x45)]);
    assert_eq!(root.read(5, 0, 0), 0xd000);
    root.hotplug_add_device("outer-0", "ep2", Scratch::boxed(0xd001))
        .unwrap();
    assert_eq!(messages.take(), [(Some(0x0200), u64::from(ADDRESS), 0x20)]);

    acknowledge(&mut root, (4, 8));
    root.hotplug_remove_device("inner-1").unwrap();
    assert_eq!(messages.take(), [(Some(0x0408), u64::from(ADDRESS), 0x45)]);
    assert_eq!(root.read(5, 0, 0), !0);

    let error = |result: anyhow::Result<()>| result.unwrap_err().to_string();
    assert_eq!(
        error(root.hotplug_remove_device("inner-9")),
        "no port is named 'inner-9'"
    );
    assert_eq!(
        error(root.hotplug_remove_device("inner-1")),
        "port 'inner-1' is empty"
    );
    assert_eq!(
        error(root.hotplug_add_device("outer-1", "ep", Scratch::boxed(1))),
        "port 'outer-1' is occupied by 'inner'; 'ep' cannot be attached"
    );
    assert_eq!(messages.take(), []);
}

#[test]
fn a_whole_switch_comes_and_goes() {
    let mut root = build(builder().port(PortConfig::new("rp0", 0, 0).with_slot(1)));
    root.number((0, 0), 1, 9);
    root.hotplug_add_device("rp0", "sw", switch("sw", 1).into_device())
        .unwrap();
    root.number((1, 0), 2, 9);
    root.number((2, 0), 3, 3);
    root.hotplug_add_device("sw-0", "ep", Scratch::boxed(0xd000))
        .unwrap();
    assert_eq!(root.read(3, 0, 0), 0xd000);
    root.hotplug_remove_device("rp0").unwrap();
    assert!((1..16).all(|bus| root.read(bus, 0, 0) == !0));
    assert!(
        root.hotplug_remove_device("sw-0").is_err(),
        "gone with its switch"
    );
}

const BAR: u64 = 0x12_0000_0000;
const TABLE: u64 = BAR + 0x1000;
const PBA: u64 = BAR + 0x2000;

/// A root port with two MSI-X vectors in its BAR.
fn msix_port() -> PortConfig {
    let part = |kind, offset, size_bytes| PortBarSubregionDefinition {
        kind,
        offset,
        size_bytes,
    };
    PortConfig {
        bar: Some(PortBarDefinition {
            index: 0,
            size_bytes: 0x3000,
            subregions: vec![
                part(PortBarSubregionKind::MsiXTable, 0x1000, 0x20),
                part(PortBarSubregionKind::MsiXPba, 0x2000, 8),
            ],
        }),
        ..PortConfig::new("rp0", 2, 0).with_slot(1)
    }
}

#[test]
fn msi_x_is_in_the_ports_bar() {
    let (messages, connection) = Messages::connected();
    let mut root = connected([msix_port()], &connection);
    // MSI-X follows MSI at 0x7c, which is 14 bytes long: 0x8c.
    assert_eq!(root.read(0, 0x10, 0x7c) >> 8 & 0xff, 0x8c);
    assert_eq!(root.read(0, 0x10, 0x8c), 0x0001_0011, "two vectors");
    assert_eq!(
        (root.read(0, 0x10, 0x90), root.read(0, 0x10, 0x94)),
        (0x1000, 0x2000)
    );

    root.write(0, 0x10, 0x10, BAR as u32);
    root.write(0, 0x10, 0x14, (BAR >> 32) as u32);
    assert!(root.load(TABLE, 4).is_err(), "Memory Space Enable is clear");
    root.write(0, 0x10, 0x04, 6);
    assert_eq!(root.load_u32(TABLE + 0xc), 1, "masked from the start");
    root.store(TABLE, &u64::from(ADDRESS).to_le_bytes())
        .unwrap();
    root.store_u32(TABLE + 8, 0xabcd);
    assert_eq!(
        root.load(TABLE, 8),
        Ok(u64::from(ADDRESS).to_le_bytes().to_vec())
    );
    root.write(0, 0x10, 0x8c, 1 << 31);
    enable_slot_interrupts(&mut root, (0, 0x10));

    root.hotplug_add_device("rp0", "ep", Scratch::boxed(1))
        .unwrap();
    assert_eq!(messages.take(), [], "masked");
    assert_eq!(root.load_u32(PBA), 1, "pending");
    root.store_u32(TABLE + 0xc, 0);
    assert_eq!(messages.take(), [(Some(0x10), u64::from(ADDRESS), 0xabcd)]);
    assert_eq!(root.load(PBA, 8), Ok(vec![0; 8]));

    acknowledge(&mut root, (0, 0x10));
    root.hotplug_remove_device("rp0").unwrap();
    assert_eq!(messages.take(), [(Some(0x10), u64::from(ADDRESS), 0xabcd)]);
}

#[test]
fn msi_serves_while_msi_x_is_disabled() {
    let (messages, connection) = Messages::connected();
    let mut root = connected([msix_port()], &connection);
    enable_msi(&mut root, (0, 0x10), 0x55);
    root.hotplug_add_device("rp0", "ep", Scratch::boxed(1))
        .unwrap();
    assert_eq!(messages.take(), [(Some(0x10), u64::from(ADDRESS), 0x55)]);
}

#[test]
fn root_ports_of_other_devices_drive_other_intx_lines() {
    for device in 0..6 {
        let controller = TestLineInterruptTarget::new_arc();
        let lines =
            [0, 1, 2, 3].map(|n| LineInterrupt::new_with_target("intx", controller.clone(), n));
        let mut port = PortConfig::new("rp0", device, 0).with_slot(1);
        port.options.interrupt_pin = Some(PciInterruptPin::IntC);
        let mut root = build(builder().port(port).intx(lines));
        enable_slot_interrupts(&mut root, (0, device << 3));
        root.hotplug_add_device("rp0", "ep", Scratch::boxed(1))
            .unwrap();
        let high = (0..4).filter(|n| controller.is_high(*n));
        assert_eq!(high.collect::<Vec<_>>(), [(u32::from(device) + 2) % 4]);
        acknowledge(&mut root, (0, device << 3));
        assert!((0..4).all(|n| !controller.is_high(n)));
    }
}

#[test]
fn msi_x_registers_take_dwords_and_quadwords() {
    use chipset_device::io::IoError;
    let mut root = build(builder().port(msix_port()));
    root.write(0, 0x10, 0x14, (BAR >> 32) as u32);
    root.write(0, 0x10, 0x04, 2);
    for (address, len, error) in [
        (TABLE, 1, IoError::InvalidAccessSize),
        (TABLE, 2, IoError::InvalidAccessSize),
        (TABLE, 3, IoError::InvalidAccessSize),
        (PBA, 16, IoError::InvalidAccessSize),
        (TABLE + 2, 4, IoError::UnalignedAccess),
        (TABLE + 4, 8, IoError::UnalignedAccess),
        // Between the parts, where every size of a processor is good.
        (BAR, 3, IoError::InvalidAccessSize),
        (BAR + 1, 2, IoError::UnalignedAccess),
    ] {
        assert_eq!(root.load(address, len), Err(error), "{len} at {address:#x}");
        assert_eq!(root.store(address, &vec![0; len]), Err(error));
    }
    for len in [1, 2, 4, 8] {
        assert_eq!(root.load(BAR + 0x18, len), Ok(vec![0; len]));
        root.store(BAR + 0x18, &vec![1; len]).unwrap();
    }
    root.store_u32(PBA, !0);
    assert_eq!(root.load_u32(PBA), 0, "read-only");
}

#[test]
fn a_pending_vector_survives_saving() {
    let (messages, connection) = Messages::connected();
    let mut root = connected([msix_port()], &connection);
    root.write(0, 0x10, 0x14, (BAR >> 32) as u32);
    root.write(0, 0x10, 0x04, 6);
    root.store_u32(TABLE, ADDRESS);
    root.write(0, 0x10, 0x8c, 1 << 31);
    enable_slot_interrupts(&mut root, (0, 0x10));
    root.hotplug_add_device("rp0", "ep", Scratch::boxed(1))
        .unwrap();
    let state = saved(&mut root);

    let mut other = connected([msix_port()], &connection);
    other
        .add_pcie_device(0x10, "ep", Scratch::boxed(1))
        .unwrap();
    restore(&mut other, &state).unwrap();
    assert_eq!(saved(&mut other), state);
    assert_eq!(messages.take(), []);
    other.store_u32(TABLE + 0xc, 0);
    assert_eq!(messages.take(), [(Some(0x10), u64::from(ADDRESS), 0)]);
}

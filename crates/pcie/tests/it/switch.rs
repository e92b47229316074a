//! Switches: by themselves, in a row, and with many ports.

use crate::model::*;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use chipset_device::pci::PciConfigSpace;
use pci_core::msi::MsiTarget;
use pcie::PciePortSettings;
use pcie::PortConfig;
use pcie::PortOptions;
use pcie::root::GenericPcieRootComplex;
use pcie::switch::DownstreamSwitchPort;
use pcie::switch::GenericPcieSwitch;
use pcie::switch::GenericPcieSwitchDefinition;
use pcie::switch::SwitchConfig;
use pcie::switch::UpstreamSwitchPort;
use vmcore::device_state::ChangeDeviceState;

fn definition(ports: u8, hotplug: bool) -> GenericPcieSwitch {
    GenericPcieSwitch::new(GenericPcieSwitchDefinition {
        name: "sw".into(),
        downstream_port_count: ports,
        hotplug,
        msi_target: MsiTarget::disconnected(),
        dsp_settings: PciePortSettings {
            acs_capabilities_supported: 0x5f,
            ..PciePortSettings::default()
        },
    })
}

fn routed(switch: &mut GenericPcieSwitch, bus: u8, function: u8, offset: u16) -> u32 {
    let mut value = 0x1234;
    switch
        .pci_cfg_read_with_routing(1, bus, function, offset, &mut value)
        .unwrap();
    value
}

#[test]
fn its_ports_by_themselves() {
    let mut upstream = UpstreamSwitchPort::new();
    let read = |port: &pci_core::cfg_space_emu::ConfigSpaceType1Emulator, offset| {
        let mut value = 0;
        port.read_u32(offset, &mut value).unwrap();
        value
    };
    assert_eq!(read(upstream.cfg_space(), 0), 0xc031_1414);
    assert_eq!(
        read(upstream.cfg_space(), 0x40),
        0x0052_0010,
        "upstream port, the only capability"
    );
    assert_eq!(read(upstream.cfg_space(), 0x100), !0);
    upstream
        .cfg_space_mut()
        .write_u32(0x18, 0x0003_0201)
        .unwrap();
    assert_eq!(upstream.cfg_space().assigned_bus_range(), 2..=3);

    let settings = PciePortSettings::default();
    let target = MsiTarget::disconnected();
    let port = DownstreamSwitchPort::new("dsp", Some(true), Some(5), &target, settings.clone());
    assert_eq!(read(port.cfg_space(), 0), 0xc032_1414);
    assert_eq!(read(port.cfg_space(), 0x0c), 0x0081_0000);
    assert_eq!(
        read(port.cfg_space(), 0x40),
        0x0162_7c10,
        "downstream port with a slot"
    );
    assert_eq!(read(port.cfg_space(), 0x54) >> 19, 5);
    let port = DownstreamSwitchPort::new("dsp", None, None, &target, settings);
    assert_eq!(read(port.cfg_space(), 0x0c), 0x0001_0000);
    assert_eq!(read(port.cfg_space(), 0x40), 0x0062_7c10);
}

#[test]
fn downstream_ports_are_functions_named_and_numbered_in_order() {
    let mut switch = definition(3, true);
    assert_eq!(&**switch.name(), "sw");
    let ports: Vec<_> = switch
        .downstream_ports()
        .iter()
        .map(|p| (p.port_number, p.name.to_string()))
        .collect();
    assert_eq!(
        ports,
        [
            (0, "sw-downstream-0".into()),
            (1, "sw-downstream-1".into()),
            (2, "sw-downstream-2".into())
        ]
    );
    switch.pci_cfg_write(0x18, 0x0004_0201).unwrap();
    for function in 0..3 {
        assert_eq!(routed(&mut switch, 2, function, 0x00), 0xc032_1414);
        assert_eq!(
            routed(&mut switch, 2, function, 0x0c),
            0x0081_0000,
            "several functions"
        );
        assert_eq!(
            routed(&mut switch, 2, function, 0x54) >> 19,
            u32::from(function) + 1
        );
        assert_eq!(routed(&mut switch, 2, function, 0x100), 0x0001_000d, "ACS");
    }
    let mut switch = definition(1, false);
    switch.pci_cfg_write(0x18, 0x0004_0201).unwrap();
    assert_eq!(routed(&mut switch, 2, 0, 0x0c), 0x0001_0000, "one function");
    assert_eq!(routed(&mut switch, 2, 0, 0x54), 0, "no slot");
}

#[test]
fn it_is_reached_directly() {
    let mut switch = definition(2, false);
    let mut value = 0;
    switch.pci_cfg_read(0, &mut value).unwrap();
    assert_eq!(value, 0xc031_1414);
    switch.pci_cfg_read(0x100, &mut value).unwrap();
    assert_eq!(value, !0, "no extended capability");
    // Command; the upper half is Status, where these bits are not to be cleared.
    switch.pci_cfg_write(0x04, 0x1234_5678).unwrap();
    switch.pci_cfg_read(0x04, &mut value).unwrap();
    assert_eq!(value & 0xffff, 0x5678 & 0x077f, "the bits that Command has");
    switch.pci_cfg_write(0x18, 0x0004_0201).unwrap();
    let one_byte = ByteEnables::for_access(2, 1).unwrap();
    switch
        .pci_cfg_write_bytes(0x18, 0x0005_0000, one_byte)
        .unwrap();
    switch.pci_cfg_read(0x18, &mut value).unwrap();
    assert_eq!(value, 0x0005_0201);
    assert!(
        switch
            .pci_cfg_read(0x102, &mut value)
            .now_or_never()
            .is_err()
    );
}

#[test]
fn type_0_accesses_are_the_upstream_ports() {
    let mut switch = definition(2, false);
    assert_eq!(routed(&mut switch, 1, 0, 0), 0xc031_1414);
    assert_eq!(routed(&mut switch, 1, 1, 0), !0, "one function");
    assert_eq!(
        routed(&mut switch, 2, 0, 0),
        !0,
        "no numbers, nothing below"
    );
    let write = |switch: &mut GenericPcieSwitch, bus, function, value| {
        switch
            .pci_cfg_write_with_routing(1, bus, function, 0x18, value)
            .unwrap();
    };
    write(&mut switch, 1, 1, 0x0004_0201);
    assert_eq!(routed(&mut switch, 1, 0, 0x18), 0);
    write(&mut switch, 1, 0, 0x0004_0201);
    assert_eq!(routed(&mut switch, 2, 0, 0), 0xc032_1414);
    assert_eq!(routed(&mut switch, 2, 1, 0), 0xc032_1414);
    assert_eq!(routed(&mut switch, 2, 2, 0), !0);
    assert_eq!(routed(&mut switch, 5, 0, 0), !0, "beyond its buses");
    let one_byte = ByteEnables::for_access(1, 1).unwrap();
    switch
        .pci_cfg_write_bytes_with_routing(1, 2, 1, 0x18, 0x0300, one_byte)
        .unwrap();
    assert_eq!(routed(&mut switch, 2, 1, 0x18), 0x0000_0300);
}

#[test]
fn a_secondary_bus_0_is_a_bus_if_the_subordinate_is_not() {
    let mut switch = definition(2, false);
    switch.pci_cfg_write(0x18, 0x0001_0000).unwrap();
    assert_eq!(
        switch.upstream_port().cfg_space().assigned_bus_range(),
        0..=1
    );
    let mut value = 0;
    switch
        .pci_cfg_read_with_routing(7, 0, 1, 0, &mut value)
        .unwrap();
    assert_eq!(value, 0xc032_1414);
    switch.pci_cfg_write(0x18, 0).unwrap();
    switch
        .pci_cfg_read_with_routing(7, 0, 1, 0, &mut value)
        .unwrap();
    assert_eq!(value, !0, "unassigned");
}

#[test]
fn reset_takes_the_numbers() {
    let mut switch = definition(2, false);
    switch.pci_cfg_write(0x18, 0x0004_0201).unwrap();
    switch
        .pci_cfg_write_with_routing(1, 2, 1, 0x18, 0x0003_0302)
        .unwrap();
    {
        let mut reset = std::pin::pin!(ChangeDeviceState::reset(&mut switch));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(reset.as_mut().poll(&mut cx).is_ready());
    }
    assert_eq!(routed(&mut switch, 2, 0, 0), !0);
    assert!(
        switch
            .downstream_ports()
            .iter()
            .all(|p| p.bus_range.bus_range() == (0, 0))
    );
}

#[test]
fn devices_are_attached_by_place_and_by_name() {
    let mut switch = definition(2, true);
    switch
        .add_pcie_device(1, "ep1", Scratch::boxed(0xd001))
        .unwrap();
    let text = |result: anyhow::Result<()>| result.unwrap_err().to_string();
    assert_eq!(
        text(switch.add_pcie_device(2, "x", Scratch::boxed(1))),
        "switch 'sw' has no port 0x02"
    );
    assert_eq!(
        text(switch.add_pcie_device(1, "x", Scratch::boxed(1))),
        "port 'sw-downstream-1' is occupied by 'ep1'; 'x' cannot be attached"
    );
    switch
        .hotplug_add_device("sw-downstream-0", "ep0", Scratch::boxed(0xd000))
        .unwrap();
    switch.hotplug_remove_device("sw-downstream-1").unwrap();
    assert_eq!(
        text(switch.hotplug_remove_device("rp0")),
        "no port of switch 'sw', or below it, is named 'rp0'"
    );
    switch.pci_cfg_write(0x18, 0x0004_0201).unwrap();
    switch
        .pci_cfg_write_with_routing(1, 2, 0, 0x18, 0x0003_0302)
        .unwrap();
    assert_eq!(routed(&mut switch, 3, 0, 0), 0xd000);
}

/// A root port, `depth` switches in a row, and an endpoint, with bus numbers; the endpoint's bus.
pub(crate) fn row(depth: u8) -> (GenericPcieRootComplex, u8) {
    row_to(depth, Scratch::boxed(0xd000))
}

/// As [`row`], with any device at the end.
pub(crate) fn row_to(
    depth: u8,
    mut device: Box<dyn pci_bus::GenericPciBusDevice>,
) -> (GenericPcieRootComplex, u8) {
    for level in (0..depth).rev() {
        let mut sw = switch(&format!("sw{level}"), 2);
        sw.add_pcie_device(8, "below", device).unwrap();
        device = sw.into_device();
    }
    let builder = GenericPcieRootComplex::builder(0, 63, ecam(0, 63));
    let mut root = build(builder.port(PortConfig::new("rp0", 0, 0)));
    root.add_pcie_device(0, "below", device).unwrap();
    let last = 2 * depth + 1;
    root.number((0, 0), 1, last);
    for level in 0..depth {
        let bus = 2 * level + 1;
        root.number((bus, 0), bus + 1, last);
        root.number((bus + 1, 8), bus + 2, last);
    }
    (root, last)
}

#[test]
fn switches_in_a_row() {
    for depth in 1..=8 {
        let (mut root, last) = row(depth);
        for bus in (1..last).step_by(2) {
            assert_eq!(
                root.read(bus, 0, 0),
                0xc031_1414,
                "upstream port on bus {bus}"
            );
            assert_eq!(
                root.read(bus + 1, 8, 0),
                0xc032_1414,
                "downstream port on bus {bus}"
            );
            assert_eq!(root.read(bus + 1, 0x10, 0), !0);
        }
        assert_eq!(root.read(last, 0, 0), 0xd000);
        root.store(config(last, 0, 0x41), &[0x7f]).unwrap();
        assert_eq!(root.read(last, 0, 0x40), 0x7f00);
        assert_eq!(root.read(last + 1, 0, 0), !0);
        // Nothing below a switch in the middle when its numbers go.
        root.number((1, 0), 0, 0);
        assert!((2..=last).all(|bus| root.read(bus, 0, 0) == !0));
        root.number((1, 0), 2, last);
        assert_eq!(root.read(last, 0, 0x40), 0x7f00);
    }
}

#[test]
fn more_than_eight_ports() {
    let mut root = plain(1);
    root.add_pcie_device(0, "sw", switch("sw", 32).into_device())
        .unwrap();
    root.number((0, 0), 1, 2);
    root.number((1, 0), 2, 2);
    for device in 0..32 {
        assert_eq!(root.read(2, device << 3, 0), 0xc032_1414, "device {device}");
        assert_eq!(root.read(2, device << 3, 0x0c), 0x0001_0000);
        assert_eq!(root.read(2, (device << 3) | 1, 0), !0);
    }
    let mut all = definition(255, false);
    all.pci_cfg_write(0x18, 0x0002_0201).unwrap();
    let mut value = 0;
    all.pci_cfg_read_with_routing(1, 2, 254, 0, &mut value)
        .unwrap();
    assert_eq!(value, 0xc032_1414);
    all.pci_cfg_read_with_routing(1, 2, 255, 0, &mut value)
        .unwrap();
    assert_eq!(value, !0);
}

#[test]
fn the_upstream_port_has_msi_and_may_have_a_serial_number() {
    let mut config = SwitchConfig::new("sw");
    config.upstream = PortOptions {
        serial_number: Some(0x0011_2233_4455_6677),
        ..PortOptions::default()
    };
    let mut switch = config.build(&MsiTarget::disconnected(), None).unwrap();
    let mut read = |offset| {
        let mut value = 0;
        switch.pci_cfg_read(offset, &mut value).unwrap();
        value
    };
    assert_eq!(read(0x40), 0x0052_7c10);
    assert_eq!(read(0x7c), 0x0080_0005, "MSI, the last");
    assert_eq!(
        (read(0x100), read(0x104), read(0x108)),
        (0x0001_0003, 0x4455_6677, 0x0011_2233)
    );
}

#[test]
fn an_endpoint_that_goes_away_reads_all_ones() {
    struct Gone;
    impl pci_bus::GenericPciBusDevice for Gone {
        fn pci_cfg_read(&mut self, _: u16, _: &mut u32) -> Option<IoResult> {
            None
        }
        fn pci_cfg_write(&mut self, _: u16, _: u32) -> Option<IoResult> {
            None
        }
    }
    let mut sw = switch("sw", 1);
    sw.add_pcie_device(0, "gone", Box::new(Gone)).unwrap();
    let mut root = plain(1);
    root.add_pcie_device(0, "sw", sw.into_device()).unwrap();
    root.number((0, 0), 1, 3);
    root.number((1, 0), 2, 3);
    root.number((2, 0), 3, 3);
    assert_eq!(root.read(3, 0, 0), !0);
    root.write(3, 0, 0, 0);
    root.store(config(3, 0, 1), &[0]).unwrap();
}

//! Which function an access reaches, whatever the guest wrote into the bus numbers.

use crate::model::*;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use memory_range::MemoryRange;
use pci_core::msi::MsiTarget;
use pcie::PortConfig;
use pcie::PortOptions;
use pcie::root::GenericPcieRootComplex;

/// Ports rp0 and up with endpoints 0xd000 and up.
fn with_endpoints(ports: u8) -> GenericPcieRootComplex {
    let mut root = plain(ports);
    for i in 0..ports {
        let device = Scratch::boxed(0xd000 + u32::from(i));
        root.add_pcie_device(i << 3, format!("ep{i}"), device)
            .unwrap();
    }
    root
}

#[test]
fn each_bus_leads_to_its_port() {
    let mut root = with_endpoints(3);
    for i in 0..3 {
        assert_eq!(
            root.read(1, 0, 0),
            !0,
            "nothing before the guest assigns numbers"
        );
        root.number((0, i << 3), 4 * i + 2, 4 * i + 4);
    }
    for i in 0..3 {
        assert_eq!(root.read(4 * i + 2, 0, 0), 0xd000 + u32::from(i));
        assert_eq!(root.read(4 * i + 3, 0, 0), !0, "no bus below an endpoint");
    }
    assert_eq!(root.read(1, 0, 0), !0);
    assert_eq!(root.downstream_ports()[2].bus_range.bus_range(), (10, 12));
}

#[test]
fn of_ports_that_claim_a_bus_the_lowest_has_it() {
    let mut root = with_endpoints(3);
    root.number((0, 0x10), 2, 9);
    root.number((0, 0x08), 2, 2);
    assert_eq!(root.read(2, 0, 0), 0xd001, "whatever the order of writes");
    root.number((0, 0x00), 2, 3);
    assert_eq!(root.read(2, 0, 0), 0xd000);
    root.number((0, 0x00), 0, 0);
    assert_eq!(root.read(2, 0, 0), 0xd001);
    root.number((0, 0x08), 0, 0);
    assert_eq!(root.read(2, 0, 0), 0xd002);
}

#[test]
fn an_inverted_range_claims_nothing() {
    let mut root = with_endpoints(1);
    root.number((0, 0), 5, 3);
    for bus in 0..16 {
        assert_eq!(root.read(bus, 0x08, 0), !0, "bus {bus}");
        if bus > 0 {
            assert_eq!(root.read(bus, 0, 0), !0, "bus {bus}");
        }
    }
}

#[test]
fn the_root_bus_and_buses_beyond_the_last_are_nobodys() {
    let mut root = with_endpoints(2);
    root.number((0, 0), 0, 255);
    assert_eq!(root.read(0, 0, 0), 0xc030_1414);
    assert_eq!(root.read(0, 0x08, 0), 0xc030_1414);
    assert_eq!(root.read(0, 0x10, 0), !0);
    assert_eq!(
        root.read(1, 0, 0),
        !0,
        "below rp0, but not on its secondary bus"
    );
    root.number((0, 0), 15, 255);
    assert_eq!(root.read(15, 0, 0), 0xd000);
}

#[test]
fn the_device_sees_where_it_is() {
    let mut root = plain(1);
    let device = Scratch::new(0xd000);
    let seen = device.seen.clone();
    root.add_pcie_device(0, "ep", Box::new(device)).unwrap();
    root.number((0, 0), 3, 7);
    root.read(3, 5, 0);
    assert_eq!(*seen.lock(), Some((3, 3, 5)));
    root.read(6, 0xab, 0);
    assert_eq!(*seen.lock(), Some((3, 6, 0xab)));
}

#[test]
fn a_link_has_device_0_only_unless_the_port_forwards_by_ari() {
    let ari = PortConfig {
        options: PortOptions {
            ari_forwarding: true,
            ..PortOptions::default()
        },
        ..PortConfig::new("ari", 0, 0)
    };
    let mut root = build(builder().port(ari).port(PortConfig::new("plain", 1, 0)));
    root.add_pcie_device(0, "ep0", Scratch::boxed(1)).unwrap();
    root.add_pcie_device(8, "ep1", Scratch::boxed(1)).unwrap();
    root.number((0, 0), 1, 1);
    root.number((0, 8), 2, 2);
    for bus in [1, 2] {
        assert_eq!(root.read(bus, 7, 8), 7);
        assert_eq!(root.read(bus, 8, 8), !0, "device 1");
        root.write(bus, 8, 0x40, 0x55);
        assert_eq!(root.read(bus, 0, 0x40), 0, "not written by way of device 1");
    }
    assert_eq!(
        root.read(0, 0, 0x64) >> 5 & 1,
        1,
        "ARI Forwarding Supported"
    );
    for port in [0, 8] {
        root.write(0, port, 0x68, 1 << 5);
    }
    assert_eq!(root.read(1, 8, 8), 8);
    assert_eq!(root.read(1, 0xff, 8), 0xff);
    assert_eq!(
        root.read(2, 8, 8),
        !0,
        "the bit is hardwired to zero where it is not supported"
    );
    root.write(0, 0, 0x68, 0);
    assert_eq!(root.read(1, 8, 8), !0);
}

#[test]
fn reset_and_restore_route_anew() {
    let mut root = with_endpoints(2);
    root.number((0, 0), 1, 1);
    root.number((0, 8), 2, 2);
    let state = saved(&mut root);
    reset(&mut root);
    assert_eq!(root.read(1, 0, 0), !0);
    assert_eq!(root.downstream_ports()[0].bus_range.bus_range(), (0, 0));
    root.number((0, 0), 2, 2);
    assert_eq!(root.read(2, 0, 0), 0xd000);
    restore(&mut root, &state).unwrap();
    assert_eq!(root.read(1, 0, 0), 0xd000);
    assert_eq!(root.read(2, 0, 0), 0xd001);
}

#[test]
fn reset_reaches_the_devices_below() {
    let mut root = with_endpoints(1);
    root.number((0, 0), 1, 1);
    root.write(1, 0, 0x40, 0x1234);
    reset(&mut root);
    root.number((0, 0), 1, 1);
    assert_eq!(root.read(1, 0, 0x40), 0);
}

#[test]
fn several_complexes_share_a_segment() {
    let mut low = build(
        GenericPcieRootComplex::builder(0, 63, ecam(0, 63)).port(PortConfig::new("rp0", 0, 0)),
    );
    let base = ECAM + (64 << 20);
    let mut high =
        GenericPcieRootComplex::builder(64, 127, MemoryRange::new(base..base + (64 << 20)))
            .segment(2)
            .port(PortConfig::new("rp1", 1, 0))
            .build(
                &mut ExternallyManagedMmioIntercepts,
                &MsiTarget::disconnected(),
            )
            .unwrap();
    assert_eq!(
        (high.segment(), high.bus_range(), high.ecam_range().start()),
        (2, (64, 127), base)
    );
    high.add_pcie_device(8, "ep", Scratch::boxed(0xd001))
        .unwrap();
    // ECAM of bus 64 begins where that of bus 63 ends: `config` counts from bus 0.
    assert_eq!(high.read(64, 8, 0), 0xc030_1414);
    assert_eq!(high.read(64, 0, 0), !0);
    high.number((64, 8), 0x50, 0x5f);
    assert_eq!(high.read(0x50, 0, 0), 0xd001);
    high.number((64, 8), 1, 255);
    assert_eq!(high.read(64, 8, 0), 0xc030_1414, "its root bus");
    assert_eq!(high.read(0x41, 0, 0), !0);
    high.number((64, 8), 65, 65);
    assert_eq!(high.read(65, 0, 0), 0xd001);
    assert!(high.load(config(63, 0, 0), 4).is_err(), "the other's ECAM");
    assert_eq!(low.read(0, 0, 0), 0xc030_1414);
    assert!(low.load(config(64, 8, 0), 4).is_err());
}

#[test]
fn root_ports_are_functions_of_one_device() {
    let mut root = build(
        builder()
            .port(PortConfig::new("rp1", 2, 1))
            .port(PortConfig::new("rp0", 2, 0))
            .port(PortConfig::new("rp7", 2, 7))
            .port(PortConfig::new("single", 3, 0)),
    );
    let names: Vec<_> = root
        .downstream_ports()
        .iter()
        .map(|p| (p.port_number, p.name.to_string()))
        .collect();
    assert_eq!(
        names,
        [
            (0x10, "rp0".into()),
            (0x11, "rp1".into()),
            (0x17, "rp7".into()),
            (0x18, "single".into())
        ]
    );
    for (devfn, header) in [
        (0x10, 0x0081_0000),
        (0x11, 0x0081_0000),
        (0x17, 0x0081_0000),
        (0x18, 0x0001_0000),
        (0x12, !0),
    ] {
        assert_eq!(root.read(0, devfn, 0x0c), header, "{devfn:#x}");
    }
    root.add_pcie_device(0x17, "ep", Scratch::boxed(0xd007))
        .unwrap();
    root.number((0, 0x17), 9, 9);
    assert_eq!(root.read(9, 0, 0), 0xd007);
}

#[test]
fn an_integrated_endpoint_is_on_the_root_bus() {
    let seen = {
        let device = Scratch::new(0xe000);
        let seen = device.seen.clone();
        let mut root = build(
            builder()
                .port(PortConfig::new("rp0", 0, 0))
                .integrated_endpoint("rciep", 0, 1, Box::new(device)),
        );
        assert_eq!(root.read(0, 1, 0), 0xe000);
        assert_eq!(
            root.read(0, 0, 0x0c),
            0x0081_0000,
            "function 0 says that there are more"
        );
        root.write(0, 1, 0x40, 0x77);
        root.store(config(0, 1, 0x42), &[0x99]).unwrap();
        assert_eq!(root.read(0, 1, 0x40), 0x0099_0077);
        assert_eq!(root.read(1, 1, 0), !0, "and has no buses below");
        assert_eq!(root.downstream_ports().len(), 1, "no port");
        assert!(root.hotplug_remove_device("rciep").is_err());
        reset(&mut root);
        assert_eq!(root.read(0, 1, 0x40), 0);
        seen
    };
    assert_eq!(
        *seen.lock(),
        Some((0, 0, 0)),
        "a function of its own, whatever its place"
    );
}

#[test]
fn a_port_is_found_by_its_place() {
    let mut root = with_endpoints(1);
    let error = root.add_pcie_device(0, "other", Scratch::boxed(1));
    assert_eq!(error, Err("ep0".into()), "the device that is there");
    let error = root.add_pcie_device(0x28, "other", Scratch::boxed(1));
    assert_eq!(error, Err("Port 0x28 not found".into()));
}

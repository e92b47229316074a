//! Saved states of whole hierarchies: taken as a whole, or refused as a whole.

use crate::model::*;
use crate::switch::row;
use crate::switch::row_to;
use mesh_protobuf::Protobuf;
use pcie::PortConfig;
use pcie::root::GenericPcieRootComplex;
use std::error::Error;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveRestore;
use vmcore::save_restore::SavedStateBlob;

/// The message of a root complex, as another program reads it.
#[derive(Protobuf)]
#[mesh(package = "pcie.root")]
struct RootState {
    #[mesh(1)]
    start_bus: u8,
    #[mesh(2)]
    end_bus: u8,
    #[mesh(3)]
    ports: Vec<PortState>,
    #[mesh(5)]
    integrated: Vec<(u8, SavedStateBlob)>,
}

#[derive(Clone, Protobuf)]
#[mesh(package = "pcie.root")]
struct PortState {
    #[mesh(1)]
    port_number: u8,
    #[mesh(2)]
    cfg_space: ConfigState,
    #[mesh(4)]
    device: Option<DeviceState>,
}

/// Of the configuration space, what these tests change; the rest is left out, and restored as zero.
#[derive(Clone, Protobuf)]
#[mesh(package = "pci.cfg_space_emu")]
struct ConfigState {
    #[mesh(1)]
    command: u16,
    #[mesh(2)]
    base_addresses: [u32; 6],
    #[mesh(5)]
    capabilities: Vec<(String, SavedStateBlob)>,
    #[mesh(6)]
    subordinate_bus_number: u8,
    #[mesh(7)]
    secondary_bus_number: u8,
    #[mesh(16)]
    extended_capabilities: Vec<(String, SavedStateBlob)>,
}

#[derive(Clone, Protobuf)]
#[mesh(package = "pcie.port")]
struct DeviceState {
    #[mesh(1)]
    name: String,
    #[mesh(2)]
    device: SavedStateBlob,
}

/// The error with its causes.
fn text(error: &RestoreError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

/// Ports rp0 to rp2, rp0 with an endpoint and rp1 with a switch that has two.
fn tree() -> GenericPcieRootComplex {
    tree_with(Scratch::new(0xd002))
}

fn tree_with(last: Scratch) -> GenericPcieRootComplex {
    let mut sw = switch("sw", 2);
    sw.add_pcie_device(0, "ep1", Scratch::boxed(0xd001))
        .unwrap();
    sw.add_pcie_device(8, "ep2", Box::new(last)).unwrap();
    let mut root = plain(3);
    root.add_pcie_device(0, "ep0", Scratch::boxed(0xd000))
        .unwrap();
    root.add_pcie_device(8, "sw", sw.into_device()).unwrap();
    root
}

/// Writes all over the tree.
fn live(root: &mut GenericPcieRootComplex) {
    root.number((0, 0), 1, 1);
    root.number((0, 8), 2, 5);
    root.number((2, 0), 3, 5);
    root.number((3, 0), 4, 4);
    root.number((3, 8), 5, 5);
    root.write(0, 0x10, 0x04, 6);
    root.write(3, 8, 0x20, 0x1234_5670);
    root.write(3, 0, 0x58, 0x1028);
    for (bus, value) in [(1, 0x11), (4, 0x44), (5, 0x55)] {
        root.write(bus, 0, 0x40, value);
    }
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let mut root = tree();
    live(&mut root);
    let state = saved(&mut root);
    let mut other = tree();
    restore(&mut other, &state).unwrap();
    assert_eq!(saved(&mut other), state, "byte for byte");
    for (bus, id, value) in [(1, 0xd000, 0x11), (4, 0xd001, 0x44), (5, 0xd002, 0x55)] {
        assert_eq!(other.read(bus, 0, 0), id);
        assert_eq!(other.read(bus, 0, 0x40), value);
    }
    for bus in 0..6 {
        for devfn in [0, 8, 0x10] {
            for offset in (0..0x100).step_by(4) {
                let expected = root.read(bus, devfn, offset);
                assert_eq!(
                    other.read(bus, devfn, offset),
                    expected,
                    "{bus} {devfn:#x} {offset:#x}"
                );
            }
        }
    }
    // Once more over what was restored.
    restore(&mut other, &state).unwrap();
    assert_eq!(saved(&mut other), state);
}

/// A root complex is encoded port by port; its state is the same as when it is put together first.
#[test]
fn a_tree_saved_in_parts_is_the_same() {
    let mut root = tree();
    live(&mut root);
    let in_parts = ProtobufSaveRestore::save(&mut root).unwrap();
    let whole = SaveRestore::save(&mut root).unwrap();
    assert_eq!(in_parts, SavedStateBlob::new(whole));
}

#[test]
fn switches_in_a_row_come_back() {
    let (mut root, last) = row(8);
    root.write(last, 0, 0x40, 0xabcd);
    let state = saved(&mut root);
    let (mut other, _) = row(8);
    other.number((1, 0), 0, 0);
    let before = saved(&mut other);
    check(&mut other, &state).unwrap();
    assert_eq!(saved(&mut other), before, "asking changes nothing");
    restore(&mut other, &state).unwrap();
    assert_eq!(other.read(last, 0, 0x40), 0xabcd);
    assert_eq!(saved(&mut other), state);
}

/// Restores what `change` makes of a state, expects a refusal that says `expected`, and nothing else.
#[track_caller]
fn refused(expected: &str, change: impl FnOnce(&mut RootState)) {
    let mut root = tree();
    live(&mut root);
    let mut state: RootState = mesh_protobuf::decode(&saved(&mut root)).unwrap();
    let mut live_tree = tree();
    live(&mut live_tree);
    live_tree.write(5, 0, 0x40, 0x77);
    live_tree.number((0, 0), 9, 9);
    let before = saved(&mut live_tree);
    change(&mut state);
    let bytes = mesh_protobuf::encode(state);
    let asked = check(&mut live_tree, &bytes).unwrap_err();
    let error = restore(&mut live_tree, &bytes).unwrap_err();
    assert_eq!(text(&asked), text(&error), "refused when asked already");
    assert!(text(&error).contains(expected), "{}", text(&error));
    assert_eq!(saved(&mut live_tree), before, "unchanged");
    assert_eq!(live_tree.read(9, 0, 0), 0xd000, "and routed as before");
}

#[test]
fn states_of_other_hierarchies_are_refused() {
    refused(
        "buses 0x01 to 0x0f in the saved state; this root complex has 0x00 to 0x0f",
        |s| s.start_bus = 1,
    );
    refused("buses 0x00 to 0x0e in the saved state", |s| s.end_bus = 14);
    refused("2 ports in the saved state; there are 3", |s| {
        s.ports.pop();
    });
    refused("4 ports in the saved state; there are 3", |s| {
        s.ports.push(s.ports[0].clone())
    });
    refused("port 0x00 is twice in the saved state", |s| {
        s.ports[2] = s.ports[0].clone()
    });
    refused("the saved state has port 0x20, which does not exist", |s| {
        s.ports[2].port_number = 0x20
    });
}

#[test]
fn states_of_other_devices_are_refused() {
    refused(
        "port 'rp0' holds device 'ep0', which it did not when saved",
        |s| s.ports[0].device = None,
    );
    refused(
        "port 'rp2' must hold device 'ep0', as it did when saved",
        |s| {
            s.ports[2].device = s.ports[0].device.clone();
        },
    );
    refused(
        "port 'rp0' holds device 'ep0'; it held 'other' when saved",
        |s| {
            s.ports[0].device.as_mut().unwrap().name = "other".into();
        },
    );
    refused("failed to restore 'rp1/sw': ", |s| {
        // The state of an endpoint for a switch.
        s.ports[1].device.as_mut().unwrap().device =
            s.ports[0].device.as_ref().unwrap().device.clone();
    });
    refused("failed to restore 'rp0/ep0': ", |s| {
        s.ports[0].device.as_mut().unwrap().device =
            s.ports[1].device.as_ref().unwrap().device.clone();
    });
    refused(
        "1 integrated endpoints in the saved state; there are 0",
        |s| {
            let device = s.ports[0].device.as_ref().unwrap().device.clone();
            s.integrated.push((8, device));
        },
    );
    refused("Command is 0xffff", |s| {
        s.ports[2].cfg_space.command = 0xffff
    });
}

#[test]
fn a_device_that_goes_back_on_its_word_changes_nothing() {
    let mut source = tree();
    live(&mut source);
    let state = saved(&mut source);
    // The last device of the last switch says that it would take the state, and does not.
    let mut refusing = Scratch::new(0xd002);
    refusing.refuses = true;
    let mut root = tree_with(refusing);
    live(&mut root);
    root.write(1, 0, 0x40, 0x1111);
    root.write(4, 0, 0x40, 0x4444);
    root.number((0, 0), 9, 9);
    let before = saved(&mut root);
    let error = restore(&mut root, &state).unwrap_err();
    assert_eq!(
        text(&error),
        "failed to restore 'rp1/sw/sw-1/ep2': the device does not support saved state"
    );
    assert_eq!(saved(&mut root), before);
    assert_eq!(
        root.read(9, 0, 0x40),
        0x1111,
        "the bus numbers of before lead there"
    );
}

#[test]
fn a_refusal_far_below_costs_each_level_once() {
    const DEPTH: u8 = 30;
    let (mut source, _) = row(DEPTH);
    let state = saved(&mut source);
    let mut refusing = Scratch::new(0xd000);
    refusing.refuses = true;
    let mut root = row_to(DEPTH, Box::new(refusing)).0;
    root.number((1, 0), 0, 0);
    let before = saved(&mut root);
    assert!(restore(&mut root, &state).is_err());
    assert_eq!(saved(&mut root), before);
}

#[test]
fn integrated_endpoints_are_saved_with_the_root_complex() {
    let make = || {
        build(
            builder()
                .port(PortConfig::new("rp0", 0, 0))
                .integrated_endpoint("a", 1, 0, Scratch::boxed(0xe001))
                .integrated_endpoint("b", 2, 0, Scratch::boxed(0xe002)),
        )
    };
    let mut root = make();
    root.write(0, 8, 0x40, 0x11);
    root.write(0, 0x10, 0x40, 0x22);
    let state = saved(&mut root);
    let mut other = make();
    restore(&mut other, &state).unwrap();
    assert_eq!(
        (other.read(0, 8, 0x40), other.read(0, 0x10, 0x40)),
        (0x11, 0x22)
    );
    assert_eq!(saved(&mut other), state);

    let refused = |change: fn(&mut RootState), expected: &str| {
        let mut state: RootState = mesh_protobuf::decode(&state).unwrap();
        change(&mut state);
        let mut other = make();
        let before = saved(&mut other);
        let error = restore(&mut other, &mesh_protobuf::encode(state)).unwrap_err();
        assert!(text(&error).contains(expected), "{}", text(&error));
        assert_eq!(saved(&mut other), before);
    };
    refused(
        |s| {
            s.integrated.pop();
        },
        "1 integrated endpoints in the saved state; there are 2",
    );
    refused(
        |s| s.integrated[1] = s.integrated[0].clone(),
        "the endpoint at 0x08 is twice in the saved state",
    );
    refused(
        |s| s.integrated[1].0 = 0x18,
        "the saved state has an endpoint at 0x18, where there is none",
    );
    refused(
        |s| s.integrated[1].0 = 0,
        "the saved state has an endpoint at 0x00, where there is none",
    );
}

#[test]
fn an_integrated_endpoint_that_goes_back_on_its_word_changes_nothing() {
    let make = |refuses| {
        let mut last = Scratch::new(0xe002);
        last.refuses = refuses;
        let mut root = build(
            builder()
                .port(PortConfig::new("rp0", 0, 0))
                .integrated_endpoint("a", 1, 0, Scratch::boxed(0xe001))
                .integrated_endpoint("b", 2, 0, Box::new(last)),
        );
        root.write(0, 8, 0x40, refuses.into());
        root.number((0, 0), 1, 1);
        root
    };
    let state = saved(&mut make(false));
    let mut root = make(true);
    root.number((0, 0), 2, 2);
    let before = saved(&mut root);
    assert!(restore(&mut root, &state).is_err());
    assert_eq!(saved(&mut root), before);
}

//! Devices that take their time (PCIe 6.2 section 2.3.2), guests that do, and devices of several functions.

use crate::model::*;
use pci_bus::Acknowledgement;
use pci_bus::GenericPciBusDevice;
use pci_bus::MultiFunctionDevice;
use pci_bus::MultiFunctionError;
use pci_bus::NotAcknowledged;
use pci_bus::SlotGoal;
use pci_core::capabilities::pci_express::SlotConfig;
use pcie::PortConfig;
use pcie::PortOptions;
use pcie::root::GenericPcieRootComplex;
use std::time::Duration;
use vmcore::save_restore::ProtobufSaveRestore;

const ID: u32 = 0xd000_1234;
const NOT_READY: u32 = 0xffff_0001;
const ROOT_CONTROL: u16 = 0x40 + 0x1c;
const RETRY_VISIBLE: u32 = 1 << 4;
const SLOT_CONTROL: u16 = 0x40 + 0x18;
const POWER_OFF: u32 = 1 << 10;
const POWER_INDICATOR_OFF: u32 = 0b11 << 8;

fn port(slot: bool) -> PortConfig {
    let port = PortConfig {
        options: PortOptions {
            retry_visibility: true,
            ..PortOptions::default()
        },
        ..PortConfig::new("rp0", 0, 0)
    };
    if slot {
        port.with_slot_config(SlotConfig::full(9))
    } else {
        port
    }
}

fn slow(unready: u32) -> Box<dyn GenericPciBusDevice> {
    let mut device = Scratch::new(ID);
    device.unready = unready;
    Box::new(device)
}

fn behind_a_port(unready: u32) -> GenericPcieRootComplex {
    let mut root = build(builder().port(port(false)));
    root.add_pcie_device(0, "ep", slow(unready)).unwrap();
    root.number((0, 0), 1, 1);
    root
}

#[test]
fn a_device_that_is_not_ready_is_retried() {
    let mut root = behind_a_port(4);
    root.write(0, 0, ROOT_CONTROL, RETRY_VISIBLE);
    let reads: Vec<u32> = (0..6).map(|_| root.read(1, 0, 0)).collect();
    let first_ready = reads.iter().position(|id| *id == ID).unwrap();
    assert!(first_ready > 0, "{reads:x?}");
    assert!(reads[..first_ready].iter().all(|id| *id == NOT_READY));
    assert!(reads[first_ready..].iter().all(|id| *id == ID));
}

#[test]
fn retries_are_seen_in_the_vendor_id_only_and_only_by_those_who_asked() {
    let mut root = behind_a_port(100);
    assert_eq!(root.read(1, 0, 0), u32::MAX, "not asked for");
    root.write(0, 0, ROOT_CONTROL, RETRY_VISIBLE);
    assert_eq!(root.read(1, 0, 0), NOT_READY);
    assert_eq!(root.read(1, 0, 4), u32::MAX);
    for (offset, seen) in [(0, &[0x01, 0x00][..]), (1, &[0x00]), (2, &[0xff, 0xff])] {
        let read = root.load(config(1, 0, offset), seen.len());
        assert_eq!(read.unwrap(), seen, "at {offset}");
    }
    assert_eq!(root.read(2, 0, 0), u32::MAX, "nobody's bus");
    // What is written is not kept for later.
    root.write(1, 0, 0x40, 7);
    while root.read(1, 0, 0) != ID {}
    assert_eq!(root.read(1, 0, 0x40), 0);
}

#[test]
fn retries_come_through_a_switch() {
    let mut root = build(builder().port(port(false)));
    let mut sw = switch("sw", 1);
    sw.add_pcie_device(0, "ep", slow(20)).unwrap();
    root.add_pcie_device(0, "sw", sw.into_device()).unwrap();
    root.number((0, 0), 1, 3);
    root.number((1, 0), 2, 3);
    root.number((2, 0), 3, 3);
    root.write(0, 0, ROOT_CONTROL, RETRY_VISIBLE);
    assert_ne!(root.read(1, 0, 0), NOT_READY);
    assert_eq!(root.read(3, 0, 0), NOT_READY);
    let reads = (0..20).filter(|_| root.read(3, 0, 0) == NOT_READY).count();
    assert!(reads < 20);
    assert_eq!(root.read(3, 0, 0), ID);
}

/// A full slot with a device that the guest has taken in.
fn with_card() -> GenericPcieRootComplex {
    let mut root = build(builder().port(port(true)));
    root.number((0, 0), 1, 1);
    root.hotplug_add_device("rp0", "ep", Scratch::boxed(ID))
        .unwrap();
    root
}

fn power(root: &mut GenericPcieRootComplex, on: bool) {
    let off = POWER_OFF | POWER_INDICATOR_OFF;
    root.write(0, 0, SLOT_CONTROL, if on { 0b01 << 8 } else { off });
}

fn begin_removal(root: &mut GenericPcieRootComplex) -> Acknowledgement {
    root.port_named("rp0").unwrap().begin_removal().unwrap()
}

#[test]
fn an_orderly_removal_is_awaited() {
    let mut root = with_card();
    power(&mut root, true);
    let released = begin_removal(&mut root);
    let soon = Duration::from_millis(1);
    assert_eq!(released.wait(soon), Err(NotAcknowledged::TimedOut(soon)));
    let waiting = released.clone();
    let thread = std::thread::spawn(move || waiting.wait(Duration::from_secs(600)));
    power(&mut root, false);
    assert_eq!(thread.join().unwrap(), Ok(()));
    root.hotplug_remove_device("rp0").unwrap();
    assert_eq!(released.outcome(), Some(Ok(())), "what came about stays so");
}

#[test]
fn a_surprise_ends_the_wait() {
    let mut root = with_card();
    power(&mut root, true);
    let released = begin_removal(&mut root);
    root.hotplug_remove_device("rp0").unwrap();
    assert_eq!(released.outcome(), Some(Err(NotAcknowledged::Abandoned)));
    let error = root.port_named("rp0").unwrap().begin_removal().unwrap_err();
    assert_eq!(error.to_string(), "port 'rp0' is empty");
}

#[test]
fn an_orderly_addition_is_awaited() {
    let mut root = build(builder().port(port(true)));
    root.number((0, 0), 1, 1);
    power(&mut root, false);
    root.hotplug_add_device("rp0", "ep", slow(3)).unwrap();
    let slot = root.port_named("rp0").unwrap();
    let reachable = slot.acknowledgement(SlotGoal::Reachable).unwrap();
    assert_eq!(reachable.outcome(), None, "without power");
    power(&mut root, true);
    assert_eq!(reachable.outcome(), None, "not ready yet");
    while root.read(1, 0, 0) != ID {}
    assert_eq!(reachable.outcome(), Some(Ok(())));
}

fn several() -> MultiFunctionDevice {
    let functions = [(2u8, "c"), (0, "a"), (1, "b")];
    MultiFunctionDevice::new(functions.map(|(number, name)| {
        let device = Scratch::boxed(ID + u32::from(number));
        (number, name, device)
    }))
    .unwrap()
}

#[test]
fn functions_made_apart_come_and_go_together() {
    let mut root = build(builder().port(PortConfig::new("rp0", 0, 0).with_slot(1)));
    root.number((0, 0), 1, 1);
    root.hotplug_add_device("rp0", "multi", Box::new(several()))
        .unwrap();
    let ids: Vec<u32> = (0..4).map(|function| root.read(1, function, 0)).collect();
    assert_eq!(ids, [ID, ID + 1, ID + 2, u32::MAX]);
    root.write(1, 1, 0x40, 11);
    root.write(1, 2, 0x40, 22);
    let saved = ProtobufSaveRestore::save(&mut root).unwrap();
    root.write(1, 1, 0x40, 0);
    ProtobufSaveRestore::restore(&mut root, saved).unwrap();
    assert_eq!((root.read(1, 1, 0x40), root.read(1, 2, 0x40)), (11, 22));
    root.write(0, 0, 0x3c, 1 << 22);
    root.write(0, 0, 0x3c, 0);
    assert_eq!((root.read(1, 1, 0x40), root.read(1, 2, 0x40)), (0, 0));
    root.hotplug_remove_device("rp0").unwrap();
    assert!((0..4).all(|function| root.read(1, function, 0) == u32::MAX));
}

#[test]
fn functions_that_cannot_be_one_device() {
    let twice = [(0u8, "a"), (0, "b")].map(|(number, name)| (number, name, Scratch::boxed(ID)));
    let error = MultiFunctionDevice::new(twice).err().unwrap();
    assert_eq!(
        error.to_string(),
        "function 0 is 'a' and 'b'; a number is one function's"
    );
    let none = MultiFunctionDevice::new([]).err();
    assert_eq!(none, Some(MultiFunctionError::NoFunction0));
}

#[test]
fn a_state_of_other_functions_is_refused() {
    let save = |device: MultiFunctionDevice| {
        let mut root = build(builder().port(PortConfig::new("rp0", 0, 0)));
        root.add_pcie_device(0, "multi", Box::new(device)).unwrap();
        let saved = ProtobufSaveRestore::save(&mut root).unwrap();
        (root, saved)
    };
    let (mut root, before) = save(several());
    let other = [(0u8, "a"), (1, "x")].map(|(number, name)| (number, name, Scratch::boxed(ID)));
    let (_, saved) = save(MultiFunctionDevice::new(other).unwrap());
    let error = ProtobufSaveRestore::restore(&mut root, saved).unwrap_err();
    let error = format!("{:#}", anyhow::Error::from(error));
    assert!(
        error.contains("function 1 is 'x' in the saved state, where function 1 is 'b'"),
        "{error}"
    );
    let after = ProtobufSaveRestore::save(&mut root).unwrap();
    assert_eq!(
        mesh_protobuf::encode(after),
        mesh_protobuf::encode(before),
        "unchanged"
    );
}

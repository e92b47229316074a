//! What a guest and an operator do to slots and links, and who can be reached then (PCIe 6.2 sections 6.6.1 and 6.7).

use crate::model::*;
use chipset_device::io::IoResult;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use inspect::InspectMut;
use parking_lot::Mutex;
use pci_bus::GenericPciBusDevice;
use pci_bus::ManagedDevice;
use pci_core::capabilities::pci_express::LinkConfig;
use pci_core::capabilities::pci_express::SlotConfig;
use pci_core::msi::MsiTarget;
use pci_core::spec::caps::pci_express::LinkSpeed;
use pci_core::spec::caps::pci_express::LinkWidth;
use pcie::PortConfig;
use pcie::PortOptions;
use pcie::root::GenericPcieRootComplex;
use pcie::switch::SwitchConfig;
use std::sync::Arc;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SavedStateBlob;

const PORT: (u8, u8) = (0, 0);

// Slot Control.
const BUTTON_ENABLE: u16 = 1 << 0;
const COMMAND_COMPLETED_ENABLE: u16 = 1 << 4;
const HOT_PLUG_INTERRUPT_ENABLE: u16 = 1 << 5;
const POWER_INDICATOR_BLINKS: u16 = 0b10 << 8;
const POWER_INDICATOR_OFF: u16 = 0b11 << 8;
const POWER_OFF: u16 = 1 << 10;
const INTERLOCK: u16 = 1 << 11;
const LINK_CHANGED_ENABLE: u16 = 1 << 12;
// Slot Status.
const BUTTON: u16 = 1 << 0;
const POWER_FAULT: u16 = 1 << 1;
const MRL_CHANGED: u16 = 1 << 2;
const PRESENCE_CHANGED: u16 = 1 << 3;
const COMMAND_COMPLETED: u16 = 1 << 4;
const MRL_OPEN: u16 = 1 << 5;
const PRESENT: u16 = 1 << 6;
const LINK_CHANGED: u16 = 1 << 8;
// Link Control and Status.
const LINK_DISABLE: u16 = 1 << 4;
const RETRAIN: u16 = 1 << 5;
const LINK_ACTIVE: u16 = 1 << 13;

const ID: u32 = 0xd000_1234;

fn half(root: &mut GenericPcieRootComplex, (bus, devfn): (u8, u8), offset: u16) -> u16 {
    let data = root.load(config(bus, devfn, offset), 2).unwrap();
    u16::from_le_bytes(data.try_into().unwrap())
}

fn set(root: &mut GenericPcieRootComplex, (bus, devfn): (u8, u8), offset: u16, value: u16) {
    root.store(config(bus, devfn, offset), &value.to_le_bytes())
        .unwrap();
}

fn link_control(root: &mut GenericPcieRootComplex, value: u16) {
    set(root, PORT, 0x50, value);
}

fn slot_control(root: &mut GenericPcieRootComplex, value: u16) {
    set(root, PORT, 0x58, value);
}

fn slot_status(root: &mut GenericPcieRootComplex) -> u16 {
    half(root, PORT, 0x5a)
}

/// Reads the events of the slot, and clears them.
fn take_slot_events(root: &mut GenericPcieRootComplex) -> u16 {
    let events = slot_status(root) & !(PRESENT | MRL_OPEN);
    set(root, PORT, 0x5a, events);
    events
}

fn bus_reset(root: &mut GenericPcieRootComplex, port: (u8, u8), held: bool) {
    set(root, port, 0x3e, u16::from(held) << 6);
}

/// One root port, with a device that holds a value.
fn with_device(port: PortConfig) -> GenericPcieRootComplex {
    let mut root = build(builder().port(port));
    root.add_pcie_device(0, "ep", Scratch::boxed(ID)).unwrap();
    root.number(PORT, 1, 1);
    root.write(1, 0, 0x40, 7);
    root
}

pub(crate) fn plain_port() -> PortConfig {
    PortConfig::new("rp0", 0, 0)
}

fn full_slot() -> PortConfig {
    plain_port().with_slot_config(SlotConfig::full(9))
}

/// A root port, and below it a switch with one port and a device that holds a value: buses 1, 2 and 3.
fn with_switch() -> GenericPcieRootComplex {
    let mut root = build(builder().port(plain_port()));
    let mut sw = switch("sw", 1);
    sw.add_pcie_device(0, "ep", Scratch::boxed(ID)).unwrap();
    root.add_pcie_device(0, "sw", sw.into_device()).unwrap();
    number_switch(&mut root);
    root.write(3, 0, 0x40, 7);
    root
}

fn number_switch(root: &mut GenericPcieRootComplex) {
    root.number(PORT, 1, 3);
    root.number((1, 0), 2, 3);
    root.number((2, 0), 3, 3);
}

/// Has no lifecycle of its port's.
struct Unmanaged(u32);

impl GenericPciBusDevice for Unmanaged {
    fn pci_cfg_read(&mut self, _: u16, value: &mut u32) -> Option<IoResult> {
        *value = self.0;
        Some(IoResult::Ok)
    }
    fn pci_cfg_write(&mut self, _: u16, value: u32) -> Option<IoResult> {
        self.0 = value;
        Some(IoResult::Ok)
    }
}

/// Writes down how it is reset.
#[derive(Clone, Default)]
struct ResetKinds(Arc<Mutex<Vec<String>>>);

impl ResetKinds {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl GenericPciBusDevice for ResetKinds {
    fn pci_cfg_read(&mut self, _: u16, _: &mut u32) -> Option<IoResult> {
        None
    }
    fn pci_cfg_write(&mut self, _: u16, _: u32) -> Option<IoResult> {
        None
    }
    fn managed(&mut self) -> Option<&mut dyn ManagedDevice> {
        Some(self)
    }
}

impl InspectMut for ResetKinds {
    fn inspect_mut(&mut self, req: inspect::Request<'_>) {
        req.ignore();
    }
}

impl ManagedDevice for ResetKinds {
    fn reset(&mut self, kind: reg_table::Reset) {
        self.0.lock().push(format!("{kind:?}"));
    }
    fn save(&mut self) -> Result<SavedStateBlob, SaveError> {
        Err(SaveError::NotSupported)
    }
    fn check(&mut self, _: &SavedStateBlob) -> Result<(), RestoreError> {
        Err(RestoreError::SavedStateNotSupported)
    }
    fn restore(&mut self, _: SavedStateBlob) -> Result<(), RestoreError> {
        Err(RestoreError::SavedStateNotSupported)
    }
}

#[test]
fn a_disabled_link_leads_nowhere_and_resets() {
    for port in [plain_port(), plain_port().with_slot(1), full_slot()] {
        let mut root = with_device(port);
        assert_eq!((root.read(1, 0, 0), root.read(1, 0, 0x40)), (ID, 7));
        link_control(&mut root, LINK_DISABLE);
        assert_eq!(half(&mut root, PORT, 0x52) & LINK_ACTIVE, 0);
        assert_eq!(root.read(1, 0, 0), !0);
        root.write(1, 0, 0x40, 8);
        link_control(&mut root, 0);
        assert_eq!((root.read(1, 0, 0), root.read(1, 0, 0x40)), (ID, 0));
    }
}

#[test]
fn a_device_of_its_monitor_is_cut_off_but_not_reset() {
    let mut root = build(builder().port(plain_port()));
    root.add_pcie_device(0, "ep", Box::new(Unmanaged(ID)))
        .unwrap();
    root.number(PORT, 1, 1);
    for cut in [
        |root: &mut _, off| link_control(root, u16::from(off) << 4),
        |root: &mut _, off| bus_reset(root, PORT, off),
    ] {
        root.write(1, 0, 0x40, 5);
        cut(&mut root, true);
        assert_eq!(root.read(1, 0, 0), !0);
        root.write(1, 0, 0x40, 6);
        cut(&mut root, false);
        assert_eq!(root.read(1, 0, 0), 5);
    }
}

#[test]
fn retraining_disturbs_nobody() {
    let mut root = with_device(plain_port());
    link_control(&mut root, RETRAIN);
    assert_eq!(half(&mut root, PORT, 0x50), 0, "the bit reads zero");
    assert_eq!(root.read(1, 0, 0x40), 7);
    // At 8 GT/s.
    set(&mut root, PORT, 0x70, 3);
    link_control(&mut root, RETRAIN);
    assert_eq!(half(&mut root, PORT, 0x52) & 0xf, 3);
    assert_eq!(root.read(1, 0, 0x40), 7);
}

#[test]
fn power_off_and_on() {
    let mut root = with_device(full_slot());
    slot_control(&mut root, POWER_OFF);
    assert_eq!(root.read(1, 0, 0), !0);
    assert_eq!(
        slot_status(&mut root),
        PRESENT | COMMAND_COMPLETED | LINK_CHANGED,
        "the pin sees the card without power"
    );
    slot_control(&mut root, 0);
    assert_eq!((root.read(1, 0, 0), root.read(1, 0, 0x40)), (ID, 0));
}

#[test]
fn power_lost_while_the_link_is_disabled_resets_too() {
    let mut root = build(builder().port(full_slot()));
    let kinds = ResetKinds::default();
    root.add_pcie_device(0, "ep", Box::new(kinds.clone()))
        .unwrap();
    link_control(&mut root, LINK_DISABLE);
    slot_control(&mut root, POWER_OFF);
    assert_eq!(kinds.take(), ["Hot", "Cold"]);
    slot_control(&mut root, 0);
    link_control(&mut root, 0);
    kinds.take();
    bus_reset(&mut root, PORT, true);
    bus_reset(&mut root, PORT, true);
    bus_reset(&mut root, PORT, false);
    assert_eq!(kinds.take(), ["Hot"], "on the edge");
}

#[test]
fn a_bus_held_in_reset() {
    let mut root = with_device(plain_port());
    bus_reset(&mut root, PORT, true);
    assert_eq!(half(&mut root, PORT, 0x3e), 0x40);
    assert_eq!(root.read(1, 0, 0), !0);
    bus_reset(&mut root, PORT, false);
    assert_eq!((root.read(1, 0, 0), root.read(1, 0, 0x40)), (ID, 0));
    // A reset of the port lets go.
    bus_reset(&mut root, PORT, true);
    reset(&mut root);
    root.number(PORT, 1, 1);
    assert_eq!(root.read(1, 0, 0), ID);
}

#[test]
fn a_reset_reaches_through_switches() {
    let mut root = with_switch();
    bus_reset(&mut root, PORT, true);
    for bus in 1..4 {
        assert_eq!(root.read(bus, 0, 0), !0, "bus {bus}");
    }
    bus_reset(&mut root, PORT, false);
    assert_eq!(root.read(1, 0, 0), 0xc031_1414);
    assert_eq!(root.read(1, 0, 0x18), 0, "the upstream port was reset");
    assert_eq!(root.read(2, 0, 0), !0, "and so has no buses");
    root.number((1, 0), 2, 3);
    assert_eq!(root.read(2, 0, 0x18), 0, "the downstream port as well");
    number_switch(&mut root);
    assert_eq!((root.read(3, 0, 0), root.read(3, 0, 0x40)), (ID, 0));
}

#[test]
fn a_switch_resets_its_own_bus() {
    let mut root = with_switch();
    bus_reset(&mut root, (1, 0), true);
    assert_eq!(root.read(1, 0, 0x18), 0x0003_0201, "not the upstream port");
    assert_eq!((root.read(2, 0, 0), root.read(3, 0, 0)), (!0, !0));
    // Other registers, the bus numbers among them, do not let go.
    root.number((1, 0), 2, 3);
    assert_eq!(root.read(2, 0, 0), !0);
    bus_reset(&mut root, (1, 0), false);
    assert_eq!(
        (root.read(2, 0, 0), root.read(2, 0, 0x18)),
        (0xc032_1414, 0)
    );
    root.number((2, 0), 3, 3);
    assert_eq!((root.read(3, 0, 0), root.read(3, 0, 0x40)), (ID, 0));

    // The downstream port's own secondary bus.
    root.write(3, 0, 0x40, 7);
    bus_reset(&mut root, (2, 0), true);
    assert_eq!((root.read(2, 0, 0), root.read(3, 0, 0)), (0xc032_1414, !0));
    bus_reset(&mut root, (2, 0), false);
    assert_eq!((root.read(3, 0, 0), root.read(3, 0, 0x40)), (ID, 0));
}

/// As Linux's pciehp does it.
#[test]
fn an_orderly_removal() {
    let (messages, connection) = Messages::connected();
    let mut root = builder()
        .port(full_slot())
        .build(&mut ExternallyManagedMmioIntercepts, connection.target())
        .unwrap();
    root.add_pcie_device(0, "ep", Scratch::boxed(ID)).unwrap();
    root.number(PORT, 1, 1);
    for (offset, value) in [
        (0x80, 0xfee0_1000),
        (0x88, 0x77),
        (0x7c, 1 << 16),
        (0x04, 4),
    ] {
        root.write(0, 0, offset, value);
    }
    let interrupt = (Some(0), 0xfee0_1000, 0x77);
    let enables =
        BUTTON_ENABLE | COMMAND_COMPLETED_ENABLE | HOT_PLUG_INTERRUPT_ENABLE | LINK_CHANGED_ENABLE;
    slot_control(&mut root, enables | 0b01 << 8);
    assert_eq!(messages.take(), [interrupt], "the command was completed");
    assert_eq!(take_slot_events(&mut root), COMMAND_COMPLETED);
    let permitted =
        |root: &mut GenericPcieRootComplex| root.port_named("rp0").unwrap().removal_permitted();
    assert!(!permitted(&mut root));

    root.port_named("rp0").unwrap().request_removal().unwrap();
    assert_eq!(messages.take(), [interrupt]);
    assert_eq!(take_slot_events(&mut root), BUTTON);
    slot_control(&mut root, enables | POWER_INDICATOR_BLINKS);
    assert_eq!(messages.take(), [interrupt]);
    assert_eq!(take_slot_events(&mut root), COMMAND_COMPLETED);
    assert_eq!(root.read(1, 0, 0), ID, "the driver is still at work");

    slot_control(&mut root, enables | POWER_INDICATOR_BLINKS | POWER_OFF);
    assert_eq!(messages.take(), [interrupt], "one for both events");
    assert_eq!(
        take_slot_events(&mut root),
        COMMAND_COMPLETED | LINK_CHANGED
    );
    assert!(!permitted(&mut root), "the indicator still blinks");
    slot_control(&mut root, enables | POWER_INDICATOR_OFF | POWER_OFF);
    assert_eq!(messages.take(), [interrupt]);
    take_slot_events(&mut root);
    assert!(permitted(&mut root));

    root.hotplug_remove_device("rp0").unwrap();
    assert_eq!(slot_status(&mut root), PRESENCE_CHANGED);
    assert_eq!(messages.take(), [], "which the guest did not enable");
    take_slot_events(&mut root);

    // And in again: seen at once, reached when the guest turns power on.
    root.hotplug_add_device("rp0", "ep2", Scratch::boxed(ID + 1))
        .unwrap();
    root.port_named("rp0")
        .unwrap()
        .press_attention_button()
        .unwrap();
    assert_eq!(messages.take(), [interrupt]);
    assert_eq!(slot_status(&mut root), PRESENT | PRESENCE_CHANGED | BUTTON);
    assert_eq!(root.read(1, 0, 0), !0);
    take_slot_events(&mut root);
    slot_control(&mut root, enables | POWER_INDICATOR_BLINKS);
    assert_eq!(messages.take(), [interrupt]);
    assert_eq!(
        take_slot_events(&mut root),
        COMMAND_COMPLETED | LINK_CHANGED
    );
    assert_eq!(root.read(1, 0, 0), ID + 1);
}

#[test]
fn a_surprise_removal_says_both() {
    let mut root = with_device(plain_port().with_slot(1));
    assert!(root.port_named("rp0").unwrap().removal_permitted());
    root.hotplug_remove_device("rp0").unwrap();
    assert_eq!(slot_status(&mut root), PRESENCE_CHANGED | LINK_CHANGED);
    assert_eq!(root.read(1, 0, 0), !0);
}

#[test]
fn a_power_fault_takes_the_power_until_it_is_turned_off_and_on() {
    let mut root = with_device(full_slot());
    root.port_named("rp0").unwrap().power_fault().unwrap();
    assert_eq!(slot_status(&mut root), PRESENT | POWER_FAULT | LINK_CHANGED);
    assert_eq!(root.read(1, 0, 0), !0);
    slot_control(&mut root, POWER_OFF);
    slot_control(&mut root, 0);
    assert_eq!((root.read(1, 0, 0), root.read(1, 0, 0x40)), (ID, 0));
}

#[test]
fn an_open_latch_takes_the_power() {
    let mut root = with_device(full_slot());
    root.port_named("rp0").unwrap().set_mrl(true).unwrap();
    assert_eq!(
        slot_status(&mut root),
        PRESENT | MRL_OPEN | MRL_CHANGED | LINK_CHANGED
    );
    assert_eq!(root.read(1, 0, 0), !0);
    root.port_named("rp0").unwrap().set_mrl(false).unwrap();
    assert_eq!((root.read(1, 0, 0), root.read(1, 0, 0x40)), (ID, 0));
}

#[test]
fn what_an_operator_cannot_do() {
    let error = |result: anyhow::Result<()>| format!("{:#}", result.unwrap_err());
    let mut root = with_device(plain_port().with_slot(9));
    let port = root.port_named("rp0").unwrap();
    assert_eq!(
        error(port.request_removal()),
        "port 'rp0': slot 9 has no attention button"
    );
    assert_eq!(
        error(port.set_mrl(true)),
        "port 'rp0': slot 9 has no MRL sensor"
    );
    assert_eq!(
        error(port.power_fault()),
        "port 'rp0': slot 9 has no power controller"
    );

    let mut root = with_device(full_slot());
    slot_control(&mut root, INTERLOCK);
    assert_eq!(
        error(root.hotplug_remove_device("rp0")),
        "port 'rp0': slot 9: the electromechanical interlock is engaged and holds the card"
    );
    assert_eq!(root.read(1, 0, 0x40), 7, "nothing happened");
    slot_control(&mut root, INTERLOCK);
    root.hotplug_remove_device("rp0").unwrap();
    assert_eq!(
        error(root.port_named("rp0").unwrap().request_removal()),
        "port 'rp0' is empty"
    );
    assert!(root.port_named("rp9").is_err());
}

#[test]
fn slots_of_a_switch_are_worked_through_the_root_complex() {
    let mut root = build(builder().port(plain_port()));
    let mut config = SwitchConfig::new("sw");
    config.ports = vec![PortConfig::new("dsp", 0, 0).with_slot_config(SlotConfig::full(2))];
    let mut sw = config.build(&MsiTarget::disconnected(), None).unwrap();
    sw.add_pcie_device(0, "ep", Scratch::boxed(ID)).unwrap();
    assert!(!sw.port_named("dsp").unwrap().removal_permitted());
    root.add_pcie_device(0, "sw", sw.into_device()).unwrap();
    number_switch(&mut root);
    assert_eq!(root.read(3, 0, 0), ID);
    root.port_named("dsp").unwrap().power_fault().unwrap();
    assert_eq!(root.read(3, 0, 0), !0);
    // Found although it cannot be reached.
    link_control(&mut root, LINK_DISABLE);
    assert!(root.port_named("dsp").unwrap().request_removal().is_ok());
    root.hotplug_remove_device("dsp").unwrap();
    assert_eq!(
        root.add_pcie_device(0, "x", Scratch::boxed(1))
            .unwrap_err()
            .as_ref(),
        "sw",
        "occupied although it cannot be reached"
    );
}

#[test]
fn what_is_cut_off_stays_so_across_saving() {
    type Cut = fn(&mut GenericPcieRootComplex);
    let cuts: [(Cut, Cut); 3] = [
        (|r| link_control(r, LINK_DISABLE), |r| link_control(r, 0)),
        (|r| slot_control(r, POWER_OFF), |r| slot_control(r, 0)),
        (|r| bus_reset(r, PORT, true), |r| bus_reset(r, PORT, false)),
    ];
    for (cut, mend) in cuts {
        let mut root = with_device(full_slot());
        let connected = saved(&mut root);
        cut(&mut root);
        let state = saved(&mut root);
        let mut other = with_device(full_slot());
        restore(&mut other, &state).unwrap();
        assert_eq!(saved(&mut other), state);
        assert_eq!(other.read(1, 0, 0), !0);
        mend(&mut other);
        assert_eq!((other.read(1, 0, 0), other.read(1, 0, 0x40)), (ID, 0));
        // And what was connected is again.
        restore(&mut root, &connected).unwrap();
        assert_eq!((root.read(1, 0, 0), root.read(1, 0, 0x40)), (ID, 7));
    }
    let mut root = with_switch();
    bus_reset(&mut root, (1, 0), true);
    let state = saved(&mut root);
    let mut other = with_switch();
    restore(&mut other, &state).unwrap();
    assert_eq!(other.read(2, 0, 0), !0);
    assert_eq!(saved(&mut other), state);
}

#[test]
fn slots_and_links_that_cannot_be() {
    let text = |port: PortConfig| {
        let root = builder().port(port).build(
            &mut ExternallyManagedMmioIntercepts,
            &MsiTarget::disconnected(),
        );
        root.err().unwrap().to_string()
    };
    assert_eq!(
        text(plain_port().with_slot_config(SlotConfig::full(8192))),
        "port 'rp0': the physical slot number is 8192; it is at most 8191"
    );
    assert_eq!(
        text(full_slot().with_slot(3)),
        "port 'rp0': slot 9 and a slot number, 3; a port has one slot"
    );
    assert_eq!(
        text(plain_port().with_link(LinkConfig::new(LinkSpeed(7), LinkWidth::X4))),
        "port 'rp0': the link speed is encoding 7; it is 1 (2.5 GT/s) to 6 (64.0 GT/s)"
    );
    let mut switch = SwitchConfig::new("sw");
    switch.upstream = PortOptions {
        slot: Some(SlotConfig::full(1)),
        ..PortOptions::default()
    };
    let error = switch
        .build(&MsiTarget::disconnected(), None)
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .starts_with("port 'sw': a slot is not valid")
    );
}

#[test]
fn links_say_what_they_can() {
    let link = LinkConfig::new(LinkSpeed::Speed16_0GtS, LinkWidth::X8);
    let mut root = with_device(plain_port().with_link(link));
    assert_eq!(root.read(0, 0, 0x4c) & 0x3ff, 0x84);
    assert_eq!(half(&mut root, PORT, 0x52) & 0x3ff, 0x84);
    let mut switch = SwitchConfig::new("sw");
    switch.upstream.link = Some(link);
    let switch = switch.build(&MsiTarget::disconnected(), None).unwrap();
    let mut capabilities = 0;
    let upstream = switch.upstream_port().cfg_space();
    upstream.read_u32(0x4c, &mut capabilities).unwrap();
    assert_eq!(capabilities & 0x3ff, 0x84);
}

#[test]
fn a_bus_held_in_reset_has_no_link() {
    let mut root = with_device(full_slot());
    take_slot_events(&mut root);
    let link_active = |root: &mut _| half(root, PORT, 0x52) & LINK_ACTIVE != 0;
    assert!(link_active(&mut root));
    bus_reset(&mut root, PORT, true);
    assert!(!link_active(&mut root));
    assert_eq!(take_slot_events(&mut root), LINK_CHANGED);
    bus_reset(&mut root, PORT, false);
    assert!(link_active(&mut root));
    assert_eq!(take_slot_events(&mut root), LINK_CHANGED);

    // A reset of the port releases the bus, and of a new beginning nobody is told.
    bus_reset(&mut root, PORT, true);
    take_slot_events(&mut root);
    reset(&mut root);
    assert!(link_active(&mut root));
    assert_eq!(slot_status(&mut root), PRESENT);

    // A restored port holds its bus as the saved one did.
    root.number(PORT, 1, 1);
    bus_reset(&mut root, PORT, true);
    let saved = ProtobufSaveRestore::save(&mut root).unwrap();
    let mut root = with_device(full_slot());
    ProtobufSaveRestore::restore(&mut root, saved).unwrap();
    assert!(!link_active(&mut root));
    assert_eq!(root.read(1, 0, 0), u32::MAX);
    bus_reset(&mut root, PORT, false);
    assert!(link_active(&mut root));
    assert_eq!(root.read(1, 0, 0), ID);
}

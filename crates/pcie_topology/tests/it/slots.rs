//! Slots of a hierarchy as pciehp meets them: what is pending interrupts whatever way the guest, or the operator, came to it.

use crate::machine::Machine;
use pci_bus::events::EventKind;
use pcie_topology::EndpointSpec;
use reg_table::Reset;
use vmcore::save_restore::ProtobufSaveRestore;

/// Buses: rp0 leads to 1 (ep0), rp1 to 2 (empty), rp2 to 3 (sw0), 4 (inside), 5 (ep1).
const TOPOLOGY: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000
    buses = { start = 0, end = 15 }

    [[root_complex.port]]
    name = "rp0"
    intx = "A"
    capabilities = { dpc = true }
    endpoint = { name = "ep0" }

    [root_complex.port.slot]
    number = 1
    attention_button = true
    power_controller = true
    power_indicator = true
    attention_indicator = true
    mrl_sensor = true
    interlock = true
    in_band_presence_disable = true

    [[root_complex.port]]
    name = "rp1"
    slot = { number = 2, attention_button = true }

    [[root_complex.port]]
    name = "rp2"
    [root_complex.port.switch]
    name = "sw0"
    port = [{ name = "dsp0", endpoint = { name = "ep1" } }]
"#;

/// Both ports: one with an INTx pin, one without.
const PORTS: [&str; 2] = ["rp0", "rp1"];

// Registers of the PCI Express capability.
const SLOT_CAPABILITIES: u64 = 0x14;
const SLOT_CONTROL: u64 = 0x18;
const SLOT_STATUS: u64 = 0x1a;
const ROOT_STATUS: u64 = 0x20;
const SLOT_CAPABILITIES_2: u64 = 0x34;
/// In-Band PD Disable in Slot Control.
const IN_BAND_PD_DISABLE: u16 = 1 << 14;
/// Attention Button Pressed Enable and Hot-Plug Interrupt Enable; the indicators show what they do after a reset.
const BUTTON_INTERRUPTS: u16 = 0x01e1;
/// Attention Button Pressed Enable alone.
const BUTTON_ENABLED: u16 = 0x01c1;
/// Presence Detect Changed Enable.
const PRESENCE_ENABLED: u16 = 0x01c8;
const ALL_EVENTS: u16 = 0x011f;
/// PME Status in Root Status.
const PME: u32 = 1 << 16;
/// PME_En in Power Management Control/Status, and D3hot.
const ASLEEP: u16 = 0x0103;
/// PME_En.
const PME_ENABLED: u16 = 0x0100;
const BRIDGE_CONTROL: u64 = 0x3e;
const SECONDARY_BUS_RESET: u16 = 1 << 6;
/// Interrupt Status, in the dword of Command and Status.
const INTERRUPT_STATUS: u32 = 1 << 19;

fn started() -> Machine {
    let mut machine = Machine::from_toml(TOPOLOGY);
    machine.number_buses();
    machine
}

trait Driver {
    fn pcie(&mut self, name: &str, offset: u64) -> u32;
    fn set_pcie(&mut self, name: &str, offset: u64, value: u16);
    fn set_power(&mut self, name: &str, value: u16);
    fn set_msi(&mut self, name: &str, enabled: bool);
    fn set_bus_master(&mut self, name: &str, enabled: bool);
    fn press(&mut self, name: &str);
    fn press_by_inspection(&mut self, name: &str);
    fn messages(&mut self) -> usize;
    fn migrated(self) -> Self;
}

impl Driver for Machine {
    fn pcie(&mut self, name: &str, offset: u64) -> u32 {
        let at = self.capability(name, 0, 0x10).unwrap();
        self.config(name, 0, at + offset)
    }

    fn set_pcie(&mut self, name: &str, offset: u64, value: u16) {
        let at = self.capability(name, 0, 0x10).unwrap();
        self.set_config(name, 0, at + offset, &value.to_le_bytes());
    }

    fn set_power(&mut self, name: &str, value: u16) {
        let at = self.capability(name, 0, 0x01).unwrap();
        self.set_config(name, 0, at + 4, &value.to_le_bytes());
    }

    fn set_msi(&mut self, name: &str, enabled: bool) {
        let msi = self.capability(name, 0, 0x05).unwrap();
        self.set_config(name, 0, msi + 4, &0xfee0_0000u32.to_le_bytes());
        self.set_config(name, 0, msi + 2, &[enabled.into(), 0]);
    }

    fn set_bus_master(&mut self, name: &str, enabled: bool) {
        self.set_config(name, 0, 0x04, &[2 | u8::from(enabled) << 2, 0]);
    }

    fn press(&mut self, name: &str) {
        self.hierarchy.press_attention_button(name).unwrap();
    }

    fn press_by_inspection(&mut self, name: &str) {
        let path = self.function(name, 0).path;
        let button = format!("{path}/cfg_space/capabilities/pci-express/slot/attention_button");
        let mut update = inspect::update(&button, "press", &mut self.hierarchy);
        update.result().unwrap();
    }

    /// Messages sent since the last look.
    fn messages(&mut self) -> usize {
        self.interrupts.take().len()
    }

    fn migrated(mut self) -> Self {
        let state = ProtobufSaveRestore::save(&mut self.hierarchy.complexes[0].root).unwrap();
        let mut machine = Self::from_toml(TOPOLOGY);
        ProtobufSaveRestore::restore(&mut machine.hierarchy.complexes[0].root, state).unwrap();
        machine
    }
}

/// PCIe 6.2 sections 7.5.3.9, 7.5.3.10 and 7.5.3.21: what a slot has, the guest can see and command.
#[test]
fn a_slot_has_what_the_description_gives_it() {
    let mut machine = started();
    // Button, power controller, MRL sensor, both indicators, hot-plug capable, interlock, number 1; commands are completed.
    assert_eq!(machine.pcie("rp0", SLOT_CAPABILITIES), 0x000a_005f);
    assert_eq!(machine.pcie("rp0", SLOT_CAPABILITIES_2), 1);
    // Button, surprise, hot-plug capable, no command completed, number 2.
    assert_eq!(machine.pcie("rp1", SLOT_CAPABILITIES), 0x0014_0041);
    assert_eq!(machine.pcie("rp1", SLOT_CAPABILITIES_2), 0);
    for port in PORTS {
        machine.set_pcie(port, SLOT_CONTROL, IN_BAND_PD_DISABLE);
    }
    let kept = PORTS.map(|port| machine.pcie(port, SLOT_CONTROL) & u32::from(IN_BAND_PD_DISABLE));
    assert_eq!(kept, [u32::from(IN_BAND_PD_DISABLE), 0]);
}

/// PCIe 6.2 section 6.6.1: what is held in reset sends nothing. The reset disarms these functions, which do not signal from D3cold, so that
/// the event goes up when software arms them again.
#[test]
fn nothing_comes_up_from_a_bus_that_a_switch_holds_in_reset() {
    for sleeper in ["ep1", "dsp0"] {
        let mut machine = started();
        machine.set_power(sleeper, PME_ENABLED);
        machine.set_config("sw0", 0, BRIDGE_CONTROL, &SECONDARY_BUS_RESET.to_le_bytes());
        machine.hierarchy.wake(sleeper, 0).unwrap();
        assert_eq!(machine.pcie("rp2", ROOT_STATUS) & PME, 0, "{sleeper}");
        machine.set_config("sw0", 0, BRIDGE_CONTROL, &[0, 0]);
        assert_eq!(machine.pcie("rp2", ROOT_STATUS) & PME, 0, "{sleeper}");
        machine.number_buses();
        machine.set_power(sleeper, PME_ENABLED);
        assert_eq!(machine.pcie("rp2", ROOT_STATUS) & PME, PME, "{sleeper}");
    }
}

#[test]
fn a_bus_reset_of_a_switch_is_in_the_log() {
    let mut machine = started();
    machine.set_config("sw0", 0, BRIDGE_CONTROL, &SECONDARY_BUS_RESET.to_le_bytes());
    machine.set_config("sw0", 0, BRIDGE_CONTROL, &SECONDARY_BUS_RESET.to_le_bytes());
    let events = machine.hierarchy.events().since(0);
    let kinds = events.iter().filter(|event| *event.name == *"sw0");
    assert_eq!(
        kinds.map(|event| event.kind).collect::<Vec<_>>(),
        [EventKind::Reset(Reset::Hot)],
        "on the edge"
    );
}

/// A kernel started by another finds what that left: an event, its enable, and MSI disabled.
#[test]
fn an_event_that_is_pending_when_msi_is_enabled_interrupts() {
    for migrates in [false, true] {
        for port in PORTS {
            let mut machine = started();
            machine.set_pcie(port, SLOT_CONTROL, BUTTON_INTERRUPTS);
            machine.set_pcie(port, SLOT_STATUS, ALL_EVENTS);
            machine.press(port);
            assert_eq!(machine.messages(), 0);
            if migrates {
                machine = machine.migrated();
            }
            machine.set_msi(port, true);
            assert_eq!(machine.messages(), 1, "{port}");
            if migrates {
                machine = machine.migrated();
            }
            machine.set_msi(port, true);
            assert_eq!(machine.messages(), 0, "{port}: it was told");

            machine.set_msi(port, false);
            machine.set_pcie(port, SLOT_STATUS, ALL_EVENTS);
            machine.press(port);
            machine.set_pcie(port, SLOT_STATUS, ALL_EVENTS);
            machine.set_msi(port, true);
            assert_eq!(machine.messages(), 0, "{port}: nothing is pending any more");
            machine.press(port);
            assert_eq!(machine.messages(), 1, "{port}");
        }
    }
}

#[test]
fn an_event_that_came_while_bus_master_enable_was_clear_interrupts_when_it_is_set() {
    for port in PORTS {
        let mut machine = started();
        machine.set_msi(port, true);
        machine.set_bus_master(port, false);
        machine.set_pcie(port, SLOT_CONTROL, BUTTON_INTERRUPTS);
        machine.set_pcie(port, SLOT_STATUS, ALL_EVENTS);
        machine.press(port);
        assert_eq!(machine.messages(), 0);
        machine.set_bus_master(port, true);
        assert_eq!(machine.messages(), 1, "{port}");
    }
}

/// The same for errors and for containment.
#[test]
fn containment_that_is_pending_when_msi_is_enabled_interrupts() {
    let mut machine = started();
    let dpc = machine.extended_capabilities("rp0", 0);
    let (_, dpc) = dpc.into_iter().find(|(id, _)| *id == 0x1d).unwrap();
    // Triggered by ERR_FATAL, DPC Interrupt Enable, DPC Software Trigger.
    machine.set_config("rp0", 0, dpc + 6, &[0x49, 0]);
    assert_eq!(machine.messages(), 0);
    machine.set_msi("rp0", true);
    assert_eq!(machine.messages(), 1);
}

/// PCIe 6.2 section 6.7.3.4: Linux puts ports that nothing uses into D3hot, and waits there for the card.
#[test]
fn a_card_that_is_plugged_into_a_sleeping_slot_wakes_the_system() {
    let mut machine = started();
    machine.set_pcie("rp1", SLOT_CONTROL, PRESENCE_ENABLED);
    machine.set_power("rp1", ASLEEP);
    machine
        .hierarchy
        .plug("rp1", &EndpointSpec::new("card"))
        .unwrap();
    assert_eq!(machine.pcie("rp1", ROOT_STATUS) & PME, PME);
}

#[test]
fn a_button_that_is_pressed_by_inspection_is_a_button_pressed() {
    let mut machine = started();
    machine.set_pcie("rp0", SLOT_CONTROL, BUTTON_INTERRUPTS);
    machine.set_pcie("rp0", SLOT_STATUS, ALL_EVENTS);
    machine.press_by_inspection("rp0");
    assert_eq!(
        machine.config("rp0", 0, 0x04) & INTERRUPT_STATUS,
        INTERRUPT_STATUS
    );

    machine.set_pcie("rp1", SLOT_CONTROL, BUTTON_ENABLED);
    machine.set_power("rp1", ASLEEP);
    machine.press_by_inspection("rp1");
    assert_eq!(machine.pcie("rp1", ROOT_STATUS) & PME, PME);

    let events = machine.hierarchy.events().since(0);
    let pressed = events
        .iter()
        .filter(|event| event.kind == EventKind::AttentionButton)
        .map(|event| &*event.name);
    assert_eq!(pressed.collect::<Vec<_>>(), PORTS);
}

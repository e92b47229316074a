//! Power management events as an operating system's PME service meets them: an interrupt, Root Status, the requester's PME_Status, and
//! what waits behind it.

use crate::machine::Machine;
use pci_bus::events::EventKind;
use pci_core::spec::Bdf;
use pci_core::spec::caps::power_management::PowerState;
use pci_core::spec::errors::ErrorMessage;
use vmcore::save_restore::ProtobufSaveRestore;

/// Buses: rp0 leads to 1 (sw0), 2 (inside), 3 (ep0); rp1 to 4 (ep1); rp2 to 5 (empty).
const TOPOLOGY: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000
    buses = { start = 0, end = 15 }
    endpoint = [{ name = "integrated0" }]
    event_collector = { name = "collector0", device = 31 }

    [[root_complex.port]]
    name = "rp0"

    [root_complex.port.switch]
    name = "sw0"
    port = [{ name = "dsp0", slot = 2, endpoint = { name = "ep0", functions = 2 } }]

    [[root_complex.port]]
    name = "rp1"
    endpoint = { name = "ep1" }

    [[root_complex.port]]
    name = "rp2"
    slot = { number = 1, attention_button = true }
    [[root_complex.port]]
    name = "rp3"
    endpoint = { name = "ep3", capabilities = { power_management = false } }
"#;

const RP0: u16 = 0x0000;
const RP1: u16 = 0x0008;
const RP2: u16 = 0x0010;
const SW0: u16 = 0x0100;
const DSP0: u16 = 0x0200;
const EP0: u16 = 0x0300;
const EP1: u16 = 0x0400;
const INTEGRATED0: u16 = 0x0020;
const COLLECTOR0: u16 = 0x00f8;

// Registers of the PCI Express capability.
const LINK_CONTROL: u64 = 0x10;
const SLOT_CONTROL: u64 = 0x18;
const ROOT_CONTROL: u64 = 0x1c;
const ROOT_STATUS: u64 = 0x20;
/// PME Status in Root Status.
const PME: u32 = 1 << 16;
/// PME Pending in Root Status.
const PENDING: u32 = 1 << 17;
/// PME_En in Power Management Control/Status.
const ENABLE: u16 = 1 << 8;
/// PME_Status in Power Management Control/Status.
const STATUS: u16 = 1 << 15;
const D3HOT: u16 = 3;
const NOBODY: [u16; 0] = [];

/// The machine after the drivers started: root ports and the collector interrupt.
fn driven() -> Machine {
    let mut machine = Machine::from_toml(TOPOLOGY);
    machine.number_buses();
    for root in ["rp0", "rp1", "rp2", "collector0"] {
        machine.set_config(root, 0, 0x04, &[0x06, 0]);
        let msi = machine.capability(root, 0, 0x05).unwrap();
        machine.set_config(root, 0, msi + 4, &0xfee0_0000u32.to_le_bytes());
        machine.set_config(root, 0, msi + 0xc, &[0x40, 0]);
        machine.set_config(root, 0, msi + 2, &[1, 0]);
        machine.set_pcie(root, ROOT_STATUS, PME);
        machine.set_pcie(root, ROOT_CONTROL, 8);
    }
    machine
}

trait Driver {
    fn pcie(&mut self, name: &str, offset: u64) -> u32;
    fn set_pcie(&mut self, name: &str, offset: u64, value: u32);
    fn power(&mut self, name: &str, nth: usize) -> u16;
    fn set_power(&mut self, name: &str, nth: usize, value: u16);
    fn interrupted(&mut self) -> Vec<u16>;
    fn serve(&mut self, root: &str) -> Vec<u16>;
    fn kinds(&self, name: &str) -> Vec<EventKind>;
}

impl Driver for Machine {
    fn pcie(&mut self, name: &str, offset: u64) -> u32 {
        let at = self.capability(name, 0, 0x10).unwrap();
        self.config(name, 0, at + offset)
    }

    fn set_pcie(&mut self, name: &str, offset: u64, value: u32) {
        let at = self.capability(name, 0, 0x10).unwrap();
        let len = if offset == ROOT_STATUS { 4 } else { 2 };
        self.set_config(name, 0, at + offset, &value.to_le_bytes()[..len]);
    }

    fn power(&mut self, name: &str, nth: usize) -> u16 {
        let at = self.capability(name, nth, 0x01).unwrap();
        (self.config(name, nth, at + 4) & 0xffff) as u16
    }

    fn set_power(&mut self, name: &str, nth: usize, value: u16) {
        let at = self.capability(name, nth, 0x01).unwrap();
        self.set_config(name, nth, at + 4, &value.to_le_bytes());
    }

    /// Who interrupted since the last look.
    fn interrupted(&mut self) -> Vec<u16> {
        let interrupts = self.interrupts.take();
        let ids = interrupts
            .iter()
            .map(|(id, ..)| u16::try_from(*id).unwrap());
        ids.collect()
    }

    /// As Linux's pcie_pme_work_fn: clears Root Status, then the requester's PME_Status, until nothing is left. Says who was served.
    fn serve(&mut self, root: &str) -> Vec<u16> {
        // The handler turns the interrupt off until the work is done.
        self.set_pcie(root, ROOT_CONTROL, 0);
        let mut served = Vec::new();
        loop {
            let status = self.pcie(root, ROOT_STATUS);
            if status & PME != 0 {
                self.set_pcie(root, ROOT_STATUS, PME);
                let requester = (status & 0xffff) as u16;
                let functions = self.hierarchy.functions();
                let found = functions
                    .iter()
                    .find(|f| f.bdf == Some(Bdf::from_bits(requester)))
                    .unwrap_or_else(|| panic!("no function at {requester:#06x}"));
                let nth = usize::from(requester & 7);
                let nth = if found.path.ends_with(&format!("functions/{nth}")) {
                    nth
                } else {
                    0
                };
                let power = self.power(&found.name, nth);
                assert_ne!(power & STATUS, 0, "{}: a spurious event", found.name);
                self.set_power(&found.name, nth, power & !ENABLE);
                served.push(requester);
            } else if status & PENDING == 0 {
                break;
            }
        }
        self.set_pcie(root, ROOT_CONTROL, 8);
        served
    }

    fn kinds(&self, name: &str) -> Vec<EventKind> {
        let events = self.hierarchy.events().since(0);
        let own = events.iter().filter(|event| *event.name == *name);
        own.map(|event| event.kind).collect()
    }
}

#[test]
fn functions_asleep_below_a_switch_wake_the_system_one_after_the_other() {
    let mut machine = driven();
    for nth in [0, 1] {
        machine.set_power("ep0", nth, ENABLE | D3HOT);
    }
    machine.hierarchy.wake("ep0", 1).unwrap();
    machine.hierarchy.wake("ep0", 0).unwrap();
    assert_eq!(machine.interrupted(), [RP0]);
    assert_eq!(
        machine.pcie("rp0", ROOT_STATUS),
        PENDING | PME | u32::from(EP0 + 1)
    );
    assert_eq!(machine.power("ep0", 0), STATUS | ENABLE | 8 | D3HOT);
    assert_eq!(machine.serve("rp0"), [EP0 + 1, EP0]);
    assert_eq!(
        machine.interrupted(),
        NOBODY,
        "turned off while it was served"
    );
    assert_eq!(machine.power("ep0", 0), 8 | D3HOT, "cleared, and disabled");
    assert_eq!(machine.pcie("rp1", ROOT_STATUS), 0);
    assert_eq!(
        machine.kinds("ep0"),
        [
            EventKind::PowerState(PowerState::D3Hot),
            EventKind::PowerState(PowerState::D3Hot),
            EventKind::Wake,
            EventKind::Wake,
        ]
    );
}

#[test]
fn what_shows_next_interrupts_again_and_nothing_is_lost() {
    let mut machine = driven();
    for nth in [0, 1] {
        machine.set_power("ep0", nth, ENABLE);
    }
    machine.set_power("sw0", 0, ENABLE);
    for (name, function) in [("ep0", 0), ("sw0", 0), ("ep0", 1)] {
        machine.hierarchy.wake(name, function).unwrap();
    }
    for shown in [EP0, SW0, EP0 + 1] {
        assert_eq!(machine.interrupted(), [RP0]);
        assert_eq!(
            machine.pcie("rp0", ROOT_STATUS) & 0x1_ffff,
            PME | u32::from(shown)
        );
        machine.set_pcie("rp0", ROOT_STATUS, PME);
    }
    assert_eq!(machine.pcie("rp0", ROOT_STATUS) >> 16, 0);
    assert_eq!(machine.interrupted(), NOBODY);
}

#[test]
fn one_event_is_one_message_until_software_cleared_it() {
    let mut machine = driven();
    machine.hierarchy.wake("ep1", 0).unwrap();
    assert_eq!(machine.power("ep1", 0), STATUS | 8, "noted, and not sent");
    assert_eq!(machine.pcie("rp1", ROOT_STATUS), 0);
    machine.set_power("ep1", 0, ENABLE);
    assert_eq!(machine.interrupted(), [RP1], "enabled after it happened");
    machine.hierarchy.wake("ep1", 0).unwrap();
    assert_eq!(machine.pcie("rp1", ROOT_STATUS), PME | u32::from(EP1));
    assert_eq!(machine.serve("rp1"), [EP1]);
    machine.set_power("ep1", 0, ENABLE);
    machine.hierarchy.wake("ep1", 0).unwrap();
    assert_eq!(machine.interrupted(), [RP1]);
}

#[test]
fn a_message_passes_ports_that_sleep() {
    let mut machine = driven();
    machine.set_power("ep0", 0, ENABLE | D3HOT);
    for port in ["dsp0", "sw0", "rp0"] {
        machine.set_power(port, 0, D3HOT);
    }
    machine.hierarchy.wake("ep0", 0).unwrap();
    assert_eq!(machine.pcie("rp0", ROOT_STATUS), PME | u32::from(EP0));
    assert_eq!(machine.interrupted(), [RP0]);
    for port in ["rp0", "sw0", "dsp0"] {
        machine.set_power(port, 0, 0);
    }
    assert_eq!(machine.serve("rp0"), [EP0]);
}

/// The link's going down resets what is below, and these functions do not signal from D3cold: they have to be armed again (PCIe 6.2
/// section 7.5.2.2).
#[test]
fn a_link_that_is_down_lets_nothing_through_and_disarms_what_is_below() {
    for (root, name) in [("rp1", "ep1"), ("rp0", "ep0")] {
        let mut machine = driven();
        machine.set_power(name, 0, ENABLE | D3HOT);
        machine.set_pcie(root, LINK_CONTROL, 1 << 4);
        machine.hierarchy.wake(name, 0).unwrap();
        assert_eq!(machine.pcie(root, ROOT_STATUS), 0, "{name}");
        machine.set_pcie(root, LINK_CONTROL, 0);
        assert_eq!(machine.pcie(root, ROOT_STATUS), 0, "{name}");
        if name == "ep1" {
            assert_eq!(machine.power(name, 0) & ENABLE, 0);
            machine.set_power(name, 0, ENABLE);
            assert_eq!(machine.pcie(root, ROOT_STATUS), PME | u32::from(EP1));
        }
    }
}

/// PCIe 6.2 section 6.7.3.4.
#[test]
fn a_sleeping_slot_wakes_the_system_instead_of_interrupting() {
    let mut machine = driven();
    // Attention Button Pressed Enable and Hot-Plug Interrupt Enable.
    machine.set_pcie("rp2", SLOT_CONTROL, 0x21);
    let press = |machine: &mut Machine| {
        let root = &mut machine.hierarchy.complexes[0].root;
        root.port_named("rp2")
            .unwrap()
            .press_attention_button()
            .unwrap();
    };
    press(&mut machine);
    assert_eq!(machine.interrupted(), [RP2], "in D0");
    machine.set_pcie("rp2", SLOT_CONTROL + 2, 1);
    assert_eq!(machine.pcie("rp2", ROOT_STATUS), 0);

    machine.set_power("rp2", 0, ENABLE | D3HOT);
    press(&mut machine);
    assert_eq!(machine.pcie("rp2", ROOT_STATUS), PME | u32::from(RP2));
    assert_eq!(machine.interrupted(), [RP2]);
    assert!(machine.kinds("rp2").contains(&EventKind::Wake));
    machine.set_pcie("rp2", ROOT_STATUS, PME);
    machine.set_power("rp2", 0, STATUS | ENABLE | D3HOT);
    assert_eq!(machine.interrupted(), NOBODY);
    machine.set_power("rp2", 0, ENABLE);
    assert_eq!(machine.interrupted(), [RP2], "the button is still pending");

    // An event that software did not enable wakes nobody.
    machine.set_pcie("rp2", SLOT_CONTROL + 2, 1);
    machine.set_pcie("rp2", SLOT_CONTROL, 0x20);
    machine.set_power("rp2", 0, ENABLE | D3HOT);
    press(&mut machine);
    assert_eq!(machine.pcie("rp2", ROOT_STATUS) >> 16, 0);
}

#[test]
fn a_switch_port_wakes_for_its_slot_through_the_root_port() {
    let mut machine = driven();
    // Presence Detect Changed Enable, no interrupt.
    machine.set_pcie("dsp0", SLOT_CONTROL, 0x08);
    machine.set_power("dsp0", 0, ENABLE | D3HOT);
    machine.hierarchy.unplug("dsp0").unwrap();
    assert_eq!(machine.pcie("rp0", ROOT_STATUS), PME | u32::from(DSP0));
    assert_eq!(machine.serve("rp0"), [DSP0]);
}

#[test]
fn integrated_endpoints_wake_through_the_event_collector() {
    let mut machine = driven();
    machine.set_power("integrated0", 0, ENABLE | D3HOT);
    machine.hierarchy.wake("integrated0", 0).unwrap();
    assert_eq!(machine.interrupted(), [COLLECTOR0]);
    assert_eq!(
        machine.pcie("collector0", ROOT_STATUS),
        PME | u32::from(INTEGRATED0)
    );
    assert_eq!(machine.serve("collector0"), [INTEGRATED0]);
    machine.set_power("collector0", 0, D3HOT);
    machine.set_power("integrated0", 0, ENABLE | D3HOT);
    machine.hierarchy.wake("integrated0", 0).unwrap();
    assert_eq!(machine.interrupted(), [COLLECTOR0], "asleep itself");
}

#[test]
fn what_waits_survives_a_restore() {
    let mut machine = driven();
    for function in [0, 1] {
        machine.set_power("ep0", function.into(), ENABLE | D3HOT);
        machine.hierarchy.wake("ep0", function).unwrap();
    }
    machine.set_power("rp2", 0, ENABLE | D3HOT);
    machine.set_pcie("rp2", SLOT_CONTROL, 0x21);
    let state = ProtobufSaveRestore::save(&mut machine.hierarchy.complexes[0].root).unwrap();
    let mut machine = Machine::from_toml(TOPOLOGY);
    ProtobufSaveRestore::restore(&mut machine.hierarchy.complexes[0].root, state).unwrap();
    assert_eq!(machine.interrupted(), NOBODY);
    assert_eq!(machine.serve("rp0"), [EP0, EP0 + 1]);
    let root = &mut machine.hierarchy.complexes[0].root;
    root.port_named("rp2")
        .unwrap()
        .press_attention_button()
        .unwrap();
    assert_eq!(machine.serve("rp2"), [RP2], "it sleeps as it did");
}

#[test]
fn who_cannot_wake_says_so() {
    let mut machine = driven();
    let refused = |machine: &mut Machine, name: &str, function| {
        machine
            .hierarchy
            .wake(name, function)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(&mut machine, "nobody", 0),
        "no port or device is named 'nobody'"
    );
    assert_eq!(refused(&mut machine, "ep0", 2), "'ep0' has no function 2");
    for name in ["ep3", "collector0"] {
        assert_eq!(
            refused(&mut machine, name, 0),
            format!("'{name}' signals no power management events, or none in its power state")
        );
    }
    assert_eq!(machine.interrupted(), NOBODY);
}

/// There is nobody to raise a system error to.
#[test]
fn a_system_error_is_an_event() {
    use pci_core::spec::caps::aer::CorrectableErrors;
    use pci_core::spec::errors::DetectedError;
    let error = DetectedError::Correctable(CorrectableErrors::new().with_bad_tlp(true));
    let mut machine = driven();
    for (name, root) in [("ep1", "rp1"), ("integrated0", "collector0")] {
        // Correctable Error Reporting Enable; SERR# Enable in Bridge Control.
        if root == "rp1" {
            machine.set_config(root, 0, 0x3e, &[0x02, 0]);
        }
        machine.set_pcie(name, 0x08, 1);
        machine.hierarchy.record_error(name, 0, error).unwrap();
        let system_error = EventKind::SystemError(ErrorMessage::Correctable);
        assert!(!machine.kinds(root).contains(&system_error));
        machine.set_pcie(root, ROOT_CONTROL, 0x9);
        machine.hierarchy.record_error(name, 0, error).unwrap();
        assert!(machine.kinds(root).contains(&system_error));
    }
}

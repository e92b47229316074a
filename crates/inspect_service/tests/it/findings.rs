//! What keeps a device from appearing or working is found, and named by its registers.

use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use inspect_service::topology;
use inspect_service::topology::RULES;
use inspect_service::topology::Severity;
use parking_lot::Mutex;
use pci_enumerate::Apertures;
use pci_enumerate::ConfigAccess;
use pci_enumerate::EcamAccess;
use pci_enumerate::HostBridge;
use pci_enumerate::Width;
use pci_spec::caps::aer::UncorrectableErrorBit;
use pci_spec::errors::DetectedError;
use pcie_topology::EndpointSpec;
use pcie_topology::Hierarchy;
use pcie_topology::Topology;

const ECAM: u64 = 0xe000_0000;
const MACHINE: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000
    buses = { start = 0, end = 63 }
    mmio32 = { base = 0xc000_0000, size = "256M" }
    mmio64 = { base = 0x40_0000_0000, size = "64G" }

    [[root_complex.port]]
    name = "bay"
    slot = { number = 1, attention_button = true, power_controller = true, mrl_sensor = true, interlock = true }
    capabilities = { dpc = true }

    [root_complex.port.endpoint]
    name = "card"
    bar = [{ kind = "32", size = "64K" }]

    [[root_complex.port]]
    name = "empty"
    slot = 2

    [[root_complex.port]]
    name = "trunk"

    [root_complex.port.switch]
    name = "switch"

    [[root_complex.port.switch.port]]
    name = "leaf"

    [root_complex.port.switch.port.endpoint]
    name = "deep"
    bar = [{ kind = "32", size = "64K" }]

    [[root_complex.port]]
    name = "lit"
    slot = { number = 3, attention_indicator = true, power_indicator = true }
"#;

/// Registers by their place in config space: those of PCI Express by their offset in its capability (PCIe 6.2 sections 7.5.1 and 7.5.3).
const COMMAND: u16 = 0x04;
const BUS_NUMBERS: u16 = 0x18;
const MEMORY_WINDOW: u16 = 0x20;
const BAR0: u16 = 0x10;
const LINK_CONTROL: u16 = 0x10;
const SLOT_CONTROL: u16 = 0x18;
const SLOT_STATUS: u16 = 0x1a;
const EXPRESS: u32 = 0x10;
const MSI: u32 = 0x05;
const POWER_MANAGEMENT: u32 = 0x01;

struct Machine(Mutex<Hierarchy>);

impl Machine {
    fn new() -> Self {
        let topology = Topology::from_toml(MACHINE).unwrap();
        let mut hierarchy = topology
            .compose(&mut ExternallyManagedMmioIntercepts, None)
            .unwrap();
        let host_bridge = HostBridge::new(Apertures {
            buses: 0..=63,
            mmio32: 0xc000_0000..0xd000_0000,
            mmio64: Some(0x40_0000_0000..0x50_0000_0000),
            io: None,
        });
        let root = &mut hierarchy.complexes[0].root;
        pci_enumerate::enumerate(&mut EcamAccess::new(root, ECAM, 0..=63), &host_bridge).unwrap();
        let machine = Self(Mutex::new(hierarchy));
        // A driver has the slots: every event is enabled, and MSI.
        for port in ["bay", "empty"] {
            let msi = machine.capability(port, MSI);
            machine.write(port, msi + 2, Width::Word, 1);
            machine.slot_control(port, 0x102b);
        }
        machine
    }

    fn access<R>(
        &self,
        name: &str,
        f: impl FnOnce(&mut EcamAccess<'_>, pci_enumerate::Bdf) -> R,
    ) -> R {
        let mut hierarchy = self.0.lock();
        let named = hierarchy.functions();
        let bdf = named
            .iter()
            .find(|function| function.name == name)
            .unwrap()
            .bdf
            .unwrap();
        let root = &mut hierarchy.complexes[0].root;
        f(&mut EcamAccess::new(root, ECAM, 0..=63), bdf)
    }

    fn read(&self, name: &str, offset: u16, width: Width) -> u32 {
        self.access(name, |access, bdf| access.read(bdf, offset, width))
    }

    fn write(&self, name: &str, offset: u16, width: Width, value: u32) {
        self.access(name, |access, bdf| access.write(bdf, offset, width, value));
    }

    fn capability(&self, name: &str, id: u32) -> u16 {
        let mut at = self.read(name, 0x34, Width::Byte);
        while at != 0 {
            let offset = u16::try_from(at).unwrap();
            if self.read(name, offset, Width::Byte) == id {
                return offset;
            }
            at = self.read(name, offset + 1, Width::Byte);
        }
        panic!("{name} has no capability {id:#x}");
    }

    fn express(&self, name: &str, offset: u16, value: u32) {
        let at = self.capability(name, EXPRESS) + offset;
        self.write(name, at, Width::Word, value);
    }

    /// Writes Slot Control, and takes note of its completion.
    fn slot_control(&self, name: &str, value: u32) {
        self.express(name, SLOT_CONTROL, value);
        self.express(name, SLOT_STATUS, 0x10);
    }

    /// Codes of the problems or notes of a function, with what the first says.
    fn found(&self, name: &str, severity: Severity) -> (Vec<String>, String) {
        let topology = topology::read(&self.0);
        let findings = &topology.find(name).unwrap().findings;
        let mut found = findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .peekable();
        let says = found
            .peek()
            .map(|finding| finding.says.clone())
            .unwrap_or_default();
        (found.map(|finding| finding.code.clone()).collect(), says)
    }

    fn check(&self, name: &str, severity: Severity, codes: &[&str], says: &str) {
        let (found, first) = self.found(name, severity);
        assert_eq!(found, codes, "{name}: {first}");
        assert_eq!(first, says, "{name}");
    }

    fn problem(&self, name: &str, codes: &[&str], says: &str) {
        self.check(name, Severity::Problem, codes, says);
    }
}

fn endpoint(text: &str) -> EndpointSpec {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_machine_that_works_has_no_problem() {
    let machine = Machine::new();
    for function in topology::read(&machine.0).functions() {
        machine.problem(&function.name, &[], "");
    }
    machine.check(
        "card",
        Severity::Note,
        &["bus_master_disabled"],
        "Command: Bus Master Enable is 0: the function may make no DMA and no interrupts.",
    );
}

#[test]
fn what_the_slot_holds_back() {
    let machine = Machine::new();
    machine.slot_control("bay", 0x142b);
    machine.problem(
        "bay",
        &["power_off"],
        "Slot Control: Power Controller Control is 1: there is a card in the slot, and its power is off.",
    );
    let machine = Machine::new();
    machine.0.lock().power_fault("bay").unwrap();
    let (codes, says) = machine.found("bay", Severity::Problem);
    assert_eq!(
        (codes[0].as_str(), says.as_str()),
        ("power_fault", "Slot Status: Power Fault Detected is 1.")
    );
    let machine = Machine::new();
    machine.0.lock().set_mrl("bay", true).unwrap();
    let (codes, says) = machine.found("bay", Severity::Problem);
    assert_eq!(codes[0], "latch_open");
    assert_eq!(
        says,
        "Slot Status: MRL Sensor State is 1: the retention latch is open."
    );
    let topology = topology::read(&machine.0);
    let slot = topology.find("bay").unwrap().slot.clone().unwrap();
    assert_eq!(
        (slot.latch_open, slot.interlock_engaged),
        (Some(true), Some(false))
    );
}

#[test]
fn what_the_indicators_show() {
    let machine = Machine::new();
    let shown = || {
        let slot = topology::read(&machine.0).find("lit").unwrap().slot.clone();
        slot.map(|slot| (slot.attention_indicator, slot.power_indicator))
    };
    let words = |attention: &str, power: &str| Some((Some(attention.into()), Some(power.into())));
    assert_eq!(shown(), words("off", "on"));
    machine.slot_control("lit", 0x0240);
    assert_eq!(shown(), words("on", "blink"));
    let slot = topology::read(&machine.0).find("bay").unwrap().slot.clone();
    assert_eq!(
        slot.map(|slot| (slot.attention_indicator, slot.power_indicator)),
        Some((None, None))
    );
}

#[test]
fn what_keeps_the_link_down() {
    let machine = Machine::new();
    machine.express("bay", LINK_CONTROL, 0x10);
    machine.problem(
        "bay",
        &["link_disabled"],
        "Link Control: Link Disable is 1: nothing below the link is reached.",
    );
    let machine = Machine::new();
    // DPC triggers on ERR_FATAL where that is enabled: DPC Control is 6 into the capability.
    let dpc = machine.access("bay", |access, bdf| {
        let mut at = 0x100;
        loop {
            let header = access.read(bdf, at, Width::Dword);
            if header & 0xffff == 0x1d {
                break at;
            }
            at = u16::try_from(header >> 20).unwrap();
        }
    });
    machine.write("bay", dpc + 6, Width::Word, 1);
    let fatal = DetectedError::uncorrectable(UncorrectableErrorBit::DATA_LINK_PROTOCOL);
    machine.0.lock().record_error("bay", 0, fatal).unwrap();
    let (codes, says) = machine.found("bay", Severity::Problem);
    assert_eq!(codes[0], "contained", "{says}");
    assert_eq!(
        says,
        "DPC Status: DPC Trigger Status is 1: the link is held down because of an uncorrectable error of the port."
    );
}

#[test]
fn what_keeps_requests_from_the_device() {
    let machine = Machine::new();
    let at = machine.capability("bay", POWER_MANAGEMENT) + 4;
    machine.write("bay", at, Width::Word, 3);
    machine.problem(
        "bay",
        &["power_state"],
        "Power Management Control/Status: PowerState is D3hot: no request is forwarded to card.",
    );
    machine.check("empty", Severity::Note, &[], "");
    let machine = Machine::new();
    machine.write("bay", BUS_NUMBERS, Width::Dword, 0);
    machine.problem(
        "bay",
        &["no_bus_numbers"],
        "Secondary Bus Number is 0: no configuration request is forwarded to card, so the guest cannot find it.",
    );
    let machine = Machine::new();
    // One bus for the port, and none for what is behind the switch's own.
    let secondary = machine.read("trunk", BUS_NUMBERS + 1, Width::Byte);
    machine.write("switch", BUS_NUMBERS, Width::Dword, 0);
    machine.write("trunk", BUS_NUMBERS + 2, Width::Byte, secondary);
    machine.problem(
        "trunk",
        &["bus_numbers_short"],
        &format!("Secondary Bus Number is {secondary:02x} and Subordinate Bus Number {secondary:02x}: no number is left for the bus below switch."),
    );
    let machine = Machine::new();
    machine.write("trunk", BUS_NUMBERS + 2, Width::Byte, secondary);
    let (codes, says) = machine.found("trunk", Severity::Problem);
    assert_eq!(codes, ["bus_numbers_short"]);
    assert!(
        says.ends_with("below switch are not among these."),
        "{says}"
    );
}

#[test]
fn what_keeps_memory_from_the_device() {
    let machine = Machine::new();
    let card = r#"{ "name": "big", "bar": [{ "kind": "prefetchable", "size": "1G" }, { "kind": "32", "size": "4M" }] }"#;
    machine.0.lock().plug("empty", &endpoint(card)).unwrap();
    let (codes, says) = machine.found("empty", Severity::Problem);
    assert_eq!(codes, ["window_too_small"]);
    assert!(
        says.starts_with("The BARs of big ask for 4 MiB, and the port's memory window c0"),
        "{says}"
    );
    assert!(says.ends_with(" has 2 MiB."), "{says}");
    machine.check(
        "big",
        Severity::Note,
        &["bus_master_disabled", "no_address"],
        "Command: Bus Master Enable is 0: the function may make no DMA and no interrupts.",
    );
    // One that fits is no problem.
    let machine = Machine::new();
    let card = r#"{ "name": "small", "bar": [{ "kind": "prefetchable", "size": "32M" }, { "kind": "32", "size": "2M" }] }"#;
    machine.0.lock().plug("empty", &endpoint(card)).unwrap();
    machine.problem("empty", &[], "");

    let machine = Machine::new();
    machine.write("card", BAR0, Width::Dword, 0xcf00_0000);
    let (codes, says) = machine.found("bay", Severity::Problem);
    assert_eq!(codes, ["outside_window"]);
    assert!(
        says.starts_with("BAR 0 of card (64 KiB) at cf000000-cf00ffff lies outside the port's memory windows, which are c0"),
        "{says}"
    );
    let machine = Machine::new();
    // Memory Base and Memory Limit of the switch, from cfe00000 to cfefffff.
    machine.write("switch", MEMORY_WINDOW, Width::Dword, 0xcfe0_cfe0);
    let (codes, says) = machine.found("trunk", Severity::Problem);
    assert_eq!(codes, ["outside_window"]);
    assert!(
        says.starts_with("The window cfe00000-cfefffff of switch lies outside"),
        "{says}"
    );
    let machine = Machine::new();
    // Memory Space Enable is bit 1, Bus Master Enable bit 2.
    machine.write("bay", COMMAND, Width::Word, 4);
    machine.problem(
        "bay",
        &["memory_disabled"],
        "Command: Memory Space Enable is 0: no memory access gets past the port to card.",
    );
    machine.write("bay", COMMAND, Width::Word, 2);
    machine.problem(
        "bay",
        &["bus_master_disabled"],
        "Command: Bus Master Enable is 0: neither DMA nor interrupts of card get past the port.",
    );
    machine.write("card", COMMAND, Width::Word, 4);
    machine.check(
        "card",
        Severity::Note,
        &["memory_disabled"],
        "Command: Memory Space Enable is 0: the function answers no memory access.",
    );
}

#[test]
fn what_keeps_the_guest_from_being_told() {
    let plugged = || {
        let machine = Machine::new();
        machine
            .0
            .lock()
            .plug("empty", &EndpointSpec::new("new"))
            .unwrap();
        machine
    };
    const PENDING: &str =
        "Slot Status: Presence Detect Changed, Data Link Layer State Changed pending";
    // The guest was told, and nobody answers here.
    let machine = plugged();
    machine.problem("empty", &[], "");
    machine.check(
        "empty",
        Severity::Note,
        &["event_pending"],
        &format!("{PENDING}."),
    );
    machine.slot_control("empty", 0x1008);
    machine.problem(
        "empty",
        &["interrupt_disabled"],
        &format!("{PENDING}, but Slot Control: Hot-Plug Interrupt Enable is 0: nobody is told."),
    );
    machine.slot_control("empty", 0x0020);
    machine.problem(
        "empty",
        &["event_disabled"],
        &format!("{PENDING}, but the enable bit in Slot Control is 0: nobody is told."),
    );
    let machine = plugged();
    let msi = machine.capability("empty", MSI);
    machine.write("empty", msi + 2, Width::Word, 0);
    machine.problem(
        "empty",
        &["interrupt_blocked"],
        &format!(
            "{} and enabled, but MSI Enable is 0: the interrupt cannot leave the port.",
            PENDING
        ),
    );
    // Nothing is pending: that nobody listens is worth a note.
    let machine = Machine::new();
    machine.slot_control("empty", 0);
    machine.check(
        "empty",
        Severity::Note,
        &["interrupt_disabled"],
        "Slot Control: Hot-Plug Interrupt Enable is 0: nobody will be told of a card that comes or goes.",
    );
}

#[test]
fn rules_are_named_once_and_say_what_to_do() {
    for (index, rule) in RULES.iter().enumerate() {
        let same = |other: &&inspect_service::topology::Rule| {
            other.code == rule.code || other.badge == rule.badge
        };
        assert_eq!(
            RULES.iter().position(|other| same(&other)),
            Some(index),
            "{}",
            rule.code
        );
        assert!(
            rule.cure.ends_with('.') && rule.badge.len() <= 20,
            "{}",
            rule.code
        );
    }
}

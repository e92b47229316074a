//! Errors as an operating system's AER and DPC drivers meet them: enable, look at Root Error Status and Error Source, clear, release.

use crate::machine::Machine;
use pci_core::spec::caps::aer::CorrectableErrors;
use pci_core::spec::caps::aer::UncorrectableErrorBit;
use pci_core::spec::errors::DetectedError;
use proptest::prelude::*;
use vmcore::save_restore::ProtobufSaveRestore;

/// Buses: rp0 leads to 1 (sw0), 2 (inside), 3 (ep0); rp1 to 4 (ep1); rp2 to 5 (ep2); rp3 to 6 (ep3).
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
    port = [{ name = "dsp0", capabilities = { dpc = true }, endpoint = { name = "ep0", functions = 2 } }]

    [[root_complex.port]]
    name = "rp1"
    capabilities = { dpc = true }
    endpoint = { name = "ep1", msi = { vectors = 1 } }

    [[root_complex.port]]
    name = "rp2"
    slot = { number = 1, attention_button = true, power_controller = true, power_indicator = true }
    endpoint = { name = "ep2" }

    [[root_complex.port]]
    name = "rp3"
    slot = 2
    endpoint = { name = "ep3", capabilities = { error_reporting = false } }
"#;

const RP0: u16 = 0x0000;
const RP1: u16 = 0x0008;
const RP2: u16 = 0x0010;
const DSP0: u16 = 0x0200;
const EP0: u16 = 0x0300;
const EP1: u16 = 0x0400;
const INTEGRATED0: u16 = 0x0020;
const COLLECTOR0: u16 = 0x00f8;

// Offsets in AER.
const UE_STATUS: u64 = 0x04;
const UE_MASK: u64 = 0x08;
const UE_SEVERITY: u64 = 0x0c;
const CE_STATUS: u64 = 0x10;
const CE_MASK: u64 = 0x14;
const CONTROL: u64 = 0x18;
const HEADER_LOG: u64 = 0x1c;
const ROOT_COMMAND: u64 = 0x2c;
const ROOT_STATUS: u64 = 0x30;
const ERROR_SOURCE: u64 = 0x34;
// Offsets in DPC.
const DPC_CONTROL: u64 = 0x06;
const DPC_STATUS: u64 = 0x08;

const BAD_TLP: DetectedError =
    DetectedError::Correctable(CorrectableErrors::new().with_bad_tlp(true));
const UNSUPPORTED_REQUEST: u32 = 1 << 20;
const MALFORMED_TLP: u32 = 1 << 18;

fn error(bit: UncorrectableErrorBit, header: u32) -> DetectedError {
    DetectedError::Uncorrectable {
        bit,
        advisory: false,
        header: Some([header; 4]),
    }
}

fn unsupported(header: u32) -> DetectedError {
    error(UncorrectableErrorBit::UNSUPPORTED_REQUEST, header)
}

fn malformed(header: u32) -> DetectedError {
    error(UncorrectableErrorBit::MALFORMED_TLP, header)
}

const NAMES: [&str; 11] = [
    "rp0",
    "sw0",
    "dsp0",
    "ep0",
    "rp1",
    "ep1",
    "rp2",
    "ep2",
    "rp3",
    "integrated0",
    "collector0",
];

/// The machine with buses numbered, before a driver came.
fn machine() -> Machine {
    let mut machine = Machine::from_toml(TOPOLOGY);
    machine.number_buses();
    machine
}

/// The machine as the drivers leave it when they start.
fn driven() -> Machine {
    let mut machine = machine();
    for name in NAMES {
        machine.report_errors(name);
    }
    for name in ["rp0", "rp1", "rp2", "collector0"] {
        machine.root_driver(name);
    }
    machine
}

trait Drivers {
    fn aer(&mut self, name: &str, nth: usize) -> u64;
    fn aer_register(&mut self, name: &str, nth: usize, offset: u64) -> u32;
    fn set_aer(&mut self, name: &str, nth: usize, offset: u64, value: u32);
    fn dpc(&mut self, name: &str) -> u64;
    fn report_errors(&mut self, name: &str);
    fn root_driver(&mut self, name: &str);
    fn root_errors(&mut self, name: &str) -> (u32, u32);
    fn device_status(&mut self, name: &str, nth: usize) -> u32;
    fn detect(&mut self, name: &str, function: u8, error: DetectedError);
    fn interrupted(&mut self) -> Vec<u32>;
}

impl Drivers for Machine {
    fn aer(&mut self, name: &str, nth: usize) -> u64 {
        let mut found = self.extended_capabilities(name, nth).into_iter();
        found.find(|(id, _)| *id == 0x01).unwrap().1
    }

    fn aer_register(&mut self, name: &str, nth: usize, offset: u64) -> u32 {
        let at = self.aer(name, nth) + offset;
        self.config(name, nth, at)
    }

    fn set_aer(&mut self, name: &str, nth: usize, offset: u64, value: u32) {
        let at = self.aer(name, nth) + offset;
        self.set_config(name, nth, at, &value.to_le_bytes());
    }

    fn dpc(&mut self, name: &str) -> u64 {
        let mut found = self.extended_capabilities(name, 0).into_iter();
        found.find(|(id, _)| *id == 0x1d).unwrap().1
    }

    /// All four enables of Device Control in all functions, and SERR# Enable in Bridge Control.
    fn report_errors(&mut self, name: &str) {
        let functions = self.hierarchy.functions();
        for nth in 0..functions.iter().filter(|f| f.name == name).count() {
            let pcie = self.capability(name, nth, 0x10).unwrap();
            self.set_config(name, nth, pcie + 8, &[0x0f]);
        }
        if self.config(name, 0, 0x0c) >> 16 & 0x7f == 1 {
            self.set_config(name, 0, 0x3e, &[0x02]);
        }
    }

    /// Takes the root port's or collector's errors by MSI, each with its own data.
    fn root_driver(&mut self, name: &str) {
        let msi = self.capability(name, 0, 0x05).unwrap();
        self.set_config(name, 0, msi + 4, &0xfee0_0000u32.to_le_bytes());
        self.set_config(name, 0, msi + 0xc, &[0x40, 0]);
        self.set_config(name, 0, msi + 2, &[1, 0]);
        self.set_aer(name, 0, ROOT_STATUS, !0);
        self.set_aer(name, 0, ROOT_COMMAND, 7);
    }

    /// Root Error Status, which is cleared, and Error Source.
    fn root_errors(&mut self, name: &str) -> (u32, u32) {
        let status = self.aer_register(name, 0, ROOT_STATUS);
        let source = self.aer_register(name, 0, ERROR_SOURCE);
        self.set_aer(name, 0, ROOT_STATUS, status);
        (status, source)
    }

    fn device_status(&mut self, name: &str, nth: usize) -> u32 {
        let pcie = self.capability(name, nth, 0x10).unwrap();
        self.config(name, nth, pcie + 8) >> 16
    }

    fn detect(&mut self, name: &str, function: u8, error: DetectedError) {
        self.hierarchy.record_error(name, function, error).unwrap();
    }

    /// Who interrupted since the last look.
    fn interrupted(&mut self) -> Vec<u32> {
        let interrupts = self.interrupts.take();
        interrupts.iter().map(|(source, ..)| *source).collect()
    }
}

fn source(correctable: u16, uncorrectable: u16) -> u32 {
    u32::from(correctable) | u32::from(uncorrectable) << 16
}

#[test]
fn a_correctable_error_travels_up_to_the_root_port() {
    let mut machine = driven();
    machine.detect("ep0", 1, BAD_TLP);
    assert_eq!(machine.interrupted(), [u32::from(RP0)]);
    assert_eq!(machine.aer_register("ep0", 1, CE_STATUS), 0x40);
    assert_eq!(machine.device_status("ep0", 1), 0x1);
    assert_eq!(machine.aer_register("ep0", 0, CE_STATUS), 0);
    assert_eq!(machine.root_errors("rp0"), (0x1, source(EP0 + 1, 0)));
    assert_eq!(machine.root_errors("rp1").0, 0);

    // Not cleared at the source, reported again all the same; the second is told from the first.
    machine.detect("ep0", 1, BAD_TLP);
    machine.detect("ep0", 0, BAD_TLP);
    assert_eq!(machine.interrupted(), [u32::from(RP0)], "one edge");
    assert_eq!(machine.root_errors("rp0"), (0x3, source(EP0 + 1, 0)));
}

#[test]
fn severity_decides_the_message_and_the_first_error_keeps_the_log() {
    let mut machine = driven();
    machine.detect("ep1", 0, unsupported(0x1111));
    assert_eq!(machine.root_errors("rp1"), (0x24, source(0, EP1)));
    machine.detect("ep1", 0, malformed(0x2222));
    // Non-Fatal Error Detected, Fatal Error Detected, Unsupported Request Detected.
    assert_eq!(machine.device_status("ep1", 0), 0xe);
    assert_eq!(
        machine.aer_register("ep1", 0, UE_STATUS),
        UNSUPPORTED_REQUEST | MALFORMED_TLP
    );
    assert_eq!(machine.aer_register("ep1", 0, CONTROL) & 0x1f, 20);
    assert_eq!(machine.aer_register("ep1", 0, HEADER_LOG), 0x1111);
    // Header Log Overflow is masked.
    assert_eq!(machine.root_errors("rp1"), (0x54, source(0, EP1)));
    // Received System Error in Secondary Status.
    assert_ne!(machine.config("rp1", 0, 0x1c) & 0x4000_0000, 0);

    machine.set_aer("ep1", 0, UE_STATUS, !0);
    machine.set_aer("ep1", 0, UE_SEVERITY, UNSUPPORTED_REQUEST);
    machine.detect("ep1", 0, malformed(0x3333));
    assert_eq!(machine.aer_register("ep1", 0, HEADER_LOG), 0x3333);
    machine.detect("ep1", 0, unsupported(0));
    assert_eq!(
        machine.root_errors("rp1").0 & 0x7e,
        0x6c,
        "first non-fatal, then fatal"
    );
}

#[test]
fn a_masked_error_is_logged_and_nobody_hears_of_it() {
    let mut machine = driven();
    machine.set_aer("ep1", 0, UE_MASK, UNSUPPORTED_REQUEST);
    machine.set_aer("ep1", 0, CE_MASK, 0x40);
    machine.detect("ep1", 0, unsupported(1));
    machine.detect("ep1", 0, BAD_TLP);
    assert_eq!(
        machine.aer_register("ep1", 0, UE_STATUS),
        UNSUPPORTED_REQUEST
    );
    assert_eq!(machine.aer_register("ep1", 0, CE_STATUS), 0x40);
    assert_eq!(machine.aer_register("ep1", 0, HEADER_LOG), 0);
    assert_eq!(machine.device_status("ep1", 0), 0xb);
    assert_eq!(machine.root_errors("rp1").0, 0);
    assert!(machine.interrupted().is_empty());
}

#[test]
fn an_advisory_error_is_silent_until_software_asks_for_it() {
    let advisory = DetectedError::Uncorrectable {
        bit: UncorrectableErrorBit::UNSUPPORTED_REQUEST,
        advisory: true,
        header: None,
    };
    let mut machine = driven();
    machine.detect("ep1", 0, advisory);
    // Correctable Error Detected and Unsupported Request Detected; Advisory Non-Fatal Error, masked.
    assert_eq!(machine.device_status("ep1", 0), 0x9);
    assert_eq!(machine.aer_register("ep1", 0, CE_STATUS), 0x2000);
    assert_eq!(machine.aer_register("ep1", 0, UE_STATUS), 0);
    assert_eq!(machine.root_errors("rp1").0, 0);
    machine.set_aer("ep1", 0, CE_MASK, 0);
    machine.detect("ep1", 0, advisory);
    assert_eq!(
        machine.aer_register("ep1", 0, UE_STATUS),
        UNSUPPORTED_REQUEST
    );
    assert_eq!(machine.root_errors("rp1"), (0x1, source(EP1, 0)));
}

/// Each level has its say: the enables of the function itself, and Bridge Control of each port above.
#[test]
fn every_level_can_keep_a_message() {
    let reached = |machine: &mut Machine| {
        machine.detect("ep0", 0, BAD_TLP);
        machine.detect("ep0", 0, unsupported(0));
        let (status, _) = machine.root_errors("rp0");
        (status & 1 != 0, status & 4 != 0)
    };
    assert_eq!(reached(&mut driven()), (true, true));
    for bridge in ["dsp0", "sw0", "rp0"] {
        let mut machine = driven();
        machine.set_config(bridge, 0, 0x3e, &[0]);
        assert_eq!(reached(&mut machine), (false, false), "{bridge}");
        // It was received: Received System Error.
        assert_ne!(machine.config(bridge, 0, 0x1c) & 0x4000_0000, 0, "{bridge}");
    }
    for (control, expected) in [
        (0x0, (false, false)),
        (0x1, (true, false)),
        (0x2, (false, false)),
        (0xa, (false, true)),
    ] {
        let mut machine = driven();
        let pcie = machine.capability("ep0", 0, 0x10).unwrap();
        machine.set_config("ep0", 0, pcie + 8, &[control]);
        assert_eq!(reached(&mut machine), expected, "{control:#x}");
    }
    // SERR# Enable does instead of the enables for uncorrectable errors, and then Signaled System Error tells.
    let mut machine = driven();
    let pcie = machine.capability("ep0", 0, 0x10).unwrap();
    machine.set_config("ep0", 0, pcie + 8, &[0]);
    machine.set_config("ep0", 0, 0x04, &[0x06, 0x01]);
    assert_eq!(reached(&mut machine), (false, true));
    assert_ne!(machine.config("ep0", 0, 0x04) & 0x4000_0000, 0);
    // A switch forwards uncorrectable errors if either of its enables is set.
    let mut machine = driven();
    let pcie = machine.capability("sw0", 0, 0x10).unwrap();
    machine.set_config("sw0", 0, pcie + 8, &[0]);
    assert_eq!(reached(&mut machine), (true, false));
    machine.set_config("sw0", 0, 0x04, &[0x06, 0x01]);
    assert_eq!(reached(&mut machine), (true, true));
}

#[test]
fn ports_report_their_own_errors() {
    let mut machine = driven();
    for (name, port, from) in [
        ("rp0", "rp0", RP0),
        ("sw0", "rp0", 0x0100),
        ("dsp0", "rp0", DSP0),
        ("rp1", "rp1", RP1),
    ] {
        machine.detect(name, 0, malformed(7));
        assert_eq!(machine.root_errors(port), (0x54, source(0, from)), "{name}");
        assert_eq!(machine.interrupted().len(), 1, "{name}");
    }
}

#[test]
fn integrated_endpoints_report_to_the_collector() {
    let mut machine = driven();
    assert_eq!(machine.config("collector0", 0, 8) >> 8, 0x08_0700);
    let mut found = machine.extended_capabilities("collector0", 0).into_iter();
    let (_, association) = found.find(|(id, _)| *id == 0x07).unwrap();
    assert_eq!(machine.config("collector0", 0, association + 4), 1 << 4);
    machine.detect("integrated0", 0, unsupported(1));
    assert_eq!(machine.interrupted(), [u32::from(COLLECTOR0)]);
    assert_eq!(
        machine.root_errors("collector0"),
        (0x24, source(0, INTEGRATED0))
    );
    machine.detect("collector0", 0, BAD_TLP);
    assert_eq!(
        machine.root_errors("collector0"),
        (0x1, source(COLLECTOR0, INTEGRATED0))
    );
}

/// Trigger enable (ERR_NONFATAL or ERR_FATAL), interrupt enable.
fn enable_containment(machine: &mut Machine, port: &str, control: u8) {
    let dpc = machine.dpc(port);
    machine.set_config(port, 0, dpc + DPC_CONTROL, &[control, 0]);
}

#[test]
fn containment_takes_the_link_down_until_it_is_released() {
    let mut machine = driven();
    machine.root_driver_of_switch("dsp0");
    enable_containment(&mut machine, "dsp0", 0x0a);
    let dpc = machine.dpc("dsp0");
    machine.detect("ep0", 1, unsupported(0xabcd));
    // Triggered by ERR_NONFATAL, interrupt; from ep0's function 1.
    assert_eq!(
        machine.config("dsp0", 0, dpc + DPC_STATUS),
        u32::from(EP0 + 1) << 16 | 0x0b
    );
    assert_eq!(machine.interrupted(), [u32::from(DSP0)]);
    assert_eq!(machine.root_errors("rp0").0, 0, "the message was discarded");
    let pcie = machine.capability("dsp0", 0, 0x10).unwrap();
    let active = |machine: &mut Machine| machine.config("dsp0", 0, pcie + 0x10) >> 29 & 1;
    assert_eq!((active(&mut machine), machine.config("ep0", 0, 0)), (0, !0));

    // Another error is contained with the rest, and says nothing.
    machine.detect("ep0", 0, malformed(1));
    assert_eq!(machine.root_errors("rp0").0, 0);

    machine.set_config("dsp0", 0, dpc + DPC_STATUS, &[0x09]);
    assert_eq!(active(&mut machine), 1);
    assert_eq!(machine.config("ep0", 0, 0), 0xc1e0_1414);
    assert_eq!(machine.config("dsp0", 0, dpc + DPC_STATUS) & 0x9, 0);
    // The link's reset reset the endpoint: enables are gone, what AER had latched is not.
    assert_eq!(
        machine.aer_register("ep0", 1, UE_STATUS),
        UNSUPPORTED_REQUEST
    );
    assert_eq!(machine.aer_register("ep0", 1, HEADER_LOG), 0xabcd);
    let pcie = machine.capability("ep0", 1, 0x10).unwrap();
    assert_eq!(machine.config("ep0", 1, pcie + 8) & 0xf, 0);

    let kinds: Vec<_> = machine.hierarchy.events().since(0);
    let told: Vec<_> = kinds
        .iter()
        .filter(|event| &*event.name == "dsp0" || &*event.name == "ep0")
        .map(ToString::to_string)
        .filter(|event| !event.contains("below"))
        .collect();
    assert_eq!(
        told,
        [
            "ep0: uncorrectable error: UNSUPPORTED_REQUEST (injected)",
            "dsp0: containment triggered (ERR_NONFATAL_RECEIVED)",
            "dsp0: link down",
            "dsp0: hot reset (link went down)",
            "ep0: uncorrectable error: MALFORMED_TLP (injected)",
            "dsp0: containment released",
            "dsp0: link up: 32 GT/s x16",
        ]
    );
}

#[test]
fn an_error_of_the_port_itself_is_contained_and_not_reported_besides() {
    let mut machine = driven();
    // Fatal only, ERR_COR when triggered.
    enable_containment(&mut machine, "rp1", 0x11);
    machine.detect("ep1", 0, unsupported(1));
    assert_eq!(
        machine.root_errors("rp1"),
        (0x24, source(0, EP1)),
        "not fatal"
    );
    machine.detect("rp1", 0, malformed(1));
    assert_eq!(machine.config("ep1", 0, 0), !0);
    assert_eq!(machine.root_errors("rp1"), (0x1, source(RP1, EP1)));
    assert_eq!(machine.aer_register("rp1", 0, UE_STATUS), MALFORMED_TLP);
}

#[test]
fn software_triggers_containment() {
    let mut machine = driven();
    enable_containment(&mut machine, "dsp0", 0x11);
    let dpc = machine.dpc("dsp0");
    machine.set_config("dsp0", 0, dpc + DPC_CONTROL, &[0x51, 0]);
    assert_eq!(machine.config("ep0", 0, 0), !0);
    assert_eq!(machine.root_errors("rp0"), (0x1, source(DSP0, 0)));
    // A cold reset ends it.
    let rc = &mut machine.hierarchy.complexes[0].root;
    pollster(vmcore::device_state::ChangeDeviceState::reset(rc));
    machine.number_buses();
    assert_eq!(machine.config("ep0", 0, 0), 0xc1e0_1414);
}

/// Resets are done when first polled.
fn pollster(future: impl Future<Output = ()>) {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn a_card_that_is_pulled_is_an_error_unless_the_slot_expects_surprises() {
    let mut machine = driven();
    machine.hierarchy.unplug("rp2").unwrap();
    assert_eq!(machine.aer_register("rp2", 0, UE_STATUS), 1 << 5);
    assert_eq!(machine.interrupted(), [u32::from(RP2)]);
    assert_eq!(machine.root_errors("rp2"), (0x54, source(0, RP2)));
    machine.hierarchy.unplug("rp3").unwrap();
    assert_eq!(machine.aer_register("rp3", 0, UE_STATUS), 0);

    // In order: power off first.
    let mut machine = driven();
    let pcie = machine.capability("rp2", 0, 0x10).unwrap();
    machine.set_config("rp2", 0, pcie + 0x18, &[0x00, 0x07]);
    machine.hierarchy.unplug("rp2").unwrap();
    assert_eq!(machine.aer_register("rp2", 0, UE_STATUS), 0);
    let last = machine.hierarchy.events().since(0).pop().unwrap();
    assert_eq!(last.to_string(), "rp2: unplugged (ep2)");
}

#[test]
fn asking_for_what_is_not_there_is_no_error() {
    let mut machine = driven();
    machine.hierarchy.unplug("rp3").unwrap();
    machine.interrupts.take();
    for device in 0..32 {
        for bus in [0, 1, 2, 3, 4, 6, 9] {
            machine
                .read(0, 0xe000_0000 + (bus << 20) + (device << 15), 4)
                .unwrap();
        }
    }
    for name in ["rp0", "rp1", "rp3"] {
        assert_eq!(machine.device_status(name, 0), 0, "{name}");
        assert_eq!(machine.aer_register(name, 0, ROOT_STATUS), 0, "{name}");
    }
    assert!(machine.interrupted().is_empty());
    let counter = inspect::inspect(
        "rc0/functions/rp3/station/unsupported_requests",
        &mut machine.hierarchy,
    );
    assert_eq!(counter.results().to_string(), "32");
}

#[test]
fn latched_errors_and_containment_are_saved() {
    let mut source_machine = driven();
    enable_containment(&mut source_machine, "dsp0", 0x0a);
    source_machine.detect("ep0", 1, unsupported(0xabcd));
    source_machine.detect("ep1", 0, malformed(0x77));
    let state = ProtobufSaveRestore::save(&mut source_machine.hierarchy.complexes[0].root).unwrap();

    let mut target = Machine::from_toml(TOPOLOGY);
    ProtobufSaveRestore::restore(&mut target.hierarchy.complexes[0].root, state).unwrap();
    assert!(target.interrupted().is_empty(), "they were told before");
    assert_eq!(target.config("ep0", 0, 0), !0, "still contained");
    assert_eq!(target.aer_register("ep1", 0, HEADER_LOG), 0x77);
    assert_eq!(target.root_errors("rp1"), (0x54, source(0, EP1)));
    let dpc = target.dpc("dsp0");
    target.set_config("dsp0", 0, dpc + DPC_STATUS, &[0x09]);
    assert_eq!(target.aer_register("ep0", 1, HEADER_LOG), 0xabcd);
    target.detect("ep1", 0, malformed(0));
    assert_eq!(target.interrupted(), [u32::from(RP1)]);
}

#[test]
fn what_takes_no_errors_says_so() {
    let mut machine = driven();
    let mut refused = |name: &str, function| {
        let result = machine.hierarchy.record_error(name, function, BAD_TLP);
        result.unwrap_err().to_string()
    };
    assert_eq!(refused("ep9", 0), "no port or device is named 'ep9'");
    assert_eq!(refused("ep0", 2), "'ep0' has no function 2");
    assert_eq!(refused("rp0", 1), "'rp0' has no function 1");
    assert_eq!(refused("ep3", 0), "'ep3' has no Advanced Error Reporting");
}

#[test]
fn what_sleeps_does_not_answer_and_keeps_its_state() {
    let mut machine = Machine::from_toml(
        r#"
        [[root_complex]]
        name = "rc0"
        ecam = 0xe000_0000
        port = [{ name = "rp0", switch = { name = "sw0", port = [
            { name = "dsp0", endpoint = { name = "ep0", bar = [{ kind = "64", size = "4K" }] } },
        ] } }]
    "#,
    );
    machine.number_buses();
    machine.place_bar("ep0", 0, 0, 0x1_0000_0000);
    machine.write(0, 0x1_0000_0000, 7, 4).unwrap();
    let pm = machine.capability("ep0", 0, 0x01).unwrap();
    machine.set_config("ep0", 0, pm + 4, &[3]);
    assert!(machine.read(0, 0x1_0000_0000, 4).is_err());
    assert!(machine.write(0, 0x1_0000_0000, 9, 4).is_err());
    machine.set_config("ep0", 0, pm + 4, &[0]);
    assert_eq!(machine.read(0, 0x1_0000_0000, 4), Ok(7));
    // A port that sleeps forwards nothing; its link stays up, and nothing below is reset.
    for (port, below) in [("rp0", "sw0"), ("sw0", "dsp0"), ("dsp0", "ep0")] {
        let pm = machine.capability(port, 0, 0x01).unwrap();
        machine.set_config(port, 0, pm + 4, &[3]);
        assert_eq!(machine.config(below, 0, 0), !0, "{port}");
        assert_eq!(machine.config("ep0", 0, 0), !0, "{port}");
        assert!(machine.read(0, 0x1_0000_0000, 4).is_err(), "{port}");
        machine.set_config(port, 0, pm + 4, &[0]);
        assert_eq!(machine.read(0, 0x1_0000_0000, 4), Ok(7), "{port}");
    }
}

trait SwitchDriver {
    fn root_driver_of_switch(&mut self, name: &str);
}

impl SwitchDriver for Machine {
    /// Turns on MSI of a switch's port.
    fn root_driver_of_switch(&mut self, name: &str) {
        let msi = self.capability(name, 0, 0x05).unwrap();
        self.set_config(name, 0, msi + 4, &0xfee0_0000u32.to_le_bytes());
        self.set_config(name, 0, msi + 0xc, &[0x41, 0]);
        self.set_config(name, 0, msi + 2, &[1, 0]);
    }
}

/// What a driver and the hardware do to one endpoint.
#[derive(Clone, Debug)]
enum Step {
    Error(u8),
    Correctable(u32),
    Mask(u32),
    Severity(u32),
    Clear(u32),
    ClearCorrectable(u32),
    HotReset,
}

/// Uncorrectable errors that an endpoint has.
const UNCORRECTABLE: [u8; 5] = [12, 14, 18, 20, 21];
const CORRECTABLE: u32 = 0x11c1;

fn step() -> impl Strategy<Value = Step> {
    let bits = proptest::sample::subsequence(UNCORRECTABLE.to_vec(), 0..=5)
        .prop_map(|bits| bits.into_iter().fold(0, |mask, bit| mask | 1u32 << bit));
    prop_oneof![
        4 => proptest::sample::select(UNCORRECTABLE.to_vec()).prop_map(Step::Error),
        2 => any::<u32>().prop_map(|bits| Step::Correctable(bits & CORRECTABLE)),
        1 => bits.clone().prop_map(Step::Mask),
        1 => bits.clone().prop_map(Step::Severity),
        2 => bits.prop_map(Step::Clear),
        1 => any::<u32>().prop_map(|bits| Step::ClearCorrectable(bits & CORRECTABLE)),
        1 => Just(Step::HotReset),
    ]
}

proptest! {
    /// No error is lost: a status bit stays until software clears it, masked or not, through resets of the link; and the root port
    /// hears of each that is not masked.
    #[test]
    fn no_error_is_lost(steps in proptest::collection::vec(step(), 1..40)) {
        let mut machine = driven();
        let (mut uncorrectable, mut correctable, mut mask) = (0u32, 0u32, 0u32);
        for step in steps {
            let mut heard = None;
            match step {
                Step::Error(bit) => {
                    machine.detect("ep1", 0, error(UncorrectableErrorBit(bit), 1));
                    uncorrectable |= 1 << bit;
                    heard = Some(mask & (1 << bit) == 0);
                }
                Step::Correctable(bits) => {
                    let errors = CorrectableErrors::from_bits(bits);
                    machine.detect("ep1", 0, DetectedError::Correctable(errors));
                    correctable |= bits;
                }
                Step::Mask(bits) => {
                    mask = bits;
                    machine.set_aer("ep1", 0, UE_MASK, bits);
                }
                Step::Severity(bits) => machine.set_aer("ep1", 0, UE_SEVERITY, bits),
                Step::Clear(bits) => {
                    machine.set_aer("ep1", 0, UE_STATUS, bits);
                    uncorrectable &= !bits;
                }
                Step::ClearCorrectable(bits) => {
                    machine.set_aer("ep1", 0, CE_STATUS, bits);
                    correctable &= !bits;
                }
                Step::HotReset => {
                    machine.set_config("rp1", 0, 0x3e, &[0x42]);
                    machine.set_config("rp1", 0, 0x3e, &[0x02]);
                    machine.report_errors("ep1");
                }
            }
            prop_assert_eq!(machine.aer_register("ep1", 0, UE_STATUS), uncorrectable);
            // A header that found no room is an error of its own.
            prop_assert_eq!(machine.aer_register("ep1", 0, CE_STATUS) & CORRECTABLE, correctable);
            let (status, from) = machine.root_errors("rp1");
            prop_assert_eq!(heard.unwrap_or(false), status & 0x4 != 0);
            if heard == Some(true) {
                prop_assert_eq!(from >> 16, u32::from(EP1));
            }
        }
    }
}

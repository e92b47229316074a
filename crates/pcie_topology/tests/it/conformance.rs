//! Every function of rich hierarchies, as a validation engineer reads it: from its capabilities follows which bits software can write.

use crate::machine::DEMO;
use crate::machine::Machine;

/// Ports and endpoints of every type, with every capability and with none.
const RICH: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000
    buses = { start = 0, end = 31 }
    endpoint = [{ name = "integrated0", msi = { vectors = 4 } }]
    event_collector = { name = "collector0", device = 31 }

    [[root_complex.port]]
    name = "rp0"
    ari_forwarding = true
    link = { speed = "64GT/s", width = 16 }
    capabilities = { dpc = true, ltr = true, l1_pm_substates = true, ptm = true, virtual_channel = true }

    [root_complex.port.switch]
    name = "sw0"
    capabilities = { dpc = false, ltr = true, l1_pm_substates = true, ptm = true, virtual_channel = true }

    [[root_complex.port.switch.port]]
    name = "dsp0"
    ari_forwarding = true
    slot = { number = 2, attention_button = true, power_controller = true, attention_indicator = true, power_indicator = true }
    capabilities = { dpc = true, ltr = true, l1_pm_substates = true }
    [root_complex.port.switch.port.endpoint]
    name = "ep0"
    functions = 9
    msix = { vectors = 33 }
    bar = [{ kind = "64", size = "128K" }]
    capabilities = { ltr = true, l1_pm_substates = true, ptm = true, virtual_channel = true }

    [[root_complex.port]]
    name = "rp1"
    link = { speed = "2.5GT/s", width = 1 }
    endpoint = { name = "ep1", link = { speed = "2.5GT/s", width = 1 }, intx = "B" }

    [[root_complex.port]]
    name = "rp2"
    slot = 7
    link = { speed = "8GT/s", width = 4 }

    [[root_complex.port]]
    name = "rp3"
    capabilities = { power_management = false, error_reporting = false, physical_layer = false }
    endpoint = { name = "ep3", capabilities = { power_management = false, error_reporting = false, physical_layer = false } }
"#;

/// One function, and what breaks a rule.
struct Function<'a> {
    machine: &'a mut Machine,
    name: String,
    nth: usize,
    findings: &'a mut Vec<String>,
}

impl Function<'_> {
    fn read(&mut self, offset: u64) -> u32 {
        self.machine.config(&self.name, self.nth, offset)
    }

    fn half(&mut self, offset: u64) -> u32 {
        self.read(offset & !3) >> (offset % 4 * 8) & 0xffff
    }

    /// The bits of a register of two bytes that read one after all of `written` were written; it is put back.
    fn sticks(&mut self, offset: u64, written: u16) -> u32 {
        let before = self.half(offset);
        let mut set = |value: u16| {
            let bytes = value.to_le_bytes();
            self.machine
                .set_config(&self.name, self.nth, offset, &bytes);
        };
        set(written);
        let stuck = self.half(offset);
        let bytes = u16::try_from(before).unwrap().to_le_bytes();
        self.machine
            .set_config(&self.name, self.nth, offset, &bytes);
        stuck
    }

    fn expect(&mut self, what: &str, expected: u32, found: u32) {
        if expected != found {
            let (name, nth) = (&self.name, self.nth);
            self.findings.push(format!(
                "{name}.{nth}: {what}: {found:#x}, not {expected:#x}"
            ));
        }
    }

    fn header(&mut self) {
        let bits = self.sticks(0x04, u16::MAX);
        self.expect("Command, all ones (7.5.1.1.3)", 0x0547, bits);
        let bits = self.sticks(0x0c, u16::MAX);
        self.expect("Cache Line Size and Latency Timer (7.5.1.1.7)", 0xff, bits);
        let status = self.half(0x06);
        self.expect("Capabilities List (7.5.1.1.4)", 0x10, status & 0x10);
        let bits = self.sticks(0x3c, u16::MAX);
        self.expect("Interrupt Line (7.5.1.1.12)", 0xff, bits & 0xff);
        let bridge = self.read(0x0c) >> 16 & 0x7f == 1;
        // Bridge Control without Secondary Bus Reset, which resets what is below; Min_Gnt and Max_Lat.
        let bits = self.sticks(0x3e, !0x40);
        self.expect(
            "0x3e, all ones (7.5.1.2.5, 7.5.1.3.13)",
            if bridge { 0x1f } else { 0 },
            bits,
        );
    }

    /// IDs and offsets of the capabilities, which end, lie at multiples of 4 and do not overlap.
    fn legacy(&mut self) -> Vec<(u32, u64)> {
        let mut found = Vec::new();
        let mut at = u64::from(self.read(0x34) & 0xff);
        let mut free = 0x40;
        while at != 0 && found.len() < 48 {
            let id = self.read(0);
            assert!(
                at % 4 == 0,
                "{}.{}: capability at {at:#x} of {id:#x}",
                self.name,
                self.nth
            );
            let header = self.read(at);
            let control = header >> 16;
            self.expect(
                "start of a capability",
                0,
                u32::from(at % 4 != 0 || at < free),
            );
            free = at
                + match header & 0xff {
                    0x01 => 8,
                    0x05 => 12 + u64::from(control >> 7 & 1) * 4 + u64::from(control >> 8 & 1) * 8,
                    0x10 => 0x3c,
                    0x11 => 12,
                    other => panic!("capability {other:#x}"),
                };
            found.push((header & 0xff, at));
            at = u64::from(header >> 8 & 0xff);
        }
        self.expect(
            "end of the capabilities",
            0,
            u32::from(at != 0 || free > 0x100),
        );
        found
    }

    fn extended(&mut self) -> Vec<(u32, u64)> {
        let (mut found, mut at, mut free) = (Vec::new(), 0x100, 0x100);
        while at != 0 && found.len() < 960 {
            let header = self.read(at);
            let id = header & 0xffff;
            self.expect(
                "start of an extended capability",
                0,
                u32::from(at % 4 != 0 || at < free),
            );
            free = at
                + match id {
                    0x01 => 0x48,
                    0x02 => 0x1c,
                    0x03 | 0x07 | 0x0d | 0x1f | 0x25 => 0x0c,
                    0x0e | 0x18 => 8,
                    0x19 => 0x2c,
                    0x1d => 0x34,
                    0x1e => 0x10,
                    0x23 => u64::from(self.read(at + 4) >> 20),
                    0x26 | 0x2a | 0x31 => 0x30,
                    0x27 => 0x48,
                    other => panic!("extended capability {other:#x}"),
                };
            found.push((id, at));
            at = u64::from(header >> 20);
        }
        self.expect(
            "end of the extended capabilities",
            0,
            u32::from(at != 0 || free > 0x1000),
        );
        found
    }

    fn pci_express(&mut self, pcie: u64, extended: &[(u32, u64)]) {
        let caps = self.half(pcie + 2);
        let (typ, slot) = (caps >> 4 & 0xf, caps >> 8 & 1 != 0);
        let (downstream, root) = (matches!(typ, 4 | 6), matches!(typ, 4 | 0xa));
        let linked = !matches!(typ, 9 | 0xa);
        let device = self.read(pcie + 4);
        let (link, root_can) = (self.read(pcie + 0xc), self.half(pcie + 0x1e));
        let device_2 = self.read(pcie + 0x24);
        self.expect("version (7.5.3.2)", 2, caps & 0xf);
        self.expect("Role-Based Error Reporting (7.5.3.3)", 1, device >> 15 & 1);

        let extended_tags = (device >> 5 & 1) << 8;
        let bits = self.sticks(pcie + 8, 0x7fff);
        self.expect("Device Control (7.5.3.4)", 0x70ef | extended_tags, bits);
        let bits = self.sticks(pcie + 0x1c, u16::MAX);
        let expected = if root {
            0x0f | ((root_can & 1) << 4) | ((caps >> 15 & 1) << 5)
        } else {
            0
        };
        self.expect("Root Control (7.5.3.12)", expected, bits);
        let bits = self.sticks(pcie + 0x28, u16::MAX);
        let expected = (device_2 & 0x20) | ((device_2 >> 11 & 1) << 10);
        self.expect("Device Control 2 (7.5.3.16)", expected, bits);
        if !slot {
            let bits = self.sticks(pcie + 0x18, u16::MAX);
            self.expect("Slot Control without slot (7.5.3.10)", 0, bits);
            let status = self.half(pcie + 0x1a);
            self.expect(
                "Presence Detect State (7.5.3.11)",
                u32::from(downstream) << 6,
                status,
            );
        }

        let bits = self.sticks(pcie + 0x10, !0x30);
        if !linked {
            self.expect("Link Capabilities (7.5.3)", 0, link);
            self.expect("Link Control (7.5.3)", 0, bits);
            return;
        }
        let boundary = u32::from(typ == 0) << 3;
        let notifies = link >> 21 & 1;
        let flit = u32::from(downstream) & caps >> 15;
        let expected = 0x02c3 | boundary | (notifies * 0xc00) | (flit << 13);
        self.expect("Link Control (7.5.3.7)", expected, bits);
        self.expect("ASPM Optionality Compliance (7.5.3.6)", 1, link >> 22 & 1);
        let (speed, width) = (link & 0xf, link >> 4 & 0x3f);
        let vector = self.read(pcie + 0x2c) >> 1 & 0x7f;
        self.expect("Supported Link Speeds (7.5.3.18)", (1 << speed) - 1, vector);
        self.expect(
            "10-Bit Tag Completer (2.2.6.2)",
            u32::from(speed >= 4),
            device_2 >> 16 & 1,
        );
        let equalized = self.half(pcie + 0x32) & 0x1e;
        self.expect(
            "Equalization 8.0 GT/s (7.5.3.20)",
            if speed >= 3 { 0x1e } else { 0 },
            equalized,
        );
        if downstream && (speed > 2 || slot) {
            self.expect("Link Active Reporting (7.5.3.6)", 1, link >> 20 & 1);
        }
        self.lanes(extended, speed, width);
    }

    /// What the speed of a link requires, with a register for each lane that is there (7.7.3 to 7.7.7).
    fn lanes(&mut self, extended: &[(u32, u64)], speed: u32, width: u32) {
        let place = |id| {
            extended
                .iter()
                .find(|(own, _)| *own == id)
                .map(|(_, at)| *at)
        };
        for (id, first, lanes_at, lane_bytes) in [
            (0x19, 3, 0x0c, 2),
            (0x26, 4, 0x20, 1),
            (0x2a, 5, 0x20, 1),
            (0x31, 6, 0x20, 1),
        ] {
            let what = format!("extended capability {id:#x}");
            // One that has none of them was asked to have none, and function 0 speaks for the others.
            let any = place(0x19).is_some();
            let required = any && speed >= first;
            self.expect(&what, u32::from(required), u32::from(place(id).is_some()));
            let Some(at) = place(id) else { continue };
            for lane in 0..16u64 {
                let offset = at + lanes_at + lane * lane_bytes;
                let value = self.read(offset & !3) >> (offset % 4 * 8);
                let value = value & if lane_bytes == 2 { 0xffff } else { 0xff };
                // The preset at 64.0 GT/s is Q0.
                let there = lane < u64::from(width) && id != 0x31;
                self.expect(
                    &format!("{what}: lane {lane}"),
                    u32::from(there),
                    u32::from(value != 0),
                );
            }
        }
    }

    fn messages(&mut self, legacy: &[(u32, u64)]) {
        for &(id, at) in legacy {
            match id {
                0x05 => {
                    let capable = self.half(at + 2) >> 1 & 7;
                    let enabled = self.sticks(at + 2, 0x70) >> 4 & 7;
                    self.expect("Multiple Message Enable (7.7.1.2)", capable, enabled);
                }
                0x11 => {
                    let bits = self.sticks(at + 2, 0xffff) & 0xf800;
                    self.expect("MSI-X Message Control (7.7.2.2)", 0xc000, bits);
                }
                _ => {}
            }
        }
    }

    fn error_reporting(&mut self, extended: &[(u32, u64)], root: bool) {
        let Some((_, at)) = extended.iter().find(|(id, _)| *id == 1) else {
            return;
        };
        let command = self.sticks(at + 0x2c, u16::MAX);
        self.expect(
            "Root Error Command (7.8.4.9)",
            if root { 7 } else { 0 },
            command,
        );
        let severity = self.read(at + 0x0c) & !0x20;
        self.expect(
            "Uncorrectable Error Severity (7.8.4.4)",
            0x0046_2010,
            severity,
        );
    }

    fn judge(&mut self) {
        self.header();
        let (legacy, extended) = (self.legacy(), self.extended());
        let pcie = legacy.iter().find(|(id, _)| *id == 0x10).unwrap().1;
        let root = matches!(self.half(pcie + 2) >> 4 & 0xf, 4 | 0xa);
        self.pci_express(pcie, &extended);
        self.messages(&legacy);
        self.error_reporting(&extended, root);
    }
}

#[test]
fn every_function_has_what_its_capabilities_say_and_no_more() {
    for (text, number) in [(RICH, 19), (DEMO, 1)] {
        let mut machine = Machine::from_toml(text);
        machine.number_buses();
        if text == RICH {
            machine.forward_by_ari("dsp0");
        }
        let mut seen = std::collections::BTreeMap::new();
        let mut findings = Vec::new();
        let functions = machine.hierarchy.functions();
        assert!(functions.len() >= number, "{}", functions.len());
        for function in functions.into_iter().filter(|f| f.bdf.is_some()) {
            let nth = seen.entry(function.name.clone()).or_insert(0);
            let mut judged = Function {
                machine: &mut machine,
                name: function.name,
                nth: *nth,
                findings: &mut findings,
            };
            // Without ARI forwarding, functions above 7 are not there.
            if *nth < 8 || judged.read(0) != !0 {
                judged.judge();
            }
            *nth += 1;
        }
        assert_eq!(findings, Vec::<String>::new());
    }
}

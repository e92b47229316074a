//! A port driven by lines of text, as a datasheet's timing diagram would be.
//!
//! `register <- field | field=value`: the guest writes these fields of the register, the others as zero, and no neighbour;
//! `register?`: what is set in it. The other lines are what an operator does to the hardware. What happens on a line follows it:
//! interrupts, and the events that the port's owner is told.

use chipset_device::pci::ByteEnables;
use expect_test::Expect;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::pci_express::BandwidthChange;
use pci_core::capabilities::pci_express::LinkRate;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::spec::caps::pci_express::LinkSpeed;
use pci_core::spec::caps::pci_express::LinkWidth;
use pci_core::spec::caps::pci_express::PCI_EXPRESS;
use reg_table::Access;
use reg_table::Register;
use reg_table::Reset;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use vmcore::interrupt::Interrupt;

/// A counter and the interrupt that feeds it.
pub(crate) fn counter() -> (Arc<AtomicU32>, Interrupt) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let interrupt = Interrupt::from_fn(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    (count, interrupt)
}

/// Runs `script` on `port` and compares the transcript.
pub(crate) fn check(port: PciExpressCapability, script: &str, expected: Expect) {
    let mut bench = Bench::new(port);
    let mut transcript = String::new();
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        writeln!(transcript, "{line}").unwrap();
        for result in bench.line(line) {
            writeln!(transcript, "    {result}").unwrap();
        }
    }
    expected.assert_eq(&transcript);
}

struct Bench {
    port: PciExpressCapability,
    hot_plug: Arc<AtomicU32>,
    link: Arc<AtomicU32>,
}

impl Bench {
    fn new(mut port: PciExpressCapability) -> Self {
        let (hot_plug, interrupt) = counter();
        port.set_hot_plug_interrupt(interrupt);
        let (link, interrupt) = counter();
        port.set_link_interrupt(interrupt);
        Self {
            port,
            hot_plug,
            link,
        }
    }

    fn line(&mut self, line: &str) -> Vec<String> {
        let mut said = Vec::new();
        if let Some(name) = line.strip_suffix('?') {
            said.push(self.ask(name));
        } else if let Some((name, fields)) = line.split_once("<-") {
            self.write(name.trim(), fields);
        } else {
            said.extend(self.operate(line));
        }
        for (count, name) in [(&self.hot_plug, "slot"), (&self.link, "link")] {
            for _ in 0..count.swap(0, Ordering::Relaxed) {
                said.push(format!("{name} interrupt"));
            }
        }
        let events = self.port.take_events();
        for (happened, name) in [
            (events.power_changed, "power changed"),
            (events.link_went_down, "link went down"),
            (events.link_came_up, "link came up"),
            (events.link_rate_changed, "link rate changed"),
            (events.surprise_down, "surprise down"),
            (events.indicators_changed, "indicators changed"),
            (events.interlock_changed, "interlock changed"),
        ] {
            if happened {
                said.push(name.to_string());
            }
        }
        said
    }

    fn ask(&self, name: &str) -> String {
        match name {
            "link" => match self.port.negotiated_link() {
                Some(link) => format!("{:?} {:?}", link.speed, link.width),
                None => "down".to_string(),
            },
            "removal permitted" => self.port.removal_permitted().to_string(),
            "indicators" => format!(
                "attention {:?}, power {:?}",
                self.port.attention_indicator(),
                self.port.power_indicator()
            ),
            _ => {
                let register = register(name);
                let value = self.port.read_u32(register.offset & !3) >> register.shift();
                let set: Vec<_> = register
                    .fields
                    .iter()
                    .filter(|field| field.extract(value) != 0)
                    .map(|field| match field.bits {
                        1 => field.name.to_string(),
                        _ => format!("{}={}", field.name, field.extract(value)),
                    })
                    .collect();
                if set.is_empty() {
                    "nothing".to_string()
                } else {
                    set.join(" | ")
                }
            }
        }
    }

    fn write(&mut self, name: &str, fields: &str) {
        let register = register(name);
        let mut value = 0;
        for word in fields.split('|').map(str::trim) {
            match word {
                "nothing" => {}
                // What a driver writes back to clear all it saw.
                "all events" => {
                    value |= register
                        .fields
                        .iter()
                        .filter(|field| field.access == Access::Rw1c)
                        .fold(0, |bits, field| bits | field.mask());
                }
                _ => {
                    let (name, number) = word.split_once('=').unwrap_or((word, "1"));
                    let field = register.fields.iter().find(|f| f.name == name).unwrap();
                    value |= number.parse::<u32>().unwrap() << field.lsb;
                }
            }
        }
        let lanes = match register.bytes {
            2 => 0b0011 << (register.offset % 4),
            _ => 0b1111,
        };
        self.port.write_bytes(
            register.offset & !3,
            value << register.shift(),
            ByteEnables::new(lanes).unwrap(),
        );
    }

    fn operate(&mut self, line: &str) -> Option<String> {
        let words: Vec<_> = line.split_whitespace().collect();
        let rate = |at: usize| LinkRate {
            speed: LinkSpeed(words[at].strip_prefix("gen").unwrap().parse().unwrap()),
            width: LinkWidth(words[at + 1].strip_prefix('x').unwrap().parse().unwrap()),
        };
        let refused = match words[0] {
            "insert" if words.len() == 1 => {
                self.port.insert_card(LinkRate::MAX);
                Ok(())
            }
            "insert" => {
                self.port.insert_card(rate(1));
                Ok(())
            }
            "remove" => self.port.remove_card(),
            "button" => self.port.press_attention_button(),
            "latch" => self.port.set_mrl(words[1] == "opens"),
            "fault" => self.port.power_fault(),
            "pin" => {
                self.port.set_presence_pin(words[1] == "on");
                Ok(())
            }
            "bandwidth" => {
                let why = match words[3] {
                    "autonomous" => BandwidthChange::Autonomous,
                    _ => BandwidthChange::Reliability,
                };
                self.port.change_bandwidth(rate(1), why);
                Ok(())
            }
            "reset" => {
                self.port.reset_by(match words[1] {
                    "cold" => Reset::Cold,
                    _ => Reset::Hot,
                });
                Ok(())
            }
            _ => panic!("no such line: {line}"),
        };
        refused.err().map(|error| error.to_string())
    }
}

fn register(name: &str) -> &'static Register {
    PCI_EXPRESS
        .registers
        .iter()
        .find(|register| register.name == name)
        .unwrap_or_else(|| panic!("no register {name}"))
}

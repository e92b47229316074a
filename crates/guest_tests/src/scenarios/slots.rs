//! Slots in odd orders: two at once, an attention button pressed twice, power that is off already, cards that come while the guest boots, and
//! one that comes when the machine is about to be saved.

use crate::scenario::BOOT_TIMEOUT;
use crate::scenario::Sides;
use anyhow::Result;
use anyhow::ensure;
use pci_bus::events::EventKind;
use pci_core::spec::caps::aer::UncorrectableErrorBit;
use pci_core::spec::errors::DetectedError;
use pcie_topology::BarKind;
use pcie_topology::EndpointSpec;
use pcie_topology::Topology;
use serde_json::Value;
use std::time::Duration;

/// Two slots whose cards come by surprise, and two with all that an operator uses.
const TOPOLOGY: &str = r#"
    [[root_complex]]
    name = "rc0"
    buses = { start = 0, end = 63 }
    ecam = 0xe000_0000
    mmio32 = { base = 0xc000_0000, size = "256M" }
    mmio64 = { base = 0x40_0000_0000, size = "64G" }

    [[root_complex.port]]
    name = "plain1"
    slot = 1

    [[root_complex.port]]
    name = "plain2"
    slot = 2
    capabilities = { dpc = true }

    [[root_complex.port]]
    name = "full3"
    slot = { number = 3, attention_button = true, power_controller = true, attention_indicator = true, power_indicator = true }

    [[root_complex.port]]
    name = "full4"
    slot = { number = 4, attention_button = true, power_controller = true, attention_indicator = true, power_indicator = true }
"#;

/// The device IDs of the cards are this and their slot's number.
const DEVICE_ID: u16 = 0xab00;
const SECONDS: u32 = 40;
/// After a press, Linux waits for 5 s for another that takes it back.
const BUTTON: Duration = Duration::from_secs(60);

/// What pciehp says of a press that it cannot follow, and of cards that went.
const EXPECTED: &[&str] = &["pciehp: Slot("];

/// And what DPC and AER say of a link that was taken down.
const CONTAINED: &[&str] = &["pciehp: Slot(", "DPC", "AER:", "PCIe Bus Error"];

/// And what AER says besides of one that was pulled out of a slot that is not for surprises: the link went down, and stays so.
const PULLED_OUT: &[&str] = &[
    "pciehp: Slot(",
    "PCIe Bus Error: severity=Uncorrectable (Fatal), type=Transaction Layer",
    "error status/mask=00000020/",
    "[ 5] SDES",
    "AER: subordinate device reset failed",
    "AER: device recovery failed",
];

/// A slot, and the card for it.
#[derive(Copy, Clone)]
struct Slot {
    port: &'static str,
    number: u16,
}

const PLAIN1: Slot = Slot {
    port: "plain1",
    number: 1,
};
const PLAIN2: Slot = Slot {
    port: "plain2",
    number: 2,
};
const FULL3: Slot = Slot {
    port: "full3",
    number: 3,
};
const FULL4: Slot = Slot {
    port: "full4",
    number: 4,
};

/// Power Indicator Control (PCIe 6.2 section 7.5.3.10).
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Indicator {
    On = 1,
    Blink = 2,
    Off = 3,
}

impl Slot {
    fn card(self) -> EndpointSpec {
        EndpointSpec {
            device_id: DEVICE_ID + self.number,
            ..EndpointSpec::new(format!("card{}", self.number))
                .with_bar(BarKind::Prefetchable, 1 << 20)
        }
    }

    fn plug(self, sides: &Sides) -> Result<()> {
        sides.host.plug(self.port, &self.card())
    }

    fn unplug(self, sides: &Sides) -> Result<()> {
        sides.host.operate(|hierarchy| hierarchy.unplug(self.port))
    }

    fn press(self, sides: &Sides) -> Result<()> {
        sides
            .host
            .operate(|hierarchy| hierarchy.press_attention_button(self.port))
    }

    /// How many functions the guest has that are this slot's card.
    fn found(self) -> String {
        format!(
            "$(cat /sys/bus/pci/devices/*/device | grep -c {:#x})",
            DEVICE_ID + self.number
        )
    }

    fn wait_up(self, sides: &mut Sides) -> Result<()> {
        sides
            .guest
            .wait_for(&format!("[ {} = 1 ]", self.found()), SECONDS)?;
        self.agreed(sides, true)
    }

    fn wait_gone(self, sides: &mut Sides) -> Result<()> {
        sides
            .guest
            .wait_for(&format!("[ {} = 0 ]", self.found()), SECONDS)
    }

    fn set_power(self, sides: &mut Sides, on: bool) -> Result<()> {
        let number = self.number;
        sides.guest.run(&format!(
            "echo {} >/sys/bus/pci/slots/{number}/power",
            u8::from(on)
        ))?;
        Ok(())
    }

    /// Both sides say that the slot has power, or has none.
    fn agreed(self, sides: &mut Sides, powered: bool) -> Result<()> {
        let number = self.number;
        sides.guest.wait_for(
            &format!(
                "[ $(cat /sys/bus/pci/slots/{number}/power) = {} ]",
                u8::from(powered)
            ),
            SECONDS,
        )?;
        let slot = sides.slot(self.port)?;
        if self.has_indicator() {
            ensure!(slot.get("powered") == Some(&Value::Bool(powered)), "{slot}");
        }
        Ok(())
    }

    fn has_indicator(self) -> bool {
        self.number >= FULL3.number
    }

    fn wait_for_indicator(self, sides: &mut Sides, wanted: Indicator) -> Result<()> {
        sides.wait_until(
            &format!("the power indicator is {wanted:?}"),
            BUTTON,
            |sides| {
                let port = sides.host.inspect_port(self.port)?;
                let shown = port.pointer(
                    "/cfg_space/capabilities/pci-express/slot_control/power_indicator_control",
                );
                Ok(shown.and_then(Value::as_u64) == Some(wanted as u64))
            },
        )
    }
}

pub(super) fn topology() -> Result<Topology> {
    Ok(Topology::from_toml(TOPOLOGY)?)
}

pub(super) fn steps(sides: &mut Sides) -> Result<()> {
    two_at_once(sides)?;
    in_and_out_at_once(sides)?;
    pressed_twice(sides)?;
    both_buttons(sides)?;
    power_is_off(sides)?;
    sides.no_complaints_but(EXPECTED)?;
    contained(sides)?;
    sides.no_complaints_but(CONTAINED)?;
    pulled_out(sides)?;
    sides.no_complaints_but(&[CONTAINED, PULLED_OUT].concat())?;
    while_booting(sides)?;
    sides.no_complaints_but(EXPECTED)?;
    sides.step(
        PLAIN1.port,
        "a card comes, and the machine is saved before the guest has it",
    );
    FULL3.press(sides)?;
    FULL3.wait_for_indicator(sides, Indicator::Blink)?;
    PLAIN1.plug(sides)
}

pub(super) fn restored(sides: &mut Sides) -> Result<()> {
    sides.step(PLAIN1.port, "the guest takes in what came before");
    PLAIN1.wait_up(sides)?;
    sides.step(
        FULL3.port,
        "the button that was pressed before does what it does",
    );
    FULL3.wait_gone(sides)?;
    FULL3.wait_for_indicator(sides, Indicator::Off)?;
    FULL3.agreed(sides, false)?;
    FULL3.unplug(sides)?;
    sides.step(PLAIN2.port, "what was there at boot goes");
    PLAIN2.unplug(sides)?;
    PLAIN2.wait_gone(sides)?;
    sides.no_complaints_but(EXPECTED)
}

fn two_at_once(sides: &mut Sides) -> Result<()> {
    sides.step(PLAIN1.port, "two cards come at once, and go at once");
    for _ in 0..2 {
        PLAIN1.plug(sides)?;
        PLAIN2.plug(sides)?;
        PLAIN1.wait_up(sides)?;
        PLAIN2.wait_up(sides)?;
        PLAIN2.unplug(sides)?;
        PLAIN1.unplug(sides)?;
        PLAIN1.wait_gone(sides)?;
        PLAIN2.wait_gone(sides)?;
    }
    Ok(())
}

/// A card that goes before the guest looked, and one that is replaced.
fn in_and_out_at_once(sides: &mut Sides) -> Result<()> {
    sides.step(PLAIN1.port, "a card comes and goes before the guest has it");
    PLAIN1.plug(sides)?;
    PLAIN1.unplug(sides)?;
    // What comes after that is taken in as always.
    PLAIN2.plug(sides)?;
    PLAIN2.wait_up(sides)?;
    PLAIN1.wait_gone(sides)?;
    PLAIN1.plug(sides)?;
    PLAIN1.wait_up(sides)?;
    sides.step(
        PLAIN1.port,
        "a card is replaced before the guest has seen it go",
    );
    PLAIN1.unplug(sides)?;
    let other = EndpointSpec {
        device_id: DEVICE_ID + 0xff,
        ..PLAIN1.card()
    };
    sides.host.plug(PLAIN1.port, &other)?;
    sides.guest.wait_for(
        &format!(
            "grep -q {:#x} /sys/bus/pci/devices/*/device",
            other.device_id
        ),
        SECONDS,
    )?;
    PLAIN1.wait_gone(sides)?;
    PLAIN1.unplug(sides)?;
    PLAIN2.unplug(sides)?;
    PLAIN2.wait_gone(sides)
}

/// A second press within 5 s takes the first back, in either direction.
fn pressed_twice(sides: &mut Sides) -> Result<()> {
    sides.step(
        FULL3.port,
        "the button is pressed twice: the card is not taken in",
    );
    FULL3.plug(sides)?;
    FULL3.press(sides)?;
    FULL3.wait_for_indicator(sides, Indicator::Blink)?;
    FULL3.press(sides)?;
    FULL3.wait_for_indicator(sides, Indicator::Off)?;
    FULL3.agreed(sides, false)?;
    FULL3.press(sides)?;
    FULL3.wait_up(sides)?;
    FULL3.wait_for_indicator(sides, Indicator::On)?;
    sides.step(
        FULL3.port,
        "the button is pressed twice: the card is not let go",
    );
    FULL3.press(sides)?;
    FULL3.wait_for_indicator(sides, Indicator::Blink)?;
    FULL3.press(sides)?;
    FULL3.wait_for_indicator(sides, Indicator::On)?;
    FULL3.wait_up(sides)
}

/// One card goes while another comes.
fn both_buttons(sides: &mut Sides) -> Result<()> {
    sides.step(FULL4.port, "a card is let go while another is taken in");
    FULL4.plug(sides)?;
    FULL3.press(sides)?;
    FULL4.press(sides)?;
    FULL4.wait_up(sides)?;
    FULL3.wait_gone(sides)?;
    FULL3.agreed(sides, false)
}

fn power_is_off(sides: &mut Sides) -> Result<()> {
    sides.step(FULL3.port, "a card goes whose power is off already");
    FULL3.unplug(sides)?;
    sides.step(FULL3.port, "the button of an empty slot is pressed");
    FULL3.press(sides)?;
    FULL3.wait_for_indicator(sides, Indicator::Blink)?;
    FULL3.wait_for_indicator(sides, Indicator::Off)?;
    FULL3.agreed(sides, false)?;
    sides.step(
        FULL3.port,
        "a card comes and goes without ever having power",
    );
    FULL3.plug(sides)?;
    FULL3.unplug(sides)?;
    FULL3.plug(sides)?;
    FULL3.set_power(sides, true)?;
    FULL3.wait_up(sides)
}

/// A link that containment takes down is an empty slot, until the guest lets it come up again: then a card comes, with another
/// beginning. Once: 6.1's containment driver goes on waiting for a minute for the card that was removed, and handles nothing meanwhile.
fn contained(sides: &mut Sides) -> Result<()> {
    sides.step(PLAIN2.port, "an error of a card in a slot is contained");
    PLAIN2.plug(sides)?;
    PLAIN2.wait_up(sides)?;
    let counts = |sides: &Sides| {
        let events = sides
            .host
            .with_hierarchy(|hierarchy| hierarchy.events().since(0));
        let count = |kind| {
            let of_port = events.iter().filter(|event| *event.name == *PLAIN2.port);
            of_port.filter(|event| event.kind == kind).count()
        };
        (
            count(EventKind::ContainmentTriggered),
            count(EventKind::ContainmentReleased),
        )
    };
    let fatal = DetectedError::uncorrectable(UncorrectableErrorBit::MALFORMED_TLP);
    sides
        .host
        .with_hierarchy(|hierarchy| hierarchy.record_error(&PLAIN2.card().name, 0, fatal))?;
    sides.wait_until("containment has come and gone", BUTTON, |sides| {
        Ok(counts(sides) == (1, 1))
    })?;
    // The guest has enumerated it anew: what it chose for the BAR is in the register again.
    sides.wait_until("the card is in use again", BUTTON, |sides| {
        let card = sides.host.inspect_port(&PLAIN2.card().name)?;
        let space = card.get("cfg_space").unwrap_or(&card);
        // The upper half: BARs are above 4 GiB.
        let bar = space.pointer("/header/bar1").and_then(Value::as_u64);
        Ok(bar.is_some_and(|bar| bar != 0))
    })?;
    PLAIN2.wait_up(sides)?;
    PLAIN2.unplug(sides)?;
    PLAIN2.wait_gone(sides)
}

/// The slot does not announce surprises, so this is an error of the link, and the card is gone all the same.
fn pulled_out(sides: &mut Sides) -> Result<()> {
    sides.step(FULL4.port, "a card is pulled out although it has power");
    FULL4.unplug(sides)?;
    FULL4.wait_gone(sides)?;
    FULL4.agreed(sides, false)?;
    // The last that pciehp does; a card that comes before is taken in at once, and then the button lets it go.
    FULL4.wait_for_indicator(sides, Indicator::Off)?;
    FULL4.plug(sides)?;
    FULL4.press(sides)?;
    FULL4.wait_up(sides)
}

/// One card comes before the guest has numbered buses, and one after.
fn while_booting(sides: &mut Sides) -> Result<()> {
    sides.step(PLAIN1.port, "cards come while the guest boots");
    sides.guest.begin_reboot()?;
    let buses = |sides: &Sides| -> Result<u64> {
        let port = sides.host.inspect_port(PLAIN1.port)?;
        let bus = port.pointer("/cfg_space/header/subordinate_bus_number");
        bus.and_then(Value::as_u64)
            .ok_or_else(|| anyhow::anyhow!("inspection shows no bus number"))
    };
    sides.wait_until("the machine is reset", BOOT_TIMEOUT, |sides| {
        Ok(buses(sides)? == 0)
    })?;
    PLAIN1.plug(sides)?;
    sides.wait_until("buses are numbered", BOOT_TIMEOUT, |sides| {
        Ok(buses(sides)? != 0)
    })?;
    PLAIN2.plug(sides)?;
    sides.guest.ready(BOOT_TIMEOUT)?;
    PLAIN1.wait_up(sides)?;
    PLAIN2.wait_up(sides)?;
    // They were there, with power.
    FULL3.wait_up(sides)?;
    FULL4.wait_up(sides)?;
    PLAIN1.unplug(sides)?;
    PLAIN1.wait_gone(sides)
}

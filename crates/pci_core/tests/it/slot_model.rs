//! A slot against a model of it: whatever guest and operator do, in whatever order, no event that the guest enabled is lost, no
//! interrupt comes without cause or twice for one, and link, presence and power agree.
//!
//! The model is a handful of facts and the sentences of PCIe 6.2 section 6.7 over them, written without looking at how the
//! capability does it.

use crate::port_script::counter;
use chipset_device::pci::ByteEnables;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::pci_express::LinkRate;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::capabilities::pci_express::SlotConfig;
use pci_core::spec::caps::pci_express::DevicePortType;
use proptest::prelude::*;
use reg_table::Reset;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use vmcore::save_restore::SaveRestore;

/// One thing that guest or operator does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Input {
    Insert,
    Remove,
    Button,
    /// Opens the latch, or closes it.
    Latch,
    Fault,
    /// The guest clears every event.
    Clear,
    /// The guest enables every event and the interrupt.
    EnableAll,
    /// The guest enables presence changes only, and the interrupt.
    EnablePresence,
    /// The guest takes Hot-Plug Interrupt Enable away and leaves the other enables.
    DisableInterrupt,
    /// The guest turns power off, or on.
    Power,
    /// The guest disables the link, or enables it.
    LinkDisable,
    /// The guest holds the link in reset, or lets it go.
    HoldInReset,
    /// A dword write: every event cleared and a command given at once.
    ClearAndCommand,
    /// The guest clears the presence event only.
    ClearPresence,
    /// The guest writes Slot Control as it is.
    Command,
    /// The guest disables MSI, or enables it.
    Messages,
    /// The machine is moved elsewhere.
    Migrate,
    Reset,
}

use Input::*;

/// The alphabet of the exhaustive run; the random one takes all.
const ALPHABET: [Input; 13] = [
    Insert,
    Remove,
    Button,
    Latch,
    Fault,
    Clear,
    EnableAll,
    EnablePresence,
    DisableInterrupt,
    Power,
    LinkDisable,
    HoldInReset,
    ClearAndCommand,
];

const EVERY: [Input; 18] = [
    Insert,
    Remove,
    Button,
    Latch,
    Fault,
    Clear,
    EnableAll,
    EnablePresence,
    DisableInterrupt,
    Power,
    LinkDisable,
    HoldInReset,
    ClearAndCommand,
    ClearPresence,
    Command,
    Messages,
    Migrate,
    Reset,
];

const BUTTON: u16 = 1 << 0;
const FAULT: u16 = 1 << 1;
const LATCH: u16 = 1 << 2;
const PRESENCE: u16 = 1 << 3;
const COMMAND: u16 = 1 << 4;
const LINK: u16 = 1 << 8;
/// Each event in Slot Status, and its enable bit in Slot Control.
const EVENTS: [(u16, u16); 6] = [
    (BUTTON, 1 << 0),
    (FAULT, 1 << 1),
    (LATCH, 1 << 2),
    (PRESENCE, 1 << 3),
    (COMMAND, 1 << 4),
    (LINK, 1 << 12),
];
const ALL_EVENTS: u16 = 0x011f;
const HPIE: u16 = 1 << 5;
const POWER_OFF: u16 = 1 << 10;
/// Attention off, power on.
const INDICATORS: u16 = 0x01c0;

/// What a slot is, for the model.
#[derive(Copy, Clone, Debug)]
struct Kind {
    full: bool,
    /// The bits of Slot Control that can be written and are kept.
    writable: u16,
    reset: u16,
}

const FULL: Kind = Kind {
    full: true,
    writable: 0x77ff,
    reset: INDICATORS,
};

const SURPRISE: Kind = Kind {
    full: false,
    writable: 0x302a,
    reset: 0,
};

#[derive(Clone, Debug)]
struct Model {
    kind: Kind,
    card: bool,
    latch_open: bool,
    fault: bool,
    link_disabled: bool,
    held_in_reset: bool,
    control: u16,
    pending: u16,
    line: bool,
    /// MSI is disabled.
    mute: bool,
    told: bool,
    messages: u32,
}

impl Model {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            card: false,
            latch_open: false,
            fault: false,
            link_disabled: false,
            held_in_reset: false,
            control: kind.reset,
            pending: 0,
            line: false,
            mute: false,
            told: false,
            messages: 0,
        }
    }

    fn powered(&self) -> bool {
        self.control & POWER_OFF == 0 && !self.fault && !self.latch_open
    }

    fn link(&self) -> bool {
        self.card && self.powered() && !self.link_disabled && !self.held_in_reset
    }

    /// A message goes out when the first enabled event appears, or when messages can go out with one there.
    fn look(&mut self) {
        let enabled = EVENTS
            .iter()
            .any(|(event, enable)| self.pending & event != 0 && self.control & enable != 0);
        self.line = enabled && self.control & HPIE != 0;
        let tells = self.line && !self.mute;
        self.messages += u32::from(tells && !self.told);
        self.told = tells;
    }

    /// Does something to the hardware; a link that thereby goes up or down is an event.
    fn hardware(&mut self, event: u16, change: impl FnOnce(&mut Self)) {
        let link = self.link();
        change(self);
        self.pending |= event;
        if self.link() != link {
            self.pending |= LINK;
        }
    }

    fn command(&mut self, control: u16) {
        let link = self.link();
        self.control = control & self.kind.writable;
        self.look();
        if self.control & POWER_OFF != 0 {
            self.fault = false;
        }
        if self.kind.full {
            self.pending |= COMMAND;
        }
        if self.link() != link {
            self.pending |= LINK;
        }
    }

    fn apply(&mut self, input: Input) {
        match input {
            Insert => {
                if self.card {
                    self.hardware(PRESENCE, |model| model.card = false);
                }
                self.hardware(PRESENCE, |model| model.card = true);
            }
            Remove if self.card => self.hardware(PRESENCE, |model| model.card = false),
            Button if self.kind.full => self.pending |= BUTTON,
            Latch if self.kind.full => {
                self.hardware(LATCH, |model| model.latch_open = !model.latch_open);
            }
            Fault if self.kind.full => {
                // Power that is off has nothing to lose.
                let on = self.control & POWER_OFF == 0;
                self.hardware(FAULT, |model| model.fault |= on);
            }
            LinkDisable => self.hardware(0, |model| model.link_disabled = !model.link_disabled),
            HoldInReset => self.hardware(0, |model| model.held_in_reset = !model.held_in_reset),
            Messages => self.mute = !self.mute,
            Clear => self.pending = 0,
            ClearPresence => self.pending &= !PRESENCE,
            ClearAndCommand => {
                self.pending = 0;
                self.command(self.control);
            }
            Migrate | Remove | Button | Latch | Fault => {}
            Reset => {
                *self = Self {
                    card: self.card,
                    latch_open: self.latch_open,
                    messages: self.messages,
                    mute: self.mute,
                    ..Self::new(self.kind)
                };
            }
            EnableAll | EnablePresence | DisableInterrupt | Power | Command => {
                self.command(control(self.control, input));
            }
        }
        self.look();
    }
}

/// What the guest writes to Slot Control, by what it holds.
fn control(old: u16, input: Input) -> u16 {
    match input {
        EnableAll => old | 0x103f,
        EnablePresence => (old & !0x103f) | PRESENCE | HPIE,
        DisableInterrupt => old & !HPIE,
        Power => old ^ POWER_OFF,
        _ => old,
    }
}

/// The capability, driven by the same inputs.
struct Slot {
    port: PciExpressCapability,
    messages: Arc<AtomicU32>,
    make: fn() -> PciExpressCapability,
    latch_open: bool,
    held_in_reset: bool,
    mute: bool,
}

fn full() -> PciExpressCapability {
    let port = PciExpressCapability::new(DevicePortType::RootPort, None);
    port.with_slot(SlotConfig::full(1)).unwrap()
}

fn surprise() -> PciExpressCapability {
    PciExpressCapability::new(DevicePortType::RootPort, None).with_hotplug_support(1)
}

impl Slot {
    fn new(make: fn() -> PciExpressCapability) -> Self {
        let (messages, interrupt) = counter();
        let mut port = make();
        port.set_hot_plug_interrupt(interrupt);
        Self {
            port,
            messages,
            make,
            latch_open: false,
            held_in_reset: false,
            mute: false,
        }
    }

    fn write(&mut self, offset: u16, value: u32, lanes: u8) {
        let lanes = ByteEnables::new(lanes).unwrap();
        self.port.write_bytes(offset, value, lanes);
    }

    fn low(&self, offset: u16) -> u16 {
        u16::try_from(self.port.read_u32(offset) & 0xffff).unwrap()
    }

    fn apply(&mut self, input: Input) {
        match input {
            Insert => self.port.insert_card(LinkRate::MAX),
            Remove => self.port.remove_card().unwrap(),
            // A slot without the part says so, and nothing happens.
            Button => drop(self.port.press_attention_button()),
            Latch => {
                self.latch_open = !self.latch_open;
                drop(self.port.set_mrl(self.latch_open));
            }
            Fault => drop(self.port.power_fault()),
            LinkDisable => self.write(0x10, u32::from(self.low(0x10)) ^ 0x10, 0b0011),
            HoldInReset => {
                self.held_in_reset = !self.held_in_reset;
                self.port.hold_in_reset(self.held_in_reset);
            }
            Messages => {
                self.mute = !self.mute;
                self.port.set_messages_held(self.mute);
            }
            Clear => self.write(0x18, u32::from(ALL_EVENTS) << 16, 0b1100),
            ClearPresence => self.write(0x18, u32::from(PRESENCE) << 16, 0b0100),
            ClearAndCommand => {
                let control = u32::from(self.low(0x18));
                self.write(0x18, (u32::from(ALL_EVENTS) << 16) | control, 0b1111);
            }
            // Bridge Control is reset as well, and nothing told of it.
            Reset => {
                self.held_in_reset = false;
                self.port.reset_by(Reset::Hot);
                self.port.assume_held_in_reset(false);
            }
            Migrate => {
                let saved = SaveRestore::save(&mut self.port).unwrap();
                let messages = self.messages.load(Ordering::Relaxed);
                let (latch_open, held_in_reset) = (self.latch_open, self.held_in_reset);
                let mute = self.mute;
                *self = Self::new(self.make);
                (self.latch_open, self.held_in_reset) = (latch_open, held_in_reset);
                self.mute = mute;
                self.messages.store(messages, Ordering::Relaxed);
                SaveRestore::restore(&mut self.port, saved).unwrap();
                self.port.assume_held_in_reset(held_in_reset);
                self.port.assume_messages_held(mute);
            }
            EnableAll | EnablePresence | DisableInterrupt | Power | Command => {
                let control = control(self.low(0x18), input);
                self.write(0x18, u32::from(control), 0b0011);
            }
        }
    }

    fn compare(&self, model: &Model, done: &[Input]) {
        let status = (self.port.read_u32(0x18) >> 16) as u16;
        let link = self.port.read_u32(0x10) >> 16;
        let found = (
            status & ALL_EVENTS,
            self.messages.load(Ordering::Relaxed),
            self.port.hot_plug_event(),
            self.low(0x18),
        );
        let expected = (model.pending, model.messages, model.line, model.control);
        assert_eq!(found, expected, "events, messages: {done:?}");
        let found = (
            link & (1 << 13) != 0,
            self.port.downstream_reachable(),
            link & 0x3ff != 0,
            status & (1 << 6) != 0,
            self.port.slot_powered(),
        );
        let up = model.link();
        let expected = (up, up, up, model.card, model.powered());
        assert_eq!(found, expected, "link, presence, power: {done:?}");
    }
}

/// Both run the same inputs and agree after each.
fn run(make: fn() -> PciExpressCapability, kind: Kind, inputs: &[Input]) {
    let (mut slot, mut model) = (Slot::new(make), Model::new(kind));
    for (i, &input) in inputs.iter().enumerate() {
        let reachable = slot.port.downstream_reachable();
        slot.apply(input);
        model.apply(input);
        slot.compare(&model, &inputs[..=i]);
        let events = slot.port.take_events();
        if slot.port.downstream_reachable() != reachable && input != Migrate {
            assert_eq!(
                (events.link_came_up, events.link_went_down),
                (!reachable, reachable),
                "the owner was told: {:?}",
                &inputs[..=i]
            );
        }
    }
}

/// Every sequence of `length` inputs of the alphabet.
fn all(make: fn() -> PciExpressCapability, kind: Kind, length: u32) {
    let n = ALPHABET.len();
    let mut inputs = Vec::new();
    for number in 0..n.pow(length) {
        inputs.clear();
        let mut rest = number;
        for _ in 0..length {
            inputs.push(ALPHABET[rest % n]);
            rest /= n;
        }
        run(make, kind, &inputs);
    }
}

#[test]
fn every_short_history_of_a_slot_with_everything() {
    all(full, FULL, 5);
}

#[test]
fn every_short_history_of_a_surprise_slot() {
    all(surprise, SURPRISE, 4);
}

proptest! {
    #[test]
    fn long_histories(inputs in prop::collection::vec(prop::sample::select(&EVERY[..]), 0..80)) {
        run(full, FULL, &inputs);
        run(surprise, SURPRISE, &inputs);
    }
}

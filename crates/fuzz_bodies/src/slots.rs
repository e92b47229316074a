//! What operator and guest do to slots and links.

use crate::action::Operation;
use crate::action::nth;
use crate::machine::Layout;
use crate::machine::Machine;
use crate::machine::SLOTS_MAX;
use crate::machine::Slot;
use crate::machine::WITH_SLOTS;
use crate::machine::card;
use crate::steps;
use arbitrary::Arbitrary;
use arbitrary::Result;
use arbitrary::Unstructured;
use std::collections::BTreeMap;

const STEPS_MAX: usize = 32;
/// Beside the one at the end. More only takes longer: whatever other state there is, a shorter input ends with it.
const RESTORES_MAX: usize = 1;

#[derive(Copy, Clone, Debug)]
enum Step {
    Operate(Operation),
    Restore,
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let restore = input
            .peek_bytes(1)
            .is_some_and(|choice| choice == [RESTORE]);
        if restore {
            input.bytes(1)?;
            return Ok(Self::Restore);
        }
        input.arbitrary().map(Self::Operate)
    }
}

/// The first byte of a step that is no operation.
const RESTORE: u8 = 0xff;

/// What there should be, by the slots' names.
type Cards = BTreeMap<&'static str, String>;

/// Operates slots, and compares with a model who is there, which events are pending and how many messages told the guest.
///
/// # Panics
///
/// - the hierarchy lists another set of functions below its slots than the model has;
/// - a slot shows presence without a card or a card without presence, or a device answers that is not there;
/// - an event that came is not pending, or one that was pending is not any more, and the guest has not cleared it;
/// - a message is not sent when an enabled event becomes pending or a pending one enabled, or one is sent at another time;
/// - what is saved is not restored, which changes any of this.
pub fn run(data: &[u8]) {
    let mut machine = Machine::new(&WITH_SLOTS);
    let slots = machine.layout.slots.iter();
    let mut cards: Cards = slots
        .filter_map(|slot| Some((slot.name, slot.card?.to_owned())))
        .collect();
    let mut input = Unstructured::new(data);
    let mut restores = 0;
    let mut before = look(&mut machine);
    for step in steps::<Step>(&mut input).take(STEPS_MAX) {
        match step {
            Step::Restore if restores < RESTORES_MAX => {
                restores += 1;
                restore(&mut machine, &before);
            }
            Step::Restore => {}
            Step::Operate(operation) => {
                let done = operate(&mut machine, &mut cards, operation);
                let after = look(&mut machine);
                for (at, slot) in machine.layout.slots.iter().enumerate() {
                    let (Some(before), Some(after)) = (&before[at], &after[at]) else {
                        continue;
                    };
                    let happened = Happened::to(slot, machine.layout, operation, done);
                    happened.compare(before, after);
                }
                before = after;
                presence(&mut machine, &cards);
            }
        }
    }
    listed(&machine, &cards);
    restore(&mut machine, &before);
    presence(&mut machine, &cards);
    listed(&machine, &cards);
}

/// Nobody sees a difference, and nobody is told again.
fn restore(machine: &mut Machine, before: &[Option<Seen>; SLOTS_MAX]) {
    machine.save_and_restore();
    assert_eq!(look(machine), *before, "restored");
}

/// Does it, and whatever succeeded, does it to the model.
fn operate(machine: &mut Machine, cards: &mut Cards, operation: Operation) -> bool {
    let layout = machine.layout;
    let done = machine.operate(operation).is_ok();
    match operation {
        Operation::Plug { port, kind } => {
            let (port, card) = (nth(layout.ports, port), card(kind).name);
            let slot = layout.slots.iter().any(|slot| slot.name == port);
            let free = slot && !cards.contains_key(port) && !cards.values().any(|c| *c == card);
            assert_eq!(done, free, "{operation:?}");
            if done {
                cards.insert(port, card);
            }
        }
        Operation::Unplug { port } if done => {
            let card = cards.remove(nth(layout.ports, port));
            assert!(card.is_some(), "{operation:?}");
        }
        _ => {}
    }
    done
}

/// What a guest sees of a slot, and how many messages it has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    control: u16,
    status: u16,
    link_control: u16,
    sends_messages: bool,
    messages: u32,
}

/// Bits of Slot Control and Slot Status (PCIe 6.2 sections 7.5.3.10 and 7.5.3.11). An event and its enable have the same place, but
/// for the link's.
const BUTTON: u16 = 1 << 0;
const POWER_FAULT: u16 = 1 << 1;
const LATCH: u16 = 1 << 2;
const PRESENCE: u16 = 1 << 3;
const COMPLETED: u16 = 1 << 4;
const LINK: u16 = 1 << 8;
const EVENTS: u16 = BUTTON | POWER_FAULT | LATCH | PRESENCE | COMPLETED | LINK;
const LATCH_OPEN: u16 = 1 << 5;
const PRESENT: u16 = 1 << 6;
const INTERRUPT_ENABLE: u16 = 1 << 5;
const LINK_ENABLE: u16 = 1 << 12;
/// Enables in Link Control of interrupts for bandwidth changes, which come by the same message.
const BANDWIDTH: u16 = 1 << 10 | 1 << 11;

impl Seen {
    /// Whether an event is pending that the guest enabled (PCIe 6.2 section 6.7.3.4).
    fn is_due(&self) -> bool {
        let link = if self.control & LINK_ENABLE == 0 {
            0
        } else {
            LINK
        };
        let enabled = self.control & (EVENTS & !LINK) | link;
        self.control & INTERRUPT_ENABLE != 0 && self.status & enabled != 0
    }
}

/// Each slot as it is now; `None` where nothing on the way to it answers.
fn look(machine: &mut Machine) -> [Option<Seen>; SLOTS_MAX] {
    let messages = machine.messages();
    std::array::from_fn(|at| {
        let slot = machine.layout.slots.get(at)?;
        let (bus, devfn) = (slot.bus, slot.devfn);
        let both = machine.config(bus, devfn, 0x58);
        if both == u32::MAX {
            return None;
        }
        let [a, b, c, d] = both.to_le_bytes();
        let [e, f, ..] = machine.config(bus, devfn, 0x50).to_le_bytes();
        Some(Seen {
            control: u16::from_le_bytes([a, b]),
            status: u16::from_le_bytes([c, d]),
            link_control: u16::from_le_bytes([e, f]),
            sends_messages: machine.sends_messages(bus, devfn),
            messages: messages[at],
        })
    })
}

/// An operation as it concerns one slot.
struct Happened<'a> {
    slot: &'a str,
    operation: Operation,
    /// Events that must be pending afterwards.
    came: u16,
    /// Events that the guest cleared.
    cleared: u16,
    /// Whether the port may have been reset, with all that was pending.
    reset: bool,
}

impl<'a> Happened<'a> {
    fn to(slot: &'a Slot, layout: &Layout, operation: Operation, done: bool) -> Self {
        let names = |port: u8| done && nth(layout.ports, port) == slot.name;
        let is = |at: u8| nth(layout.slots, at).name == slot.name;
        let (mut came, mut cleared, mut reset) = (0, 0, false);
        match operation {
            Operation::Plug { port, .. } | Operation::Unplug { port } if names(port) => {
                came = PRESENCE;
            }
            Operation::RequestRemoval { port } | Operation::PressButton { port } if names(port) => {
                came = BUTTON;
            }
            Operation::PowerFault { port } if names(port) => came = POWER_FAULT,
            Operation::Latch { port, .. } if names(port) => came = LATCH,
            Operation::Command { slot: at, .. } if slot.commanded && is(at) => came = COMPLETED,
            Operation::Acknowledge { slot: at, value } if is(at) => cleared = value,
            // What a bridge above resets; a root port has none.
            Operation::Link { .. } | Operation::BridgeControl { .. } => reset = slot.bus != 0,
            _ => {}
        }
        Self {
            slot: slot.name,
            operation,
            came,
            cleared,
            reset,
        }
    }

    fn compare(&self, before: &Seen, after: &Seen) {
        let Self {
            slot, operation, ..
        } = self;
        let mut came = self.came;
        if came == LATCH && (before.status ^ after.status) & LATCH_OPEN == 0 {
            // It was so already.
            came = 0;
        }
        let kept = if self.reset {
            0
        } else {
            before.status & EVENTS & !self.cleared
        };
        let missing = (came | kept) & !after.status;
        assert_eq!(missing, 0, "'{slot}' after {operation:?}: events are lost");
        let sent = after.messages - before.messages;
        let bandwidth = (before.link_control | after.link_control) & BANDWIDTH != 0;
        if bandwidth || !before.sends_messages || !after.sends_messages {
            return;
        }
        // A write takes effect before what it causes: one that disables what was pending and powers the slot up makes an edge of its own.
        let written = Seen {
            control: after.control,
            status: before.status & !self.cleared,
            ..before.clone()
        };
        let edge = |from: &Seen, to: &Seen| u32::from(!from.is_due() && to.is_due());
        let due = edge(before, &written) + edge(&written, after);
        assert_eq!(
            sent, due,
            "'{slot}' after {operation:?}: messages; {before:x?}, {after:x?}"
        );
    }
}

/// Presence Detect State says who is there, and who is not there does not answer.
fn presence(machine: &mut Machine, cards: &Cards) {
    for slot in machine.layout.slots {
        let control_and_status = machine.config(slot.bus, slot.devfn, 0x58);
        if control_and_status == u32::MAX {
            // Nothing on the way to it answers: a link is down.
            continue;
        }
        let present = control_and_status >> 16 & u32::from(PRESENT) != 0;
        let expected = cards.contains_key(slot.name);
        assert_eq!(present, expected, "presence of '{}'", slot.name);
        let secondary = machine.config(slot.bus, slot.devfn, 0x18).to_le_bytes()[1];
        if !present {
            let answer = machine.config(secondary, 0, 0);
            assert_eq!(answer, u32::MAX, "behind '{}'", slot.name);
        }
    }
}

/// The hierarchy names what is in its slots.
fn listed(machine: &Machine, cards: &Cards) {
    let slots = machine.layout.slots;
    let mut listed: Vec<_> = machine
        .hierarchy
        .functions()
        .into_iter()
        .filter_map(|function| Some((function.parent?, function.name)))
        .filter(|(port, _)| slots.iter().any(|slot| slot.name == port))
        .collect();
    listed.dedup();
    listed.sort();
    let expected: Vec<_> = cards
        .iter()
        .map(|(port, card)| ((*port).to_owned(), card.clone()))
        .collect();
    assert_eq!(listed, expected);
}

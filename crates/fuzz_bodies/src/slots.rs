//! What operator and guest do to slots and links.

use crate::machine::Machine;
use crate::machine::Operation;
use crate::machine::PORTS;
use crate::machine::card;
use crate::steps;
use arbitrary::Unstructured;
use std::collections::BTreeMap;

const OPERATIONS_MAX: usize = 24;

/// Operates slots, and compares who is there with a map from port to card.
///
/// # Panics
///
/// - the hierarchy lists another set of functions below its slots than the model has;
/// - a slot shows presence without a card or a card without presence, or a device answers that is not there;
/// - after any step, what is saved is not restored.
pub fn run(data: &[u8]) {
    let mut machine = Machine::new();
    let mut plugged = BTreeMap::from([("rp0", "nic0".to_string()), ("rp2", "mem0".to_string())]);
    let mut input = Unstructured::new(data);
    for operation in steps::<Operation>(&mut input).take(OPERATIONS_MAX) {
        step(&mut machine, &mut plugged, operation);
        let mut listed: Vec<_> = machine
            .hierarchy
            .functions()
            .into_iter()
            .filter(|function| slot(function.parent.as_deref()).is_some())
            .map(|function| (function.parent.unwrap_or_default(), function.name))
            .collect();
        listed.dedup();
        listed.sort();
        let expected: Vec<_> = plugged
            .iter()
            .map(|(port, card)| (port.to_string(), card.clone()))
            .collect();
        assert_eq!(listed, expected, "after {operation:?}");
        machine.save_and_restore();
        presence(&mut machine, &plugged);
    }
}

/// The ports with slots, and where they are as long as nobody changes bus numbers.
const SLOTS: [(&str, u8, u8); 3] = [("rp0", 0, 8), ("rp2", 0, 0x18), ("sw0p0", 3, 0)];

fn slot(port: Option<&str>) -> Option<&'static str> {
    SLOTS
        .iter()
        .map(|(name, ..)| *name)
        .find(|name| Some(*name) == port)
}

/// Does it, and whatever succeeded, does it to the model.
fn step(machine: &mut Machine, plugged: &mut BTreeMap<&'static str, String>, operation: Operation) {
    let name = |port: u8| PORTS[usize::from(port) % PORTS.len()];
    match operation {
        Operation::Plug { port, kind } => {
            let card = card(kind);
            let done = machine.hierarchy.plug(name(port), &card).is_ok();
            let free = slot(Some(name(port))).is_some_and(|port| !plugged.contains_key(port))
                && !plugged.values().any(|other| *other == card.name);
            assert!(free || !done, "{operation:?} was done");
            if done {
                plugged.insert(name(port), card.name);
            }
        }
        Operation::Unplug { port } => {
            if machine.hierarchy.unplug(name(port)).is_ok() {
                let card = plugged.remove(name(port));
                assert!(card.is_some(), "{operation:?}");
            }
        }
        other => machine.operate(other),
    }
}

/// Presence Detect State, bit 22 of Slot Control and Status (PCIe 6.2 section 7.5.3.11), says who is there.
fn presence(machine: &mut Machine, plugged: &BTreeMap<&'static str, String>) {
    for (name, bus, devfn) in SLOTS {
        let control_and_status = machine.config(bus, devfn, 0x58);
        if control_and_status == u32::MAX {
            // Nothing on the way to it answers: a link is down.
            continue;
        }
        let present = control_and_status & (1 << 22) != 0;
        assert_eq!(present, plugged.contains_key(name), "presence of '{name}'");
        let secondary = machine.config(bus, devfn, 0x18).to_le_bytes()[1];
        if !present {
            assert_eq!(machine.config(secondary, 0, 0), u32::MAX, "behind '{name}'");
        }
    }
}

//! Accesses of any size and offset to a whole hierarchy, while cards come and go, it is reset, saved and restored.

use crate::machine::Action;
use crate::machine::Machine;
use crate::steps;
use arbitrary::Unstructured;

/// More would only take longer.
const ACTIONS_MAX: usize = 32;

/// Does what the input says, and then saves and restores what came of it.
///
/// # Panics
///
/// - reading twice gives different answers, or an access of an impossible size is answered;
/// - what was saved is not restored, or not saved again as it was;
/// - a second reset changes anything.
pub fn run(data: &[u8]) {
    let mut machine = Machine::new();
    let mut input = Unstructured::new(data);
    for action in steps::<Action>(&mut input).take(ACTIONS_MAX) {
        machine.perform(action);
    }
    machine.save_and_restore();
    machine.perform(Action::Reset);
    let after_reset = machine.save();
    machine.perform(Action::Reset);
    assert_eq!(machine.save(), after_reset, "a reset after a reset");
}

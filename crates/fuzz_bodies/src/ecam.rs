//! Accesses of any size and offset to a whole hierarchy, while cards come and go, it is reset, saved and restored.

use crate::action::Action;
use crate::action::nth;
use crate::machine::LAYOUTS;
use crate::machine::Machine;
use crate::steps;
use arbitrary::Unstructured;

/// More would only take longer.
const ACTIONS_MAX: usize = 32;
/// As would this: whatever other state there is, a shorter input ends with it.
const RESTORES_MAX: usize = 1;
/// The bit of the first byte that asks for two resets at the end.
const RESETS: u8 = 0x80;

/// Does what the input says to the hierarchy that its first byte chooses, and then saves and restores what came of it.
///
/// # Panics
///
/// - reading twice gives different answers, or an access of an impossible size is answered;
/// - what was saved is not restored, or not saved again as it was;
/// - a second reset changes anything.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let layout = input.arbitrary().map_or(0, |choice: u8| choice);
    let mut machine = Machine::new(nth(&LAYOUTS, layout));
    let mut restores = 0;
    for action in steps::<Action>(&mut input).take(ACTIONS_MAX) {
        if matches!(action, Action::Restore) {
            restores += 1;
            if restores > RESTORES_MAX {
                continue;
            }
        }
        machine.perform(&action);
    }
    machine.save_and_restore();
    if layout & RESETS == 0 {
        return;
    }
    machine.perform(&Action::Reset);
    let after_reset = machine.saved_bytes();
    machine.perform(&Action::Reset);
    assert!(
        machine.saved_bytes() == after_reset,
        "a reset after a reset"
    );
}

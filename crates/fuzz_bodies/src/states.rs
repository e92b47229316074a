//! Saved states with bytes changed.

use crate::action::Action;
use crate::action::nth;
use crate::machine::LAYOUTS;
use crate::machine::Machine;
use crate::steps;
use arbitrary::Arbitrary;
use arbitrary::Result;
use arbitrary::Unstructured;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::SavedStateBlob;

/// Before saving, and after.
const ACTIONS_MAX: usize = 12;
const CHANGES_MAX: usize = 5;

/// What becomes of the bytes at a place.
#[derive(Copy, Clone, Debug)]
enum Change {
    /// A value.
    Set(u16, u8),
    /// A bit of a value.
    Flip(u16, u8),
    /// Any byte.
    Replace(u16, u8),
    Insert(u16, u8),
    Remove(u16, u8),
    Repeat(u16, u8),
    Truncate(u16),
}

impl<'a> Arbitrary<'a> for Change {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let (choice, place) = (input.arbitrary::<u8>()?, input.arbitrary()?);
        Ok(match choice % 16 {
            0..=4 => Self::Set(place, input.arbitrary()?),
            5..=10 => Self::Flip(place, input.arbitrary()?),
            11 => Self::Replace(place, input.arbitrary()?),
            12 => Self::Insert(place, input.arbitrary()?),
            13 => Self::Remove(place, input.arbitrary()?),
            14 => Self::Repeat(place, input.arbitrary()?),
            _ => Self::Truncate(place),
        })
    }
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>) {
        let at = |place: u16| usize::from(place) % bytes.len().max(1);
        // Most of a state are names. What is no text is values, lengths and tags.
        let value = |place: u16| {
            let values = || (0..bytes.len()).filter(|at| !bytes[*at].is_ascii_graphic());
            values().nth(usize::from(place) % values().count().max(1))
        };
        match self {
            Self::Set(place, byte) => {
                if let Some(at) = value(place) {
                    bytes[at] = byte;
                }
            }
            Self::Flip(place, bit) => {
                if let Some(at) = value(place) {
                    bytes[at] ^= 1 << (bit % 8);
                }
            }
            Self::Replace(place, byte) => {
                let at = at(place);
                if let Some(old) = bytes.get_mut(at) {
                    *old = byte;
                }
            }
            Self::Insert(place, value) => bytes.insert(at(place), value),
            Self::Remove(place, len) => {
                let start = at(place);
                bytes.drain(start..(start + usize::from(len)).min(bytes.len()));
            }
            Self::Repeat(place, len) => {
                let start = at(place);
                let end = (start + usize::from(len)).min(bytes.len());
                bytes.extend_from_within(start..end);
            }
            Self::Truncate(place) => bytes.truncate(at(place)),
        }
    }
}

/// Restores a state with bytes changed into a machine that went on since.
///
/// # Panics
///
/// - the verdict of `check` is not that of `restore`;
/// - a refused state changed something;
/// - an accepted state that is as it was saved, is not there then;
/// - what an accepted state left behind is not restored as it is saved.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let [layout, first, then, changes] = input.arbitrary::<[u8; 4]>().unwrap_or_default();
    // Few, or nothing decodes; and before the actions, or there is no input left for them.
    let changes: Vec<_> = steps::<Change>(&mut input)
        .take(usize::from(changes) % CHANGES_MAX)
        .collect();
    let mut machine = Machine::new(nth(&LAYOUTS, layout));
    act(&mut machine, &mut input, first);
    let saved = machine.saved_bytes();
    // What is restored only in part is seen where the state is another by now.
    act(&mut machine, &mut input, then);
    let mut changed = saved.clone();
    for change in changes {
        change.apply(&mut changed);
    }
    let Ok(state) = mesh_protobuf::decode::<SavedStateBlob>(&changed) else {
        return;
    };
    let before = machine.saved_bytes();
    let checked = ProtobufSaveRestore::check(machine.root(), &state);
    if checked.is_ok() {
        assert!(machine.saved_bytes() == before, "a check changed something");
    }
    let restored = ProtobufSaveRestore::restore(machine.root(), state);
    assert_eq!(
        checked.is_ok(),
        restored.is_ok(),
        "check: {checked:?}; restore: {restored:?}"
    );
    match restored {
        Ok(()) => {
            if changed == saved {
                assert!(machine.saved_bytes() == saved, "accepted, and not restored");
            }
            machine.save_and_restore();
        }
        Err(error) => {
            // The check was before: what it changes, is seen here.
            assert!(
                machine.saved_bytes() == before,
                "refused, and changed: {error:?}"
            );
        }
    }
}

/// Does some of what the input says. Saving and restoring comes later.
fn act(machine: &mut Machine, input: &mut Unstructured<'_>, count: u8) {
    for action in steps::<Action>(input).take(usize::from(count) % ACTIONS_MAX) {
        if !matches!(action, Action::Restore) {
            machine.perform(&action);
        }
    }
}

//! Saved states with bytes changed.

use crate::machine::Action;
use crate::machine::Machine;
use crate::steps;
use arbitrary::Arbitrary;
use arbitrary::Unstructured;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::SavedStateBlob;

const ACTIONS_MAX: usize = 16;
const CHANGES_MAX: usize = 16;

/// What becomes of the bytes at a place.
#[derive(Arbitrary, Copy, Clone, Debug)]
enum Change {
    Set(u16, u8),
    Flip(u16, u8),
    Insert(u16, u8),
    Remove(u16, u8),
    Repeat(u16, u8),
    Truncate(u16),
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>) {
        let at = |place: u16| usize::from(place) % bytes.len().max(1);
        match self {
            Self::Set(place, value) => {
                let at = at(place);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            Self::Flip(place, bit) => {
                let at = at(place);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
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

/// Restores a state with bytes changed.
///
/// # Panics
///
/// - the verdict of `check` is not that of `restore`;
/// - a refused state changed something;
/// - what an accepted state left behind is not restored as it is saved.
pub fn run(data: &[u8]) {
    let mut machine = Machine::new();
    let mut input = Unstructured::new(data);
    let actions = input.arbitrary::<u8>().map_or(0, usize::from) % ACTIONS_MAX;
    for action in steps::<Action>(&mut input).take(actions) {
        machine.perform(action);
    }
    let before = mesh_protobuf::encode(machine.save());
    let mut changed = before.clone();
    for change in steps::<Change>(&mut input).take(CHANGES_MAX) {
        change.apply(&mut changed);
    }
    let Ok(state) = mesh_protobuf::decode::<SavedStateBlob>(&changed) else {
        return;
    };
    let checked = ProtobufSaveRestore::check(machine.root(), &state);
    assert_eq!(mesh_protobuf::encode(machine.save()), before, "a check");
    let restored = ProtobufSaveRestore::restore(machine.root(), state);
    assert_eq!(
        checked.is_ok(),
        restored.is_ok(),
        "check: {checked:?}; restore: {restored:?}"
    );
    match restored {
        Ok(()) => machine.save_and_restore(),
        Err(error) => {
            let after = mesh_protobuf::encode(machine.save());
            assert_eq!(after, before, "refused, and changed: {error:?}");
        }
    }
}

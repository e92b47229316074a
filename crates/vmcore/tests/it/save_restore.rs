//! Saving and restoring through the derive, the typed trait and the blob trait.

use mesh_protobuf::Protobuf;
use vmcore::save_restore::NoSavedState;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;
use vmcore::save_restore::SavedStateBlob;
use vmcore::save_restore::SavedStateNotSupported;
use vmcore::save_restore::SavedStateRoot;
use vmcore::save_restore::saved_state_roots;

#[derive(Debug, PartialEq, Eq)]
struct Counter {
    count: u16,
}

/// As devices do it: the state sits in a private module, reachable through the trait alone.
mod state {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Protobuf, SavedStateRoot)]
    #[mesh(package = "test.counter")]
    pub(super) struct SavedState {
        #[mesh(1)]
        pub(super) count: u16,
    }
}

impl SaveRestore for Counter {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(state::SavedState { count: self.count })
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        SaveRestore::check(self, &state)?;
        self.count = state.count;
        Ok(())
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        if state.count > 100 {
            return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                "count {} is above 100",
                state.count
            )));
        }
        Ok(())
    }
}

struct Stateless;

impl SaveRestore for Stateless {
    type SavedState = NoSavedState;

    fn save(&mut self) -> Result<NoSavedState, SaveError> {
        Ok(NoSavedState)
    }

    fn restore(&mut self, NoSavedState: NoSavedState) -> Result<(), RestoreError> {
        Ok(())
    }
}

struct Unsaveable;

impl SaveRestore for Unsaveable {
    type SavedState = SavedStateNotSupported;

    fn save(&mut self) -> Result<SavedStateNotSupported, SaveError> {
        Err(SaveError::NotSupported)
    }

    fn restore(&mut self, state: SavedStateNotSupported) -> Result<(), RestoreError> {
        match state {}
    }
}

fn blob(count: u16) -> SavedStateBlob {
    SavedStateBlob::new(state::SavedState { count })
}

/// The messages of an error and its sources, as `anyhow` prints them.
fn chain(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

#[test]
fn a_blob_is_an_any_message() {
    // `type.googleapis.com/test.counter.SavedState` has 20 + 23 = 43 = 0x2b characters.
    let mut expected = vec![0x0a, 0x2b];
    expected.extend(b"type.googleapis.com/test.counter.SavedState");
    expected.extend([0x12, 0x02, 0x08, 0x07]);
    assert_eq!(mesh_protobuf::encode(blob(7)), expected);
    assert_eq!(
        mesh_protobuf::decode::<SavedStateBlob>(&expected).unwrap(),
        blob(7)
    );
}

#[test]
fn any_device_saves_and_restores_through_blobs() {
    let mut counter = Counter { count: 7 };
    let device: &mut dyn ProtobufSaveRestore = &mut counter;
    let saved = device.save().unwrap();
    assert_eq!(saved, blob(7));
    device.restore(blob(9)).unwrap();
    device.check(&saved).unwrap();
    assert_eq!(counter.count, 9, "a check changes nothing");

    let device: &mut dyn ProtobufSaveRestore = &mut Stateless;
    let saved = device.save().unwrap();
    assert_eq!(saved.parse::<NoSavedState>().unwrap(), NoSavedState);
    device.check(&saved).unwrap();
    device.restore(saved).unwrap();
}

#[test]
fn a_refused_state_changes_nothing() {
    let mut counter = Counter { count: 7 };
    let device: &mut dyn ProtobufSaveRestore = &mut counter;
    assert_eq!(
        chain(device.check(&blob(101)).unwrap_err()),
        "the saved state is invalid: count 101 is above 100"
    );
    assert_eq!(
        chain(device.restore(blob(101)).unwrap_err()),
        "the saved state is invalid: count 101 is above 100"
    );
    let other = SavedStateBlob::new(NoSavedState);
    let wrong_type = "failed to decode the saved state: the message is \
        'type.googleapis.com/save_restore.NoSavedState' instead of 'test.counter.SavedState'";
    assert_eq!(chain(device.check(&other).unwrap_err()), wrong_type);
    assert_eq!(chain(device.restore(other).unwrap_err()), wrong_type);
    assert_eq!(counter.count, 7);
}

#[test]
fn a_device_without_saved_state_refuses_every_blob() {
    let device: &mut dyn ProtobufSaveRestore = &mut Unsaveable;
    assert!(matches!(device.save(), Err(SaveError::NotSupported)));
    let forged = mesh_protobuf::ProtobufAny {
        type_url: "type.googleapis.com/save_restore.SavedStateNotSupported".to_owned(),
        value: vec![],
    };
    let forged: SavedStateBlob = mesh_protobuf::decode(&mesh_protobuf::encode(forged)).unwrap();
    assert_eq!(
        chain(device.restore(forged).unwrap_err()),
        "failed to decode the saved state: save_restore.SavedStateNotSupported: no known variant is present"
    );
}

#[test]
fn errors_name_the_path_to_the_part() {
    let error = RestoreError::InvalidSavedState(anyhow::anyhow!("vector 9 of 8"));
    let error = error
        .in_child("msi-x")
        .in_child("cfg_space")
        .in_child("rp0");
    assert_eq!(error.to_string(), "failed to restore 'rp0/cfg_space/msi-x'");
    assert_eq!(
        chain(error),
        "failed to restore 'rp0/cfg_space/msi-x': the saved state is invalid: vector 9 of 8"
    );

    let error = SaveError::NotSupported.in_child("nvme0").in_child("rp0");
    assert_eq!(
        chain(error),
        "failed to save 'rp0/nvme0': the device does not support saved state"
    );

    let other = RestoreError::Other(anyhow::anyhow!("cause").context("effect"));
    assert_eq!(chain(other), "effect: cause");
    let error = RestoreError::UnknownEntryId("rp9".to_owned());
    assert_eq!(
        error.to_string(),
        "the saved state has a part 'rp9', which the device has not"
    );
}

#[test]
fn the_roots_are_listed() {
    let mut names: Vec<_> = saved_state_roots()
        .map(|message| message.full_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "save_restore.NoSavedState",
            "test.api.SavedState",
            "test.counter.SavedState"
        ]
    );
}

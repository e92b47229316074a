//! The saved states of a device's parts, each with a label.

use super::ProtobufSaveRestore;
use super::SaveError;
use super::SavedStateBlob;
use mesh_protobuf::EncodedList;
use mesh_protobuf::Error;
use mesh_protobuf::Presence;
use mesh_protobuf::Protobuf;

/// The saved states of a device's parts, each with a label, in the order in which they were saved.
///
/// In a message it is the same as a `Vec<(String, SavedStateBlob)>`, but takes neither a label nor a blob of its own for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Protobuf)]
#[mesh(transparent)]
pub struct SavedParts(EncodedList<(String, SavedStateBlob)>);

impl SavedParts {
    /// Saves `part`, and appends its state. Labels need not be unique.
    ///
    /// # Errors
    ///
    /// As [`ProtobufSaveRestore::save`], as an error of the part that `label` names.
    pub fn save<P: ProtobufSaveRestore + ?Sized>(
        &mut self,
        part: &mut P,
        label: impl Fn(&P) -> &str,
    ) -> Result<(), SaveError> {
        let saved = self.0.push_with(|writer| {
            writer.text(1, Presence::Implicit, label(part));
            part.save_field(2, writer)
        });
        saved.map_err(|error| error.in_child(label(part)))
    }

    /// The labels and the states.
    ///
    /// # Errors
    ///
    /// What a part wrote in its own [`save_field`](ProtobufSaveRestore::save_field) is no state.
    pub fn states(&self) -> Result<Vec<(String, SavedStateBlob)>, Error> {
        self.0.elements()
    }
}

impl From<Vec<(String, SavedStateBlob)>> for SavedParts {
    fn from(states: Vec<(String, SavedStateBlob)>) -> Self {
        Self(states.into())
    }
}

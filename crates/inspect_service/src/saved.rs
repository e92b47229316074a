//! A hierarchy's saved state: those of its root complexes, by name.

use crate::OperationError;
use mesh_protobuf::Protobuf;
use pcie_topology::Hierarchy;
use vmcore::device_state::ChangeDeviceState;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::SavedStateBlob;

#[derive(Protobuf)]
#[mesh(package = "inspect_service")]
struct SavedHierarchy {
    #[mesh(1)]
    complexes: Vec<SavedComplex>,
}

#[derive(Protobuf)]
#[mesh(package = "inspect_service")]
struct SavedComplex {
    #[mesh(1)]
    name: String,
    #[mesh(2)]
    state: SavedStateBlob,
}

/// Saves every root complex.
pub(crate) fn save(hierarchy: &mut Hierarchy) -> Result<Vec<u8>, OperationError> {
    let mut complexes = Vec::new();
    for complex in &mut hierarchy.complexes {
        let state = ProtobufSaveRestore::save(&mut complex.root).map_err(|error| {
            OperationError::Failed(format!(
                "root complex '{}': {}",
                complex.name,
                chain(&error)
            ))
        })?;
        complexes.push(SavedComplex {
            name: complex.name.clone(),
            state,
        });
    }
    Ok(mesh_protobuf::encode(SavedHierarchy { complexes }))
}

/// Restores every root complex, or none: each is asked first whether it would take its state.
pub(crate) fn restore(hierarchy: &mut Hierarchy, state: &[u8]) -> Result<(), OperationError> {
    let saved: SavedHierarchy = mesh_protobuf::decode(state)
        .map_err(|error| OperationError::Invalid(format!("this is no saved state: {error}")))?;
    let same_names = saved.complexes.len() == hierarchy.complexes.len()
        && saved
            .complexes
            .iter()
            .zip(&hierarchy.complexes)
            .all(|(saved, complex)| saved.name == complex.name);
    if !same_names {
        return Err(OperationError::Conflict(
            "the saved state is of other root complexes".to_string(),
        ));
    }
    for (saved, complex) in saved.complexes.iter().zip(&mut hierarchy.complexes) {
        ProtobufSaveRestore::check(&mut complex.root, &saved.state).map_err(|error| {
            OperationError::Conflict(format!(
                "root complex '{}': {}",
                complex.name,
                chain(&error)
            ))
        })?;
    }
    for (saved, complex) in saved.complexes.into_iter().zip(&mut hierarchy.complexes) {
        let name = &complex.name;
        pollster::block_on(complex.root.stop());
        let restored = ProtobufSaveRestore::restore(&mut complex.root, saved.state);
        complex.root.start();
        restored.map_err(|error| {
            OperationError::Failed(format!("root complex '{name}': {}", chain(&error)))
        })?;
    }
    Ok(())
}

/// An error and its sources, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

//! The state of a multi-function device: that of each function whose lifecycle is the port's.

use super::Function;
use super::MultiFunctionDevice;
use anyhow::anyhow;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateBlob;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "pci.multi_function")]
    pub struct SavedState {
        #[mesh(1)]
        pub functions: Vec<FunctionState>,
    }

    #[derive(Clone, Protobuf)]
    #[mesh(package = "pci.multi_function")]
    pub struct FunctionState {
        #[mesh(1)]
        pub number: u8,
        #[mesh(2)]
        pub name: String,
        #[mesh(3)]
        pub device: SavedStateBlob,
    }
}

use state::FunctionState;

fn invalid(error: anyhow::Error) -> RestoreError {
    RestoreError::InvalidSavedState(error)
}

impl MultiFunctionDevice {
    fn numbered(&mut self) -> impl Iterator<Item = (u8, &mut Function)> {
        let functions = (0..=u8::MAX).zip(&mut self.functions);
        functions.filter_map(|(number, function)| Some((number, function.as_mut()?)))
    }

    fn apply(&mut self, states: Vec<FunctionState>) -> Result<(), RestoreError> {
        for state in states {
            let Some(function) = self.function(state.number) else {
                continue;
            };
            if let Some(device) = function.managed() {
                device
                    .restore(state.device)
                    .map_err(|error| error.in_child(state.name))?;
            }
        }
        Ok(())
    }
}

impl SaveRestore for MultiFunctionDevice {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        let save = |(number, Function { name, device }): (u8, &mut Function)| {
            let device = device.managed()?.save();
            Some(match device {
                Ok(device) => Ok(FunctionState {
                    number,
                    name: name.to_string(),
                    device,
                }),
                Err(error) => Err(error.in_child(name.to_string())),
            })
        };
        Ok(state::SavedState {
            functions: self.numbered().filter_map(save).collect::<Result<_, _>>()?,
        })
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        let mut saved = state.functions.iter();
        for (number, Function { name, device }) in self.numbered() {
            let Some(device) = device.managed() else {
                continue;
            };
            match saved.next() {
                Some(state) if state.number == number && state.name == **name => device
                    .check(&state.device)
                    .map_err(|error| error.in_child(name.to_string()))?,
                Some(state) => {
                    return Err(invalid(anyhow!(
                        "function {} is '{}' in the saved state, where function {number} is '{name}'",
                        state.number,
                        state.name
                    )));
                }
                None => {
                    return Err(invalid(anyhow!(
                        "function {number}, '{name}', is not in the saved state"
                    )));
                }
            }
        }
        match saved.next() {
            Some(state) => Err(invalid(anyhow!(
                "the saved state has function {}, '{}', which is not here",
                state.number,
                state.name
            ))),
            None => Ok(()),
        }
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&state)?;
        // A function from elsewhere may still refuse; then all go back.
        let before = SaveRestore::save(self).map_err(|error| RestoreError::Other(error.into()))?;
        let applied = self.apply(state.functions);
        if applied.is_err() {
            self.apply(before.functions)?;
        }
        applied
    }
}

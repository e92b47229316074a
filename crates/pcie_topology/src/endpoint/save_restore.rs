//! Saving and restoring an endpoint: every function is checked, then every function is restored.

use super::TestEndpoint;
use super::function::EndpointFunction;
use super::function::SCRATCH_SIZE;
use anyhow::anyhow;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

mod state {
    use cxl_spec::CxlComponentRegisters;
    use mesh_protobuf::Protobuf;
    use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
    use vmcore::save_restore::SaveRestore;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "pcie_topology.endpoint")]
    pub struct SavedState {
        #[mesh(1)]
        pub functions: Vec<FunctionState>,
        /// Requests to be retried until it is ready.
        #[mesh(2)]
        pub retries_left: Option<u32>,
    }

    #[derive(Protobuf)]
    #[mesh(package = "pcie_topology.endpoint")]
    pub struct FunctionState {
        #[mesh(1)]
        pub cfg_space: <ConfigSpaceType0Emulator as SaveRestore>::SavedState,
        /// Without the zeros at its end.
        #[mesh(2)]
        pub scratch: Vec<u8>,
        #[mesh(3)]
        pub cxl_component_registers: Option<<CxlComponentRegisters as SaveRestore>::SavedState>,
    }
}

use state::FunctionState;

fn invalid(error: anyhow::Error) -> RestoreError {
    RestoreError::InvalidSavedState(error)
}

impl SaveRestore for TestEndpoint {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        let save = |(i, function): (usize, &mut EndpointFunction)| {
            function
                .save()
                .map_err(|error| error.in_child(format!("function {i}")))
        };
        Ok(state::SavedState {
            functions: self
                .functions
                .iter_mut()
                .enumerate()
                .map(save)
                .collect::<Result<_, _>>()?,
            retries_left: (self.retries_left != 0).then_some(self.retries_left),
        })
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        let (saved, live) = (state.functions.len(), self.functions.len());
        if saved != live {
            return Err(invalid(anyhow!(
                "{saved} functions in the saved state; '{}' has {live}",
                self.name
            )));
        }
        for (i, (function, state)) in self.functions.iter_mut().zip(&state.functions).enumerate() {
            function
                .check(state)
                .map_err(|error| error.in_child(format!("function {i}")))?;
        }
        Ok(())
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&state)?;
        for (i, (function, state)) in self.functions.iter_mut().zip(state.functions).enumerate() {
            function
                .restore(state)
                .map_err(|error| error.in_child(format!("function {i}")))?;
        }
        self.retries_left = state.retries_left.unwrap_or(0).min(self.retries);
        Ok(())
    }
}

impl EndpointFunction {
    fn save(&mut self) -> Result<FunctionState, SaveError> {
        let used = self
            .scratch
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        Ok(FunctionState {
            cfg_space: self.cfg_space.save()?,
            scratch: self.scratch.iter().take(used).copied().collect(),
            cxl_component_registers: self
                .cxl
                .as_mut()
                .map(|cxl| cxl.registers.save())
                .transpose()?,
        })
    }

    fn check(&mut self, state: &FunctionState) -> Result<(), RestoreError> {
        let scratch = state.scratch.len();
        if scratch > SCRATCH_SIZE {
            return Err(invalid(anyhow!(
                "{scratch} bytes of scratch memory in the saved state; there are {SCRATCH_SIZE}"
            )));
        }
        match (&state.cxl_component_registers, &mut self.cxl) {
            (Some(saved), Some(cxl)) => cxl.registers.check(saved)?,
            (None, None) => {}
            (Some(_), None) => {
                return Err(invalid(anyhow!(
                    "the saved state has CXL component registers; the function has none"
                )));
            }
            (None, Some(_)) => {
                return Err(invalid(anyhow!(
                    "the function has CXL component registers; the saved state has none"
                )));
            }
        }
        self.cfg_space.check(&state.cfg_space)
    }

    /// Restores a state that was checked.
    fn restore(&mut self, state: FunctionState) -> Result<(), RestoreError> {
        self.cfg_space.restore(state.cfg_space)?;
        if let (Some(saved), Some(cxl)) = (state.cxl_component_registers, &mut self.cxl) {
            cxl.registers.restore(saved)?;
        }
        self.scratch = state.scratch;
        if !self.scratch.is_empty() {
            self.scratch.resize(SCRATCH_SIZE, 0);
        }
        Ok(())
    }
}

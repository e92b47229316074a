//! The saved state: registers by name, and the errors behind the log.

use super::AerExtendedCapability;
use super::RECORDED_HEADERS_MAX;
use super::RecordedError;
use crate::capabilities::saved_registers;
use crate::spec::caps::aer::AerReg;
use crate::spec::caps::aer::UncorrectableErrorBit;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

mod state {
    use crate::capabilities::saved_registers::SavedRegister;
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Debug, Protobuf)]
    #[mesh(package = "pci.capabilities.extended.aer")]
    pub struct SavedRecordedError {
        #[mesh(1)]
        pub bit: u8,
        #[mesh(2)]
        pub header: [u32; 4],
    }

    #[derive(Debug, Protobuf, SavedStateRoot)]
    #[mesh(package = "pci.capabilities.extended.aer")]
    pub struct SavedState {
        #[mesh(1)]
        pub registers: Vec<SavedRegister>,
        #[mesh(2)]
        pub recorded: Vec<SavedRecordedError>,
    }
}

fn invalid(reason: String) -> Result<(), RestoreError> {
    Err(RestoreError::InvalidSavedState(anyhow::Error::msg(reason)))
}

impl SaveRestore for AerExtendedCapability {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        let recorded = self.recorded.iter().map(|error| state::SavedRecordedError {
            bit: error.bit.0,
            header: error.header,
        });
        Ok(state::SavedState {
            registers: saved_registers::save(self).registers,
            recorded: recorded.collect(),
        })
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        saved_registers::check(self, &state.registers)?;
        let (count, max) = (state.recorded.len(), RECORDED_HEADERS_MAX - 1);
        if count > max {
            return invalid(format!(
                "AER: {count} errors behind the log in the saved state; there is room for {max}"
            ));
        }
        let known = self.registers.writable(AerReg::UncorrectableStatus);
        for error in &state.recorded {
            let mask = 1u32.checked_shl(error.bit.into()).unwrap_or(0);
            if known & mask == 0 {
                return invalid(format!(
                    "AER: error {} in the saved state; the function does not have it",
                    error.bit
                ));
            }
        }
        Ok(())
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&state)?;
        saved_registers::restore(self, &state.registers);
        let recorded = state.recorded.into_iter().map(|error| RecordedError {
            bit: UncorrectableErrorBit(error.bit),
            header: error.header,
        });
        self.recorded = recorded.collect();
        let event = self.error_event();
        self.interrupt.restore(event);
        Ok(())
    }
}

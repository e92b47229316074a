//! A block for tests.

use super::CxlComponentRegister;
use crate::spec::CxlComponentRegisterType;
use inspect::Inspect;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

/// A block of plain memory: capability ID 0x20, version 1.
#[derive(Inspect)]
pub struct TestCxlComponentRegisterBlock {
    register_type: CxlComponentRegisterType,
    #[inspect(hex)]
    bytes: Vec<u8>,
}

impl TestCxlComponentRegisterBlock {
    /// A block of `len` bytes.
    pub fn new(register_type: CxlComponentRegisterType, len: usize) -> Self {
        Self {
            register_type,
            bytes: vec![0; len],
        }
    }
}

impl CxlComponentRegister for TestCxlComponentRegisterBlock {
    fn label(&self) -> &str {
        "test-register-block"
    }

    fn register_type(&self) -> CxlComponentRegisterType {
        self.register_type
    }

    fn capability_id(&self) -> u16 {
        0x20
    }

    fn capability_version(&self) -> u8 {
        1
    }

    fn len(&self) -> u16 {
        u16::try_from(self.bytes.len()).unwrap_or(u16::MAX)
    }

    fn read_u32(&self, offset: u16) -> Option<u32> {
        let bytes = self.bytes.get(usize::from(offset)..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }

    fn write_u32(&mut self, offset: u16, val: u32) -> bool {
        let rest = self.bytes.get_mut(usize::from(offset)..);
        match rest.and_then(|rest| rest.first_chunk_mut()) {
            Some(bytes) => {
                *bytes = val.to_le_bytes();
                true
            }
            None => false,
        }
    }

    fn reset(&mut self) {
        self.bytes.fill(0);
    }
}

mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "cxl.component_registers.test_helper")]
    pub struct SavedState {
        #[mesh(1)]
        pub bytes: Vec<u8>,
    }
}

impl SaveRestore for TestCxlComponentRegisterBlock {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(state::SavedState {
            bytes: self.bytes.clone(),
        })
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&state)?;
        self.bytes = state.bytes;
        Ok(())
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        let (found, expected) = (state.bytes.len(), self.bytes.len());
        if found != expected {
            return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                "the test block has {found} bytes in the saved state; it has {expected} here"
            )));
        }
        Ok(())
    }
}

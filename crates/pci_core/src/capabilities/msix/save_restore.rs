//! The saved state: the table, and what is pending.

use super::*;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

#[expect(unreachable_pub, reason = "reached as `SaveRestore::SavedState`")]
mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Debug, Protobuf)]
    #[mesh(package = "pci.caps.msix")]
    pub struct SavedMsixMessageTableEntryState {
        #[mesh(1)]
        pub address: u64,
        #[mesh(2)]
        pub data: u32,
        #[mesh(3)]
        pub control: u32,
        #[mesh(4)]
        pub is_pending: bool,
    }

    #[derive(Debug, Protobuf, SavedStateRoot)]
    #[mesh(package = "pci.caps.msix")]
    pub struct SavedState {
        #[mesh(2)]
        pub enabled: bool,
        #[mesh(3)]
        pub vectors: Vec<SavedMsixMessageTableEntryState>,
        #[mesh(4)]
        pub function_mask: bool,
    }
}

impl SaveRestore for MsixCapability {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        let mut state = self.0.state.lock();
        let control = state.control();
        let vectors = state.entries.iter_mut().map(|entry| {
            let [low, high, data, control] = entry.words;
            state::SavedMsixMessageTableEntryState {
                address: (u64::from(high) << 32) | u64::from(low),
                data,
                control,
                is_pending: entry.vector.poll_pending(),
            }
        });
        Ok(state::SavedState {
            vectors: vectors.collect(),
            enabled: control.msix_enable(),
            function_mask: control.function_mask(),
        })
    }

    fn check(&mut self, saved: &Self::SavedState) -> Result<(), RestoreError> {
        let (count, found) = (self.0.layout.count, saved.vectors.len());
        if found != usize::from(count) {
            return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                "MSI-X: {found} vectors in the saved state; the function has {count}"
            )));
        }
        Ok(())
    }

    fn restore(&mut self, saved: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&saved)?;
        self.0.state.change(|state| {
            let control = state
                .control()
                .with_msix_enable(saved.enabled)
                .with_function_mask(saved.function_mask);
            state
                .registers
                .set(MsixReg::MessageControl, control.into_bits());
            for (entry, saved) in state.entries.iter_mut().zip(saved.vectors) {
                let [low, high] = [saved.address & 0xffff_ffff, saved.address >> 32]
                    .map(|half| u32::try_from(half).unwrap_or(0));
                entry.words = [low, high, saved.data, saved.control];
                entry.vector.reset();
                entry.vector.pending = saved.is_pending;
            }
            state.sync()
        });
        Ok(())
    }
}

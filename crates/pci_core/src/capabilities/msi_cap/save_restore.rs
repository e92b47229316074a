//! The saved state. Field numbers are for ever.

use super::*;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Debug, Protobuf, SavedStateRoot)]
    #[mesh(package = "pci.caps.msi")]
    pub struct SavedState {
        #[mesh(1)]
        pub enabled: bool,
        #[mesh(2)]
        pub multiple_message_enable: u8,
        #[mesh(3)]
        pub address: u64,
        #[mesh(4)]
        pub data: u16,
        #[mesh(5)]
        pub mask_bits: u32,
        /// Vectors with an interrupt not yet sent, whether or not the layout has a register for them.
        #[mesh(6)]
        pub pending_bits: u32,
    }
}

impl SaveRestore for MsiCapability {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        let mut state = self.state.lock();
        for vector in &mut state.vectors {
            vector.poll_pending();
        }
        state.show_pending();
        let control = state.registers.control();
        Ok(state::SavedState {
            enabled: control.msi_enable(),
            multiple_message_enable: state.registers.allocated(),
            address: state.registers.address(),
            data: state.registers.data(),
            mask_bits: state.registers.mask(),
            pending_bits: state.pending(),
        })
    }

    fn check(&mut self, saved: &Self::SavedState) -> Result<(), RestoreError> {
        let enable = saved.multiple_message_enable;
        if enable > MULTIPLE_MESSAGE_MAX {
            return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                "MSI: multiple message enable is {enable}; it is at most {MULTIPLE_MESSAGE_MAX}"
            )));
        }
        Ok(())
    }

    fn restore(&mut self, saved: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&saved)?;
        self.state.change(|state| {
            let control = state
                .registers
                .control()
                .with_msi_enable(saved.enabled)
                .with_multiple_message_enable(
                    saved
                        .multiple_message_enable
                        .min(self.multiple_message_capable),
                );
            state.registers.set_control(control);
            state.registers.set_address(saved.address);
            each!(&state.registers, (file, Reg) => file.set(Reg::MessageData, saved.data));
            let implemented = u32::MAX >> (32 - state.vectors.len());
            state.registers.set_mask(saved.mask_bits & implemented);
            for (n, vector) in (0u32..).zip(&mut state.vectors) {
                vector.reset();
                vector.pending = saved.pending_bits & (1 << n) != 0;
            }
            state.sync()
        });
        Ok(())
    }
}

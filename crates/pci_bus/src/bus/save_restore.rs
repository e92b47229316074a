//! Saving and restoring the address register.
//!
//! Deferred accesses are not saved: they belong to virtual processors that are stopped, and end with the device's answer or
//! with [`IoError::NoResponse`](chipset_device::io::IoError::NoResponse).

use super::GenericPciBus;
use crate::address::AddressRegister;
use state::SavedState;
use thiserror::Error;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    /// The saved state of a [`GenericPciBus`](crate::GenericPciBus).
    #[derive(Debug, Protobuf, SavedStateRoot)]
    #[mesh(package = "pci.bus")]
    pub struct SavedState {
        /// The address register.
        #[mesh(1)]
        pub pio_addr_reg: u32,
    }
}

/// A saved address register that no guest can have written.
#[derive(Debug, Error)]
#[error("address register {0:#010x}: bits 30:24 and 1:0 are hardwired to zero")]
struct InvalidAddress(u32);

fn checked(state: &SavedState) -> Result<AddressRegister, RestoreError> {
    let address = AddressRegister::from_write(state.pio_addr_reg);
    if address.into_bits() == state.pio_addr_reg {
        Ok(address)
    } else {
        let error = InvalidAddress(state.pio_addr_reg);
        Err(RestoreError::InvalidSavedState(error.into()))
    }
}

impl SaveRestore for GenericPciBus {
    type SavedState = SavedState;

    fn save(&mut self) -> Result<SavedState, SaveError> {
        Ok(SavedState {
            pio_addr_reg: self.address.into_bits(),
        })
    }

    fn restore(&mut self, state: SavedState) -> Result<(), RestoreError> {
        self.address = checked(&state)?;
        self.merges.clear();
        Ok(())
    }

    fn check(&mut self, state: &SavedState) -> Result<(), RestoreError> {
        checked(state).map(drop)
    }
}

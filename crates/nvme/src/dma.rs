//! Direct memory access: guest memory, as long as the function may reach it.

use crate::spec::Status;
use pci_core::bus_master::BusMaster;
use std::sync::Arc;
use vmcore::guest_memory::GuestMemory;
use zerocopy::FromBytes;
use zerocopy::FromZeros;
use zerocopy::Immutable;
use zerocopy::IntoBytes;

/// A transfer that did not happen.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum DmaError {
    /// Bus Master Enable is clear, here or in a bridge above.
    Disabled,
    /// There is no such memory.
    NotMemory,
}

impl From<DmaError> for Status {
    fn from(_: DmaError) -> Self {
        Self::DATA_TRANSFER_ERROR
    }
}

/// The function's way to guest memory.
pub(crate) struct Dma {
    memory: Arc<dyn GuestMemory>,
    bus_master: BusMaster,
}

impl Dma {
    pub(crate) fn new(memory: Arc<dyn GuestMemory>, bus_master: BusMaster) -> Self {
        Self { memory, bus_master }
    }

    pub(crate) fn enabled(&self) -> bool {
        self.bus_master.is_enabled()
    }

    fn check(&self, gpa: u64, len: usize) -> Result<(), DmaError> {
        if !self.enabled() {
            return Err(DmaError::Disabled);
        }
        match gpa.checked_add(len as u64) {
            Some(_) => Ok(()),
            None => Err(DmaError::NotMemory),
        }
    }

    pub(crate) fn read(&self, gpa: u64, data: &mut [u8]) -> Result<(), DmaError> {
        self.check(gpa, data.len())?;
        let read = self.memory.read(gpa, data);
        read.map_err(|_| DmaError::NotMemory)
    }

    pub(crate) fn write(&self, gpa: u64, data: &[u8]) -> Result<(), DmaError> {
        self.check(gpa, data.len())?;
        let written = self.memory.write(gpa, data);
        written.map_err(|_| DmaError::NotMemory)
    }

    /// Reads a value that has the same layout there.
    pub(crate) fn read_value<T: FromBytes + IntoBytes + FromZeros>(
        &self,
        gpa: u64,
    ) -> Result<T, DmaError> {
        let mut value = T::new_zeroed();
        self.read(gpa, value.as_mut_bytes())?;
        Ok(value)
    }

    pub(crate) fn write_value<T: IntoBytes + Immutable>(
        &self,
        gpa: u64,
        value: &T,
    ) -> Result<(), DmaError> {
        self.write(gpa, value.as_bytes())
    }
}

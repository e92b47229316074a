//! Guest memory: what a device reads and writes by DMA, and what it brings along.

use std::io;

/// The guest's memory, as a device reaches it by direct memory access.
///
/// The monitor implements this; a device calls it from threads of its own, while the guest's processors run. The memory is shared with
/// them: what was read may change right after, so a device reads what it decides by once.
///
/// The implementor makes a naturally aligned access of 1, 2, 4 or 8 bytes in one piece, and doesn't block. A device that needs its
/// writes seen in an order puts a [`fence`](std::sync::atomic::fence) between them.
pub trait GuestMemory: Send + Sync {
    /// Fills `data` with the bytes from guest physical address `gpa` on.
    ///
    /// # Errors
    ///
    /// When not all of the bytes are memory. What `data` then holds is not said.
    fn read(&self, gpa: u64, data: &mut [u8]) -> Result<(), NotMemory>;

    /// Writes `data` from guest physical address `gpa` on.
    ///
    /// # Errors
    ///
    /// When not all of the bytes are memory that can be written. Some of them may have been written.
    fn write(&self, gpa: u64, data: &[u8]) -> Result<(), NotMemory>;
}

/// Guest physical addresses that are not memory, or cannot be written.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len:#x} bytes at {gpa:#x} are not all guest memory")]
pub struct NotMemory {
    /// Address of the first byte asked for.
    pub gpa: u64,
    /// Bytes asked for.
    pub len: usize,
}

/// Memory of a device that can appear in the guest's physical address space, such as a BAR that is plain memory.
///
/// The monitor implements this on its mapping of the memory; the device's BAR calls it when the guest places the BAR.
pub trait MappableGuestMemory: Send + Sync {
    /// Maps the memory at guest physical address `gpa`, from wherever it was. The guest can write to it if `writable`.
    ///
    /// # Errors
    ///
    /// When the hypervisor refuses the mapping. The memory is unmapped then.
    fn map_to_guest(&mut self, gpa: u64, writable: bool) -> io::Result<()>;

    /// Takes the memory out of the guest's address space. Nothing happens when it is unmapped.
    fn unmap_from_guest(&mut self);
}

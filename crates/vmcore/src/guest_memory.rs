//! Guest memory that a device brings along.

use std::io;

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

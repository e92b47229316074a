//! Guest memory of the `vm-memory` crate.
//!
//! It is here, and not beside the trait, since that crate compares its own integers with the primitive ones: in whatever links it, the
//! type of an empty array no longer follows from what it is compared with.

use std::fmt;
use vm_memory::Bytes;
use vm_memory::GuestAddress;
use vmcore::guest_memory::GuestMemory;
use vmcore::guest_memory::NotMemory;

/// Guest memory as the `vm-memory` crate has it.
///
/// ```
/// use nvme::VmMemory;
/// use vm_memory::{GuestAddress, GuestMemoryMmap};
/// use vmcore::guest_memory::GuestMemory;
///
/// let memory: GuestMemoryMmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0x1000), 0x1000)])?;
/// let memory = VmMemory(memory);
/// memory.write(0x1ff8, &[7; 8])?;
/// let mut data = [0; 4];
/// memory.read(0x1ffc, &mut data)?;
/// assert_eq!(data, [7; 4]);
/// assert!(memory.read(0x1ffd, &mut data).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct VmMemory<M>(pub M);

impl<M> fmt::Debug for VmMemory<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VmMemory")
    }
}

impl<M: vm_memory::GuestMemory + Send + Sync> GuestMemory for VmMemory<M> {
    fn read(&self, gpa: u64, data: &mut [u8]) -> Result<(), NotMemory> {
        let len = data.len();
        let read = self.0.read_slice(data, GuestAddress(gpa));
        read.map_err(|_| NotMemory { gpa, len })
    }

    fn write(&self, gpa: u64, data: &[u8]) -> Result<(), NotMemory> {
        let len = data.len();
        let written = self.0.write_slice(data, GuestAddress(gpa));
        written.map_err(|_| NotMemory { gpa, len })
    }
}

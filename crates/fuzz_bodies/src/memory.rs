//! Accesses of any size and offset to what is in a function's BAR: scratch memory, the doorbell, MSI-X.

use crate::machine::Machine;
use crate::machine::NIC;
use crate::machine::WITH_CARD;
use crate::steps;
use arbitrary::Arbitrary;
use arbitrary::Unstructured;
use chipset_device::io::IoResult;
use pcie_topology::DOORBELL_OFFSET;

/// Bytes of the BAR.
const SIZE: usize = 0x4000;
/// The MSI-X table begins where the scratch page ends, and the pending bits follow it.
const TABLE: usize = 0x1000;
const VECTORS: usize = 4;
const VECTOR_BYTES: usize = 16;
const ACCESSES_MAX: usize = 64;

#[derive(Arbitrary, Debug)]
struct Access {
    offset: u16,
    len: u8,
    /// What to write; a read without it.
    data: Option<u64>,
}

/// Writes and reads, and compares each read with an array of bytes.
///
/// # Panics
///
/// - a read gives other bytes than the model has;
/// - an access that the BAR does not take is answered, or one that it takes is not;
/// - what is saved is not restored.
pub fn run(data: &[u8]) {
    let mut machine = Machine::new(&WITH_CARD);
    let mut model = Model::new();
    let mut input = Unstructured::new(data);
    for access in steps::<Access>(&mut input).take(ACCESSES_MAX) {
        let offset = usize::from(access.offset) % SIZE;
        let len = usize::from(access.len) % 10;
        let address = NIC + offset as u64;
        let taken = model.takes(offset, len);
        match access.data {
            Some(value) => {
                let bytes = [value.to_le_bytes(), value.to_le_bytes()].concat();
                let result = chipset_device::mmio::MmioIntercept::mmio_write(
                    machine.root(),
                    address,
                    &bytes[..len],
                );
                assert_eq!(matches!(result, IoResult::Ok), taken, "{access:?}");
                if taken {
                    model.write(offset, &bytes[..len]);
                }
            }
            None => {
                let mut bytes = [0xa5; 10];
                let result = machine.read(address, &mut bytes[..len]);
                assert_eq!(matches!(result, IoResult::Ok), taken, "{access:?}");
                if taken {
                    assert_eq!(
                        bytes[..len],
                        model.bytes[offset..offset + len],
                        "{access:?}"
                    );
                }
            }
        }
    }
    machine.save_and_restore();
    for offset in (0..SIZE).step_by(8) {
        let mut bytes = [0; 8];
        let _ = machine.read(NIC + offset as u64, &mut bytes);
        assert_eq!(
            bytes,
            model.bytes[offset..offset + 8],
            "restored: {offset:#x}"
        );
    }
}

/// The BAR as an array of bytes.
struct Model {
    bytes: Vec<u8>,
    /// Bits that a write changes.
    writable: Vec<u8>,
}

impl Model {
    fn new() -> Self {
        let (mut bytes, mut writable) = (vec![0; SIZE], vec![0; SIZE]);
        writable[..usize::try_from(DOORBELL_OFFSET).unwrap()].fill(0xff);
        // PCIe 6.2 section 7.7.2: an entry takes anything, reserved bits too, which drivers write back as they read them. The mask bit is
        // set after reset.
        for entry in 0..VECTORS {
            let at = TABLE + entry * VECTOR_BYTES;
            writable[at..at + VECTOR_BYTES].fill(0xff);
            bytes[at + 12] = 1;
        }
        Self { bytes, writable }
    }

    /// Scratch memory takes naturally aligned accesses of 1, 2, 4 and 8 bytes, MSI-X those of 4 and 8.
    fn takes(&self, offset: usize, len: usize) -> bool {
        let msix = (TABLE..TABLE + VECTORS * VECTOR_BYTES + 8).contains(&offset);
        let sizes: &[usize] = if msix { &[4, 8] } else { &[1, 2, 4, 8] };
        sizes.contains(&len) && offset.is_multiple_of(len)
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        for (at, value) in (offset..).zip(data) {
            self.bytes[at] = (self.bytes[at] & !self.writable[at]) | (value & self.writable[at]);
        }
    }
}

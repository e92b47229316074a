//! Guest memory: where it is in the guest's address space, its pages, and KVM's slots for it.
//!
//! Memory begins at 0 and has a hole below 4 GiB: there are the interrupt controllers, ECAM and the windows of the root complexes.
//! What does not fit below the hole continues at 4 GiB.

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use pcie_topology::Window;
use std::ops::Range;
use vm_memory::Address;
use vm_memory::GuestAddress;
use vm_memory::GuestMemoryBackend;
use vm_memory::GuestMemoryRegion;

/// The guest's memory, mapped into this process.
pub type GuestRam = vm_memory::GuestMemoryMmap<()>;

/// Where the hole begins at the latest: 3 GiB.
const HOLE_START: u64 = 0xc000_0000;
/// Where the hole ends.
pub(crate) const HIGH_START: u64 = 1 << 32;
const MIB: u64 = 1 << 20;
/// Less than this, and no kernel starts.
const SIZE_MIN_MIB: u64 = 64;
/// More is no guest for this monitor, and would reach into the windows above 4 GiB anyway.
const SIZE_MAX_MIB: u64 = 1 << 20;

/// Memory that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Too little or too much.
    #[error("memory of {mib} MiB; it can be {SIZE_MIN_MIB} to {SIZE_MAX_MIB} MiB")]
    Size {
        /// What was asked for.
        mib: u64,
    },
    /// A window of a root complex begins too low to leave room for a kernel.
    #[error(
        "{window} begins at {start:#x}; memory needs the addresses below {SIZE_MIN_MIB} MiB for itself"
    )]
    NoRoom {
        /// The window.
        window: String,
        /// Where it begins.
        start: u64,
    },
    /// Memory above 4 GiB reaches into a window.
    #[error("memory of {mib} MiB reaches up to {end:#x}, into {window} at {start:#x}")]
    Overlap {
        /// What was asked for.
        mib: u64,
        /// Where memory would end.
        end: u64,
        /// The window.
        window: String,
        /// Where it begins.
        start: u64,
    },
    /// The host has no room.
    #[error("memory of {mib} MiB cannot be mapped: {source}")]
    Map {
        /// What was asked for.
        mib: u64,
        /// Why.
        source: vm_memory::mmap::FromRangesError,
    },
}

/// Which addresses are memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemoryLayout {
    low: Range<u64>,
    high: Range<u64>,
}

impl MemoryLayout {
    /// `mib` MiB around the hole and the windows.
    ///
    /// # Errors
    ///
    /// [`MemoryError`]: too little, too much, or in the way of a window.
    pub(crate) fn new(mib: u64, windows: &[Window]) -> Result<Self, MemoryError> {
        if !(SIZE_MIN_MIB..=SIZE_MAX_MIB).contains(&mib) {
            return Err(MemoryError::Size { mib });
        }
        let size = mib * MIB;
        let first_below_4g = windows
            .iter()
            .filter(|window| window.range.start < HIGH_START)
            .min_by_key(|window| window.range.start);
        let low_end = match first_below_4g {
            Some(window) if window.range.start < SIZE_MIN_MIB * MIB => {
                return Err(MemoryError::NoRoom {
                    window: window.name.clone(),
                    start: window.range.start,
                });
            }
            Some(window) => HOLE_START.min(window.range.start / MIB * MIB),
            None => HOLE_START,
        };
        let low = size.min(low_end);
        let high = HIGH_START..HIGH_START + (size - low);
        if let Some(window) = windows
            .iter()
            .find(|window| window.range.start < high.end && window.range.end > high.start)
        {
            return Err(MemoryError::Overlap {
                mib,
                end: high.end,
                window: window.name.clone(),
                start: window.range.start,
            });
        }
        Ok(Self { low: 0..low, high })
    }

    /// The memory from address 0 on.
    pub(crate) fn low(&self) -> Range<u64> {
        self.low.clone()
    }

    /// The memory from 4 GiB on, if there is any.
    pub(crate) fn high(&self) -> Option<Range<u64>> {
        Some(self.high.clone()).filter(|high| !high.is_empty())
    }

    /// The address after the last.
    pub(crate) fn end(&self) -> u64 {
        self.high().map_or(self.low.end, |high| high.end)
    }

    /// Both, in order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        std::iter::once(self.low()).chain(self.high())
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> u64 {
        self.ranges().map(|range| range.end - range.start).sum()
    }

    /// Pages for it, all zero.
    pub(crate) fn allocate(&self) -> Result<GuestRam, MemoryError> {
        let ranges: Vec<_> = self
            .ranges()
            .map(|range| {
                let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
                (GuestAddress(range.start), len)
            })
            .collect();
        GuestRam::from_ranges(&ranges).map_err(|source| MemoryError::Map {
            mib: self.size() / MIB,
            source,
        })
    }
}

/// Gives the pages to a virtual machine, one slot a range.
pub(crate) fn give_to(vm: &VmFd, ram: &GuestRam) -> Result<(), kvm_ioctls::Error> {
    for (slot, region) in (0..).zip(ram.iter()) {
        let region = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: region.start_addr().raw_value(),
            memory_size: region.len(),
            userspace_addr: region.as_ptr() as u64,
        };
        #[expect(unsafe_code, reason = "KVM takes the pages by their address")]
        // SAFETY: the pages are those of `ram`, which the machine keeps for longer than the virtual machine; slots do not overlap.
        unsafe {
            vm.set_user_memory_region(region)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcie_topology::WindowKind;

    fn window(name: &str, start: u64, len: u64) -> Window {
        Window {
            name: name.into(),
            kind: WindowKind::Memory,
            range: start..start + len,
            complex: 0,
        }
    }

    fn ranges(mib: u64, windows: &[Window]) -> Vec<Range<u64>> {
        MemoryLayout::new(mib, windows).unwrap().ranges().collect()
    }

    #[test]
    fn memory_is_split_around_the_hole() {
        for (mib, end) in [(512, 512 * MIB), (3072, HOLE_START)] {
            let layout = MemoryLayout::new(mib, &[]).unwrap();
            assert_eq!((layout.low(), layout.high()), (0..end, None));
        }
        assert_eq!(
            ranges(4096, &[]),
            [0..HOLE_START, HIGH_START..HIGH_START + 1024 * MIB]
        );
        assert_eq!(
            MemoryLayout::new(4096, &[]).unwrap().size(),
            4096 * MIB,
            "nothing is lost in the hole"
        );
    }

    #[test]
    fn a_window_below_3_gib_moves_the_hole() {
        let windows = [
            window("high", 0x40_0000_0000, MIB),
            window("ecam", 0x8000_0000, 256 * MIB),
        ];
        assert_eq!(
            ranges(3072, &windows),
            [0..0x8000_0000, HIGH_START..HIGH_START + 1024 * MIB]
        );
    }

    #[test]
    fn mistakes_name_the_window_and_the_bound() {
        let message =
            |mib, windows: &[Window]| MemoryLayout::new(mib, windows).unwrap_err().to_string();
        assert_eq!(
            message(32, &[]),
            "memory of 32 MiB; it can be 64 to 1048576 MiB"
        );
        assert_eq!(
            message(512, &[window("ECAM of 'rc0'", 0x10_0000, MIB)]),
            "ECAM of 'rc0' begins at 0x100000; memory needs the addresses below 64 MiB for itself"
        );
        assert_eq!(
            message(4096, &[window("mmio64 of 'rc0'", 0x1_2000_0000, MIB)]),
            "memory of 4096 MiB reaches up to 0x140000000, into mmio64 of 'rc0' at 0x120000000"
        );
    }
}

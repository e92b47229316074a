//! Memory-mapped I/O: the device's side, and the regions the monitor maps for it.

use crate::ChipsetDevice;
use crate::io::IoResult;
use inspect::Inspect;
use inspect::Request;
use std::ops::RangeInclusive;

/// A device that answers memory-mapped accesses.
pub trait MmioIntercept: ChipsetDevice {
    /// Fills `data` with the bytes at guest physical address `addr`.
    fn mmio_read(&mut self, addr: u64, data: &mut [u8]) -> IoResult;

    /// Writes `data` at guest physical address `addr`.
    fn mmio_write(&mut self, addr: u64, data: &[u8]) -> IoResult;

    /// The regions that never move, by name. None unless the device says so.
    fn get_static_regions(&mut self) -> &[(&str, RangeInclusive<u64>)] {
        &[]
    }
}

/// The monitor's side: hands out regions that a device can place as its guest programs them.
pub trait RegisterMmioIntercept {
    /// Creates an unmapped region of `len` bytes. `region_name` appears in inspection and logs.
    fn new_io_region(&mut self, region_name: &str, len: u64) -> Box<dyn ControlMmioIntercept>;
}

/// Moves one region of a device in the guest's physical address space.
///
/// Accesses inside the mapped region reach the device's [`MmioIntercept`]. Dropping the handle removes the region.
#[expect(
    clippy::len_without_is_empty,
    reason = "the length of an address range, not of a collection"
)]
pub trait ControlMmioIntercept: Send + Sync {
    /// The name given at creation.
    fn region_name(&self) -> &str;

    /// Maps the region at `addr`, from wherever it was.
    ///
    /// Never fails: a guest may place a region over another one, and which of them answers is the monitor's decision.
    fn map(&mut self, addr: u64);

    /// Takes the region out of the address space. Nothing happens when it is unmapped.
    fn unmap(&mut self);

    /// The address of the region's first byte, `None` when unmapped.
    fn addr(&self) -> Option<u64>;

    /// The length in bytes.
    fn len(&self) -> u64;

    /// The offset of `addr` in the region, `None` when it is outside or the region is unmapped.
    fn offset_of(&self, addr: u64) -> Option<u64>;
}

/// Shows `name`, `len` and, while the region is mapped, `addr`.
impl Inspect for dyn ControlMmioIntercept + '_ {
    fn inspect(&self, req: Request<'_>) {
        req.respond()
            .field("name", self.region_name())
            .hex("len", self.len())
            .hex("addr", self.addr());
    }
}

/// For a monitor that routes accesses to BARs itself: every region is the inert `()`.
#[derive(Copy, Clone, Debug, Default)]
pub struct ExternallyManagedMmioIntercepts;

impl RegisterMmioIntercept for ExternallyManagedMmioIntercepts {
    fn new_io_region(&mut self, _region_name: &str, _len: u64) -> Box<dyn ControlMmioIntercept> {
        Box::new(())
    }
}

/// The region that is nowhere, and stays there.
impl ControlMmioIntercept for () {
    fn region_name(&self) -> &str {
        "(noop)"
    }

    fn map(&mut self, _addr: u64) {}

    fn unmap(&mut self) {}

    fn addr(&self) -> Option<u64> {
        None
    }

    fn len(&self) -> u64 {
        0
    }

    fn offset_of(&self, _addr: u64) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn externally_managed_region_is_never_mapped() {
        let mut region = ExternallyManagedMmioIntercepts.new_io_region("bar0", 0x1000);
        region.map(0x8000_0000);
        assert_eq!(region.region_name(), "(noop)");
        assert_eq!(region.len(), 0);
        assert_eq!(region.addr(), None);
        assert_eq!(region.offset_of(0x8000_0000), None);
    }
    struct Region(Option<u64>);

    impl ControlMmioIntercept for Region {
        fn region_name(&self) -> &str {
            "doorbells"
        }
        fn map(&mut self, addr: u64) {
            self.0 = Some(addr);
        }
        fn unmap(&mut self) {
            self.0 = None;
        }
        fn addr(&self) -> Option<u64> {
            self.0
        }
        fn len(&self) -> u64 {
            0x10
        }
        fn offset_of(&self, addr: u64) -> Option<u64> {
            addr.checked_sub(self.0?).filter(|&offset| offset < 0x10)
        }
    }

    fn inspected(region: &dyn ControlMmioIntercept) -> String {
        inspect::inspect("", region).results().to_string()
    }

    #[test]
    fn inspection_shows_the_address_while_mapped() {
        let mut region = Region(None);
        assert_eq!(inspected(&region), r#"{len: 0x10, name: "doorbells"}"#);
        region.map(0x8000_1000);
        assert_eq!(
            inspected(&region),
            r#"{addr: 0x80001000, len: 0x10, name: "doorbells"}"#
        );
    }
}

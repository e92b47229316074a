//! Config accesses as a processor makes them: through ECAM (PCIe 6.2 section 7.2.2).

use std::ops::RangeInclusive;
use std::task::{Context, Poll, Waker};

use chipset_device::io::IoResult;
use chipset_device::mmio::MmioIntercept;
use pci_spec::Bdf;

use crate::access::{ConfigAccess, Width};

/// The address bits below a function's.
const FUNCTION_SHIFT: u32 = 12;

/// Config accesses to one host bridge through its ECAM, one memory access of the same width for each.
///
/// Buses that are not the host bridge's, and accesses that it refuses, read all ones and drop writes, as a processor
/// sees them. A deferred access has time until the host bridge was polled once, then it is given up in the same way.
pub struct EcamAccess<'a> {
    host_bridge: &'a mut dyn MmioIntercept,
    address: u64,
    buses: RangeInclusive<u8>,
}

impl<'a> EcamAccess<'a> {
    /// Accesses to the functions on `buses` of `host_bridge`, whose ECAM has the first of these at `address`.
    pub fn new(
        host_bridge: &'a mut dyn MmioIntercept,
        address: u64,
        buses: RangeInclusive<u8>,
    ) -> Self {
        Self {
            host_bridge,
            address,
            buses,
        }
    }

    /// The address of the register of `bdf` at `offset`; `None` when the bus is not the host bridge's.
    pub fn address(&self, bdf: Bdf, offset: u16) -> Option<u64> {
        if !self.buses.contains(&bdf.bus()) {
            return None;
        }
        let first = Bdf::from_devfn(*self.buses.start(), 0);
        let function = u64::from(bdf.bits() - first.bits()) << FUNCTION_SHIFT;
        Some(self.address + function + u64::from(offset))
    }

    /// Reads `data.len()` bytes of memory at `address`, be it ECAM or a BAR.
    pub fn read_memory(&mut self, address: u64, data: &mut [u8]) {
        let is_read = match self.host_bridge.mmio_read(address, data) {
            IoResult::Ok => true,
            IoResult::Err(_) => false,
            IoResult::Defer(mut token) => self.finish(|cx| token.poll_read(cx, data)),
        };
        if !is_read {
            data.fill(0xff);
        }
    }

    /// Writes `data` to memory at `address`, be it ECAM or a BAR.
    pub fn write_memory(&mut self, address: u64, data: &[u8]) {
        if let IoResult::Defer(mut token) = self.host_bridge.mmio_write(address, data) {
            // Whether it succeeds makes no difference to a processor.
            self.finish(|cx| token.poll_write(cx));
        }
    }

    /// Lets the host bridge work, and says whether the access succeeded by then.
    fn finish<E>(&mut self, access: impl FnOnce(&mut Context<'_>) -> Poll<Result<(), E>>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        if let Some(device) = self.host_bridge.supports_poll_device() {
            device.poll_device(&mut cx);
        }
        matches!(access(&mut cx), Poll::Ready(Ok(())))
    }
}

impl ConfigAccess for EcamAccess<'_> {
    fn read(&mut self, bdf: Bdf, offset: u16, width: Width) -> u32 {
        let mut bytes = [0; 4];
        match (
            self.address(bdf, offset),
            bytes.get_mut(..width.bytes().into()),
        ) {
            (Some(address), Some(data)) => self.read_memory(address, data),
            _ => return width.mask(),
        }
        u32::from_le_bytes(bytes)
    }

    fn write(&mut self, bdf: Bdf, offset: u16, width: Width, value: u32) {
        let bytes = value.to_le_bytes();
        if let (Some(address), Some(data)) =
            (self.address(bdf, offset), bytes.get(..width.bytes().into()))
        {
            self.write_memory(address, data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chipset_device::ChipsetDevice;
    use chipset_device::io::IoError;
    use chipset_device::io::deferred::{DeferredRead, defer_read};
    use chipset_device::poll_device::PollDevice;

    /// Answers reads with the low bytes of the address: at once, deferred, or never.
    #[derive(Default)]
    struct Echo {
        written: Vec<(u64, Vec<u8>)>,
        defer: bool,
        deferred: Option<(DeferredRead, Vec<u8>)>,
        stalls: bool,
    }

    impl ChipsetDevice for Echo {
        fn supports_poll_device(&mut self) -> Option<&mut dyn PollDevice> {
            Some(self)
        }
    }

    impl PollDevice for Echo {
        fn poll_device(&mut self, _cx: &mut Context<'_>) {
            if !self.stalls
                && let Some((read, bytes)) = self.deferred.take()
            {
                read.complete(&bytes);
            }
        }
    }

    impl MmioIntercept for Echo {
        fn mmio_read(&mut self, addr: u64, data: &mut [u8]) -> IoResult {
            if addr >= 0x1_0000_0000 {
                return IoResult::Err(IoError::InvalidRegister);
            }
            let bytes = addr.to_le_bytes()[..data.len()].to_vec();
            if self.defer {
                let (read, token) = defer_read();
                self.deferred = Some((read, bytes));
                return IoResult::Defer(token);
            }
            data.copy_from_slice(&bytes);
            IoResult::Ok
        }

        fn mmio_write(&mut self, addr: u64, data: &[u8]) -> IoResult {
            self.written.push((addr, data.to_vec()));
            IoResult::Ok
        }
    }

    fn bdf(text: &str) -> Bdf {
        text.parse().unwrap()
    }

    #[test]
    fn a_register_is_where_ecam_has_it_from_the_first_bus_on() {
        let mut device = Echo::default();
        let access = EcamAccess::new(&mut device, 0xe000_0000, 0x20..=0x3f);
        assert_eq!(access.address(bdf("20:00.0"), 0), Some(0xe000_0000));
        assert_eq!(access.address(bdf("21:03.2"), 0x104), Some(0xe011_a104));
        assert_eq!(access.address(bdf("3f:1f.7"), 0xfff), Some(0xe1ff_ffff));
        assert_eq!(access.address(bdf("1f:00.0"), 0), None);
        assert_eq!(access.address(bdf("40:00.0"), 0), None);
    }

    #[test]
    fn accesses_are_as_wide_as_asked() {
        let mut device = Echo::default();
        let mut access = EcamAccess::new(&mut device, 0xe000_0000, 0..=0);
        assert_eq!(access.read(bdf("00:01.0"), 0x10, Width::Byte), 0x10);
        assert_eq!(access.read(bdf("00:01.0"), 0x10, Width::Word), 0x8010);
        assert_eq!(access.read(bdf("00:01.0"), 0x10, Width::Dword), 0xe000_8010);
        access.write(bdf("00:01.0"), 0x1a, Width::Byte, 0xaabb_ccdd);
        access.write(bdf("00:01.0"), 0x1a, Width::Word, 0xaabb_ccdd);
        access.write(bdf("01:01.0"), 0x1a, Width::Word, 0);
        assert_eq!(
            device.written,
            [(0xe000_801a, vec![0xdd]), (0xe000_801a, vec![0xdd, 0xcc])]
        );
    }

    #[test]
    fn what_is_refused_or_elsewhere_reads_all_ones() {
        let mut device = Echo::default();
        let mut access = EcamAccess::new(&mut device, 0x1_0000_0000, 0..=0);
        assert_eq!(access.read(bdf("00:01.0"), 0, Width::Word), 0xffff);
        assert_eq!(access.read(bdf("01:01.0"), 0, Width::Byte), 0xff);
    }

    #[test]
    fn a_deferred_read_is_awaited_for_one_poll() {
        let mut device = Echo {
            defer: true,
            ..Echo::default()
        };
        let mut access = EcamAccess::new(&mut device, 0xe000_0000, 0..=0);
        assert_eq!(access.read(bdf("00:00.1"), 4, Width::Dword), 0xe000_1004);
        device.stalls = true;
        let mut access = EcamAccess::new(&mut device, 0xe000_0000, 0..=0);
        assert_eq!(access.read(bdf("00:00.1"), 4, Width::Dword), 0xffff_ffff);
    }
}

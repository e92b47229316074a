//! Configuration accesses as a processor makes them.

use chipset_device::io::IoResult;
use chipset_device::io::deferred::DeferredToken;
use chipset_device::mmio::MmioIntercept;
use chipset_device::poll_device::PollDevice;
use pci_enumerate::Bdf;
use pci_enumerate::ConfigAccess;
use pci_enumerate::Width;
use pcie::root::GenericPcieRootComplex;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

/// Bytes of ECAM a function takes, as a power of two (PCIe 6.2 section 7.2.2).
const FUNCTION_SHIFT: u32 = 12;

/// Configuration accesses to a root complex through its ECAM, one MMIO access of the same width for each.
///
/// Buses that are not the root complex's, and accesses that it refuses, read all-ones and drop writes, as the processor
/// sees them. A deferred access has time until the root complex was polled once; then it is given up in the same way.
pub struct EcamAccess<'a> {
    root: &'a mut GenericPcieRootComplex,
}

impl<'a> EcamAccess<'a> {
    /// Accesses to the functions of `root`.
    pub fn new(root: &'a mut GenericPcieRootComplex) -> Self {
        Self { root }
    }

    /// The root complex.
    pub fn root(&mut self) -> &mut GenericPcieRootComplex {
        self.root
    }

    /// The guest physical address of a register of `bdf`; `None` when the bus is not the root complex's.
    pub fn address(&self, bdf: Bdf, offset: u16) -> Option<u64> {
        let (start, end) = self.root.bus_range();
        if !(start..=end).contains(&bdf.bus()) {
            return None;
        }
        let first = u64::from(Bdf::from_devfn(start, 0).bits());
        let function = (u64::from(bdf.bits()) - first) << FUNCTION_SHIFT;
        Some(self.root.ecam_range().start() + function + u64::from(offset))
    }

    /// Reads `data.len()` bytes of memory below the root complex.
    pub fn read_memory(&mut self, address: u64, data: &mut [u8]) {
        match self.root.mmio_read(address, data) {
            IoResult::Ok => {}
            IoResult::Err(_) => data.fill(0xff),
            IoResult::Defer(mut token) => {
                if !self.poll(
                    |token, cx| token.poll_read(cx, data).map(|result| result.is_ok()),
                    &mut token,
                ) {
                    data.fill(0xff);
                }
            }
        }
    }

    /// Writes `data` to memory below the root complex.
    pub fn write_memory(&mut self, address: u64, data: &[u8]) {
        match self.root.mmio_write(address, data) {
            IoResult::Ok | IoResult::Err(_) => {}
            IoResult::Defer(mut token) => {
                // Posted: whether it is done already makes no difference to the processor.
                self.poll(
                    |token, cx| token.poll_write(cx).map(|result| result.is_ok()),
                    &mut token,
                );
            }
        }
    }

    /// Lets the root complex work, and then says whether the access succeeded.
    fn poll(
        &mut self,
        mut access: impl FnMut(&mut DeferredToken, &mut Context<'_>) -> Poll<bool>,
        token: &mut DeferredToken,
    ) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.root.poll_device(&mut cx);
        access(token, &mut cx) == Poll::Ready(true)
    }
}

impl ConfigAccess for EcamAccess<'_> {
    fn read(&mut self, bdf: Bdf, offset: u16, width: Width) -> u32 {
        let Some(address) = self.address(bdf, offset) else {
            return width.mask();
        };
        let mut bytes = [0; 4];
        if let Some(data) = bytes.get_mut(..width.bytes().into()) {
            self.read_memory(address, data);
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

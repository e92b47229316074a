//! What tests of ports and root complexes need around them.

use chipset_device::io::IoResult;
use chipset_device::mmio::ControlMmioIntercept;
use chipset_device::mmio::RegisterMmioIntercept;
use pci_bus::GenericPciBusDevice;
use std::fmt;

/// Registers regions that nobody dispatches.
pub struct TestPcieMmioRegistration {}

impl RegisterMmioIntercept for TestPcieMmioRegistration {
    fn new_io_region(&mut self, _region_name: &str, len: u64) -> Box<dyn ControlMmioIntercept> {
        Box::new(TestPcieControlMmioIntercept { mapping: None, len })
    }
}

/// A region that insists on being mapped and unmapped in turn.
pub struct TestPcieControlMmioIntercept {
    /// Where it is mapped.
    pub mapping: Option<u64>,
    /// Its length in bytes.
    pub len: u64,
}

impl ControlMmioIntercept for TestPcieControlMmioIntercept {
    fn region_name(&self) -> &str {
        "???"
    }

    fn map(&mut self, addr: u64) {
        assert_eq!(self.mapping, None, "mapped while mapped");
        self.mapping = Some(addr);
    }

    fn unmap(&mut self) {
        assert!(self.mapping.take().is_some(), "unmapped while unmapped");
    }

    fn addr(&self) -> Option<u64> {
        self.mapping
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn offset_of(&self, addr: u64) -> Option<u64> {
        self.mapping.map(|base| addr.wrapping_sub(base))
    }
}

/// An endpoint made of two functions: what it reads, and what it does with writes.
pub struct TestPcieEndpoint<R, W> {
    read: R,
    write: W,
}

impl<R, W> TestPcieEndpoint<R, W>
where
    R: 'static + Send + Fn(u16, &mut u32) -> Option<IoResult>,
    W: 'static + Send + FnMut(u16, u32) -> Option<IoResult>,
{
    /// An endpoint that answers with `read` and `write`.
    pub fn new(read: R, write: W) -> Self {
        Self { read, write }
    }
}

impl<R, W> fmt::Debug for TestPcieEndpoint<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestPcieEndpoint")
    }
}

impl<R, W> GenericPciBusDevice for TestPcieEndpoint<R, W>
where
    R: 'static + Send + Fn(u16, &mut u32) -> Option<IoResult>,
    W: 'static + Send + FnMut(u16, u32) -> Option<IoResult>,
{
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        (self.read)(offset, value)
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        (self.write)(offset, value)
    }
}

//! Contracts between a device and its monitor: MMIO, port I/O and configuration accesses.
//!
//! A device implements [`ChipsetDevice`] and says there which kinds of access it understands; the monitor asks once and then
//! dispatches. Every access answers with an [`io::IoResult`]: done, refused as unsuitable, or deferred to a later
//! completion ([`io::deferred`]).

#![forbid(unsafe_code)]

pub mod interrupt;
pub mod io;
pub mod mmio;
pub mod pci;
pub mod pio;
pub mod poll_device;

/// A device on the monitor's dispatch lists: says which kinds of access it supports.
///
/// Each method returns the device itself, as the trait asked for, or `None`. The answer must be the same on every call:
/// the monitor may ask once and keep it.
pub trait ChipsetDevice: 'static + Send {
    /// Port I/O, if the device decodes any.
    fn supports_pio(&mut self) -> Option<&mut dyn pio::PortIoIntercept> {
        None
    }

    /// Memory-mapped I/O, if the device decodes any.
    fn supports_mmio(&mut self) -> Option<&mut dyn mmio::MmioIntercept> {
        None
    }

    /// PCI configuration space, if the device is a PCI function.
    fn supports_pci(&mut self) -> Option<&mut dyn pci::PciConfigSpace> {
        None
    }

    /// Polled work, if the device has any.
    fn supports_poll_device(&mut self) -> Option<&mut dyn poll_device::PollDevice> {
        None
    }

    /// Interrupt lines that end at this device, if it is an interrupt controller.
    fn supports_line_interrupt_target(
        &mut self,
    ) -> Option<&mut dyn interrupt::LineInterruptTarget> {
        None
    }

    /// End-of-interrupt notifications, if the device wants them.
    fn supports_handle_eoi(&mut self) -> Option<&mut dyn interrupt::HandleEoi> {
        None
    }

    /// The interrupt-acknowledge cycle, if the device is an 8259-style controller.
    fn supports_acknowledge_pic_interrupt(
        &mut self,
    ) -> Option<&mut dyn interrupt::AcknowledgePicInterrupt> {
        None
    }
}

//! The address register.
//!
//! It is no register table: an I/O port takes whole dwords only, and has neither lanes nor kinds of reset.

use bitfield_struct::bitfield;
use inspect::Inspect;
use inspect::Request;
use std::fmt;

/// CONFIG_ADDRESS: which register of which function the data window shows (PCI 3.0 section 3.2.2.3.2).
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub(crate) struct AddressRegister {
    /// Offset of the dword in the function's configuration space. Bits 1:0 are zero.
    pub(crate) register: u8,
    #[bits(3)]
    pub(crate) function: u8,
    #[bits(5)]
    pub(crate) device: u8,
    pub(crate) bus: u8,
    #[bits(7)]
    reserved: u8,
    /// Whether the data window shows anything.
    pub(crate) enabled: bool,
}

impl AddressRegister {
    const WRITABLE: u32 = Self::new()
        .with_register(0xfc)
        .with_function(0x7)
        .with_device(0x1f)
        .with_bus(0xff)
        .with_enabled(true)
        .into_bits();

    /// The register after a write of `bits`: bits that are hardwired to zero stay so.
    pub(crate) fn from_write(bits: u32) -> Self {
        Self::from_bits(bits & Self::WRITABLE)
    }

    /// The function that is addressed.
    pub(crate) fn slot(self) -> Slot {
        Slot {
            bus: self.bus(),
            device: self.device(),
            function: self.function(),
        }
    }
}

impl Inspect for AddressRegister {
    fn inspect(&self, req: Request<'_>) {
        req.respond()
            .field("enabled", self.enabled())
            .display("slot", &self.slot())
            .hex("register", self.register());
    }
}

/// Where a function sits on the bus. Prints as `bb:dd.f`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) bus: u8,
    pub(crate) device: u8,
    pub(crate) function: u8,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bus,
            device,
            function,
        } = self;
        write!(f, "{bus:02x}:{device:02x}.{function:x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        let address = AddressRegister::from_bits(0x8012_1b44);
        assert!(address.enabled());
        assert_eq!(address.slot().to_string(), "12:03.3");
        assert_eq!(address.register(), 0x44);
    }

    #[test]
    fn hardwired_bits_stay_zero() {
        assert_eq!(AddressRegister::from_write(!0).into_bits(), 0x80ff_fffc);
    }
}

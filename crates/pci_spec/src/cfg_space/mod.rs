//! The 64-byte configuration headers (PCIe 6.2 section 7.5.1): what every function shows at the start of its
//! configuration space.
//!
//! [`CommonHeader`], [`HeaderType00`] and [`HeaderType01`] are the offsets of the dwords; [`TYPE0_HEADER`] and
//! [`TYPE1_HEADER`] are the registers. The types of registers that both have are here, so that both tables see them.

mod type0;
mod type1;

pub use type0::HEADER_TYPE_00_SIZE;
pub use type0::HeaderType00;
pub use type0::TYPE0_HEADER;
pub use type0::Type0HeaderReg;
pub use type1::BridgeControl;
pub use type1::HEADER_TYPE_01_SIZE;
pub use type1::HeaderType01;
pub use type1::IO_BASE_LIMIT_ADDRESS_MASK;
pub use type1::MEMORY_BASE_LIMIT_ADDRESS_MASK;
pub use type1::PREFETCH_MEMORY_BASE_LIMIT_64BIT;
pub use type1::SecondaryStatus;
pub use type1::TYPE1_HEADER;
pub use type1::Type1HeaderReg;

use bitfield_struct::bitfield;
use inspect::Inspect;
use open_enum::open_enum;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Offsets of the dwords that headers of every type have.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum CommonHeader {
    /// Device ID and Vendor ID.
    DEVICE_VENDOR = 0x00,
    /// Status and Command.
    STATUS_COMMAND = 0x04,
    /// Class Code and Revision ID.
    CLASS_REVISION = 0x08,
    /// Capabilities Pointer; the rest is reserved.
    RESERVED_CAP_PTR = 0x34,
}

/// Bytes at the start of a header that are laid out alike in every type.
pub const COMMON_HEADER_SIZE: u16 = 0x10;

/// The Command register (PCIe 6.2 section 7.5.1.1.3): what the function may do on the fabric.
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct Command {
    /// I/O Space Enable.
    pub pio_enabled: bool,
    /// Memory Space Enable.
    pub mmio_enabled: bool,
    /// Bus Master Enable: the function may send memory and I/O requests, messages of MSI and MSI-X included.
    pub bus_master: bool,
    /// Without effect on PCI Express.
    pub special_cycles: bool,
    /// Without effect on PCI Express.
    pub enable_memory_write_invalidate: bool,
    /// Without effect on PCI Express.
    pub vga_palette_snoop: bool,
    /// Lets poisoned requests and completions set Master Data Parity Error.
    pub parity_error_response: bool,
    #[bits(1)]
    _reserved: u16,
    /// SERR# Enable: non-fatal and fatal errors are reported to the root complex.
    pub enable_serr: bool,
    /// Without effect on PCI Express.
    pub enable_fast_b2b: bool,
    /// Interrupt Disable: keeps the function from asserting INTx.
    pub intx_disable: bool,
    #[bits(5)]
    _reserved2: u16,
}

const _: () = assert!(size_of::<Command>() == 2);

/// The Status register (PCIe 6.2 section 7.5.1.1.4).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct Status {
    /// The function answers configuration requests at once after any reset.
    pub immediate_readiness: bool,
    #[bits(2)]
    _reserved: u16,
    /// An INTx interrupt is pending inside the function.
    pub interrupt_status: bool,
    /// The Capabilities Pointer is valid; every PCI Express function has at least one capability.
    pub capabilities_list: bool,
    /// 66 MHz capable: clear on PCI Express.
    pub capable_mhz_66: bool,
    #[bits(1)]
    _reserved2: u16,
    /// Fast back-to-back capable: clear on PCI Express.
    pub capable_fast_b2b: bool,
    /// Master Data Parity Error.
    pub err_master_parity: bool,
    /// DEVSEL timing: [`DevSel::Fast`] on PCI Express.
    #[bits(2)]
    pub devsel: DevSel,
    /// Signaled Target Abort: the function completed a request with Completer Abort.
    pub abort_target_signaled: bool,
    /// Received Target Abort: a request of the function was completed with Completer Abort.
    pub abort_target_received: bool,
    /// Received Master Abort: a request of the function was completed with Unsupported Request.
    pub abort_master_received: bool,
    /// Signaled System Error: the function sent ERR_FATAL or ERR_NONFATAL while SERR# Enable was set.
    pub err_signaled: bool,
    /// Detected Parity Error: the function received a poisoned packet.
    pub err_detected_parity: bool,
}

const _: () = assert!(size_of::<Status>() == 2);

/// DEVSEL timing of conventional PCI.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash, Inspect)]
#[inspect(debug)]
#[repr(u16)]
pub enum DevSel {
    /// One clock.
    Fast = 0,
    /// Two clocks.
    Medium = 1,
    /// Three clocks.
    Slow = 2,
}

bit_conversions!(DevSel, u16);

/// The dword at 0x0C: BIST, Header Type, Latency Timer and Cache Line Size (PCIe 6.2 sections 7.5.1.1.7 to 7.5.1.1.10).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct BistHeader {
    /// System cache line size in dwords; without effect on PCI Express.
    pub cache_line_size: u8,
    /// Without effect on PCI Express, where it reads zero.
    pub latency_timer: u8,
    /// Layout of the rest of the header: 0 for Type 0, 1 for Type 1.
    #[bits(7)]
    pub header_type: u8,
    /// The device has functions other than function 0.
    pub multi_function: bool,
    /// Built-in self test.
    pub bist: u8,
}

const _: () = assert!(size_of::<BistHeader>() == 4);

/// The low bits of a base address register, which say what it maps (PCIe 6.2 section 7.5.1.2.1).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct BarEncodingBits {
    /// I/O space; clear for memory space.
    pub use_pio: bool,
    #[bits(1)]
    _reserved: u32,
    /// The register is the low half of a 64-bit pair.
    pub type_64_bit: bool,
    /// Reads have no side effects, and writes may be merged.
    pub prefetchable: bool,
    #[bits(28)]
    _address: u32,
}

const _: () = assert!(size_of::<BarEncodingBits>() == 4);

/// An INTx pin (PCIe 6.2 section 7.5.1.1.13). The Interrupt Pin register holds one more than the value here, since 0 means
/// that a function has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Inspect)]
pub enum PciInterruptPin {
    /// INTA#.
    IntA = 0,
    /// INTB#.
    IntB,
    /// INTC#.
    IntC,
    /// INTD#.
    IntD,
}

/// How much of an I/O address a bridge's I/O window has, as the low four bits of I/O Base and I/O Limit say it (PCIe 6.2 section
/// 7.5.1.3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Inspect)]
pub enum IoAddressing {
    /// 16 bits: the window is within 64 KiB, and the upper registers read zero.
    Bits16 = 0,
    /// 32 bits.
    Bits32 = 1,
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::format;

    #[test]
    fn command_bits_lie_where_linux_expects_them() {
        for (command, bits) in [
            (Command::new().with_pio_enabled(true), 0x001), // PCI_COMMAND_IO
            (Command::new().with_mmio_enabled(true), 0x002), // PCI_COMMAND_MEMORY
            (Command::new().with_bus_master(true), 0x004),  // PCI_COMMAND_MASTER
            (Command::new().with_special_cycles(true), 0x008), // PCI_COMMAND_SPECIAL
            (
                Command::new().with_enable_memory_write_invalidate(true),
                0x010,
            ), // PCI_COMMAND_INVALIDATE
            (Command::new().with_vga_palette_snoop(true), 0x020), // PCI_COMMAND_VGA_PALETTE
            (Command::new().with_parity_error_response(true), 0x040), // PCI_COMMAND_PARITY
            (Command::new().with_enable_serr(true), 0x100), // PCI_COMMAND_SERR
            (Command::new().with_enable_fast_b2b(true), 0x200), // PCI_COMMAND_FAST_BACK
            (Command::new().with_intx_disable(true), 0x400), // PCI_COMMAND_INTX_DISABLE
        ] {
            assert_eq!(command.into_bits(), bits, "{command:?}");
        }
    }

    #[test]
    fn status_bits_lie_where_linux_expects_them() {
        for (status, bits) in [
            (Status::new().with_immediate_readiness(true), 0x0001), // PCI_STATUS_IMM_READY
            (Status::new().with_interrupt_status(true), 0x0008),    // PCI_STATUS_INTERRUPT
            (Status::new().with_capabilities_list(true), 0x0010),   // PCI_STATUS_CAP_LIST
            (Status::new().with_capable_mhz_66(true), 0x0020),      // PCI_STATUS_66MHZ
            (Status::new().with_capable_fast_b2b(true), 0x0080),    // PCI_STATUS_FAST_BACK
            (Status::new().with_err_master_parity(true), 0x0100),   // PCI_STATUS_PARITY
            (Status::new().with_devsel(DevSel(3)), 0x0600),         // PCI_STATUS_DEVSEL_MASK
            (Status::new().with_abort_target_signaled(true), 0x0800), // PCI_STATUS_SIG_TARGET_ABORT
            (Status::new().with_abort_target_received(true), 0x1000), // PCI_STATUS_REC_TARGET_ABORT
            (Status::new().with_abort_master_received(true), 0x2000), // PCI_STATUS_REC_MASTER_ABORT
            (Status::new().with_err_signaled(true), 0x4000),        // PCI_STATUS_SIG_SYSTEM_ERROR
            (Status::new().with_err_detected_parity(true), 0x8000), // PCI_STATUS_DETECTED_PARITY
        ] {
            assert_eq!(status.into_bits(), bits, "{status:?}");
        }
    }

    #[test]
    fn a_reserved_devsel_is_kept() {
        let status = Status::from_bits(0x0600);
        assert_eq!(status.devsel(), DevSel(3));
        assert_eq!(format!("{:?}", status.devsel()), "DevSel(3)");
        assert_eq!(status.into_bits(), 0x0600);
        assert_eq!(format!("{:?}", DevSel::Slow), "Slow");
    }

    #[test]
    fn bits_lie_where_linux_expects_them() {
        // PCI_HEADER_TYPE_MASK 0x7f and PCI_HEADER_TYPE_MFD 0x80 of the byte PCI_HEADER_TYPE 0x0e.
        assert_eq!(
            BistHeader::new().with_header_type(0x7f).into_bits(),
            0x7f_0000
        );
        assert_eq!(
            BistHeader::new().with_multi_function(true).into_bits(),
            0x80_0000
        );
        // PCI_BASE_ADDRESS_SPACE_IO, PCI_BASE_ADDRESS_MEM_TYPE_64, PCI_BASE_ADDRESS_MEM_PREFETCH.
        assert_eq!(BarEncodingBits::new().with_use_pio(true).into_bits(), 0x1);
        assert_eq!(
            BarEncodingBits::new().with_type_64_bit(true).into_bits(),
            0x4
        );
        assert_eq!(
            BarEncodingBits::new().with_prefetchable(true).into_bits(),
            0x8
        );
    }

    #[test]
    fn offsets_print_their_names() {
        assert_eq!(format!("{:?}", CommonHeader(4)), "STATUS_COMMAND");
        assert_eq!(format!("{:?}", HeaderType00(0x3c)), "LATENCY_INTERRUPT");
        assert_eq!(format!("{:?}", HeaderType01(0x18)), "LATENCY_BUS_NUMBERS");
        assert_eq!(format!("{:?}", HeaderType00(0x11)), "HeaderType00(17)");
        assert_eq!(HeaderType00::BAR5.0, 0x24);
    }
}

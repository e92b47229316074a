//! The Type 1 configuration header: root ports, switch ports and bridges (PCIe 6.2 section 7.5.1.3).
//!
//! Not emulated: latency timers and BIST. Their registers read zero. Cache Line Size is a note of software without effect, and the
//! composer may take it away. Validation of the expansion ROM: its status
//! says that it is not supported.

use super::Command;
use super::DevSel;
use super::Status;
use bitfield_struct::bitfield;
use inspect::Inspect;
use open_enum::open_enum;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Offsets of the dwords of a Type 1 header.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum HeaderType01 {
    /// Device ID and Vendor ID.
    DEVICE_VENDOR = 0x00,
    /// Status and Command.
    STATUS_COMMAND = 0x04,
    /// Class Code and Revision ID.
    CLASS_REVISION = 0x08,
    /// BIST, Header Type, Latency Timer and Cache Line Size.
    BIST_HEADER = 0x0c,
    /// Base address register 0.
    BAR0 = 0x10,
    /// Base address register 1.
    BAR1 = 0x14,
    /// Secondary Latency Timer and the Subordinate, Secondary and Primary Bus Numbers.
    LATENCY_BUS_NUMBERS = 0x18,
    /// Secondary Status, I/O Limit and I/O Base.
    SEC_STATUS_IO_RANGE = 0x1c,
    /// Memory Limit and Memory Base.
    MEMORY_RANGE = 0x20,
    /// Prefetchable Memory Limit and Base.
    PREFETCH_RANGE = 0x24,
    /// Prefetchable Base Upper 32 Bits.
    PREFETCH_BASE_UPPER = 0x28,
    /// Prefetchable Limit Upper 32 Bits.
    PREFETCH_LIMIT_UPPER = 0x2c,
    /// I/O Limit and Base Upper 16 Bits.
    IO_RANGE_UPPER = 0x30,
    /// Capabilities Pointer; the rest is reserved.
    RESERVED_CAP_PTR = 0x34,
    /// Expansion ROM Base Address.
    EXPANSION_ROM_BASE = 0x38,
    /// Bridge Control, Interrupt Pin and Interrupt Line. Callers know it by this spelling.
    BRDIGE_CTRL_INTERRUPT = 0x3c,
}

/// Bytes of a Type 1 header.
pub const HEADER_TYPE_01_SIZE: u16 = 0x40;

/// Bits of the I/O base and limit registers that are address bits 15:12.
pub const IO_BASE_LIMIT_ADDRESS_MASK: u8 = 0xf0;

/// Bits of the (prefetchable) memory base and limit registers that are address bits 31:20.
pub const MEMORY_BASE_LIMIT_ADDRESS_MASK: u16 = 0xfff0;

/// Value of the low four bits of the prefetchable base and limit registers: the window has 64-bit addresses.
pub const PREFETCH_MEMORY_BASE_LIMIT_64BIT: u16 = 0x1;

/// The Secondary Status register (PCIe 6.2 section 7.5.1.3.7): as Status, for the secondary side.
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct SecondaryStatus {
    #[bits(5)]
    _reserved: u16,
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
    /// Signaled Target Abort.
    pub abort_target_signaled: bool,
    /// Received Target Abort.
    pub abort_target_received: bool,
    /// Received Master Abort.
    pub abort_master_received: bool,
    /// Received System Error: ERR_FATAL or ERR_NONFATAL came from below.
    pub err_received: bool,
    /// Detected Parity Error: a poisoned packet came from below.
    pub err_detected_parity: bool,
}

const _: () = assert!(size_of::<SecondaryStatus>() == 2);

/// The Bridge Control register (PCIe 6.2 section 7.5.1.3.13).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct BridgeControl {
    /// Lets poisoned packets on the secondary side set its Master Data Parity Error.
    pub parity_error_response_enable: bool,
    /// Forwards ERR_COR, ERR_NONFATAL and ERR_FATAL from the secondary side to the primary.
    pub serr_enable: bool,
    /// Keeps the ISA aliases of each 1 KiB of the I/O window on the primary side.
    pub isa_enable: bool,
    /// Forwards VGA memory and I/O addresses to the secondary side.
    pub vga_enable: bool,
    /// Decodes all 16 bits of VGA I/O addresses.
    pub vga_16_bit_decode: bool,
    /// Clear on PCI Express.
    pub master_abort_mode: bool,
    /// While set, everything below is in hot reset.
    pub secondary_bus_reset: bool,
    /// Clear on PCI Express.
    pub fast_b2b_enable: bool,
    /// Clear on PCI Express.
    pub primary_discard_timer: bool,
    /// Clear on PCI Express.
    pub secondary_discard_timer: bool,
    /// Clear on PCI Express.
    pub discard_timer_status: bool,
    /// Clear on PCI Express.
    pub discard_timer_serr_enable: bool,
    #[bits(4)]
    _reserved: u16,
}

const _: () = assert!(size_of::<BridgeControl>() == 2);

register_block! {
    /// The Type 1 header. The composer gives the identity, the header type's multi-function bit, the BARs and the
    /// expansion ROM (their encoding bits, and by narrowing their size), the I/O window (by narrowing, whether there is one) and the
    /// capabilities pointer.
    pub TYPE1_HEADER: Type1HeaderReg = "type1_header" {
        title: "Type 1 configuration header",
        section: "PCIe 6.2 section 7.5.1.3",
        bytes: HEADER_TYPE_01_SIZE,
    }
    0x00 vendor_id: u16 as () = 0, "PCIe 6.2 section 7.5.1.1.1" { hwinit: [value[15:0]] }
    0x02 device_id: u16 as () = 0, "PCIe 6.2 section 7.5.1.1.2" { hwinit: [value[15:0]] }
    0x04 command: u16 as Command = 0, "PCIe 6.2 section 7.5.1.1.3" {
        rw: [
            pio_enabled, mmio_enabled, bus_master, special_cycles, enable_memory_write_invalidate, vga_palette_snoop,
            parity_error_response, enable_serr, enable_fast_b2b, intx_disable,
        ],
    }
    0x06 status: u16 as Status = 0, "PCIe 6.2 section 7.5.1.1.4" {
        hwinit: [immediate_readiness, capabilities_list],
        live: [interrupt_status],
        ro: [capable_mhz_66, capable_fast_b2b, devsel],
        rw1c: [
            err_master_parity, abort_target_signaled, abort_target_received, abort_master_received, err_signaled,
            err_detected_parity,
        ],
    }
    0x08 revision_id: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.5" { hwinit: [value[7:0]] }
    0x09 programming_interface: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.6" { hwinit: [value[7:0]] }
    0x0a sub_class: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.6" { hwinit: [value[7:0]] }
    0x0b base_class: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.6" { hwinit: [value[7:0]] }
    0x0c cache_line_size: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.7" { rw: [value[7:0]] }
    0x0d latency_timer: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.8" { ro: [value[7:0]] }
    0x0e header_type: u8 as () = 1, "PCIe 6.2 section 7.5.1.1.9" { hwinit: [layout[6:0], multi_function[7:7]] }
    0x0f bist: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.10" { ro: [value[7:0]] }
    0x10 bar0: u32 as () = 0, "PCIe 6.2 section 7.5.1.3.1" { rw: [value[31:0]] }
    0x14 bar1: u32 as () = 0, "PCIe 6.2 section 7.5.1.3.1" { rw: [value[31:0]] }
    0x18 primary_bus_number: u8 as () = 0, "PCIe 6.2 section 7.5.1.3.2" { rw: [value[7:0]] }
    0x19 secondary_bus_number: u8 as () = 0, "PCIe 6.2 section 7.5.1.3.3" { rw: [value[7:0]] }
    0x1a subordinate_bus_number: u8 as () = 0, "PCIe 6.2 section 7.5.1.3.4" { rw: [value[7:0]] }
    0x1b secondary_latency_timer: u8 as () = 0, "PCIe 6.2 section 7.5.1.3.5" { ro: [value[7:0]] }
    0x1c io_base: u8 as () = 0, "PCIe 6.2 section 7.5.1.3.6" { hwinit: [addressing[3:0]], rw: [address[7:4] => Address(12)] }
    0x1d io_limit: u8 as () = 0, "PCIe 6.2 section 7.5.1.3.6" { hwinit: [addressing[3:0]], rw: [address[7:4] => Limit(12)] }
    0x1e secondary_status: u16 as SecondaryStatus = 0, "PCIe 6.2 section 7.5.1.3.7" {
        ro: [capable_mhz_66, capable_fast_b2b, devsel],
        rw1c: [
            err_master_parity, abort_target_signaled, abort_target_received, abort_master_received, err_received,
            err_detected_parity,
        ],
    }
    0x20 memory_base: u16 as () = 0, "PCIe 6.2 section 7.5.1.3.8" { rw: [address[15:4] => Address(20)] }
    0x22 memory_limit: u16 as () = 0, "PCIe 6.2 section 7.5.1.3.8" { rw: [address[15:4] => Limit(20)] }
    0x24 prefetchable_memory_base: u16 as () = PREFETCH_MEMORY_BASE_LIMIT_64BIT as u32, "PCIe 6.2 section 7.5.1.3.9" {
        ro: [addressing[3:0]], rw: [address[15:4] => Address(20)],
    }
    0x26 prefetchable_memory_limit: u16 as () = PREFETCH_MEMORY_BASE_LIMIT_64BIT as u32, "PCIe 6.2 section 7.5.1.3.9" {
        ro: [addressing[3:0]], rw: [address[15:4] => Limit(20)],
    }
    0x28 prefetchable_base_upper: u32 as () = 0, "PCIe 6.2 section 7.5.1.3.10" { rw: [value[31:0] => Address(32)] }
    0x2c prefetchable_limit_upper: u32 as () = 0, "PCIe 6.2 section 7.5.1.3.10" { rw: [value[31:0] => Address(32)] }
    0x30 io_base_upper: u16 as () = 0, "PCIe 6.2 section 7.5.1.3.11" { rw: [value[15:0] => Address(16)] }
    0x32 io_limit_upper: u16 as () = 0, "PCIe 6.2 section 7.5.1.3.11" { rw: [value[15:0] => Address(16)] }
    0x34 capabilities_pointer: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.11" { hwinit: [value[7:0]] }
    0x35 reserved_35: u8 as () = 0, "PCIe 6.2 section 7.5.1.3" {}
    0x36 reserved_36: u16 as () = 0, "PCIe 6.2 section 7.5.1.3" {}
    0x38 expansion_rom_base_address: u32 as () = 0, "PCIe 6.2 section 7.5.1.3.12" {
        rw: [enable[0:0], address[31:11] => Address(11)], ro: [validation_status[3:1], validation_details[7:4]],
    }
    0x3c interrupt_line: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.12" { rw: [value[7:0]] }
    0x3d interrupt_pin: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.13" { hwinit: [value[7:0]] }
    0x3e bridge_control: u16 as BridgeControl = 0, "PCIe 6.2 section 7.5.1.3.13" {
        rw: [
            parity_error_response_enable, serr_enable, isa_enable, vga_enable, vga_16_bit_decode, secondary_bus_reset,
        ],
        ro: [
            master_abort_mode, fast_b2b_enable, primary_discard_timer, secondary_discard_timer, discard_timer_status,
            discard_timer_serr_enable,
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::RegisterFile;

    /// A root port before anyone programmed it: identity 1414:C030, class 06 04 00, its first capability at 0x40.
    #[test]
    fn a_root_port_composed_from_it_reads_as_specified() {
        let mut header = RegisterFile::new(Type1HeaderReg::VendorId);
        header.init(Type1HeaderReg::VendorId, 0x1414u16);
        header.init(Type1HeaderReg::DeviceId, 0xc030u16);
        header.init(Type1HeaderReg::BaseClass, 6u8);
        header.init(Type1HeaderReg::SubClass, 4u8);
        header.init(
            Type1HeaderReg::Status,
            Status::new().with_capabilities_list(true).into_bits(),
        );
        header.init(Type1HeaderReg::CapabilitiesPointer, 0x40u8);
        let expected: [u32; 16] = [
            0xc030_1414,
            0x0010_0000,
            0x0604_0000,
            0x0001_0000,
            0,
            0,
            0,
            0,
            0,
            0x0001_0001,
            0,
            0,
            0,
            0x40,
            0,
            0,
        ];
        for (offset, word) in (0..).step_by(4).zip(expected) {
            assert_eq!(header.read(offset), word, "{offset:#x}");
        }
    }

    #[test]
    fn writable_bits_are_those_of_the_specification() {
        let words: [(u32, u32); 16] = [
            (0, 0),
            (0x0000_077f, 0xf900_0000),
            (0, 0),
            (0x0000_00ff, 0),
            (0xffff_ffff, 0),
            (0xffff_ffff, 0),
            (0x00ff_ffff, 0),
            (0x0000_f0f0, 0xf900_0000),
            (0xfff0_fff0, 0),
            (0xfff0_fff0, 0),
            (0xffff_ffff, 0),
            (0xffff_ffff, 0),
            (0xffff_ffff, 0),
            (0, 0),
            (0xffff_f801, 0),
            (0x005f_00ff, 0),
        ];
        for (i, (rw, rw1c)) in words.into_iter().enumerate() {
            let mask = TYPE1_HEADER.masks[i];
            assert_eq!((mask.rw, mask.rw1c), (rw, rw1c), "dword {i}");
        }
    }

    #[test]
    fn bridge_control_bits_lie_where_linux_expects_them() {
        for (control, bits) in [
            (
                BridgeControl::new().with_parity_error_response_enable(true),
                0x01,
            ), // PCI_BRIDGE_CTL_PARITY
            (BridgeControl::new().with_serr_enable(true), 0x02), // PCI_BRIDGE_CTL_SERR
            (BridgeControl::new().with_isa_enable(true), 0x04),  // PCI_BRIDGE_CTL_ISA
            (BridgeControl::new().with_vga_enable(true), 0x08),  // PCI_BRIDGE_CTL_VGA
            (BridgeControl::new().with_master_abort_mode(true), 0x20), // PCI_BRIDGE_CTL_MASTER_ABORT
            (BridgeControl::new().with_secondary_bus_reset(true), 0x40), // PCI_BRIDGE_CTL_BUS_RESET
            (BridgeControl::new().with_fast_b2b_enable(true), 0x80),   // PCI_BRIDGE_CTL_FAST_BACK
        ] {
            assert_eq!(control.into_bits(), bits, "{control:?}");
        }
    }

    #[test]
    fn secondary_status_has_the_bits_of_status() {
        assert_eq!(
            SecondaryStatus::new().with_err_received(true).into_bits(),
            Status::new().with_err_signaled(true).into_bits()
        );
        assert_eq!(
            SecondaryStatus::new()
                .with_err_master_parity(true)
                .into_bits(),
            Status::new().with_err_master_parity(true).into_bits()
        );
    }
}

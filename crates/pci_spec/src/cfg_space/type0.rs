//! The Type 0 configuration header: endpoints (PCIe 6.2 section 7.5.1.2).
//!
//! Not emulated: latency timer (without effect on PCI Express), BIST, the CardBus CIS pointer. Their registers read zero. Cache Line
//! Size is a note of software without effect, and the composer may take it away. Validation of the expansion ROM: its status says that it is not supported.

use super::Command;
use super::Status;
use open_enum::open_enum;
use reg_table::register_block;

/// Offsets of the dwords of a Type 0 header.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum HeaderType00 {
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
    /// Base address register 2.
    BAR2 = 0x18,
    /// Base address register 3.
    BAR3 = 0x1c,
    /// Base address register 4.
    BAR4 = 0x20,
    /// Base address register 5.
    BAR5 = 0x24,
    /// CardBus CIS Pointer.
    CARDBUS_CIS_PTR = 0x28,
    /// Subsystem ID and Subsystem Vendor ID.
    SUBSYSTEM_ID = 0x2c,
    /// Expansion ROM Base Address.
    EXPANSION_ROM_BASE = 0x30,
    /// Capabilities Pointer; the rest is reserved.
    RESERVED_CAP_PTR = 0x34,
    /// Reserved.
    RESERVED = 0x38,
    /// Max_Lat, Min_Gnt, Interrupt Pin and Interrupt Line.
    LATENCY_INTERRUPT = 0x3c,
}

/// Bytes of a Type 0 header.
pub const HEADER_TYPE_00_SIZE: u16 = 0x40;

register_block! {
    /// The Type 0 header. The composer gives the identity, the header type's multi-function bit, the BARs and the expansion ROM
    /// (their encoding bits, and by narrowing their size) and the capabilities pointer.
    pub TYPE0_HEADER: Type0HeaderReg = "type0_header" {
        title: "Type 0 configuration header",
        section: "PCIe 6.2 section 7.5.1.2",
        bytes: HEADER_TYPE_00_SIZE,
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
    0x0e header_type: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.9" { hwinit: [layout[6:0], multi_function[7:7]] }
    0x0f bist: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.10" { ro: [value[7:0]] }
    0x10 bar0: u32 as () = 0, "PCIe 6.2 section 7.5.1.2.1" { rw: [value[31:0]] }
    0x14 bar1: u32 as () = 0, "PCIe 6.2 section 7.5.1.2.1" { rw: [value[31:0]] }
    0x18 bar2: u32 as () = 0, "PCIe 6.2 section 7.5.1.2.1" { rw: [value[31:0]] }
    0x1c bar3: u32 as () = 0, "PCIe 6.2 section 7.5.1.2.1" { rw: [value[31:0]] }
    0x20 bar4: u32 as () = 0, "PCIe 6.2 section 7.5.1.2.1" { rw: [value[31:0]] }
    0x24 bar5: u32 as () = 0, "PCIe 6.2 section 7.5.1.2.1" { rw: [value[31:0]] }
    0x28 cardbus_cis_pointer: u32 as () = 0, "PCIe 6.2 section 7.5.1.2.2" { ro: [value[31:0]] }
    0x2c subsystem_vendor_id: u16 as () = 0, "PCIe 6.2 section 7.5.1.2.3" { hwinit: [value[15:0]] }
    0x2e subsystem_id: u16 as () = 0, "PCIe 6.2 section 7.5.1.2.3" { hwinit: [value[15:0]] }
    0x30 expansion_rom_base_address: u32 as () = 0, "PCIe 6.2 section 7.5.1.2.4" {
        rw: [enable[0:0], address[31:11] => Address(11)], ro: [validation_status[3:1], validation_details[7:4]],
    }
    0x34 capabilities_pointer: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.11" { hwinit: [value[7:0]] }
    0x35 reserved_35: u8 as () = 0, "PCIe 6.2 section 7.5.1.2" {}
    0x36 reserved_36: u16 as () = 0, "PCIe 6.2 section 7.5.1.2" {}
    0x38 reserved_38: u32 as () = 0, "PCIe 6.2 section 7.5.1.2" {}
    0x3c interrupt_line: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.12" { rw: [value[7:0]] }
    0x3d interrupt_pin: u8 as () = 0, "PCIe 6.2 section 7.5.1.1.13" { hwinit: [value[7:0]] }
    // Zero on PCI Express. Callers of this interface store a latency timer here and expect to read it back.
    0x3e min_gnt: u8 as () = 0, "PCIe 6.2 section 7.5.1.2.5" { rw: [value[7:0]] }
    0x3f max_lat: u8 as () = 0, "PCIe 6.2 section 7.5.1.2.5" { ro: [value[7:0]] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::RegisterFile;

    #[test]
    fn reads_zero_until_composed() {
        let header = RegisterFile::new(Type0HeaderReg::VendorId);
        for offset in (0..HEADER_TYPE_00_SIZE).step_by(4) {
            assert_eq!(header.read(offset), 0, "{offset:#x}");
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
            (0xffff_ffff, 0),
            (0xffff_ffff, 0),
            (0xffff_ffff, 0),
            (0xffff_ffff, 0),
            (0, 0),
            (0, 0),
            (0xffff_f801, 0),
            (0, 0),
            (0, 0),
            (0x00ff_00ff, 0),
        ];
        for (i, (rw, rw1c)) in words.into_iter().enumerate() {
            let mask = TYPE0_HEADER.masks[i];
            assert_eq!((mask.rw, mask.rw1c), (rw, rw1c), "dword {i}");
        }
    }
}

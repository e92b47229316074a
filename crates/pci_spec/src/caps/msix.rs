//! MSI-X (PCIe 6.2 section 7.7.2): up to 2048 vectors, each with an address and data of its own in a table that lives in
//! a BAR.

use bitfield_struct::bitfield;
use inspect::Inspect;
use open_enum::open_enum;
use reg_table::register_block;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Offsets of the dwords of the capability.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum MsixCapabilityHeader {
    /// Message Control, next pointer and capability ID.
    CONTROL_CAPS = 0x00,
    /// Table Offset and Table BIR.
    OFFSET_TABLE = 0x04,
    /// PBA Offset and PBA BIR.
    OFFSET_PBA = 0x08,
}

/// Offsets of the dwords of one entry of the table.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash)]
#[repr(u64)]
pub enum MsixTableEntryIdx {
    /// Message Address.
    MSG_ADDR_LO = 0x0,
    /// Message Upper Address.
    MSG_ADDR_HI = 0x4,
    /// Message Data.
    MSG_DATA = 0x8,
    /// Vector Control.
    VECTOR_CTL = 0xc,
}

/// The Message Control register (PCIe 6.2 section 7.7.2.2).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct MsixMessageControl {
    /// Entries of the table, less one.
    #[bits(11)]
    pub table_size: u16,
    #[bits(3)]
    _reserved: u16,
    /// Masks every vector.
    pub function_mask: bool,
    /// MSI-X is in use; the function does not assert INTx.
    pub msix_enable: bool,
}

const _: () = assert!(size_of::<MsixMessageControl>() == 2);

/// Where the table or the pending bit array lies (PCIe 6.2 sections 7.7.2.3 and 7.7.2.4).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct MsixLocation {
    /// Number of the BAR.
    #[bits(3)]
    pub bir: u32,
    /// Offset in the BAR, in units of 8 bytes.
    #[bits(29)]
    pub offset: u32,
}

const _: () = assert!(size_of::<MsixLocation>() == 4);

/// The Vector Control register of a table entry (PCIe 6.2 section 7.7.2.8).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct MsixVectorControl {
    /// Keeps the vector's messages from being sent.
    pub mask: bool,
    /// Reserved; stored, since drivers write back what they read.
    #[bits(15)]
    pub reserved: u32,
    /// Steering tag of the vector's messages, for functions with TPH.
    #[bits(16)]
    pub steering_tag: u32,
}

const _: () = assert!(size_of::<MsixVectorControl>() == 4);

register_block! {
    /// The MSI-X capability. The composer gives the table's size and where table and pending bits lie.
    pub MSIX: MsixReg = "msix" {
        title: "MSI-X capability",
        section: "PCIe 6.2 section 7.7.2",
        bytes: 0x0c,
    }
    0x00 capability_id: u8 as () = 0x11, "PCIe 6.2 section 7.7.2.1" { ro: [value[7:0]] }
    0x01 next_pointer: u8 as () = 0, "PCIe 6.2 section 7.7.2.1" { ro: [value[7:0]] }
    0x02 message_control: u16 as MsixMessageControl = 0, "PCIe 6.2 section 7.7.2.2" {
        hwinit: [table_size => LessOne],
        rw: [function_mask, msix_enable],
    }
    0x04 table_offset: u32 as MsixLocation = 0, "PCIe 6.2 section 7.7.2.3" { hwinit: [bir, offset => Address(3)] }
    0x08 pba_offset: u32 as MsixLocation = 0, "PCIe 6.2 section 7.7.2.4" { hwinit: [bir, offset => Address(3)] }
}

register_block! {
    /// One entry of the MSI-X table, in a BAR. Masked after reset.
    pub MSIX_TABLE_ENTRY: MsixTableEntryReg = "msix_table_entry" {
        title: "MSI-X table entry",
        section: "PCIe 6.2 section 7.7.2",
        bytes: 0x10,
    }
    0x00 message_address: u32 as () = 0, "PCIe 6.2 section 7.7.2.5" { rw: [value[31:0]] }
    0x04 message_upper_address: u32 as () = 0, "PCIe 6.2 section 7.7.2.6" { rw: [value[31:0] => Address(32)] }
    0x08 message_data: u32 as () = 0, "PCIe 6.2 section 7.7.2.7" { rw: [value[31:0]] }
    0x0c vector_control: u32 as MsixVectorControl = 1, "PCIe 6.2 section 7.7.2.8" {
        rw: [mask, reserved, steering_tag],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::RegisterFile;

    /// 64 vectors in BAR 2, the pending bits behind the table.
    #[test]
    fn a_capability_of_64_vectors_reads_as_specified() {
        let mut msix = RegisterFile::new(MsixReg::CapabilityId);
        let control = MsixMessageControl::new().with_table_size(64 - 1);
        msix.init(MsixReg::MessageControl, control.into_bits());
        let table = MsixLocation::new().with_bir(2);
        msix.init(MsixReg::TableOffset, table.into_bits());
        msix.init(
            MsixReg::PbaOffset,
            table.with_offset(64 * 16 / 8).into_bits(),
        );
        assert_eq!(
            [msix.read(0), msix.read(4), msix.read(8)],
            [0x003f_0011, 0x2, 0x402]
        );
        for offset in [0, 4, 8] {
            msix.write(offset, u32::MAX, u32::MAX);
        }
        assert_eq!(
            [msix.read(0), msix.read(4), msix.read(8)],
            [0xc03f_0011, 0x2, 0x402],
            "only the function mask and the enable bit can be written"
        );
    }

    #[test]
    fn a_table_entry_is_masked_after_reset_and_stores_what_is_written() {
        let entry = RegisterFile::new(MsixTableEntryReg::MessageAddress);
        assert_eq!(
            [entry.read(0), entry.read(4), entry.read(8), entry.read(0xc)],
            [0, 0, 0, 1]
        );
        entry.write(0xc, 0x456, u32::MAX);
        assert_eq!(entry.read(0xc), 0x456);
    }

    #[test]
    fn bits_lie_where_linux_expects_them() {
        for (control, bits) in [
            (MsixMessageControl::new().with_table_size(0x7ff), 0x07ff), // PCI_MSIX_FLAGS_QSIZE
            (MsixMessageControl::new().with_function_mask(true), 0x4000), // PCI_MSIX_FLAGS_MASKALL
            (MsixMessageControl::new().with_msix_enable(true), 0x8000), // PCI_MSIX_FLAGS_ENABLE
        ] {
            assert_eq!(control.into_bits(), bits, "{control:?}");
        }
        // PCI_MSIX_TABLE_BIR, PCI_MSIX_TABLE_OFFSET.
        assert_eq!(MsixLocation::new().with_bir(7).into_bits(), 0x0000_0007);
        assert_eq!(
            MsixLocation::new().with_offset(0x1fff_ffff).into_bits(),
            0xffff_fff8
        );
        // PCI_MSIX_ENTRY_CTRL_MASKBIT.
        assert_eq!(MsixVectorControl::new().with_mask(true).into_bits(), 1);
        // PCI_MSIX_ENTRY_LOWER_ADDR, _UPPER_ADDR, _DATA, _VECTOR_CTRL.
        assert_eq!(
            [
                MsixTableEntryIdx::MSG_ADDR_LO.0,
                MsixTableEntryIdx::MSG_ADDR_HI.0,
                MsixTableEntryIdx::MSG_DATA.0,
                MsixTableEntryIdx::VECTOR_CTL.0
            ],
            [0x0, 0x4, 0x8, 0xc]
        );
    }
}

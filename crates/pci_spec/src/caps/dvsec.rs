//! The header of Designated Vendor-Specific extended capabilities (PCIe 6.2 section 7.9.6): blocks that the vendor named in
//! them lays out, in functions of any vendor. CXL's registers are such blocks.

use bitfield_struct::bitfield;
use inspect::Inspect;
use open_enum::open_enum;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;
use zerocopy::KnownLayout;

/// Offsets of the dwords that every such capability has.
#[open_enum]
#[derive(Debug, Copy, Clone, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum DvsecExtendedCapabilityHeader {
    /// Extended capability header.
    HEADER = 0x00,
    /// Designated Vendor-Specific Header 1.
    DVSEC_HEADER1 = 0x04,
    /// Designated Vendor-Specific Header 2, in the low 16 bits; the vendor's registers start behind it.
    DVSEC_HEADER2 = 0x08,
}

/// Designated Vendor-Specific Header 1 (PCIe 6.2 section 7.9.6.2).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct DvsecHeader1 {
    /// Vendor ID of whoever defined the block.
    #[inspect(hex)]
    pub dvsec_vendor_id: u16,
    /// Version of the block's layout.
    #[bits(4)]
    pub dvsec_revision: u8,
    /// Bytes of the whole capability, headers included.
    #[bits(12)]
    pub dvsec_length: u16,
}

const _: () = assert!(size_of::<DvsecHeader1>() == 4);

/// Designated Vendor-Specific Header 2 (PCIe 6.2 section 7.9.6.3).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq, IntoBytes, Immutable, KnownLayout, FromBytes)]
pub struct DvsecHeader2 {
    /// Which of that vendor's blocks it is.
    #[inspect(hex)]
    pub dvsec_id: u16,
}

const _: () = assert!(size_of::<DvsecHeader2>() == 2);

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a CXL device's block: vendor 1E98h, revision 3, 3Ch bytes.
    #[test]
    fn header_1_of_a_cxl_device() {
        let header = DvsecHeader1::new()
            .with_dvsec_vendor_id(0x1e98)
            .with_dvsec_revision(3)
            .with_dvsec_length(0x3c);
        assert_eq!(header.into_bits(), 0x03c3_1e98);
        assert_eq!(
            DvsecHeader2::new().with_dvsec_id(0x0008).into_bits(),
            0x0008
        );
    }

    #[test]
    fn bits_lie_where_linux_expects_them() {
        // PCI_DVSEC_HEADER1_VID x & 0xffff, _REV (x >> 16) & 0xf, _LEN (x >> 20) & 0xfff; PCI_DVSEC_HEADER1 0x4 and
        // PCI_DVSEC_HEADER2 0x8.
        let header = DvsecHeader1::from_bits(0xabcd_ef01);
        assert_eq!(header.dvsec_vendor_id(), 0xef01);
        assert_eq!(header.dvsec_revision(), 0xd);
        assert_eq!(header.dvsec_length(), 0xabc);
        assert_eq!(DvsecExtendedCapabilityHeader::DVSEC_HEADER1.0, 0x4);
        assert_eq!(DvsecExtendedCapabilityHeader::DVSEC_HEADER2.0, 0x8);
    }
}

//! The Register Locator DVSEC (CXL 3.1 section 8.1.9): in which BAR, and where in it, each register block is.

pub use super::super::register_locator_dvsec::CxlRegisterLocatorDvsecExtendedCapability;
use super::EXTENDED_HEADER;
use super::header_1;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;

/// Revision of the DVSEC.
pub const CXL_REGISTER_LOCATOR_DVSEC_REVISION: u8 = 0;
/// DVSEC ID.
pub const CXL_REGISTER_LOCATOR_DVSEC_ID: u16 = 8;

/// A BAR, by its offset in the configuration header.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct CxlRegisterLocatorRegisterBir(u8);

impl CxlRegisterLocatorRegisterBir {
    /// BAR0.
    pub const BAR_10H: Self = Self(0);
    /// BAR1.
    pub const BAR_14H: Self = Self(1);
    /// BAR2.
    pub const BAR_18H: Self = Self(2);
    /// BAR3.
    pub const BAR_1CH: Self = Self(3);
    /// BAR4.
    pub const BAR_20H: Self = Self(4);
    /// BAR5.
    pub const BAR_24H: Self = Self(5);

    /// The value of the field.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// What a register block is.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct CxlRegisterLocatorRegisterBlockIdentifier(u8);

impl CxlRegisterLocatorRegisterBlockIdentifier {
    /// The entry is empty.
    pub const EMPTY: Self = Self(0);
    /// Component registers.
    pub const COMPONENT_REGISTERS: Self = Self(1);
    /// Access control list of BAR virtualization.
    pub const BAR_VIRTUALIZATION_ACL_REGISTERS: Self = Self(2);
    /// CXL device registers.
    pub const CXL_DEVICE_REGISTERS: Self = Self(3);
    /// Performance monitoring unit.
    pub const CPMU_REGISTERS: Self = Self(4);
    /// Hot-page monitoring unit.
    pub const CHMU_REGISTERS: Self = Self(5);
    /// Defined by a vendor.
    pub const DESIGNATED_VENDOR_SPECIFIC: Self = Self(0xFF);

    /// The value of the field.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// Offsets and lengths in bytes.
#[derive(Debug)]
pub struct CxlRegisterLocatorDvsecRegisterOffset;

impl CxlRegisterLocatorDvsecRegisterOffset {
    /// DVSEC Header 2.
    pub const DVSEC_HEADER2: u16 = 0x08;
    /// Register Offset Low of the first entry.
    pub const FIRST_REGISTER_BLOCK_OFFSET_LOW: u16 = 0x0C;
    /// Bytes of an entry.
    pub const REGISTER_BLOCK_STRIDE: u16 = 8;
    /// Bytes before the first entry.
    pub const BASE_LENGTH: u16 = 0x0C;
}

/// Register Offset Low (CXL 3.1 section 8.1.9.1).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlRegisterLocatorDvsecRegisterOffsetLow {
    /// [`CxlRegisterLocatorRegisterBir`].
    #[bits(3)]
    pub register_bir: u8,
    #[bits(5)]
    _reserved: u8,
    /// [`CxlRegisterLocatorRegisterBlockIdentifier`].
    pub register_block_identifier: u8,
    /// Bits 31:16 of the offset in the BAR.
    pub register_block_offset_low: u16,
}

register_block! {
    /// What precedes the entries of the Register Locator DVSEC. The composer gives the length.
    pub CXL_REGISTER_LOCATOR_DVSEC: CxlRegisterLocatorDvsecReg = "register_locator_dvsec" {
        title: "Register Locator DVSEC, headers",
        section: "CXL 3.1 section 8.1.9",
        bytes: 0x0c,
    }
    0x00 header: u32 as () = EXTENDED_HEADER, "PCIe 6.2 section 7.9.6.1" {
        ro: [capability_id[15:0], capability_version[19:16], next_offset[31:20]],
    }
    0x04 dvsec_header_1: u32 as () =
        header_1(CXL_REGISTER_LOCATOR_DVSEC_REVISION, CxlRegisterLocatorDvsecRegisterOffset::BASE_LENGTH),
        "PCIe 6.2 section 7.9.6.2" {
        hwinit: [dvsec_vendor_id[15:0], dvsec_revision[19:16], dvsec_length[31:20]],
    }
    0x08 dvsec_header_2: u16 as () = CXL_REGISTER_LOCATOR_DVSEC_ID as u32, "PCIe 6.2 section 7.9.6.3" {
        hwinit: [dvsec_id[15:0]],
    }
    0x0a reserved: u16 as () = 0, "CXL 3.1 section 8.1.9" {}
}

register_block! {
    /// One entry of the Register Locator DVSEC; the composer gives it.
    pub CXL_REGISTER_LOCATOR_ENTRY: CxlRegisterLocatorEntryReg = "register_locator_entry" {
        title: "Register Locator DVSEC, one entry",
        section: "CXL 3.1 section 8.1.9",
        bytes: 8,
    }
    0x00 offset_low: u32 as CxlRegisterLocatorDvsecRegisterOffsetLow = 0, "CXL 3.1 section 8.1.9.1" {
        hwinit: [register_bir, register_block_identifier, register_block_offset_low => Address(16)],
    }
    0x04 offset_high: u32 as () = 0, "CXL 3.1 section 8.1.9.2" { hwinit: [value[31:0] => Address(32)] }
}

//! The CXL Snoop Filter capability (CXL 3.1 section 8.2.4.23): how much of its devices' caches a host tracks.

use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;

/// Capability ID.
pub const CXL_SNOOP_FILTER_CAPABILITY_ID: u16 = 8;
/// Version of the capability (CXL 3.1 table 8-22).
pub const CXL_SNOOP_FILTER_CAPABILITY_VERSION: u8 = 1;

/// Snoop Filter Group ID (CXL 3.1 section 8.2.4.23.1).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlSnoopFilterGroupId {
    /// Ports of one host with the same number share a filter.
    pub group_id: u16,
    #[bits(16)]
    _reserved: u16,
}

/// Snoop Filter Effective Size (CXL 3.1 section 8.2.4.23.2).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlSnoopFilterSize {
    /// Bytes that the filter can track, in units of 64 KiB.
    pub size: u16,
    #[bits(16)]
    _reserved: u16,
}

register_block! {
    /// The CXL Snoop Filter capability. The composer gives both numbers.
    pub CXL_SNOOP_FILTER: CxlSnoopFilterReg = "cxl_snoop_filter" {
        title: "CXL Snoop Filter capability",
        section: "CXL 3.1 section 8.2.4.23",
        bytes: 8,
    }
    0x00 snoop_filter_group_id: u32 as CxlSnoopFilterGroupId = 0, "CXL 3.1 section 8.2.4.23.1" { hwinit: [group_id] }
    0x04 snoop_filter_effective_size: u32 as CxlSnoopFilterSize = 0, "CXL 3.1 section 8.2.4.23.2" { hwinit: [size] }
}

//! The CXL Extensions DVSEC for Ports (CXL 3.1 section 8.1.5): resets and link disable that CXL software must ask for, and
//! alternate windows for CXL 1.1 devices below.
//!
//! Not emulated: the alternate windows and the root complex register block have no effect on routing.

pub use super::super::cxl_port_dvsec::CxlPortDvsecExtendedCapability;
use super::EXTENDED_HEADER;
use super::header_1;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;

/// Revision of the DVSEC.
pub const CXL_PORT_DVSEC_REVISION: u8 = 0;
/// Bytes of the DVSEC.
pub const CXL_PORT_DVSEC_LENGTH: u16 = 0x28;
/// DVSEC ID.
pub const CXL_PORT_DVSEC_ID: u16 = 3;

/// Bits of Port Control Extensions that software can change, given every capability.
pub const CXL_PORT_DVSEC_CONTROL_WRITABLE_MASK: u16 = CxlPortDvsecControl::new()
    .with_unmask_sbr(true)
    .with_unmask_link_disable(true)
    .with_alt_memory_and_id_space_enable(true)
    .with_alt_bme(true)
    .with_uio_to_hdm_enable(true)
    .with_viral_enable(true)
    .into_bits();
/// Bits of Port Extension Status that are write-1-to-clear.
pub const CXL_PORT_DVSEC_STATUS_RW1C_MASK: u16 = CxlPortDvsecStatus::new()
    .with_viral_status(true)
    .into_bits();
/// Bits of the alternate memory base and limit that software can change.
pub const CXL_PORT_DVSEC_ALT_MEMORY_BASE_LIMIT_WRITABLE_MASK: u16 =
    CxlPortDvsecAltMemoryBase::new()
        .with_alt_mem_base(0xfff)
        .into_bits();
/// Bits of the alternate prefetchable memory base and limit that software can change.
pub const CXL_PORT_DVSEC_ALT_PREFETCHABLE_MEMORY_BASE_LIMIT_WRITABLE_MASK: u16 =
    CxlPortDvsecAltPrefetchableMemoryBase::new()
        .with_alt_prefetch_mem_base(0xfff)
        .into_bits();
/// Bits of the CXL RCRB Base that software can change.
pub const CXL_PORT_DVSEC_CXL_RCRB_BASE_WRITABLE_MASK: u32 = CxlPortDvsecRcrbBase::new()
    .with_cxl_rcrb_enable(true)
    .with_cxl_rcrb_base_address_low(0x7_ffff)
    .into_bits();

/// Offsets of the dwords.
#[derive(Debug)]
pub struct CxlPortDvsecRegisterOffset;

impl CxlPortDvsecRegisterOffset {
    /// DVSEC Header 2 and Port Extension Status.
    pub const DVSEC_HEADER2_PORT_EXTENSION_STATUS: u16 = 0x08;
    /// Port Control Extensions, Alternate Bus Base and Limit.
    pub const DVSEC_PORT_CONTROL_EXTENSIONS_ALT_BUS_BASE_LIMIT: u16 = 0x0C;
    /// Alternate Memory Base and Limit.
    pub const DVSEC_ALT_MEMORY_BASE_LIMIT: u16 = 0x10;
    /// Alternate Prefetchable Memory Base and Limit.
    pub const DVSEC_ALT_PREFETCHABLE_MEMORY_BASE_LIMIT: u16 = 0x14;
    /// Upper half of the alternate prefetchable base.
    pub const DVSEC_ALT_PREFETCHABLE_MEMORY_BASE_HIGH: u16 = 0x18;
    /// Upper half of the alternate prefetchable limit.
    pub const DVSEC_ALT_PREFETCHABLE_MEMORY_LIMIT_HIGH: u16 = 0x1C;
    /// CXL RCRB Base.
    pub const DVSEC_CXL_RCRB_BASE: u16 = 0x20;
    /// CXL RCRB Base High.
    pub const DVSEC_CXL_RCRB_BASE_HIGH: u16 = 0x24;
}

/// CXL Port Extension Status (CXL 3.1 section 8.1.5.1).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlPortDvsecStatus {
    /// Power management initialization of the link is complete.
    pub port_power_management_initialization_complete: bool,
    #[bits(13)]
    _reserved: u16,
    /// The port entered the viral state.
    pub viral_status: bool,
    #[bits(1)]
    _reserved2: u8,
}

/// Port Control Extensions (CXL 3.1 section 8.1.5.2).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlPortDvsecControl {
    /// Secondary Bus Reset in Bridge Control works although the link is a CXL one.
    pub unmask_sbr: bool,
    /// Link Disable in Link Control works although the link is a CXL one.
    pub unmask_link_disable: bool,
    /// Enables the alternate windows.
    pub alt_memory_and_id_space_enable: bool,
    /// Bus mastering through the alternate bus range.
    pub alt_bme: bool,
    /// Unordered I/O to host-managed device memory.
    pub uio_to_hdm_enable: bool,
    #[bits(9)]
    _reserved: u16,
    /// Enables viral handling.
    pub viral_enable: bool,
    #[bits(1)]
    _reserved2: u8,
}

/// Alternate Memory Base (CXL 3.1 section 8.1.5.5).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlPortDvsecAltMemoryBase {
    #[bits(4)]
    _reserved: u8,
    /// Bits 31:20 of the address.
    #[bits(12)]
    pub alt_mem_base: u16,
}

/// Alternate Memory Limit (CXL 3.1 section 8.1.5.6).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlPortDvsecAltMemoryLimit {
    #[bits(4)]
    _reserved: u8,
    /// Bits 31:20 of the address.
    #[bits(12)]
    pub alt_mem_limit: u16,
}

/// Alternate Prefetchable Memory Base (CXL 3.1 section 8.1.5.7).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlPortDvsecAltPrefetchableMemoryBase {
    #[bits(4)]
    _reserved: u8,
    /// Bits 31:20 of the address.
    #[bits(12)]
    pub alt_prefetch_mem_base: u16,
}

/// Alternate Prefetchable Memory Limit (CXL 3.1 section 8.1.5.8).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlPortDvsecAltPrefetchableMemoryLimit {
    #[bits(4)]
    _reserved: u8,
    /// Bits 31:20 of the address.
    #[bits(12)]
    pub alt_prefetch_mem_limit: u16,
}

/// CXL RCRB Base (CXL 3.1 section 8.1.5.11).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlPortDvsecRcrbBase {
    /// Decodes the root complex register block.
    pub cxl_rcrb_enable: bool,
    #[bits(12)]
    _reserved: u16,
    /// Bits 31:13 of its address.
    #[bits(19)]
    pub cxl_rcrb_base_address_low: u32,
}

register_block! {
    /// The CXL Extensions DVSEC for Ports.
    pub CXL_PORT_DVSEC: CxlPortDvsecReg = "cxl_port_dvsec" {
        title: "CXL Extensions DVSEC for Ports",
        section: "CXL 3.1 section 8.1.5",
        bytes: 0x28,
    }
    0x00 header: u32 as () = EXTENDED_HEADER, "PCIe 6.2 section 7.9.6.1" {
        ro: [capability_id[15:0], capability_version[19:16], next_offset[31:20]],
    }
    0x04 dvsec_header_1: u32 as () = header_1(CXL_PORT_DVSEC_REVISION, CXL_PORT_DVSEC_LENGTH),
        "PCIe 6.2 section 7.9.6.2" {
        hwinit: [dvsec_vendor_id[15:0], dvsec_revision[19:16], dvsec_length[31:20]],
    }
    0x08 dvsec_header_2: u16 as () = CXL_PORT_DVSEC_ID as u32, "PCIe 6.2 section 7.9.6.3" {
        hwinit: [dvsec_id[15:0]],
    }
    0x0a status: u16 as CxlPortDvsecStatus = 0, "CXL 3.1 section 8.1.5.1" {
        live: [port_power_management_initialization_complete],
        rw1cs: [viral_status],
    }
    0x0c control: u16 as CxlPortDvsecControl = 0, "CXL 3.1 section 8.1.5.2" {
        rw: [
            unmask_sbr, unmask_link_disable, alt_memory_and_id_space_enable, alt_bme, uio_to_hdm_enable, viral_enable,
        ],
    }
    0x0e alt_bus_base: u8 as () = 0, "CXL 3.1 section 8.1.5.3" { rw: [value[7:0]] }
    0x0f alt_bus_limit: u8 as () = 0, "CXL 3.1 section 8.1.5.4" { rw: [value[7:0]] }
    0x10 alt_mem_base: u16 as CxlPortDvsecAltMemoryBase = 0, "CXL 3.1 section 8.1.5.5" { rw: [alt_mem_base => Address(20)] }
    0x12 alt_mem_limit: u16 as CxlPortDvsecAltMemoryLimit = 0, "CXL 3.1 section 8.1.5.6" { rw: [alt_mem_limit => Limit(20)] }
    0x14 alt_prefetch_mem_base: u16 as CxlPortDvsecAltPrefetchableMemoryBase = 0, "CXL 3.1 section 8.1.5.7" {
        rw: [alt_prefetch_mem_base => Address(20)],
    }
    0x16 alt_prefetch_mem_limit: u16 as CxlPortDvsecAltPrefetchableMemoryLimit = 0, "CXL 3.1 section 8.1.5.8" {
        rw: [alt_prefetch_mem_limit => Limit(20)],
    }
    0x18 alt_prefetch_mem_base_high: u32 as () = 0, "CXL 3.1 section 8.1.5.9" { rw: [value[31:0] => Address(32)] }
    0x1c alt_prefetch_mem_limit_high: u32 as () = 0, "CXL 3.1 section 8.1.5.10" { rw: [value[31:0] => Address(32)] }
    0x20 cxl_rcrb_base: u32 as CxlPortDvsecRcrbBase = 0, "CXL 3.1 section 8.1.5.11" {
        rw: [cxl_rcrb_enable, cxl_rcrb_base_address_low => Address(13)],
    }
    0x24 cxl_rcrb_base_high: u32 as () = 0, "CXL 3.1 section 8.1.5.12" { rw: [value[31:0] => Address(32)] }
}

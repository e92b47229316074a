//! The Flex Bus Port DVSEC (CXL 3.1 section 8.2.1.3): which protocols and flit formats a link can train to, and did.
//!
//! Not emulated: link training; the owner says what it negotiated.

pub use super::super::flex_bus_port_dvsec::CxlFlexBusPortDvsecExtendedCapability;
use super::EXTENDED_HEADER;
use super::header_1;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;

/// Revision of the DVSEC.
pub const CXL_FLEX_BUS_PORT_DVSEC_REVISION: u8 = 3;
/// Bytes of the DVSEC.
pub const CXL_FLEX_BUS_PORT_DVSEC_LENGTH: u16 = 0x20;
/// DVSEC ID.
pub const CXL_FLEX_BUS_PORT_DVSEC_ID: u16 = 7;

/// Bits of the control register that software can change, given every capability.
pub const CXL_FLEX_BUS_PORT_DVSEC_CONTROL_WRITABLE_MASK: u16 = CxlFlexBusPortDvsecControl::new()
    .with_cache_enable(true)
    .with_mem_enable(true)
    .with_cxl_68b_flit_and_vh_enable(true)
    .with_cxl_multi_logical_device_enable(true)
    .with_disable_rcd_training(true)
    .with_retimer1_present(true)
    .with_retimer2_present(true)
    .with_cxl_latency_optimized_256b_flit_enable(true)
    .with_cxl_pbr_flit_enable(true)
    .into_bits();
/// Bits of the status register that are write-1-to-clear and sticky.
pub const CXL_FLEX_BUS_PORT_DVSEC_STATUS_RW1CS_MASK: u16 = CxlFlexBusPortDvsecStatus::new()
    .with_even_half_failed(true)
    .with_cxl_correctable_protocol_id_framing_error(true)
    .with_cxl_uncorrectable_protocol_id_framing_error(true)
    .with_cxl_unexpected_protocol_id_dropped(true)
    .with_cxl_retimers_present_mismatch(true)
    .with_flex_bus_enables_phase2_mismatched(true)
    .into_bits();
/// Bits of Control2 that software can change, given the capability.
pub const CXL_FLEX_BUS_PORT_DVSEC_CONTROL2_WRITABLE_MASK: u32 = CxlFlexBusPortDvsecControl2::new()
    .with_nop_hint_enable(true)
    .into_bits();

/// Offsets of the dwords.
#[derive(Debug)]
pub struct CxlFlexBusPortDvsecRegisterOffset;

impl CxlFlexBusPortDvsecRegisterOffset {
    /// DVSEC Header 2 and the capability register.
    pub const DVSEC_HEADER2_CAPABILITY: u16 = 0x08;
    /// The control and status registers.
    pub const DVSEC_CONTROL_STATUS: u16 = 0x0C;
    /// Received Modified TS Data Phase 1.
    pub const DVSEC_RECEIVED_MODIFIED_TS_DATA_PHASE1: u16 = 0x10;
    /// Capability2.
    pub const DVSEC_CAPABILITY2: u16 = 0x14;
    /// Control2.
    pub const DVSEC_CONTROL2: u16 = 0x18;
    /// Status2.
    pub const DVSEC_STATUS2: u16 = 0x1C;
}

/// Flex Bus Port Capability (CXL 3.1 section 8.2.1.3.1).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlFlexBusPortDvsecCapability {
    /// CXL.cache.
    pub cache_capable: bool,
    /// CXL.io.
    pub io_capable: bool,
    /// CXL.mem.
    pub mem_capable: bool,
    #[bits(2)]
    _reserved: u8,
    /// 68-byte flits and virtual hierarchies.
    pub cxl_68b_flit_and_vh_capable: bool,
    /// Multi-logical devices.
    pub cxl_multi_logical_device_capable: bool,
    #[bits(6)]
    _reserved2: u8,
    /// Latency-optimized 256-byte flits.
    pub cxl_latency_optimized_256b_flit_capable: bool,
    /// Port-based routing flits.
    pub cxl_pbr_flit_capable: bool,
    #[bits(1)]
    _reserved3: u8,
}

/// Flex Bus Port Control (CXL 3.1 section 8.2.1.3.2).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlFlexBusPortDvsecControl {
    /// CXL.cache.
    pub cache_enable: bool,
    /// CXL.io; follows the capability.
    pub io_enable: bool,
    /// CXL.mem.
    pub mem_enable: bool,
    /// Bypass of the sync header.
    pub cxl_sync_hdr_bypass_enable: bool,
    /// Drift buffer in place of the elastic one.
    pub drift_buffer_enable: bool,
    /// 68-byte flits and virtual hierarchies.
    pub cxl_68b_flit_and_vh_enable: bool,
    /// Multi-logical devices.
    pub cxl_multi_logical_device_enable: bool,
    /// Does not train as a restricted CXL device.
    pub disable_rcd_training: bool,
    /// One retimer is in the link.
    pub retimer1_present: bool,
    /// Two retimers are in the link.
    pub retimer2_present: bool,
    #[bits(3)]
    _reserved: u8,
    /// Latency-optimized 256-byte flits.
    pub cxl_latency_optimized_256b_flit_enable: bool,
    /// Port-based routing flits.
    pub cxl_pbr_flit_enable: bool,
    #[bits(1)]
    _reserved2: u8,
}

/// Flex Bus Port Status (CXL 3.1 section 8.2.1.3.3).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlFlexBusPortDvsecStatus {
    /// CXL.cache was negotiated.
    pub cache_enabled: bool,
    /// CXL.io was negotiated.
    pub io_enabled: bool,
    /// CXL.mem was negotiated.
    pub mem_enabled: bool,
    /// Bypass of the sync header was negotiated.
    pub cxl_sync_hdr_bypass_enabled: bool,
    /// The drift buffer is in use.
    pub drift_buffer_enabled: bool,
    /// 68-byte flits and virtual hierarchies were negotiated.
    pub cxl_68b_flit_and_vh_enabled: bool,
    /// Multi-logical devices were negotiated.
    pub cxl_multi_logical_device_enabled: bool,
    /// The even half of a flit failed.
    pub even_half_failed: bool,
    /// A protocol ID was repaired.
    pub cxl_correctable_protocol_id_framing_error: bool,
    /// A protocol ID could not be repaired.
    pub cxl_uncorrectable_protocol_id_framing_error: bool,
    /// A flit with an unexpected protocol ID was dropped.
    pub cxl_unexpected_protocol_id_dropped: bool,
    /// The two ends see another number of retimers.
    pub cxl_retimers_present_mismatch: bool,
    /// What the two ends enabled in phase 2 does not match.
    pub flex_bus_enables_phase2_mismatched: bool,
    /// Latency-optimized 256-byte flits were negotiated.
    pub cxl_latency_optimized_256b_flit_enabled: bool,
    /// Port-based routing flits were negotiated.
    pub cxl_pbr_flit_enabled: bool,
    /// CXL.io must be throttled at 64 GT/s.
    pub cxl_io_throttle_required_at_64gt: bool,
}

/// Received Modified TS Data Phase 1 (CXL 3.1 section 8.2.1.3.4).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlFlexBusPortDvsecReceivedModifiedTsDataPhase1 {
    /// What the other end sent in phase 1.
    #[bits(24)]
    pub received_flex_bus_data_phase1: u32,
    #[bits(8)]
    _reserved: u8,
}

/// Flex Bus Port Capability2 (CXL 3.1 section 8.2.1.3.5).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlFlexBusPortDvsecCapability2 {
    /// NOP hints.
    pub nop_hint_capable: bool,
    /// Streamlined port.
    pub streamlined_port: bool,
    #[bits(30)]
    _reserved: u32,
}

/// Flex Bus Port Control2 (CXL 3.1 section 8.2.1.3.6).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlFlexBusPortDvsecControl2 {
    /// NOP hints.
    pub nop_hint_enable: bool,
    #[bits(31)]
    _reserved: u32,
}

/// Flex Bus Port Status2 (CXL 3.1 section 8.2.1.3.7).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlFlexBusPortDvsecStatus2 {
    /// The negotiated NOP hint.
    #[bits(2)]
    pub nop_hint_info: u8,
    /// The other end is a streamlined port.
    pub streamlined_port: bool,
    #[bits(29)]
    _reserved: u32,
}

register_block! {
    /// The Flex Bus Port DVSEC. The composer gives the capabilities and narrows the control bits to them. What was
    /// negotiated follows the link, which no reset of this function changes by itself.
    pub CXL_FLEX_BUS_PORT_DVSEC: CxlFlexBusPortDvsecReg = "flex_bus_port_dvsec" {
        title: "Flex Bus Port DVSEC",
        section: "CXL 3.1 section 8.2.1.3",
        bytes: 0x20,
    }
    0x00 header: u32 as () = EXTENDED_HEADER, "PCIe 6.2 section 7.9.6.1" {
        ro: [capability_id[15:0], capability_version[19:16], next_offset[31:20]],
    }
    0x04 dvsec_header_1: u32 as () =
        header_1(CXL_FLEX_BUS_PORT_DVSEC_REVISION, CXL_FLEX_BUS_PORT_DVSEC_LENGTH), "PCIe 6.2 section 7.9.6.2" {
        hwinit: [dvsec_vendor_id[15:0], dvsec_revision[19:16], dvsec_length[31:20]],
    }
    0x08 dvsec_header_2: u16 as () = CXL_FLEX_BUS_PORT_DVSEC_ID as u32, "PCIe 6.2 section 7.9.6.3" {
        hwinit: [dvsec_id[15:0]],
    }
    0x0a capability: u16 as CxlFlexBusPortDvsecCapability = 0x0002, "CXL 3.1 section 8.2.1.3.1" {
        hwinit: [
            cache_capable, io_capable, mem_capable, cxl_68b_flit_and_vh_capable, cxl_multi_logical_device_capable,
            cxl_latency_optimized_256b_flit_capable, cxl_pbr_flit_capable,
        ],
    }
    0x0c control: u16 as CxlFlexBusPortDvsecControl = 0x0002, "CXL 3.1 section 8.2.1.3.2" {
        hwinit: [io_enable, cxl_sync_hdr_bypass_enable, drift_buffer_enable],
        rw_not_flr: [
            cache_enable, mem_enable, cxl_68b_flit_and_vh_enable, cxl_multi_logical_device_enable,
            disable_rcd_training, retimer1_present, retimer2_present, cxl_latency_optimized_256b_flit_enable,
            cxl_pbr_flit_enable,
        ],
    }
    0x0e status: u16 as CxlFlexBusPortDvsecStatus = 0, "CXL 3.1 section 8.2.1.3.3" {
        live: [
            cache_enabled, io_enabled, mem_enabled, cxl_sync_hdr_bypass_enabled, drift_buffer_enabled,
            cxl_68b_flit_and_vh_enabled, cxl_multi_logical_device_enabled, cxl_latency_optimized_256b_flit_enabled,
            cxl_pbr_flit_enabled, cxl_io_throttle_required_at_64gt,
        ],
        rw1cs: [
            even_half_failed, cxl_correctable_protocol_id_framing_error, cxl_uncorrectable_protocol_id_framing_error,
            cxl_unexpected_protocol_id_dropped, cxl_retimers_present_mismatch, flex_bus_enables_phase2_mismatched,
        ],
    }
    0x10 received_modified_ts_data_phase1: u32 as CxlFlexBusPortDvsecReceivedModifiedTsDataPhase1 = 0,
        "CXL 3.1 section 8.2.1.3.4" {
        live: [received_flex_bus_data_phase1],
    }
    0x14 capability2: u32 as CxlFlexBusPortDvsecCapability2 = 0, "CXL 3.1 section 8.2.1.3.5" {
        hwinit: [nop_hint_capable, streamlined_port],
    }
    0x18 control2: u32 as CxlFlexBusPortDvsecControl2 = 0, "CXL 3.1 section 8.2.1.3.6" {
        rw_not_flr: [nop_hint_enable],
    }
    0x1c status2: u32 as CxlFlexBusPortDvsecStatus2 = 0, "CXL 3.1 section 8.2.1.3.7" {
        live: [nop_hint_info, streamlined_port],
    }
}

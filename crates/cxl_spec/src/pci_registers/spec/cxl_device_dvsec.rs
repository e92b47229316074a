//! The DVSEC for CXL Devices (CXL 3.1 section 8.1.3): what the device can do on CXL.cache and CXL.mem, and the ranges of
//! memory that it offers.

pub use super::super::cxl_device_dvsec::CxlDeviceDevsecExtendedCapability;
use super::EXTENDED_HEADER;
use super::header_1;
use crate::encoding::encoding;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;

/// Revision of the DVSEC.
pub const CXL_DEVICE_DVSEC_REVISION: u8 = 3;
/// Bytes of the DVSEC.
pub const CXL_DEVICE_DVSEC_LENGTH: u16 = 0x3C;
/// DVSEC ID.
pub const CXL_DEVICE_DVSEC_ID: u16 = 0;

/// Bits of CXL Control that software can change, given every capability.
pub const CXL_DEVICE_DVSEC_CONTROL_WRITABLE_MASK: u16 = CxlDeviceDvsecControl::new()
    .with_cache_enable(true)
    .with_mem_enable(true)
    .with_cache_sf_coverage(0x1f)
    .with_cache_sf_granularity(7)
    .with_cache_clean_eviction(true)
    .with_direct_p2p_mem_enable(true)
    .with_viral_enable(true)
    .into_bits();
/// Bits of CXL Control2 that software can write, given every capability.
pub const CXL_DEVICE_DVSEC_CONTROL2_WRITABLE_MASK: u16 = CxlDeviceDvsecControl2::new()
    .with_disable_caching(true)
    .with_initiate_cache_writeback_and_invalidation(true)
    .with_initiate_cxl_reset(true)
    .with_cxl_reset_mem_clr_enable(true)
    .with_desired_volatile_hdm_state_after_hot_reset_configurable(true)
    .with_modified_completion_enable(true)
    .into_bits();
/// Bits of a range's Base Low that software can change.
pub const CXL_DEVICE_DVSEC_RANGE_BASE_LOW_WRITABLE_MASK: u32 = CxlDeviceDvsecRangeBaseLow::new()
    .with_memory_base_low(0xf)
    .into_bits();
/// Bits of CXL Status that are write-1-to-clear.
pub const CXL_DEVICE_DVSEC_STATUS_RW1C_MASK: u16 = CxlDeviceDvsecStatus::new()
    .with_viral_status(true)
    .into_bits();
/// Bits of CXL Status2 that are write-1-to-clear.
pub const CXL_DEVICE_DVSEC_STATUS2_RW1C_MASK: u16 =
    CXL_DEVICE_DVSEC_STATUS2_VOLATILE_HDM_PRESERVATION_ERROR_RW1C_MASK;
/// Volatile HDM Preservation Error in CXL Status2.
pub const CXL_DEVICE_DVSEC_STATUS2_VOLATILE_HDM_PRESERVATION_ERROR_RW1C_MASK: u16 =
    CxlDeviceDvsecStatus2::new()
        .with_volatile_hdm_preservation_error(true)
        .into_bits();

/// Performs a CXL reset (CXL 3.1 section 9.7) when the guest asks for it.
///
/// Called from within a configuration write, with the function's lock held: an implementor notes the request and resets
/// afterwards; it must not block. It says how the reset ended with
/// [`set_cxl_reset_complete`](CxlDeviceDevsecExtendedCapability::set_cxl_reset_complete) or
/// [`set_cxl_reset_error`](CxlDeviceDevsecExtendedCapability::set_cxl_reset_error), at once or later, on a clone of the
/// capability.
pub trait CxlResetHandler: Send + Sync + Inspect {
    /// The guest set Initiate CXL Reset.
    fn initiate_cxl_reset(&self);
}

/// Writes back and invalidates the device's cache (CXL 3.1 section 9.6) when the guest asks for it.
///
/// Called as [`CxlResetHandler`] is. When the cache is empty and caching is disabled, an implementor says so with
/// [`set_cache_invalid`](CxlDeviceDevsecExtendedCapability::set_cache_invalid).
pub trait CxlCacheWriteBackAndInvalidateHandler: Send + Sync + Inspect {
    /// The guest set Initiate Cache Write Back and Invalidation.
    fn initiate_cache_write_back_and_invalidate(&self);
}

encoding! {
    /// Media type of a range (CXL 3.1 section 8.1.3.8.2).
    CxlDeviceDvsecMediaType {
        /// Volatile memory.
        VolatileMemory = 0,
        /// Non-volatile memory.
        NonVolatileMemory = 1,
        /// As the coherent device attribute table says.
        Cdat = 2,
    }
}

encoding! {
    /// Memory class of a range (CXL 3.1 section 8.1.3.8.2).
    CxlDeviceDvsecMemoryClass {
        /// Memory.
        Memory = 0,
        /// Storage.
        Storage = 1,
        /// As the coherent device attribute table says.
        Cdat = 2,
    }
}

encoding! {
    /// Interleave granularity that a range asks for (CXL 3.1 section 8.1.3.8.2).
    CxlDeviceDvsecDesiredInterleave {
        /// No interleaving.
        NoInterleave = 0,
        /// 256 bytes.
        Granularity256Bytes = 1,
        /// 4 KiB.
        Interleave4Kb = 2,
        /// 512 bytes.
        Bytes512 = 3,
        /// 1 KiB.
        Bytes1024 = 4,
        /// 2 KiB.
        Bytes2048 = 5,
        /// 8 KiB.
        Bytes8192 = 6,
        /// 16 KiB.
        Bytes16384 = 7,
    }
}

encoding! {
    /// Longest time from the end of a reset until Memory Active is set (CXL 3.1 section 8.1.3.8.2).
    CxlDeviceDvsecMemoryActiveTimeout {
        /// 1 second.
        Seconds1 = 0,
        /// 4 seconds.
        Seconds4 = 1,
        /// 16 seconds.
        Seconds16 = 2,
        /// 64 seconds.
        Seconds64 = 3,
        /// 256 seconds.
        Seconds256 = 4,
    }
}

encoding! {
    /// Longest time that a CXL reset takes (CXL 3.1 section 8.1.3.1).
    CxlDeviceDvsecResetTimeout {
        /// 10 milliseconds.
        Milliseconds10 = 0,
        /// 100 milliseconds.
        Milliseconds100 = 1,
        /// 1 second.
        Seconds1 = 2,
        /// 10 seconds.
        Seconds10 = 3,
        /// 100 seconds.
        Seconds100 = 4,
    }
}

encoding! {
    /// Unit of the cache size (CXL 3.1 section 8.1.3.7).
    CxlDeviceDvsecCacheSizeUnit {
        /// The size is not reported.
        NotReported = 0,
        /// 64 KiB.
        Kib64 = 1,
        /// 1 MiB.
        Mib1 = 2,
    }
}

/// Offsets of the dwords.
#[derive(Debug)]
pub struct CxlDeviceDvsecRegisterOffset;

impl CxlDeviceDvsecRegisterOffset {
    /// CXL Control and CXL Status.
    pub const DVSEC_CONTROL_STATUS: u16 = 0x0C;
    /// CXL Control2 and CXL Status2.
    pub const DVSEC_CONTROL2_STATUS2: u16 = 0x10;
    /// CXL Lock and CXL Capability2.
    pub const DVSEC_LOCK_CAPABILITY2: u16 = 0x14;
    /// Range 1 Size High.
    pub const DVSEC_RANGE1_SIZE_HIGH: u16 = 0x18;
    /// Range 1 Size Low.
    pub const DVSEC_RANGE1_SIZE_LOW: u16 = 0x1C;
    /// Range 1 Base High.
    pub const DVSEC_RANGE1_BASE_HIGH: u16 = 0x20;
    /// Range 1 Base Low.
    pub const DVSEC_RANGE1_BASE_LOW: u16 = 0x24;
    /// Range 2 Size High.
    pub const DVSEC_RANGE2_SIZE_HIGH: u16 = 0x28;
    /// Range 2 Size Low.
    pub const DVSEC_RANGE2_SIZE_LOW: u16 = 0x2C;
    /// Range 2 Base High.
    pub const DVSEC_RANGE2_BASE_HIGH: u16 = 0x30;
    /// Range 2 Base Low.
    pub const DVSEC_RANGE2_BASE_LOW: u16 = 0x34;
    /// CXL Capability3.
    pub const DVSEC_CAPABILITY3: u16 = 0x38;
}

/// CXL Capability (CXL 3.1 section 8.1.3.1).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlDeviceDvsecCapability {
    /// Speaks CXL.cache.
    pub cache_capable: bool,
    /// Speaks CXL.io.
    pub io_capable: bool,
    /// Speaks CXL.mem.
    pub mem_capable: bool,
    /// Hardware or firmware initialises the memory, not software.
    pub mem_hwinit_mode: bool,
    /// Number of memory ranges.
    #[bits(2)]
    pub hdm_count: u8,
    /// Can write back and invalidate its cache on request.
    pub cache_writeback_and_invalidate_capable: bool,
    /// Has CXL reset.
    pub cxl_reset_capable: bool,
    /// [`CxlDeviceDvsecResetTimeout`].
    #[bits(3)]
    pub cxl_reset_timeout: u8,
    /// Can clear its memory as part of a CXL reset.
    pub cxl_reset_mem_clr_capable: bool,
    /// Has the trusted execution environment security protocol.
    pub tsp_capable: bool,
    /// Is a logical device of a multi-logical device.
    pub multiple_logical_device: bool,
    /// Handles viral indications.
    pub viral_capable: bool,
    /// Reports the end of power management initialization.
    pub pm_init_completion_reporting_capable: bool,
}

/// CXL Control (CXL 3.1 section 8.1.3.2).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlDeviceDvsecControl {
    /// Enables CXL.cache.
    pub cache_enable: bool,
    /// Enables CXL.io; always set.
    pub io_enable: bool,
    /// Enables CXL.mem.
    pub mem_enable: bool,
    /// log2 of the cache bytes that the host's snoop filter covers.
    #[bits(5)]
    pub cache_sf_coverage: u8,
    /// Granularity that the host tracks.
    #[bits(3)]
    pub cache_sf_granularity: u8,
    /// Whether clean evictions are needed.
    pub cache_clean_eviction: bool,
    /// Enables direct peer-to-peer CXL.mem.
    pub direct_p2p_mem_enable: bool,
    #[bits(1)]
    _reserved: u8,
    /// Enables viral handling.
    pub viral_enable: bool,
    #[bits(1)]
    _reserved2: u8,
}

/// CXL Status (CXL 3.1 section 8.1.3.3).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlDeviceDvsecStatus {
    #[bits(14)]
    _reserved: u16,
    /// The device entered the viral state.
    pub viral_status: bool,
    #[bits(1)]
    _reserved2: u8,
}

/// CXL Control2 (CXL 3.1 section 8.1.3.4).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlDeviceDvsecControl2 {
    /// No new lines may be cached.
    pub disable_caching: bool,
    /// Starts write-back and invalidation.
    pub initiate_cache_writeback_and_invalidation: bool,
    /// Starts a CXL reset.
    pub initiate_cxl_reset: bool,
    /// A CXL reset clears the memory.
    pub cxl_reset_mem_clr_enable: bool,
    /// The volatile memory is to be preserved over a hot reset.
    pub desired_volatile_hdm_state_after_hot_reset_configurable: bool,
    /// Enables modified completions.
    pub modified_completion_enable: bool,
    #[bits(10)]
    _reserved: u16,
}

/// CXL Status2 (CXL 3.1 section 8.1.3.5).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlDeviceDvsecStatus2 {
    /// The cache holds no valid line, and caching is disabled.
    pub cache_invalid: bool,
    /// The CXL reset ended well.
    pub cxl_reset_complete: bool,
    /// The CXL reset failed.
    pub cxl_reset_error: bool,
    /// Volatile memory was to be preserved and was not.
    pub volatile_hdm_preservation_error: bool,
    #[bits(11)]
    _reserved: u16,
    /// Power management initialization is complete.
    pub power_management_initialization_complete: bool,
}

/// CXL Lock (CXL 3.1 section 8.1.3.6).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlDeviceDvsecLock {
    /// The registers that can be locked are.
    pub config_lock: bool,
    #[bits(15)]
    _reserved: u16,
}

/// CXL Capability2 (CXL 3.1 section 8.1.3.7).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlDeviceDvsecCapability2 {
    /// [`CxlDeviceDvsecCacheSizeUnit`].
    #[bits(4)]
    pub cache_size_unit: u8,
    /// What the device falls back to without CXL.
    #[bits(2)]
    pub fallback_capability: u8,
    /// Can send modified completions.
    pub modified_completion_capable: bool,
    /// Never writes back clean lines.
    pub no_clean_writeback: bool,
    /// Cache size in units.
    pub cache_size: u8,
}

/// A range's Size Low (CXL 3.1 section 8.1.3.8.2).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlDeviceDvsecRangeSizeLow {
    /// The size and the fields below are valid.
    pub memory_info_valid: bool,
    /// The memory can be used.
    pub memory_active: bool,
    /// [`CxlDeviceDvsecMediaType`].
    #[bits(3)]
    pub media_type: u8,
    /// [`CxlDeviceDvsecMemoryClass`].
    #[bits(3)]
    pub memory_class: u8,
    /// [`CxlDeviceDvsecDesiredInterleave`].
    #[bits(5)]
    pub desired_interleave: u8,
    /// [`CxlDeviceDvsecMemoryActiveTimeout`].
    #[bits(3)]
    pub memory_active_timeout: u8,
    /// The memory can be used, with less capacity or speed.
    pub memory_active_degraded: bool,
    #[bits(11)]
    _reserved: u16,
    /// Bits 31:28 of the size.
    #[bits(4)]
    pub memory_size_low: u8,
}

/// A range's Base Low (CXL 3.1 section 8.1.3.8.4).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlDeviceDvsecRangeBaseLow {
    #[bits(28)]
    _reserved: u32,
    /// Bits 31:28 of the base.
    #[bits(4)]
    pub memory_base_low: u8,
}

/// CXL Capability3 (CXL 3.1 section 8.1.3.9).
#[derive(Inspect)]
#[bitfield(u16)]
#[derive(PartialEq, Eq)]
pub struct CxlDeviceDvsecCapability3 {
    /// Volatile memory is preserved over a cold reset.
    pub default_volatile_hdm_state_after_cold_reset: bool,
    /// Volatile memory is preserved over a warm reset.
    pub default_volatile_hdm_state_after_warm_reset: bool,
    /// Volatile memory is preserved over a hot reset.
    pub default_volatile_hdm_state_after_hot_reset: bool,
    /// Software chooses what a hot reset does to volatile memory.
    pub volatile_hdm_state_after_hot_reset_configurability: bool,
    /// Can send direct peer-to-peer CXL.mem requests.
    pub direct_p2p_mem_capable: bool,
    #[bits(11)]
    _reserved: u16,
}

register_block! {
    /// The DVSEC for CXL Devices. The composer gives the capabilities and ranges, and narrows the control bits to what is
    /// capable. A function-level reset leaves CXL.cache and CXL.mem alone (CXL 3.1 section 9.5), hence every register
    /// here, Lock and Status2 included.
    pub CXL_DEVICE_DVSEC: CxlDeviceDvsecReg = "cxl_device_dvsec" {
        title: "DVSEC for CXL Devices",
        section: "CXL 3.1 section 8.1.3",
        bytes: 0x3c,
    }
    0x00 header: u32 as () = EXTENDED_HEADER, "PCIe 6.2 section 7.9.6.1" {
        ro: [capability_id[15:0], capability_version[19:16], next_offset[31:20]],
    }
    0x04 dvsec_header_1: u32 as () = header_1(CXL_DEVICE_DVSEC_REVISION, CXL_DEVICE_DVSEC_LENGTH),
        "PCIe 6.2 section 7.9.6.2" {
        hwinit: [dvsec_vendor_id[15:0], dvsec_revision[19:16], dvsec_length[31:20]],
    }
    0x08 dvsec_header_2: u16 as () = CXL_DEVICE_DVSEC_ID as u32, "PCIe 6.2 section 7.9.6.3" {
        hwinit: [dvsec_id[15:0]],
    }
    0x0a capability: u16 as CxlDeviceDvsecCapability = 0, "CXL 3.1 section 8.1.3.1" {
        hwinit: [
            cache_capable, io_capable, mem_capable, mem_hwinit_mode, hdm_count, cache_writeback_and_invalidate_capable,
            cxl_reset_capable, cxl_reset_timeout, cxl_reset_mem_clr_capable, tsp_capable, multiple_logical_device,
            viral_capable, pm_init_completion_reporting_capable,
        ],
    }
    0x0c control: u16 as CxlDeviceDvsecControl = 0x0002, "CXL 3.1 section 8.1.3.2" {
        hwinit: [io_enable],
        rw_not_flr: [
            cache_enable, mem_enable, cache_sf_coverage, cache_sf_granularity, cache_clean_eviction,
            direct_p2p_mem_enable, viral_enable,
        ],
    }
    0x0e status: u16 as CxlDeviceDvsecStatus = 0, "CXL 3.1 section 8.1.3.3" { rw1cs: [viral_status] }
    0x10 control2: u16 as CxlDeviceDvsecControl2 = 0, "CXL 3.1 section 8.1.3.4" {
        rw_not_flr: [
            disable_caching, cxl_reset_mem_clr_enable, desired_volatile_hdm_state_after_hot_reset_configurable,
            modified_completion_enable,
        ],
        strobe: [initiate_cache_writeback_and_invalidation, initiate_cxl_reset],
    }
    0x12 status2: u16 as CxlDeviceDvsecStatus2 = 0, "CXL 3.1 section 8.1.3.5" {
        ro: [cache_invalid, cxl_reset_complete, cxl_reset_error],
        rw1cs: [volatile_hdm_preservation_error],
        live: [power_management_initialization_complete],
    }
    0x14 lock: u16 as CxlDeviceDvsecLock = 0, "CXL 3.1 section 8.1.3.6" { rw1s: [config_lock] }
    0x16 capability2: u16 as CxlDeviceDvsecCapability2 = 0, "CXL 3.1 section 8.1.3.7" {
        hwinit: [
            cache_size_unit, fallback_capability, modified_completion_capable, no_clean_writeback, cache_size,
        ],
    }
    0x18 range1_size_high: u32 as () = 0, "CXL 3.1 section 8.1.3.8.1" { hwinit: [value[31:0] => Address(32)] }
    0x1c range1_size_low: u32 as CxlDeviceDvsecRangeSizeLow = 0, "CXL 3.1 section 8.1.3.8.2" {
        hwinit: [
            memory_info_valid, media_type, memory_class, desired_interleave, memory_active_timeout,
            memory_size_low => Address(28),
        ],
        live: [memory_active, memory_active_degraded],
    }
    0x20 range1_base_high: u32 as () = 0, "CXL 3.1 section 8.1.3.8.3" { rw_not_flr: [value[31:0] => Address(32)] }
    0x24 range1_base_low: u32 as CxlDeviceDvsecRangeBaseLow = 0, "CXL 3.1 section 8.1.3.8.4" {
        rw_not_flr: [memory_base_low => Address(28)],
    }
    0x28 range2_size_high: u32 as () = 0, "CXL 3.1 section 8.1.3.8.5" { hwinit: [value[31:0] => Address(32)] }
    0x2c range2_size_low: u32 as CxlDeviceDvsecRangeSizeLow = 0, "CXL 3.1 section 8.1.3.8.6" {
        hwinit: [
            memory_info_valid, media_type, memory_class, desired_interleave, memory_active_timeout,
            memory_size_low => Address(28),
        ],
        live: [memory_active, memory_active_degraded],
    }
    0x30 range2_base_high: u32 as () = 0, "CXL 3.1 section 8.1.3.8.7" { rw_not_flr: [value[31:0] => Address(32)] }
    0x34 range2_base_low: u32 as CxlDeviceDvsecRangeBaseLow = 0, "CXL 3.1 section 8.1.3.8.8" {
        rw_not_flr: [memory_base_low => Address(28)],
    }
    0x38 capability3: u16 as CxlDeviceDvsecCapability3 = 0, "CXL 3.1 section 8.1.3.9" {
        hwinit: [
            default_volatile_hdm_state_after_cold_reset, default_volatile_hdm_state_after_warm_reset,
            default_volatile_hdm_state_after_hot_reset, volatile_hdm_state_after_hot_reset_configurability,
            direct_p2p_mem_capable,
        ],
    }
    0x3a reserved: u16 as () = 0, "CXL 3.1 section 8.1.3" {}
}

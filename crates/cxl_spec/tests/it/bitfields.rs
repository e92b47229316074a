//! Every field of every register at its position: `set` writes all-ones or `true` through `with_`, and the bits are those of
//! the specification's table.

use cxl_spec::component_registers::spec::hdm_decoder::*;
use cxl_spec::pci_registers::spec::cxl_device_dvsec::*;
use cxl_spec::pci_registers::spec::cxl_port_dvsec::*;
use cxl_spec::pci_registers::spec::flex_bus_port_dvsec::*;
use cxl_spec::pci_registers::spec::register_locator_dvsec::*;
use inspect::Inspect;

fn register<T: Inspect + Copy + PartialEq + Eq + std::fmt::Debug + Default>() {}

/// `set: value => bits` for each field of a register.
macro_rules! fields {
    ($register:ident { $($set:ident: $value:expr => $bits:expr,)+ }) => {
        register::<$register>();
        $(assert_eq!(
            $register::new().$set($value).into_bits(),
            $bits,
            concat!(stringify!($register), "::", stringify!($set))
        );)+
    };
}

#[test]
fn device_dvsec() {
    fields!(CxlDeviceDvsecCapability {
        with_cache_capable: true => 1 << 0,
        with_io_capable: true => 1 << 1,
        with_mem_capable: true => 1 << 2,
        with_mem_hwinit_mode: true => 1 << 3,
        with_hdm_count: 3u8 => 3 << 4,
        with_cache_writeback_and_invalidate_capable: true => 1 << 6,
        with_cxl_reset_capable: true => 1 << 7,
        with_cxl_reset_timeout: 7u8 => 7 << 8,
        with_cxl_reset_mem_clr_capable: true => 1 << 11,
        with_tsp_capable: true => 1 << 12,
        with_multiple_logical_device: true => 1 << 13,
        with_viral_capable: true => 1 << 14,
        with_pm_init_completion_reporting_capable: true => 1u16 << 15,
    });
    fields!(CxlDeviceDvsecControl {
        with_cache_enable: true => 1 << 0,
        with_io_enable: true => 1 << 1,
        with_mem_enable: true => 1 << 2,
        with_cache_sf_coverage: 0x1fu8 => 0x1f << 3,
        with_cache_sf_granularity: 7u8 => 7 << 8,
        with_cache_clean_eviction: true => 1 << 11,
        with_direct_p2p_mem_enable: true => 1 << 12,
        with_viral_enable: true => 1u16 << 14,
    });
    fields!(CxlDeviceDvsecStatus { with_viral_status: true => 1u16 << 14, });
    fields!(CxlDeviceDvsecControl2 {
        with_disable_caching: true => 1 << 0,
        with_initiate_cache_writeback_and_invalidation: true => 1 << 1,
        with_initiate_cxl_reset: true => 1 << 2,
        with_cxl_reset_mem_clr_enable: true => 1 << 3,
        with_desired_volatile_hdm_state_after_hot_reset_configurable: true => 1 << 4,
        with_modified_completion_enable: true => 1u16 << 5,
    });
    fields!(CxlDeviceDvsecStatus2 {
        with_cache_invalid: true => 1 << 0,
        with_cxl_reset_complete: true => 1 << 1,
        with_cxl_reset_error: true => 1 << 2,
        with_volatile_hdm_preservation_error: true => 1 << 3,
        with_power_management_initialization_complete: true => 1u16 << 15,
    });
    fields!(CxlDeviceDvsecLock { with_config_lock: true => 1u16, });
    fields!(CxlDeviceDvsecCapability2 {
        with_cache_size_unit: 0xfu8 => 0xf,
        with_fallback_capability: 3u8 => 3 << 4,
        with_modified_completion_capable: true => 1 << 6,
        with_no_clean_writeback: true => 1 << 7,
        with_cache_size: 0xffu8 => 0xffu16 << 8,
    });
    fields!(CxlDeviceDvsecRangeSizeLow {
        with_memory_info_valid: true => 1 << 0,
        with_memory_active: true => 1 << 1,
        with_media_type: 7u8 => 7 << 2,
        with_memory_class: 7u8 => 7 << 5,
        with_desired_interleave: 0x1fu8 => 0x1f << 8,
        with_memory_active_timeout: 7u8 => 7 << 13,
        with_memory_active_degraded: true => 1 << 16,
        with_memory_size_low: 0xfu8 => 0xfu32 << 28,
    });
    fields!(CxlDeviceDvsecRangeBaseLow { with_memory_base_low: 0xfu8 => 0xfu32 << 28, });
    fields!(CxlDeviceDvsecCapability3 {
        with_default_volatile_hdm_state_after_cold_reset: true => 1 << 0,
        with_default_volatile_hdm_state_after_warm_reset: true => 1 << 1,
        with_default_volatile_hdm_state_after_hot_reset: true => 1 << 2,
        with_volatile_hdm_state_after_hot_reset_configurability: true => 1 << 3,
        with_direct_p2p_mem_capable: true => 1u16 << 4,
    });
}

#[test]
fn port_dvsec() {
    fields!(CxlPortDvsecStatus {
        with_port_power_management_initialization_complete: true => 1 << 0,
        with_viral_status: true => 1u16 << 14,
    });
    fields!(CxlPortDvsecControl {
        with_unmask_sbr: true => 1 << 0,
        with_unmask_link_disable: true => 1 << 1,
        with_alt_memory_and_id_space_enable: true => 1 << 2,
        with_alt_bme: true => 1 << 3,
        with_uio_to_hdm_enable: true => 1 << 4,
        with_viral_enable: true => 1u16 << 14,
    });
    fields!(CxlPortDvsecAltMemoryBase { with_alt_mem_base: 0xfffu16 => 0xfff0u16, });
    fields!(CxlPortDvsecAltMemoryLimit { with_alt_mem_limit: 0xfffu16 => 0xfff0u16, });
    fields!(CxlPortDvsecAltPrefetchableMemoryBase {
        with_alt_prefetch_mem_base: 0xfffu16 => 0xfff0u16,
    });
    fields!(CxlPortDvsecAltPrefetchableMemoryLimit {
        with_alt_prefetch_mem_limit: 0xfffu16 => 0xfff0u16,
    });
    fields!(CxlPortDvsecRcrbBase {
        with_cxl_rcrb_enable: true => 1,
        with_cxl_rcrb_base_address_low: 0x7_ffffu32 => 0xffff_e000u32,
    });
}

#[test]
fn flex_bus_port_dvsec() {
    fields!(CxlFlexBusPortDvsecCapability {
        with_cache_capable: true => 1 << 0,
        with_io_capable: true => 1 << 1,
        with_mem_capable: true => 1 << 2,
        with_cxl_68b_flit_and_vh_capable: true => 1 << 5,
        with_cxl_multi_logical_device_capable: true => 1 << 6,
        with_cxl_latency_optimized_256b_flit_capable: true => 1 << 13,
        with_cxl_pbr_flit_capable: true => 1u16 << 14,
    });
    fields!(CxlFlexBusPortDvsecControl {
        with_cache_enable: true => 1 << 0,
        with_io_enable: true => 1 << 1,
        with_mem_enable: true => 1 << 2,
        with_cxl_sync_hdr_bypass_enable: true => 1 << 3,
        with_drift_buffer_enable: true => 1 << 4,
        with_cxl_68b_flit_and_vh_enable: true => 1 << 5,
        with_cxl_multi_logical_device_enable: true => 1 << 6,
        with_disable_rcd_training: true => 1 << 7,
        with_retimer1_present: true => 1 << 8,
        with_retimer2_present: true => 1 << 9,
        with_cxl_latency_optimized_256b_flit_enable: true => 1 << 13,
        with_cxl_pbr_flit_enable: true => 1u16 << 14,
    });
    fields!(CxlFlexBusPortDvsecStatus {
        with_cache_enabled: true => 1 << 0,
        with_io_enabled: true => 1 << 1,
        with_mem_enabled: true => 1 << 2,
        with_cxl_sync_hdr_bypass_enabled: true => 1 << 3,
        with_drift_buffer_enabled: true => 1 << 4,
        with_cxl_68b_flit_and_vh_enabled: true => 1 << 5,
        with_cxl_multi_logical_device_enabled: true => 1 << 6,
        with_even_half_failed: true => 1 << 7,
        with_cxl_correctable_protocol_id_framing_error: true => 1 << 8,
        with_cxl_uncorrectable_protocol_id_framing_error: true => 1 << 9,
        with_cxl_unexpected_protocol_id_dropped: true => 1 << 10,
        with_cxl_retimers_present_mismatch: true => 1 << 11,
        with_flex_bus_enables_phase2_mismatched: true => 1 << 12,
        with_cxl_latency_optimized_256b_flit_enabled: true => 1 << 13,
        with_cxl_pbr_flit_enabled: true => 1 << 14,
        with_cxl_io_throttle_required_at_64gt: true => 1u16 << 15,
    });
    fields!(CxlFlexBusPortDvsecReceivedModifiedTsDataPhase1 {
        with_received_flex_bus_data_phase1: 0xff_ffffu32 => 0xff_ffffu32,
    });
    fields!(CxlFlexBusPortDvsecCapability2 {
        with_nop_hint_capable: true => 1 << 0,
        with_streamlined_port: true => 1u32 << 1,
    });
    fields!(CxlFlexBusPortDvsecControl2 { with_nop_hint_enable: true => 1u32, });
    fields!(CxlFlexBusPortDvsecStatus2 {
        with_nop_hint_info: 3u8 => 3,
        with_streamlined_port: true => 1u32 << 2,
    });
}

#[test]
fn register_locator_dvsec() {
    fields!(CxlRegisterLocatorDvsecRegisterOffsetLow {
        with_register_bir: 7u8 => 7,
        with_register_block_identifier: 0xffu8 => 0xff << 8,
        with_register_block_offset_low: 0xffffu16 => 0xffffu32 << 16,
    });
}

#[test]
fn hdm_decoder() {
    fields!(CxlHdmDecoderCapabilityRegister {
        with_decoder_count: 0xfu8 => 0xf,
        with_target_count: 0xfu8 => 0xf << 4,
        with_a11to8_interleave_capable: true => 1 << 8,
        with_a14to12_interleave_capable: true => 1 << 9,
        with_poison_on_decode_error_capable: true => 1 << 10,
        with_interleave_3_6_12_way_capable: true => 1 << 11,
        with_interleave_16_way_capable: true => 1 << 12,
        with_uio_capable: true => 1 << 13,
        with_uio_capable_decoder_count: 0xfu8 => 0xf << 16,
        with_mem_data_nxm_capable: true => 1 << 20,
        with_supported_coherency_modes: 3u8 => 3u32 << 21,
    });
    fields!(CxlHdmDecoderGlobalControlRegister {
        with_poison_on_decode_error_enable: true => 1 << 0,
        with_hdm_decoder_enable: true => 1u32 << 1,
    });
    fields!(CxlHdmDecoderBaseLowRegister { with_memory_base_low: 0xfu8 => 0xfu32 << 28, });
    fields!(CxlHdmDecoderSizeLowRegister { with_memory_size_low: 0xfu8 => 0xfu32 << 28, });
    fields!(CxlHdmDecoderDpaSkipLowRegister { with_dpa_skip_low: 0xfu8 => 0xfu32 << 28, });
    fields!(CxlHdmDecoderControlRegister {
        with_interleave_granularity: 0xfu8 => 0xf,
        with_interleave_ways: 0xfu8 => 0xf << 4,
        with_lock_on_commit: true => 1 << 8,
        with_commit: true => 1 << 9,
        with_committed: true => 1 << 10,
        with_error_not_committed: true => 1 << 11,
        with_target_range_type: true => 1 << 12,
        with_bi: true => 1 << 13,
        with_uio: true => 1 << 14,
        with_upstream_interleave_granularity: 0xfu8 => 0xf << 16,
        with_upstream_interleave_ways: 0xfu8 => 0xf << 20,
        with_interleave_set_position: 0xfu8 => 0xfu32 << 24,
    });
}

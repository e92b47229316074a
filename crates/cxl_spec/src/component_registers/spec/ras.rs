//! The CXL RAS capability (CXL 3.1 section 8.2.4.17): errors of the CXL.cache and CXL.mem protocols, in the manner of PCI
//! Express's Advanced Error Reporting.

use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;

/// Capability ID.
pub const CXL_RAS_CAPABILITY_ID: u16 = 2;
/// Version of the capability (CXL 3.1 table 8-22).
pub const CXL_RAS_CAPABILITY_VERSION: u8 = 3;
/// Dwords of the header log.
pub const CXL_RAS_HEADER_LOG_DWORDS: usize = 16;

/// Uncorrectable errors: the bits of the Uncorrectable Error Status, Mask and Severity registers (CXL 3.1 section
/// 8.2.4.17.1 to section 8.2.4.17.3).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlRasUncorrectableErrors {
    /// CXL.cache: parity of data.
    pub cache_data_parity: bool,
    /// CXL.cache: parity of an address or other field.
    pub cache_address_parity: bool,
    /// CXL.cache: parity of byte enables.
    pub cache_be_parity: bool,
    /// CXL.cache: ECC of data.
    pub cache_data_ecc: bool,
    /// CXL.mem: parity of data.
    pub mem_data_parity: bool,
    /// CXL.mem: parity of an address or other field.
    pub mem_address_parity: bool,
    /// CXL.mem: parity of byte enables.
    pub mem_be_parity: bool,
    /// CXL.mem: ECC of data.
    pub mem_data_ecc: bool,
    /// Too many reinitialisations of the link.
    pub reinit_threshold: bool,
    /// A reserved encoding was received.
    pub rsvd_encoding_violation: bool,
    /// Poison was received.
    pub poison_received: bool,
    /// The receiver's buffers overflowed.
    pub receiver_overflow: bool,
    #[bits(2)]
    _reserved: u8,
    /// Specific to the component.
    pub internal_error: bool,
    /// Link encryption, transmitter.
    pub cxl_ide_tx_error: bool,
    /// Link encryption, receiver.
    pub cxl_ide_rx_error: bool,
    #[bits(15)]
    _reserved2: u16,
}

impl CxlRasUncorrectableErrors {
    /// Every error there is.
    pub const ALL: Self = Self::new()
        .with_cache_data_parity(true)
        .with_cache_address_parity(true)
        .with_cache_be_parity(true)
        .with_cache_data_ecc(true)
        .with_mem_data_parity(true)
        .with_mem_address_parity(true)
        .with_mem_be_parity(true)
        .with_mem_data_ecc(true)
        .with_reinit_threshold(true)
        .with_rsvd_encoding_violation(true)
        .with_poison_received(true)
        .with_receiver_overflow(true)
        .with_internal_error(true)
        .with_cxl_ide_tx_error(true)
        .with_cxl_ide_rx_error(true);
}

/// Correctable errors: the bits of the Correctable Error Status and Mask registers (CXL 3.1 section 8.2.4.17.4 and section
/// 8.2.4.17.5).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlRasCorrectableErrors {
    /// CXL.cache: ECC of data.
    pub cache_data_ecc: bool,
    /// CXL.mem: ECC of data.
    pub mem_data_ecc: bool,
    /// Too many CRC errors.
    pub crc_threshold: bool,
    /// Too many retries.
    pub retry_threshold: bool,
    /// CXL.cache: poison was received.
    pub cache_poison_received: bool,
    /// CXL.mem: poison was received.
    pub mem_poison_received: bool,
    /// The physical layer had an error.
    pub physical_layer_error: bool,
    #[bits(25)]
    _reserved: u32,
}

impl CxlRasCorrectableErrors {
    /// Every error there is.
    pub const ALL: Self = Self::new()
        .with_cache_data_ecc(true)
        .with_mem_data_ecc(true)
        .with_crc_threshold(true)
        .with_retry_threshold(true)
        .with_cache_poison_received(true)
        .with_mem_poison_received(true)
        .with_physical_layer_error(true);
}

/// Error Capabilities and Control (CXL 3.1 section 8.2.4.17.6).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlRasControl {
    /// Bit of the Uncorrectable Error Status register that the header log is about.
    #[bits(6)]
    pub first_error_pointer: u8,
    #[bits(3)]
    _reserved: u8,
    /// Can keep more than one header log.
    pub multiple_header_recording_capability: bool,
    #[bits(3)]
    _reserved2: u8,
    /// Errors in data are passed on as poison.
    pub poison_enabled: bool,
    #[bits(18)]
    _reserved3: u32,
}

const UNCORRECTABLE: u32 = CxlRasUncorrectableErrors::ALL.into_bits();
const CORRECTABLE: u32 = CxlRasCorrectableErrors::ALL.into_bits();

register_block! {
    /// The CXL RAS capability. After power-on every error is masked, and every uncorrectable one fatal.
    pub CXL_RAS: CxlRasReg = "cxl_ras" {
        title: "CXL RAS capability",
        section: "CXL 3.1 section 8.2.4.17",
        bytes: 0x58,
    }
    0x00 uncorrectable_error_status: u32 as CxlRasUncorrectableErrors = 0, "CXL 3.1 section 8.2.4.17.1" {
        rw1cs: [
            cache_data_parity, cache_address_parity, cache_be_parity, cache_data_ecc, mem_data_parity,
            mem_address_parity, mem_be_parity, mem_data_ecc, reinit_threshold, rsvd_encoding_violation,
            poison_received, receiver_overflow, internal_error, cxl_ide_tx_error, cxl_ide_rx_error,
        ],
    }
    0x04 uncorrectable_error_mask: u32 as CxlRasUncorrectableErrors = UNCORRECTABLE, "CXL 3.1 section 8.2.4.17.2" {
        rws: [
            cache_data_parity, cache_address_parity, cache_be_parity, cache_data_ecc, mem_data_parity,
            mem_address_parity, mem_be_parity, mem_data_ecc, reinit_threshold, rsvd_encoding_violation,
            poison_received, receiver_overflow, internal_error, cxl_ide_tx_error, cxl_ide_rx_error,
        ],
    }
    0x08 uncorrectable_error_severity: u32 as CxlRasUncorrectableErrors = UNCORRECTABLE,
        "CXL 3.1 section 8.2.4.17.3" {
        rws: [
            cache_data_parity, cache_address_parity, cache_be_parity, cache_data_ecc, mem_data_parity,
            mem_address_parity, mem_be_parity, mem_data_ecc, reinit_threshold, rsvd_encoding_violation,
            poison_received, receiver_overflow, internal_error, cxl_ide_tx_error, cxl_ide_rx_error,
        ],
    }
    0x0c correctable_error_status: u32 as CxlRasCorrectableErrors = 0, "CXL 3.1 section 8.2.4.17.4" {
        rw1cs: [
            cache_data_ecc, mem_data_ecc, crc_threshold, retry_threshold, cache_poison_received, mem_poison_received,
            physical_layer_error,
        ],
    }
    0x10 correctable_error_mask: u32 as CxlRasCorrectableErrors = CORRECTABLE, "CXL 3.1 section 8.2.4.17.5" {
        rws: [
            cache_data_ecc, mem_data_ecc, crc_threshold, retry_threshold, cache_poison_received, mem_poison_received,
            physical_layer_error,
        ],
    }
    0x14 error_capabilities_and_control: u32 as CxlRasControl = 0, "CXL 3.1 section 8.2.4.17.6" {
        ros: [first_error_pointer],
        hwinit: [multiple_header_recording_capability],
        rws: [poison_enabled],
    }
    0x18 header_log_0: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x1c header_log_1: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x20 header_log_2: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x24 header_log_3: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x28 header_log_4: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x2c header_log_5: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x30 header_log_6: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x34 header_log_7: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x38 header_log_8: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x3c header_log_9: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x40 header_log_10: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x44 header_log_11: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x48 header_log_12: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x4c header_log_13: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x50 header_log_14: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
    0x54 header_log_15: u32 as () = 0, "CXL 3.1 section 8.2.4.17.7" { ros: [value[31:0]] }
}

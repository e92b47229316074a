//! The CXL HDM Decoder capability (CXL 3.1 section 8.2.4.20): which host physical addresses go to host-managed device
//! memory, and how they are interleaved.

use crate::encoding::encoding;
use bitfield_struct::bitfield;
use inspect::Inspect;
use reg_table::register_block;

/// Capability ID.
pub const CXL_HDM_DECODER_CAPABILITY_ID: u16 = 5;
/// Version of the capability (CXL 3.1 table 8-22).
pub const CXL_HDM_DECODER_CAPABILITY_VERSION: u8 = 3;
/// Offset of the capability register.
pub const CXL_HDM_DECODER_CAPABILITY_OFFSET: u16 = 0;
/// Offset of the global control register.
pub const CXL_HDM_DECODER_GLOBAL_CONTROL_OFFSET: u16 = 4;
/// Offset of the first reserved dword.
pub const CXL_HDM_DECODER_RESERVED0_OFFSET: u16 = 8;
/// Offset of the second reserved dword.
pub const CXL_HDM_DECODER_RESERVED1_OFFSET: u16 = 0xC;
/// Offset of the first decoder.
pub const CXL_HDM_DECODER_BASE_OFFSET: u16 = 0x10;
/// Bytes from one decoder to the next.
pub const CXL_HDM_DECODER_STRIDE_BYTES: u16 = 0x20;
/// Bytes before the first decoder.
pub const CXL_HDM_DECODER_HEADER_LENGTH: u16 = 0x10;
/// Bytes of a decoder.
pub const CXL_HDM_DECODER_BLOCK_LENGTH: u16 = 0x20;
/// Most decoders of a device.
pub const CXL_HDM_DECODER_MAX_DEVICE_DECODER_COUNT: usize = 10;

/// Bits of the global control register that software can change, given every capability.
pub const CXL_HDM_DECODER_GLOBAL_CONTROL_WRITABLE_MASK: u32 =
    CxlHdmDecoderGlobalControlRegister::new()
        .with_poison_on_decode_error_enable(true)
        .with_hdm_decoder_enable(true)
        .into_bits();
/// Bits of a base's low dword that software can change.
pub const CXL_HDM_DECODER_BASE_LOW_WRITABLE_MASK: u32 = CxlHdmDecoderBaseLowRegister::new()
    .with_memory_base_low(0xf)
    .into_bits();
/// Bits of a size's low dword that software can change.
pub const CXL_HDM_DECODER_SIZE_LOW_WRITABLE_MASK: u32 = CxlHdmDecoderSizeLowRegister::new()
    .with_memory_size_low(0xf)
    .into_bits();
/// Bits of a DPA skip's low dword that software can change.
pub const CXL_HDM_DECODER_DPA_SKIP_LOW_WRITABLE_MASK: u32 = CxlHdmDecoderDpaSkipLowRegister::new()
    .with_dpa_skip_low(0xf)
    .into_bits();
/// Bits of a decoder's control register that software can change, given every capability.
pub const CXL_HDM_DECODER_CONTROL_WRITABLE_MASK: u32 = CxlHdmDecoderControlRegister::new()
    .with_interleave_granularity(0xf)
    .with_interleave_ways(0xf)
    .with_lock_on_commit(true)
    .with_commit(true)
    .with_target_range_type(true)
    .with_bi(true)
    .with_uio(true)
    .with_upstream_interleave_granularity(0xf)
    .with_upstream_interleave_ways(0xf)
    .with_interleave_set_position(0xf)
    .into_bits();

/// Numbers of decoders that a capability can have, by their encoding (CXL 3.1 section 8.2.4.20.1).
pub const CXL_HDM_DECODER_COUNTS: [usize; 13] = [1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32];

/// The encoding of a number of decoders; `None` unless it is one of [`CXL_HDM_DECODER_COUNTS`].
///
/// ```
/// use cxl_spec::component_registers::spec::hdm_decoder::encode_decoder_count;
/// assert_eq!(encode_decoder_count(10), Some(5));
/// assert_eq!(encode_decoder_count(3), None);
/// ```
pub const fn encode_decoder_count(count: usize) -> Option<u8> {
    Some(match count {
        1 => 0,
        2 => 1,
        4 => 2,
        6 => 3,
        8 => 4,
        10 => 5,
        12 => 6,
        14 => 7,
        16 => 8,
        20 => 9,
        24 => 0xA,
        28 => 0xB,
        32 => 0xC,
        _ => return None,
    })
}

encoding! {
    /// Interleave granularity: bytes that go to one way before the next one's turn.
    CxlHdmDecoderInterleaveGranularity {
        /// 256 bytes.
        Bytes256 = 0,
        /// 512 bytes.
        Bytes512 = 1,
        /// 1 KiB.
        Bytes1024 = 2,
        /// 2 KiB.
        Bytes2048 = 3,
        /// 4 KiB.
        Bytes4096 = 4,
        /// 8 KiB.
        Bytes8192 = 5,
        /// 16 KiB.
        Bytes16384 = 6,
    }
}

encoding! {
    /// Interleave ways.
    CxlHdmDecoderInterleaveWays {
        /// No interleaving.
        Way1 = 0,
        /// 2 ways.
        Way2 = 1,
        /// 4 ways.
        Way4 = 2,
        /// 8 ways.
        Way8 = 3,
        /// 16 ways.
        Way16 = 4,
        /// 3 ways.
        Way3 = 8,
        /// 6 ways.
        Way6 = 9,
        /// 12 ways.
        Way12 = 0xA,
    }
}

encoding! {
    /// Coherency models that the memory can have.
    CxlHdmSupportedCoherencyModes {
        /// Not said.
        Unknown = 0,
        /// Device-coherent only.
        DeviceCoherent = 1,
        /// Host-only coherent only.
        HostOnlyCoherent = 2,
        /// Either.
        HostOnlyOrDeviceCoherent = 3,
    }
}

/// HDM Decoder Capability (CXL 3.1 section 8.2.4.20.1).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlHdmDecoderCapabilityRegister {
    /// See [`encode_decoder_count`].
    #[bits(4)]
    pub decoder_count: u8,
    /// Targets that a decoder can have: 1, 2, 4 or 8; 0 in a device, which has none.
    #[bits(4)]
    pub target_count: u8,
    /// Interleaves on address bits 11:8.
    pub a11to8_interleave_capable: bool,
    /// Interleaves on address bits 14:12.
    pub a14to12_interleave_capable: bool,
    /// Can return poison on a decode error.
    pub poison_on_decode_error_capable: bool,
    /// Interleaves 3, 6 and 12 ways.
    pub interleave_3_6_12_way_capable: bool,
    /// Interleaves 16 ways.
    pub interleave_16_way_capable: bool,
    /// Takes unordered I/O.
    pub uio_capable: bool,
    #[bits(2)]
    _reserved: u8,
    /// Number of decoders that take unordered I/O.
    #[bits(4)]
    pub uio_capable_decoder_count: u8,
    /// Answers reads that hit nothing as CXL 3.1 section 3.3 says.
    pub mem_data_nxm_capable: bool,
    /// [`CxlHdmSupportedCoherencyModes`].
    #[bits(2)]
    pub supported_coherency_modes: u8,
    #[bits(9)]
    _reserved2: u16,
}

/// HDM Decoder Global Control (CXL 3.1 section 8.2.4.20.2).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlHdmDecoderGlobalControlRegister {
    /// A decode error returns poison.
    pub poison_on_decode_error_enable: bool,
    /// The decoders decide, rather than the ranges of the DVSEC.
    pub hdm_decoder_enable: bool,
    #[bits(30)]
    _reserved: u32,
}

/// A decoder's Base Low (CXL 3.1 section 8.2.4.20.3).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlHdmDecoderBaseLowRegister {
    #[bits(28)]
    _reserved: u32,
    /// Bits 31:28 of the base.
    #[bits(4)]
    pub memory_base_low: u8,
}

/// A decoder's Size Low (CXL 3.1 section 8.2.4.20.5).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlHdmDecoderSizeLowRegister {
    #[bits(28)]
    _reserved: u32,
    /// Bits 31:28 of the size.
    #[bits(4)]
    pub memory_size_low: u8,
}

/// A decoder's DPA Skip Low (CXL 3.1 section 8.2.4.20.9).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlHdmDecoderDpaSkipLowRegister {
    #[bits(28)]
    _reserved: u32,
    /// Bits 31:28 of the device physical addresses to skip.
    #[bits(4)]
    pub dpa_skip_low: u8,
}

/// A decoder's Control (CXL 3.1 section 8.2.4.20.7).
#[derive(Inspect)]
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlHdmDecoderControlRegister {
    /// [`CxlHdmDecoderInterleaveGranularity`].
    #[bits(4)]
    pub interleave_granularity: u8,
    /// [`CxlHdmDecoderInterleaveWays`].
    #[bits(4)]
    pub interleave_ways: u8,
    /// Committing makes the decoder read-only.
    pub lock_on_commit: bool,
    /// Commits the decoder.
    pub commit: bool,
    /// The decoder is committed.
    pub committed: bool,
    /// The decoder could not be committed.
    pub error_not_committed: bool,
    /// Host-only coherent rather than device-coherent.
    pub target_range_type: bool,
    /// Back-invalidation.
    pub bi: bool,
    /// Unordered I/O.
    pub uio: bool,
    #[bits(1)]
    _reserved: u8,
    /// Granularity of the interleaving above this component.
    #[bits(4)]
    pub upstream_interleave_granularity: u8,
    /// Ways of the interleaving above this component.
    #[bits(4)]
    pub upstream_interleave_ways: u8,
    /// Position of this device in its interleave set.
    #[bits(4)]
    pub interleave_set_position: u8,
    #[bits(4)]
    _reserved2: u8,
}

/// Offsets in a decoder.
#[derive(Debug)]
pub struct CxlHdmDecoderRegisterOffset;

impl CxlHdmDecoderRegisterOffset {
    /// Base Low.
    pub const BASE_LOW: u16 = 0;
    /// Base High.
    pub const BASE_HIGH: u16 = 4;
    /// Size Low.
    pub const SIZE_LOW: u16 = 8;
    /// Size High.
    pub const SIZE_HIGH: u16 = 0xC;
    /// Control.
    pub const CONTROL: u16 = 0x10;
    /// DPA Skip Low of a device, Target List Low of a host bridge or switch.
    pub const DPA_SKIP_LOW: u16 = 0x14;
    /// DPA Skip High of a device, Target List High of a host bridge or switch.
    pub const DPA_SKIP_HIGH: u16 = 0x18;
}

register_block! {
    /// What precedes the decoders. The composer gives the capability register, and narrows what it lacks.
    pub CXL_HDM_DECODER_HEADER: CxlHdmDecoderHeaderReg = "cxl_hdm_decoder_header" {
        title: "CXL HDM Decoder capability, before the decoders",
        section: "CXL 3.1 section 8.2.4.20",
        bytes: 0x10,
    }
    0x00 capability: u32 as CxlHdmDecoderCapabilityRegister = 0, "CXL 3.1 section 8.2.4.20.1" {
        hwinit: [
            decoder_count, target_count, a11to8_interleave_capable, a14to12_interleave_capable,
            poison_on_decode_error_capable, interleave_3_6_12_way_capable, interleave_16_way_capable, uio_capable,
            uio_capable_decoder_count, mem_data_nxm_capable, supported_coherency_modes,
        ],
    }
    0x04 global_control: u32 as CxlHdmDecoderGlobalControlRegister = 0, "CXL 3.1 section 8.2.4.20.2" {
        rw: [poison_on_decode_error_enable, hdm_decoder_enable],
    }
    0x08 reserved_0: u32 as () = 0, "CXL 3.1 section 8.2.4.20" {}
    0x0c reserved_1: u32 as () = 0, "CXL 3.1 section 8.2.4.20" {}
}

register_block! {
    /// One decoder. The composer gives the initial interleaving or all of a fixed decoder, and narrows what the capability
    /// register lacks. The two dwords behind the control register are the DPA skip of a device, of which the composer
    /// narrows the low one to bits 31:28, or the target list of a host bridge or switch: 8 port numbers of 8 bits.
    pub CXL_HDM_DECODER: CxlHdmDecoderReg = "cxl_hdm_decoder" {
        title: "CXL HDM Decoder capability, one decoder",
        section: "CXL 3.1 section 8.2.4.20.3",
        bytes: 0x20,
    }
    0x00 base_low: u32 as CxlHdmDecoderBaseLowRegister = 0, "CXL 3.1 section 8.2.4.20.3" { rw: [memory_base_low => Address(28)] }
    0x04 base_high: u32 as () = 0, "CXL 3.1 section 8.2.4.20.4" { rw: [value[31:0] => Address(32)] }
    0x08 size_low: u32 as CxlHdmDecoderSizeLowRegister = 0, "CXL 3.1 section 8.2.4.20.5" { rw: [memory_size_low => Address(28)] }
    0x0c size_high: u32 as () = 0, "CXL 3.1 section 8.2.4.20.6" { rw: [value[31:0] => Address(32)] }
    0x10 control: u32 as CxlHdmDecoderControlRegister = 0, "CXL 3.1 section 8.2.4.20.7" {
        rw: [
            interleave_granularity => Doubling(256), interleave_ways, lock_on_commit, commit, target_range_type, bi, uio,
            upstream_interleave_granularity, upstream_interleave_ways, interleave_set_position,
        ],
        ro: [committed, error_not_committed],
    }
    0x14 dpa_skip_or_target_list_low: u32 as () = 0, "CXL 3.1 section 8.2.4.20.8" { rw: [value[31:0]] }
    0x18 dpa_skip_or_target_list_high: u32 as () = 0, "CXL 3.1 section 8.2.4.20.10" { rw: [value[31:0]] }
    0x1c reserved: u32 as () = 0, "CXL 3.1 section 8.2.4.20" {}
}

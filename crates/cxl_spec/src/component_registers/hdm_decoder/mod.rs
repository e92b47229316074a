//! The CXL HDM Decoder capability as a block (CXL 3.1 section 8.2.4.20).
//!
//! Not emulated: the forwarding itself. Whoever routes CXL.mem looks at the committed decoders.

mod commit;
mod save_restore;

use super::CxlComponentRegister;
use super::spec::hdm_decoder::*;
use crate::halves;
use crate::spec::CXL_HPA_ALIGNMENT;
use crate::spec::CxlComponentRegisterType;
use chipset_device::pci::ByteEnables;
use commit::Range;
use commit::interleave_supported;
use inspect::Inspect;
use reg_table::RegisterFile;
use reg_table::Reset;
use reg_table::WordMask;
use thiserror::Error;

/// Most decoders that a capability can have.
const MAX_DECODERS: usize = 32;

/// A decoder that is committed and locked from the start.
#[derive(Debug, Copy, Clone)]
pub struct CxlHdmDecoderFixedConfig {
    /// First host physical address: a multiple of 256 MiB.
    pub hdm_base: u64,
    /// Bytes: a multiple of 256 MiB, and not zero.
    pub hdm_size: u64,
    /// Granularity.
    pub interleave_granularity: CxlHdmDecoderInterleaveGranularity,
    /// Ways.
    pub interleave_ways: CxlHdmDecoderInterleaveWays,
}

/// What decoders can do: the HDM Decoder Capability register without the number of decoders.
#[derive(Debug, Copy, Clone)]
pub struct CxlHdmDecoderCapabilityOptions {
    /// Targets that a decoder can have: 1, 2, 4 or 8 for a host bridge or switch, 0 for a device.
    pub target_count_encoding: u8,
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
    /// Number of decoders that take unordered I/O.
    pub uio_capable_decoder_count: u8,
    /// Answers reads that hit nothing as CXL 3.1 section 3.3 says.
    pub mem_data_nxm_capable: bool,
    /// Coherency models that the memory can have.
    pub supported_coherency_modes: CxlHdmSupportedCoherencyModes,
}

impl Default for CxlHdmDecoderCapabilityOptions {
    /// A device with power-of-two interleaving up to 8 ways.
    fn default() -> Self {
        Self {
            target_count_encoding: 0,
            a11to8_interleave_capable: true,
            a14to12_interleave_capable: true,
            poison_on_decode_error_capable: false,
            interleave_3_6_12_way_capable: false,
            interleave_16_way_capable: false,
            uio_capable: true,
            uio_capable_decoder_count: 0,
            mem_data_nxm_capable: true,
            supported_coherency_modes: CxlHdmSupportedCoherencyModes::DeviceCoherent,
        }
    }
}

/// Why decoders could not be composed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Error)]
pub enum CxlHdmDecoderCapabilityError {
    /// A fixed decoder's base or size is no multiple of 256 MiB, its size is zero, or it ends past 2^64.
    #[error(
        "the base and size of a fixed HDM decoder are multiples of 256 MiB, the size is not zero, and the range ends below 2^64"
    )]
    InvalidFixedRange,
    /// There are too many decoders.
    #[error("an HDM decoder capability has {MAX_DECODERS} decoders at most")]
    TooManyFixedDecoders,
    /// A fixed decoder does not lie above those before it.
    #[error(
        "the fixed HDM decoder at {base:#x} starts below {end:#x}, where the one before it ends"
    )]
    FixedRangeNotAscending {
        /// Its base.
        base: u64,
        /// The end of the range before it.
        end: u64,
    },
    /// The options do not have this interleaving.
    #[error(
        "HDM decoder interleaving with ways encoding {ways:#x} and granularity encoding {granularity:#x} is not among the capabilities"
    )]
    UnsupportedInterleave {
        /// Encoding of the ways.
        ways: u8,
        /// Encoding of the granularity.
        granularity: u8,
    },
    /// The number of decoders cannot be encoded.
    #[error("{count} HDM decoders cannot be encoded; {CXL_HDM_DECODER_COUNTS:?} can")]
    DecoderCount {
        /// The number asked for.
        count: usize,
    },
    /// The number of targets cannot be encoded.
    #[error("{count} targets of an HDM decoder cannot be encoded; 0 (a device), 1, 2, 4 and 8 can")]
    TargetCount {
        /// The number asked for.
        count: u8,
    },
    /// More decoders take unordered I/O than the register can say.
    #[error("{count} HDM decoders for unordered I/O; there are 15 at most")]
    UioDecoderCount {
        /// The number asked for.
        count: u8,
    },
}

/// The HDM decoders of a device, an upstream switch port or a host bridge.
///
/// The capability register can name only some numbers of decoders ([`CXL_HDM_DECODER_COUNTS`]), and software takes it at
/// its word. Where decoders are composed one at a time, the number is therefore rounded up to one of these; the decoders
/// beyond those composed exist, are free, and can be programmed.
///
/// ```
/// use cxl_spec::component_registers::{
///     CxlComponentRegister, CxlHdmDecoderCapability, CxlHdmDecoderCapabilityOptions,
/// };
///
/// let options = CxlHdmDecoderCapabilityOptions::default();
/// let hdm = CxlHdmDecoderCapability::with_options(options, 4)?;
/// assert_eq!(hdm.len(), 0x90);
/// let error = CxlHdmDecoderCapability::with_options(options, 5).err().unwrap();
/// assert!(error.to_string().starts_with("5 HDM decoders cannot be encoded; [1, 2, 4, 6, "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Inspect)]
pub struct CxlHdmDecoderCapability {
    #[inspect(flatten)]
    header: RegisterFile<CxlHdmDecoderHeaderReg>,
    #[inspect(iter_by_index)]
    decoders: Vec<RegisterFile<CxlHdmDecoderReg>>,
    /// Number of decoders that were asked for; those after them only round up.
    composed: usize,
}

impl CxlHdmDecoderCapability {
    /// The default options, and no decoder asked for yet: there is one, free.
    ///
    /// # Errors
    ///
    /// None with these options.
    pub fn new() -> Result<Self, CxlHdmDecoderCapabilityError> {
        Self::of(CxlHdmDecoderCapabilityOptions::default(), 0)
    }

    /// `decoders` free decoders; without a lock until software asks for one.
    ///
    /// # Errors
    ///
    /// - `decoders` is not one of [`CXL_HDM_DECODER_COUNTS`] ([`CxlHdmDecoderCapabilityError::DecoderCount`]);
    /// - the number of targets is not 0, 1, 2, 4 or 8 ([`CxlHdmDecoderCapabilityError::TargetCount`]);
    /// - more than 15 decoders take unordered I/O ([`CxlHdmDecoderCapabilityError::UioDecoderCount`]).
    pub fn with_options(
        options: CxlHdmDecoderCapabilityOptions,
        decoders: usize,
    ) -> Result<Self, CxlHdmDecoderCapabilityError> {
        if encode_decoder_count(decoders).is_none() {
            return Err(CxlHdmDecoderCapabilityError::DecoderCount { count: decoders });
        }
        Self::of(options, decoders)
    }

    fn of(
        options: CxlHdmDecoderCapabilityOptions,
        decoders: usize,
    ) -> Result<Self, CxlHdmDecoderCapabilityError> {
        let targets = options.target_count_encoding;
        if !matches!(targets, 0 | 1 | 2 | 4 | 8) {
            return Err(CxlHdmDecoderCapabilityError::TargetCount { count: targets });
        }
        let uio_decoders = options.uio_capable_decoder_count;
        if uio_decoders > 0xF {
            return Err(CxlHdmDecoderCapabilityError::UioDecoderCount {
                count: uio_decoders,
            });
        }
        let capability = CxlHdmDecoderCapabilityRegister::new()
            .with_target_count(targets)
            .with_a11to8_interleave_capable(options.a11to8_interleave_capable)
            .with_a14to12_interleave_capable(options.a14to12_interleave_capable)
            .with_poison_on_decode_error_capable(options.poison_on_decode_error_capable)
            .with_interleave_3_6_12_way_capable(options.interleave_3_6_12_way_capable)
            .with_interleave_16_way_capable(options.interleave_16_way_capable)
            .with_uio_capable(options.uio_capable)
            .with_uio_capable_decoder_count(uio_decoders)
            .with_mem_data_nxm_capable(options.mem_data_nxm_capable)
            .with_supported_coherency_modes(options.supported_coherency_modes.bits());
        let mut header = RegisterFile::new(CxlHdmDecoderHeaderReg::Capability);
        header.init(CxlHdmDecoderHeaderReg::Capability, capability.into_bits());
        let writable = CxlHdmDecoderGlobalControlRegister::new()
            .with_hdm_decoder_enable(true)
            .with_poison_on_decode_error_enable(options.poison_on_decode_error_capable);
        header.narrow(CxlHdmDecoderHeaderReg::GlobalControl, writable.into_bits());
        let mut this = Self {
            header,
            decoders: Vec::new(),
            composed: decoders,
        };
        this.round_up();
        Ok(this)
    }

    fn capability(&self) -> CxlHdmDecoderCapabilityRegister {
        CxlHdmDecoderCapabilityRegister::from_bits(
            self.header.get(CxlHdmDecoderHeaderReg::Capability),
        )
    }

    /// A free decoder with what the capability register lacks taken away.
    fn free_decoder(&self) -> RegisterFile<CxlHdmDecoderReg> {
        let can = self.capability();
        let mut decoder = RegisterFile::new(CxlHdmDecoderReg::BaseLow);
        if can.target_count() == 0 {
            decoder.narrow(
                CxlHdmDecoderReg::DpaSkipOrTargetListLow,
                CXL_HDM_DECODER_DPA_SKIP_LOW_WRITABLE_MASK,
            );
        }
        if !can.uio_capable() {
            // CXL 3.1 section 8.2.4.20.7: how it is interleaved above matters to unordered I/O only.
            let without =
                CxlHdmDecoderControlRegister::from_bits(CXL_HDM_DECODER_CONTROL_WRITABLE_MASK)
                    .with_uio(false)
                    .with_upstream_interleave_granularity(0)
                    .with_upstream_interleave_ways(0)
                    .with_interleave_set_position(0);
            decoder.narrow(CxlHdmDecoderReg::Control, without.into_bits());
        }
        decoder
    }

    /// Adds free decoders until their number can be encoded, and encodes it.
    fn round_up(&mut self) {
        let asked = self.composed;
        let counts = CXL_HDM_DECODER_COUNTS.iter();
        let count = counts
            .copied()
            .find(|&count| count >= asked)
            .unwrap_or(MAX_DECODERS);
        while self.decoders.len() < count {
            let free = self.free_decoder();
            self.decoders.push(free);
        }
        let encoded = encode_decoder_count(count).unwrap_or(0);
        let capability = self.capability().with_decoder_count(encoded);
        self.header
            .init(CxlHdmDecoderHeaderReg::Capability, capability.into_bits());
    }

    /// Adds a decoder that starts with `control`; returns it.
    fn compose(
        &mut self,
        control: CxlHdmDecoderControlRegister,
    ) -> Result<&mut RegisterFile<CxlHdmDecoderReg>, CxlHdmDecoderCapabilityError> {
        if self.composed >= MAX_DECODERS {
            return Err(CxlHdmDecoderCapabilityError::TooManyFixedDecoders);
        }
        if !interleave_supported(self.capability(), control) {
            return Err(CxlHdmDecoderCapabilityError::UnsupportedInterleave {
                ways: control.interleave_ways(),
                granularity: control.interleave_granularity(),
            });
        }
        self.composed += 1;
        self.round_up();
        let decoder = self
            .decoders
            .get_mut(self.composed - 1)
            .ok_or(CxlHdmDecoderCapabilityError::TooManyFixedDecoders)?;
        decoder.init(CxlHdmDecoderReg::Control, control.into_bits());
        Ok(decoder)
    }

    /// Adds a decoder for software to program, with this interleaving and Lock On Commit to begin with.
    ///
    /// # Errors
    ///
    /// - there are 32 decoders already ([`CxlHdmDecoderCapabilityError::TooManyFixedDecoders`]);
    /// - the options do not have this interleaving ([`CxlHdmDecoderCapabilityError::UnsupportedInterleave`]).
    pub fn with_decoder_slot(
        &mut self,
        interleave_granularity: CxlHdmDecoderInterleaveGranularity,
        interleave_ways: CxlHdmDecoderInterleaveWays,
    ) -> Result<(), CxlHdmDecoderCapabilityError> {
        let control = CxlHdmDecoderControlRegister::new()
            .with_interleave_granularity(interleave_granularity.bits())
            .with_interleave_ways(interleave_ways.bits())
            .with_lock_on_commit(true);
        self.compose(control).map(drop)
    }

    /// Adds a decoder that is committed and locked from the start, and after every reset.
    ///
    /// # Errors
    ///
    /// - the base or size is no multiple of 256 MiB, the size is zero, or the range ends past 2^64
    ///   ([`CxlHdmDecoderCapabilityError::InvalidFixedRange`]);
    /// - it does not lie above the fixed decoders before it ([`CxlHdmDecoderCapabilityError::FixedRangeNotAscending`]);
    /// - there are 32 decoders already ([`CxlHdmDecoderCapabilityError::TooManyFixedDecoders`]);
    /// - the options do not have this interleaving ([`CxlHdmDecoderCapabilityError::UnsupportedInterleave`]).
    pub fn with_hdm(
        &mut self,
        config: CxlHdmDecoderFixedConfig,
    ) -> Result<(), CxlHdmDecoderCapabilityError> {
        let (base, size) = (config.hdm_base, config.hdm_size);
        if size == 0
            || !base.is_multiple_of(CXL_HPA_ALIGNMENT)
            || !size.is_multiple_of(CXL_HPA_ALIGNMENT)
            || base.checked_add(size).is_none()
        {
            return Err(CxlHdmDecoderCapabilityError::InvalidFixedRange);
        }
        let fixed = self.decoders.iter().filter(|d| control(d).committed());
        if let Some(end) = fixed.map(|d| Range::of(d).end()).max()
            && u128::from(base) < end
        {
            let end = u64::try_from(end).unwrap_or(u64::MAX);
            return Err(CxlHdmDecoderCapabilityError::FixedRangeNotAscending { base, end });
        }
        let control = CxlHdmDecoderControlRegister::new()
            .with_interleave_granularity(config.interleave_granularity.bits())
            .with_interleave_ways(config.interleave_ways.bits())
            .with_lock_on_commit(true)
            .with_commit(true)
            .with_committed(true);
        let decoder = self.compose(control)?;
        for ([low, high], value) in [
            [CxlHdmDecoderReg::BaseLow, CxlHdmDecoderReg::BaseHigh],
            [CxlHdmDecoderReg::SizeLow, CxlHdmDecoderReg::SizeHigh],
        ]
        .into_iter()
        .zip([base, size])
        {
            let [value_low, value_high] = halves(value);
            decoder.init(low, value_low);
            decoder.init(high, value_high);
        }
        Ok(())
    }

    /// HDM Decoder Global Control as of now.
    pub fn global_control(&self) -> CxlHdmDecoderGlobalControlRegister {
        CxlHdmDecoderGlobalControlRegister::from_bits(
            self.header.get(CxlHdmDecoderHeaderReg::GlobalControl),
        )
    }

    /// The decoder that maps all of an access of `len` bytes at host physical address `addr`, and how far into the
    /// decoder's range that is, in bytes. `None` while decoding is off, and where no committed decoder maps all of it.
    pub fn find_enabled_decoder_for_access(&self, addr: u64, len: usize) -> Option<(usize, u64)> {
        if !self.global_control().hdm_decoder_enable() {
            return None;
        }
        let end = u128::from(addr) + u128::try_from(len).ok()?;
        self.decoders
            .iter()
            .enumerate()
            .filter(|(_, decoder)| control(decoder).committed())
            .map(|(index, decoder)| (index, Range::of(decoder)))
            .find(|(_, range)| {
                (range.base..=range.last().unwrap_or(0)).contains(&addr)
                    && range.size != 0
                    && end <= range.end()
            })
            .map(|(index, range)| (index, addr - range.base))
    }

    /// Which decoder and which offset in it; `None` for the registers before the decoders.
    fn locate(offset: u16) -> Option<(usize, u16)> {
        let within = offset.checked_sub(CXL_HDM_DECODER_BASE_OFFSET)?;
        Some((
            (within / CXL_HDM_DECODER_STRIDE_BYTES).into(),
            within % CXL_HDM_DECODER_STRIDE_BYTES,
        ))
    }

    fn masks_at(&self, offset: u16) -> Option<WordMask> {
        match Self::locate(offset) {
            Some((index, within)) => self.decoders.get(index)?.mask(usize::from(within) / 4),
            None => self.header.mask(usize::from(offset) / 4),
        }
    }

    /// The access masks of what precedes the decoders.
    pub(crate) fn header_masks(&self) -> Vec<WordMask> {
        self.header.masks()
    }

    /// The access masks of a decoder.
    pub(crate) fn decoder_masks(&self, index: usize) -> Vec<WordMask> {
        self.decoders
            .get(index)
            .map(|decoder| decoder.masks())
            .unwrap_or_default()
    }
}

fn control(decoder: &RegisterFile<CxlHdmDecoderReg>) -> CxlHdmDecoderControlRegister {
    CxlHdmDecoderControlRegister::from_bits(decoder.get(CxlHdmDecoderReg::Control))
}

impl CxlComponentRegister for CxlHdmDecoderCapability {
    fn label(&self) -> &str {
        "cxl-hdm-decoder-capability"
    }

    fn register_type(&self) -> CxlComponentRegisterType {
        CxlComponentRegisterType::CacheMemRegister
    }

    fn capability_id(&self) -> u16 {
        CXL_HDM_DECODER_CAPABILITY_ID
    }

    fn capability_version(&self) -> u8 {
        CXL_HDM_DECODER_CAPABILITY_VERSION
    }

    fn len(&self) -> u16 {
        (0..self.decoders.len()).fold(CXL_HDM_DECODER_HEADER_LENGTH, |len, _| {
            len + CXL_HDM_DECODER_STRIDE_BYTES
        })
    }

    fn read_u32(&self, offset: u16) -> Option<u32> {
        match Self::locate(offset) {
            Some((index, within)) => Some(self.decoders.get(index)?.read(within)),
            None => Some(self.header.read(offset)),
        }
    }

    fn write_u32(&mut self, offset: u16, val: u32) -> bool {
        self.write_bytes(offset, val, ByteEnables::ALL)
    }

    fn write_bytes(&mut self, offset: u16, val: u32, enables: ByteEnables) -> bool {
        if !self.accepts_write(offset) {
            return false;
        }
        match Self::locate(offset) {
            Some((index, within)) => self.write_decoder(index, within, val, enables.mask()),
            None => {
                // Whoever routes CXL.mem looks at the enable bit; there is nothing to do here.
                self.header.write(offset, val, enables.mask());
            }
        }
        true
    }

    fn accepts_write(&self, offset: u16) -> bool {
        let open = Self::locate(offset).is_none_or(|(index, within)| {
            self.decoders.get(index).is_some_and(|decoder| {
                let control = control(decoder);
                // While it is committed a decoder keeps its range; only an unlocked one can be taken back.
                !control.committed()
                    || (within == CxlHdmDecoderRegisterOffset::CONTROL && !control.lock_on_commit())
            })
        });
        open && self
            .masks_at(offset)
            .is_some_and(|mask| mask.writable() != 0)
    }

    fn reset(&mut self) {
        self.reset_by(Reset::Cold);
    }

    fn reset_by(&mut self, kind: Reset) {
        self.header.reset(kind);
        for decoder in &self.decoders {
            decoder.reset(kind);
        }
    }
}

#[cfg(test)]
mod tests;

//! Committing decoders (CXL 3.1 section 8.2.4.20.12).

use super::CxlHdmDecoderCapability;
use super::control;
use crate::component_registers::spec::hdm_decoder::*;
use crate::spec::CXL_HPA_ALIGNMENT;
use reg_table::Change;
use reg_table::RegisterFile;

/// The host physical addresses of a decoder.
#[derive(Copy, Clone, Debug)]
pub(super) struct Range {
    pub(super) base: u64,
    pub(super) size: u64,
}

impl Range {
    pub(super) fn of(decoder: &RegisterFile<CxlHdmDecoderReg>) -> Self {
        let join = |low, high| (u64::from(decoder.get(high)) << 32) | u64::from(decoder.get(low));
        Self {
            base: join(CxlHdmDecoderReg::BaseLow, CxlHdmDecoderReg::BaseHigh),
            size: join(CxlHdmDecoderReg::SizeLow, CxlHdmDecoderReg::SizeHigh),
        }
    }

    /// First address after it.
    pub(super) fn end(self) -> u128 {
        u128::from(self.base) + u128::from(self.size)
    }

    /// Last address in it; `None` if it is empty or wraps.
    pub(super) fn last(self) -> Option<u64> {
        self.base.checked_add(self.size.checked_sub(1)?)
    }
}

/// The number of ways of an encoding (CXL 3.1 section 8.2.4.20.7); `None` for a reserved one.
fn ways(encoding: u8) -> Option<u8> {
    match encoding {
        0..=4 => Some(1 << encoding),
        8..=0xA => Some(3 << (encoding - 8)),
        _ => None,
    }
}

/// Whether a decoder can interleave as its control register says.
pub(super) fn interleave_supported(
    can: CxlHdmDecoderCapabilityRegister,
    control: CxlHdmDecoderControlRegister,
) -> bool {
    let (encoding, granularity) = (control.interleave_ways(), control.interleave_granularity());
    let Some(ways) = ways(encoding) else {
        return false;
    };
    if granularity > CxlHdmDecoderInterleaveGranularity::Bytes16384.bits() {
        return false;
    }
    let by_three = ways.is_multiple_of(3);
    if by_three && !can.interleave_3_6_12_way_capable()
        || ways == 16 && !can.interleave_16_way_capable()
        || can.target_count() != 0 && ways > can.target_count()
    {
        return false;
    }
    // The address bits that choose the way, above the granularity (CXL 3.1 section 8.2.4.20.13). A factor of three is
    // computed from all bits above, and takes none of its own.
    let count = if by_three { encoding - 8 } else { encoding };
    let lowest = granularity + 8;
    (lowest..lowest + count).all(|bit| match bit {
        8..=11 => can.a11to8_interleave_capable(),
        12..=14 => can.a14to12_interleave_capable(),
        _ => false,
    })
}

impl CxlHdmDecoderCapability {
    /// Writes a register of a decoder that takes the write: it is not committed, or this is the control register of one
    /// that is not locked.
    pub(super) fn write_decoder(&mut self, index: usize, within: u16, value: u32, lanes: u32) {
        let Some(decoder) = self.decoders.get(index) else {
            return;
        };
        let commit = CxlHdmDecoderControlRegister::new()
            .with_commit(true)
            .into_bits();
        let uncommits = lanes & commit != 0 && value & commit == 0;
        if control(decoder).committed() && !uncommits {
            return;
        }
        for change in decoder.write(within, value, lanes) {
            self.decoder_written(index, change);
        }
    }

    fn decoder_written(&self, index: usize, change: Change<CxlHdmDecoderReg>) {
        use CxlHdmDecoderReg::*;
        match change.register {
            Control => {
                let written = CxlHdmDecoderControlRegister::from_bits(change.lanes).commit();
                if written {
                    self.commit_written(index, change.new);
                }
            }
            // They mean nothing before the decoder is committed.
            BaseLow
            | BaseHigh
            | SizeLow
            | SizeHigh
            | DpaSkipOrTargetListLow
            | DpaSkipOrTargetListHigh
            | Reserved => {}
        }
    }

    /// Commit was written as `control` now says: commits the decoder or records why not, or takes it back.
    fn commit_written(&self, index: usize, control: u32) {
        let control = CxlHdmDecoderControlRegister::from_bits(control);
        let good = control.commit() && self.can_commit(index);
        let control = control
            .with_committed(good)
            .with_error_not_committed(control.commit() && !good);
        if let Some(decoder) = self.decoders.get(index) {
            decoder.set(CxlHdmDecoderReg::Control, control.into_bits());
        }
    }

    /// The checks of CXL 3.1 section 8.2.4.20.12. A size of zero is allowed: such a decoder maps nothing. Base and size
    /// are multiples of 256 MiB, for want of lower bits.
    fn can_commit(&self, index: usize) -> bool {
        let (before, rest) = self.decoders.split_at(index.min(self.decoders.len()));
        let Some((decoder, after)) = rest.split_first() else {
            return false;
        };
        let range = Range::of(decoder);
        // In order, and above what is below.
        if let Some(previous) = before.last()
            && !control(previous).committed()
        {
            return false;
        }
        let committed = |decoder: &&RegisterFile<_>| control(decoder).committed();
        let below = before.iter().filter(committed).map(|d| Range::of(d).end());
        if below.max().is_some_and(|end| u128::from(range.base) < end) {
            return false;
        }
        // One that was taken back out of order must fit in again.
        let above = after.iter().filter(committed).map(Range::of);
        if above
            .filter(|above| above.size != 0)
            .any(|above| range.end() > u128::from(above.base))
        {
            return false;
        }
        let wraps = range.end() > 1 << 64;
        let own = control(decoder);
        let by_three = ways(own.interleave_ways()).is_some_and(|ways| ways.is_multiple_of(3));
        let thirds = !by_three || range.size.is_multiple_of(3 * CXL_HPA_ALIGNMENT);
        !wraps && thirds && interleave_supported(self.capability(), own)
    }
}

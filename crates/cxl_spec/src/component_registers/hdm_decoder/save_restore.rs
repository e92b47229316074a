//! Saving and restoring HDM decoders.

use super::*;
use crate::saved_words::SavedWords;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "cxl.component_registers.hdm_cap")]
    pub struct SavedDecoderState {
        #[mesh(1)]
        pub base_low: u32,
        #[mesh(2)]
        pub base_high: u32,
        #[mesh(3)]
        pub size_low: u32,
        #[mesh(4)]
        pub size_high: u32,
        #[mesh(5)]
        pub control: u32,
        #[mesh(6)]
        pub dpa_skip_low: u32,
        #[mesh(7)]
        pub dpa_skip_high: u32,
    }

    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "cxl.component_registers.hdm_cap")]
    pub struct SavedState {
        #[mesh(1)]
        pub global_control: u32,
        #[mesh(2)]
        pub decoders: Vec<SavedDecoderState>,
    }
}

fn save_decoder(decoder: &RegisterFile<CxlHdmDecoderReg>) -> state::SavedDecoderState {
    let get = |register| decoder.get(register);
    state::SavedDecoderState {
        base_low: get(CxlHdmDecoderReg::BaseLow),
        base_high: get(CxlHdmDecoderReg::BaseHigh),
        size_low: get(CxlHdmDecoderReg::SizeLow),
        size_high: get(CxlHdmDecoderReg::SizeHigh),
        control: get(CxlHdmDecoderReg::Control),
        dpa_skip_low: get(CxlHdmDecoderReg::DpaSkipOrTargetListLow),
        dpa_skip_high: get(CxlHdmDecoderReg::DpaSkipOrTargetListHigh),
    }
}

/// The dwords of a decoder as saved, if it can have them.
fn check_decoder(
    decoder: &RegisterFile<CxlHdmDecoderReg>,
    saved: &state::SavedDecoderState,
) -> Result<Vec<u32>, RestoreError> {
    use CxlHdmDecoderReg::*;
    let words = SavedWords::over(decoder).with(&[
        (BaseLow, saved.base_low),
        (BaseHigh, saved.base_high),
        (SizeLow, saved.size_low),
        (SizeHigh, saved.size_high),
        (Control, saved.control),
        (DpaSkipOrTargetListLow, saved.dpa_skip_low),
        (DpaSkipOrTargetListHigh, saved.dpa_skip_high),
    ])?;
    let invalid = |text: String| Err(RestoreError::InvalidSavedState(anyhow::anyhow!(text)));
    let control = CxlHdmDecoderControlRegister::from_bits(saved.control);
    if control.committed() && (!control.commit() || control.error_not_committed()) {
        return invalid(format!(
            "its control register is {:#010x}: committed, and not",
            saved.control
        ));
    }
    let range = Range {
        base: (u64::from(saved.base_high) << 32) | u64::from(saved.base_low),
        size: (u64::from(saved.size_high) << 32) | u64::from(saved.size_low),
    };
    if control.committed() && range.end() > 1 << 64 {
        return invalid(format!("it is committed and its range wraps: {range:#x?}"));
    }
    // A decoder that resets to committed is a fixed one.
    let composed: Vec<_> = decoder.masks().iter().map(|mask| mask.reset).collect();
    let fixed = composed
        .get(usize::from(CxlHdmDecoderRegisterOffset::CONTROL) / 4)
        .is_some_and(|&bits| CxlHdmDecoderControlRegister::from_bits(bits).committed());
    if fixed && words != composed {
        return invalid(format!(
            "it is {words:#x?} in the saved state; it is fixed as {composed:#x?} here"
        ));
    }
    Ok(words)
}

impl CxlHdmDecoderCapability {
    /// The dwords of what precedes the decoders, and those of each decoder.
    fn checked(
        &self,
        state: &state::SavedState,
    ) -> Result<(Vec<u32>, Vec<Vec<u32>>), RestoreError> {
        let (found, expected) = (state.decoders.len(), self.decoders.len());
        if found != expected {
            return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                "there are {found} HDM decoders in the saved state; there are {expected} here"
            )));
        }
        let header = SavedWords::over(&self.header)
            .with(&[(CxlHdmDecoderHeaderReg::GlobalControl, state.global_control)])?;
        let decoders = self.decoders.iter().zip(&state.decoders).enumerate();
        let decoders = decoders.map(|(index, (decoder, saved))| {
            check_decoder(decoder, saved)
                .map_err(|error| error.in_child(format!("HDM decoder {index}")))
        });
        Ok((header, decoders.collect::<Result<_, _>>()?))
    }
}

impl SaveRestore for CxlHdmDecoderCapability {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(state::SavedState {
            global_control: self.header.get(CxlHdmDecoderHeaderReg::GlobalControl),
            decoders: self.decoders.iter().map(save_decoder).collect(),
        })
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        let (header, decoders) = self.checked(&state)?;
        self.header.restore(&header);
        for (decoder, words) in self.decoders.iter().zip(decoders) {
            decoder.restore(&words);
        }
        Ok(())
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        self.checked(state).map(drop)
    }
}

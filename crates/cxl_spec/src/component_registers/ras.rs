//! Recording errors in the CXL RAS capability (CXL 3.1 section 8.2.4.17 and section 12.2).

use super::CxlRasCapability;
use super::spec::ras::CXL_RAS_HEADER_LOG_DWORDS;
use super::spec::ras::CxlRasControl;
use super::spec::ras::CxlRasCorrectableErrors;
use super::spec::ras::CxlRasReg;
use super::spec::ras::CxlRasUncorrectableErrors;
use reg_table::BlockRegister;

/// What a recorded error asks its component to report: an internal error of this kind in PCI Express's Advanced Error
/// Reporting.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CxlRasSignal {
    /// Corrected Internal Error.
    Correctable,
    /// Uncorrectable Internal Error, not fatal.
    NonFatal,
    /// Uncorrectable Internal Error, fatal.
    Fatal,
}

impl CxlRasCapability {
    /// Records uncorrectable errors, and the header of the flit or packet that had them. `None` if software masked them
    /// all: then neither header nor first error is recorded.
    ///
    /// The header and the first error stay until software clears that error.
    pub fn record_uncorrectable(
        &self,
        errors: CxlRasUncorrectableErrors,
        header: &[u32; CXL_RAS_HEADER_LOG_DWORDS],
    ) -> Option<CxlRasSignal> {
        let errors = errors.into_bits() & CxlRasUncorrectableErrors::ALL.into_bits();
        let registers = &self.registers;
        let mask = registers.get(CxlRasReg::UncorrectableErrorMask);
        let before = registers.update(CxlRasReg::UncorrectableErrorStatus, |status| {
            status | errors
        });
        let reported = errors & !mask;
        if reported == 0 {
            return None;
        }
        let control =
            CxlRasControl::from_bits(registers.get(CxlRasReg::ErrorCapabilitiesAndControl));
        let logged = 1u32
            .checked_shl(control.first_error_pointer().into())
            .unwrap_or(0);
        if before & logged & !mask == 0 {
            self.log(reported.trailing_zeros(), control, header);
        }
        let fatal = reported & registers.get(CxlRasReg::UncorrectableErrorSeverity) != 0;
        Some(if fatal {
            CxlRasSignal::Fatal
        } else {
            CxlRasSignal::NonFatal
        })
    }

    fn log(&self, first: u32, control: CxlRasControl, header: &[u32; CXL_RAS_HEADER_LOG_DWORDS]) {
        let first = u8::try_from(first).unwrap_or(0);
        self.registers.set(
            CxlRasReg::ErrorCapabilitiesAndControl,
            control.with_first_error_pointer(first).into_bits(),
        );
        let log = CxlRasReg::ALL.iter().skip(CxlRasReg::HeaderLog0.index());
        for (&register, &dword) in log.zip(header) {
            self.registers.set(register, dword);
        }
    }

    /// Records correctable errors. `None` if software masked them all.
    pub fn record_correctable(&self, errors: CxlRasCorrectableErrors) -> Option<CxlRasSignal> {
        let errors = errors.into_bits() & CxlRasCorrectableErrors::ALL.into_bits();
        self.registers
            .update(CxlRasReg::CorrectableErrorStatus, |status| status | errors);
        let mask = self.registers.get(CxlRasReg::CorrectableErrorMask);
        (errors & !mask != 0).then_some(CxlRasSignal::Correctable)
    }
}

#[cfg(test)]
mod tests;

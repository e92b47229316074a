//! Advanced Error Reporting (PCIe 6.2 section 6.2 and section 7.8.4).
//!
//! [`AerExtendedCapability::record_correctable`] and [`record_uncorrectable`](AerExtendedCapability::record_uncorrectable) log
//! an error that the function detected and say which message it sends; in a root port or root complex event collector,
//! [`receive_error_message`](AerExtendedCapability::receive_error_message) takes the messages of others.
//!
//! The owner sets the bits of Device Status and Status, and asks Device Control and Command whether a message may leave.
//!
//! Not emulated: the TLP prefix log, which reads zero.

mod root;
mod save_restore;

pub use crate::spec::errors::ErrorMessage;

use crate::capabilities::block::ExtendedBlock;
use crate::capabilities::block::RegisterBlock;
use crate::capabilities::edge_interrupt::EdgeInterrupt;
use crate::capabilities::saved_registers;
use crate::spec::caps::aer::AdvancedErrorControl;
use crate::spec::caps::aer::AerReg;
use crate::spec::caps::aer::CorrectableErrors;
use crate::spec::caps::aer::UncorrectableErrorBit;
use crate::spec::caps::aer::UncorrectableErrors;
use inspect::Inspect;
use reg_table::BlockRegister;
use reg_table::Change;
use reg_table::RegisterFile;
use reg_table::Reset;
use std::collections::VecDeque;

/// Errors whose headers are kept with Multiple Header Recording: one in the log, the others behind it.
pub const RECORDED_HEADERS_MAX: usize = 4;

const HEADER_LOG: [AerReg; 4] = [
    AerReg::HeaderLog0,
    AerReg::HeaderLog1,
    AerReg::HeaderLog2,
    AerReg::HeaderLog3,
];

/// An uncorrectable error that a function detected.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct UncorrectableError {
    /// Which.
    pub bit: UncorrectableErrorBit,
    /// One of the cases of PCIe 6.2 section 6.2.3.2.4, in which someone else is in a better place to say how bad it is: with
    /// non-fatal severity, it is reported as correctable.
    pub advisory: bool,
}

impl UncorrectableError {
    /// An error that is what its severity says.
    pub const fn new(bit: UncorrectableErrorBit) -> Self {
        Self {
            bit,
            advisory: false,
        }
    }

    /// An advisory error, unless software made its severity fatal.
    pub const fn advisory(bit: UncorrectableErrorBit) -> Self {
        Self {
            bit,
            advisory: true,
        }
    }
}

/// The messages that an error leads to, as far as this capability has a say: Device Control and Command may keep them back.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorSignal {
    /// ERR_COR.
    pub correctable: bool,
    /// ERR_NONFATAL.
    pub non_fatal: bool,
    /// ERR_FATAL.
    pub fatal: bool,
}

/// An error behind the one in the log.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Inspect)]
struct RecordedError {
    bit: UncorrectableErrorBit,
    #[inspect(iter_by_index)]
    header: [u32; 4],
}

impl RecordedError {
    fn mask(&self) -> u32 {
        1u32.checked_shl(self.bit.0.into()).unwrap_or(0)
    }
}

/// The AER capability.
///
/// ```
/// use pci_core::capabilities::extended::aer::{AerExtendedCapability, ErrorSignal, UncorrectableError};
/// use pci_core::spec::caps::aer::UncorrectableErrorBit;
///
/// let mut aer = AerExtendedCapability::new();
/// let error = UncorrectableError::new(UncorrectableErrorBit::UNSUPPORTED_REQUEST);
/// let header = Some([0x4000_0001, 0x0000_000f, 0xfe00_0000, 0]);
/// let signal = aer.record_uncorrectable(error, header);
/// assert_eq!(signal, ErrorSignal { non_fatal: true, ..ErrorSignal::default() });
/// ```
#[derive(Inspect)]
pub struct AerExtendedCapability {
    #[inspect(flatten)]
    registers: RegisterFile<AerReg>,
    /// Errors recorded behind the one in the log, oldest first.
    #[inspect(iter_by_index)]
    recorded: VecDeque<RecordedError>,
    /// Root port or root complex event collector.
    root: bool,
    interrupt: EdgeInterrupt,
}

impl Default for AerExtendedCapability {
    fn default() -> Self {
        Self::new()
    }
}

impl AerExtendedCapability {
    /// The capability of an endpoint or a switch's port, with all errors and without ECRC.
    pub fn new() -> Self {
        let mut this = Self::with_root_registers();
        this.root = false;
        for register in [AerReg::RootErrorCommand, AerReg::RootErrorStatus] {
            this.registers.narrow(register, 0);
        }
        this
    }

    fn with_root_registers() -> Self {
        let mut registers = RegisterFile::new(AerReg::Header);
        registers.narrow(AerReg::Control, 0);
        Self {
            registers,
            recorded: VecDeque::new(),
            root: true,
            interrupt: EdgeInterrupt::default(),
        }
    }

    /// Leaves the function only these uncorrectable errors; the bits of others read zero.
    pub fn with_uncorrectable_errors(mut self, errors: UncorrectableErrors) -> Self {
        for register in [
            AerReg::UncorrectableStatus,
            AerReg::UncorrectableMask,
            AerReg::UncorrectableSeverity,
        ] {
            self.leave(register, errors.into_bits());
        }
        self
    }

    /// Leaves the function only these correctable errors; the bits of others read zero.
    pub fn with_correctable_errors(mut self, errors: CorrectableErrors) -> Self {
        for register in [AerReg::CorrectableStatus, AerReg::CorrectableMask] {
            self.leave(register, errors.into_bits());
        }
        self
    }

    /// Whether software made the error fatal: the bit of Uncorrectable Error Severity.
    pub fn is_fatal(&self, error: UncorrectableErrorBit) -> bool {
        let bit = 1u32.checked_shl(error.0.into()).unwrap_or(0);
        self.registers.get(AerReg::UncorrectableSeverity) & bit != 0
    }

    fn leave(&mut self, register: AerReg, bits: u32) {
        self.registers
            .init(register, register.register().reset & bits);
        self.registers.narrow(register, bits);
    }

    /// Lets software turn on generation and checks of ECRC.
    pub fn with_ecrc(self) -> Self {
        let capable = AdvancedErrorControl::new()
            .with_ecrc_generation_capable(true)
            .with_ecrc_check_capable(true);
        self.with_control(capable)
    }

    /// Lets software turn on recording of the headers of several errors, up to [`RECORDED_HEADERS_MAX`].
    pub fn with_multiple_header_recording(self) -> Self {
        self.with_control(AdvancedErrorControl::new().with_multiple_header_recording_capable(true))
    }

    fn with_control(mut self, capable: AdvancedErrorControl) -> Self {
        let bits = self.registers.get(AerReg::Control) | capable.into_bits();
        self.registers.init(AerReg::Control, bits);
        let control = AdvancedErrorControl::from_bits(bits);
        let writable = AdvancedErrorControl::new()
            .with_ecrc_generation_enable(control.ecrc_generation_capable())
            .with_ecrc_check_enable(control.ecrc_check_capable())
            .with_multiple_header_recording_enable(control.multiple_header_recording_capable());
        self.registers.narrow(AerReg::Control, writable.into_bits());
        self
    }

    fn control(&self) -> AdvancedErrorControl {
        AdvancedErrorControl::from_bits(self.registers.get(AerReg::Control))
    }

    /// Uncorrectable errors that were detected and not cleared.
    pub fn uncorrectable_status(&self) -> UncorrectableErrors {
        UncorrectableErrors::from_bits(self.registers.get(AerReg::UncorrectableStatus))
    }

    /// Correctable errors that were detected and not cleared.
    pub fn correctable_status(&self) -> CorrectableErrors {
        CorrectableErrors::from_bits(self.registers.get(AerReg::CorrectableStatus))
    }

    /// Logs correctable errors (PCIe 6.2 section 6.2.3.2.1). Those that the function does not have are left out.
    pub fn record_correctable(&mut self, errors: CorrectableErrors) -> ErrorSignal {
        let errors = errors.into_bits() & self.registers.writable(AerReg::CorrectableStatus);
        self.registers
            .update(AerReg::CorrectableStatus, |status| status | errors);
        ErrorSignal {
            correctable: errors & !self.registers.get(AerReg::CorrectableMask) != 0,
            ..ErrorSignal::default()
        }
    }

    /// Logs an uncorrectable error, with the header of the packet that caused it if there is one (PCIe 6.2 section 6.2.3.2.2
    /// to section 6.2.4.2). One that the function does not have is left out.
    ///
    /// A masked error sets its status bit only. An advisory error that is not fatal is Advisory Non-Fatal, and if that is
    /// masked, nothing else.
    pub fn record_uncorrectable(
        &mut self,
        error: UncorrectableError,
        header: Option<[u32; 4]>,
    ) -> ErrorSignal {
        let recorded = RecordedError {
            bit: error.bit,
            header: header.unwrap_or_default(),
        };
        let bit = recorded.mask() & self.registers.writable(AerReg::UncorrectableStatus);
        if bit == 0 {
            return ErrorSignal::default();
        }
        let fatal = self.registers.get(AerReg::UncorrectableSeverity) & bit != 0;
        let advisory = error.advisory && !fatal;
        if advisory {
            let advisory = CorrectableErrors::new().with_advisory_non_fatal(true);
            if !self.record_correctable(advisory).correctable {
                return ErrorSignal::default();
            }
        }
        let masked = self.registers.get(AerReg::UncorrectableMask) & bit != 0;
        let logged = masked || self.log(recorded);
        self.registers
            .update(AerReg::UncorrectableStatus, |status| status | bit);
        if masked {
            return ErrorSignal::default();
        }
        // Only an error with a header has something that could be lost.
        let overflow = if logged || header.is_none() {
            ErrorSignal::default()
        } else {
            self.record_correctable(CorrectableErrors::new().with_header_log_overflow(true))
        };
        ErrorSignal {
            correctable: advisory || overflow.correctable,
            non_fatal: !advisory && !fatal,
            fatal: !advisory && fatal,
        }
    }

    /// The status bit that First Error Pointer names; none while the pointer is not valid.
    fn first_error(&self) -> Option<u32> {
        let bit = 1 << self.control().first_error_pointer().0;
        (self.registers.get(AerReg::UncorrectableStatus) & bit != 0).then_some(bit)
    }

    /// Puts an error into the log, or behind the one there if software wants several. False if there is no room.
    fn log(&mut self, error: RecordedError) -> bool {
        if self.first_error().is_none() {
            self.show(error);
            true
        } else if self.control().multiple_header_recording_enable()
            && self.recorded.len() + 1 < RECORDED_HEADERS_MAX
        {
            self.recorded.push_back(error);
            true
        } else {
            false
        }
    }

    fn show(&self, error: RecordedError) {
        let control = self.control().with_first_error_pointer(error.bit);
        self.registers.set(AerReg::Control, control.into_bits());
        for (register, dword) in HEADER_LOG.into_iter().zip(error.header) {
            self.registers.set(register, dword);
        }
    }

    /// Software cleared status bits: the log moves on when the first error's was among them. A kind of error that is still
    /// recorded keeps its status bit (PCIe 6.2 section 6.2.4.2).
    fn status_cleared(&mut self, cleared: u32) {
        let first = 1u32 << self.control().first_error_pointer().0;
        self.recorded
            .retain(|error| error.mask() & cleared & !first == 0);
        if cleared & first == 0 {
            return;
        }
        let next = self.recorded.pop_front();
        // Bit 0 is no error: a pointer to it is never valid.
        self.show(next.unwrap_or(RecordedError {
            bit: UncorrectableErrorBit(0),
            header: [0; 4],
        }));
        let kept = next
            .iter()
            .chain(&self.recorded)
            .fold(0, |bits, error| bits | error.mask());
        self.registers
            .update(AerReg::UncorrectableStatus, |status| status | kept);
    }
}

impl RegisterBlock for AerExtendedCapability {
    type Register = AerReg;

    fn file(&self) -> &RegisterFile<AerReg> {
        &self.registers
    }

    fn file_mut(&mut self) -> &mut RegisterFile<AerReg> {
        &mut self.registers
    }

    fn written(&mut self, change: Change<AerReg>) {
        use AerReg::*;
        match change.register {
            UncorrectableStatus => self.status_cleared(change.fell()),
            Control => {
                if !self.control().multiple_header_recording_enable() {
                    self.recorded.clear();
                }
            }
            RootErrorCommand | RootErrorStatus => {
                self.evaluate_interrupt();
            }
            // They matter when the next error comes.
            UncorrectableMask | UncorrectableSeverity | CorrectableStatus | CorrectableMask => {}
            // Read-only.
            Header | HeaderLog0 | HeaderLog1 | HeaderLog2 | HeaderLog3 | ErrorSource
            | TlpPrefixLog0 | TlpPrefixLog1 | TlpPrefixLog2 | TlpPrefixLog3 => {}
        }
    }

    fn reset_registers(&mut self, kind: Reset) {
        self.registers.reset(kind);
        // What is recorded is as sticky as the log in front of it.
        if kind == Reset::Cold {
            self.recorded.clear();
        }
        self.evaluate_interrupt();
    }

    fn changeable(&self, register: AerReg) -> u32 {
        let all = saved_registers::with_sticky_logs(&self.registers, register);
        match register {
            AerReg::RootErrorCommand | AerReg::RootErrorStatus | AerReg::ErrorSource
                if !self.root =>
            {
                0
            }
            AerReg::Control => {
                let never = AdvancedErrorControl::new().with_tlp_prefix_log_present(true);
                all & !never.into_bits()
            }
            AerReg::TlpPrefixLog0
            | AerReg::TlpPrefixLog1
            | AerReg::TlpPrefixLog2
            | AerReg::TlpPrefixLog3 => 0,
            _ => all,
        }
    }
}

impl ExtendedBlock for AerExtendedCapability {}

#[cfg(test)]
mod tests;

//! An error that a function detected, in all the registers that tell of it (PCIe 6.2 section 6.2.5, figure 6-2), and what a bridge does
//! with the messages of others (section 6.2.6, figure 6-3).

use super::ConfigSpaceCommonHeaderEmulator;
use super::ConfigSpaceType0Emulator;
use super::ConfigSpaceType1Emulator;
use super::header::Header;
use crate::capabilities::PciExtendedCapability;
use crate::capabilities::extended::aer::AerExtendedCapability;
use crate::capabilities::extended::aer::ErrorSignal;
use crate::capabilities::extended::aer::UncorrectableError;
use crate::capabilities::extended::dpc::DpcExtendedCapability;
use crate::capabilities::pci_express::PciExpressCapability;
use crate::spec::caps::aer::AerReg;
use crate::spec::caps::aer::UncorrectableErrorBit;
use crate::spec::caps::pci_express::DeviceControl;
use crate::spec::caps::pci_express::DeviceStatus;
use crate::spec::cfg_space::BridgeControl;
use crate::spec::cfg_space::SecondaryStatus;
use crate::spec::cfg_space::Status;
use crate::spec::cfg_space::Type1HeaderReg;
use crate::spec::errors::DetectedError;
use crate::spec::errors::ErrorMessage;
use reg_table::BlockRegister;

/// What an error led to.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedError {
    /// The messages that leave: those that Device Control and Command let through. At most one of each.
    pub correctable: bool,
    /// The message for an uncorrectable error, if it leaves.
    pub uncorrectable: Option<ErrorMessage>,
    /// It is an uncorrectable error that AER does not mask: what triggers Downstream Port Containment in a downstream port, whether or
    /// not a message leaves.
    pub unmasked_uncorrectable: bool,
}

impl RecordedError {
    /// The messages that leave, in the order in which they are sent.
    pub fn messages(self) -> impl Iterator<Item = ErrorMessage> {
        let correctable = self.correctable.then_some(ErrorMessage::Correctable);
        correctable.into_iter().chain(self.uncorrectable)
    }
}

/// The severity of an error where software cannot set it: the reset value of Uncorrectable Error Severity (PCIe 6.2 section 6.2.7).
fn fatal_by_default(bit: UncorrectableErrorBit) -> bool {
    let bit = 1u32.checked_shl(bit.0.into()).unwrap_or(0);
    AerReg::UncorrectableSeverity.register().reset & bit != 0
}

impl<const N: usize> ConfigSpaceCommonHeaderEmulator<N> {
    pub(super) fn pci_express(&self) -> Option<&PciExpressCapability> {
        self.capabilities().iter().find_map(|c| c.as_pci_express())
    }

    fn aer_mut(&mut self) -> Option<&mut AerExtendedCapability> {
        let mut extended = self.extended_capabilities.iter_mut();
        extended.find_map(|c| c.as_aer_mut())
    }

    fn record_error(&mut self, error: DetectedError) -> RecordedError {
        let control = self
            .pci_express()
            .map_or_else(DeviceControl::new, PciExpressCapability::device_control);
        match error {
            DetectedError::Correctable(errors) => {
                self.detected(DeviceStatus::new().with_correctable_error_detected(true));
                let signal = self.aer_mut().map(|aer| aer.record_correctable(errors));
                RecordedError {
                    correctable: signal.is_none_or(|signal| signal.correctable)
                        && control.correctable_error_reporting_enable(),
                    ..RecordedError::default()
                }
            }
            DetectedError::Uncorrectable {
                bit,
                advisory,
                header,
            } => self.record_uncorrectable(UncorrectableError { bit, advisory }, header, control),
        }
    }

    fn record_uncorrectable(
        &mut self,
        error: UncorrectableError,
        header: Option<[u32; 4]>,
        control: DeviceControl,
    ) -> RecordedError {
        let fatal = self.aer_mut().map_or_else(
            || fatal_by_default(error.bit),
            |aer| aer.is_fatal(error.bit),
        );
        let advisory = error.advisory && !fatal;
        let unsupported = error.bit == UncorrectableErrorBit::UNSUPPORTED_REQUEST;
        self.detected(
            DeviceStatus::new()
                .with_correctable_error_detected(advisory)
                .with_non_fatal_error_detected(!fatal && !advisory)
                .with_fatal_error_detected(fatal)
                .with_unsupported_request_detected(unsupported),
        );
        self.record_status(
            Status::new()
                .with_err_detected_parity(error.bit == UncorrectableErrorBit::POISONED_TLP_RECEIVED)
                .with_abort_target_signaled(error.bit == UncorrectableErrorBit::COMPLETER_ABORT),
        );
        let (signal, masked) = match self.aer_mut() {
            Some(aer) => {
                let signal = aer.record_uncorrectable(error, header);
                (signal, !(signal.non_fatal || signal.fatal))
            }
            None => (
                ErrorSignal {
                    correctable: advisory,
                    non_fatal: !fatal && !advisory,
                    fatal,
                },
                advisory,
            ),
        };
        // Unsupported Request Reporting Enable keeps back what Device Control would let through, SERR# Enable lets all through.
        let reports = !unsupported || control.unsupported_request_reporting_enable();
        let serr = self.command().enable_serr();
        let leaves = |enable: bool| serr || (enable && reports);
        let uncorrectable = if signal.fatal && leaves(control.fatal_error_reporting_enable()) {
            Some(ErrorMessage::Fatal)
        } else if signal.non_fatal && leaves(control.non_fatal_error_reporting_enable()) {
            Some(ErrorMessage::NonFatal)
        } else {
            None
        };
        if serr && uncorrectable.is_some() {
            self.record_status(Status::new().with_err_signaled(true));
        }
        // An overflow of the header log is a correctable error of its own.
        RecordedError {
            correctable: signal.correctable
                && control.correctable_error_reporting_enable()
                && (!advisory || reports),
            uncorrectable,
            unmasked_uncorrectable: !masked,
        }
    }

    fn detected(&self, status: DeviceStatus) {
        if let Some(pcie) = self.pci_express() {
            pcie.record_device_status(status);
        }
    }
}

impl ConfigSpaceType0Emulator {
    /// Records an error that the function detected: in Device Status, Status, and AER where it has that. Says which messages leave; the
    /// owner sends them. The First Error Pointer and the header log follow AER's rules.
    pub fn record_error(&mut self, error: DetectedError) -> RecordedError {
        self.common.record_error(error)
    }

    /// Advanced Error Reporting, if it has that.
    pub fn aer_mut(&mut self) -> Option<&mut AerExtendedCapability> {
        self.common.aer_mut()
    }

    /// The extended capabilities, in order.
    pub fn extended_capabilities(&self) -> &[Box<dyn PciExtendedCapability>] {
        self.common.extended_capabilities()
    }
}

impl ConfigSpaceType1Emulator {
    /// Records an error that the port detected; see [`ConfigSpaceType0Emulator::record_error`].
    pub fn record_error(&mut self, error: DetectedError) -> RecordedError {
        self.common.record_error(error)
    }

    /// Advanced Error Reporting, if it has that.
    pub fn aer(&self) -> Option<&AerExtendedCapability> {
        self.extended_capabilities().iter().find_map(|c| c.as_aer())
    }

    /// Advanced Error Reporting, if it has that.
    pub fn aer_mut(&mut self) -> Option<&mut AerExtendedCapability> {
        self.common.aer_mut()
    }

    /// Downstream Port Containment, if it has that.
    pub fn dpc(&self) -> Option<&DpcExtendedCapability> {
        self.extended_capabilities().iter().find_map(|c| c.as_dpc())
    }

    /// Downstream Port Containment, if it has that.
    pub fn dpc_mut(&mut self) -> Option<&mut DpcExtendedCapability> {
        let mut extended = self.common.extended_capabilities.iter_mut();
        extended.find_map(|c| c.as_dpc_mut())
    }

    /// Takes note of an error message that came to the secondary side: Received System Error (PCIe 6.2 section 7.5.1.3.7). False if
    /// Bridge Control keeps it from going on.
    pub fn receive_error_message(&self, message: ErrorMessage) -> bool {
        let Header::Type1(file) = &self.common.header else {
            return false;
        };
        if message.is_uncorrectable() {
            self.record_secondary_status(SecondaryStatus::new().with_err_received(true));
        }
        BridgeControl::from_bits(file.get16(Type1HeaderReg::BridgeControl)).serr_enable()
    }

    /// Whether a message that came to the secondary side and was let on leaves by the primary side, and notes in Status that it did.
    ///
    /// ERR_COR always leaves. For the others the specification names SERR# Enable in Command (PCIe 6.2 section 7.5.1.1.3); the enables of
    /// Device Control do as well here, as they do for the bridge's own errors: an operating system that finds no firmware sets these only,
    /// and would not hear of the errors below a switch.
    pub fn forward_error_message(&self, message: ErrorMessage) -> bool {
        let control = self
            .pci_express()
            .map_or_else(DeviceControl::new, PciExpressCapability::device_control);
        let serr = self.common.command().enable_serr();
        let enabled = match message {
            ErrorMessage::Correctable => return true,
            ErrorMessage::NonFatal => control.non_fatal_error_reporting_enable(),
            ErrorMessage::Fatal => control.fatal_error_reporting_enable(),
        };
        if serr {
            self.common
                .record_status(Status::new().with_err_signaled(true));
        }
        serr || enabled
    }
}

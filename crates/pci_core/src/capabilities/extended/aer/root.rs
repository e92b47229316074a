//! The side of root ports and root complex event collectors: who reported errors (PCIe 6.2 section 6.2.4.1.2).

use super::AerExtendedCapability;
use crate::spec::Bdf;
use crate::spec::caps::aer::AerReg;
use crate::spec::caps::aer::ErrorSource;
use crate::spec::caps::aer::RootErrorCommand;
use crate::spec::caps::aer::RootErrorStatus;
use crate::spec::errors::ErrorMessage;
use vmcore::interrupt::Interrupt;

impl AerExtendedCapability {
    /// The capability of a root port or root complex event collector, whose interrupt is vector `interrupt_message_number` of
    /// MSI or MSI-X.
    ///
    /// # Panics
    ///
    /// When the message number is above 31: the register has 5 bits for it.
    pub fn new_root(interrupt_message_number: u8) -> Self {
        assert!(
            interrupt_message_number < 32,
            "the interrupt message number is {interrupt_message_number}; it is at most 31"
        );
        let mut this = Self::with_root_registers();
        this.registers.init(
            AerReg::RootErrorStatus,
            RootErrorStatus::new()
                .with_interrupt_message_number(interrupt_message_number)
                .into_bits(),
        );
        this
    }

    /// Delivers reports of errors through `interrupt`.
    pub fn set_error_interrupt(&mut self, interrupt: Interrupt) {
        self.interrupt.connect(interrupt);
    }

    /// Says whether messages of the function are held back: it has neither MSI nor MSI-X enabled, or Bus Master Enable is clear. An error
    /// that is pending when they go out again interrupts then.
    pub fn set_messages_held(&mut self, held: bool) {
        self.interrupt.hold(held);
        self.evaluate_interrupt();
    }

    /// As [`Self::set_messages_held`], of a function whose registers were reset or restored: nothing interrupts.
    pub fn assume_messages_held(&mut self, held: bool) {
        self.interrupt.hold(held);
        let event = self.error_event();
        self.interrupt.restore(event);
    }

    /// Root Error Status as of now.
    pub fn root_error_status(&self) -> RootErrorStatus {
        RootErrorStatus::from_bits(self.registers.get(AerReg::RootErrorStatus))
    }

    /// Takes an error message from below, or the port's own, and interrupts if software wants that; true if it did. In other
    /// functions than root ports and root complex event collectors, nothing happens.
    pub fn receive_error_message(&mut self, message: ErrorMessage, source: Bdf) -> bool {
        if !self.root {
            return false;
        }
        let status = self.root_error_status();
        let sources = ErrorSource::from_bits(self.registers.get(AerReg::ErrorSource));
        let (status, sources) = match message {
            ErrorMessage::Correctable if status.err_cor_received() => {
                (status.with_multiple_err_cor_received(true), sources)
            }
            ErrorMessage::Correctable => (
                status.with_err_cor_received(true),
                sources.with_err_cor_source(source.bits()),
            ),
            ErrorMessage::NonFatal | ErrorMessage::Fatal => {
                uncorrectable(status, sources, message == ErrorMessage::Fatal, source)
            }
        };
        self.registers
            .set(AerReg::RootErrorStatus, status.into_bits());
        self.registers.set(AerReg::ErrorSource, sources.into_bits());
        self.evaluate_interrupt()
    }

    /// Whether an error is pending that software wants to be interrupted for: the level of an INTx pin, and what makes a message due
    /// when it becomes true (PCIe 6.2 section 6.2.4.1.2).
    pub fn error_event(&self) -> bool {
        let status = self.root_error_status();
        let command = RootErrorCommand::from_bits(self.registers.get(AerReg::RootErrorCommand));
        command.correctable_error_reporting_enable() && status.err_cor_received()
            || command.non_fatal_error_reporting_enable()
                && status.non_fatal_error_messages_received()
            || command.fatal_error_reporting_enable() && status.fatal_error_messages_received()
    }

    pub(super) fn evaluate_interrupt(&mut self) -> bool {
        let event = self.error_event();
        self.interrupt.evaluate(event)
    }
}

/// ERR_NONFATAL and ERR_FATAL share the bits for the first and for further ones, and the source.
fn uncorrectable(
    status: RootErrorStatus,
    sources: ErrorSource,
    fatal: bool,
    source: Bdf,
) -> (RootErrorStatus, ErrorSource) {
    let kind = if fatal {
        status.with_fatal_error_messages_received(true)
    } else {
        status.with_non_fatal_error_messages_received(true)
    };
    if status.err_fatal_nonfatal_received() {
        (
            kind.with_multiple_err_fatal_nonfatal_received(true),
            sources,
        )
    } else {
        (
            kind.with_err_fatal_nonfatal_received(true)
                .with_first_uncorrectable_fatal(fatal),
            sources.with_err_fatal_nonfatal_source(source.bits()),
        )
    }
}

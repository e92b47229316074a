//! Downstream Port Containment (PCIe 6.2 section 6.2.11 and section 7.9.14).
//!
//! The capability decides and logs; the owner takes the link down while [`DpcExtendedCapability::contained`], and up when
//! software released it.
//!
//! Not emulated: RP Busy (stopping takes no time), poisoned TLP egress blocking, ERR_COR when the link comes up.

use crate::capabilities::block::ExtendedBlock;
use crate::capabilities::block::RegisterBlock;
use crate::capabilities::edge_interrupt::EdgeInterrupt;
use crate::capabilities::saved_registers;
use crate::spec::Bdf;
use crate::spec::caps::dpc::DpcCapability;
use crate::spec::caps::dpc::DpcControl;
use crate::spec::caps::dpc::DpcReg;
use crate::spec::caps::dpc::DpcStatus;
use crate::spec::caps::dpc::DpcTriggerEnable;
use crate::spec::caps::dpc::DpcTriggerReason;
use crate::spec::caps::dpc::DpcTriggerReasonExtension;
use crate::spec::caps::dpc::RpPioErrors;
use inspect::Inspect;
use reg_table::Change;
use reg_table::RegisterFile;
use reg_table::Reset;
use vmcore::interrupt::Interrupt;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

const RP_PIO_HEADER_LOG: [DpcReg; 4] = [
    DpcReg::RpPioHeaderLog0,
    DpcReg::RpPioHeaderLog1,
    DpcReg::RpPioHeaderLog2,
    DpcReg::RpPioHeaderLog3,
];

/// Dwords of the RP PIO log: a header and one of the implementation's own.
const RP_PIO_LOG_DWORDS: u8 = 5;

/// What may trigger containment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum DpcCause {
    /// The port detected an uncorrectable error that AER does not mask.
    UncorrectableError,
    /// ERR_NONFATAL came from below.
    NonFatalMessage {
        /// Who sent it.
        source: Bdf,
    },
    /// ERR_FATAL came from below.
    FatalMessage {
        /// Who sent it.
        source: Bdf,
    },
}

/// Containment was triggered.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Inspect)]
pub struct DpcTrigger {
    /// Why.
    pub reason: DpcTriggerReason,
    /// Why, if that is [`DpcTriggerReason::EXTENSION`].
    pub reason_extension: DpcTriggerReasonExtension,
    /// The port sends ERR_COR, unless Device Control keeps it back.
    pub send_err_cor: bool,
}

/// What software did.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Inspect)]
#[inspect(external_tag)]
pub enum DpcEvent {
    /// It triggered containment.
    Triggered(#[inspect(rename = "trigger")] DpcTrigger),
    /// It released the link.
    Released,
}

/// What a failed request of the root complex leads to.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct RpPioSignal {
    /// Containment.
    pub trigger: Option<DpcTrigger>,
    /// ERR_COR for an advisory error.
    pub send_err_cor: bool,
    /// A system error.
    pub system_error: bool,
    /// A synchronous exception in the processor that made the request.
    pub exception: bool,
}

/// The DPC capability.
///
/// ```
/// use pci_core::capabilities::extended::{PciExtendedCapability, dpc::{DpcCause, DpcEvent, DpcExtendedCapability}};
/// use pci_core::spec::Bdf;
///
/// let mut dpc = DpcExtendedCapability::new(0);
/// let cause = DpcCause::FatalMessage { source: Bdf::from_bits(0x100) };
/// assert_eq!(dpc.trigger(cause), None); // not enabled
/// dpc.write_u32(4, 0x0001_0000);
/// assert!(dpc.trigger(cause).is_some());
/// dpc.write_u32(8, 0x1);
/// assert_eq!(dpc.take_event(), Some(DpcEvent::Released));
/// ```
#[derive(Inspect)]
pub struct DpcExtendedCapability {
    #[inspect(flatten)]
    registers: RegisterFile<DpcReg>,
    /// There are root port extensions.
    rp_extensions: bool,
    interrupt: EdgeInterrupt,
    /// What the owner has not been told yet.
    event: Option<DpcEvent>,
}

impl DpcExtendedCapability {
    /// The capability of a switch's downstream port, or of a root port without the extensions for root ports. Its interrupt is
    /// vector `interrupt_message_number` of MSI or MSI-X.
    ///
    /// # Panics
    ///
    /// When the message number is above 31: the register has 5 bits for it.
    pub fn new(interrupt_message_number: u8) -> Self {
        let mut this = Self::new_root_port(interrupt_message_number);
        this.rp_extensions = false;
        let capability = this
            .capability()
            .with_rp_extensions_for_dpc(false)
            .with_rp_pio_log_size(0);
        this.registers
            .init(DpcReg::Capability, capability.into_bits());
        for register in [
            DpcReg::RpPioStatus,
            DpcReg::RpPioMask,
            DpcReg::RpPioSeverity,
            DpcReg::RpPioSysError,
            DpcReg::RpPioException,
        ] {
            this.registers.init(register, 0u32);
            this.registers.narrow(register, 0);
        }
        this
    }

    /// The capability of a root port, with the extensions for root ports.
    ///
    /// # Panics
    ///
    /// As [`Self::new`].
    pub fn new_root_port(interrupt_message_number: u8) -> Self {
        assert!(
            interrupt_message_number < 32,
            "the interrupt message number is {interrupt_message_number}; it is at most 31"
        );
        let mut registers = RegisterFile::new(DpcReg::Header);
        let capability = DpcCapability::new()
            .with_interrupt_message_number(interrupt_message_number)
            .with_software_triggering_supported(true)
            .with_rp_extensions_for_dpc(true)
            .with_rp_pio_log_size(RP_PIO_LOG_DWORDS);
        registers.init(DpcReg::Capability, capability.into_bits());
        let writable = DpcControl::new()
            .with_trigger_enable(DpcTriggerEnable(0b11))
            .with_completion_control(true)
            .with_interrupt_enable(true)
            .with_err_cor_enable(true)
            .with_software_trigger(true);
        registers.narrow(DpcReg::Control, writable.into_bits().into());
        Self {
            registers,
            rp_extensions: true,
            interrupt: EdgeInterrupt::default(),
            event: None,
        }
    }

    /// Delivers reports of containment through `interrupt`.
    pub fn set_interrupt(&mut self, interrupt: Interrupt) {
        self.interrupt.connect(interrupt);
    }

    /// Says whether messages of the port are held back: it has neither MSI nor MSI-X enabled, or Bus Master Enable is clear. Containment
    /// that is pending when they go out again interrupts then.
    pub fn set_messages_held(&mut self, held: bool) {
        self.interrupt.hold(held);
        self.evaluate_interrupt();
    }

    /// As [`Self::set_messages_held`], of a port whose registers were reset or restored: nothing interrupts.
    pub fn assume_messages_held(&mut self, held: bool) {
        self.interrupt.hold(held);
        let event = self.interrupt_event();
        self.interrupt.restore(event);
    }

    fn capability(&self) -> DpcCapability {
        DpcCapability::from_bits(self.registers.get16(DpcReg::Capability))
    }

    /// DPC Control as of now.
    pub fn control(&self) -> DpcControl {
        DpcControl::from_bits(self.registers.get16(DpcReg::Control))
    }

    /// DPC Status as of now.
    pub fn status(&self) -> DpcStatus {
        DpcStatus::from_bits(self.registers.get16(DpcReg::Status))
    }

    /// Whether the link is to be held down.
    pub fn contained(&self) -> bool {
        self.status().trigger_status()
    }

    /// What software did since the last call; of several things, the last.
    pub fn take_event(&mut self) -> Option<DpcEvent> {
        self.event.take()
    }

    fn enabled(&self) -> bool {
        matches!(
            self.control().trigger_enable(),
            DpcTriggerEnable::FATAL | DpcTriggerEnable::NON_FATAL
        )
    }

    /// Something happened that may trigger containment: it does if software enabled that and the link is not contained
    /// already. The owner takes the link down then.
    pub fn trigger(&mut self, cause: DpcCause) -> Option<DpcTrigger> {
        let (reason, source) = match cause {
            DpcCause::UncorrectableError => (DpcTriggerReason::UNMASKED_UNCORRECTABLE_ERROR, None),
            DpcCause::NonFatalMessage { source } => {
                if self.control().trigger_enable() != DpcTriggerEnable::NON_FATAL {
                    return None;
                }
                (DpcTriggerReason::ERR_NONFATAL_RECEIVED, Some(source))
            }
            DpcCause::FatalMessage { source } => {
                (DpcTriggerReason::ERR_FATAL_RECEIVED, Some(source))
            }
        };
        self.contain(reason, DpcTriggerReasonExtension(0), source)
    }

    fn contain(
        &mut self,
        reason: DpcTriggerReason,
        reason_extension: DpcTriggerReasonExtension,
        source: Option<Bdf>,
    ) -> Option<DpcTrigger> {
        let (status, control) = (self.status(), self.control());
        if !self.enabled() || status.trigger_status() {
            return None;
        }
        let interrupt = status.interrupt_status() || control.interrupt_enable();
        self.registers.set(
            DpcReg::Status,
            status
                .with_trigger_status(true)
                .with_trigger_reason(reason)
                .with_trigger_reason_extension(reason_extension)
                .with_interrupt_status(interrupt)
                .into_bits(),
        );
        self.registers
            .set(DpcReg::ErrorSourceId, source.map_or(0, Bdf::bits));
        self.evaluate_interrupt();
        Some(DpcTrigger {
            reason,
            reason_extension,
            send_err_cor: control.err_cor_enable(),
        })
    }

    /// Logs requests of the root complex that failed, with the header of the request, and triggers containment where software
    /// made them uncorrectable (PCIe 6.2 section 6.2.11.3). Masked ones set their status only. Without root port extensions,
    /// nothing happens.
    pub fn record_rp_pio(&mut self, errors: RpPioErrors, header: [u32; 4]) -> RpPioSignal {
        let errors = errors.into_bits() & self.registers.writable(DpcReg::RpPioStatus);
        let unmasked = errors & !self.registers.get(DpcReg::RpPioMask);
        if unmasked != 0 && !self.rp_pio_logged() {
            self.log_rp_pio(unmasked, header);
        }
        self.registers
            .update(DpcReg::RpPioStatus, |status| status | errors);
        let severe = unmasked & self.registers.get(DpcReg::RpPioSeverity);
        let trigger = if severe == 0 {
            None
        } else {
            self.contain(
                DpcTriggerReason::EXTENSION,
                DpcTriggerReasonExtension::RP_PIO_ERROR,
                None,
            )
        };
        RpPioSignal {
            trigger,
            send_err_cor: unmasked & !severe != 0 && self.control().err_cor_enable(),
            system_error: unmasked & self.registers.get(DpcReg::RpPioSysError) != 0,
            exception: unmasked & self.registers.get(DpcReg::RpPioException) != 0,
        }
    }

    /// Whether the log belongs to an error that software has not cleared.
    fn rp_pio_logged(&self) -> bool {
        let first = 1 << self.status().rp_pio_first_error_pointer();
        let status = self.registers.get(DpcReg::RpPioStatus);
        status & !self.registers.get(DpcReg::RpPioMask) & first != 0
    }

    fn log_rp_pio(&self, errors: u32, header: [u32; 4]) {
        let first = u8::try_from(errors.trailing_zeros() & 0x1f).unwrap_or(0);
        let status = self.status().with_rp_pio_first_error_pointer(first);
        self.registers.set(DpcReg::Status, status.into_bits());
        for (register, dword) in RP_PIO_HEADER_LOG.into_iter().zip(header) {
            self.registers.set(register, dword);
        }
    }

    /// Whether containment is pending that software wants to be interrupted for: the level of an INTx pin, and what makes a message due
    /// when it becomes true (PCIe 6.2 section 6.2.11.1).
    pub fn interrupt_event(&self) -> bool {
        self.status().interrupt_status() && self.control().interrupt_enable()
    }

    fn evaluate_interrupt(&mut self) {
        let event = self.interrupt_event();
        self.interrupt.evaluate(event);
    }
}

impl RegisterBlock for DpcExtendedCapability {
    type Register = DpcReg;

    fn file(&self) -> &RegisterFile<DpcReg> {
        &self.registers
    }

    fn file_mut(&mut self) -> &mut RegisterFile<DpcReg> {
        &mut self.registers
    }

    fn written(&mut self, change: Change<DpcReg>) {
        use DpcReg::*;
        match change.register {
            Control => {
                // The other fields of the same write count already (PCIe 6.2 section 7.9.14.3).
                if change.strobes != 0
                    && let Some(trigger) = self.contain(
                        DpcTriggerReason::EXTENSION,
                        DpcTriggerReasonExtension::SOFTWARE_TRIGGER,
                        None,
                    )
                {
                    self.event = Some(DpcEvent::Triggered(trigger));
                }
                self.evaluate_interrupt();
            }
            Status => {
                let trigger_status = DpcStatus::new().with_trigger_status(true);
                if change.fell() & u32::from(trigger_status.into_bits()) != 0 {
                    self.event = Some(DpcEvent::Released);
                }
                self.evaluate_interrupt();
            }
            // They matter when the next request fails.
            RpPioStatus | RpPioMask | RpPioSeverity | RpPioSysError | RpPioException => {}
            // Read-only.
            Header | Capability | ErrorSourceId | RpPioHeaderLog0 | RpPioHeaderLog1
            | RpPioHeaderLog2 | RpPioHeaderLog3 | RpPioImpspecLog => {}
        }
    }

    fn reset_registers(&mut self, kind: Reset) {
        self.registers.reset(kind);
        self.event = None;
        self.evaluate_interrupt();
    }

    fn changeable(&self, register: DpcReg) -> u32 {
        let extension = !matches!(
            register,
            DpcReg::Header
                | DpcReg::Capability
                | DpcReg::Control
                | DpcReg::Status
                | DpcReg::ErrorSourceId
        );
        if extension && !self.rp_extensions {
            0
        } else {
            saved_registers::with_sticky_logs(&self.registers, register)
        }
    }
}

impl ExtendedBlock for DpcExtendedCapability {}

impl SaveRestore for DpcExtendedCapability {
    type SavedState = saved_registers::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(saved_registers::save(self))
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        saved_registers::check(self, state)
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&state)?;
        saved_registers::restore(self, &state);
        self.event = None;
        let event = self.interrupt_event();
        self.interrupt.restore(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! Power Management (PCIe 6.2 section 7.5.2).
//!
//! Not emulated: the Data register; the owner carries out what a power state means (PCIe 6.2 section 5.3.1): a function below
//! D0 answers configuration requests only, and does not interrupt.

use super::block::LegacyBlock;
use super::block::RegisterBlock;
use super::saved_registers;
use crate::spec::caps::power_management::PowerManagementCapabilities;
use crate::spec::caps::power_management::PowerManagementControlStatus;
use crate::spec::caps::power_management::PowerManagementReg;
use crate::spec::caps::power_management::PowerState;
use inspect::Inspect;
use reg_table::Change;
use reg_table::RegisterFile;
use reg_table::Reset;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

/// PME Support of a function that signals from D3cold (PCIe 6.2 section 7.5.2.1).
const PME_FROM_D3COLD: u8 = 0b1_0000;

/// A change of the power state by software.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Inspect)]
pub struct PowerTransition {
    /// The state before.
    pub from: PowerState,
    /// The state now.
    pub to: PowerState,
    /// The function went from D3hot to D0 without No_Soft_Reset: the owner resets it to its uninitialised state, as a
    /// function-level reset does (PCIe 6.2 section 5.3.1.4.1).
    pub soft_reset: bool,
}

/// The Power Management capability.
///
/// ```
/// use pci_core::capabilities::{PciCapability, power_management::PowerManagementCapability};
/// use pci_core::spec::caps::power_management::{PowerManagementCapabilities, PowerState};
///
/// let mut pm = PowerManagementCapability::new(PowerManagementCapabilities::new(), true);
/// pm.write_u32(4, 0x3);
/// assert_eq!(pm.power_state(), PowerState::D3Hot);
/// assert_eq!(pm.take_transition().map(|transition| transition.soft_reset), Some(false));
/// ```
#[derive(Debug, Inspect)]
pub struct PowerManagementCapability {
    #[inspect(flatten)]
    registers: RegisterFile<PowerManagementReg>,
    /// What the owner has not been told yet.
    transition: Option<PowerTransition>,
    /// A PME message that the owner has not sent yet.
    pme_due: bool,
}

impl PowerManagementCapability {
    /// A capability with the optional features of `capabilities`, whose version is always 3. With `no_soft_reset`, the
    /// function keeps its state on the way from D3hot to D0.
    pub fn new(capabilities: PowerManagementCapabilities, no_soft_reset: bool) -> Self {
        let mut registers = RegisterFile::new(PowerManagementReg::CapabilityId);
        registers.init(
            PowerManagementReg::Capabilities,
            capabilities.with_version(3).into_bits(),
        );
        registers.init(
            PowerManagementReg::ControlStatus,
            PowerManagementControlStatus::new()
                .with_no_soft_reset(no_soft_reset)
                .into_bits(),
        );
        let pme = capabilities.pme_support() != 0;
        let writable = PowerManagementControlStatus::new()
            .with_power_state(PowerState::D3Hot)
            .with_pme_enable(pme)
            .with_pme_status(pme);
        registers.narrow(
            PowerManagementReg::ControlStatus,
            writable.into_bits().into(),
        );
        Self {
            registers,
            transition: None,
            pme_due: false,
        }
    }

    fn capabilities(&self) -> PowerManagementCapabilities {
        PowerManagementCapabilities::from_bits(
            self.registers.get16(PowerManagementReg::Capabilities),
        )
    }

    fn control_status(&self) -> PowerManagementControlStatus {
        PowerManagementControlStatus::from_bits(
            self.registers.get16(PowerManagementReg::ControlStatus),
        )
    }

    /// The power state that software chose.
    pub fn power_state(&self) -> PowerState {
        self.control_status().power_state()
    }

    /// What software did to the power state since the last call. Several changes are one, from the first state to the last.
    pub fn take_transition(&mut self) -> Option<PowerTransition> {
        self.transition.take()
    }

    /// Whether the function can send PME messages from the state it is in.
    pub fn supports_pme(&self) -> bool {
        self.capabilities().pme_support() & (1 << self.power_state().0) != 0
    }

    /// Whether software enabled PME messages.
    pub fn pme_enabled(&self) -> bool {
        self.control_status().pme_enable()
    }

    /// Whether software enabled the message and has not cleared its cause.
    fn pme_asserted(&self) -> bool {
        asserted(self.control_status())
    }

    /// The function wants to be woken, or noticed: sets PME_Status. True if a PME message is to be sent: the function can
    /// send it from this state, and software enabled it (PCIe 6.2 section 5.3.1.4). [`Self::take_pme`] says so as well.
    pub fn signal_pme(&mut self) -> bool {
        if !self.supports_pme() {
            return false;
        }
        let set = PowerManagementControlStatus::new().with_pme_status(true);
        let before = self
            .registers
            .update(PowerManagementReg::ControlStatus, |old| {
                old | u32::from(set.into_bits())
            });
        let due = self.pme_enabled() && before & u32::from(set.into_bits()) == 0;
        self.pme_due |= due;
        due
    }

    /// Whether a PME message is to be sent, once: the function signalled a PME that software enabled, or software enabled one that was
    /// signalled before.
    pub fn take_pme(&mut self) -> bool {
        std::mem::take(&mut self.pme_due)
    }

    /// What [`Self::take_pme`] would say.
    pub(crate) fn pme_is_due(&self) -> bool {
        self.pme_due
    }

    /// Makes the message due once more if software has not cleared its cause: it may have been lost on the way, as no function waits
    /// for ever (PCIe 6.2 section 5.3.3.3.1). True if it is due.
    pub fn retransmit_pme(&mut self) -> bool {
        self.pme_due = self.pme_asserted();
        self.pme_due
    }

    fn supports(&self, state: PowerState) -> bool {
        match state {
            PowerState::D1 => self.capabilities().d1_support(),
            PowerState::D2 => self.capabilities().d2_support(),
            _ => true,
        }
    }

    /// A state that is not there is not entered: the write is dropped (PCIe 6.2 section 7.5.2.2).
    fn control_written(&mut self, from: PowerState) {
        let control = self.control_status();
        let to = control.power_state();
        if !self.supports(to) {
            self.registers.set(
                PowerManagementReg::ControlStatus,
                control.with_power_state(from).into_bits(),
            );
        } else if from != to {
            let soft_reset =
                from == PowerState::D3Hot && to == PowerState::D0 && !control.no_soft_reset();
            let earlier = self.transition;
            self.transition = Some(PowerTransition {
                from: earlier.map_or(from, |earlier| earlier.from),
                to,
                soft_reset: soft_reset || earlier.is_some_and(|earlier| earlier.soft_reset),
            });
        }
    }
}

fn control_status(bits: u32) -> PowerManagementControlStatus {
    PowerManagementControlStatus::from_bits((bits & 0xffff) as u16)
}

fn asserted(control: PowerManagementControlStatus) -> bool {
    control.pme_status() && control.pme_enable()
}

impl RegisterBlock for PowerManagementCapability {
    type Register = PowerManagementReg;

    const LABEL: &'static str = "power-management";

    fn file(&self) -> &RegisterFile<PowerManagementReg> {
        &self.registers
    }

    fn file_mut(&mut self) -> &mut RegisterFile<PowerManagementReg> {
        &mut self.registers
    }

    fn written(&mut self, change: Change<PowerManagementReg>) {
        match change.register {
            PowerManagementReg::ControlStatus => {
                let before = control_status(change.old);
                self.control_written(before.power_state());
                let asserted_now = self.pme_asserted();
                self.pme_due = asserted_now && (self.pme_due || !asserted(before));
            }
            // Read-only.
            PowerManagementReg::CapabilityId
            | PowerManagementReg::NextPointer
            | PowerManagementReg::Capabilities
            | PowerManagementReg::BridgeExtensions
            | PowerManagementReg::Data => {}
        }
    }

    /// PME_En and PME_Status survive where the function can send from D3cold, and so has to remember them (PCIe 6.2 section 7.5.2.2).
    fn reset_registers(&mut self, kind: Reset) {
        let keeps_pme = self.capabilities().pme_support() & PME_FROM_D3COLD != 0;
        self.registers
            .reset(if keeps_pme { kind } else { Reset::Cold });
        self.transition = None;
        self.pme_due = false;
    }
}

impl LegacyBlock for PowerManagementCapability {}

impl SaveRestore for PowerManagementCapability {
    type SavedState = saved_registers::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(saved_registers::save(self))
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        saved_registers::check(self, state)?;
        let value = saved_registers::value(self, state, PowerManagementReg::ControlStatus);
        let power_state = control_status(value).power_state();
        if self.supports(power_state) {
            Ok(())
        } else {
            Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                "power management: the saved state is {power_state:?}, which the function does not have"
            )))
        }
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        self.check(&state)?;
        saved_registers::restore(self, &state);
        self.transition = None;
        // The message went out before the state was saved.
        self.pme_due = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::PciCapability;
    use chipset_device::pci::ByteEnables;

    fn with_d1_and_pme(no_soft_reset: bool) -> PowerManagementCapability {
        PowerManagementCapability::new(
            PowerManagementCapabilities::new()
                .with_d1_support(true)
                // D0 and D3hot.
                .with_pme_support(0b01001),
            no_soft_reset,
        )
    }

    #[test]
    fn a_way_through_the_states() {
        let mut pm = with_d1_and_pme(false);
        assert_eq!([pm.read_u32(0), pm.read_u32(4)], [0x4a03_0001, 0]);
        assert_eq!(pm.take_transition(), None);
        pm.write_u32(4, 1);
        let to_d1 = PowerTransition {
            from: PowerState::D0,
            to: PowerState::D1,
            soft_reset: false,
        };
        assert_eq!(
            (pm.take_transition(), pm.take_transition()),
            (Some(to_d1), None)
        );
        pm.write_u32(4, 2);
        assert_eq!(pm.power_state(), PowerState::D1, "there is no D2");
        assert_eq!(pm.take_transition(), None);
        pm.write_u32(4, 3);
        pm.write_u32(4, 0);
        let back = PowerTransition {
            from: PowerState::D1,
            to: PowerState::D0,
            soft_reset: true,
        };
        assert_eq!(pm.take_transition(), Some(back), "by way of D3hot");
    }

    #[test]
    fn no_soft_reset_keeps_the_function_as_it_is() {
        let mut pm = with_d1_and_pme(true);
        assert_eq!(pm.read_u32(4), 0x8);
        pm.write_u32(4, 3);
        pm.write_u32(4, 0);
        assert_eq!(pm.take_transition().map(|t| t.soft_reset), Some(false));
    }

    #[test]
    fn one_message_a_pme() {
        let mut pm = with_d1_and_pme(false);
        assert!(!pm.signal_pme(), "not enabled");
        assert_eq!(pm.read_u32(4), 0x8000);
        pm.write_bytes(4, 0xffff, ByteEnables::new(0b0001).unwrap());
        assert_eq!(pm.read_u32(4), 0x8003, "status is in the other byte");
        pm.write_u32(4, 0x8103);
        assert_eq!(pm.read_u32(4), 0x0103);
        assert!(pm.signal_pme());
        assert!(!pm.signal_pme(), "already pending");
        pm.write_u32(4, 0x8101);
        assert!(!pm.signal_pme(), "no PME from D1");
        assert_eq!(pm.read_u32(4), 0x0101);
    }

    #[test]
    fn a_message_is_taken_once_and_comes_late_where_it_was_enabled_late() {
        let mut pm = with_d1_and_pme(false);
        pm.signal_pme();
        assert!(!pm.take_pme(), "not enabled");
        pm.write_u32(4, 0x0100);
        assert!(pm.take_pme(), "status was there before the enable");
        assert!(!pm.take_pme());
        assert!(pm.retransmit_pme() && pm.take_pme(), "nobody cleared it");
        pm.write_u32(4, 0x0103);
        assert!(!pm.take_pme(), "another power state is no other event");
        pm.write_u32(4, 0x8103);
        assert!(!pm.retransmit_pme());
        pm.signal_pme();
        pm.write_u32(4, 0x8103);
        assert!(!pm.take_pme(), "cleared before it was sent");
    }

    #[test]
    fn pme_bits_survive_a_reset_where_d3cold_needs_them_and_a_function_without_pme_has_none() {
        let from_d3cold = PowerManagementCapabilities::new().with_pme_support(0b11001);
        let mut pm = PowerManagementCapability::new(from_d3cold, false);
        for kind in [Reset::Hot, Reset::FunctionLevel] {
            pm.write_u32(4, 0x0103);
            pm.signal_pme();
            pm.reset_by(kind);
            assert_eq!(pm.read_u32(4), 0x8100, "{kind:?}");
        }
        pm.reset_by(Reset::Cold);
        assert_eq!(pm.read_u32(4), 0);
        for kind in [Reset::Hot, Reset::FunctionLevel, Reset::Cold] {
            let mut pm = with_d1_and_pme(false);
            pm.write_u32(4, 0x0103);
            assert!(pm.signal_pme());
            pm.reset_by(kind);
            assert_eq!((pm.read_u32(4), pm.take_pme()), (0, false), "{kind:?}");
        }
        let mut pm = PowerManagementCapability::new(PowerManagementCapabilities::new(), true);
        pm.write_u32(4, u32::MAX);
        assert_eq!(pm.read_u32(4), 0xb);
        assert!(!pm.signal_pme());
    }

    #[test]
    fn a_state_that_is_not_there_is_refused() {
        let mut source = with_d1_and_pme(true);
        source.write_u32(4, 0x101);
        let mut target = PowerManagementCapability::new(PowerManagementCapabilities::new(), true);
        target.write_u32(4, 3);
        assert!(target.restore(source.save().unwrap()).is_err());
        assert_eq!(target.read_u32(4), 0xb);
        let mut target = with_d1_and_pme(true);
        target.restore(source.save().unwrap()).unwrap();
        assert_eq!(
            (target.read_u32(4), target.take_transition()),
            (0x109, None)
        );
    }
}

//! Power management events at a root port or an event collector (PCIe 6.2 section 6.1.6): Root Status shows one requester at a time, the
//! others wait their turn.

use super::PciExpressCapability;
use super::machine::Cause;
use super::machine::Machine;
use crate::spec::Bdf;
use crate::spec::caps::pci_express::PciExpressReg;
use crate::spec::caps::pci_express::RootControl;
use crate::spec::caps::pci_express::RootStatus;
use crate::spec::errors::ErrorMessage;
use vmcore::interrupt::Interrupt;

impl PciExpressCapability {
    /// Delivers power management events through `interrupt`, which may be that of [`Self::set_hot_plug_interrupt`].
    pub fn set_pme_interrupt(&mut self, interrupt: Interrupt) {
        self.machine.get_mut().pme.interrupt = Some(interrupt);
    }

    /// Takes a PM_PME message of `requester`: shows it in Root Status, or lets it wait while another is shown (PCIe 6.2 section
    /// 7.5.3.14). A requester waits once, however often it sends, so what waits is bounded.
    pub fn receive_pme(&self, requester: Bdf) {
        self.act(Cause::Hardware, |machine| {
            if !machine.pending_pmes.contains(&requester) {
                machine.pending_pmes.push_back(requester);
            }
            self.show_pme(machine);
        });
    }

    /// The requesters that wait behind the one that Root Status shows, longest first.
    pub fn pending_pmes(&self) -> Vec<Bdf> {
        self.machine.lock().pending_pmes.iter().copied().collect()
    }

    /// Whether Root Status shows a power management event that software wants to be interrupted for.
    pub fn pme_event(&self) -> bool {
        self.root_status().pme_status() && self.root_control().pme_interrupt_enable()
    }

    /// Whether software asked for a system error when a message like this arrives (PCIe 6.2 section 7.5.3.12).
    pub fn system_error_enabled(&self, message: ErrorMessage) -> bool {
        let control = self.root_control();
        match message {
            ErrorMessage::Correctable => control.system_error_on_correctable_error_enable(),
            ErrorMessage::NonFatal => control.system_error_on_non_fatal_error_enable(),
            ErrorMessage::Fatal => control.system_error_on_fatal_error_enable(),
        }
    }

    /// Root Control as of now.
    pub fn root_control(&self) -> RootControl {
        RootControl::from_bits(self.registers.get16(PciExpressReg::RootControl))
    }

    /// Root Status as of now.
    pub fn root_status(&self) -> RootStatus {
        RootStatus::from_bits(self.registers.get(PciExpressReg::RootStatus))
    }

    /// The guest may have cleared PME Status: the next one shows.
    pub(super) fn root_status_written(&self) {
        self.act(Cause::Guest, |machine| self.show_pme(machine));
    }

    pub(super) fn show_pme(&self, machine: &mut Machine) {
        let mut status = self.root_status();
        if !status.pme_status()
            && let Some(next) = machine.pending_pmes.pop_front()
        {
            status = status
                .with_pme_status(true)
                .with_pme_requester_id(next.bits().into());
        }
        let status = status.with_pme_pending(!machine.pending_pmes.is_empty());
        self.registers
            .set(PciExpressReg::RootStatus, status.into_bits());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::PciCapability;
    use crate::spec::caps::pci_express::DevicePortType;
    use reg_table::Reset;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;
    use vmcore::save_restore::SaveRestore;

    const ROOT_CONTROL: u16 = 0x1c;
    const ROOT_STATUS: u16 = 0x20;
    const CLEAR: u32 = 1 << 16;
    const A: Bdf = Bdf::from_bits(0x0100);
    const B: Bdf = Bdf::from_bits(0x0201);

    fn port() -> (PciExpressCapability, Arc<AtomicU32>) {
        let mut port = PciExpressCapability::new(DevicePortType::RootPort, None);
        let sent = Arc::new(AtomicU32::new(0));
        let count = sent.clone();
        port.set_pme_interrupt(Interrupt::from_fn(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        (port, sent)
    }

    #[test]
    fn one_shows_and_others_wait_their_turn_once_each() {
        let (mut port, sent) = port();
        port.write_u32(ROOT_CONTROL, 8);
        for requester in [A, B, B, A, B] {
            port.receive_pme(requester);
        }
        assert_eq!(port.read_u32(ROOT_STATUS), 0x3_0100);
        assert_eq!(port.pending_pmes(), [B, A]);
        assert_eq!(sent.load(Ordering::Relaxed), 1);
        port.write_u32(ROOT_STATUS, CLEAR);
        assert_eq!(port.read_u32(ROOT_STATUS), 0x3_0201);
        port.write_u32(ROOT_STATUS, CLEAR);
        assert_eq!(port.read_u32(ROOT_STATUS), 0x1_0100);
        assert_eq!(
            sent.load(Ordering::Relaxed),
            3,
            "each that shows interrupts"
        );
        port.write_u32(ROOT_STATUS, 0xffff);
        assert_eq!(port.read_u32(ROOT_STATUS), 0x1_0100, "nothing was cleared");
        port.write_u32(ROOT_STATUS, CLEAR);
        assert_eq!(port.read_u32(ROOT_STATUS) >> 16, 0);
        assert_eq!(sent.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn an_interrupt_enabled_late_comes_late() {
        let (mut port, sent) = port();
        port.receive_pme(A);
        assert_eq!(sent.load(Ordering::Relaxed), 0);
        port.write_u32(ROOT_CONTROL, 8);
        assert_eq!(sent.load(Ordering::Relaxed), 1);
        port.write_u32(ROOT_CONTROL, 0);
        port.write_u32(ROOT_CONTROL, 8);
        assert_eq!(sent.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_waits_is_saved_and_a_reset_forgets_it() {
        let (mut source, _) = port();
        source.write_u32(ROOT_CONTROL, 8);
        for requester in [A, B] {
            source.receive_pme(requester);
        }
        let (mut target, sent) = port();
        target.restore(source.save().unwrap()).unwrap();
        assert_eq!(target.read_u32(ROOT_STATUS), 0x3_0100);
        assert_eq!(sent.load(Ordering::Relaxed), 0, "sent before it was saved");
        target.write_u32(ROOT_STATUS, CLEAR);
        assert_eq!(target.read_u32(ROOT_STATUS), 0x1_0201);
        assert_eq!(sent.load(Ordering::Relaxed), 1);
        source.reset_by(Reset::Hot);
        assert_eq!(
            (source.read_u32(ROOT_STATUS), source.pending_pmes()),
            (0, vec![])
        );
    }
}

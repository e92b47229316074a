//! Power management of a port (PCIe 6.2 section 5.3): what its power state means for what is below and for its slot, and the events it
//! signals itself.

use super::PcieDownstreamPort;
use pci_bus::events::EventKind;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::capabilities::power_management::PowerManagementCapability;
use pci_core::cfg_space_emu::Effects;
use pci_core::spec::caps::power_management::PowerState;

impl PcieDownstreamPort {
    /// What a write to Power Management leads to.
    pub(super) fn follow_power(&mut self, effects: &Effects) {
        if effects.power_state {
            let state = self.cfg_space.power_state();
            self.station.log(EventKind::PowerState(state), "");
        }
        if effects.pme {
            self.station.announce();
        }
        let asleep = self.is_asleep();
        if let Some(pcie) = self.pci_express() {
            pcie.set_asleep(asleep);
        }
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.cfg_space.power_state() != PowerState::D0
    }

    /// A slot event came while the port was below D0.
    pub(super) fn slot_woke(&mut self) {
        let power = self.cfg_space.power_management();
        if power.is_some_and(PowerManagementCapability::pme_enabled) {
            self.wake("slot");
        }
    }

    /// Signals a power management event of the port. False if it cannot.
    pub(super) fn wake(&mut self, cause: &'static str) -> bool {
        let signalled = self.cfg_space.signal_pme();
        if signalled {
            self.station.log(EventKind::Wake, cause);
            self.station.announce();
        }
        signalled
    }

    /// The way up is open again: the port and what is below send what may have been lost.
    pub(crate) fn retransmit_pme(&mut self) {
        self.cfg_space.retransmit_pme();
        self.retransmit_pme_below();
    }

    /// The link came up: what is below sends what may have been lost.
    pub(super) fn retransmit_pme_below(&mut self) {
        if self.has_link()
            && let Some(device) = self.managed()
        {
            device.retransmit_pme();
            self.station.announce();
        }
    }

    /// Whether the link is up, whatever the power state of the port.
    pub(super) fn has_link(&self) -> bool {
        self.pci_express()
            .is_none_or(PciExpressCapability::downstream_reachable)
    }
}

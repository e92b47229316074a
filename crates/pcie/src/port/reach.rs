//! Whether what is below a port can be reached, and what resets it (PCIe 6.2 section 6.6.1).
//!
//! A device that cannot answer is taken out of [`PcieDownstreamPort::link`]: routing looks nowhere else, and has nothing to check on
//! the way. Each input to the port ends in [`PcieDownstreamPort::follow`], which puts the device where it belongs.

use super::Attached;
use super::FUNCTIONS_OF_A_DEVICE;
use super::FUNCTIONS_WITH_ARI;
use super::PcieDownstreamPort;
use chipset_device::io::IoError;
use chipset_device::pci::ByteEnables;
use pci_bus::LinkEnd;
use pci_bus::ManagedDevice;
use pci_bus::events::EventKind;
use pci_core::capabilities::pci_express::LinkRate;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::capabilities::pci_express::PortEvents;
use pci_core::cfg_space_emu::Effects;
use pci_core::spec::caps::power_management::PowerState;
use reg_table::Reset;

impl PcieDownstreamPort {
    /// Writes the enabled bytes of the port's own configuration space, and does what follows below.
    pub(crate) fn write(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Result<Effects, IoError> {
        let buses = self.bus_range().bus_range();
        let mut effects = self.cfg_space.write_bytes(offset, value, enables)?;
        self.follow_messages();
        if effects.bridge_control {
            let held = self.cfg_space.secondary_bus_reset();
            if let Some(pcie) = self.pci_express() {
                pcie.hold_in_reset(held);
            }
        }
        if effects.function_reset {
            self.reset_registers(Reset::FunctionLevel);
            (effects.bus_numbers, effects.windows) = (true, true);
        }
        if effects.bus_numbers {
            self.renumbered(buses);
        }
        if effects.power_state || effects.pme {
            self.follow_power(&effects);
        }
        if self.has_containment {
            self.follow_containment();
        }
        self.follow();
        if effects.command
            || effects.bars
            || effects.windows
            || effects.bridge_control
            || effects.power_state
        {
            self.hand_down();
        }
        Ok(effects)
    }

    /// Resets the port and the device behind it.
    pub(crate) fn reset(&mut self, kind: Reset) {
        self.reset_registers(kind);
        if let Some(device) = self.managed() {
            device.reset(kind);
        }
        self.train();
        self.ignore_events();
    }

    fn reset_registers(&mut self, kind: Reset) {
        self.cfg_space.reset_by(kind);
        if let Some(registers) = &mut self.cxl_component_registers {
            registers.reset_by(kind);
        }
        self.own.reset(kind);
        self.begin_link();
    }

    /// What Bridge Control and containment say of the link after a reset or a restore.
    pub(super) fn begin_link(&mut self) {
        self.begin_messages();
        let held = self.cfg_space.secondary_bus_reset();
        if let Some(pcie) = self.pci_express() {
            pcie.assume_held_in_reset(held);
            pcie.begin_contained(self.cfg_space.dpc().is_some_and(|dpc| dpc.contained()));
            pcie.assume_asleep(self.is_asleep());
        }
    }

    /// Resets what was at a link that went down, or lost its power, and makes the device reachable or not.
    pub(super) fn follow(&mut self) {
        let events = self
            .pci_express()
            .map(PciExpressCapability::take_events)
            .unwrap_or_default();
        if !events.is_empty() {
            self.log_events(&events);
        }
        if events.power_changed {
            self.reset_below(Reset::Cold, "slot power");
        } else if events.link_went_down {
            self.reset_below(Reset::Hot, "link went down");
        }
        if events.link_came_up || events.link_rate_changed {
            self.train();
        }
        self.reach();
        if events.link_came_up {
            self.retransmit_pme_below();
        }
        if events.woke {
            self.slot_woke();
        }
        if events.surprise_down {
            self.surprise_down();
        }
    }

    /// Tells the device what the link trained to.
    pub(super) fn train(&mut self) {
        let agreed = self
            .pci_express()
            .and_then(PciExpressCapability::negotiated_link);
        if let (Some(LinkRate { speed, width }), Some(device)) = (agreed, self.managed()) {
            device.link_trained(LinkEnd { speed, width });
        }
    }

    /// Makes the device reachable or not, whatever led to it: as after a reset or a restore, which it had its part in.
    pub(super) fn ignore_events(&mut self) {
        if let Some(pcie) = self.pci_express() {
            pcie.take_events();
        }
        self.reach();
        self.hand_down();
    }

    /// Puts the device where it belongs, and tells those who wait for it.
    fn reach(&mut self) {
        let passes = self.passes_requests();
        self.functions_reached = match self.pci_express() {
            Some(pcie) if pcie.ari_forwarding_enabled() => FUNCTIONS_WITH_ARI,
            Some(_) | None => FUNCTIONS_OF_A_DEVICE,
        };
        // A device is asked only when nothing else keeps the request from it.
        let reachable = passes && self.managed().is_none_or(|device| device.is_ready());
        self.unready = passes && !reachable && self.attached().is_some();
        if reachable && self.cut_off.is_some() {
            self.link = self.cut_off.take();
            self.hand_down();
        } else if !reachable && self.link.is_some() {
            self.cut_off = self.link.take();
            self.hand_down();
        }
        self.update_intx();
        self.settle_goals();
    }

    /// Whether requests get as far as the device. Below D0, a bridge forwards nothing downstream (PCIe 6.2 section 5.3.1.4).
    fn passes_requests(&self) -> bool {
        self.cfg_space.power_state() == PowerState::D0 && self.has_link()
    }

    /// The device that a request is for and that does not answer, in case it became ready since it was asked last.
    #[cold]
    #[inline(never)]
    pub(super) fn ready_device(&mut self) -> Option<&mut Attached> {
        if self.unready {
            self.reach();
        }
        if self.link.is_none() {
            return self.unanswered();
        }
        self.link.as_mut()
    }

    /// Whether a request for `bus`, on which nobody answered, was for a device that is not ready yet.
    pub(crate) fn awaits_device(&mut self, bus: u8) -> bool {
        self.unready
            || self
                .managed()
                .is_some_and(|device| device.awaits_device(bus))
    }

    /// The device behind the port, if its lifecycle is the port's, whether or not it can answer.
    pub(super) fn managed(&mut self) -> Option<&mut dyn ManagedDevice> {
        let (_, device) = self.link.as_mut().or(self.cut_off.as_mut())?;
        device.managed()
    }

    fn reset_below(&mut self, kind: Reset, cause: &'static str) {
        if self.attached().is_some() {
            self.station.counters.resets_below += 1;
            self.station.log(EventKind::Reset(kind), cause);
        }
        if let Some(device) = self.managed() {
            device.reset(kind);
        }
    }

    fn renumbered(&self, before: (u8, u8)) {
        let (secondary, subordinate) = self.bus_range().bus_range();
        if (secondary, subordinate) != before {
            let kind = EventKind::BusesRenumbered {
                secondary,
                subordinate,
            };
            self.station.log(kind, "");
        }
    }

    /// Logs what happened to slot and link.
    fn log_events(&self, events: &PortEvents) {
        let Some(pcie) = self.pci_express() else {
            return;
        };
        if events.attention_button {
            self.station.log(EventKind::AttentionButton, "");
        }
        if events.power_changed {
            let on = pcie.slot_powered();
            let kind = if on {
                EventKind::PowerOn
            } else {
                EventKind::PowerOff
            };
            self.station.log(kind, "");
        }
        if events.link_went_down {
            let kind = if pcie.link_disabled() {
                EventKind::LinkDisabled
            } else {
                EventKind::LinkDown
            };
            self.station.log(kind, "");
        }
        let Some(LinkRate { speed, width }) = pcie.negotiated_link() else {
            return;
        };
        if events.link_came_up {
            self.station.log(EventKind::LinkUp { speed, width }, "");
        } else if events.link_rate_changed {
            self.station
                .log(EventKind::LinkRetrained { speed, width }, "");
        }
    }
}

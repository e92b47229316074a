//! Whether what is below a port can be reached, and what resets it (PCIe 6.2 section 6.6.1).
//!
//! A device that cannot answer is taken out of [`PcieDownstreamPort::link`]: routing looks nowhere else, and has nothing to check on
//! the way. Each input to the port ends in [`PcieDownstreamPort::follow`], which puts the device where it belongs.

use super::PcieDownstreamPort;
use chipset_device::io::IoError;
use chipset_device::pci::ByteEnables;
use pci_bus::LinkEnd;
use pci_bus::ManagedDevice;
use pci_core::capabilities::pci_express::LinkRate;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::cfg_space_emu::Effects;
use reg_table::Reset;

impl PcieDownstreamPort {
    /// Writes the enabled bytes of the port's own configuration space, and does what follows below.
    pub(crate) fn write(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Result<Effects, IoError> {
        let was_held = self.cfg_space.secondary_bus_reset();
        let effects = self.cfg_space.write_bytes(offset, value, enables)?;
        if !was_held && self.cfg_space.secondary_bus_reset() {
            self.reset_below(Reset::Hot);
        }
        self.follow();
        if effects.command || effects.windows || effects.bridge_control {
            self.hand_down();
        }
        Ok(effects)
    }

    /// Resets the port and the device behind it.
    pub(crate) fn reset(&mut self, kind: Reset) {
        self.cfg_space.reset_by(kind);
        if let Some(registers) = &mut self.cxl_component_registers {
            registers.reset_by(kind);
        }
        self.reset_below(kind);
        self.train();
        self.ignore_events();
    }

    /// Resets what was at a link that went down, or lost its power, and makes the device reachable or not.
    pub(super) fn follow(&mut self) {
        let events = self
            .pci_express()
            .map(PciExpressCapability::take_events)
            .unwrap_or_default();
        if events.power_changed {
            self.reset_below(Reset::Cold);
        } else if events.link_went_down {
            self.reset_below(Reset::Hot);
        }
        if events.link_came_up || events.link_rate_changed {
            self.train();
        }
        self.reach();
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

    fn reach(&mut self) {
        let reachable = !self.cfg_space.secondary_bus_reset()
            && self
                .pci_express()
                .is_none_or(PciExpressCapability::downstream_reachable);
        if reachable && self.cut_off.is_some() {
            self.link = self.cut_off.take();
            self.hand_down();
        } else if !reachable && self.link.is_some() {
            self.cut_off = self.link.take();
            self.hand_down();
        }
        self.update_intx();
    }

    /// The device behind the port, if its lifecycle is the port's, whether or not it can answer.
    pub(super) fn managed(&mut self) -> Option<&mut dyn ManagedDevice> {
        let (_, device) = self.link.as_mut().or(self.cut_off.as_mut())?;
        device.managed()
    }

    fn reset_below(&mut self, kind: Reset) {
        if let Some(device) = self.managed() {
            device.reset(kind);
        }
    }
}

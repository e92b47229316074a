//! Devices that come and go at a port, and what an operator does to its slot.

use super::Attached;
use super::PcieDownstreamPort;
use anyhow::Context as _;
use pci_bus::Acknowledgement;
use pci_bus::Fabric;
use pci_bus::GenericPciBusDevice;
use pci_bus::HotPlugPort;
use pci_bus::LinkEnd;
use pci_bus::SlotGoal;
use pci_bus::events::EventKind;
use pci_core::capabilities::pci_express::LinkRate;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::capabilities::pci_express::SlotError;

impl PcieDownstreamPort {
    /// Whether the port has a hot-plug slot.
    pub(crate) fn is_hot_plug_capable(&self) -> bool {
        self.pci_express()
            .is_some_and(|pcie| pcie.slot_capabilities().hot_plug_capable())
    }

    /// The device behind the port, whether or not it can answer.
    pub(crate) fn attached(&self) -> Option<&Attached> {
        self.link.as_ref().or(self.cut_off.as_ref())
    }

    /// Attaches a device before the guest runs.
    ///
    /// # Errors
    ///
    /// - `port_name` is not this port's name;
    /// - a device is attached already.
    pub(crate) fn add_pcie_device(
        &mut self,
        port_name: &str,
        device_name: &str,
        device: Box<dyn GenericPciBusDevice>,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(
            port_name == self.name,
            "device '{device_name}' is for port '{port_name}'; this is '{}'",
            self.name
        );
        self.ensure_vacant(device_name)?;
        self.link = Some((device_name.into(), device));
        let card = self.card();
        if let Some(pcie) = self.pci_express() {
            pcie.begin_with_card(card);
        }
        self.introduce();
        self.arrived();
        Ok(())
    }

    fn ensure_vacant(&self, device_name: &str) -> anyhow::Result<()> {
        if let Some((existing, _)) = self.attached() {
            anyhow::bail!(
                "port '{}' is occupied by '{existing}'; '{device_name}' cannot be attached",
                self.name
            );
        }
        Ok(())
    }

    fn ensure_hot_plug_capable(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.is_hot_plug_capable(),
            "port '{}' is not hot-plug capable",
            self.name
        );
        Ok(())
    }

    fn ensure_occupied(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.attached().is_some(), "port '{}' is empty", self.name);
        Ok(())
    }

    /// Attaches a device while the guest runs, and tells it so.
    ///
    /// # Errors
    ///
    /// - the port has no hot-plug slot;
    /// - a device is attached already.
    pub(crate) fn hotplug_add_device(
        &mut self,
        device_name: &str,
        device: Box<dyn GenericPciBusDevice>,
    ) -> anyhow::Result<()> {
        self.ensure_hot_plug_capable()?;
        self.ensure_vacant(device_name)?;
        // Not reachable before the link is up.
        self.cut_off = Some((device_name.into(), device));
        let card = self.card();
        self.follow_messages();
        let events = self.pci_express().map(|pcie| {
            pcie.insert_card(card);
            pcie.take_events()
        });
        self.introduce();
        self.station.counters.plugged += 1;
        self.station.log(EventKind::Plugged, device_name.to_owned());
        let came_up = self.pci_express().and_then(|pcie| pcie.negotiated_link());
        if let Some(LinkRate { speed, width }) = came_up {
            self.station.log(EventKind::LinkUp { speed, width }, "");
        }
        self.arrived();
        if events.is_some_and(|events| events.woke) {
            self.slot_woke();
        }
        Ok(())
    }

    /// Makes the device part of the fabric. What is there from the beginning is no event.
    fn introduce(&mut self) {
        let Some((name, _)) = self.attached() else {
            return;
        };
        let name = name.clone();
        let fabric = self.station.fabric().clone();
        if let Some(device) = self.managed() {
            device.joined(&fabric, &name);
        }
    }

    /// Makes the port, and all below it, part of a fabric.
    pub(crate) fn join(&mut self, fabric: &Fabric) {
        self.station.join(fabric);
        let name = self.attached().map(|(name, _)| name.clone());
        if let (Some(name), Some(device)) = (name, self.managed()) {
            device.joined(fabric, &name);
        }
    }

    /// What the device's end of the link can do.
    fn card(&mut self) -> LinkRate {
        let end = self.managed().and_then(|device| device.link());
        end.map_or(LinkRate::MAX, |LinkEnd { speed, width }| LinkRate {
            speed,
            width,
        })
    }

    /// The device comes as it is: what happened at the link before does not reset it. It hears what its link trained to.
    fn arrived(&mut self) {
        self.train();
        self.ignore_events();
        self.admit();
    }

    /// Takes the device away while the guest runs, and tells it so.
    ///
    /// # Errors
    ///
    /// - the port has no hot-plug slot;
    /// - no device is attached;
    /// - the electromechanical interlock holds it.
    pub(crate) fn hotplug_remove_device(&mut self) -> anyhow::Result<()> {
        self.ensure_hot_plug_capable()?;
        self.ensure_occupied()?;
        let kind = if self.removal_is_orderly() {
            EventKind::Unplugged
        } else {
            EventKind::SurpriseRemoval
        };
        let device = self.attached().map(|(name, _)| name.to_string());
        self.operate(PciExpressCapability::remove_card)?;
        self.station.counters.unplugged += 1;
        self.station.log(kind, device.unwrap_or_default());
        self.link = None;
        self.cut_off = None;
        self.unready = false;
        self.abandon_goals();
        Ok(())
    }

    /// Does something to the slot, and what follows of it below.
    fn operate(
        &mut self,
        input: impl FnOnce(&PciExpressCapability) -> Result<(), SlotError>,
    ) -> anyhow::Result<()> {
        self.follow_messages();
        let result = self.pci_express().map_or(Ok(()), input);
        self.follow();
        result.with_context(|| format!("port '{}'", self.name))
    }

    /// The port of this name: this one, or one below it.
    pub(crate) fn find_port(&mut self, name: &str) -> Option<&mut dyn HotPlugPort> {
        if self.name == name {
            return Some(self);
        }
        self.managed()?.port(name)
    }
}

impl HotPlugPort for PcieDownstreamPort {
    fn hotplug_add_device(
        &mut self,
        device_name: &str,
        device: Box<dyn GenericPciBusDevice>,
    ) -> anyhow::Result<()> {
        self.hotplug_add_device(device_name, device)
    }

    fn hotplug_remove_device(&mut self) -> anyhow::Result<()> {
        self.hotplug_remove_device()
    }

    fn press_attention_button(&mut self) -> anyhow::Result<()> {
        self.operate(PciExpressCapability::press_attention_button)
    }

    fn request_removal(&mut self) -> anyhow::Result<()> {
        self.ensure_occupied()?;
        self.press_attention_button()
    }

    fn removal_permitted(&self) -> bool {
        self.pci_express()
            .is_none_or(PciExpressCapability::removal_permitted)
    }

    fn acknowledgement(&mut self, goal: SlotGoal) -> anyhow::Result<Acknowledgement> {
        self.ensure_hot_plug_capable()?;
        self.ensure_occupied()?;
        Ok(self.add_goal(goal))
    }

    fn set_mrl(&mut self, open: bool) -> anyhow::Result<()> {
        self.operate(|pcie| pcie.set_mrl(open))
    }

    fn power_fault(&mut self) -> anyhow::Result<()> {
        self.operate(PciExpressCapability::power_fault)?;
        self.station.log(EventKind::PowerFault, "");
        Ok(())
    }
}

//! What a port lets through, and its INTx: handed down to the device behind it whenever it changes, so that no access asks for it.

use super::PcieDownstreamPort;
use crate::claims::Claims;
use chipset_device::io::IoResult;
use pci_bus::AddressRanges;
use pci_bus::IntxLines;
use pci_bus::Upstream;
use pci_core::PciInterruptPin;
use pci_core::bar_mapping::BarMappings;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use pci_core::cfg_space_emu::IntxInterrupt;
use std::sync::Arc;
use vmcore::line_interrupt::LineInterrupt;

/// A port's INTx pin, and the wires that it and what is below it end at.
pub(crate) struct PortIntx {
    own: Option<(PciInterruptPin, Arc<IntxInterrupt>)>,
    wires: Option<IntxLines>,
}

impl PortIntx {
    /// Gives a port's configuration space its pin, if it has one. It ends nowhere as yet.
    pub(crate) fn new(
        cfg_space: &mut ConfigSpaceType1Emulator,
        pin: Option<PciInterruptPin>,
    ) -> Self {
        Self {
            own: pin.map(|pin| {
                let line = LineInterrupt::detached();
                (pin, cfg_space.set_interrupt_pin(pin, line))
            }),
            wires: None,
        }
    }

    /// The port, and what is below it, end at `wires` from now on.
    pub(crate) fn wire(&mut self, port: &str, wires: &IntxLines) {
        if let Some((pin, intx)) = &self.own {
            intx.wire(wires.line(port, *pin));
        }
        self.wires = Some(wires.clone());
    }

    /// Raises or lowers the pin. A port without one has nothing to do.
    fn set_level(&self, high: bool) {
        if let Some((_, intx)) = &self.own
            && intx.is_raised() != high
        {
            intx.set_level(high);
        }
    }
}

impl PcieDownstreamPort {
    /// The bridges above let `upstream` through from now on.
    pub(crate) fn set_upstream(&mut self, upstream: &Upstream) {
        self.cfg_space.set_upstream(upstream);
        self.follow_messages();
        self.hand_down();
    }

    /// Tells the device what comes through to it, if that changed. Through a link that is down comes nothing.
    pub(super) fn hand_down(&mut self) {
        self.claims_changed.set();
        let below = self.lets_through();
        if below != self.below {
            self.below = below;
            self.tell();
        }
    }

    /// The addresses that the port takes: those of its BARs and its expansion ROM, and those that come through to the device.
    pub(crate) fn claims(&self) -> Claims {
        let with = |below: &AddressRanges, own: &BarMappings| {
            let own = own.iter();
            let own =
                own.map(|bar| bar.base_address..=bar.base_address.saturating_add(bar.len - 1));
            below.iter().cloned().chain(own).collect()
        };
        Claims {
            memory: with(&self.below.memory, self.cfg_space.bar_mappings()),
            io: with(&self.below.io, self.cfg_space.io_bar_mappings()),
        }
    }

    fn lets_through(&self) -> Upstream {
        match self.link {
            Some(_) => self.cfg_space.downstream(),
            None => Upstream::closed(),
        }
    }

    fn tell(&mut self) {
        let below = self.below.clone();
        if let Some(device) = self.managed() {
            device.upstream_changed(&below);
        }
    }

    /// A device was attached: it hears for the first time what comes through to it.
    pub(super) fn admit(&mut self) {
        self.claims_changed.set();
        self.below = self.lets_through();
        self.tell();
        if let Some(wires) = self.intx.wires.clone()
            && let Some(device) = self.managed()
        {
            device.wire_intx(&wires);
        }
    }

    /// INTx of the port, and of all below it, ends at `wires` from now on. A link has one device, number 0, whose pins keep their
    /// names.
    pub(crate) fn wire_intx(&mut self, wires: &IntxLines) {
        self.intx.wire(&self.name, wires);
        if let Some(device) = self.managed() {
            device.wire_intx(wires);
        }
    }

    /// Makes INTx follow the port's events, as long as the guest uses neither MSI nor MSI-X (PCIe 6.2 section 6.7.3.4).
    pub(super) fn update_intx(&self) {
        self.intx
            .set_level(self.has_event() && !self.sends_messages());
    }

    /// Whether an event is pending that the guest wants to be interrupted for. Below D0, slot and link have none: they signal power
    /// management events instead.
    fn has_event(&self) -> bool {
        let awake = !self.is_asleep();
        self.pci_express().is_some_and(|pcie| {
            awake && (pcie.hot_plug_event() || pcie.link_bandwidth_event()) || pcie.pme_event()
        }) || self.cfg_space.aer().is_some_and(|aer| aer.error_event())
            || self
                .cfg_space
                .dpc()
                .is_some_and(|dpc| dpc.interrupt_event())
    }

    /// Whether the guest uses messages.
    fn sends_messages(&self) -> bool {
        self.msi_enabled() || self.msix_enabled()
    }

    fn msi_enabled(&self) -> bool {
        let mut capabilities = self.cfg_space.capabilities().iter();
        let msi = capabilities.find_map(|capability| capability.as_msi_cap());
        msi.is_some_and(|msi| msi.enabled())
    }

    fn msix_enabled(&self) -> bool {
        self.bar.as_ref().is_some_and(|bar| bar.msix_enabled())
    }

    /// Whether a message of the port would be lost. What Bus Master Enable keeps back of MSI-X is pending there.
    fn holds_messages(&self) -> bool {
        let msi = self.msi_enabled() && self.cfg_space.messages_pass();
        !(msi || self.msix_enabled())
    }

    /// The guest may have turned to messages, or may let them out again: what is pending then interrupts.
    pub(super) fn follow_messages(&mut self) {
        let held = self.holds_messages();
        if let Some(pcie) = self.pci_express() {
            pcie.set_messages_held(held);
        }
        if let Some(aer) = self.cfg_space.aer_mut() {
            aer.set_messages_held(held);
        }
        if let Some(dpc) = self.cfg_space.dpc_mut() {
            dpc.set_messages_held(held);
        }
    }

    /// As [`Self::follow_messages`], after a reset or a restore: nothing interrupts.
    pub(super) fn begin_messages(&mut self) {
        let held = self.holds_messages();
        if let Some(pcie) = self.pci_express() {
            pcie.assume_messages_held(held);
        }
        if let Some(aer) = self.cfg_space.aer_mut() {
            aer.assume_messages_held(held);
        }
        if let Some(dpc) = self.cfg_space.dpc_mut() {
            dpc.assume_messages_held(held);
        }
    }

    /// Reads from I/O ports that a BAR of the port or a device below claims.
    pub(crate) fn io_read(&mut self, port: u16, data: &mut [u8]) -> Option<IoResult> {
        if let Some((bar, offset)) = self.cfg_space.find_io_bar(port) {
            return Some(self.own.io_read(bar, offset, data));
        }
        self.link.as_mut()?.1.managed()?.io_read(port, data)
    }

    /// Writes to I/O ports that a BAR of the port or a device below claims.
    pub(crate) fn io_write(&mut self, port: u16, data: &[u8]) -> Option<IoResult> {
        if let Some((bar, offset)) = self.cfg_space.find_io_bar(port) {
            return Some(self.own.io_write(bar, offset, data));
        }
        self.link.as_mut()?.1.managed()?.io_write(port, data)
    }
}

//! Errors and messages at a port: its own, and those of what is below (PCIe 6.2 section 6.2); Downstream Port Containment (section 6.2.11).
//!
//! Nothing is sent while a port's registers are being written. Messages wait in the port; who owns the fabric fetches them level by level,
//! so that each port above sees a message with its own enables, and may contain it.
//!
//! Not recorded: that nobody answered a configuration request. Software finds out what is there by asking for what is not, so the root
//! complex, which is the requester, answers with all-ones and takes no notice (PCIe 6.2 section 2.3.2, implementation note), and the
//! port above an empty bus only counts. A device that is there and has no such function would report an advisory error, which every
//! function masks until software wants to hear of it.

use super::PcieDownstreamPort;
use pci_bus::Stimulus;
use pci_bus::StimulusError;
use pci_bus::events::EventKind;
use pci_core::capabilities::extended::dpc::DpcCause;
use pci_core::capabilities::extended::dpc::DpcEvent;
use pci_core::capabilities::extended::dpc::DpcTrigger;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::spec::Bdf;
use pci_core::spec::caps::aer::UncorrectableErrorBit;
use pci_core::spec::errors::DetectedError;
use pci_core::spec::errors::ErrorMessage;
use pci_core::spec::messages::Message;
use pci_core::spec::messages::MessageKind;

/// The cause of what an operator made happen.
const INJECTED: &str = "injected";

impl PcieDownstreamPort {
    /// Makes something happen in the port.
    ///
    /// # Errors
    ///
    /// [`StimulusError`]: `function` is not 0, or the port does not have what it takes.
    pub(crate) fn stimulate(
        &mut self,
        function: u8,
        stimulus: Stimulus,
    ) -> Result<(), StimulusError> {
        if function != 0 {
            let name = self.name.clone();
            return Err(StimulusError::NoFunction { name, function });
        }
        match stimulus {
            Stimulus::Error(error) if self.cfg_space.aer_mut().is_some() => {
                self.detect(error, INJECTED);
            }
            Stimulus::Wake if self.wake(INJECTED) => {}
            Stimulus::Error(_) | Stimulus::Wake => return Err(stimulus.refused_by(&self.name)),
        }
        Ok(())
    }

    /// As [`Self::stimulate`], in this port, the device behind it, or something below, by name.
    pub(crate) fn stimulate_named(
        &mut self,
        name: &str,
        function: u8,
        stimulus: Stimulus,
    ) -> Option<Result<(), StimulusError>> {
        if self.name == name {
            return Some(self.stimulate(function, stimulus));
        }
        let (secondary, _) = self.bus_range().bus_range();
        let is_device = self.attached().is_some_and(|(own, _)| **own == *name);
        let device = self.managed();
        if !is_device {
            return device?.stimulate_below(name, function, stimulus);
        }
        let result = device.map_or_else(
            || Err(stimulus.refused_by(name)),
            |device| device.stimulate(name, function, stimulus),
        );
        if result.is_ok() {
            let bdf = (secondary != 0).then(|| Bdf::from_devfn(secondary, function));
            self.station
                .log_of(&name.into(), bdf, stimulus.event(), INJECTED);
            self.station.announce();
        }
        Some(result)
    }

    /// The port detected an error.
    fn detect(&mut self, error: DetectedError, cause: &'static str) {
        self.station.log(EventKind::Error(error), cause);
        let recorded = self.cfg_space.record_error(error);
        let counters = &mut self.station.counters;
        match error {
            DetectedError::Correctable(_) => counters.correctable_errors += 1,
            DetectedError::Uncorrectable { .. } => counters.uncorrectable_errors += 1,
        }
        if recorded.correctable {
            self.station.send(ErrorMessage::Correctable);
        }
        // What triggers containment is not reported by a message besides (PCIe 6.2 section 6.2.11).
        let contained =
            recorded.unmasked_uncorrectable && self.contain(DpcCause::UncorrectableError);
        if let Some(message) = recorded.uncorrectable.filter(|_| !contained) {
            self.station.send(message);
        }
    }

    /// The link went down, and nobody had asked for that.
    pub(super) fn surprise_down(&mut self) {
        self.detect(
            DetectedError::uncorrectable(UncorrectableErrorBit::SURPRISE_DOWN),
            "link went down unasked",
        );
    }

    /// Triggers containment if the port has it and software enabled it. True if it took the link down.
    fn contain(&mut self, cause: DpcCause) -> bool {
        let dpc = self.cfg_space.dpc_mut();
        let Some(trigger) = dpc.and_then(|dpc| dpc.trigger(cause)) else {
            return false;
        };
        self.hold_down(trigger);
        true
    }

    fn hold_down(&mut self, trigger: DpcTrigger) {
        self.station.log(
            EventKind::ContainmentTriggered,
            format!("{:?}", trigger.reason),
        );
        if let Some(pcie) = self.pci_express() {
            let reports = pcie.device_control().correctable_error_reporting_enable();
            pcie.set_contained(true);
            if trigger.send_err_cor && reports {
                self.station.send(ErrorMessage::Correctable);
            }
        }
        self.follow();
    }

    /// The guest wrote a capability: it may have triggered containment, or ended it.
    pub(super) fn follow_containment(&mut self) {
        match self.cfg_space.dpc_mut().and_then(|dpc| dpc.take_event()) {
            None => {}
            Some(DpcEvent::Triggered(trigger)) => self.hold_down(trigger),
            Some(DpcEvent::Released) => {
                self.station.log(EventKind::ContainmentReleased, "");
                if let Some(pcie) = self.pci_express() {
                    pcie.set_contained(false);
                }
            }
        }
    }

    /// The messages that leave the port upstream. A root port keeps all: it is where they end.
    pub(crate) fn take_messages(&mut self) -> Vec<Message> {
        let (secondary, _) = self.bus_range().bus_range();
        let reachable = self.link.is_some();
        // Power management events pass a port that is not in D0 (PCIe 6.2 section 5.3.3.2).
        let linked = self.has_link();
        let below = self
            .managed()
            .map(|device| device.take_messages(secondary))
            .unwrap_or_default();
        let mut leaving = Vec::new();
        for message in below {
            match message.kind {
                // What cannot be reached cannot send.
                MessageKind::Error(_) if !reachable => {}
                // The sender tries again when the link is up.
                MessageKind::Pme if !linked => {}
                MessageKind::Error(error) => self.receive_error(error, message, &mut leaving),
                MessageKind::Pme => {
                    self.station.count_received(message.kind);
                    self.pass_on(message, &mut leaving);
                }
            }
        }
        let source = self.station.bdf().unwrap_or_default();
        let errors = self.station.take_messages().into_iter();
        let errors = errors.map(MessageKind::Error);
        let pme = self.cfg_space.take_pme().then_some(MessageKind::Pme);
        for kind in errors.chain(pme) {
            self.pass_on(Message { kind, source }, &mut leaving);
        }
        self.update_intx();
        leaving
    }

    /// An error message came from below.
    fn receive_error(&mut self, error: ErrorMessage, message: Message, leaving: &mut Vec<Message>) {
        self.station.count_received(message.kind);
        let source = message.source;
        let let_on = self.cfg_space.receive_error_message(error);
        let contained = match error {
            ErrorMessage::Correctable => false,
            ErrorMessage::NonFatal => self.contain(DpcCause::NonFatalMessage { source }),
            ErrorMessage::Fatal => self.contain(DpcCause::FatalMessage { source }),
        };
        // A message that triggered containment ends here (PCIe 6.2 section 6.2.11).
        if contained || !let_on {
            return;
        }
        if self.station.is_root || self.cfg_space.forward_error_message(error) {
            self.pass_on(message, leaving);
        }
    }

    fn pass_on(&mut self, message: Message, leaving: &mut Vec<Message>) {
        if !self.station.is_root {
            leaving.push(message);
            return;
        }
        match message.kind {
            MessageKind::Error(error) => {
                self.raise_system_error(error);
                if let Some(aer) = self.cfg_space.aer_mut() {
                    aer.receive_error_message(error, message.source);
                }
            }
            MessageKind::Pme => {
                if let Some(pcie) = self.pci_express() {
                    pcie.receive_pme(message.source);
                }
            }
        }
    }

    /// There is nobody to raise a system error to, so it is noted.
    fn raise_system_error(&mut self, error: ErrorMessage) {
        let enabled = self
            .pci_express()
            .is_some_and(|pcie| pcie.system_error_enabled(error));
        if enabled {
            self.station.counters.system_errors += 1;
            self.station.log(EventKind::SystemError(error), "");
        }
    }

    /// Nobody answered: the link is down, the slot is empty, or the function cannot be reached.
    #[cold]
    #[inline(never)]
    pub(super) fn unanswered<T>(&mut self) -> Option<T> {
        // A device that is not ready is another matter (PCIe 6.2 section 2.3.1).
        self.station.counters.unsupported_requests += u64::from(!self.unready);
        None
    }

    /// Whether the guest lets the device go, as far as the slot can tell.
    pub(super) fn removal_is_orderly(&self) -> bool {
        let Some(pcie) = self.pci_express() else {
            return true;
        };
        let has = pcie.slot_capabilities();
        let can_tell = has.power_controller_present() || has.power_indicator_present();
        if can_tell {
            pcie.removal_permitted()
        } else {
            !PciExpressCapability::link_up(pcie)
        }
    }
}

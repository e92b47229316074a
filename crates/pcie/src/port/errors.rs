//! Errors at a port: its own, and the messages of what is below (PCIe 6.2 section 6.2); Downstream Port Containment (section 6.2.11).
//!
//! Nothing is sent while a port's registers are being written. Messages wait in the port; who owns the fabric fetches them level by level,
//! so that each port above sees a message with its own enables, and may contain it.
//!
//! Not recorded: that nobody answered a configuration request. Software finds out what is there by asking for what is not, so the root
//! complex, which is the requester, answers with all-ones and takes no notice (PCIe 6.2 section 2.3.2, implementation note), and the
//! port above an empty bus only counts. A device that is there and has no such function would report an advisory error, which every
//! function masks until software wants to hear of it.

use super::PcieDownstreamPort;
use pci_bus::RecordErrorError;
use pci_bus::events::EventKind;
use pci_core::capabilities::extended::dpc::DpcCause;
use pci_core::capabilities::extended::dpc::DpcEvent;
use pci_core::capabilities::extended::dpc::DpcTrigger;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::spec::Bdf;
use pci_core::spec::caps::aer::UncorrectableErrorBit;
use pci_core::spec::errors::DetectedError;
use pci_core::spec::errors::ErrorMessage;
use pci_core::spec::errors::ErrorReport;

impl PcieDownstreamPort {
    /// Lets the port detect an error.
    ///
    /// # Errors
    ///
    /// [`RecordErrorError`]: `function` is not 0, or the port has no Advanced Error Reporting.
    pub(crate) fn record_error(
        &mut self,
        function: u8,
        error: DetectedError,
    ) -> Result<(), RecordErrorError> {
        let name = || self.name.clone();
        if function != 0 {
            return Err(RecordErrorError::NoFunction {
                name: name(),
                function,
            });
        }
        if self.cfg_space.aer_mut().is_none() {
            return Err(RecordErrorError::NoErrorReporting { name: name() });
        }
        self.detect(error, "injected");
        Ok(())
    }

    /// As [`Self::record_error`], in this port, the device behind it, or something below, by name.
    pub(crate) fn record_error_named(
        &mut self,
        name: &str,
        function: u8,
        error: DetectedError,
    ) -> Option<Result<(), RecordErrorError>> {
        if self.name == name {
            return Some(self.record_error(function, error));
        }
        let (secondary, _) = self.bus_range().bus_range();
        let is_device = self.attached().is_some_and(|(own, _)| **own == *name);
        let device = self.managed();
        if !is_device {
            return device?.record_error_below(name, function, error);
        }
        let result = device.map_or_else(
            || {
                Err(RecordErrorError::NoErrorReporting {
                    name: name.to_owned(),
                })
            },
            |device| device.record_error(name, function, error),
        );
        if result.is_ok() {
            let bdf = (secondary != 0).then(|| Bdf::from_devfn(secondary, function));
            self.station
                .log_of(&name.into(), bdf, EventKind::Error(error), "injected");
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
    pub(crate) fn take_error_reports(&mut self) -> Vec<ErrorReport> {
        let (secondary, _) = self.bus_range().bus_range();
        let reachable = self.link.is_some();
        let below = self
            .managed()
            .map(|device| device.take_error_reports(secondary))
            .unwrap_or_default();
        let mut leaving = Vec::new();
        // What cannot be reached cannot send.
        for report in below.into_iter().filter(|_| reachable) {
            self.receive(report, &mut leaving);
        }
        let source = self.station.bdf().unwrap_or_default();
        for message in self.station.take_messages() {
            self.pass_on(ErrorReport { message, source }, &mut leaving);
        }
        self.update_intx();
        leaving
    }

    /// A message came from below.
    fn receive(&mut self, report: ErrorReport, leaving: &mut Vec<ErrorReport>) {
        let ErrorReport { message, source } = report;
        self.station.count_received(message);
        let let_on = self.cfg_space.receive_error_message(message);
        let contained = match message {
            ErrorMessage::Correctable => false,
            ErrorMessage::NonFatal => self.contain(DpcCause::NonFatalMessage { source }),
            ErrorMessage::Fatal => self.contain(DpcCause::FatalMessage { source }),
        };
        // A message that triggered containment ends here (PCIe 6.2 section 6.2.11).
        if contained || !let_on {
            return;
        }
        if self.station.is_root || self.cfg_space.forward_error_message(message) {
            self.pass_on(report, leaving);
        }
    }

    fn pass_on(&mut self, report: ErrorReport, leaving: &mut Vec<ErrorReport>) {
        if !self.station.is_root {
            leaving.push(report);
        } else if let Some(aer) = self.cfg_space.aer_mut() {
            aer.receive_error_message(report.message, report.source);
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

//! A port's place in the fabric: its log, its name there, the messages it has to send, and how often things happened to it.

use inspect::Inspect;
use pci_bus::Fabric;
use pci_bus::events::EventKind;
use pci_core::msi::MsiTarget;
use pci_core::spec::Bdf;
use pci_core::spec::errors::ErrorMessage;
use pci_core::spec::messages::MessageKind;
use std::borrow::Cow;
use std::sync::Arc;

/// Messages that a port keeps until they are fetched. A fabric fetches after each access; a port by itself has nobody to tell.
const MESSAGES_MAX: usize = 16;

/// How often things happened at a port since it was composed.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Inspect)]
pub(crate) struct StationCounters {
    /// Devices attached.
    pub(crate) plugged: u64,
    /// Devices removed.
    pub(crate) unplugged: u64,
    /// Resets of what is below.
    pub(crate) resets_below: u64,
    /// Correctable errors that the port detected.
    pub(crate) correctable_errors: u64,
    /// Uncorrectable errors that the port detected.
    pub(crate) uncorrectable_errors: u64,
    /// ERR_COR messages from below.
    pub(crate) err_cor_received: u64,
    /// ERR_NONFATAL messages from below.
    pub(crate) err_nonfatal_received: u64,
    /// ERR_FATAL messages from below.
    pub(crate) err_fatal_received: u64,
    /// PM_PME messages from below.
    pub(crate) pme_received: u64,
    /// System errors that software asked for in Root Control. Nothing but this counter and the log tells of them.
    pub(crate) system_errors: u64,
    /// Configuration requests for what is below that nobody answered.
    pub(crate) unsupported_requests: u64,
}

pub(crate) struct Station {
    fabric: Fabric,
    name: Arc<str>,
    /// Knows the function's requester ID.
    target: MsiTarget,
    /// A root port, where messages end.
    pub(super) is_root: bool,
    messages: Vec<ErrorMessage>,
    pub(crate) counters: StationCounters,
}

impl Station {
    pub(super) fn new(name: &str, target: &MsiTarget, is_root: bool) -> Self {
        Self {
            fabric: Fabric::default(),
            name: name.into(),
            target: target.clone(),
            is_root,
            messages: Vec::new(),
            counters: StationCounters::default(),
        }
    }

    pub(super) fn join(&mut self, fabric: &Fabric) {
        self.fabric = fabric.clone();
    }

    pub(super) fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    /// Where the guest reaches the port. A switch's port is nowhere while the guest has not numbered the bus inside the switch.
    pub(super) fn bdf(&self) -> Option<Bdf> {
        let bdf = u16::try_from(self.target.default_bdf()).map(Bdf::from_bits);
        bdf.ok().filter(|bdf| self.is_root || bdf.bus() != 0)
    }

    /// Logs an event of the port.
    pub(super) fn log(&self, kind: EventKind, cause: impl Into<Cow<'static, str>>) {
        self.log_of(&self.name, self.bdf(), kind, cause);
    }

    /// Logs an event of something below.
    pub(super) fn log_of(
        &self,
        name: &Arc<str>,
        bdf: Option<Bdf>,
        kind: EventKind,
        cause: impl Into<Cow<'static, str>>,
    ) {
        self.fabric.events().push(name, bdf, kind, cause);
    }

    /// Lets a message wait for who fetches it.
    pub(super) fn send(&mut self, message: ErrorMessage) {
        if self.messages.len() < MESSAGES_MAX {
            self.messages.push(message);
        }
        self.announce();
    }

    pub(super) fn announce(&self) {
        self.fabric.announce_message();
    }

    pub(super) fn take_messages(&mut self) -> Vec<ErrorMessage> {
        std::mem::take(&mut self.messages)
    }

    pub(super) fn count_received(&mut self, message: MessageKind) {
        let counters = &mut self.counters;
        *match message {
            MessageKind::Error(ErrorMessage::Correctable) => &mut counters.err_cor_received,
            MessageKind::Error(ErrorMessage::NonFatal) => &mut counters.err_nonfatal_received,
            MessageKind::Error(ErrorMessage::Fatal) => &mut counters.err_fatal_received,
            MessageKind::Pme => &mut counters.pme_received,
        } += 1;
    }
}

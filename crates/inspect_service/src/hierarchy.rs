//! A composed hierarchy as a source.

use crate::Event;
use crate::Operation;
use crate::OperationError;
use crate::Outcome;
use crate::Source;
use crate::Topology;
use crate::lspci::ConfigSpace;
use crate::metrics::Family;
use crate::metrics::Kind;
use crate::metrics::Sample;
use crate::saved;
use crate::topology;
use crate::topology::Function;
use crate::topology::Severity;
use inspect::InspectionBuilder;
use inspect::Node;
use inspect::Value;
use inspect::ValueKind;
use parking_lot::Mutex;
use parking_lot::MutexGuard;
use pcie::events::EventKind;
use pcie::events::FabricEvent;
use pcie_topology::Hierarchy;
use pcie_topology::PlugError;
use pcie_topology::traffic::ComplexTraffic;
use pcie_topology::traffic::Traffic;
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a port shows its counters, below its own node.
const COUNTERS: &[&str] = &[
    "station",
    "cfg_space/capabilities/pci-express/slot/counters",
];

/// A hierarchy that its monitor keeps behind a lock, by itself or with something of its own. Each question holds the lock while it copies one directory, or a part of one
/// function's configuration space.
impl<H: AsMut<Hierarchy> + Send + 'static> Source for Mutex<H> {
    fn inspect(&self, path: &str, depth: usize) -> Node {
        let mut hierarchy = self.lock();
        let node = InspectionBuilder::new(path)
            .depth(Some(depth))
            .inspect(hierarchy.as_mut());
        // Whoever waited is next: a walk would else take the lock again before the other thread is awake.
        MutexGuard::unlock_fair(hierarchy);
        node.results()
    }

    fn update(&self, path: &str, value: &str) -> Result<Value, inspect::Error> {
        inspect::update(path, value, self.lock().as_mut()).result()
    }

    fn topology(&self) -> Topology {
        topology::read(self)
    }

    fn config_spaces(&self) -> Vec<ConfigSpace> {
        topology::config_spaces(self)
    }

    fn metrics(&self) -> Vec<Family> {
        let topology = self.topology();
        let ports: Vec<_> = topology
            .functions()
            .into_iter()
            .filter(|function| function.is_downstream_port())
            .collect();
        let mut families = gauges(&ports);
        families.extend(self.port_counters(&ports));
        families.extend(self.root_complex_counters(&topology));
        families.extend(self.traffic());
        families.push(Family {
            name: "rootplex_events".to_string(),
            help: "Events in the log, those that are no longer there among them.".to_string(),
            kind: Kind::Counter,
            samples: vec![Sample {
                labels: Vec::new(),
                value: self.lock().as_mut().events().next_sequence(),
            }],
        });
        families
    }

    fn events(&self, from: u64, max: usize) -> Vec<Event> {
        let log = self.lock().as_mut().events().clone();
        log.since(from).iter().take(max).map(event).collect()
    }

    fn wait_for_event(&self, from: u64, timeout: Duration) -> Option<u64> {
        let log = self.lock().as_mut().events().clone();
        log.wait(from, timeout);
        Some(log.next_sequence())
    }

    fn operate(&self, operation: Operation) -> Result<Outcome, OperationError> {
        let mut locked = self.lock();
        let hierarchy = locked.as_mut();
        match operation {
            Operation::Plug { port, endpoint } => hierarchy.plug(&port, &endpoint)?,
            Operation::Unplug { port, surprise } => {
                if !surprise && !hierarchy.removal_permitted(&port)? {
                    return Err(OperationError::Held(format!(
                        "port '{port}': the guest has not let the device go"
                    )));
                }
                hierarchy.unplug(&port)?;
            }
            Operation::RequestRemoval { port } => hierarchy.request_removal(&port)?,
            Operation::PressButton { port } => hierarchy.press_attention_button(&port)?,
            Operation::SetLatch { port, open } => hierarchy.set_mrl(&port, open)?,
            Operation::PowerFault { port } => hierarchy.power_fault(&port)?,
            Operation::Save => return saved::save(hierarchy).map(Outcome::Saved),
            Operation::Restore { state } => saved::restore(hierarchy, &state)?,
        }
        Ok(Outcome::Done)
    }
}

/// An event of the log, as clients read it.
fn event(event: &FabricEvent) -> Event {
    Event {
        sequence: event.sequence,
        time_us: event.time.as_micros().try_into().unwrap_or(u64::MAX),
        port: event.name.to_string(),
        bdf: event.bdf.map(|bdf| bdf.to_string()),
        kind: kind(event.kind).to_string(),
        what: event.kind.to_string(),
        cause: event.cause.to_string(),
    }
}

/// What kind of event it is, in a word to filter by.
fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Plugged
        | EventKind::Unplugged
        | EventKind::SurpriseRemoval
        | EventKind::AttentionButton => "hot_plug",
        EventKind::PowerOn | EventKind::PowerOff | EventKind::PowerFault => "power",
        EventKind::LinkUp { .. }
        | EventKind::LinkDown
        | EventKind::LinkDisabled
        | EventKind::LinkRetrained { .. } => "link",
        EventKind::Reset(_) => "reset",
        EventKind::BusesRenumbered { .. } => "buses",
        EventKind::Error(_) | EventKind::ContainmentTriggered | EventKind::ContainmentReleased => {
            "error"
        }
        _ => "other",
    }
}

/// Counters as inspection shows them: the lock is held by [`Source::inspect`] alone, for one directory at a time.
trait Counters {
    /// Every counter that the ports show, a family for each name.
    fn port_counters(&self, ports: &[&Function]) -> Vec<Family>;

    /// Every counter of the root complexes, a family for each name.
    fn root_complex_counters(&self, topology: &Topology) -> Vec<Family>;

    /// Accesses and messages that went through the ports and root complexes.
    fn traffic(&self) -> Vec<Family>;
}

impl<H: AsMut<Hierarchy> + Send + 'static> Counters for Mutex<H> {
    fn port_counters(&self, ports: &[&Function]) -> Vec<Family> {
        let mut tally = Tally::default();
        for port in ports {
            for folder in COUNTERS {
                let node = self.inspect(&format!("{}/{folder}", port.path), 0);
                tally.add(node, "port", &port.name);
            }
        }
        tally.families("port")
    }

    fn root_complex_counters(&self, topology: &Topology) -> Vec<Family> {
        let mut tally = Tally::default();
        for complex in &topology.complexes {
            let node = self.inspect(&format!("{}/functions", complex.name), 0);
            tally.add(node, "root_complex", &complex.name);
        }
        tally.families("root_complex")
    }

    fn traffic(&self) -> Vec<Family> {
        let (ports, complexes) = {
            let mut locked = self.lock();
            let hierarchy = locked.as_mut();
            (hierarchy.port_traffic(), hierarchy.complex_traffic())
        };
        let of_port = |name: &str, help: &str, value: fn(&Traffic) -> u64| Family {
            name: format!("rootplex_port_{name}"),
            help: help.to_owned(),
            kind: Kind::Counter,
            samples: ports
                .iter()
                .map(|port| labelled("port", &port.port, value(&port.traffic)))
                .collect(),
        };
        let of_complex = |name: &str, help: &str, value: fn(&ComplexTraffic) -> u64| Family {
            name: format!("rootplex_root_complex_{name}"),
            help: help.to_owned(),
            kind: Kind::Counter,
            samples: complexes
                .iter()
                .map(|complex| labelled("root_complex", &complex.complex, value(complex)))
                .collect(),
        };
        vec![
            of_port(
                "config_reads",
                "Configuration reads of functions on the buses behind the port.",
                |traffic| traffic.config_reads,
            ),
            of_port(
                "config_writes",
                "Configuration writes to functions on the buses behind the port.",
                |traffic| traffic.config_writes,
            ),
            of_port(
                "msis",
                "Interrupt messages of functions on the buses behind the port, but for those that the hypervisor delivers by irqfd.",
                |traffic| traffic.msis,
            ),
            of_complex(
                "config_reads",
                "Configuration reads, of functions on the root bus too.",
                |complex| complex.traffic.config_reads,
            ),
            of_complex(
                "config_writes",
                "Configuration writes, to functions on the root bus too.",
                |complex| complex.traffic.config_writes,
            ),
            of_complex(
                "msis",
                "Interrupt messages, those of ports too, but for those that the hypervisor delivers by irqfd.",
                |complex| complex.traffic.msis,
            ),
            of_complex(
                "memory_reads",
                "Reads of BARs and host bridge registers.",
                |complex| complex.memory_reads,
            ),
            of_complex(
                "memory_writes",
                "Writes to BARs and host bridge registers.",
                |complex| complex.memory_writes,
            ),
        ]
    }
}

/// What the counters count, by the names of inspection.
const HELP: &[(&str, &str)] = &[
    ("buttons", "Presses of the slot's attention button."),
    (
        "commands",
        "Writes to Slot Control that the slot took as a command.",
    ),
    (
        "correctable_errors",
        "Correctable errors that the port detected.",
    ),
    ("err_cor_received", "ERR_COR messages from below the port."),
    (
        "err_fatal_received",
        "ERR_FATAL messages from below the port.",
    ),
    (
        "err_nonfatal_received",
        "ERR_NONFATAL messages from below the port.",
    ),
    (
        "hot_plug_interrupts",
        "Interrupts that the port raised for events of its slot.",
    ),
    ("link_changes", "How often the link came up or went down."),
    (
        "link_interrupts",
        "Interrupts that the port raised for the bandwidth of its link.",
    ),
    (
        "mrl_changes",
        "How often the slot's retention latch opened or closed.",
    ),
    ("plugged", "Devices that were plugged into the slot."),
    (
        "pme_received",
        "Power management events from below the port.",
    ),
    (
        "power_faults",
        "Faults that the slot's power controller found.",
    ),
    (
        "presence_changes",
        "How often a card came to the slot or left it.",
    ),
    (
        "request_retries",
        "Configuration requests that were answered with Request Retry Status.",
    ),
    ("resets_below", "Resets of all that is below the port."),
    (
        "system_errors",
        "System errors that the port would have raised.",
    ),
    (
        "uncorrectable_errors",
        "Uncorrectable errors that the port detected.",
    ),
    ("unplugged", "Devices that were taken out of the slot."),
    ("unsupported_requests", "Requests that nothing took."),
];

fn help(counter: &str) -> String {
    let known = HELP.iter().find(|(name, _)| *name == counter);
    known.map_or_else(
        || format!("What inspection shows as {counter}."),
        |(_, help)| (*help).to_owned(),
    )
}

/// Samples by the name of the counter.
#[derive(Default)]
struct Tally(BTreeMap<String, Vec<Sample>>);

impl Tally {
    /// Adds the counters of a directory that belongs to `owner`.
    fn add(&mut self, node: Node, label: &'static str, owner: &str) {
        let Node::Dir(entries) = node else {
            return;
        };
        for entry in entries {
            if let Node::Value(Value {
                kind: ValueKind::Unsigned(value),
                ..
            }) = entry.node
            {
                self.0
                    .entry(entry.name.into_owned())
                    .or_default()
                    .push(Sample {
                        labels: vec![(label, owner.to_owned())],
                        value,
                    });
            }
        }
    }

    fn families(self, of: &str) -> Vec<Family> {
        let family = |(name, samples): (String, Vec<Sample>)| Family {
            help: help(&name),
            name: format!("rootplex_{of}_{name}"),
            kind: Kind::Counter,
            samples,
        };
        self.0.into_iter().map(family).collect()
    }
}

fn labelled(label: &'static str, owner: &str, value: u64) -> Sample {
    Sample {
        labels: vec![(label, owner.to_owned())],
        value,
    }
}

/// The states of the ports.
fn gauges(ports: &[&Function]) -> Vec<Family> {
    let gauge = |name: &str, help: &str, value: &dyn Fn(&Function) -> Option<u64>| Family {
        name: format!("rootplex_port_{name}"),
        help: help.to_string(),
        kind: Kind::Gauge,
        samples: ports
            .iter()
            .filter_map(|port| Some(labelled("port", &port.name, value(port)?)))
            .collect(),
    };
    vec![
        gauge(
            "link_active",
            "Whether the link below the port is up.",
            &|port| Some(port.link.as_ref()?.active.into()),
        ),
        gauge(
            "slot_occupied",
            "Whether there is a card in the port's slot.",
            &|port| Some(port.slot.as_ref()?.present.into()),
        ),
        gauge(
            "slot_powered",
            "Whether the port's slot has power.",
            &|port| Some(port.slot.as_ref()?.powered.into()),
        ),
        gauge(
            "problems",
            "How much keeps devices below the port from working, as `rootplex port` tells.",
            &|port| {
                let problems = port.findings.iter();
                let problems = problems.filter(|finding| finding.severity == Severity::Problem);
                port.id?;
                u64::try_from(problems.count()).ok()
            },
        ),
        gauge(
            "slot_events_pending",
            "Kinds of events in the slot's status register that the guest has not taken note of.",
            &|port| u64::try_from(port.slot.as_ref()?.events.len()).ok(),
        ),
        gauge(
            "errors_pending",
            "Kinds of errors in the port's status registers.",
            &|port| {
                port.id?;
                u64::try_from(port.errors.len()).ok()
            },
        ),
    ]
}

impl From<PlugError> for OperationError {
    fn from(error: PlugError) -> Self {
        let text = error.to_string();
        match error {
            PlugError::UnknownPort { .. } => Self::NotFound(text),
            PlugError::Endpoint(_) => Self::Invalid(text),
            PlugError::NoSlot { .. }
            | PlugError::Occupied { .. }
            | PlugError::Empty { .. }
            | PlugError::NameInUse { .. }
            | PlugError::Refused { .. } => Self::Conflict(text),
        }
    }
}

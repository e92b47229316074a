//! Doing again what was recorded, and comparing.

use crate::Event;
use crate::MessageLog;
use crate::OperationError;
use crate::Recorded;
use crate::Recording;
use crate::message::Message;
use crate::stand_in::StandIns;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use pci_core::spec::Bdf;
use pcie_topology::DeviceFactory;
use pcie_topology::Hierarchy;
use pcie_topology::NoDevices;
use pcie_topology::Platform;
use pcie_topology::Problems;
use pcie_topology::Topology;
use pcie_topology::Windows;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Differences that are reported one by one; the others are counted.
const DIFFERENCES_MAX: usize = 100;
/// The bits of an ECAM address that say where in a function's configuration space.
const REGISTER_MASK: u64 = 0xfff;
const FUNCTION_SHIFT: u32 = 12;

/// What a recording was compared to.
#[derive(Debug, Default)]
pub struct Report {
    /// Reads whose answers were compared.
    pub reads: u64,
    /// Writes that were made again.
    pub writes: u64,
    /// Operations that were done again.
    pub operations: u64,
    /// Messages that were recorded.
    pub messages: u64,
    /// Accesses to devices that act on the guest's memory, and messages of these: they were not made again, and not compared.
    pub left_out: u64,
    /// All differences.
    pub difference_count: u64,
    /// The first hundred of them.
    pub differences: Vec<Difference>,
}

impl Report {
    /// Whether every answer was the same, and every message was sent again.
    pub fn is_faithful(&self) -> bool {
        self.difference_count == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            writeln!(f, "{difference}")?;
        }
        write!(
            f,
            "replayed: {} reads, {} writes, {} operations, {} messages; {}{}",
            self.reads,
            self.writes,
            self.operations,
            self.messages,
            LeftOut(self.left_out),
            match self.difference_count {
                0 => "no difference".to_owned(),
                1 => "1 difference".to_owned(),
                n => format!("{n} differences"),
            }
        )
    }
}

struct LeftOut(u64);

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            n => write!(
                f,
                "{n} records of devices that act on the guest's memory left out; "
            ),
        }
    }
}

/// Something that was not as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The number of the record, from 0.
    pub record: usize,
    /// When it was recorded.
    pub time: Duration,
    /// What differs, in words.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, time, what } = self;
        write!(f, "record {record}, at {:.3} s: {what}", time.as_secs_f64())
    }
}

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The description in it is wrong; one line for each mistake.
    #[error("the recorded description cannot be composed:\n{0}")]
    Description(#[from] Problems),
    /// An operation could not be done again, although it had been.
    #[error("record {record}: {source}")]
    Operation {
        /// The number of the record, from 0.
        record: usize,
        /// Why.
        source: OperationError,
    },
}

/// Composes the recorded hierarchy, does to it what was recorded, and compares every answer. There are test endpoints alone.
///
/// # Errors
///
/// As [`replay_with`].
pub fn replay(recording: &Recording) -> Result<Report, ReplayError> {
    replay_with(recording, &mut NoDevices)
}

/// As [`replay()`], with endpoints of other kinds from `devices`.
///
/// Such devices act on the guest's memory, which is not recorded, and in threads of their own. So only their configuration space is
/// replayed: accesses to their BARs are not made again, and neither these nor their messages are compared. That nothing starts them keeps
/// `devices` from doing anything but answering.
///
/// # Errors
///
/// [`ReplayError`]: the hierarchy cannot be composed, or refuses an operation.
pub fn replay_with(
    recording: &Recording,
    devices: &mut dyn DeviceFactory,
) -> Result<Report, ReplayError> {
    let log = MessageLog::new(None);
    log.listen(Arc::default());
    let topology = Topology::from_toml(&recording.description)?;
    let stand_ins = StandIns::default();
    let mut devices = stand_ins.of(devices);
    let hierarchy = topology.compose_on(Platform {
        msi: Some(log.clone()),
        devices: Some(&mut devices),
        ..Platform::new(&mut ExternallyManagedMmioIntercepts)
    })?;
    let mut replay = Replay {
        hierarchy: Recorded::new(hierarchy),
        windows: Windows::new(&topology),
        stand_ins,
        report: Report::default(),
        unsent: Vec::new(),
    };
    for (record, then) in recording.records.iter().enumerate() {
        if !matches!(then.event, Event::Message { .. }) {
            replay.compare_unsent(record, then.time);
        }
        match &then.event {
            Event::Operation(operation) => {
                replay.report.operations += 1;
                replay
                    .hierarchy
                    .perform(operation, &mut devices)
                    .map_err(|source| ReplayError::Operation { record, source })?;
            }
            Event::Message {
                requester_id,
                address,
                data,
            } => replay.message(record, then.time, (*requester_id, *address, *data)),
            access => replay.access(record, then.time, access),
        }
        replay.unsent.extend(log.take());
    }
    // The messages of the last access may be among what is missing.
    if let Some(last) = recording.records.last().filter(|_| recording.is_finished) {
        replay.compare_unsent(recording.records.len() - 1, last.time);
    }
    Ok(replay.report)
}

struct Replay {
    hierarchy: Recorded,
    windows: Windows,
    stand_ins: StandIns,
    report: Report,
    /// Messages that the replay sent and that no record was compared to yet.
    unsent: Vec<Message>,
}

impl Replay {
    /// Makes an access again, as the monitor dispatched it, and compares its answer.
    fn access(&mut self, record: usize, time: Duration, access: &Event) {
        let mut found = Vec::new();
        let hierarchy = &mut self.hierarchy;
        // A replay does not wait: what is deferred keeps what was put there before.
        let answer = match access {
            Event::Read { address, data } => {
                found.resize(data.len(), u8::MAX);
                if let Some(window) = self.windows.at(*address) {
                    let _ = hierarchy.mmio_read(window, *address, &mut found);
                }
                Some((Place::Address(*address), data))
            }
            Event::PortRead { port, data } => {
                found.resize(data.len(), u8::MAX);
                if let Some(window) = self.windows.at_port(*port) {
                    let _ = hierarchy.io_read(window, *port, &mut found);
                }
                Some((Place::Port(*port), data))
            }
            Event::Write { address, data } => {
                if let Some(window) = self.windows.at(*address) {
                    let _ = hierarchy.mmio_write(window, *address, data);
                }
                None
            }
            Event::PortWrite { port, data } => {
                if let Some(window) = self.windows.at_port(*port) {
                    let _ = hierarchy.io_write(window, *port, data);
                }
                None
            }
            Event::Message { .. } | Event::Operation(_) => return,
        };
        if self.stand_ins.take_reached() {
            self.report.left_out += 1;
            return;
        }
        let Some((place, expected)) = answer else {
            self.report.writes += 1;
            return;
        };
        self.report.reads += 1;
        if found != *expected {
            let what = format!(
                "{} reads {}, and read {}",
                self.place(place),
                Number(&found),
                Number(expected)
            );
            self.differs(record, time, what);
        }
    }

    fn message(&mut self, record: usize, time: Duration, recorded: Message) {
        if recorded.0.is_some_and(|id| self.is_stand_in(id)) {
            self.report.left_out += 1;
            return;
        }
        self.report.messages += 1;
        let sent = self.unsent.iter().position(|message| *message == recorded);
        match sent {
            Some(index) => {
                self.unsent.remove(index);
            }
            None => {
                self.differs(record, time, format!("{} is not sent", Sent(recorded)));
            }
        }
    }

    /// Whether a requester is one of the devices that are not replayed.
    fn is_stand_in(&mut self, requester_id: u32) -> bool {
        let [devfn, bus, ..] = requester_id.to_le_bytes();
        let bdf = Bdf::from_devfn(bus, devfn);
        let functions = self.hierarchy.as_mut().functions();
        functions
            .iter()
            .any(|function| function.bdf == Some(bdf) && self.stand_ins.has(&function.name))
    }

    /// What was sent now and not when it was recorded.
    fn compare_unsent(&mut self, record: usize, time: Duration) {
        for message in std::mem::take(&mut self.unsent) {
            self.differs(record, time, format!("{} was not sent", Sent(message)));
        }
    }

    fn differs(&mut self, record: usize, time: Duration, what: String) {
        self.report.difference_count += 1;
        if self.report.differences.len() < DIFFERENCES_MAX {
            let difference = Difference { record, time, what };
            self.report.differences.push(difference);
        }
    }

    fn place(&mut self, place: Place) -> String {
        match place {
            Place::Address(address) => address_in_words(self.hierarchy.as_mut(), address),
            Place::Port(port) => format!("port {port:#x}"),
        }
    }
}

#[derive(Copy, Clone)]
enum Place {
    Address(u64),
    Port(u16),
}

/// An address in words: of a function's register by its number and, where it has one, its name.
fn address_in_words(hierarchy: &Hierarchy, address: u64) -> String {
    for complex in &hierarchy.complexes {
        let ecam = complex.root.ecam_range();
        let Some(offset) = address
            .checked_sub(ecam.start())
            .filter(|offset| *offset < ecam.len())
        else {
            continue;
        };
        let (first_bus, _) = complex.root.bus_range();
        let number = (offset >> FUNCTION_SHIFT) + (u64::from(first_bus) << 8);
        let [devfn, bus, ..] = number.to_le_bytes();
        let bdf = Bdf::from_devfn(bus, devfn).in_segment(complex.segment);
        let functions = hierarchy.functions();
        let name = functions
            .iter()
            .find(|function| function.bdf.map(|bdf| bdf.in_segment(function.segment)) == Some(bdf))
            .map_or(String::new(), |function| format!(" ('{}')", function.name));
        return format!("register {:#05x} of {bdf}{name}", offset & REGISTER_MASK);
    }
    format!("memory at {address:#x}")
}

struct Number<'a>(&'a [u8]);

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0
            .iter()
            .rev()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

struct Sent(Message);

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requester_id, address, data) = self.0;
        write!(f, "message {data:#x} to {address:#x}")?;
        match requester_id {
            Some(id) => write!(f, " from requester {id:#06x}"),
            None => Ok(()),
        }
    }
}

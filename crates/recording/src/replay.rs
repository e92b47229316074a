//! Doing again what was recorded, and comparing.

use crate::Event;
use crate::MessageLog;
use crate::OperationError;
use crate::Recording;
use crate::message::Message;
use chipset_device::io::IoResult;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use pcie_topology::Hierarchy;
use pcie_topology::Problems;
use pcie_topology::Topology;
use std::fmt;
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
            "replayed: {} reads, {} writes, {} operations, {} messages; {}",
            self.reads,
            self.writes,
            self.operations,
            self.messages,
            match self.difference_count {
                0 => "no difference".to_owned(),
                1 => "1 difference".to_owned(),
                n => format!("{n} differences"),
            }
        )
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

/// Composes the recorded hierarchy, does to it what was recorded, and compares every answer.
///
/// # Errors
///
/// [`ReplayError`]: the hierarchy cannot be composed, or refuses an operation.
pub fn replay(recording: &Recording) -> Result<Report, ReplayError> {
    let log = MessageLog::new(None);
    let hierarchy = Topology::from_toml(&recording.description)?
        .compose(&mut ExternallyManagedMmioIntercepts, Some(log.clone()))?;
    let mut replay = Replay {
        hierarchy,
        report: Report::default(),
        unsent: Vec::new(),
    };
    for (record, then) in recording.records.iter().enumerate() {
        if !matches!(then.event, Event::Message { .. }) {
            replay.compare_unsent(record, then.time);
        }
        match &then.event {
            Event::Read { address, data } => replay.read(record, then.time, *address, data),
            Event::Write { address, data } => {
                replay.report.writes += 1;
                finish(replay.hierarchy.mmio_write(*address, data));
            }
            Event::Message {
                requester_id,
                address,
                data,
            } => replay.message(record, then.time, (*requester_id, *address, *data)),
            Event::Operation(operation) => {
                replay.report.operations += 1;
                operation
                    .perform(&mut replay.hierarchy)
                    .map_err(|source| ReplayError::Operation { record, source })?;
            }
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
    hierarchy: Hierarchy,
    report: Report,
    /// Messages that the replay sent and that no record was compared to yet.
    unsent: Vec<Message>,
}

impl Replay {
    fn read(&mut self, record: usize, time: Duration, address: u64, expected: &[u8]) {
        self.report.reads += 1;
        let mut found = expected.to_vec();
        found.fill(0xff);
        if !finish(self.hierarchy.mmio_read(address, &mut found)) {
            found.fill(0xff);
        }
        if found != expected {
            let what = format!(
                "{} reads {}, and read {}",
                self.place(address),
                Number(&found),
                Number(expected)
            );
            self.differs(record, time, what);
        }
    }

    fn message(&mut self, record: usize, time: Duration, recorded: Message) {
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

    /// An address in words: of a function's register by its number and, where it has one, its name.
    fn place(&self, address: u64) -> String {
        for complex in &self.hierarchy.complexes {
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
            let bdf = pci_core::spec::Bdf::from_devfn(bus, devfn).in_segment(complex.segment);
            let functions = self.hierarchy.functions();
            let name = functions
                .iter()
                .find(|function| {
                    function.bdf.map(|bdf| bdf.in_segment(function.segment)) == Some(bdf)
                })
                .map_or(String::new(), |function| format!(" ('{}')", function.name));
            return format!("register {:#05x} of {bdf}{name}", offset & REGISTER_MASK);
        }
        format!("memory at {address:#x}")
    }
}

/// Whether an access succeeded. One that is deferred did not: what is replayed does not wait.
fn finish(result: IoResult) -> bool {
    matches!(result, IoResult::Ok)
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

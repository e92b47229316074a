//! What happened in a fabric, for those who look on: a bounded log that an operator reads, waits on, and streams.

use inspect::Inspect;
use parking_lot::Condvar;
use parking_lot::Mutex;
use pci_spec::Bdf;
use pci_spec::caps::aer::CorrectableErrors;
use pci_spec::caps::pci_express::LinkSpeed;
use pci_spec::caps::pci_express::LinkWidth;
use pci_spec::caps::power_management::PowerState;
use pci_spec::errors::DetectedError;
use pci_spec::errors::ErrorMessage;
use reg_table::Reset;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Events that a log keeps unless it is told otherwise.
pub const EVENTS_MAX: usize = 1024;

/// Bytes of an event's cause; what is longer is cut off.
pub const CAUSE_BYTES_MAX: usize = 120;

/// What happened.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A device was attached.
    Plugged,
    /// A device was removed after the guest let it go.
    Unplugged,
    /// A device was removed and the guest had not let it go.
    SurpriseRemoval,
    /// The attention button was pressed.
    AttentionButton,
    /// The slot's main power went on.
    PowerOn,
    /// The slot's main power went off.
    PowerOff,
    /// The power controller found a fault.
    PowerFault,
    /// The link came up.
    LinkUp {
        /// Speed.
        speed: LinkSpeed,
        /// Width.
        width: LinkWidth,
    },
    /// The link went down.
    LinkDown,
    /// The link went down because the guest disabled it.
    LinkDisabled,
    /// The link changed speed or width and stayed up.
    LinkRetrained {
        /// Speed.
        speed: LinkSpeed,
        /// Width.
        width: LinkWidth,
    },
    /// A function, or a port with all below it, was reset.
    Reset(Reset),
    /// The guest gave a port other bus numbers.
    BusesRenumbered {
        /// The bus right below.
        secondary: u8,
        /// The last bus below.
        subordinate: u8,
    },
    /// A function detected an error.
    Error(DetectedError),
    /// A function signalled a power management event: it has cause to wake the system.
    Wake,
    /// Software brought a function to another power state.
    PowerState(PowerState),
    /// A root port or event collector would have raised a system error, as Root Control asks (PCIe 6.2 section 6.2.6).
    SystemError(ErrorMessage),
    /// Downstream Port Containment took a link down.
    ContainmentTriggered,
    /// The guest released a contained link.
    ContainmentReleased,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Plugged => "plugged",
            Self::Unplugged => "unplugged",
            Self::SurpriseRemoval => "surprise removal",
            Self::AttentionButton => "attention button",
            Self::PowerOn => "power on",
            Self::PowerOff => "power off",
            Self::PowerFault => "power fault",
            Self::LinkUp { speed, width } => return write!(f, "link up: {}", Rate(*speed, *width)),
            Self::LinkDown => "link down",
            Self::LinkDisabled => "link disabled",
            Self::LinkRetrained { speed, width } => {
                return write!(f, "link retrained: {}", Rate(*speed, *width));
            }
            Self::Reset(Reset::Cold) => "cold reset",
            Self::Reset(Reset::Hot) => "hot reset",
            Self::Reset(Reset::FunctionLevel) => "function-level reset",
            Self::BusesRenumbered {
                secondary,
                subordinate,
            } => return write!(f, "buses {secondary:02x} to {subordinate:02x} below"),
            Self::Error(DetectedError::Correctable(errors)) => {
                return write!(f, "correctable error: {}", Correctable(*errors));
            }
            Self::Error(DetectedError::Uncorrectable { bit, .. }) => {
                return write!(f, "uncorrectable error: {bit:?}");
            }
            Self::Wake => "wake",
            Self::PowerState(state) => return write!(f, "power state {state:?}"),
            Self::SystemError(ErrorMessage::Correctable) => "system error: correctable error",
            Self::SystemError(ErrorMessage::NonFatal) => "system error: non-fatal error",
            Self::SystemError(ErrorMessage::Fatal) => "system error: fatal error",
            Self::ContainmentTriggered => "containment triggered",
            Self::ContainmentReleased => "containment released",
        };
        f.write_str(name)
    }
}

/// A link's speed and width as people write them: `32 GT/s x16`.
struct Rate(LinkSpeed, LinkWidth);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let speed = match self.0 {
            LinkSpeed::Speed2_5GtS => "2.5",
            LinkSpeed::Speed5_0GtS => "5",
            LinkSpeed::Speed8_0GtS => "8",
            LinkSpeed::Speed16_0GtS => "16",
            LinkSpeed::Speed32_0GtS => "32",
            LinkSpeed::Speed64_0GtS => "64",
            _ => "?",
        };
        write!(f, "{speed} GT/s x{}", self.1.0)
    }
}

/// Correctable errors by name.
struct Correctable(CorrectableErrors);

impl fmt::Display for Correctable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.0;
        let names = [
            (errors.receiver_error(), "RECEIVER_ERROR"),
            (errors.bad_tlp(), "BAD_TLP"),
            (errors.bad_dllp(), "BAD_DLLP"),
            (errors.replay_num_rollover(), "REPLAY_NUM_ROLLOVER"),
            (errors.replay_timer_timeout(), "REPLAY_TIMER_TIMEOUT"),
            (errors.advisory_non_fatal(), "ADVISORY_NON_FATAL"),
            (errors.corrected_internal(), "CORRECTED_INTERNAL"),
            (errors.header_log_overflow(), "HEADER_LOG_OVERFLOW"),
        ];
        let mut separator = "";
        for (_, name) in names.iter().filter(|(is_set, _)| *is_set) {
            write!(f, "{separator}{name}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FabricEvent {
    /// Its number: one more than that of the event before.
    pub sequence: u64,
    /// When: since the log's clock began, never decreasing.
    pub time: Duration,
    /// The name of the port or device.
    pub name: Arc<str>,
    /// Where the guest reached it then; `None` where it had not numbered the bus.
    pub bdf: Option<Bdf>,
    /// What happened.
    pub kind: EventKind,
    /// Why, in at most [`CAUSE_BYTES_MAX`] bytes; may be empty.
    pub cause: Cow<'static, str>,
}

impl fmt::Display for FabricEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.kind)?;
        if !self.cause.is_empty() {
            write!(f, " ({})", self.cause)?;
        }
        Ok(())
    }
}

type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

struct Ring {
    events: VecDeque<FabricEvent>,
    /// The sequence number of the next event.
    next: u64,
    /// Time of the last event.
    last: Duration,
}

struct Shared {
    ring: Mutex<Ring>,
    arrived: Condvar,
    capacity: usize,
    clock: Clock,
}

/// The log of a fabric. Clones are handles on the same log.
///
/// It keeps the newest events up to its capacity, for which there is room from the beginning. A guest that makes events as fast as it can pushes old ones out, which are counted; it
/// takes no more memory and no more time for that.
///
/// ```
/// use pci_bus::events::{EventKind, FabricEvents};
///
/// let log = FabricEvents::new(2);
/// for kind in [EventKind::Plugged, EventKind::LinkDown, EventKind::Unplugged] {
///     log.push(&"rp0".into(), None, kind, "");
/// }
/// let seen: Vec<_> = log.since(0).iter().map(|event| (event.sequence, event.kind)).collect();
/// assert_eq!(seen, [(1, EventKind::LinkDown), (2, EventKind::Unplugged)]);
/// assert_eq!((log.next_sequence(), log.dropped()), (3, 1));
/// ```
#[derive(Clone)]
pub struct FabricEvents(Arc<Shared>);

impl Default for FabricEvents {
    /// A log of [`EVENTS_MAX`] events.
    fn default() -> Self {
        Self::new(EVENTS_MAX)
    }
}

impl fmt::Debug for FabricEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = self.0.ring.lock();
        f.debug_struct("FabricEvents")
            .field("kept", &ring.events.len())
            .field("next", &ring.next)
            .finish()
    }
}

impl FabricEvents {
    /// A log that keeps `capacity` events, and one at least, by the host's monotonic clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing that a guest sees depends on this clock; `with_clock` takes another"
    )]
    pub fn new(capacity: usize) -> Self {
        let start = std::time::Instant::now();
        Self::with_clock(capacity, move || start.elapsed())
    }

    /// A log for what is part of no fabric yet: it keeps one event.
    pub fn detached() -> Self {
        Self::with_clock(1, || Duration::ZERO)
    }

    /// As [`Self::new`], by a clock of the caller's: a test moves it. It is asked with the log's lock held, and must not come back here.
    pub fn with_clock(
        capacity: usize,
        clock: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            ring: Mutex::new(Ring {
                events: VecDeque::with_capacity(capacity.max(1)),
                next: 0,
                last: Duration::ZERO,
            }),
            arrived: Condvar::new(),
            capacity: capacity.max(1),
            clock: Arc::new(clock),
        }))
    }

    /// Logs an event. Of a long cause, the beginning is kept.
    pub fn push(
        &self,
        name: &Arc<str>,
        bdf: Option<Bdf>,
        kind: EventKind,
        cause: impl Into<Cow<'static, str>>,
    ) {
        let cause = bounded(cause.into());
        let mut ring = self.0.ring.lock();
        if ring.events.len() >= self.0.capacity {
            ring.events.pop_front();
        }
        let time = (self.0.clock)().max(ring.last);
        let sequence = ring.next;
        ring.events.push_back(FabricEvent {
            sequence,
            time,
            name: name.clone(),
            bdf,
            kind,
            cause,
        });
        ring.last = time;
        ring.next += 1;
        drop(ring);
        self.0.arrived.notify_all();
    }

    /// The events from number `sequence` on that are still there, oldest first. Who asks again asks from one more than the last.
    pub fn since(&self, sequence: u64) -> Vec<FabricEvent> {
        self.0.ring.lock().since(sequence)
    }

    /// As [`Self::since`], but waits for an event while there is none, at most for `timeout`.
    pub fn wait(&self, sequence: u64, timeout: Duration) -> Vec<FabricEvent> {
        let mut ring = self.0.ring.lock();
        self.0
            .arrived
            .wait_while_for(&mut ring, |ring| ring.next <= sequence, timeout);
        ring.since(sequence)
    }

    /// The number that the next event will have: how many there were so far.
    pub fn next_sequence(&self) -> u64 {
        self.0.ring.lock().next
    }

    /// How many events were pushed out.
    pub fn dropped(&self) -> u64 {
        let ring = self.0.ring.lock();
        ring.next - ring.events.len() as u64
    }
}

impl Ring {
    fn since(&self, sequence: u64) -> Vec<FabricEvent> {
        // Numbers ascend by one.
        let first = self
            .events
            .partition_point(|event| event.sequence < sequence);
        self.events.iter().skip(first).cloned().collect()
    }
}

fn bounded(mut cause: Cow<'static, str>) -> Cow<'static, str> {
    if cause.len() > CAUSE_BYTES_MAX {
        let end = cause.floor_char_boundary(CAUSE_BYTES_MAX);
        match &mut cause {
            Cow::Borrowed(text) => *text = text.get(..end).unwrap_or_default(),
            Cow::Owned(text) => text.truncate(end),
        }
    }
    cause
}

impl Inspect for FabricEvents {
    fn inspect(&self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        let events = self.since(0);
        resp.counter("dropped", self.dropped());
        for event in events {
            resp.child(&format!("{:08}", event.sequence), |req| {
                let mut resp = req.respond();
                resp.field("time", event.time)
                    .field("name", &*event.name)
                    .field("kind", event.kind.to_string())
                    .field("cause", &*event.cause);
                if let Some(bdf) = event.bdf {
                    resp.field("bdf", bdf.to_string());
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pci_spec::caps::aer::UncorrectableErrorBit;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;

    fn name() -> Arc<str> {
        "rp0".into()
    }

    #[test]
    fn time_comes_from_the_clock_and_never_goes_back() {
        let now = Arc::new(AtomicU64::new(5));
        let log = FabricEvents::with_clock(4, {
            let now = now.clone();
            move || Duration::from_millis(now.load(Ordering::Relaxed))
        });
        log.push(&name(), None, EventKind::Plugged, "");
        now.store(3, Ordering::Relaxed);
        log.push(&name(), None, EventKind::LinkDown, "");
        now.store(9, Ordering::Relaxed);
        log.push(&name(), None, EventKind::Unplugged, "");
        let times: Vec<_> = log.since(0).iter().map(|e| e.time.as_millis()).collect();
        assert_eq!(times, [5, 5, 9]);
    }

    #[test]
    fn a_flood_takes_no_memory_and_is_counted() {
        let log = FabricEvents::new(3);
        for _ in 0..10_000 {
            log.push(&name(), None, EventKind::LinkDown, "x".repeat(1000));
        }
        let kept = log.since(0);
        assert_eq!(
            kept.iter()
                .map(|e| (e.sequence, e.cause.len()))
                .collect::<Vec<_>>(),
            [(9997, 120), (9998, 120), (9999, 120)]
        );
        assert_eq!(
            (
                log.dropped(),
                log.since(9999).len(),
                log.since(10_000).len()
            ),
            (9997, 1, 0)
        );
        assert!(log.0.ring.lock().events.capacity() <= 8);
    }

    #[test]
    fn a_cause_is_cut_at_a_character() {
        let log = FabricEvents::default();
        log.push(
            &name(),
            None,
            EventKind::LinkDown,
            format!("a{}", "ü".repeat(100)),
        );
        let cause = log.since(0).remove(0).cause;
        assert_eq!(cause.len(), 119);
        assert!(cause.ends_with('ü'));
    }

    #[test]
    fn a_reader_waits_for_what_comes() {
        let log = FabricEvents::default();
        assert!(log.wait(0, Duration::ZERO).is_empty());
        let reader = std::thread::spawn({
            let log = log.clone();
            move || log.wait(0, Duration::from_secs(60))
        });
        log.push(
            &name(),
            Some(Bdf::from_bits(0x0108)),
            EventKind::AttentionButton,
            "",
        );
        let events = reader.join().unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].bdf, Some(Bdf::from_bits(0x0108)));
    }

    #[test]
    fn events_read_as_people_write_them() {
        let log = FabricEvents::default();
        let error = DetectedError::uncorrectable(UncorrectableErrorBit::SURPRISE_DOWN);
        let bad = CorrectableErrors::new()
            .with_bad_tlp(true)
            .with_bad_dllp(true);
        log.push(&name(), None, EventKind::Error(error), "card pulled");
        log.push(
            &name(),
            None,
            EventKind::Error(DetectedError::Correctable(bad)),
            "",
        );
        let (speed, width) = (LinkSpeed::Speed2_5GtS, LinkWidth::X4);
        log.push(&name(), None, EventKind::LinkUp { speed, width }, "");
        let shown: Vec<_> = log.since(0).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "rp0: uncorrectable error: SURPRISE_DOWN (card pulled)",
                "rp0: correctable error: BAD_TLP, BAD_DLLP",
                "rp0: link up: 2.5 GT/s x4",
            ]
        );
    }
}

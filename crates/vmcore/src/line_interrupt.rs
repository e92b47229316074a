//! Level-triggered interrupt lines, shared as open-collector wires are.
//!
//! A [`LineSet`] connects numbered lines to interrupt controllers. A device holds a [`LineInterrupt`] and drives it high or
//! low; up to [`SHARED_LINES_MAX`] devices can share a line, which is high while any of them drives it high.

pub mod test_helpers;

use inspect::Inspect;
use inspect::Request;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// How many devices can share a line.
pub const SHARED_LINES_MAX: usize = 16;

/// Why a line could not be created.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NewLineError {
    /// The line of this vector is shared by [`SHARED_LINES_MAX`] devices already.
    #[error(
        "line interrupt vector {0} is already shared by {SHARED_LINES_MAX} devices, the maximum"
    )]
    TooMany(u32),
}

/// An interrupt controller at which lines end.
pub trait LineSetTarget: Send + Sync {
    /// Drives input `vector`. The same level may be repeated.
    ///
    /// Calls for one vector come in the order of the level's changes. To keep that order the caller holds the lock of the
    /// line meanwhile, so the target must not block, and must not drive, share or drop a line of the same vector.
    fn set_irq(&self, vector: u32, high: bool);
}

/// A device's connection to an interrupt line.
///
/// Dropping it takes the device's contribution to the level away.
pub struct LineInterrupt {
    line: Arc<Line>,
    slot: usize,
    label: Arc<str>,
    /// The set to tell when the line is not used any more.
    set: Option<Arc<Mutex<SetState>>>,
}

/// One wire.
struct Line {
    vector: u32,
    state: Mutex<LineState>,
}

struct LineState {
    /// The contributions of the devices that share the wire. A slot is reused after its device is gone.
    slots: [Option<Contribution>; SHARED_LINES_MAX],
    targets: Vec<Connection>,
}

struct Contribution {
    label: Arc<str>,
    high: bool,
}

/// Where a wire ends: an input of a controller.
#[derive(Clone)]
struct Connection {
    label: Arc<str>,
    vector: u32,
    target: Arc<dyn LineSetTarget>,
}

impl LineState {
    fn is_high(&self) -> bool {
        self.slots.iter().flatten().any(|slot| slot.high)
    }

    /// The input of each controller at which the wire ends.
    fn inputs(&self) -> impl Iterator<Item = (&str, u32)> {
        self.targets
            .iter()
            .map(|connection| (&*connection.label, connection.vector))
    }

    /// Tells every target the level. Levels are repeated rather than filtered: a controller that was reset learns the level
    /// with the next call.
    fn drive(&self) {
        let high = self.is_high();
        for connection in &self.targets {
            connection.target.set_irq(connection.vector, high);
        }
    }
}

impl Line {
    fn new(vector: u32, targets: Vec<Connection>) -> Arc<Self> {
        Arc::new(Self {
            vector,
            state: Mutex::new(LineState {
                slots: Default::default(),
                targets,
            }),
        })
    }

    /// Connects one more device to the wire.
    fn share(
        self: &Arc<Self>,
        label: Cow<'static, str>,
        set: Option<&Arc<Mutex<SetState>>>,
    ) -> Result<LineInterrupt, NewLineError> {
        let label: Arc<str> = label.into();
        let mut state = self.state.lock();
        let (slot, free) = state
            .slots
            .iter_mut()
            .enumerate()
            .find(|(_, slot)| slot.is_none())
            .ok_or(NewLineError::TooMany(self.vector))?;
        *free = Some(Contribution {
            label: label.clone(),
            high: false,
        });
        Ok(LineInterrupt {
            line: self.clone(),
            slot,
            label,
            set: set.cloned(),
        })
    }

    fn connect(&self, connection: Connection) {
        let mut state = self.state.lock();
        if state.is_high() {
            connection.target.set_irq(connection.vector, true);
        }
        state.targets.push(connection);
    }
}

impl LineInterrupt {
    /// A line that ends nowhere.
    pub fn detached() -> Self {
        Self::alone(Line::new(0, Vec::new()), "detached".into())
    }

    /// A line that ends at input `vector` of `target`, without a [`LineSet`].
    pub fn new_with_target(
        label: impl Into<Cow<'static, str>>,
        target: Arc<dyn LineSetTarget>,
        vector: u32,
    ) -> LineInterrupt {
        let label = label.into();
        let connection = Connection {
            label: label.clone().into(),
            vector,
            target,
        };
        Self::alone(Line::new(vector, vec![connection]), label)
    }

    /// The first connection to a wire.
    fn alone(line: Arc<Line>, label: Cow<'static, str>) -> Self {
        let label: Arc<str> = label.into();
        let slot = 0;
        if let Some(first) = line.state.lock().slots.first_mut() {
            *first = Some(Contribution {
                label: label.clone(),
                high: false,
            });
        }
        Self {
            line,
            slot,
            label,
            set: None,
        }
    }

    /// Another connection to the same line, for another device.
    ///
    /// # Errors
    ///
    /// [`NewLineError::TooMany`] when [`SHARED_LINES_MAX`] devices share the line already.
    pub fn new_shared(&self, label: impl Into<Cow<'static, str>>) -> Result<Self, NewLineError> {
        self.line.share(label.into(), self.set.as_ref())
    }

    /// Drives the line high, or stops driving it. The line stays high as long as another device drives it.
    pub fn set_level(&self, high: bool) {
        let mut state = self.line.state.lock();
        if let Some(Some(slot)) = state.slots.get_mut(self.slot) {
            slot.high = high;
        }
        if high && state.targets.is_empty() && self.set.is_some() {
            tracelimit::warn_ratelimited!(
                vector = self.line.vector,
                line = &*self.label,
                "interrupt line asserted, but it has no target"
            );
        }
        state.drive();
    }

    /// Whether this device drives the line high.
    fn is_high(&self) -> bool {
        let state = self.line.state.lock();
        matches!(state.slots.get(self.slot), Some(Some(slot)) if slot.high)
    }
}

impl Drop for LineInterrupt {
    fn drop(&mut self) {
        if self.is_high() {
            self.set_level(false);
        }
        // The set's lock comes first, as in `LineSet::new_line`, so that nobody joins a line that is being removed. No target
        // is called while it is held.
        let mut set = self.set.as_ref().map(|set| set.lock());
        let mut state = self.line.state.lock();
        if let Some(slot) = state.slots.get_mut(self.slot) {
            *slot = None;
        }
        let unused = state.slots.iter().all(Option::is_none);
        if unused && let Some(set) = &mut set {
            set.lines.remove(&self.line.vector);
        }
    }
}

impl fmt::Debug for LineInterrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineInterrupt")
            .field("label", &self.label)
            .field("vector", &self.line.vector)
            .field("is_high", &self.is_high())
            .finish()
    }
}

impl fmt::Display for LineInterrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (vector {})", self.label, self.line.vector)
    }
}

/// Shows `debug_label`, `is_high` (this device's contribution) and `targets` (input by controller).
impl Inspect for LineInterrupt {
    fn inspect(&self, req: Request<'_>) {
        let state = self.line.state.lock();
        let high = matches!(state.slots.get(self.slot), Some(Some(slot)) if slot.high);
        req.respond()
            .field("debug_label", &*self.label)
            .field("is_high", high)
            .fields("targets", state.inputs());
    }
}

/// Numbered interrupt lines, and the controllers that ranges of them end at.
#[derive(Default)]
pub struct LineSet {
    state: Arc<Mutex<SetState>>,
}

#[derive(Default)]
struct SetState {
    targets: Vec<RangeTarget>,
    /// The lines that a device is connected to, by vector.
    lines: BTreeMap<u32, Arc<Line>>,
}

/// A range of lines that ends at consecutive inputs of a controller.
struct RangeTarget {
    label: Arc<str>,
    source_range: RangeInclusive<u32>,
    target_start: u32,
    target: Arc<dyn LineSetTarget>,
}

impl RangeTarget {
    /// The input that line `vector` ends at, if it does.
    fn connection(&self, vector: u32) -> Option<Connection> {
        self.source_range.contains(&vector).then(|| Connection {
            label: self.label.clone(),
            // Wraps only beyond the last input that can be numbered, for which no controller exists.
            vector: (vector - self.source_range.start()).wrapping_add(self.target_start),
            target: self.target.clone(),
        })
    }
}

impl LineSet {
    /// A set without targets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the lines of `source_range` also at the inputs of `target` from `target_start` on.
    ///
    /// Lines that exist already are connected too, and if they are high the target is told at once.
    pub fn add_target(
        &self,
        source_range: RangeInclusive<u32>,
        target_start: u32,
        label: impl Into<Arc<str>>,
        target: Arc<dyn LineSetTarget>,
    ) {
        let target = RangeTarget {
            label: label.into(),
            source_range,
            target_start,
            target,
        };
        let existing: Vec<(Arc<Line>, Connection)> = {
            let mut state = self.state.lock();
            let existing = state
                .lines
                .iter()
                .filter_map(|(&vector, line)| Some((line.clone(), target.connection(vector)?)))
                .collect();
            // A line that is made from here on finds the target in the list.
            state.targets.push(target);
            existing
        };
        for (line, connection) in existing {
            line.connect(connection);
        }
    }

    /// Connects a device to line `vector`. `label` names the device in inspection and logs.
    ///
    /// # Errors
    ///
    /// [`NewLineError::TooMany`] when [`SHARED_LINES_MAX`] devices share the line already.
    pub fn new_line(
        &self,
        vector: u32,
        label: impl Into<Cow<'static, str>>,
    ) -> Result<LineInterrupt, NewLineError> {
        let label = label.into();
        let mut state = self.state.lock();
        let SetState { targets, lines } = &mut *state;
        lines
            .entry(vector)
            .or_insert_with(|| {
                let connections = targets
                    .iter()
                    .filter_map(|target| target.connection(vector))
                    .collect();
                Line::new(vector, connections)
            })
            .share(label, Some(&self.state))
    }
}

/// Shows `targets` (each controller's lines and first input) and `lines` (the level and the devices of each line in use).
impl Inspect for LineSet {
    fn inspect(&self, req: Request<'_>) {
        let state = self.state.lock();
        let targets = state.targets.iter().map(|target| (&target.label, target));
        req.respond()
            .fields("targets", targets)
            .fields("lines", &state.lines);
    }
}

impl Inspect for RangeTarget {
    fn inspect(&self, req: Request<'_>) {
        let (first, last) = (self.source_range.start(), self.source_range.end());
        req.respond()
            .display("lines", &format_args!("{first}-{last}"))
            .field("first_input", self.target_start);
    }
}

impl Inspect for Line {
    fn inspect(&self, req: Request<'_>) {
        let state = self.state.lock();
        let devices = state.slots.iter().enumerate();
        let devices = devices.filter_map(|(n, slot)| Some((n, slot.as_ref()?)));
        req.respond()
            .field("is_high", state.is_high())
            .fields("devices", devices)
            .fields("targets", state.inputs());
    }
}

impl Inspect for Contribution {
    fn inspect(&self, req: Request<'_>) {
        req.respond()
            .field("label", &*self.label)
            .field("is_high", self.high);
    }
}

impl fmt::Debug for LineSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("LineSet")
            .field("targets", &state.targets.len())
            .field("lines", &state.lines.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::test_helpers::TestLineInterruptTarget;
    use super::*;

    fn lines_in(set: &LineSet) -> Vec<u32> {
        set.state.lock().lines.keys().copied().collect()
    }

    #[test]
    fn level_reaches_the_input_of_the_vector() {
        let set = LineSet::new();
        let target = TestLineInterruptTarget::new_arc();
        set.add_target(5..=10, 105, "pic", target.clone());
        let line = set.new_line(7, "nic").unwrap();
        line.set_level(true);
        assert!(target.is_high(107));
        assert!(!target.is_high(7));
        line.set_level(false);
        assert!(!target.is_high(107));
    }

    #[test]
    fn a_shared_line_is_high_while_anyone_drives_it() {
        let target = TestLineInterruptTarget::new_arc();
        let a = LineInterrupt::new_with_target("a", target.clone(), 3);
        let b = a.new_shared("b").unwrap();
        a.set_level(true);
        b.set_level(true);
        a.set_level(false);
        assert!(target.is_high(3));
        b.set_level(false);
        assert!(!target.is_high(3));
    }

    #[test]
    fn dropping_lowers_the_own_contribution_only() {
        let target = TestLineInterruptTarget::new_arc();
        let a = LineInterrupt::new_with_target("a", target.clone(), 3);
        let b = a.new_shared("b").unwrap();
        a.set_level(true);
        b.set_level(true);
        drop(a);
        assert!(target.is_high(3));
        drop(b);
        assert!(!target.is_high(3));
    }

    #[test]
    fn sixteen_share_and_the_seventeenth_is_refused() {
        let set = LineSet::new();
        let mut lines: Vec<_> = (0..16)
            .map(|n| set.new_line(9, format!("device {n}")).unwrap())
            .collect();
        let refused = set.new_line(9, "one too many").unwrap_err();
        assert_eq!(refused, NewLineError::TooMany(9));
        assert!(refused.to_string().contains("vector 9"), "{refused}");
        assert_eq!(
            lines[0].new_shared("one too many").unwrap_err(),
            NewLineError::TooMany(9)
        );
        lines.remove(4);
        lines.push(set.new_line(9, "fits again").unwrap());
        assert_eq!(
            set.new_line(9, "full again").unwrap_err(),
            NewLineError::TooMany(9)
        );
    }

    #[test]
    fn slots_are_reused_without_confusion() {
        let set = LineSet::new();
        let target = TestLineInterruptTarget::new_arc();
        set.add_target(0..=15, 0, "pic", target.clone());
        let keeper = set.new_line(1, "keeper").unwrap();
        for _ in 0..1000 {
            let line = set.new_line(1, "passer-by").unwrap();
            line.set_level(true);
            assert!(target.is_high(1));
            drop(line);
            assert!(!target.is_high(1));
        }
        keeper.set_level(true);
        assert!(target.is_high(1));
    }

    #[test]
    fn unused_lines_leave_the_set() {
        let set = LineSet::new();
        for vector in 0..1000 {
            let line = set.new_line(vector, "passer-by").unwrap();
            assert_eq!(lines_in(&set), [vector]);
            let shared = line.new_shared("other").unwrap();
            drop(line);
            assert_eq!(lines_in(&set), [vector], "still shared");
            drop(shared);
        }
        assert!(lines_in(&set).is_empty());
    }

    #[test]
    fn a_later_target_learns_of_high_lines_at_once() {
        let set = LineSet::new();
        let high = set.new_line(2, "high").unwrap();
        let _low = set.new_line(3, "low").unwrap();
        let outside = set.new_line(40, "outside").unwrap();
        high.set_level(true);
        outside.set_level(true);
        let target = TestLineInterruptTarget::new_arc();
        set.add_target(0..=15, 32, "ioapic", target.clone());
        assert!(target.is_high(34));
        assert!(!target.is_high(35));
        assert!(!target.is_high(72));
        high.set_level(false);
        assert!(!target.is_high(34));
    }

    #[test]
    fn several_targets_and_every_call_reaches_them() {
        #[derive(Default)]
        struct Calls(Mutex<Vec<(u32, bool)>>);
        impl LineSetTarget for Calls {
            fn set_irq(&self, vector: u32, high: bool) {
                self.0.lock().push((vector, high));
            }
        }
        let set = LineSet::new();
        let (pic, ioapic) = (Arc::new(Calls::default()), Arc::new(Calls::default()));
        set.add_target(0..=15, 0, "pic", pic.clone());
        set.add_target(0..=23, 100, "ioapic", ioapic.clone());
        let line = set.new_line(4, "uart").unwrap();
        line.set_level(true);
        line.set_level(true);
        line.set_level(false);
        drop(line);
        assert_eq!(*pic.0.lock(), [(4, true), (4, true), (4, false)]);
        assert_eq!(*ioapic.0.lock(), [(104, true), (104, true), (104, false)]);
    }

    #[test]
    fn lines_outlive_their_set() {
        let target = TestLineInterruptTarget::new_arc();
        let set = LineSet::new();
        set.add_target(0..=15, 0, "pic", target.clone());
        let line = set.new_line(6, "floppy").unwrap();
        drop(set);
        line.set_level(true);
        assert!(target.is_high(6));
    }

    #[test]
    fn detached_line_can_be_driven_and_shared() {
        let line = LineInterrupt::detached();
        line.set_level(true);
        line.new_shared("other").unwrap().set_level(true);
        assert_eq!(line.to_string(), "detached (vector 0)");
    }

    #[test]
    fn inspection() {
        let set = LineSet::new();
        let target = TestLineInterruptTarget::new_arc();
        set.add_target(0..=15, 32, "ioapic", target.clone());
        let nic = set.new_line(5, "nic").unwrap();
        let _disk = nic.new_shared("disk").unwrap();
        nic.set_level(true);
        let show = |object: &dyn Inspect| inspect::inspect("", object).results().to_string();
        assert_eq!(
            show(&nic),
            r#"{debug_label: "nic", is_high: true, targets: {ioapic: 37}}"#
        );
        assert_eq!(
            show(&set),
            concat!(
                r#"{lines: {5: {devices: {0: {is_high: true, label: "nic"}, 1: {is_high: false, label: "disk"}}, "#,
                r#"is_high: true, targets: {ioapic: 37}}}, "#,
                r#"targets: {ioapic: {first_input: 32, lines: "0-15"}}}"#
            )
        );
    }
}

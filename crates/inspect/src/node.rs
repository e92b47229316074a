//! A snapshot of a part of the tree.

use crate::Error;
use crate::SensitivityLevel;
use crate::Value;
use crate::ValueFlags;
use crate::ValueKind;
use crate::natural;
#[cfg(feature = "initiate")]
use crate::request::split_path;
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

/// A snapshot of a node and what is below it.
///
/// `{}` writes it in one line, `{a: 1, b: {c: 0x10}}`, and `{:#}` in indented lines. [`json`](Self::json) gives
/// JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A directory that lies deeper than the inquiry asked; `_` as text.
    Unevaluated,
    /// The node could not be shown.
    Failed(Error),
    /// A leaf.
    Value(Value),
    /// A directory, in natural order of the names: `port2` before `port10`.
    ///
    /// Directories of the same name have been merged. Leaves of the same name, which are an
    /// implementor's mistake, are all here.
    Dir(Vec<Entry>),
}

/// A named child of a directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The name; it holds no slash. Most names are part of the program that was looked at.
    pub name: Cow<'static, str>,
    /// The child itself.
    pub node: Node,
    /// How sensitive it is.
    pub sensitivity: SensitivityLevel,
}

impl Node {
    /// The node with each counter replaced by its rate per second since `last`, a snapshot of the same node
    /// taken `elapsed` earlier.
    ///
    /// A counter that went backwards has been reset, and is taken to have started from zero. A counter that
    /// `last` does not have stays as it is, and so does everything if `elapsed` is zero.
    #[must_use]
    pub fn since(&self, last: &Node, elapsed: Duration) -> Node {
        if elapsed.is_zero() {
            return self.clone();
        }
        match (self, last) {
            (Self::Value(value), Self::Value(last)) => Self::Value(rate(value, last, elapsed)),
            (Self::Dir(entries), Self::Dir(last)) => {
                let last: BTreeMap<_, _> = last.iter().map(|e| (&*e.name, &e.node)).collect();
                let entry = |entry: &Entry| Entry {
                    node: match last.get(&*entry.name) {
                        Some(last) => entry.node.since(last, elapsed),
                        None => entry.node.clone(),
                    },
                    ..entry.clone()
                };
                Self::Dir(entries.iter().map(entry).collect())
            }
            _ => self.clone(),
        }
    }

    /// The node at `path` below this one.
    #[cfg(feature = "initiate")]
    pub(crate) fn descend(self, path: &str) -> Node {
        let Some((first, rest)) = split_path(path) else {
            return self;
        };
        let entries = match self {
            Self::Dir(entries) => entries,
            Self::Value(_) => return Self::Failed(Error::NotADirectory),
            failed => return failed,
        };
        // What could not be merged may be hiding the node: its failure is better known than "not found".
        let candidates = entries.into_iter().filter_map(|entry| {
            if entry.name == first {
                Some(entry.node.descend(rest))
            } else {
                Some(entry.node).filter(|node| {
                    entry.name.is_empty()
                        && matches!(node, Self::Failed(e) if *e != Error::NotADirectory)
                })
            }
        });
        // The first of the best: answers, then failures, then "not found".
        candidates
            .min_by_key(|node| match node {
                Self::Failed(Error::NotFound) => 2,
                Self::Failed(_) => 1,
                _ => 0,
            })
            .unwrap_or(Self::Failed(Error::NotFound))
    }
}

fn rate(value: &Value, last: &Value, elapsed: Duration) -> Value {
    if !value.flags.count() {
        return value.clone();
    }
    let grown = match (&value.kind, &last.kind) {
        (ValueKind::Unsigned(now), ValueKind::Unsigned(last)) => {
            now.checked_sub(*last).unwrap_or(*now) as f64
        }
        (ValueKind::Signed(now), ValueKind::Signed(last)) => *now as f64 - *last as f64,
        (ValueKind::Float(now), ValueKind::Float(last)) => f64::from(*now) - f64::from(*last),
        (ValueKind::Double(now), ValueKind::Double(last)) => now - last,
        _ => return value.clone(),
    };
    ValueKind::Double(grown / elapsed.as_secs_f64()).with_flags(ValueFlags::default())
}

/// Whether the entries are in order and no two have the same name, as is nearly always so.
pub(crate) fn is_tidy(entries: &[Entry]) -> bool {
    entries.is_sorted_by(|a, b| natural::compare(&a.name, &b.name).is_lt())
}

/// Sorts the entries and merges directories of the same name.
pub(crate) fn tidy(mut entries: Vec<Entry>) -> Vec<Entry> {
    if is_tidy(&entries) {
        return entries;
    }
    entries.sort_by(|a, b| natural::compare(&a.name, &b.name));
    if entries.is_sorted_by(|a, b| a.name != b.name) {
        return entries;
    }
    let mut tidied: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        let namesakes = tidied
            .iter_mut()
            .rev()
            .take_while(|other| other.name == entry.name);
        match namesakes
            .into_iter()
            .find(|other| can_merge(&other.node, &entry.node))
        {
            Some(other) => merge(other, entry),
            None => tidied.push(entry),
        }
    }
    for entry in &mut tidied {
        if let Node::Dir(children) = &mut entry.node
            && !is_tidy(children)
        {
            *children = tidy(core::mem::take(children));
        }
    }
    tidied
}

fn can_merge(a: &Node, b: &Node) -> bool {
    let directory = |node: &Node| matches!(node, Node::Dir(_) | Node::Unevaluated);
    directory(a) && directory(b)
}

/// Moves the children of `entry` to `other`.
fn merge(other: &mut Entry, entry: Entry) {
    other.sensitivity = other.sensitivity.max(entry.sensitivity);
    match (&mut other.node, entry.node) {
        (Node::Dir(children), Node::Dir(more)) => children.extend(more),
        // Nothing to add.
        (_, Node::Unevaluated) => {}
        (node, more) => *node = more,
    }
}

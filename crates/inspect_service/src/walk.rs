//! Looking at a tree directory by directory.

use crate::Source;
use inspect::Error;
use inspect::Node;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// For each unit of time that a question took, and may have held a lock for, this many pass before the next.
const REST: u32 = 4;
/// A question that took longer has waited for a lock and not held it: its thread is not made to rest for that.
const REST_MAX: Duration = Duration::from_millis(1);
/// Rests shorter than this are put together: a thread cannot sleep for less with any precision.
const REST_MIN: Duration = Duration::from_micros(200);
/// What an entry takes beside its name and value, in bytes.
const ENTRY_OVERHEAD: usize = 16;

/// Why a walk has no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WalkError {
    /// The result would be too large.
    TooLarge,
    /// Nobody waits for the result any more.
    Cancelled,
}

/// A walk over a tree. No question it asks copies more than one directory's values, and between the questions the thing
/// looked at is left alone.
pub(crate) struct Walk<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) bytes_left: usize,
    pub(crate) cancelled: &'a AtomicBool,
    pub(crate) rest: Duration,
}

impl Walk<'_> {
    /// The node at `path`, with `depth` levels of directories below it.
    pub(crate) fn node(&mut self, path: &str, depth: usize) -> Result<Node, WalkError> {
        let mut node = self.ask(path)?;
        self.charge(&node)?;
        if let Node::Dir(entries) = &mut node
            && let Some(depth) = depth.checked_sub(1)
        {
            for entry in entries.iter_mut() {
                if entry.node == Node::Unevaluated {
                    let path = match path {
                        "" => entry.name.to_string(),
                        path => format!("{path}/{}", entry.name),
                    };
                    entry.node = self.node(&path, depth)?;
                }
            }
            // What has gone since its directory was listed.
            entries.retain(|entry| entry.node != Node::Failed(Error::NotFound));
        }
        Ok(node)
    }

    fn ask(&mut self, path: &str) -> Result<Node, WalkError> {
        if self.cancelled.load(Relaxed) {
            return Err(WalkError::Cancelled);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "it paces a walk, and is no device"
        )]
        let start = std::time::Instant::now();
        let node = self.source.inspect(path, 0);
        self.rest += (start.elapsed() * REST).min(REST_MAX);
        if self.rest >= REST_MIN {
            #[expect(
                clippy::disallowed_methods,
                reason = "the server's own thread leaves time to others"
            )]
            std::thread::sleep(self.rest);
            self.rest = Duration::ZERO;
        }
        Ok(node)
    }

    fn charge(&mut self, node: &Node) -> Result<(), WalkError> {
        let bytes = match node {
            Node::Dir(entries) => entries
                .iter()
                .map(|entry| entry.name.len() + ENTRY_OVERHEAD + own_bytes(&entry.node))
                .sum(),
            node => own_bytes(node),
        };
        self.bytes_left = self
            .bytes_left
            .checked_sub(bytes)
            .ok_or(WalkError::TooLarge)?;
        Ok(())
    }
}

/// What the text of a value takes at most, about.
fn own_bytes(node: &Node) -> usize {
    match node {
        Node::Value(value) => match &value.kind {
            inspect::ValueKind::String(text) => text.len(),
            inspect::ValueKind::Bytes(bytes) => 2 * bytes.len(),
            _ => 8,
        },
        Node::Unevaluated | Node::Failed(_) | Node::Dir(_) => 0,
    }
}

/// The longest part of `path` at whose end there is a node, and what is there.
pub(crate) fn known_prefix<'a>(source: &dyn Source, path: &'a str) -> (&'a str, Node) {
    let ends = path
        .match_indices('/')
        .map(|(at, _)| at)
        .filter(|at| *at > 0);
    let mut known = ("", source.inspect("", 0));
    for end in ends {
        let prefix = path.get(..end).unwrap_or_default();
        match source.inspect(prefix, 0) {
            Node::Failed(_) => break,
            node => known = (prefix, node),
        }
    }
    known
}

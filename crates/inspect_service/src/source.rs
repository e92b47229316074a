//! What a server shows and operates.

use crate::Topology;
use crate::lspci::ConfigSpace;
use crate::metrics::Family;
use inspect::Node;
use inspect::Value;
use pcie_topology::EndpointSpec;
use serde::Deserialize;
use serde::Serialize;
use std::time::Duration;

/// What a [`Server`](crate::Server) shows and operates: the embedder's side.
///
/// The server calls from threads of its own, at most two at a time. An implementor takes its locks in each call for as long as it copies
/// what is asked for, and no longer: the server asks for a tree directory by directory, and leaves time between the questions. What is not
/// provided is empty, or not supported.
pub trait Source: Send + Sync + 'static {
    /// The node at `path`, with `depth` levels of directories below it; see [`inspect::InspectionBuilder`].
    fn inspect(&self, path: &str, depth: usize) -> Node;

    /// Changes the node at `path` to what `value` says.
    ///
    /// # Errors
    ///
    /// As [`inspect::update`].
    fn update(&self, path: &str, value: &str) -> Result<Value, inspect::Error>;

    /// The hierarchy as the guest has numbered it.
    fn topology(&self) -> Topology {
        Topology::default()
    }

    /// The configuration space of every function that the guest reaches.
    fn config_spaces(&self) -> Vec<ConfigSpace> {
        Vec::new()
    }

    /// Counters and gauges.
    fn metrics(&self) -> Vec<Family> {
        Vec::new()
    }

    /// At most `max` of the events from number `from` on, oldest first, as far as they are still there.
    fn events(&self, from: u64, max: usize) -> Vec<Event> {
        let _ = (from, max);
        Vec::new()
    }

    /// Waits until there is an event with number `from` or a greater one, at most for `timeout`, and gives the number that the next event
    /// will have. `None` if there never are events.
    fn wait_for_event(&self, from: u64, timeout: Duration) -> Option<u64> {
        let _ = (from, timeout);
        None
    }

    /// Does what an operator does.
    ///
    /// # Errors
    ///
    /// [`OperationError`]; nothing changed.
    fn operate(&self, operation: Operation) -> Result<Outcome, OperationError> {
        let _ = operation;
        Err(OperationError::NotSupported)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number, one more than that of the event before.
    pub sequence: u64,
    /// When, in microseconds of the log's clock.
    pub time_us: u64,
    /// The port that it happened at; empty if at none.
    pub port: String,
    /// The function concerned, as `0000:3a:1f.7`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bdf: Option<String>,
    /// What kind of event: `hot_plug`, `power`, `link`, `error`, `reset`, `buses`.
    pub kind: String,
    /// What happened, in words.
    pub what: String,
    /// Why, in words; may be empty.
    pub cause: String,
}

/// What an operator does.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Plugs a new endpoint into a slot.
    Plug {
        /// The port.
        port: String,
        /// The endpoint.
        endpoint: Box<EndpointSpec>,
    },
    /// Takes out what is in a slot.
    Unplug {
        /// The port.
        port: String,
        /// Whether or not the guest let it go.
        surprise: bool,
    },
    /// Asks the guest to let go what is in a slot.
    RequestRemoval {
        /// The port.
        port: String,
    },
    /// Presses a slot's attention button.
    PressButton {
        /// The port.
        port: String,
    },
    /// Opens or closes a slot's retention latch.
    SetLatch {
        /// The port.
        port: String,
        /// Whether it is open then.
        open: bool,
    },
    /// Lets a slot's power controller find a fault.
    PowerFault {
        /// The port.
        port: String,
    },
    /// Saves the state.
    Save,
    /// Restores a saved state.
    Restore {
        /// What [`Operation::Save`] gave.
        state: Vec<u8>,
    },
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The state that was saved.
    Saved(Vec<u8>),
}

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// The embedder offers no operations.
    #[error("this server offers no such operation")]
    NotSupported,
    /// There is no such port.
    #[error("{0}")]
    NotFound(String),
    /// The slot is not in a state in which it can be done; what is wrong, in words.
    #[error("{0}")]
    Conflict(String),
    /// The guest was not asked to let the device go, or has not done so yet; what is held, in words.
    #[error("{0}")]
    Held(String),
    /// What was sent along is wrong; one mistake a line.
    #[error("{0}")]
    Invalid(String),
    /// It went wrong for reasons of the server's own.
    #[error("{0}")]
    Failed(String),
}

//! How much is let in, and for how long.

use std::time::Duration;

/// Bounds on what clients can take. The defaults suit one operator, a few scripts and a collector of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are served at once; those beyond are answered 503.
    pub connections: usize,
    /// Connections among these that may follow events; those beyond are answered 503.
    pub followers: usize,
    /// Connections that may be waiting for their 503. Those beyond get it without having been read.
    pub refusals: usize,
    /// How long a client may take to send a request's head, and again to send its body.
    pub request: Duration,
    /// How long the answer may take to be made; then it is 504.
    pub answer: Duration,
    /// How long a client may take nothing of its answer. Then it is disconnected.
    pub stall: Duration,
    /// How long a connection may last that does not follow events.
    pub connection: Duration,
    /// The most levels of directories that may be asked for; more is answered 400.
    pub depth: usize,
    /// The longest value of a `PUT`, in bytes; a longer one is answered 413.
    pub value_bytes: usize,
    /// The longest saved state and endpoint description, in bytes; a longer one is answered 413.
    pub body_bytes: usize,
    /// The longest inspection, in bytes; a longer one is answered 413.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            followers: 16,
            refusals: 256,
            request: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(10),
            connection: Duration::from_secs(60),
            depth: inspect::DEPTH_DEFAULT,
            value_bytes: 4 << 10,
            body_bytes: 64 << 20,
            answer_bytes: 16 << 20,
        }
    }
}

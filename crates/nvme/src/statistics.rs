//! What a controller has done.

use inspect::Inspect;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// A count that several threads add to.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
}

impl Inspect for Count {
    fn inspect(&self, req: inspect::Request<'_>) {
        req.with_counter_format().value(self.get());
    }
}

/// The counts; no reset clears them.
#[derive(Debug, Default, Inspect)]
pub(crate) struct Statistics {
    /// Commands fetched.
    pub(crate) commands: Count,
    /// Commands that ended with an error.
    pub(crate) errors: Count,
    /// Interrupts sent.
    pub(crate) interrupts: Count,
    /// Commands that read.
    pub(crate) reads: Count,
    /// Commands that wrote.
    pub(crate) writes: Count,
    pub(crate) bytes_read: Count,
    pub(crate) bytes_written: Count,
    /// Times that the storage failed.
    pub(crate) media_errors: Count,
    /// Writes to doorbells that are not there, or of values that can't be.
    pub(crate) invalid_doorbells: Count,
    /// Times that the controller could not go on.
    pub(crate) fatal: Count,
    /// Controller resets of any kind.
    pub(crate) resets: Count,
}

impl Statistics {
    /// All of them, for saving: a new one goes to the end.
    pub(crate) fn counts(&self) -> [&Count; 11] {
        [
            &self.commands,
            &self.errors,
            &self.interrupts,
            &self.reads,
            &self.writes,
            &self.bytes_read,
            &self.bytes_written,
            &self.media_errors,
            &self.invalid_doorbells,
            &self.fatal,
            &self.resets,
        ]
    }
}

//! What a device has to do with the fabric it is attached to: the log of events, and error messages that wait to be routed.

use crate::events::FabricEvents;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// A fabric, as its ports and devices know it. Clones are handles on the same fabric.
///
/// A device that detects an error keeps the message and calls [`Self::announce_error_report`]; whoever owns the fabric then fetches it by
/// [`ManagedDevice::take_error_reports`](crate::ManagedDevice::take_error_reports), and routes it through the ports above.
#[derive(Clone, Debug)]
pub struct Fabric {
    events: FabricEvents,
    reports: Arc<AtomicBool>,
}

impl Default for Fabric {
    /// The fabric of what is attached to nothing: nobody reads its log.
    fn default() -> Self {
        Self::new(FabricEvents::detached())
    }
}

impl Fabric {
    /// A fabric that logs to `events`, which may be the log of several.
    pub fn new(events: FabricEvents) -> Self {
        Self {
            events,
            reports: Arc::default(),
        }
    }

    /// The log.
    pub fn events(&self) -> &FabricEvents {
        &self.events
    }

    /// Says that error messages wait somewhere in the fabric. May be called from any thread, and does not block.
    pub fn announce_error_report(&self) {
        self.reports.store(true, Ordering::Release);
    }

    /// Whether error messages wait; the next call says no unless more came.
    #[inline]
    pub fn take_announcement(&self) -> bool {
        // Nearly always there are none: then this is a load, and no write that other processors would see.
        self.reports.load(Ordering::Relaxed) && self.reports.swap(false, Ordering::Acquire)
    }
}

/// Why an error cannot be recorded in a function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordErrorError {
    /// Nothing has this name.
    #[error("no port or device is named '{name}'")]
    UnknownName {
        /// The name.
        name: String,
    },
    /// The device has fewer functions.
    #[error("'{name}' has no function {function}")]
    NoFunction {
        /// The device.
        name: String,
        /// The function number.
        function: u8,
    },
    /// The function has no Advanced Error Reporting, or it is a device from elsewhere that takes no errors.
    #[error("'{name}' has no Advanced Error Reporting")]
    NoErrorReporting {
        /// The port or device.
        name: String,
    },
}

//! What a device has to do with the fabric it is attached to: the log of events, and messages that wait to be routed.

use crate::events::EventKind;
use crate::events::FabricEvents;
use pci_spec::errors::DetectedError;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// A fabric, as its ports and devices know it. Clones are handles on the same fabric.
///
/// A device that has a message to send keeps it and calls [`Self::announce_message`]; whoever owns the fabric then fetches it by
/// [`ManagedDevice::take_messages`](crate::ManagedDevice::take_messages), and routes it through the ports above.
#[derive(Clone, Debug)]
pub struct Fabric {
    events: FabricEvents,
    messages: Arc<AtomicBool>,
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
            messages: Arc::default(),
        }
    }

    /// The log.
    pub fn events(&self) -> &FabricEvents {
        &self.events
    }

    /// Says that messages wait somewhere in the fabric. May be called from any thread, and does not block.
    pub fn announce_message(&self) {
        self.messages.store(true, Ordering::Release);
    }

    /// Whether messages wait; the next call says no unless more came.
    #[inline]
    pub fn take_announcement(&self) -> bool {
        // Nearly always there are none: then this is a load, and no write that other processors would see.
        self.messages.load(Ordering::Relaxed) && self.messages.swap(false, Ordering::Acquire)
    }
}

/// What is made to happen in a function from outside.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Stimulus {
    /// It detects an error (PCIe 6.2 section 6.2).
    Error(DetectedError),
    /// Something happened that it wakes the system for: it signals a power management event (PCIe 6.2 section 5.3.3).
    Wake,
}

impl Stimulus {
    /// Why a function that has no notion of this refuses it.
    pub fn refused_by(self, name: &str) -> StimulusError {
        let name = name.to_owned();
        match self {
            Self::Error(_) => StimulusError::NoErrorReporting { name },
            Self::Wake => StimulusError::NoWake { name },
        }
    }

    /// The event that tells of it.
    pub fn event(self) -> EventKind {
        match self {
            Self::Error(error) => EventKind::Error(error),
            Self::Wake => EventKind::Wake,
        }
    }
}

/// Why something cannot be made to happen in a function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StimulusError {
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
    /// The function does not signal power management events, or not in the power state it is in.
    #[error("'{name}' signals no power management events, or none in its power state")]
    NoWake {
        /// The port or device.
        name: String,
    },
}

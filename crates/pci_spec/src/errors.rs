//! Errors as functions detect and report them (PCIe 6.2 section 6.2): what happened, and the message that tells of it; see
//! [`messages`](crate::messages) for how it travels.

use crate::caps::aer::CorrectableErrors;
use crate::caps::aer::UncorrectableErrorBit;

/// An error message (PCIe 6.2 section 2.2.8.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum ErrorMessage {
    /// ERR_COR.
    Correctable,
    /// ERR_NONFATAL.
    NonFatal,
    /// ERR_FATAL.
    Fatal,
}

impl ErrorMessage {
    /// Whether it tells of an uncorrectable error.
    pub const fn is_uncorrectable(self) -> bool {
        !matches!(self, Self::Correctable)
    }
}

/// An error that a function detected (PCIe 6.2 section 6.2.2).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum DetectedError {
    /// Errors that hardware corrected.
    Correctable(CorrectableErrors),
    /// An error that cost a packet or the link.
    Uncorrectable {
        /// Which.
        bit: UncorrectableErrorBit,
        /// One of the cases of PCIe 6.2 section 6.2.3.2.4, in which someone else is in a better place to say how bad it is: with
        /// non-fatal severity it is reported as correctable.
        advisory: bool,
        /// The header of the packet, where there was one.
        header: Option<[u32; 4]>,
    },
}

impl DetectedError {
    /// An uncorrectable error that is what its severity says, without a packet.
    pub const fn uncorrectable(bit: UncorrectableErrorBit) -> Self {
        Self::Uncorrectable {
            bit,
            advisory: false,
            header: None,
        }
    }
}

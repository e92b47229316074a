//! Messages that functions send up to the root complex (PCIe 6.2 section 2.2.8): errors, and power management events.

use crate::Bdf;
use crate::errors::ErrorMessage;

/// What a message says.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// The sender detected an error (PCIe 6.2 section 2.2.8.3).
    Error(ErrorMessage),
    /// PM_PME: the sender wants to be noticed, most often to be woken (PCIe 6.2 section 2.2.8.2).
    Pme,
}

/// A message and who sent it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it says.
    pub kind: MessageKind,
    /// The requester ID of the sender.
    pub source: Bdf,
}

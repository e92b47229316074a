//! What a request has been answered with so far.

use crate::Error;
use crate::SensitivityLevel;
use crate::Value;
use alloc::string::String;
use alloc::vec::Vec;

/// What a request has been answered with so far. Requests write here while objects are asked; the asking
/// side makes nodes of it.
#[derive(Debug, Default)]
#[cfg_attr(
    not(feature = "initiate"),
    expect(dead_code, reason = "read by the asking side")
)]
pub(crate) enum Outcome {
    /// Not answered, or answered with "leave me out".
    #[default]
    Ignored,
    /// A directory beyond the depth asked for.
    Unevaluated,
    Failed(Error),
    Value(Value),
    Directory(Vec<Child>),
    #[cfg(feature = "defer")]
    Deferred(crate::defer::Pending),
}

#[derive(Debug)]
#[cfg_attr(
    not(feature = "initiate"),
    expect(dead_code, reason = "read by the asking side")
)]
pub(crate) struct Child {
    /// Never holds a slash; empty for what could not be merged.
    pub(crate) name: String,
    pub(crate) level: SensitivityLevel,
    pub(crate) outcome: Outcome,
}

impl Outcome {
    /// Becomes an empty directory and hands it out.
    pub(crate) fn open_directory(&mut self) -> Option<&mut Vec<Child>> {
        *self = Self::Directory(Vec::new());
        match self {
            Self::Directory(children) => Some(children),
            _ => None,
        }
    }
}

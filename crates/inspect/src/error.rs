//! Why a node could not be shown or changed.

use alloc::string::String;
use core::fmt;

/// Why a node could not be shown or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The answer was deferred, and it has not come yet or never will.
    Unresolved,
    /// The channel to the object broke; the text is the channel's own.
    Mesh(String),
    /// The node cannot be changed.
    Immutable,
    /// The node refused the new value; the text is its reason.
    Update(String),
    /// The path goes on below a node that has no children.
    NotADirectory,
    /// There is no such node, or the inquiry may not see it.
    NotFound,
    /// The inspection itself went wrong.
    Internal,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved => f.write_str("no answer yet"),
            Self::Mesh(reason) => write!(f, "channel error: {reason}"),
            Self::Immutable => f.write_str("immutable"),
            Self::Update(reason) => write!(f, "update refused: {reason}"),
            Self::NotADirectory => f.write_str("not a directory"),
            Self::NotFound => f.write_str("not found"),
            Self::Internal => f.write_str("internal error"),
        }
    }
}

impl core::error::Error for Error {}

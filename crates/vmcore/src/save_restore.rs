//! Saving the state of a device, and restoring it.
//!
//! A device implements [`SaveRestore`] with a struct of its own as saved state. Whoever holds devices of many types
//! uses [`ProtobufSaveRestore`], which every such device has, and keeps their states as [`SavedStateBlob`]s.
//!
//! ```
//! use mesh_protobuf::Protobuf;
//! use vmcore::save_restore::{RestoreError, SaveError, SaveRestore, SavedStateRoot};
//!
//! struct Timer {
//!     divider: u8,
//! }
//!
//! #[derive(Protobuf, SavedStateRoot)]
//! #[mesh(package = "example.timer")]
//! struct SavedState {
//!     #[mesh(1)]
//!     divider: u8,
//! }
//!
//! impl SaveRestore for Timer {
//!     type SavedState = SavedState;
//!
//!     fn save(&mut self) -> Result<SavedState, SaveError> {
//!         Ok(SavedState { divider: self.divider })
//!     }
//!
//!     fn restore(&mut self, state: SavedState) -> Result<(), RestoreError> {
//!         self.check(&state)?;
//!         self.divider = state.divider;
//!         Ok(())
//!     }
//!
//!     fn check(&mut self, state: &SavedState) -> Result<(), RestoreError> {
//!         if state.divider > 7 {
//!             let reason = anyhow::anyhow!("divider {} is above 7", state.divider);
//!             return Err(RestoreError::InvalidSavedState(reason));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut timer = Timer { divider: 3 };
//! let state = timer.save()?;
//! timer.divider = 0;
//! timer.restore(state)?;
//! assert_eq!(timer.divider, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Import one of the two traits, not both: their methods have the same names.

use mesh_protobuf::Any;
use mesh_protobuf::DescribedProtobuf;
use mesh_protobuf::MessageDescription;
use mesh_protobuf::Presence;
use mesh_protobuf::Protobuf;
use mesh_protobuf::Writer;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;

mod parts;

pub use no_saved_state::NoSavedState;
pub use parts::SavedParts;
pub use save_restore_derive::SavedStateRoot;

/// A device, or a part of one, whose state can be saved and restored.
pub trait SaveRestore {
    /// The saved state.
    type SavedState;

    /// Saves the state. The device is stopped and stays as it is.
    ///
    /// # Errors
    ///
    /// - the device, or a part of it, does not support saving;
    /// - its state cannot be told at present.
    fn save(&mut self) -> Result<Self::SavedState, SaveError>;

    /// Saves the state in parts, each given to `part`: their encodings, one after the other, are that of the whole.
    ///
    /// As Protobuf has it, a later message that is appended to an earlier one adds to its lists and replaces those of its
    /// values that it has. A device of many children gives the state of each child as a list of one, which is encoded and
    /// dropped before the next is made: the whole is never there but as bytes. The provided method gives one part.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save). What was given before is of no use then.
    fn save_parts(&mut self, mut part: impl FnMut(Self::SavedState)) -> Result<(), SaveError> {
        self.save().map(&mut part)
    }

    /// Restores a saved state. The device is stopped, and was set up as the one that was saved.
    ///
    /// The implementor checks the whole state before it changes anything: on error the device is as it was.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError>;

    /// Tells whether [`restore`](Self::restore) would accept `state`, without changing anything.
    ///
    /// The owner of several parts checks the state of each before it restores the first. The implementor makes sure
    /// that what it accepts here, it restores. The provided method accepts everything, which is right only for a part
    /// whose `restore` cannot fail. The receiver is `&mut` because that is how an owner reaches its parts.
    ///
    /// # Errors
    ///
    /// - the state is one that this device cannot have ([`RestoreError::InvalidSavedState`]);
    /// - it contains a part that this device has not, or lacks one;
    /// - the device, or a part of it, does not support restoring.
    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        let _ = state;
        Ok(())
    }
}

/// [`SaveRestore`] without knowing the type of the saved state.
///
/// Every [`SaveRestore`] with a [`SavedStateRoot`] is one.
pub trait ProtobufSaveRestore {
    /// Saves the state: see [`SaveRestore::save`].
    ///
    /// # Errors
    ///
    /// As [`SaveRestore::save`].
    fn save(&mut self) -> Result<SavedStateBlob, SaveError>;

    /// Writes the state that [`save`](Self::save) would return as field `number` of a message.
    ///
    /// # Errors
    ///
    /// As [`SaveRestore::save`]. The field is incomplete then.
    fn save_field(&mut self, number: u32, writer: &mut Writer) -> Result<(), SaveError> {
        let state = self.save()?;
        state.write(number, Presence::Implicit, writer);
        Ok(())
    }

    /// Restores a saved state: see [`SaveRestore::restore`].
    ///
    /// # Errors
    ///
    /// - the blob holds another message, or does not decode ([`RestoreError::ProtobufDecode`]);
    /// - as [`SaveRestore::restore`].
    fn restore(&mut self, state: SavedStateBlob) -> Result<(), RestoreError>;

    /// Tells whether [`restore`](Self::restore) would accept `state`: see [`SaveRestore::check`].
    ///
    /// # Errors
    ///
    /// - the blob holds another message, or does not decode ([`RestoreError::ProtobufDecode`]);
    /// - as [`SaveRestore::check`].
    fn check(&mut self, state: &SavedStateBlob) -> Result<(), RestoreError> {
        let _ = state;
        Ok(())
    }
}

impl<T> ProtobufSaveRestore for T
where
    T: SaveRestore,
    T::SavedState: 'static + Send + SavedStateRoot,
{
    fn save(&mut self) -> Result<SavedStateBlob, SaveError> {
        Any::of_parts(|part| self.save_parts(part)).map(SavedStateBlob)
    }

    fn save_field(&mut self, number: u32, writer: &mut Writer) -> Result<(), SaveError> {
        type Encoded = Any<Cow<'static, str>>;
        Encoded::write_parts(number, writer, |part| self.save_parts(part))
    }

    fn restore(&mut self, state: SavedStateBlob) -> Result<(), RestoreError> {
        SaveRestore::restore(self, state.parse()?)
    }

    fn check(&mut self, state: &SavedStateBlob) -> Result<(), RestoreError> {
        SaveRestore::check(self, &state.parse()?)
    }
}

/// A saved state that can be told by its full name, and so can be kept in a [`SavedStateBlob`]. Derive it.
pub trait SavedStateRoot: DescribedProtobuf {
    #[doc(hidden)]
    fn do_not_impl_this_manually(&self);
}

/// A saved state of any type, encoded, together with the name of the type.
///
/// Holding one proves nothing about its contents; [`parse`](Self::parse) does.
#[derive(Clone, Debug, PartialEq, Eq, Protobuf)]
#[mesh(transparent)]
pub struct SavedStateBlob(Any<Cow<'static, str>>);

impl SavedStateBlob {
    /// Encodes a saved state.
    pub fn new<T: SavedStateRoot>(state: T) -> Self {
        Self(Any::new(state))
    }

    /// Decodes the saved state.
    ///
    /// # Errors
    ///
    /// - the state is not a `T`, to go by its name;
    /// - it does not decode as one.
    pub fn parse<T: SavedStateRoot>(&self) -> Result<T, mesh_protobuf::Error> {
        self.0.parse()
    }
}

/// The saved state of a device that cannot be saved: there is none.
#[derive(Debug, Protobuf)]
#[mesh(package = "save_restore")]
pub enum SavedStateNotSupported {}

// No message of this type ever exists, so it is not listed among the roots, as the derive would do.
impl SavedStateRoot for SavedStateNotSupported {
    fn do_not_impl_this_manually(&self) {}
}

#[expect(
    unsafe_code,
    reason = "the derive lists the root in a link section, by way of linkme"
)]
mod no_saved_state {
    use super::SavedStateRoot;
    use mesh_protobuf::Protobuf;

    /// The saved state of a device that has nothing to save.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Protobuf, SavedStateRoot)]
    #[mesh(package = "save_restore")]
    pub struct NoSavedState;
}

/// Why a state could not be restored.
#[derive(Debug)]
pub enum RestoreError {
    /// The state has a part that the device has not.
    UnknownEntryId(String),
    /// A part of the device, named here, could not be restored.
    ChildError(String, Box<RestoreError>),
    /// The state does not decode.
    ProtobufDecode(mesh_protobuf::Error),
    /// The device cannot be restored.
    SavedStateNotSupported,
    /// The state is one that the device cannot have.
    InvalidSavedState(anyhow::Error),
    /// Something else.
    Other(anyhow::Error),
}

impl RestoreError {
    /// The error of the whole whose part `name` has this error.
    #[must_use]
    pub fn in_child(self, name: impl Into<String>) -> Self {
        Self::ChildError(name.into(), Box::new(self))
    }

    /// The names of the parts down to the one that has the error, with `/` between, and that part's error.
    fn innermost(&self) -> (String, &Self) {
        let mut path = String::new();
        let mut error = self;
        while let Self::ChildError(name, child) = error {
            push_name(&mut path, name);
            error = child;
        }
        (path, error)
    }
}

impl From<mesh_protobuf::Error> for RestoreError {
    fn from(error: mesh_protobuf::Error) -> Self {
        Self::ProtobufDecode(error)
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEntryId(id) => write!(
                f,
                "the saved state has a part '{id}', which the device has not"
            ),
            Self::ChildError(..) => write!(f, "failed to restore '{}'", self.innermost().0),
            Self::ProtobufDecode(_) => f.write_str("failed to decode the saved state"),
            Self::SavedStateNotSupported => f.write_str("the device does not support saved state"),
            Self::InvalidSavedState(_) => f.write_str("the saved state is invalid"),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl Error for RestoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Its text names the parts on the way already, so the chain goes on with the innermost.
            Self::ChildError(..) => Some(self.innermost().1),
            Self::ProtobufDecode(error) => Some(error),
            Self::InvalidSavedState(error) => Some(error.as_ref()),
            Self::Other(error) => error.source(),
            Self::UnknownEntryId(_) | Self::SavedStateNotSupported => None,
        }
    }
}

/// Why a state could not be saved.
#[derive(Debug)]
pub enum SaveError {
    /// The device cannot be saved.
    NotSupported,
    /// A part of the device, named here, could not be saved.
    ChildError(String, Box<SaveError>),
    /// Something else.
    Other(anyhow::Error),
    /// A part of the device gave a state that it cannot have.
    InvalidChildSavedState(anyhow::Error),
}

impl SaveError {
    /// The error of the whole whose part `name` has this error.
    #[must_use]
    pub fn in_child(self, name: impl Into<String>) -> Self {
        Self::ChildError(name.into(), Box::new(self))
    }

    /// The names of the parts down to the one that has the error, with `/` between, and that part's error.
    fn innermost(&self) -> (String, &Self) {
        let mut path = String::new();
        let mut error = self;
        while let Self::ChildError(name, child) = error {
            push_name(&mut path, name);
            error = child;
        }
        (path, error)
    }
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSupported => f.write_str("the device does not support saved state"),
            Self::ChildError(..) => write!(f, "failed to save '{}'", self.innermost().0),
            Self::Other(error) => error.fmt(f),
            Self::InvalidChildSavedState(_) => f.write_str("the saved state of a part is invalid"),
        }
    }
}

impl Error for SaveError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::ChildError(..) => Some(self.innermost().1),
            Self::Other(error) => error.source(),
            Self::InvalidChildSavedState(error) => Some(error.as_ref()),
            Self::NotSupported => None,
        }
    }
}

fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(name);
}

/// Why the results of saving several devices could not be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A device gave no result.
    #[error("a device gave no result")]
    MissingResults,
    /// There are more results than devices.
    #[error("there are more results than devices")]
    TooManyResults,
    /// A result does not decode.
    #[error("failed to decode a result")]
    BadPayload(#[source] mesh_protobuf::Error),
}

/// The messages of every [`SavedStateRoot`] in the program, in no particular order.
pub fn saved_state_roots() -> impl Iterator<Item = &'static MessageDescription<'static>> {
    private::SAVED_STATE_ROOTS.iter().copied().flatten()
}

#[doc(hidden)]
#[expect(unsafe_code, reason = "linkme gathers the elements in a link section")]
pub mod private {
    pub use linkme;
    pub use mesh_protobuf::DescribedProtobuf;
    pub use mesh_protobuf::MessageDescription;

    #[linkme::distributed_slice]
    pub static SAVED_STATE_ROOTS: [Option<&'static MessageDescription<'static>>];

    // Some linkers drop a section, and with it the symbols at its ends, if nothing is in it.
    #[linkme::distributed_slice(SAVED_STATE_ROOTS)]
    static NOT_EMPTY: Option<&'static MessageDescription<'static>> = None;
}

/// What the derive of [`SavedStateRoot`] expands to.
#[doc(hidden)]
#[macro_export]
macro_rules! declare_saved_state_root {
    ($root:ident) => {
        const _: () = {
            use $crate::save_restore::private;

            impl $crate::save_restore::SavedStateRoot for $root {
                fn do_not_impl_this_manually(&self) {}
            }

            #[private::linkme::distributed_slice(private::SAVED_STATE_ROOTS)]
            #[linkme(crate = private::linkme)]
            static DESCRIPTION: Option<&'static private::MessageDescription<'static>> =
                Some(<$root as private::DescribedProtobuf>::DESCRIPTION);
        };
    };
}

//! Look into live state: a tree of named values that any object can offer.
//!
//! An object implements [`Inspect`] (usually by derive) and thereby becomes a node: a value, or a directory of
//! named children. Whoever wants to look asks for a path and a depth and gets a snapshot of just that part:
//! children outside the path are never evaluated, so looking at one counter of one port costs one counter.
//! Nodes that implement [`InspectMut`] can also be changed, by text.
//!
//! ```
//! # #[cfg(all(feature = "derive", feature = "initiate"))] {
//! use inspect::{Inspect, InspectMut};
//!
//! #[derive(Inspect)]
//! struct Port {
//!     name: String,
//!     #[inspect(hex)]
//!     slot_status: u16,
//!     #[inspect(skip)]
//!     _scratch: Vec<u8>,
//! }
//!
//! #[derive(InspectMut)]
//! struct Root {
//!     #[inspect(iter_by_index)]
//!     ports: Vec<Port>,
//!     #[inspect(mut)]
//!     poll_interval_ms: u32,
//! }
//!
//! let port = Port { name: "rp0".into(), slot_status: 0x48, _scratch: vec![] };
//! let mut root = Root { ports: vec![port], poll_interval_ms: 20 };
//!
//! let node = inspect::inspect("", &mut root).results();
//! assert_eq!(
//!     node.to_string(),
//!     r#"{poll_interval_ms: 20, ports: {0: {name: "rp0", slot_status: 0x48}}}"#
//! );
//!
//! let node = inspect::inspect("ports/0/slot_status", &mut root).results();
//! assert_eq!(node.to_string(), "0x48");
//! assert_eq!(node.json().to_string(), "72");
//!
//! let mut update = inspect::update("poll_interval_ms", "50", &mut root);
//! assert_eq!(update.result().unwrap().kind, 50u32.into());
//! assert_eq!(root.poll_interval_ms, 50);
//! # }
//! ```
//!
//! # Paths
//!
//! A path is a list of names separated by slashes. Empty components are dropped, so `//ports///0/` asks for
//! the same node as `ports/0`, and `""` or `/` for the whole tree. `.` and `..` are names like any other. A path of
//! more than [`PATH_COMPONENTS_MAX`] components finds nothing.
//!
//! A child whose own name holds slashes stands in nested directories: `field("msix/enabled", ..)` is found under
//! `msix`, then `enabled`. A child with the empty name is merged: its children become those of the directory it
//! stands in. Directories of equal name become one.
//!
//! # Sensitivity
//!
//! Each child has a [`SensitivityLevel`]; an inquiry has a ceiling, and a child above the ceiling is not evaluated
//! and looks as if it were not there. Levels are not inherited: a `Safe` child inside an `Unspecified` directory is out of reach
//! of a `Safe` inquiry, since the directory is. The entries of [`iter_by_key`] and [`iter_by_index`] take the level
//! of the node they are in.
//!
//! # Features
//!
//! All are on by default; without them the crate needs `core` and `alloc` only. `derive`: the derive macros.
//! `std`: implementations for `std`'s types. `parking_lot`: for its locks. `defer`: answers given later.
//! `initiate`: the asking side.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod adhoc;
mod atomic;
#[cfg(feature = "defer")]
mod defer;
mod error;
mod impls;
#[cfg(feature = "initiate")]
mod initiate;
mod iterated;
mod natural;
mod node;
mod record;
mod request;
mod response;
mod text;
mod value;
mod view;

pub use adhoc::Adhoc;
pub use adhoc::AdhocMut;
pub use adhoc::adhoc;
pub use adhoc::adhoc_mut;
pub use atomic::AtomicMut;
#[cfg(feature = "defer")]
pub use defer::Deferred;
#[cfg(feature = "defer")]
pub use defer::DeferredUpdate;
pub use error::Error;
#[cfg(feature = "initiate")]
pub use initiate::DEPTH_DEFAULT;
#[cfg(feature = "initiate")]
pub use initiate::Inspection;
#[cfg(feature = "initiate")]
pub use initiate::InspectionBuilder;
#[cfg(feature = "initiate")]
pub use initiate::Update;
#[cfg(feature = "initiate")]
pub use initiate::inspect;
#[cfg(feature = "initiate")]
pub use initiate::update;
/// Derives [`Inspect`](trait@Inspect); the attributes are listed in the documentation of [`inspect_derive`].
#[cfg(feature = "derive")]
pub use inspect_derive::Inspect;
/// Derives [`InspectMut`](trait@InspectMut); the attributes are listed in the documentation of [`inspect_derive`].
#[cfg(feature = "derive")]
pub use inspect_derive::InspectMut;
pub use iterated::Iterated;
pub use iterated::MapKey;
pub use iterated::MapValue;
pub use iterated::MappedValue;
pub use iterated::iter_by_index;
pub use iterated::iter_by_key;
pub use node::Entry;
pub use node::Node;
pub use request::PATH_COMPONENTS_MAX;
pub use request::Request;
pub use request::SensitivityLevel;
pub use request::UpdateRequest;
pub use response::Response;
pub use text::Json;
pub use value::Value;
pub use value::ValueFlags;
pub use value::ValueKind;
pub use view::AsBinary;
pub use view::AsBytes;
pub use view::AsCounter;
pub use view::AsDebug;
pub use view::AsDisplay;
pub use view::AsHex;

/// An object that can be looked at through a shared reference.
///
/// The implementor answers the request once: with a value ([`Request::value`]), as a directory
/// ([`Request::respond`]), later ([`Request::defer`]) or not at all ([`Request::ignore`]). It must not change
/// state because somebody looks. It may take a lock for as long as it takes to copy what is asked for, and must not block
/// on anything else: what takes longer is deferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be inspected",
    note = "derive `Inspect`, or say how to show it: `#[inspect(debug)]`, `#[inspect(display)]`, `#[inspect(with = \"..\")]`, `#[inspect(skip)]`"
)]
pub trait Inspect {
    /// Answers `req` for this object.
    fn inspect(&self, req: Request<'_>);
}

/// An object that can be looked at, and perhaps changed, through an exclusive reference.
///
/// The duties of [`Inspect`] hold here too; state changes only when [`Request::update`] says so.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be inspected mutably",
    note = "a reference to a type that implements `Inspect` implements `InspectMut`"
)]
pub trait InspectMut {
    /// Answers `req` for this object.
    fn inspect_mut(&mut self, req: Request<'_>);
}

/// What the derive macros need in the code that they write. Not for use by hand.
#[doc(hidden)]
pub mod __private {
    use crate::InspectMut;
    use crate::Request;
    use crate::Response;
    use crate::UpdateRequest;
    use alloc::format;
    use alloc::string::ToString;

    /// Calls `f` with `t`: the type of a closure's parameter follows from `t`.
    pub fn call<T, R>(t: T, f: impl FnOnce(T) -> R) -> R {
        f(t)
    }

    /// Calls `f` with `t` and a response: the types of a closure's parameters follow.
    pub fn call_extra<T>(t: T, resp: &mut Response<'_>, f: impl FnOnce(T, &mut Response<'_>)) {
        f(t, resp);
    }

    /// A directory of children that may be changed, which take its level.
    pub fn inspect_pairs_mut<K: ToString, V: InspectMut>(
        req: Request<'_>,
        children: impl IntoIterator<Item = (K, V)>,
    ) {
        let mut resp = req.respond();
        let level = resp.parent_sensitivity();
        for (key, mut child) in children {
            resp.sensitivity_field_mut(&key.to_string(), level, &mut child);
        }
    }

    /// Refuses an update that names no variant.
    pub fn refuse_variant(update: UpdateRequest<'_>, variants: &[&str]) {
        let reason = format!(
            "cannot take {:?}: expected one of {}",
            update.new_value(),
            variants.join(", ")
        );
        update.fail(reason);
    }
}

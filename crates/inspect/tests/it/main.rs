//! What objects show, how inquiries reach them, and what the derives make.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails should stop at once"
)]

mod api;
mod defer;
mod derive;
mod derive_bitfield;
mod derive_enum;
mod impls;
mod paths;
mod text;
mod update;

use inspect::InspectMut;

/// The text of all of `obj`.
fn show(obj: impl InspectMut) -> String {
    inspect::inspect("", obj).results().to_string()
}

/// The text of the node at `path` below `obj`.
fn show_at(path: &str, obj: impl InspectMut) -> String {
    inspect::inspect(path, obj).results().to_string()
}

//! Derive macros of the inspect crate.

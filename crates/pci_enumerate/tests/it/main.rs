//! Enumeration against a plain model of config space.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails should stop at once"
)]

mod datasheet;
mod hostile;
mod invariants;
mod model;
mod properties;

//! Tests of the controller through what a guest reaches: registers, doorbells, memory and interrupts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails stops at once"
)]

mod admin;
mod hierarchy;
mod host;
mod hostile;
mod io;
mod life;
mod restore;
mod shadow;
mod versions;

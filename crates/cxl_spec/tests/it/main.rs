//! The crate as other crates use it.

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that fails should stop at once"
)]

mod api;
mod bitfields;
mod component_registers;

//! Tests of the crate's contracts as other crates use them.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that fails should stop at once")]

mod api;
mod save_restore;

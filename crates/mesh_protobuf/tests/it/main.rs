//! Tests of the encoding as other crates use it.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test that fails should stop at once"
)]

mod any;
mod api;
mod hostile;
mod other_encoder;
mod schema;
mod types;
mod wire_format;

//! Tests of the public interface, one module for each subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that fails should stop at once; clients and servers live in real time"
)]

mod client;
mod events;
mod findings;
mod latency;
mod machine;
mod operations;
mod place;
mod statuses;
mod strain;
mod tree;

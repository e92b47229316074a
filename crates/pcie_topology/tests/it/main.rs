//! What users of the crate see.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails should stop at once"
)]

mod conventional;
mod endpoint;
mod errors;
mod hierarchy;
mod machine;
mod mistakes;
mod properties;
mod resizable_bar;
mod routing;
mod routing_model;
mod slots;
mod traffic;
mod versions;
mod wake;

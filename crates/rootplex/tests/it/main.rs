//! The program as its users run it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails should stop at once"
)]

mod command;
mod drawing;
mod guide;
mod live;
mod lspci;
mod mistakes;
mod replay;
mod report;
mod tables;
mod verification;

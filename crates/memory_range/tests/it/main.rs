//! The crate as other crates use it.

#![forbid(unsafe_code)]

mod api;

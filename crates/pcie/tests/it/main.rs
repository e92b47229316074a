//! Root complexes and switches, as a monitor and a guest see them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test stops at the first surprise"
)]

mod composing;
mod cxl;
mod deferral;
mod ecam;
mod fuzz;
mod hot_plug;
mod model;
mod port_bars;
mod readiness;
mod routing;
mod saving;
mod slots;
mod switch;

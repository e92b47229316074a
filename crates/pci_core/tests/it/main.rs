//! Tests of the crate as device authors and monitors use it.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should stop at once"
)]

mod api;
mod bars;
mod bridge;
mod bus_master;
mod foreign;
mod function;
mod header;
mod intx;
mod link;
mod lspci;
mod msi;
mod pci_express;
mod port_script;
mod power;
mod probing;
mod saving;
mod slot;
mod slot_model;

//! Contracts between a device and its monitor: saved state, interrupts, device lifecycle, events.

// The derive of `save_restore` names this crate by its absolute path, in here too.
extern crate self as vmcore;

pub mod save_restore;

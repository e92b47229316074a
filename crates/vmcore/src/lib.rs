//! Contracts between a device and its monitor: saved state, interrupts, device lifecycle, events.

#![deny(unsafe_code)]

// The derive of `save_restore` names this crate by its absolute path, in here too.
extern crate self as vmcore;

pub mod device_state;
pub mod doorbell;
pub mod event;
pub mod guest_memory;
pub mod interrupt;
pub mod irqfd;
pub mod line_interrupt;
pub mod save_restore;

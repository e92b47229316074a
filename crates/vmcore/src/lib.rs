//! Contracts between a device and its monitor: saved state, interrupts, device lifecycle, events.

#![deny(unsafe_code)]

// The derives name this crate by its own name, also in here.
extern crate self as vmcore;

pub mod device_state;
pub mod event;
pub mod guest_memory;
pub mod interrupt;
pub mod irqfd;
pub mod line_interrupt;

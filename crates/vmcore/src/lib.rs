//! Contracts between a device and its monitor: saved state, interrupts, device lifecycle, events.

//! Contracts between a device and its monitor: MMIO, port I/O and configuration accesses.

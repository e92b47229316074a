//! The other side, modelled once: a driver, an interrupt sink, an MMIO map for tests and benches.

#![forbid(unsafe_code)]

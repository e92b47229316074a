//! Compose, enumerate, show and look into a PCI Express hierarchy.

#![forbid(unsafe_code)]

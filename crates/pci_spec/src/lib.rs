//! PCI and PCI Express register layouts and identifiers: no state, no policy.

#![forbid(unsafe_code)]
#![no_std]

pub mod bdf;

pub use bdf::{Bdf, ParseBdfError, SegmentedBdf};

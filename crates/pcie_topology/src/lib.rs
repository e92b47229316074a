//! Describe, validate and compose a PCI Express hierarchy.

#![forbid(unsafe_code)]

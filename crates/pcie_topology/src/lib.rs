//! Describe, validate and compose a PCI Express hierarchy.

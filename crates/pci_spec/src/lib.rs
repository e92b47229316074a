//! PCI and PCI Express register layouts and identifiers: no state, no policy.

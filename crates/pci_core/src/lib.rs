//! Configuration space emulators, capabilities, BARs, MSI and MSI-X.

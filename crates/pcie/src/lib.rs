//! Root complexes, ports, switches, hot-plug slots: the PCI Express fabric.

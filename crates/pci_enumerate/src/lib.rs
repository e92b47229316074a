//! The firmware's role: bus numbers, BARs and bridge windows.

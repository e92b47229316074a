//! Compose, enumerate, show and look into a PCI Express hierarchy.
//!
//! The library behind the `rootplex` command. A [`session::Session`] holds a hierarchy that was composed from its description and
//! enumerated; from there:
//!
//! | what | where |
//! | --- | --- |
//! | a tree with names, buses and windows | [`tree::Tree`] |
//! | a drawing | [`inspect_service::topology::Drawing`] |
//! | configuration spaces for `lspci -F` | [`inspect_service::lspci::Dump`] |
//! | ACPI tables and a device tree | [`tables`] |
//! | live state | [`session::Session::inspect`] |
//! | prepared machines in which a card does not appear | [`cases`] |
//! | proof that save and restore bring all back | [`session::Session::verify`] |
//!
//! ```
//! use rootplex::session::Session;
//!
//! let mut session = Session::compose(r#"
//!     [[root_complex]]
//!     name = "rc0"
//!     ecam = 0xe000_0000
//!     buses = { start = 0, end = 15 }
//!     mmio32 = { base = 0xc000_0000, size = "256M" }
//!
//!     [[root_complex.port]]
//!     name = "rp0"
//!     slot = 1
//! "#)?;
//! assert!(session.tree().contains("root port, hot-plug slot 1, empty"));
//! assert_eq!(session.verify()?.functions, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

/// The guide's examples, compiled and run.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/device.md")]
    struct Device;
    #[doc = include_str!("../../../docs/monitor.md")]
    struct Monitor;
}

pub mod cases;
mod hot_plug_driver;
pub mod outline;
pub mod session;
pub mod tables;
pub mod tree;
pub mod verification;

//! Record what a guest and an operator do to a hierarchy, and replay it.
//!
//! A [`Recorder`] takes every access with its answer, every message that a device sent, and every operation of the operator, and
//! writes them to a file together with the hierarchy's description. [`replay()`] composes that hierarchy again, does the same to it in
//! the same order, and compares every answer: what a guest's user saw becomes a test.
//!
//! What is replayed must follow from what is recorded, and so what is compared is:
//!
//! | records of | are made again | are compared |
//! | --- | --- | --- |
//! | configuration space, of every function | yes | yes |
//! | a CXL host bridge's registers | yes | yes |
//! | BARs of ports and test endpoints | yes | yes |
//! | messages of ports and test endpoints | - | yes: each must be sent again, after the same access |
//! | operations | yes | that they are not refused |
//! | BARs and messages of devices from a factory, such as NVMe controllers | no | no |
//!
//! Devices of the last row act on the guest's memory, which is not recorded, in threads of their own. What reaches them without an exit,
//! such as doorbells that are events, is not recorded either.
//!
//! A monitor keeps the recorder beside the hierarchy, under the same lock, so that the order of records is that in which accesses took
//! effect: [`Recorded`] is both. An access that ends later is recorded when it has its answer, a write when it begins.
//!
//! ```
//! use chipset_device::mmio::ExternallyManagedMmioIntercepts;
//! use pcie_topology::Topology;
//! use recording::{Recorder, Recording, replay};
//!
//! let description = r#"
//!     [[root_complex]]
//!     name = "pcie0"
//!     buses = { start = 0, end = 15 }
//!     ecam = 0xe000_0000
//!     [[root_complex.port]]
//!     name = "rp0"
//!     device = 1
//! "#;
//! let mut hierarchy = Topology::from_toml(description)?.compose(&mut ExternallyManagedMmioIntercepts, None)?;
//! # let path = std::env::temp_dir().join(format!("rootplex-recording-{}", std::process::id()));
//! let mut recorder = Recorder::start(description, std::fs::File::create(&path)?)?;
//!
//! let mut vendor_id = [0; 4]; // The guest reads a Vendor ID.
//! hierarchy.mmio_read(0xe000_8000, &mut vendor_id).now_or_never()?;
//! recorder.read(0xe000_8000, &vendor_id);
//! assert_eq!(recorder.finish()?.accesses, 1);
//!
//! let report = replay(&Recording::parse(&std::fs::read(&path)?)?)?;
//! assert!(report.is_faithful());
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod access;
mod format;
mod message;
mod operation;
mod recorded;
mod recorder;
mod replay;
mod stand_in;

pub use access::RecordedAccess;
pub use format::Event;
pub use format::FormatError;
pub use format::Record;
pub use format::Recording;
pub use message::MessageLog;
pub use operation::Operation;
pub use operation::OperationError;
pub use recorded::Recorded;
pub use recorder::Recorder;
pub use recorder::Summary;
pub use replay::Difference;
pub use replay::ReplayError;
pub use replay::Report;
pub use replay::replay;
pub use replay::replay_with;

//! What the NVM Express specifications print as tables: registers, queue entries, status codes, opcodes, log pages and features.
//!
//! Sections are those of the NVM Express Base Specification 2.0 (`NVMe 2.0`) and of the NVM Command Set Specification 1.0 (`NVM 1.0`).

pub mod command;
pub mod registers;
pub mod status;

pub use command::AdminOpcode;
pub use command::Completion;
pub use command::IoOpcode;
pub use command::SubmissionEntry;
pub use status::Status;

//! Register blocks as data, and the one mechanism that runs them.
//!
//! A register block (a configuration header, a capability, a CXL component register block) is written once, as a
//! [`Block`]: for each register its name, offset, reset value, fields with their access rights, and the specification's
//! section. [`register_block!`] declares one, checks at compile time that it has neither gaps nor overlaps, and
//! enters it in [`BLOCKS`], so that no block can be forgotten by the tests and documents made from them.
//!
//! A [`RegisterFile`] holds one instance's values. [`RegisterFile::write`] is the only way software's writes reach a
//! register: it applies the access rights with byte lanes and says what changed; the owner adds the side effects that
//! a table cannot say.
//!
//! ```
//! use reg_table::{RegisterFile, Reset, register_block};
//!
//! register_block! {
//!     /// A timer, for show.
//!     pub TIMER: TimerReg = "timer" {
//!         title: "Timer",
//!         section: "example 1.1",
//!         bytes: 4,
//!     }
//!     0x00 control: u16 as () = 0x1, "example 1.2" { rw: [enable[0:0], divider[5:4]] }
//!     0x02 status: u16 as () = 0, "example 1.3" { rw1c: [expired[0:0]], ro: [running[1:1]] }
//! }
//!
//! let mut timer = RegisterFile::new(TimerReg::Control);
//! timer.set(TimerReg::Status, 0x3u16);
//! // A two-byte write of control: the pending event in status stays.
//! timer.write(0, 0xffff_ffff, 0x0000_ffff);
//! assert_eq!(timer.read(0), 0x0003_0031);
//! timer.write(0, 0xffff_ffff, 0xffff_0000);
//! assert_eq!(timer.read(0), 0x0002_0031);
//! timer.reset(Reset::Cold);
//! assert_eq!(timer.read(0), 0x0000_0001);
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod declare;
mod file;
mod image;
mod inspection;
pub mod plan;
pub mod reference;
mod table;

pub use file::Change;
pub use file::HardwareSide;
pub use file::RegisterFile;
pub use file::RestoreMismatch;
pub use file::Written;
pub use image::PAGE_WORDS;
pub use image::Page;
pub use table::Access;
pub use table::BLOCKS;
pub use table::Block;
pub use table::BlockRegister;
pub use table::Field;
pub use table::Meaning;
pub use table::Register;
pub use table::Reset;
pub use table::WordMask;

#[doc(hidden)]
pub mod private {
    pub use crate::table::check;
    pub use crate::table::fields_by_name;
    pub use crate::table::raw;
    pub use crate::table::registers_by_name;
    pub use crate::table::word_masks;
    pub use alloc::boxed::Box;
    pub use linkme;
    pub use pastey::paste;
}

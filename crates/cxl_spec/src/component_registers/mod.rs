//! The component registers (CXL 3.1 section 8.2.3 and section 8.2.4): 64 KiB in a BAR or a host bridge's register block, in
//! which capability blocks are found through directories.
//!
//! [`CxlComponentRegisters`] is the space, [`CxlComponentRegister`] what a block implements.

mod aperture;
mod hdm_decoder;
mod layout;
mod ras;
pub mod spec;
mod table_capability;
pub mod test_helper;

pub use aperture::CxlComponentRegisters;
pub use hdm_decoder::CxlHdmDecoderCapability;
pub use hdm_decoder::CxlHdmDecoderCapabilityError;
pub use hdm_decoder::CxlHdmDecoderCapabilityOptions;
pub use hdm_decoder::CxlHdmDecoderFixedConfig;
pub use layout::ComponentRegisterError;
pub use ras::CxlRasSignal;
pub use table_capability::CxlLinkCapability;
pub use table_capability::CxlRasCapability;
pub use table_capability::CxlSnoopFilterCapability;
pub use table_capability::CxlTableCapability;

use crate::spec::CxlComponentRegisterType;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use reg_table::Reset;
use std::any::Any;
use vmcore::save_restore::ProtobufSaveRestore;

/// A capability block of the component registers.
///
/// [`CxlComponentRegisters`] calls with offsets relative to the block, dword-aligned and below [`Self::len`]. An
/// implementation must not block. What [`Self::label`], [`Self::register_type`], [`Self::capability_id`],
/// [`Self::capability_version`] and [`Self::len`] return must not change once the block is added.
#[expect(clippy::len_without_is_empty, reason = "a block is never empty")]
pub trait CxlComponentRegister: Any + Send + Sync + Inspect + ProtobufSaveRestore {
    /// A label, the key in saved state and inspection.
    fn label(&self) -> &str;

    /// Which range the block belongs in.
    fn register_type(&self) -> CxlComponentRegisterType;

    /// The capability ID (CXL 3.1 table 8-22).
    fn capability_id(&self) -> u16;

    /// The version of the capability, 4 bits.
    fn capability_version(&self) -> u8;

    /// Length in bytes: not zero, a multiple of 4.
    fn len(&self) -> u16;

    /// Reads a dword; `None` where there is no register.
    fn read_u32(&self, offset: u16) -> Option<u32>;

    /// Writes a dword. False if nothing there can be written, now or at all; then nothing changed.
    fn write_u32(&mut self, offset: u16, val: u32) -> bool;

    /// Resets to the state after power-on.
    fn reset(&mut self);

    /// Writes the enabled bytes of a dword, with the result of [`Self::write_u32`]. The default merges with what is read;
    /// a block with write-1-to-clear bits must not leave it at that.
    fn write_bytes(&mut self, offset: u16, val: u32, enables: ByteEnables) -> bool {
        let mask = enables.mask();
        match self.read_u32(offset) {
            Some(old) => self.write_u32(offset, (old & !mask) | (val & mask)),
            None => false,
        }
    }

    /// Whether [`Self::write_u32`] would return true. The default takes every register for writable, so that of an access
    /// to two dwords the first is written even when the second is refused.
    fn accepts_write(&self, offset: u16) -> bool {
        self.read_u32(offset).is_some()
    }

    /// Resets as `kind` says; the default knows one kind only. Not called for a function-level reset, which leaves
    /// CXL.cache and CXL.mem alone (CXL 3.1 section 9.5).
    fn reset_by(&mut self, kind: Reset) {
        let _ = kind;
        self.reset();
    }
}

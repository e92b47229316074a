//! Extended capabilities: the list from 0x100 up (PCIe 6.2 section 7.6).

pub mod acs;
pub mod aer;
pub mod dpc;
pub mod dvsec;
pub mod fixed;
pub mod link_speed;
pub mod resizable_bar;
pub mod table;

use super::CapabilityRegisters;
use super::ConfigSlot;
use aer::AerExtendedCapability;
use chipset_device::pci::ByteEnables;
use dpc::DpcExtendedCapability;
use inspect::Inspect;
use reg_table::Reset;
use resizable_bar::ResizableBarExtendedCapability;
use vmcore::save_restore::ProtobufSaveRestore;

/// A capability of the extended list (PCIe 6.2 section 7.6.3).
///
/// The emulator calls with offsets relative to the capability, dword-aligned and below [`Self::len`], and holds the function's lock.
/// An implementation must not block.
#[expect(clippy::len_without_is_empty, reason = "a capability is never empty")]
pub trait PciExtendedCapability: Send + Sync + Inspect + ProtobufSaveRestore {
    /// A label, the key in saved state and inspection.
    fn label(&self) -> &str;

    /// The extended capability ID.
    fn extended_capability_id(&self) -> u16;

    /// The version, 4 bits.
    fn capability_version(&self) -> u8;

    /// Length in bytes: not zero, a multiple of 4.
    fn len(&self) -> usize;

    /// Reads a dword. Offset 0 is `id | version << 16`; bits 31:20 must be zero: the emulator puts the next pointer there.
    fn read_u32(&self, offset: u16) -> u32;

    /// Writes a dword.
    fn write_u32(&mut self, offset: u16, val: u32);

    /// Resets to the state after power-on.
    fn reset(&mut self);

    /// Writes the enabled bytes of a dword; see [`PciCapability::write_bytes`](super::PciCapability::write_bytes).
    fn write_bytes(&mut self, offset: u16, val: u32, enables: ByteEnables) {
        let mask = enables.mask();
        let merged = if enables.is_all() {
            val
        } else {
            (self.read_u32(offset) & !mask) | (val & mask)
        };
        self.write_u32(offset, merged);
    }

    /// Resets as `kind` says; the default knows one kind only.
    fn reset_by(&mut self, kind: Reset) {
        let _ = kind;
        self.reset();
    }

    /// Moves the registers into the function's configuration space; see [`PciCapability::attach`](super::PciCapability::attach).
    fn attach(&mut self, slot: &ConfigSlot) -> bool {
        let _ = slot;
        false
    }

    /// What its registers are; `None` (the default) where there is no table.
    fn registers(&self) -> Option<CapabilityRegisters> {
        None
    }

    /// This capability as Advanced Error Reporting, if it is that.
    fn as_aer(&self) -> Option<&AerExtendedCapability> {
        None
    }

    /// This capability as Advanced Error Reporting, if it is that.
    fn as_aer_mut(&mut self) -> Option<&mut AerExtendedCapability> {
        None
    }

    /// This capability as Downstream Port Containment, if it is that.
    fn as_dpc(&self) -> Option<&DpcExtendedCapability> {
        None
    }

    /// This capability as Downstream Port Containment, if it is that.
    fn as_dpc_mut(&mut self) -> Option<&mut DpcExtendedCapability> {
        None
    }

    /// This capability as Resizable BAR, if it is that.
    fn as_resizable_bar(&self) -> Option<&ResizableBarExtendedCapability> {
        None
    }

    /// This capability as Resizable BAR, if it is that.
    fn as_resizable_bar_mut(&mut self) -> Option<&mut ResizableBarExtendedCapability> {
        None
    }
}

/// What every extended capability's first dword must say.
#[cfg(test)]
pub(crate) fn assert_extended_header_contract(capability: &dyn PciExtendedCapability) {
    let header = capability.read_u32(0);
    assert_eq!(
        header & 0xffff,
        u32::from(capability.extended_capability_id())
    );
    assert_eq!(
        (header >> 16) & 0xf,
        u32::from(capability.capability_version())
    );
    assert_eq!(header >> 20, 0, "the next pointer is the emulator's");
    assert!(capability.len() > 0 && capability.len().is_multiple_of(4));
}

//! Capabilities: the legacy list from 0x40 up, the extended list from 0x100 up.
//!
//! [`PciCapability`] and [`extended::PciExtendedCapability`] are what a device author implements for a capability that is not
//! here. Those here keep their registers in the function's configuration space itself ([`ConfigSlot`]), so that reading them
//! is a load.

pub mod advanced_features;
pub mod block;
mod edge_interrupt;
pub mod extended;
pub mod msi_cap;
pub mod msix;
pub mod pci_express;
#[doc(hidden)]
pub mod plan_subject;
pub mod power_management;
pub mod read_only;
mod registers;
mod saved_registers;
mod slot;
pub mod table;
mod vector;

pub use extended::PciExtendedCapability;
pub use read_only::ReadOnlyCapability;
pub use registers::CapabilityRegisters;
pub use slot::ConfigSlot;

use crate::spec::caps::CapabilityId;
use advanced_features::AdvancedFeaturesCapability;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use msi_cap::MsiCapability;
use pci_express::PciExpressCapability;
use power_management::PowerManagementCapability;
use reg_table::Reset;
use vmcore::save_restore::ProtobufSaveRestore;

/// A capability of the legacy list (PCIe 6.2 section 7.5.1.1.11).
///
/// The emulator calls with offsets relative to the capability, dword-aligned and below [`Self::len`], and holds the function's lock.
/// An implementation must not block.
#[expect(clippy::len_without_is_empty, reason = "a capability is never empty")]
pub trait PciCapability: Send + Sync + Inspect + ProtobufSaveRestore {
    /// A label, the key in saved state and inspection.
    fn label(&self) -> &str;

    /// The capability ID.
    fn capability_id(&self) -> CapabilityId;

    /// Length in bytes. The emulator places capabilities back to back and needs each to be a multiple of 4.
    fn len(&self) -> usize;

    /// Reads a dword. At offset 0, bits 15:8 must be zero: the emulator puts the next pointer there.
    fn read_u32(&self, offset: u16) -> u32;

    /// Writes a dword.
    fn write_u32(&mut self, offset: u16, val: u32);

    /// Resets to the state after power-on.
    fn reset(&mut self);

    /// Writes the enabled bytes of a dword. The default merges with what is read; a capability with RW1C bits must not leave it
    /// at that, or a guest that writes a neighbouring byte clears them.
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

    /// The function may issue requests from now on, or may not any more: its Bus Master Enable changed, or that of a bridge above it.
    /// Called only in a function composed with
    /// [`with_bus_master_gate`](crate::cfg_space_emu::ConfigSpaceType0Emulator::with_bus_master_gate), at composition too. A
    /// capability that sends no messages has nothing to do.
    fn bus_master_changed(&mut self, enabled: bool) {
        let _ = enabled;
    }

    /// Moves the registers into the function's configuration space. False (the default) leaves the capability where it is: the
    /// emulator then calls [`Self::read_u32`] for each read.
    fn attach(&mut self, slot: &ConfigSlot) -> bool {
        let _ = slot;
        false
    }

    /// What its registers are; `None` (the default) where there is no table.
    fn registers(&self) -> Option<CapabilityRegisters> {
        None
    }

    /// This capability as the PCI Express capability, if it is that.
    fn as_pci_express(&self) -> Option<&PciExpressCapability> {
        None
    }

    /// This capability as the PCI Express capability, if it is that.
    fn as_pci_express_mut(&mut self) -> Option<&mut PciExpressCapability> {
        None
    }

    /// This capability as Advanced Features, if it is that.
    fn as_advanced_features(&self) -> Option<&AdvancedFeaturesCapability> {
        None
    }

    /// This capability as Power Management, if it is that.
    fn as_power_management(&self) -> Option<&PowerManagementCapability> {
        None
    }

    /// This capability as Power Management, if it is that.
    fn as_power_management_mut(&mut self) -> Option<&mut PowerManagementCapability> {
        None
    }

    /// This capability as MSI, if it is that.
    fn as_msi_cap(&self) -> Option<&MsiCapability> {
        None
    }

    /// This capability as MSI, if it is that.
    fn as_msi_cap_mut(&mut self) -> Option<&mut MsiCapability> {
        None
    }
}

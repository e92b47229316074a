//! Capabilities that are a register table and its side effects: what all of them do alike, once.

use super::CapabilityRegisters;
use super::ConfigSlot;
use super::PciCapability;
use super::PciExtendedCapability;
use super::advanced_features::AdvancedFeaturesCapability;
use super::extended::aer::AerExtendedCapability;
use super::extended::dpc::DpcExtendedCapability;
use super::extended::resizable_bar::ResizableBarExtendedCapability;
use super::pci_express::PciExpressCapability;
use super::power_management::PowerManagementCapability;
use crate::spec::caps::CapabilityId;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use reg_table::BlockRegister;
use reg_table::Change;
use reg_table::RegisterFile;
use reg_table::Reset;
use std::any::Any;
use vmcore::save_restore::ProtobufSaveRestore;

/// A capability whose registers are a table. It holds the values, and says what the table cannot: what a write leads to.
///
/// With [`LegacyBlock`] or [`ExtendedBlock`] beside it, it is a [`PciCapability`] or a [`PciExtendedCapability`]: reads, writes with
/// byte enables, resets and the place in configuration space come from the table. Its first dword is the capability's header, with
/// the next pointer zero.
///
/// ```
/// use inspect::Inspect;
/// use pci_core::capabilities::block::{LegacyBlock, RegisterBlock};
/// use pci_core::capabilities::PciCapability;
/// use reg_table::{Change, RegisterFile, register_block};
/// use vmcore::save_restore::{NoSavedState, RestoreError, SaveError, SaveRestore};
///
/// register_block! {
///     /// A vendor's strobe.
///     pub BELL: BellReg = "bell" { title: "Bell", section: "example 1", bytes: 8 }
///     0x00 header: u32 as () = 0x0008_0009, "example 1.1" { ro: [id[7:0], next_pointer[15:8], length[23:16]] }
///     0x04 ring: u32 as () = 0, "example 1.2" { strobe: [ring[0:0]] }
/// }
///
/// #[derive(Inspect)]
/// struct Bell {
///     registers: RegisterFile<BellReg>,
///     rung: u32,
/// }
///
/// impl RegisterBlock for Bell {
///     type Register = BellReg;
///
///     fn file(&self) -> &RegisterFile<BellReg> {
///         &self.registers
///     }
///
///     fn file_mut(&mut self) -> &mut RegisterFile<BellReg> {
///         &mut self.registers
///     }
///
///     fn written(&mut self, change: Change<BellReg>) {
///         match change.register {
///             BellReg::Ring => self.rung += change.strobes,
///             // Read-only.
///             BellReg::Header => {}
///         }
///     }
/// }
///
/// impl LegacyBlock for Bell {}
///
/// impl SaveRestore for Bell {
///     type SavedState = NoSavedState;
///     fn save(&mut self) -> Result<NoSavedState, SaveError> {
///         Ok(NoSavedState)
///     }
///     fn restore(&mut self, _: NoSavedState) -> Result<(), RestoreError> {
///         Ok(())
///     }
/// }
///
/// let mut bell = Bell { registers: RegisterFile::new(BellReg::Header), rung: 0 };
/// bell.write_u32(4, 1);
/// assert_eq!((bell.label(), bell.read_u32(4), bell.rung), ("bell", 0, 1));
/// ```
pub trait RegisterBlock: Any + Send + Sync + Inspect + ProtobufSaveRestore {
    /// The table's registers.
    type Register: BlockRegister;

    /// The key in saved state and inspection.
    const LABEL: &'static str = <Self::Register as BlockRegister>::BLOCK.name;

    /// The values.
    fn file(&self) -> &RegisterFile<Self::Register>;

    /// The values, to be moved into the function's configuration space.
    fn file_mut(&mut self) -> &mut RegisterFile<Self::Register>;

    /// Software wrote to a register, which has its new value. By default, that leads to nothing.
    fn written(&mut self, change: Change<Self::Register>) {
        let _ = change;
    }

    /// Resets the registers and what is kept beside them.
    fn reset_registers(&mut self, kind: Reset) {
        self.file().reset(kind);
    }

    /// The bits of a register that can change in this instance, and so belong into saved state: by default those that software can
    /// change.
    fn changeable(&self, register: Self::Register) -> u32 {
        self.file().writable(register)
    }
}

/// A [`RegisterBlock`] of the legacy list.
pub trait LegacyBlock: RegisterBlock {}

/// A [`RegisterBlock`] of the extended list.
pub trait ExtendedBlock: RegisterBlock {}

fn write<B: RegisterBlock>(block: &mut B, offset: u16, value: u32, enables: ByteEnables) {
    for change in block.file().write(offset, value, enables.mask()) {
        block.written(change);
    }
}

/// The block as one of the capabilities that an emulator has to know.
fn as_known<B: RegisterBlock, K: 'static>(block: &B) -> Option<&K> {
    (block as &dyn Any).downcast_ref()
}

fn as_known_mut<B: RegisterBlock, K: 'static>(block: &mut B) -> Option<&mut K> {
    (block as &mut dyn Any).downcast_mut()
}

impl<B: LegacyBlock> PciCapability for B {
    fn label(&self) -> &str {
        B::LABEL
    }

    fn capability_id(&self) -> CapabilityId {
        let [id, ..] = self.file().read(0).to_le_bytes();
        CapabilityId(id)
    }

    fn len(&self) -> usize {
        self.file().block().bytes.into()
    }

    fn read_u32(&self, offset: u16) -> u32 {
        self.file().read(offset)
    }

    fn write_u32(&mut self, offset: u16, val: u32) {
        write(self, offset, val, ByteEnables::ALL);
    }

    fn write_bytes(&mut self, offset: u16, val: u32, enables: ByteEnables) {
        write(self, offset, val, enables);
    }

    fn reset(&mut self) {
        self.reset_registers(Reset::Cold);
    }

    fn reset_by(&mut self, kind: Reset) {
        self.reset_registers(kind);
    }

    fn attach(&mut self, slot: &ConfigSlot) -> bool {
        slot.attach(self.file_mut())
    }

    fn registers(&self) -> Option<CapabilityRegisters> {
        Some(self.file().into())
    }

    fn as_pci_express(&self) -> Option<&PciExpressCapability> {
        as_known(self)
    }

    fn as_pci_express_mut(&mut self) -> Option<&mut PciExpressCapability> {
        as_known_mut(self)
    }

    fn as_advanced_features(&self) -> Option<&AdvancedFeaturesCapability> {
        as_known(self)
    }

    fn as_power_management(&self) -> Option<&PowerManagementCapability> {
        as_known(self)
    }

    fn as_power_management_mut(&mut self) -> Option<&mut PowerManagementCapability> {
        as_known_mut(self)
    }
}

impl<B: ExtendedBlock> PciExtendedCapability for B {
    fn label(&self) -> &str {
        B::LABEL
    }

    fn extended_capability_id(&self) -> u16 {
        let [low, high, ..] = self.file().read(0).to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    fn capability_version(&self) -> u8 {
        let [_, _, version, _] = self.file().read(0).to_le_bytes();
        version & 0xf
    }

    fn len(&self) -> usize {
        self.file().block().bytes.into()
    }

    fn read_u32(&self, offset: u16) -> u32 {
        self.file().read(offset)
    }

    fn write_u32(&mut self, offset: u16, val: u32) {
        write(self, offset, val, ByteEnables::ALL);
    }

    fn write_bytes(&mut self, offset: u16, val: u32, enables: ByteEnables) {
        write(self, offset, val, enables);
    }

    fn reset(&mut self) {
        self.reset_registers(Reset::Cold);
    }

    fn reset_by(&mut self, kind: Reset) {
        self.reset_registers(kind);
    }

    fn attach(&mut self, slot: &ConfigSlot) -> bool {
        slot.attach(self.file_mut())
    }

    fn registers(&self) -> Option<CapabilityRegisters> {
        Some(self.file().into())
    }

    fn as_aer(&self) -> Option<&AerExtendedCapability> {
        as_known(self)
    }

    fn as_aer_mut(&mut self) -> Option<&mut AerExtendedCapability> {
        as_known_mut(self)
    }

    fn as_dpc(&self) -> Option<&DpcExtendedCapability> {
        as_known(self)
    }

    fn as_dpc_mut(&mut self) -> Option<&mut DpcExtendedCapability> {
        as_known_mut(self)
    }

    fn as_resizable_bar(&self) -> Option<&ResizableBarExtendedCapability> {
        as_known(self)
    }

    fn as_resizable_bar_mut(&mut self) -> Option<&mut ResizableBarExtendedCapability> {
        as_known_mut(self)
    }
}

//! Blocks that are a register table and nothing more.

use super::CxlComponentRegister;
use super::spec::link::CxlLinkReg;
use super::spec::ras::CxlRasReg;
use super::spec::snoop_filter::CxlSnoopFilterReg;
use super::spec::snoop_filter::CxlSnoopFilterSize;
use crate::saved_words::check;
use crate::spec::CxlComponentRegisterType;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use reg_table::BlockRegister;
use reg_table::HardwareSide;
use reg_table::RegisterFile;
use reg_table::Reset;
use reg_table::WordMask;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SaveRestore;

/// A block made of one register table, in the primary range.
#[derive(Debug, Inspect)]
pub struct CxlTableCapability<R: BlockRegister> {
    #[inspect(flatten)]
    pub(super) registers: RegisterFile<R>,
    #[inspect(skip)]
    id: u16,
    #[inspect(skip)]
    version: u8,
}

/// The CXL RAS capability (CXL 3.1 section 8.2.4.17).
pub type CxlRasCapability = CxlTableCapability<CxlRasReg>;

/// The CXL Link capability (CXL 3.1 section 8.2.4.19).
pub type CxlLinkCapability = CxlTableCapability<CxlLinkReg>;

/// The CXL Snoop Filter capability (CXL 3.1 section 8.2.4.23).
pub type CxlSnoopFilterCapability = CxlTableCapability<CxlSnoopFilterReg>;

impl Default for CxlRasCapability {
    fn default() -> Self {
        Self::new()
    }
}

impl CxlRasCapability {
    /// No error recorded, all masked.
    pub fn new() -> Self {
        Self {
            registers: RegisterFile::new(CxlRasReg::UncorrectableErrorStatus),
            id: super::spec::ras::CXL_RAS_CAPABILITY_ID,
            version: super::spec::ras::CXL_RAS_CAPABILITY_VERSION,
        }
    }
}

impl Default for CxlLinkCapability {
    fn default() -> Self {
        Self::new()
    }
}

impl CxlLinkCapability {
    /// A link layer that is initialised.
    pub fn new() -> Self {
        Self {
            registers: RegisterFile::new(CxlLinkReg::LinkLayerCapabilityLow),
            id: super::spec::link::CXL_LINK_CAPABILITY_ID,
            version: super::spec::link::CXL_LINK_CAPABILITY_VERSION,
        }
    }
}

impl CxlSnoopFilterCapability {
    /// A snoop filter that root ports of one group share; `size` is its effective size in the register's units.
    pub fn new(group_id: u16, size: u16) -> Self {
        let mut registers = RegisterFile::new(CxlSnoopFilterReg::SnoopFilterGroupId);
        registers.init(CxlSnoopFilterReg::SnoopFilterGroupId, group_id);
        registers.init(
            CxlSnoopFilterReg::SnoopFilterEffectiveSize,
            CxlSnoopFilterSize::new().with_size(size).into_bits(),
        );
        Self {
            registers,
            id: super::spec::snoop_filter::CXL_SNOOP_FILTER_CAPABILITY_ID,
            version: super::spec::snoop_filter::CXL_SNOOP_FILTER_CAPABILITY_VERSION,
        }
    }
}

impl<R: BlockRegister> CxlTableCapability<R> {
    /// The access masks of this instance.
    pub(crate) fn masks(&self) -> Vec<WordMask> {
        self.registers.masks()
    }

    /// For events that set bits.
    pub(crate) fn hardware_side(&self) -> HardwareSide {
        self.registers.hardware_side()
    }
}

impl<R: BlockRegister> CxlComponentRegister for CxlTableCapability<R> {
    fn label(&self) -> &str {
        self.registers.block().name
    }

    fn register_type(&self) -> CxlComponentRegisterType {
        CxlComponentRegisterType::CacheMemRegister
    }

    fn capability_id(&self) -> u16 {
        self.id
    }

    fn capability_version(&self) -> u8 {
        self.version
    }

    fn len(&self) -> u16 {
        self.registers.block().bytes
    }

    fn read_u32(&self, offset: u16) -> Option<u32> {
        (offset < self.len()).then(|| self.registers.read(offset))
    }

    fn write_u32(&mut self, offset: u16, val: u32) -> bool {
        self.write_bytes(offset, val, ByteEnables::ALL)
    }

    fn write_bytes(&mut self, offset: u16, val: u32, enables: ByteEnables) -> bool {
        self.registers.write(offset, val, enables.mask());
        self.accepts_write(offset)
    }

    fn accepts_write(&self, offset: u16) -> bool {
        self.registers
            .mask(usize::from(offset) / 4)
            .is_some_and(|mask| mask.writable() != 0)
    }

    fn reset(&mut self) {
        self.reset_by(Reset::Cold);
    }

    fn reset_by(&mut self, kind: Reset) {
        self.registers.reset(kind);
    }
}

mod state {
    use mesh_protobuf::Protobuf;
    use vmcore::save_restore::SavedStateRoot;

    /// The dwords of the block; the label beside it says which.
    #[derive(Protobuf, SavedStateRoot)]
    #[mesh(package = "cxl.component_registers.table")]
    pub struct SavedState {
        #[mesh(1)]
        pub words: Vec<u32>,
    }
}

impl<R: BlockRegister> SaveRestore for CxlTableCapability<R> {
    type SavedState = state::SavedState;

    fn save(&mut self) -> Result<Self::SavedState, SaveError> {
        Ok(state::SavedState {
            words: self.registers.save(),
        })
    }

    fn restore(&mut self, state: Self::SavedState) -> Result<(), RestoreError> {
        SaveRestore::check(self, &state)?;
        self.registers.restore(&state.words);
        Ok(())
    }

    fn check(&mut self, state: &Self::SavedState) -> Result<(), RestoreError> {
        check(&self.registers, &state.words)
    }
}

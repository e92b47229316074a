//! What a capability says of its registers.

use reg_table::Block;
use reg_table::BlockRegister;
use reg_table::HardwareSide;
use reg_table::RegisterFile;
use reg_table::WordMask;

/// The register table of a capability, and what this instance makes of it.
#[derive(Clone, Debug)]
pub struct CapabilityRegisters {
    /// The table.
    pub block: &'static Block,
    /// What software may do to each dword: the table's rights, less those of features that this instance does not have.
    pub masks: Vec<WordMask>,
    /// For events that set bits of it.
    pub hardware: HardwareSide,
}

impl<R: BlockRegister> From<&RegisterFile<R>> for CapabilityRegisters {
    fn from(file: &RegisterFile<R>) -> Self {
        Self {
            block: file.block(),
            masks: file.masks(),
            hardware: file.hardware_side(),
        }
    }
}

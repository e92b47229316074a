//! The saved state of capabilities that are their registers and nothing else: values by register name.

use super::block::RegisterBlock;
use reg_table::Access;
use reg_table::BlockRegister;
use reg_table::RegisterFile;
use vmcore::save_restore::RestoreError;

pub(super) use state::SavedRegister;
pub(super) use state::SavedState;

mod state {
    use mesh_protobuf::Protobuf;
    use std::borrow::Cow;
    use vmcore::save_restore::SavedStateRoot;

    /// One register.
    #[derive(Debug, Clone, Protobuf)]
    #[mesh(package = "pci.capabilities.registers")]
    pub struct SavedRegister {
        /// Its name in the table.
        #[mesh(1)]
        pub name: Cow<'static, str>,
        /// Its bits that can change.
        #[mesh(2)]
        pub value: u32,
    }

    /// The registers that can change, in order of offset.
    #[derive(Debug, Protobuf, SavedStateRoot)]
    #[mesh(package = "pci.capabilities.registers")]
    pub struct SavedState {
        /// A register that is not there has its reset value.
        #[mesh(1)]
        pub registers: Vec<SavedRegister>,
    }
}

impl AsRef<[SavedRegister]> for SavedState {
    fn as_ref(&self) -> &[SavedRegister] {
        &self.registers
    }
}

/// The bits of a register that software can change in this instance, and those that the hardware's side changes and
/// that survive a hot reset: logs, reasons, sources.
pub(super) fn with_sticky_logs<R: BlockRegister>(file: &RegisterFile<R>, register: R) -> u32 {
    let logs = register
        .register()
        .fields
        .iter()
        .filter(|field| field.access == Access::Ros)
        .fold(0, |bits, field| bits | field.mask());
    file.writable(register) | logs
}

/// The registers of which any bits can change.
pub(super) fn save<B: RegisterBlock>(block: &B) -> SavedState {
    let registers = B::Register::ALL.iter().filter_map(|&register| {
        let bits = block.changeable(register);
        (bits != 0).then(|| SavedRegister {
            name: register.register().name.into(),
            value: block.file().get(register) & bits,
        })
    });
    SavedState {
        registers: registers.collect(),
    }
}

/// Refuses a name that no changeable register of the block has.
pub(super) fn check<B: RegisterBlock>(
    block: &B,
    saved: impl AsRef<[SavedRegister]>,
) -> Result<(), RestoreError> {
    let known = |name: &str| {
        B::Register::ALL
            .iter()
            .any(|&register| register.register().name == name && block.changeable(register) != 0)
    };
    match saved.as_ref().iter().find(|saved| !known(&saved.name)) {
        None => Ok(()),
        Some(saved) => Err(RestoreError::UnknownEntryId(
            saved.name.clone().into_owned(),
        )),
    }
}

/// The changeable bits that a register will have once `saved` is restored.
pub(super) fn value<B: RegisterBlock>(
    block: &B,
    saved: impl AsRef<[SavedRegister]>,
    register: B::Register,
) -> u32 {
    let entry = register.register();
    let reset = block
        .file()
        .mask(entry.word())
        .map_or(0, |mask| mask.reset >> entry.shift());
    // As with any field of a message, the last one counts.
    let mut saved = saved.as_ref().iter().rev();
    let value = saved.find(|saved| saved.name == entry.name);
    value.map_or(reset, |saved| saved.value) & block.changeable(register)
}

/// Puts the changeable bits of all registers back; those of a register that is not in `saved` get their reset value.
/// Names have been checked.
pub(super) fn restore<B: RegisterBlock>(block: &B, saved: impl AsRef<[SavedRegister]>) {
    let saved = saved.as_ref();
    for &register in B::Register::ALL {
        let (bits, value) = (block.changeable(register), value(block, saved, register));
        block.file().update(register, |old| (old & !bits) | value);
    }
}

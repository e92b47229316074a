//! The saved state of capabilities that are their registers and nothing else: values by register name.

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

/// Registers of which `changeable` names any bits.
pub(super) fn save<R: BlockRegister>(
    file: &RegisterFile<R>,
    changeable: impl Fn(R) -> u32,
) -> Vec<SavedRegister> {
    R::ALL
        .iter()
        .filter(|&&register| changeable(register) != 0)
        .map(|&register| SavedRegister {
            name: register.register().name.into(),
            value: file.get(register) & changeable(register),
        })
        .collect()
}

/// The register of a name, if it can change.
fn find<R: BlockRegister>(name: &str, changeable: impl Fn(R) -> u32) -> Option<R> {
    R::ALL
        .iter()
        .copied()
        .find(|register| register.register().name == name && changeable(*register) != 0)
}

/// Refuses a name that no changeable register of the block has.
pub(super) fn check<R: BlockRegister>(
    saved: &[SavedRegister],
    changeable: impl Fn(R) -> u32,
) -> Result<(), RestoreError> {
    match saved
        .iter()
        .find(|saved| find(&saved.name, &changeable).is_none())
    {
        None => Ok(()),
        Some(saved) => Err(RestoreError::UnknownEntryId(
            saved.name.clone().into_owned(),
        )),
    }
}

/// The changeable bits that a register will have once `saved` is restored.
pub(super) fn value<R: BlockRegister>(
    file: &RegisterFile<R>,
    saved: &[SavedRegister],
    register: R,
    changeable: impl Fn(R) -> u32,
) -> u32 {
    let entry = register.register();
    let reset = file
        .mask(entry.word())
        .map_or(0, |mask| mask.reset >> entry.shift());
    // As with any field of a message, the last one counts.
    let value = saved.iter().rev().find(|saved| saved.name == entry.name);
    value.map_or(reset, |saved| saved.value) & changeable(register)
}

/// Puts the changeable bits of all registers back; those of a register that is not in `saved` get their reset value.
/// Names have been checked.
pub(super) fn restore<R: BlockRegister>(
    file: &RegisterFile<R>,
    saved: &[SavedRegister],
    changeable: impl Fn(R) -> u32,
) {
    for &register in R::ALL {
        let (bits, value) = (
            changeable(register),
            value(file, saved, register, &changeable),
        );
        file.update(register, |old| (old & !bits) | value);
    }
}

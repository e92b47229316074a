//! A saved state laid over a register file, checked as a whole before anything changes.

use reg_table::BlockRegister;
use reg_table::RegisterFile;
use vmcore::save_restore::RestoreError;

/// The dwords a register file would have after a restore.
pub(crate) struct SavedWords<'a, R> {
    file: &'a RegisterFile<R>,
    words: Vec<u32>,
}

impl<'a, R: BlockRegister> SavedWords<'a, R> {
    /// As the file is now.
    pub(crate) fn over(file: &'a RegisterFile<R>) -> Self {
        Self {
            file,
            words: file.save(),
        }
    }

    /// Puts in the saved values of some registers, and checks that the whole can be a state of this composition: fixed
    /// bits as composed, and no bit set that stands for a feature which is not there.
    pub(crate) fn with(self, values: &[(R, u32)]) -> Result<Vec<u32>, RestoreError> {
        let file = self.file;
        let words = self.with_any(values)?;
        check(file, &words)?;
        Ok(words)
    }

    /// As [`Self::with`], for a block whose features come with the state: looks at the fixed bits only.
    pub(crate) fn with_any(mut self, values: &[(R, u32)]) -> Result<Vec<u32>, RestoreError> {
        for &(register, value) in values {
            let entry = register.register();
            if value & !entry.mask() != 0 {
                return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                    "block '{}': {} is {value:#x} in the saved state; it has {} bits",
                    self.file.block().name,
                    entry.name,
                    entry.bytes * 8
                )));
            }
            if let Some(word) = self.words.get_mut(entry.word()) {
                *word = (*word & !(entry.mask() << entry.shift())) | (value << entry.shift());
            }
        }
        check_fixed(self.file, &self.words)?;
        Ok(self.words)
    }
}

fn check_fixed<R: BlockRegister>(
    file: &RegisterFile<R>,
    words: &[u32],
) -> Result<(), RestoreError> {
    file.check(words)
        .map_err(|error| RestoreError::InvalidSavedState(error.into()))
}

/// Whether `words` can be a state of this composition.
pub(crate) fn check<R: BlockRegister>(
    file: &RegisterFile<R>,
    words: &[u32],
) -> Result<(), RestoreError> {
    check_fixed(file, words)?;
    let masks = file.block().masks.iter().zip(file.masks());
    for ((word, (table, here)), index) in words.iter().zip(masks).zip(0usize..) {
        let absent = table.writable() & !here.writable();
        if (word ^ here.reset) & absent != 0 {
            return Err(RestoreError::InvalidSavedState(anyhow::anyhow!(
                "block '{}': the dword at {:#x} is {word:#010x} in the saved state; bits {absent:#010x} cannot change here",
                file.block().name,
                index * 4
            )));
        }
    }
    Ok(())
}

/// The error of a saved value that must be what was composed.
pub(crate) fn composed_differently(what: &str, found: u32, expected: u32) -> RestoreError {
    RestoreError::InvalidSavedState(anyhow::anyhow!(
        "{what} is {found:#x} in the saved state; it was composed as {expected:#x}"
    ))
}

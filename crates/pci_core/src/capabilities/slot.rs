//! The place of a capability in its function's configuration space.

use reg_table::BlockRegister;
use reg_table::Page;
use reg_table::RegisterFile;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A run of dwords of a function's configuration space, given to one capability.
pub struct ConfigSlot {
    page: Arc<Page>,
    first: usize,
    words: usize,
    link: u32,
}

impl ConfigSlot {
    pub(crate) fn new(page: Arc<Page>, offset: u16, bytes: usize, link: u32) -> Self {
        Self {
            page,
            first: usize::from(offset) / 4,
            words: bytes / 4,
            link,
        }
    }

    /// Moves a register file here. False, with nothing changed, if it is longer than the slot.
    #[must_use]
    pub fn attach<R: BlockRegister>(&self, file: &mut RegisterFile<R>) -> bool {
        self.attach_at(0, file)
    }

    /// As [`Self::attach`], for a capability of several blocks: `offset` bytes into the slot.
    #[must_use]
    pub fn attach_at<R: BlockRegister>(&self, offset: u16, file: &mut RegisterFile<R>) -> bool {
        let first = usize::from(offset) / 4;
        let link = if first == 0 { self.link } else { 0 };
        first + file.len() <= self.words && file.attach(&self.page, self.first + first, link)
    }

    /// Fills the slot with words that never change.
    pub fn store(&self, words: impl IntoIterator<Item = u32>) {
        let slot = self.page.words().iter().skip(self.first).take(self.words);
        for (i, (to, word)) in slot.zip(words).enumerate() {
            let link = if i == 0 {
                to.load(Ordering::Relaxed) & self.link
            } else {
                0
            };
            to.store(word | link, Ordering::Relaxed);
        }
    }
}

//! The namespace: storage in blocks.

use crate::storage::Storage;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// The only namespace's ID.
pub(crate) const NSID: u32 = 1;

pub(crate) struct Namespace {
    pub(crate) storage: Box<dyn Storage>,
    /// Bytes of a block, as a power of two.
    pub(crate) block_exponent: u8,
    blocks: AtomicU64,
    write_cache: AtomicBool,
}

impl Namespace {
    pub(crate) fn new(storage: Box<dyn Storage>, block_exponent: u8) -> Self {
        let namespace = Self {
            storage,
            block_exponent,
            blocks: AtomicU64::new(0),
            write_cache: AtomicBool::new(true),
        };
        namespace.rescan();
        namespace
    }

    /// Learns the storage's length again, and says whether it changed.
    pub(crate) fn rescan(&self) -> bool {
        let blocks = self.storage.len() >> self.block_exponent;
        self.blocks.swap(blocks, Ordering::AcqRel) != blocks
    }

    /// Blocks.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks.load(Ordering::Acquire)
    }

    /// Whether the guest lets written data wait in the cache.
    pub(crate) fn write_cache(&self) -> bool {
        self.write_cache.load(Ordering::Acquire)
    }

    pub(crate) fn set_write_cache(&self, enabled: bool) {
        self.write_cache.store(enabled, Ordering::Release);
    }

    /// The bytes of a range of blocks: offset and length. `None` where it ends beyond the last block.
    pub(crate) fn range(&self, first: u64, count: u64) -> Option<(u64, u64)> {
        let end = first.checked_add(count)?;
        (end <= self.blocks()).then(|| (first << self.block_exponent, count << self.block_exponent))
    }
}

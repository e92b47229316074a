//! What is behind a namespace.

mod file;
mod memory;

pub use file::FileStorage;
pub use file::FileStorageError;
pub use memory::MemoryStorage;

use std::io;
use std::sync::Arc;

/// Bytes that last, read and written by several threads at once.
///
/// The caller guarantees that every range lies inside [`len`](Self::len) as it was last told. The implementor may block for as long as
/// its medium does: it is called from the controller's own threads, and saving, resetting and removing the controller wait for it.
pub trait Storage: Send + Sync {
    /// Bytes. It may change while in use; the controller asks again when it is told to.
    fn len(&self) -> u64;

    /// Whether there is nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it can't be written.
    fn read_only(&self) -> bool {
        false
    }

    /// Whether what was written may be lost with the host's power until [`flush`](Self::flush) returns.
    fn volatile_write_cache(&self) -> bool {
        false
    }

    /// Fills `data` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// When the medium can't be read.
    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<()>;

    /// Writes `data` from `offset` on.
    ///
    /// # Errors
    ///
    /// When the medium can't be written.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes all that was written before last.
    ///
    /// # Errors
    ///
    /// When it can't be known to last.
    fn flush(&self) -> io::Result<()>;

    /// Forgets what is in a range. It reads zero, or as before.
    ///
    /// # Errors
    ///
    /// When the medium can't be written.
    fn discard(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Makes a range read zero. With `deallocate`, the medium need not keep room for it.
    ///
    /// # Errors
    ///
    /// When the medium can't be written.
    fn write_zeroes(&self, offset: u64, len: u64, deallocate: bool) -> io::Result<()>;
}

/// Storage that others have in hand as well.
impl<T: Storage + ?Sized> Storage for Arc<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn is_empty(&self) -> bool {
        (**self).is_empty()
    }

    fn read_only(&self) -> bool {
        (**self).read_only()
    }

    fn volatile_write_cache(&self) -> bool {
        (**self).volatile_write_cache()
    }

    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, data)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, data)
    }

    fn flush(&self) -> io::Result<()> {
        (**self).flush()
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        (**self).discard(offset, len)
    }

    fn write_zeroes(&self, offset: u64, len: u64, deallocate: bool) -> io::Result<()> {
        (**self).write_zeroes(offset, len, deallocate)
    }
}

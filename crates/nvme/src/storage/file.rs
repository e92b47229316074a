//! Storage in a file.

use super::Storage;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use vmm_sys_util::write_zeroes::PunchHole;
use vmm_sys_util::write_zeroes::WriteZeroesAt;

/// A file that can't be a namespace.
#[derive(Debug, thiserror::Error)]
pub enum FileStorageError {
    /// It can't be opened, or its length can't be told or set.
    #[error("'{path}': {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process, or another controller, has it.
    #[error("'{path}' is in use by another")]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// A file, or a block device.
///
/// While it is open it is locked (`flock(2)`): shared where it is read only, else exclusive.
pub struct FileStorage {
    file: File,
    len: u64,
    read_only: bool,
}

impl FileStorage {
    /// Opens an existing file, whole.
    ///
    /// # Errors
    ///
    /// - it can't be opened, or its length can't be told;
    /// - it is locked by another.
    pub fn open(path: &Path, read_only: bool) -> Result<Self, FileStorageError> {
        let file = OpenOptions::new()
            .read(true)
            .write(!read_only)
            .open(path)
            .map_err(|error| io_error(path, error))?;
        Self::lock(path, file, read_only)
    }

    /// Opens a file, which is made if there is none, and made `len` bytes long if it is shorter.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], and when the length can't be set.
    pub fn open_or_create(path: &Path, len: u64) -> Result<Self, FileStorageError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| io_error(path, error))?;
        let mut storage = Self::lock(path, file, false)?;
        if storage.len < len {
            storage
                .file
                .set_len(len)
                .map_err(|error| io_error(path, error))?;
            storage.len = len;
        }
        Ok(storage)
    }

    fn lock(path: &Path, file: File, read_only: bool) -> Result<Self, FileStorageError> {
        let locked = if read_only {
            file.try_lock_shared()
        } else {
            file.try_lock()
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(FileStorageError::InUse { path: path.into() });
            }
            // A file system without locks serves as well.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(io_error(path, error)),
        }
        let len = length(&file).map_err(|error| io_error(path, error))?;
        Ok(Self {
            file,
            len,
            read_only,
        })
    }
}

fn io_error(path: &Path, error: io::Error) -> FileStorageError {
    FileStorageError::Io {
        path: path.into(),
        error,
    }
}

/// A block device's length is where its end is; its metadata say 0.
fn length(mut file: &File) -> io::Result<u64> {
    use std::io::Seek;
    file.seek(io::SeekFrom::End(0))
}

impl Storage for FileStorage {
    fn len(&self) -> u64 {
        // A file that can't be asked any more is as long as it was.
        length(&self.file).unwrap_or(self.len)
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn volatile_write_cache(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(data, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn flush(&self) -> io::Result<()> {
        if self.read_only {
            return Ok(());
        }
        self.file.sync_data()
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        // Forgetting is a hint: a file system without holes keeps what there was.
        match self.file.try_clone()?.punch_hole(offset, len) {
            Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(error),
            _ => Ok(()),
        }
    }

    fn write_zeroes(&self, offset: u64, len: u64, deallocate: bool) -> io::Result<()> {
        let mut file = self.file.try_clone()?;
        if deallocate && file.punch_hole(offset, len).is_ok() {
            return Ok(());
        }
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        file.write_all_zeroes_at(offset, len)
    }
}

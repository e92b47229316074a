//! A Unix socket that nobody else can connect to, from its first moment to its last.

use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;

/// Only the owner may list the folder, or connect to the socket.
const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_SOCKET: u32 = 0o600;

/// Why a socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A server listens there.
    #[error("{path}: a server is listening there already")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something other than a socket is there.
    #[error("{path}: is there already, and is no socket")]
    NoSocket {
        /// The file.
        path: PathBuf,
    },
    /// The folder for sockets is another user's, or open to others.
    #[error("{path}: must be a folder of this user's own, closed to others")]
    NotPrivate {
        /// The folder.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A socket's place in the file system. Dropped, it takes the socket away, unless another has taken its place.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Claim {
    /// Listens at `path`, in place of a server that has died.
    ///
    /// The socket is made in a folder that only the owner can enter, and moved to its place when its mode is right: so there is no
    /// moment at which another user could connect, whatever the process's umask.
    pub(crate) fn bind(path: &Path) -> Result<(UnixListener, Self), SocketError> {
        let failed = |source| SocketError::Io {
            path: path.to_owned(),
            source,
        };
        let name = path
            .file_name()
            .ok_or_else(|| failed(ErrorKind::InvalidInput.into()))?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        // Two servers that start at once take turns, or each could take the other's socket for a dead one's.
        let turn = File::open(folder).map_err(failed)?;
        turn.lock().map_err(failed)?;
        check_vacant(path)?;
        let private = folder.join(format!(".{}", std::process::id()));
        DirBuilder::new()
            .mode(PRIVATE_FOLDER)
            .create(&private)
            .map_err(failed)?;
        let bound = bind_private(&private.join(name), path);
        // It is empty but for a socket that found no place.
        let _ = fs::remove_dir_all(&private);
        bound.map_err(failed)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn bind_private(private: &Path, path: &Path) -> io::Result<(UnixListener, Claim)> {
    let listener = UnixListener::bind(private)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(private, Permissions::from_mode(PRIVATE_SOCKET))?;
    let metadata = fs::symlink_metadata(private)?;
    fs::rename(private, path)?;
    let claim = Claim {
        path: path.to_owned(),
        device: metadata.dev(),
        inode: metadata.ino(),
    };
    Ok((listener, claim))
}

/// Nothing may be at `path` but the socket of a server that has died.
fn check_vacant(path: &Path) -> Result<(), SocketError> {
    let path_owned = || path.to_owned();
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            let path = path_owned();
            return Err(SocketError::Io { path, source });
        }
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NoSocket { path: path_owned() });
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Ok(_) => Err(SocketError::InUse { path: path_owned() }),
        Err(source) => Err(SocketError::Io {
            path: path_owned(),
            source,
        }),
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if is_ours {
            // If it has gone meanwhile, all the better.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The folder in which servers put their sockets unless told otherwise: `rootplex` in `$XDG_RUNTIME_DIR`, or else
/// `rootplex-UID` in the folder for temporary files.
pub fn socket_folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if Path::new(&folder).is_absolute() => Path::new(&folder).join("rootplex"),
        _ => std::env::temp_dir().join(format!("rootplex-{}", user())),
    }
}

/// Makes a folder for sockets where there is none, and makes sure that it is this user's own.
///
/// # Errors
///
/// - it cannot be made, or is no folder;
/// - it is another user's, or others may enter it.
pub fn make_socket_folder(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    match DirBuilder::new().mode(PRIVATE_FOLDER).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    let is_private = metadata.is_dir() && metadata.uid() == user() && metadata.mode() & 0o077 == 0;
    if !is_private {
        return Err(SocketError::NotPrivate {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// This process's user.
fn user() -> u32 {
    // Without /proc nobody's folder is accepted.
    fs::metadata("/proc/self").map_or(u32::MAX, |metadata| metadata.uid())
}

/// The sockets in `folder` that a server listens at.
pub fn live_sockets(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut live: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "sock")
        })
        .filter(|path| UnixStream::connect(path).is_ok())
        .collect();
    live.sort();
    live
}

//! How an access ends.

pub mod deferred;

/// Why a device did not take an access: it did not suit the device's interface.
///
/// These are errors of suitability only. A device that understood the access and failed at it reports that through its own
/// registers, and answers `Ok`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IoError {
    /// No register at this address.
    #[error("no register at this address")]
    InvalidRegister,
    /// The register cannot be accessed with this many bytes.
    #[error("access size not supported")]
    InvalidAccessSize,
    /// The address is not a multiple of the access size.
    #[error("unaligned access")]
    UnalignedAccess,
    /// Nobody answered.
    #[error("no response")]
    NoResponse,
}

/// How an access ended, or that it will end later.
///
/// On `Err` the dispatcher logs the access (at a bounded rate), drops a write, and fills a read with the bus's error value:
/// all-ones for MMIO and port I/O, zero for PCI configuration space.
#[derive(Debug)]
#[must_use]
pub enum IoResult {
    /// Done.
    Ok,
    /// Not done: the access does not suit the device.
    Err(IoError),
    /// Not done yet: the token tells when.
    Defer(deferred::DeferredToken),
}

impl IoResult {
    /// For tests and for accesses that are known to succeed.
    ///
    /// # Panics
    ///
    /// Unless the result is `Ok`.
    #[track_caller]
    #[expect(
        clippy::panic,
        reason = "documented; not for accesses that a guest makes"
    )]
    pub fn unwrap(self) {
        match self {
            Self::Ok => {}
            Self::Err(error) => panic!("the access failed: {error}"),
            Self::Defer(_) => panic!("the access was deferred"),
        }
    }

    /// The result of a device that never defers.
    ///
    /// # Errors
    ///
    /// The error of the access.
    ///
    /// # Panics
    ///
    /// When the result is `Defer`.
    #[track_caller]
    #[expect(
        clippy::panic,
        reason = "documented; not for accesses that a guest makes"
    )]
    pub fn now_or_never(self) -> Result<(), IoError> {
        match self {
            Self::Ok => Ok(()),
            Self::Err(error) => Err(error),
            Self::Defer(_) => panic!("the access was deferred"),
        }
    }
}

impl From<Result<(), IoError>> for IoResult {
    fn from(result: Result<(), IoError>) -> Self {
        match result {
            Ok(()) => Self::Ok,
            Err(error) => Self::Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_or_never_is_the_result() {
        IoResult::Ok.unwrap();
        assert_eq!(IoResult::Ok.now_or_never(), Ok(()));
        assert_eq!(
            IoResult::Err(IoError::UnalignedAccess).now_or_never(),
            Err(IoError::UnalignedAccess)
        );
    }

    #[test]
    #[should_panic(expected = "no register at this address")]
    fn unwrap_panics_with_the_error() {
        IoResult::Err(IoError::InvalidRegister).unwrap();
    }

    #[test]
    #[should_panic(expected = "deferred")]
    fn now_or_never_panics_when_deferred() {
        let (_read, token) = deferred::defer_read();
        let _ = IoResult::Defer(token).now_or_never();
    }
}

//! What can go wrong with a machine that is not the guest's fault.

use crate::boot::BootError;
use crate::memory::MemoryError;
use pcie_topology::Problems;
use std::io;
use std::path::PathBuf;

/// Why a machine cannot be made, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// KVM is missing, or is there and does not run guests.
    #[error("no usable KVM: {0}; `cargo xtask guest` brings a machine that has it")]
    NoKvm(String),
    /// The description of the hierarchy is wrong; one line for each mistake, with its place.
    #[error(transparent)]
    Topology(#[from] Problems),
    /// Too many or too few processors.
    #[error("{0} processors; there can be 1 to {max}", max = crate::CPUS_MAX)]
    Cpus(u32),
    /// Memory cannot be as asked for.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A root complex has ports that are the machine's own.
    #[error("{window} begins at port {start:#x}; those below 0x1000 are the machine's own")]
    Ports {
        /// The window.
        window: String,
        /// Its first port.
        start: u64,
    },
    /// A recording was asked for too late.
    #[error("a recording begins with a machine that has not run and was not restored")]
    NotNew,
    /// The kernel cannot be loaded.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The ACPI tables cannot say what the description says.
    #[error("ACPI tables: {0}")]
    Tables(#[from] platform_tables::Error),
    /// A system call of KVM failed.
    #[error("{call}: {source}")]
    Kvm {
        /// Which.
        call: &'static str,
        /// Why.
        source: kvm_ioctls::Error,
    },
    /// The host has no descriptors or threads left.
    #[error("{what}: {source}")]
    Host {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A processor stopped and cannot go on.
    #[error("processor {cpu}: {reason}")]
    Stuck {
        /// Its number.
        cpu: usize,
        /// What KVM says.
        reason: String,
    },
    /// A file with a saved machine cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A saved machine does not fit.
    #[error("the saved machine does not fit: {0}")]
    Saved(String),
}

/// Says which call failed.
pub(crate) trait Kvm<T> {
    fn during(self, call: &'static str) -> Result<T, MachineError>;
}

impl<T> Kvm<T> for Result<T, kvm_ioctls::Error> {
    fn during(self, call: &'static str) -> Result<T, MachineError> {
        self.map_err(|source| MachineError::Kvm { call, source })
    }
}

/// Says what the host refused.
pub(crate) trait Host<T> {
    fn to(self, what: &'static str) -> Result<T, MachineError>;
}

impl<T> Host<T> for io::Result<T> {
    fn to(self, what: &'static str) -> Result<T, MachineError> {
        self.map_err(|source| MachineError::Host { what, source })
    }
}

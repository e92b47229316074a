//! What a controller is made like.

use crate::storage::FileStorageError;
use pci_core::capabilities::msix::MsixLayoutError;
use pci_core::capabilities::pci_express::LinkConfig;
use pci_core::capabilities::pci_express::LinkError;
use pci_core::cfg_space_emu::ConfigSpaceError;
use pcie_topology::Seat;
use std::io;

/// I/O queue pairs at most.
pub const QUEUES_MAX: u16 = 128;
/// Threads for I/O at most.
pub const WORKERS_MAX: u16 = 16;
const SERIAL_LEN: usize = 20;
const MODEL_LEN: usize = 40;

/// What a controller is made like.
#[derive(Clone, Debug)]
pub struct NvmeConfig {
    /// Its name, in the monitor's memory map and in logs.
    pub name: String,
    /// Serial number: 1 to 20 printable ASCII characters. Controllers of one guest have different ones.
    pub serial: String,
    /// Model number: 1 to 40 printable ASCII characters.
    pub model: String,
    /// I/O queue pairs, 1 to 128. MSI-X has a vector more.
    pub queues: u16,
    /// Threads that carry out I/O commands, 1 to 16; each does so one after the other. One more carries out admin commands.
    pub workers: u16,
    /// Bytes of a block: 512 or 4096.
    pub block_size: u32,
    /// Vendor ID.
    pub vendor_id: u16,
    /// Device ID.
    pub device_id: u16,
    /// Subsystem vendor ID.
    pub subsystem_vendor_id: u16,
    /// Subsystem ID.
    pub subsystem_id: u16,
    /// Revision ID.
    pub revision: u8,
    /// PCI Express Device Serial Number; derived from the serial number where there is none.
    pub device_serial_number: Option<u64>,
    /// What its link can do; as [`PciExpressCapability`](pci_core::capabilities::pci_express::PciExpressCapability) says where there
    /// is nothing.
    pub link: Option<LinkConfig>,
    /// Where it is.
    pub seat: Seat,
}

impl NvmeConfig {
    /// A controller with 8 queue pairs, 4 workers and blocks of 512 bytes, behind a port. Its serial number is derived from its name.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            serial: format!("{:020x}", fnv(name.as_bytes())),
            name,
            model: "Rootplex NVMe controller".into(),
            queues: 8,
            workers: 4,
            block_size: 512,
            vendor_id: 0x1414,
            device_id: 0xc1e1,
            subsystem_vendor_id: 0,
            subsystem_id: 0,
            revision: 0,
            device_serial_number: None,
            link: None,
            seat: Seat::BehindPort,
        }
    }

    /// Checks it, and returns the blocks' bytes as a power of two.
    pub(crate) fn check(&self) -> Result<u8, NvmeError> {
        for (field, text, max) in [
            ("serial", &self.serial, SERIAL_LEN),
            ("model", &self.model, MODEL_LEN),
        ] {
            let printable = text.bytes().all(|c| (b' '..=b'~').contains(&c));
            if !printable || text.is_empty() || text.len() > max {
                let text = text.clone();
                return Err(NvmeError::Text { field, text, max });
            }
        }
        if !(1..=QUEUES_MAX).contains(&self.queues) {
            return Err(NvmeError::Queues(self.queues));
        }
        if !(1..=WORKERS_MAX).contains(&self.workers) {
            return Err(NvmeError::Workers(self.workers));
        }
        match self.block_size {
            512 => Ok(9),
            4096 => Ok(12),
            size => Err(NvmeError::BlockSize(size)),
        }
    }
}

/// A controller that can't be.
#[derive(Debug, thiserror::Error)]
pub enum NvmeError {
    /// A text that Identify has no room for.
    #[error("{field}: '{text}'; it is 1 to {max} printable ASCII characters")]
    Text {
        /// Which.
        field: &'static str,
        /// The text.
        text: String,
        /// Characters at most.
        max: usize,
    },
    /// Too few or too many queues.
    #[error("queues: {0}; a controller has 1 to {QUEUES_MAX} I/O queue pairs")]
    Queues(u16),
    /// Too few or too many threads.
    #[error("workers: {0}; a controller has 1 to {WORKERS_MAX}")]
    Workers(u16),
    /// A size that blocks don't have.
    #[error("block_size: {0}; a block has 512 or 4096 bytes")]
    BlockSize(u32),
    /// Storage that is not a whole number of blocks, or none.
    #[error("the storage has {len} bytes; it is one or more blocks of {block_size}")]
    Length {
        /// Bytes of the storage.
        len: u64,
        /// Bytes of a block.
        block_size: u32,
    },
    /// The file can't be used.
    #[error("file: {0}")]
    File(#[from] FileStorageError),
    /// An option that is unknown, lacks, or makes no sense with another.
    #[error("options: {0}")]
    Options(String),
    /// No thread or event could be made.
    #[error("no thread or event could be made: {0}")]
    Threads(#[from] io::Error),
    /// The configuration space can't be composed.
    #[error(transparent)]
    ConfigSpace(#[from] ConfigSpaceError),
    /// The link can't be.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// MSI-X can't be.
    #[error(transparent)]
    Msix(#[from] MsixLayoutError),
}

/// What the guest is told the controller is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) vendor_id: u16,
    pub(crate) subsystem_vendor_id: u16,
    pub(crate) serial: String,
    pub(crate) model: String,
    /// I/O queue pairs.
    pub(crate) queues: u16,
    /// The namespace's UUID (RFC 9562 section 5.8), derived from the serial and model numbers.
    pub(crate) uuid: [u8; 16],
}

impl Identity {
    pub(crate) fn new(config: &NvmeConfig) -> Self {
        let name = format!("{}/{}", config.model, config.serial);
        let high = fnv(name.as_bytes());
        let low = fnv(&high.to_le_bytes());
        let bits = u128::from(high) << 64 | u128::from(low);
        // Version 8, variant 10.
        let bits = bits & !(0xf << 76) & !(0b11 << 62) | 0x8 << 76 | 0b10 << 62;
        Self {
            vendor_id: config.vendor_id,
            subsystem_vendor_id: config.subsystem_vendor_id,
            serial: config.serial.clone(),
            model: config.model.clone(),
            queues: config.queues,
            uuid: bits.to_be_bytes(),
        }
    }

    /// The subsystem's NVMe Qualified Name (NVMe 2.0 section 4.5).
    pub(crate) fn subsystem_name(&self) -> String {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.uuid;
        let part =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        format!(
            "nqn.2014-08.org.nvmexpress:uuid:{}-{}-{}-{}-{}",
            part(&[a, b, c, d]),
            part(&[e, f]),
            part(&[g, h]),
            part(&[i, j]),
            part(&[k, l, m, n, o, p])
        )
    }
}

/// FNV-1a: the same for the same text, on every host.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_named() {
        let check = |change: fn(&mut NvmeConfig)| {
            let mut config = NvmeConfig::new("disk0");
            change(&mut config);
            config.check().map_err(|error| error.to_string())
        };
        assert_eq!(check(|_| {}), Ok(9));
        assert_eq!(check(|c| c.block_size = 4096), Ok(12));
        for (change, message) in [
            (
                (|c| c.serial = "123456789012345678901".into()) as fn(&mut NvmeConfig),
                "serial: '123456789012345678901'; it is 1 to 20 printable ASCII characters",
            ),
            (
                |c| c.model = "ü".into(),
                "model: 'ü'; it is 1 to 40 printable ASCII characters",
            ),
            (
                |c| c.queues = 0,
                "queues: 0; a controller has 1 to 128 I/O queue pairs",
            ),
            (|c| c.workers = 17, "workers: 17; a controller has 1 to 16"),
            (
                |c| c.block_size = 520,
                "block_size: 520; a block has 512 or 4096 bytes",
            ),
        ] {
            assert_eq!(check(change), Err(message.to_string()));
        }
    }

    #[test]
    fn the_name_is_a_uuid() {
        let name = Identity::new(&NvmeConfig::new("disk0")).subsystem_name();
        let (prefix, uuid) = name.rsplit_once(':').unwrap();
        assert_eq!(prefix, "nqn.2014-08.org.nvmexpress:uuid");
        let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(uuid.as_bytes()[14], b'8', "{uuid}: version");
        assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}: variant");
    }
}

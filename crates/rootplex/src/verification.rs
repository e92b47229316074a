//! Whether a hierarchy that is saved, reset and restored is what it was.
//!
//! Two things are compared, before and after: every function's configuration space, all 4096 bytes read through ECAM as a guest
//! reads them; and the saved state itself. In between it is checked that the reset was one, since else nothing would be
//! proven: no port forwards configuration accesses any more.

use crate::session::ecam;
use inspect_service::lspci::CONFIG_SPACE_BYTES;
use inspect_service::lspci::ConfigSpace;
use pci_core::spec::SegmentedBdf;
use pci_enumerate::Bdf;
use pci_enumerate::ConfigAccess;
use pci_enumerate::EcamAccess;
use pci_enumerate::Hierarchy;
use pci_enumerate::Width;
use pcie_topology::Complex;
use std::fmt;
use vmcore::device_state::ChangeDeviceState;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SavedStateBlob;

/// Where a Type 1 header has primary, secondary and subordinate bus number.
const BUS_NUMBERS: std::ops::Range<usize> = 0x18..0x1b;

/// What was the same, before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Functions whose configuration spaces were compared.
    pub functions: usize,
    /// Bytes of saved state, of all root complexes.
    pub saved_bytes: usize,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "verified: saved, reset and restored, the config spaces of all {} functions and the {} bytes of saved state are \
             what they were",
            self.functions, self.saved_bytes
        )
    }
}

/// What is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A root complex could not be saved.
    #[error("root complex '{complex}' was not saved: {}", Chain(source))]
    Save {
        /// The root complex.
        complex: String,
        /// Why.
        source: SaveError,
    },
    /// A root complex refused the state it had saved itself.
    #[error("root complex '{complex}' was not restored: {}", Chain(source))]
    Restore {
        /// The root complex.
        complex: String,
        /// Why.
        source: RestoreError,
    },
    /// A port still had bus numbers after the reset.
    #[error("{address} was not reset: its bus numbers are {found:02x?}")]
    NotReset {
        /// The port.
        address: SegmentedBdf,
        /// Primary, secondary and subordinate bus number.
        found: Vec<u8>,
    },
    /// A byte of configuration space is another after restore.
    #[error(
        "{address}: byte {offset:#05x} of config space was {before:#04x} and is {after:#04x} after restore"
    )]
    ConfigSpace {
        /// The function.
        address: SegmentedBdf,
        /// The byte.
        offset: usize,
        /// Its value when the state was saved.
        before: u8,
        /// Its value after restore.
        after: u8,
    },
    /// A root complex that was restored saves another state than it did before.
    #[error(
        "root complex '{complex}' saves {after} bytes after restore, not the {before} bytes of before"
    )]
    SavedState {
        /// The root complex.
        complex: String,
        /// Bytes saved before.
        before: usize,
        /// Bytes saved after restore.
        after: usize,
    },
}

/// An error and its sources, in one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

pub(crate) fn verify(
    complexes: &mut [Complex],
    found: &[Hierarchy],
) -> Result<Verified, VerifyError> {
    let before = config_spaces(complexes, found);
    let states = save(complexes)?;
    for complex in complexes.iter_mut() {
        pollster::block_on(async {
            complex.root.stop().await;
            complex.root.reset().await;
        });
    }
    check_reset(complexes, found)?;
    for (complex, state) in complexes.iter_mut().zip(&states) {
        let restored = ProtobufSaveRestore::restore(&mut complex.root, state.clone());
        restored.map_err(|source| VerifyError::Restore {
            complex: complex.name.clone(),
            source,
        })?;
        complex.root.start();
    }
    compare(&before, &config_spaces(complexes, found))?;
    let states_after = save(complexes)?;
    let mut saved_bytes = 0;
    for (complex, (before, after)) in complexes.iter().zip(states.into_iter().zip(states_after)) {
        let (before, after) = (mesh_protobuf::encode(before), mesh_protobuf::encode(after));
        if before != after {
            let complex = complex.name.clone();
            return Err(VerifyError::SavedState {
                complex,
                before: before.len(),
                after: after.len(),
            });
        }
        saved_bytes += before.len();
    }
    Ok(Verified {
        functions: before.len(),
        saved_bytes,
    })
}

fn save(complexes: &mut [Complex]) -> Result<Vec<SavedStateBlob>, VerifyError> {
    let save = |complex: &mut Complex| {
        let saved = ProtobufSaveRestore::save(&mut complex.root);
        saved.map_err(|source| VerifyError::Save {
            complex: complex.name.clone(),
            source,
        })
    };
    complexes.iter_mut().map(save).collect()
}

/// Root ports have no bus numbers after a reset, and so nothing below them is reached.
fn check_reset(complexes: &mut [Complex], found: &[Hierarchy]) -> Result<(), VerifyError> {
    for (complex, found) in complexes.iter_mut().zip(found) {
        let mut access = ecam(&mut complex.root);
        for port in found
            .functions
            .iter()
            .filter(|function| function.bridge.is_some())
        {
            let numbers = read_all(&mut access, port.bdf)
                .get(BUS_NUMBERS)
                .unwrap_or_default()
                .to_vec();
            if numbers.iter().any(|number| *number != 0) {
                return Err(VerifyError::NotReset {
                    address: port.bdf.in_segment(found.segment),
                    found: numbers,
                });
            }
        }
    }
    Ok(())
}

fn compare(before: &[ConfigSpace], after: &[ConfigSpace]) -> Result<(), VerifyError> {
    for (old, new) in before.iter().zip(after) {
        let bytes = old.bytes.iter().zip(new.bytes.iter());
        if let Some((offset, (before, after))) =
            bytes.enumerate().find(|(_, (old, new))| old != new)
        {
            return Err(VerifyError::ConfigSpace {
                address: old.address,
                offset,
                before: *before,
                after: *after,
            });
        }
    }
    Ok(())
}

/// The configuration space of every function that enumeration found, without descriptions.
pub(crate) fn config_spaces(complexes: &mut [Complex], found: &[Hierarchy]) -> Vec<ConfigSpace> {
    let mut spaces = Vec::new();
    for (complex, found) in complexes.iter_mut().zip(found) {
        let mut access = ecam(&mut complex.root);
        for function in found.iter() {
            let address = function.bdf.in_segment(found.segment);
            spaces.push(ConfigSpace {
                address,
                description: String::new(),
                bytes: read_all(&mut access, function.bdf),
            });
        }
    }
    spaces
}

fn read_all(access: &mut EcamAccess<'_>, bdf: Bdf) -> Box<[u8; CONFIG_SPACE_BYTES]> {
    let mut bytes = Box::new([0; CONFIG_SPACE_BYTES]);
    for (offset, dword) in (0u16..).step_by(4).zip(bytes.chunks_exact_mut(4)) {
        dword.copy_from_slice(&access.read(bdf, offset, Width::Dword).to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use chipset_device::mmio::ExternallyManagedMmioIntercepts;
    use pci_enumerate::Apertures;
    use pci_enumerate::HostBridge;
    use pcie_topology::Topology;

    const TOPOLOGY: &str = r#"
        [[root_complex]]
        name = "rc0"
        ecam = 0xe000_0000
        buses = { start = 0x10, end = 0x1f }

        [[root_complex.port]]
        name = "rp0"

        [root_complex.port.endpoint]
        name = "card"
    "#;

    fn enumerated() -> (Vec<Complex>, Vec<Hierarchy>) {
        let topology = Topology::from_toml(TOPOLOGY).unwrap();
        let composed = topology.compose(&mut ExternallyManagedMmioIntercepts, None);
        let mut complexes = composed.unwrap().complexes;
        let host_bridge = HostBridge::new(Apertures {
            buses: 0x10..=0x1f,
            mmio32: 0..0,
            mmio64: None,
            io: None,
        });
        let found = pci_enumerate::enumerate(&mut ecam(&mut complexes[0].root), &host_bridge);
        (complexes, vec![found.unwrap()])
    }

    #[test]
    fn a_port_that_was_not_reset_is_named() {
        let (mut complexes, found) = enumerated();
        let error = check_reset(&mut complexes, &found).unwrap_err();
        assert_eq!(
            error.to_string(),
            "0000:10:00.0 was not reset: its bus numbers are [10, 11, 11]"
        );
        pollster::block_on(complexes[0].root.reset());
        check_reset(&mut complexes, &found).unwrap();
    }

    #[test]
    fn a_byte_that_changed_is_named() {
        let (mut complexes, found) = enumerated();
        let before = config_spaces(&mut complexes, &found);
        compare(&before, &config_spaces(&mut complexes, &found)).unwrap();
        let card = "11:00.0".parse().unwrap();
        ecam(&mut complexes[0].root).write(card, 0x3c, Width::Byte, 0x0b);
        let error = compare(&before, &config_spaces(&mut complexes, &found)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "0000:11:00.0: byte 0x03c of config space was 0x00 and is 0x0b after restore"
        );
    }

    #[test]
    fn what_was_verified_is_counted() {
        let (mut complexes, found) = enumerated();
        let verified = verify(&mut complexes, &found).unwrap();
        let saved = save(&mut complexes).unwrap().remove(0);
        assert_eq!(verified.functions, 2);
        assert_eq!(verified.saved_bytes, mesh_protobuf::encode(saved).len());
    }
}

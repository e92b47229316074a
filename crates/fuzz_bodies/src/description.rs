//! Text as the description of a hierarchy.

use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use pcie_topology::PortSpec;
use pcie_topology::Topology;

/// What takes longer to compose teaches no more.
const FUNCTIONS_MAX: usize = 64;

/// Reads a description, writes it, and composes what it describes.
///
/// # Panics
///
/// - what was written does not read as the same description;
/// - what was found to be sound is not composed.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let topology = match Topology::from_toml(text) {
        Ok(topology) => topology,
        Err(problems) => {
            assert!(!problems.to_string().is_empty());
            return;
        }
    };
    let written = topology.to_toml().unwrap();
    assert_eq!(Topology::from_toml(&written).unwrap(), topology);
    let functions: usize = topology
        .root_complex
        .iter()
        .map(|root| functions_below(&root.port))
        .sum();
    if functions <= FUNCTIONS_MAX {
        let composed = topology.compose(&mut ExternallyManagedMmioIntercepts, None);
        assert!(composed.is_ok(), "{}", composed.err().unwrap());
    }
}

fn functions_below(ports: &[PortSpec]) -> usize {
    let below = |port: &PortSpec| {
        let switch = port.switch.as_ref();
        let endpoint = port.endpoint.as_ref();
        1 + switch.map_or(0, |switch| 1 + functions_below(&switch.port))
            + endpoint.map_or(0, |endpoint| endpoint.functions.into())
    };
    ports.iter().map(below).sum()
}

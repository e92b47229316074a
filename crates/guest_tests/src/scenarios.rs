//! All scenarios. A scenario that is not in this table does not exist.

mod enumerate;

use crate::host::GuestImage;
use crate::scenario;
use crate::scenario::BOOT_TIMEOUT;
use crate::scenario::Scenario;
use anyhow::Result;
use pcie_topology::RootComplexSpec;
use pcie_topology::Topology;
use vmm::Machine;

/// In the order in which they are run.
pub(crate) const ALL: &[Scenario] = &[Scenario {
    name: "enumerate",
    summary: "two complexes, switches three deep, 40 endpoints: both sides see the same tree, BARs and windows",
    cpus: 1,
    timeout_s: 180,
    quick: true,
    topology: enumerate::topology,
    steps: enumerate::steps,
}];

/// Boots a guest with an empty root complex.
///
/// # Errors
///
/// - it does not come up.
pub(crate) fn probe(image: &GuestImage) -> Result<()> {
    let topology = Topology {
        root_complex: vec![RootComplexSpec::new("rc0", 0xe000_0000)],
    };
    let machine = Machine::new(image.config(topology, 1))?;
    scenario::run(machine, BOOT_TIMEOUT, |sides| {
        sides.guest.ready(BOOT_TIMEOUT)?;
        Ok(())
    })
}

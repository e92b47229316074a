//! All scenarios. A scenario that is not in this table does not exist.

mod boot_time;
mod cxl;
mod described;
mod disk;
mod enumerate;
mod errors;
mod hot_plug;
mod inspect;
mod msix;
mod reboot;
mod resets;
mod save_restore;
mod slots;
mod surprise;

use crate::host::GuestImage;
use crate::program::ProgramScenario;
use crate::scenario;
use crate::scenario::BOOT_TIMEOUT;
use crate::scenario::Scenario;
use anyhow::Result;
use pcie_topology::RootComplexSpec;
use pcie_topology::Topology;
use vmm::Machine;

/// In the order in which they are run.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "enumerate",
        summary: "two complexes, switches three deep, 40 endpoints: both sides see the same tree, BARs and windows",
        cpus: 1,
        timeout_s: 180,
        quick: true,
        topology: enumerate::topology,
        steps: enumerate::steps,
        restored: None,
    },
    Scenario {
        name: "hot_plug",
        summary: "a disk comes and goes in order, by attention button and sysfs, at a root port and behind a switch",
        cpus: 1,
        timeout_s: 300,
        quick: true,
        topology: hot_plug::topology,
        steps: hot_plug::steps,
        restored: None,
    },
    Scenario {
        name: "save_restore",
        summary: "the machine is saved during I/O and restored in another process: the guest goes on, checksums match",
        cpus: 1,
        timeout_s: 240,
        quick: true,
        topology: save_restore::topology,
        steps: save_restore::steps,
        restored: Some(save_restore::restored),
    },
    Scenario {
        name: "surprise",
        summary: "a disk is pulled out under load; then twenty times out and in without a lost event",
        cpus: 1,
        timeout_s: 400,
        quick: false,
        topology: described::one_slot,
        steps: surprise::steps,
        restored: None,
    },
    Scenario {
        name: "boot_time",
        summary: "a disk of boot time is removed; a device of four functions and a whole switch come in its place",
        cpus: 1,
        timeout_s: 180,
        quick: false,
        topology: boot_time::topology,
        steps: boot_time::steps,
        restored: None,
    },
    Scenario {
        name: "resets",
        summary: "function-level reset, secondary bus reset and link disable: the disk recovers",
        cpus: 1,
        timeout_s: 240,
        quick: false,
        topology: described::one_slot,
        steps: resets::steps,
        restored: None,
    },
    Scenario {
        name: "msix",
        summary: "a vector for each queue on two processors, moved under load; both sides count the same interrupts",
        cpus: 2,
        timeout_s: 240,
        quick: false,
        topology: described::one_slot,
        steps: msix::steps,
        restored: None,
    },
    Scenario {
        name: "reboot",
        summary: "a guest that starts anew finds what was plugged in before",
        cpus: 1,
        timeout_s: 240,
        quick: false,
        topology: reboot::topology,
        steps: reboot::steps,
        restored: None,
    },
    Scenario {
        name: "slots",
        summary: "odd orders: two slots at once, a button pressed twice, cards while booting, saved before the guest answered",
        cpus: 1,
        timeout_s: 400,
        quick: false,
        topology: slots::topology,
        steps: slots::steps,
        restored: Some(slots::restored),
    },
    Scenario {
        name: "errors",
        summary: "correctable, non-fatal and fatal errors are counted and recovered from under load, by AER and by DPC; a card wakes",
        cpus: 1,
        timeout_s: 400,
        quick: false,
        topology: errors::topology,
        steps: errors::steps,
        restored: None,
    },
    Scenario {
        name: "cxl",
        summary: "Linux's CXL drivers find host bridges, windows, ports and decoders where they were described",
        cpus: 1,
        timeout_s: 180,
        quick: false,
        topology: cxl::topology,
        steps: cxl::steps,
        restored: None,
    },
];

/// Those in which the program `rootplex` runs the guest.
pub(crate) const OF_PROGRAM: &[ProgramScenario] = &[ProgramScenario {
    name: "inspect",
    summary: "rootplex boot serves its hierarchy: commands and page say what lspci says; a disk comes and goes; replayed",
    timeout_s: 240,
    quick: false,
    steps: inspect::steps,
}];

/// Boots a guest with an empty root complex.
///
/// # Errors
///
/// - it does not come up.
pub(crate) fn probe(image: &GuestImage) -> Result<()> {
    let topology = Topology {
        root_complex: vec![RootComplexSpec::new("rc0", 0xe000_0000)],
        ..Topology::default()
    };
    let machine = Machine::new(image.config(topology, 1))?;
    scenario::run(machine, BOOT_TIMEOUT, |sides| {
        sides.guest.ready(BOOT_TIMEOUT)?;
        Ok(())
    })?;
    Ok(())
}

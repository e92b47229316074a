//! A disk comes and goes in order: by attention button and by sysfs, at a root port and behind a switch.

use super::described;
use super::disk::Disk;
use crate::scenario::Sides;
use anyhow::Result;
use anyhow::ensure;
use pcie_topology::Topology;
use std::time::Duration;

/// Two slots with all that an operator uses.
const PORTS: &str = r#"
    [[root_complex.port]]
    name = "rp-slot"
    slot = { number = 1, attention_button = true, power_controller = true, attention_indicator = true, power_indicator = true }

    [[root_complex.port]]
    name = "rp-switch"

    [root_complex.port.switch]
    name = "sw0"

    [[root_complex.port.switch.port]]
    name = "sw-slot"
    slot = { number = 2, attention_button = true, power_controller = true, attention_indicator = true, power_indicator = true }
"#;

/// An attention button waits for 5 s, in which a second press takes the first back.
const REMOVAL: Duration = Duration::from_secs(60);

/// How the removal is asked for.
#[derive(Debug, Copy, Clone)]
enum Way {
    AttentionButton,
    Sysfs,
}

pub(super) fn topology() -> Result<Topology> {
    described::with_ports(PORTS)
}

pub(super) fn steps(sides: &mut Sides) -> Result<()> {
    for (port, number, disk) in [
        ("rp-slot", 1, Disk::new("disk-rp")),
        ("sw-slot", 2, Disk::new("disk-sw")),
    ] {
        add(sides, port, number, &disk, Way::AttentionButton)?;
        sides.step(port, "data is written");
        let sum = disk.write(sides)?;
        for (removal, addition) in [
            (Way::AttentionButton, Way::Sysfs),
            (Way::Sysfs, Way::AttentionButton),
        ] {
            remove(sides, port, number, &disk, removal)?;
            add(sides, port, number, &disk, addition)?;
            disk.check(sides, &sum)?;
        }
        remove(sides, port, number, &disk, Way::Sysfs)?;
    }
    sides.no_complaints()
}

/// Where there is an attention button, a guest takes in a disk only when it is asked to.
fn add(sides: &mut Sides, port: &str, number: u32, disk: &Disk, way: Way) -> Result<()> {
    sides.step(port, &format!("a disk is added: {way:?}"));
    sides.host.plug(port, &disk.endpoint()?)?;
    match way {
        Way::AttentionButton => sides
            .host
            .operate(|hierarchy| hierarchy.press_attention_button(port))?,
        Way::Sysfs => {
            sides
                .guest
                .run(&format!("echo 1 >/sys/bus/pci/slots/{number}/power"))?;
        }
    }
    disk.wait_up(sides, port)
}

/// The guest lets the disk go, and only then it is taken out.
fn remove(sides: &mut Sides, port: &str, number: u32, disk: &Disk, way: Way) -> Result<()> {
    sides.step(port, &format!("removal is asked for: {way:?}"));
    let permitted = |sides: &Sides| {
        let mut permitted = false;
        sides.host.operate(|hierarchy| {
            permitted = hierarchy.removal_permitted(port)?;
            Ok(())
        })?;
        anyhow::Ok(permitted)
    };
    ensure!(
        !permitted(sides)?,
        "removal is permitted before it is asked for"
    );
    match way {
        Way::AttentionButton => sides
            .host
            .operate(|hierarchy| hierarchy.request_removal(port))?,
        Way::Sysfs => {
            sides
                .guest
                .run(&format!("echo 0 >/sys/bus/pci/slots/{number}/power"))?;
        }
    }
    sides.wait_until("removal is permitted", REMOVAL, permitted)?;
    disk.wait_gone(sides)?;
    let power = sides
        .guest
        .run(&format!("cat /sys/bus/pci/slots/{number}/power"))?;
    ensure!(power.trim() == "0", "the guest says that power is {power}");
    sides.host.operate(|hierarchy| hierarchy.unplug(port))?;
    let slot = sides.slot(port)?;
    ensure!(slot.get("card_present") == Some(&false.into()), "{slot}");
    ensure!(slot.get("powered") == Some(&false.into()), "{slot}");
    Ok(())
}

//! A guest that starts anew finds what was plugged in before.

use super::described;
use super::disk::Disk;
use crate::scenario::BOOT_TIMEOUT;
use crate::scenario::Sides;
use anyhow::Result;
use anyhow::ensure;
use pcie_topology::BarKind;
use pcie_topology::EndpointSpec;
use pcie_topology::Topology;

const PORTS: &str = r#"
    port = [{ name = "rp-disk", slot = 1 }, { name = "rp-other", slot = 2 }]
"#;

/// Of the device beside the disk.
const DEVICE_ID: u16 = 0xabcd;

pub(super) fn topology() -> Result<Topology> {
    described::with_ports(PORTS)
}

pub(super) fn steps(sides: &mut Sides) -> Result<()> {
    let disk = Disk::new("disk");
    disk.plug(sides, "rp-disk")?;
    let sum = disk.write(sides)?;
    let other = EndpointSpec {
        device_id: DEVICE_ID,
        ..EndpointSpec::new("other").with_bar(BarKind::Prefetchable, 1 << 20)
    };
    sides.host.plug("rp-other", &other)?;
    sides.guest.wait_for(
        &format!("grep -q {DEVICE_ID:#x} /sys/bus/pci/devices/*/device"),
        20,
    )?;
    let before = functions(sides)?;
    sides.no_complaints()?;
    sides.step("rp-disk", "the guest starts anew");
    sides.guest.reboot(BOOT_TIMEOUT)?;
    disk.wait_up(sides, "rp-disk")?;
    disk.check(sides, &sum)?;
    let after = functions(sides)?;
    ensure!(
        before == after,
        "there were {before:x?}, and now {after:x?}"
    );
    sides.no_complaints()
}

/// What the guest has, by vendor and device.
fn functions(sides: &mut Sides) -> Result<Vec<(u16, u16, usize)>> {
    let mut functions: Vec<_> = sides
        .guest
        .functions()?
        .into_iter()
        .map(|function| (function.vendor, function.device, function.bars.len()))
        .collect();
    functions.sort_unstable();
    Ok(functions)
}

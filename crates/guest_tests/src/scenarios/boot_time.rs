//! What was there at boot goes; a device with several functions comes in its place, and then a whole switch with devices behind it.

use super::disk::Disk;
use crate::scenario::Sides;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use pcie_topology::BarKind;
use pcie_topology::EndpointSpec;
use pcie_topology::Topology;

const TOPOLOGY: &str = r#"
    [[root_complex]]
    name = "rc0"
    buses = { start = 0, end = 63 }
    ecam = 0xe000_0000
    mmio32 = { base = 0xc000_0000, size = "256M" }
    mmio64 = { base = 0x40_0000_0000, size = "64G" }
    port = [{ name = "rp-slot", slot = 1 }]
"#;

const PORT: &str = "rp-slot";
const FUNCTIONS: u16 = 4;
const DEVICE_ID: u16 = 0xabcd;
const BAR_SIZE: u64 = 64 << 10;

pub(super) fn topology() -> Result<Topology> {
    let mut topology = Topology::from_toml(TOPOLOGY)?;
    let port = topology
        .root_complex
        .first_mut()
        .and_then(|complex| complex.port.first_mut())
        .context("a port is described")?;
    port.endpoint = Some(Box::new(Disk::new("disk").endpoint()?));
    Ok(topology)
}

pub(super) fn steps(sides: &mut Sides) -> Result<()> {
    let disk = Disk::new("disk");
    sides.step(PORT, "the disk of boot time is removed");
    disk.wait_up(sides, PORT)?;
    let sum = disk.write(sides)?;
    sides.guest.run("echo 0 >/sys/bus/pci/slots/1/power")?;
    disk.wait_gone(sides)?;
    sides.host.operate(|hierarchy| hierarchy.unplug(PORT))?;

    sides.step(PORT, "a device of four functions is plugged in");
    let mut card = EndpointSpec::new("card").with_bar(BarKind::Prefetchable, BAR_SIZE);
    card.functions = FUNCTIONS;
    card.device_id = DEVICE_ID;
    sides.host.plug(PORT, &card)?;
    sides.guest.wait_for(
        &format!(
            "[ $(grep -l {DEVICE_ID:#x} /sys/bus/pci/devices/*/device | wc -l) = {FUNCTIONS} ]"
        ),
        20,
    )?;
    for function in sides.guest.functions()? {
        if function.device == DEVICE_ID {
            let [bar] = function.bars.as_slice() else {
                anyhow::bail!("one BAR is described: {function:x?}");
            };
            ensure!(bar.last - bar.start + 1 == BAR_SIZE, "{function:x?}");
            ensure!(
                bar.start >= 0x40_0000_0000,
                "not in the window: {function:x?}"
            );
        }
    }
    sides.guest.run("echo 0 >/sys/bus/pci/slots/1/power")?;
    sides.host.operate(|hierarchy| hierarchy.unplug(PORT))?;

    disk.plug(sides, PORT)?;
    disk.check(sides, &sum)?;
    sides.no_complaints()
}

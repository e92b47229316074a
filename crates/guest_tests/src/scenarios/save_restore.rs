//! The machine is saved while the guest writes and reads, and goes on in another process.

use super::described;
use super::disk::Disk;
use crate::guest::Job;
use crate::scenario::Sides;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use pcie_topology::Topology;

const PORTS: &str = r#"
    [[root_complex.port]]
    name = "rp-switch"

    [root_complex.port.switch]
    name = "sw0"

    [[root_complex.port.switch.port]]
    name = "sw-slot"
    slot = 2
"#;

const PORT: &str = "sw-slot";

const ROUNDS: u32 = 40;

/// Writes something new in each round and reads it back from the disk. `round` says how far it is.
const LOAD: &str = "for round in $(seq 40); do
    dd if=/dev/urandom of=load bs=64k count=8 2>/dev/null
    dd if=load of=/dev/nvme0n1 bs=64k seek=64 conv=fsync 2>/dev/null || exit 5
    echo 3 >/proc/sys/vm/drop_caches
    dd if=/dev/nvme0n1 bs=64k skip=64 count=8 2>/dev/null | cmp - load || exit 6
    echo $round >round
done; echo done";

pub(super) fn topology() -> Result<Topology> {
    described::with_ports(PORTS)
}

pub(super) fn steps(sides: &mut Sides) -> Result<()> {
    let disk = Disk::new("disk");
    disk.plug(sides, PORT)?;
    let sum = disk.write(sides)?;
    sides.guest.run(&format!("echo {sum} >sum"))?;
    sides.no_complaints()?;
    sides.step(PORT, "the load begins");
    let job = sides.guest.start(LOAD)?;
    ensure!(
        job == Job::first(LOAD),
        "another command was started before: {job:?}"
    );
    sides.guest.wait_for("[ $(cat round) -ge 2 ]", 60)
}

pub(super) fn restored(sides: &mut Sides) -> Result<()> {
    sides.step(PORT, "the guest goes on");
    let round: u32 = sides
        .guest
        .run("cat round")?
        .trim()
        .parse()
        .context("the round is no number")?;
    ensure!(
        (2..ROUNDS).contains(&round),
        "the load was not under way: round {round}"
    );
    let said = sides.guest.finish(Job::first(LOAD))?;
    ensure!(said == "done\n", "the load says {said}");
    let disk = Disk::new("disk");
    disk.wait_up(sides, PORT)?;
    let sum = sides.guest.run("cat sum")?;
    disk.check(sides, sum.trim())?;
    sides.no_complaints()?;
    sides.step(PORT, "the restored disk is taken out and plugged in again");
    sides.guest.run("echo 0 >/sys/bus/pci/slots/2/power")?;
    disk.wait_gone(sides)?;
    sides.host.operate(|hierarchy| hierarchy.unplug(PORT))?;
    disk.plug(sides, PORT)?;
    disk.check(sides, sum.trim())?;
    sides.no_complaints()
}

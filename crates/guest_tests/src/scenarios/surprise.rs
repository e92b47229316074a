//! A disk is pulled out while it is written to, and the slot takes it again; twenty times in and out.

use super::described::PORT;
use super::disk::Disk;
use crate::scenario::Sides;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde_json::Value;

const ROUNDS: u64 = 20;

/// What pulling a disk out under load makes the guest say, and must.
const EXPECTED: &[&str] = &[
    "nvme",
    "I/O error",
    "Buffer I/O",
    "lost async page write",
    "blk_update_request",
];

pub(super) fn steps(sides: &mut Sides) -> Result<()> {
    let disk = Disk::new("disk");
    disk.plug(sides, PORT)?;
    sides.step(PORT, "the disk is pulled out under load");
    let job = sides.guest.start(&format!(
        "while dd if=/dev/zero of={} bs=64k count=64 oflag=direct; do :; done; exit 5",
        disk.device()
    ))?;
    sides.wait_for_io(PORT)?;
    sides.host.operate(|hierarchy| hierarchy.unplug(PORT))?;
    let ended = sides.guest.try_finish(job)?;
    ensure!(
        ended.code == 5,
        "the load ended with {}: {}",
        ended.code,
        ended.output
    );
    disk.wait_gone(sides)?;
    sides.no_complaints_but(EXPECTED)?;

    disk.plug(sides, PORT)?;
    let sum = disk.write(sides)?;
    let before = counter(sides, "presence_changes")?;
    for round in 1..=ROUNDS {
        sides.step(PORT, &format!("round {round} of {ROUNDS}"));
        sides.host.operate(|hierarchy| hierarchy.unplug(PORT))?;
        disk.wait_gone(sides)?;
        sides.host.plug(PORT, &disk.endpoint()?)?;
        disk.wait_up(sides, PORT)?;
    }
    disk.check(sides, &sum)?;
    let after = counter(sides, "presence_changes")?;
    ensure!(
        after - before == 2 * ROUNDS,
        "{} presence changes in {ROUNDS} rounds",
        after - before
    );
    sides.no_complaints_but(EXPECTED)
}

fn counter(sides: &Sides, name: &str) -> Result<u64> {
    sides
        .slot(PORT)?
        .pointer(&format!("/counters/{name}"))
        .and_then(Value::as_u64)
        .with_context(|| format!("inspection shows no {name}"))
}

//! Resets and a link that is disabled, by sysfs and setpci: the disk is back afterwards, and what was written is there.

use super::described::PORT;
use super::disk::Disk;
use crate::scenario::Sides;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;

/// What the driver says when its controller is reset under it, and its link is cut.
const EXPECTED: &[&str] = &["nvme"];

pub(super) fn steps(sides: &mut Sides) -> Result<()> {
    let disk = Disk::new("disk");
    disk.plug(sides, PORT)?;
    let sum = disk.write(sides)?;
    let functions = sides.guest.functions()?;
    let controller = functions
        .iter()
        .find(|function| function.driver.as_deref() == Some("nvme"))
        .context("no function has the driver nvme")?;
    let (bdf, port) = (
        controller.bdf.clone(),
        controller
            .parent
            .clone()
            .context("the disk has no port above")?,
    );
    for method in ["flr", "bus"] {
        sides.step(PORT, &format!("reset by {method} under load"));
        let job = sides.guest.start(&format!(
            "for n in 1 2 3 4 5 6; do dd if={0} of=/dev/null bs=64k count=32 iflag=direct || exit 5; done",
            disk.device()
        ))?;
        sides.wait_for_io(PORT)?;
        let folder = format!("/sys/bus/pci/devices/{bdf}");
        sides.guest.run(&format!(
            "echo {method} >{folder}/reset_method && echo 1 >{folder}/reset"
        ))?;
        sides.guest.finish(job)?;
        disk.check(sides, &sum)?;
    }
    sides.step(PORT, "the link is disabled");
    sides
        .guest
        .run(&format!("setpci -s {port} CAP_EXP+10.w=10:10"))?;
    disk.wait_gone(sides)?;
    let link = sides.host.inspect_port(PORT)?;
    let up = link.pointer("/cfg_space/capabilities/pci-express/link/up");
    ensure!(
        up == Some(&false.into()),
        "the host says that the link is up: {up:?}"
    );
    sides
        .guest
        .run(&format!("setpci -s {port} CAP_EXP+10.w=0:10"))?;
    disk.wait_up(sides, PORT)?;
    disk.check(sides, &sum)?;
    sides.no_complaints_but(EXPECTED)
}

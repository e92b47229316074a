//! An NVMe disk in a slot: how it is plugged in, and what the guest does with it.

use crate::scenario::Sides;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use pcie_topology::EndpointSpec;
use serde_json::Value;

/// How long a guest may take to bring a disk up, or to let it go. An attention button waits for 5 s.
const SECONDS: u32 = 40;

/// What is written and read back, in blocks of 64 KiB.
const BLOCKS: u32 = 32;

/// A disk whose content is in a file, which outlives the disk's being plugged in.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    name: &'static str,
}

impl Disk {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name }
    }

    /// As an endpoint of a description.
    pub(super) fn endpoint(&self) -> Result<EndpointSpec> {
        let name = self.name;
        Ok(toml::from_str(&format!(
            "name = \"{name}\"\nkind = \"nvme\"\noptions = {{ file = \"{name}.img\", size = \"16M\", queues = 2 }}"
        ))?)
    }

    /// Plugs it into a port, and waits until the guest has it.
    pub(super) fn plug(&self, sides: &mut Sides, port: &str) -> Result<()> {
        sides.step(port, &format!("{} is plugged in", self.name));
        sides.host.plug(port, &self.endpoint()?)?;
        self.wait_up(sides, port)
    }

    /// Waits until the guest has it. Both sides say that the slot is in use.
    pub(super) fn wait_up(&self, sides: &mut Sides, port: &str) -> Result<()> {
        sides
            .guest
            .wait_for(&format!("[ -b {} ]", self.device()), SECONDS)?;
        let slot = sides.slot(port)?;
        for field in ["card_present", "powered", "presence_detected"] {
            ensure!(
                slot.get(field) == Some(&Value::Bool(true)),
                "{field}: {slot}"
            );
        }
        Ok(())
    }

    /// Waits until the guest has let it go.
    pub(super) fn wait_gone(&self, sides: &mut Sides) -> Result<()> {
        sides.guest.wait_for(
            &format!(
                "[ ! -e {} ] && [ -z \"$(ls /sys/class/nvme)\" ]",
                self.device()
            ),
            SECONDS,
        )
    }

    /// Writes what no disk has by chance, and gives its checksum.
    pub(super) fn write(&self, sides: &mut Sides) -> Result<String> {
        let device = self.device();
        sides.guest.run(&format!(
            "dd if=/dev/urandom of=data bs=64k count={BLOCKS} && dd if=data of={device} bs=64k conv=fsync"
        ))?;
        let sum = sides.guest.run("md5sum <data")?;
        sum.split_whitespace()
            .next()
            .map(str::to_string)
            .context("md5sum prints nothing")
    }

    /// What was written is there, read from the disk and not from the guest's memory.
    pub(super) fn check(&self, sides: &mut Sides, sum: &str) -> Result<()> {
        let device = self.device();
        let read = sides.guest.run(&format!(
            "echo 3 >/proc/sys/vm/drop_caches; dd if={device} bs=64k count={BLOCKS} 2>/dev/null | md5sum"
        ))?;
        ensure!(
            read.split_whitespace().next() == Some(sum),
            "{device} has checksum {read}, and {sum} was written"
        );
        Ok(())
    }

    /// The guest's name for it: there is one disk at a time.
    pub(super) const fn device(&self) -> &'static str {
        "/dev/nvme0n1"
    }
}

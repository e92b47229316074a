//! A vector for each queue on two processors: each fires where its queue is used, moves when it is told to, and none is lost.

use super::described::PORT;
use super::disk::Disk;
use crate::scenario::Sides;
use crate::scenario::agree;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde_json::Value;

const CPUS: usize = 2;
/// Reads on one processor, one after the other.
const READS: u64 = 100;
/// Times that a vector moves under load.
const MOVES: u32 = 20;

/// A vector as `/proc/interrupts` has it.
#[derive(Debug, PartialEq, Eq)]
struct Vector {
    irq: u32,
    /// By processor.
    counts: Vec<u64>,
    /// `nvme0q1` is that of the first I/O queue.
    name: String,
}

pub(super) fn steps(sides: &mut Sides) -> Result<()> {
    let disk = Disk::new("disk");
    disk.plug(sides, PORT)?;
    let sum = disk.write(sides)?;
    let before = vectors(sides)?;
    let names: Vec<&str> = before.iter().map(|vector| vector.name.as_str()).collect();
    ensure!(
        names == ["nvme0q0", "nvme0q1", "nvme0q2"],
        "vectors: {names:?}"
    );
    let sent = sent(sides)?;
    for cpu in 0..CPUS {
        use_queue_of(sides, &disk, cpu)?;
    }
    let grown = total(&vectors(sides)?) - total(&before);
    agree("interrupts of reads", &(self::sent(sides)? - sent), &grown)?;

    move_under_load(sides, &disk, &before)?;
    disk.check(sides, &sum)?;
    sides.no_complaints()
}

/// Reads on one processor: one vector fires, and only there.
fn use_queue_of(sides: &mut Sides, disk: &Disk, cpu: usize) -> Result<()> {
    sides.step(PORT, &format!("reads on processor {cpu}"));
    let before = vectors(sides)?;
    sides.guest.run(&format!(
        "taskset {:x} dd if={} of=/dev/null bs=4k count={READS} iflag=direct",
        1 << cpu,
        disk.device()
    ))?;
    let mut used = Vec::new();
    for (before, after) in before.iter().zip(&vectors(sides)?) {
        for (at, (before, after)) in before.counts.iter().zip(&after.counts).enumerate() {
            if after - before >= READS {
                used.push(at);
            }
        }
    }
    ensure!(used == [cpu], "vectors fired on processors {used:?}");
    Ok(())
}

/// Both queues are used while the vector of the admin queue goes to and fro, and the second processor goes and comes.
fn move_under_load(sides: &mut Sides, disk: &Disk, vectors: &[Vector]) -> Result<()> {
    sides.step(PORT, "vectors move under load");
    let admin = vectors.first().context("there is a vector")?.irq;
    let mut jobs = Vec::new();
    for cpu in 0..CPUS {
        jobs.push(sides.guest.start(&format!(
            "for n in $(seq 10); do taskset {:x} dd if={} of=/dev/null bs=4k count=200 iflag=direct || exit 5; done",
            1 << cpu,
            disk.device()
        ))?);
    }
    sides.wait_for_io(PORT)?;
    for round in 0..MOVES {
        let cpu = round % 2;
        sides.guest.run(&format!(
            "echo {:x} >/proc/irq/{admin}/smp_affinity && echo 1 >/sys/class/nvme/nvme0/rescan_controller",
            1 << cpu
        ))?;
        let effective = sides
            .guest
            .run(&format!("cat /proc/irq/{admin}/smp_affinity_list"))?;
        agree(
            "where the vector is to go",
            &cpu.to_string().as_str(),
            &effective.trim(),
        )?;
    }
    for job in jobs {
        sides.guest.finish(job)?;
    }
    let job = sides.guest.start(&format!(
        "for n in $(seq 10); do dd if={} of=/dev/null bs=4k count=200 iflag=direct || exit 5; done",
        disk.device()
    ))?;
    sides.wait_for_io(PORT)?;
    for online in [0, 1, 0, 1] {
        sides.guest.run(&format!(
            "echo {online} >/sys/devices/system/cpu/cpu1/online"
        ))?;
    }
    sides.guest.finish(job)?;
    use_queue_of(sides, disk, 1)
}

fn vectors(sides: &mut Sides) -> Result<Vec<Vector>> {
    let text = sides.guest.run("grep nvme0q /proc/interrupts")?;
    text.lines()
        .map(|line| vector(line).with_context(|| format!("no vector: {line}")))
        .collect()
}

fn vector(line: &str) -> Option<Vector> {
    let mut words = line.split_whitespace();
    Some(Vector {
        irq: words.next()?.strip_suffix(':')?.parse().ok()?,
        counts: words
            .by_ref()
            .take(CPUS)
            .map(|count| count.parse().ok())
            .collect::<Option<_>>()?,
        name: words.next_back()?.to_string(),
    })
}

fn total(vectors: &[Vector]) -> u64 {
    vectors.iter().flat_map(|vector| vector.counts.iter()).sum()
}

/// Interrupts that the controller sent.
fn sent(sides: &Sides) -> Result<u64> {
    let functions = sides.host.functions();
    let disk = functions
        .iter()
        .find(|function| function.name == "disk")
        .context("the host has no disk")?;
    sides
        .host
        .inspect(&disk.path)?
        .pointer("/statistics/interrupts")
        .and_then(Value::as_u64)
        .context("inspection shows no count of interrupts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_a_line() {
        let line = " 27:         12          3  PCI-MSIX-0000:01:00.0   1-edge      nvme0q1";
        assert_eq!(
            vector(line).unwrap(),
            Vector {
                irq: 27,
                counts: vec![12, 3],
                name: "nvme0q1".to_string(),
            }
        );
        assert_eq!(vector("NMI: many"), None);
    }
}

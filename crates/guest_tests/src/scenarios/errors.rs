//! Errors of every kind come to disks that are in use: the guest counts them, recovers, and goes on reading what was written. Then a card
//! wakes.

use crate::scenario::Sides;
use crate::scenario::agree;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use pci_bus::events::EventKind;
use pci_core::spec::caps::aer::CorrectableErrors;
use pci_core::spec::caps::aer::UncorrectableErrorBit;
use pci_core::spec::errors::DetectedError;
use pcie_topology::Topology;
use serde_json::Value;
use std::time::Duration;

/// None has a slot: where there is one, a link that goes down is an empty slot to Linux, and what was there is removed instead of recovered.
const TOPOLOGY: &str = r#"
    [[root_complex]]
    name = "rc0"
    buses = { start = 0, end = 63 }
    ecam = 0xe000_0000
    mmio32 = { base = 0xc000_0000, size = "256M" }
    mmio64 = { base = 0x40_0000_0000, size = "64G" }

    [[root_complex.port]]
    name = "rp-aer"
    [root_complex.port.endpoint]
    name = "disk-aer"
    kind = "nvme"
    options = { file = "disk-aer.img", size = "16M", queues = 2 }

    [[root_complex.port]]
    name = "rp-dpc"
    capabilities = { dpc = true }
    [root_complex.port.endpoint]
    name = "disk-dpc"
    kind = "nvme"
    options = { file = "disk-dpc.img", size = "16M", queues = 2 }

    [[root_complex.port]]
    name = "rp-switch"
    [root_complex.port.switch]
    name = "sw0"
    [[root_complex.port.switch.port]]
    name = "sw-port"
    [root_complex.port.switch.port.endpoint]
    name = "card"
    bar = [{ kind = "64", size = "4K" }]
"#;

/// What the kernel must say of errors.
const EXPECTED: &[&str] = &[
    "AER:",
    "PCIe Bus Error",
    // The lines that name the function and its bits.
    "device [",
    "BadTLP",
    "CmpltTO",
    "MalfTLP",
    "DPC:",
    "pcieport",
    "nvme",
    // A card without driver cannot recover, and says so.
    "can't recover",
    "   [",
];

/// Recovery resets a controller, which takes the emulated guest seconds.
const SECONDS: u32 = 60;
const RECOVERY: Duration = Duration::from_secs(60);

const BAD_TLP: DetectedError =
    DetectedError::Correctable(CorrectableErrors::new().with_bad_tlp(true));
/// Non-fatal unless software says otherwise.
const NON_FATAL: DetectedError =
    DetectedError::uncorrectable(UncorrectableErrorBit::COMPLETION_TIMEOUT);
/// Fatal unless software says otherwise.
const FATAL: DetectedError = DetectedError::uncorrectable(UncorrectableErrorBit::MALFORMED_TLP);

/// A disk behind a port of its own.
struct Disk {
    port: &'static str,
    name: &'static str,
    /// Where both are in the guest's sysfs.
    port_folder: String,
    folder: String,
    /// Of what was written.
    sum: String,
}

pub(super) fn topology() -> Result<Topology> {
    Ok(Topology::from_toml(TOPOLOGY)?)
}

pub(super) fn steps(sides: &mut Sides) -> Result<()> {
    let control = sides
        .guest
        .run("dmesg | grep '_OSC: OS now controls'")
        .context("the guest controls nothing")?;
    for feature in ["PCIeHotplug", "LTR", "DPC"] {
        // There is no slot and no LTR, and a kernel without EDR does not ask for DPC.
        ensure!(!control.contains(feature), "{control}");
    }
    for feature in ["PME", "AER", "PCIeCapability"] {
        ensure!(control.contains(feature), "no {feature}: {control}");
    }
    let reports = Disk::new(sides, "rp-aer", "disk-aer")?;
    let contains = Disk::new(sides, "rp-dpc", "disk-dpc")?;
    correctable(sides, &reports)?;
    below_a_switch(sides)?;
    non_fatal(sides, &reports)?;
    fatal(sides, &reports)?;
    non_fatal(sides, &contains)?;
    containment(sides, &contains)?;
    containment_by_software(sides, &contains)?;
    correctable(sides, &contains)?;
    sides.no_complaints_but(EXPECTED)?;
    wake(sides)?;
    sides.no_complaints()
}

impl Disk {
    fn new(sides: &mut Sides, port: &'static str, name: &'static str) -> Result<Self> {
        sides.step(port, "the disk is written to");
        let folder = folder(sides, name)?;
        let mut disk = Self {
            port,
            name,
            port_folder: self::folder(sides, port)?,
            folder,
            sum: String::new(),
        };
        sides.guest.wait_for(&disk.is_up(), SECONDS)?;
        let device = disk.device();
        sides.guest.run(&format!(
            "dd if=/dev/urandom of=data bs=64k count=32 && dd if=data of={device} bs=64k conv=fsync"
        ))?;
        disk.sum = sides
            .guest
            .run("md5sum <data | cut -d ' ' -f 1")?
            .trim()
            .to_string();
        Ok(disk)
    }

    fn is_up(&self) -> String {
        format!("[ -b {} ]", self.device())
    }

    /// The guest's name for it, in the words of a shell: which disk is which is not said in advance.
    fn device(&self) -> String {
        format!(
            "/dev/$(ls {}/nvme/nvme*/ | grep -o 'nvme[0-9]*n1$' | head -n 1)",
            self.folder
        )
    }

    /// Begins to read all of it again and again. When reading fails the load says so.
    fn load(&self) -> String {
        format!(
            "device={}; for n in $(seq 12); do dd if=$device of=/dev/null bs=64k count=32 iflag=direct || exit 5; done",
            self.device()
        )
    }

    /// Does something to it while it is read from. Reading goes on.
    fn under_load(
        &self,
        sides: &mut Sides,
        happens: impl FnOnce(&mut Sides) -> Result<()>,
    ) -> Result<()> {
        let job = sides.guest.start(&self.load())?;
        let reads = format!(
            "$(cat /sys/block/$(basename {})/inflight /sys/block/$(basename {})/stat | md5sum)",
            self.device(),
            self.device()
        );
        sides.guest.run(&format!("echo \"{reads}\" >before"))?;
        sides
            .guest
            .wait_for(&format!("[ \"{reads}\" != \"$(cat before)\" ]"), SECONDS)?;
        happens(sides)?;
        sides.guest.finish(job)?;
        self.check(sides)
    }

    /// What was written is there.
    fn check(&self, sides: &mut Sides) -> Result<()> {
        let device = self.device();
        let sum = sides.guest.run(&format!(
            "echo 3 >/proc/sys/vm/drop_caches; dd if={device} bs=64k count=32 2>/dev/null | md5sum | cut -d ' ' -f 1"
        ))?;
        agree("the checksum", &self.sum.as_str(), &sum.trim())
    }
}

/// A function's folder in the guest's sysfs.
fn folder(sides: &Sides, name: &str) -> Result<String> {
    Ok(format!(
        "/sys/bus/pci/devices/{}",
        sides.host.address(name)?
    ))
}

fn record(sides: &Sides, name: &str, error: DetectedError) -> Result<()> {
    Ok(sides
        .host
        .with_hierarchy(|hierarchy| hierarchy.record_error(name, 0, error))?)
}

/// A number in the inspection of a function's configuration space.
fn number(sides: &Sides, name: &str, pointer: &str) -> Result<u64> {
    let inspected = sides.host.inspect_port(name)?;
    let space = inspected.get("cfg_space").unwrap_or(&inspected);
    space
        .pointer(pointer)
        .and_then(Value::as_u64)
        .with_context(|| format!("inspection of '{name}' shows no number at {pointer}"))
}

/// A counter of a function in the guest.
fn count(sides: &mut Sides, folder: &str, file: &str, error: &str) -> Result<u64> {
    let text = sides
        .guest
        .run(&format!("grep -w '^{error}' {folder}/{file}"))?;
    let number = text.split_whitespace().next_back();
    number
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("{file}: {text}"))
}

/// Waits until the guest's counter is one higher than `before`.
fn counted(sides: &mut Sides, folder: &str, file: &str, error: &str, before: u64) -> Result<()> {
    let after = before + 1;
    sides.guest.wait_for(
        &format!("grep -qw '^{error} *{after}' {folder}/{file}"),
        SECONDS,
    )
}

/// The guest has cleared what a function and its root port recorded.
fn all_clear(sides: &mut Sides, root_port: &'static str, name: &'static str) -> Result<()> {
    let records = [
        (name, "aer/correctable_status"),
        (name, "aer/uncorrectable_status"),
        (root_port, "aer/correctable_status"),
        (root_port, "aer/uncorrectable_status"),
        (root_port, "aer/root_error_status"),
    ];
    sides.wait_until("all error status is clear", RECOVERY, |sides| {
        for (name, register) in records {
            let raw = number(
                sides,
                name,
                &format!("/extended_capabilities/{register}/raw"),
            )?;
            if raw != 0 {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

fn correctable(sides: &mut Sides, disk: &Disk) -> Result<()> {
    sides.step(disk.port, "correctable errors of disk and port");
    for (name, folder) in [(disk.name, &disk.folder), (disk.port, &disk.port_folder)] {
        for _ in 0..2 {
            let before = count(sides, folder, "aer_dev_correctable", "BadTLP")?;
            record(sides, name, BAD_TLP)?;
            counted(sides, folder, "aer_dev_correctable", "BadTLP", before)?;
            all_clear(sides, disk.port, name)?;
        }
    }
    disk.check(sides)
}

/// The message of a card passes two switch ports.
fn below_a_switch(sides: &mut Sides) -> Result<()> {
    sides.step(
        "rp-switch",
        "errors of a card below a switch, and of the switch",
    );
    for name in ["card", "sw-port", "sw0"] {
        let folder = folder(sides, name)?;
        let before = count(sides, &folder, "aer_dev_correctable", "BadTLP")?;
        record(sides, name, BAD_TLP)?;
        counted(sides, &folder, "aer_dev_correctable", "BadTLP", before)?;
        all_clear(sides, "rp-switch", name)?;
    }
    let root = folder(sides, "rp-switch")?;
    let total = sides
        .guest
        .run(&format!("cat {root}/aer_rootport_total_err_cor"))?;
    agree("what the root port counted", &"3", &total.trim())
}

fn non_fatal(sides: &mut Sides, disk: &Disk) -> Result<()> {
    sides.step(disk.port, "a non-fatal error under load");
    let before = count(sides, &disk.folder, "aer_dev_nonfatal", "CmpltTO")?;
    disk.under_load(sides, |sides| {
        record(sides, disk.name, NON_FATAL)?;
        counted(sides, &disk.folder, "aer_dev_nonfatal", "CmpltTO", before)
    })?;
    all_clear(sides, disk.port, disk.name)
}

/// Linux resets the link, and the driver brings the controller up again.
fn fatal(sides: &mut Sides, disk: &Disk) -> Result<()> {
    sides.step(disk.port, "a fatal error under load");
    let events = sides
        .host
        .with_hierarchy(|hierarchy| hierarchy.events().next_sequence());
    disk.under_load(sides, |sides| record(sides, disk.name, FATAL))?;
    let total = sides.guest.run(&format!(
        "cat {}/aer_rootport_total_err_fatal",
        disk.port_folder
    ))?;
    agree("what the root port counted", &"1", &total.trim())?;
    ensure!(
        happened(sides, events, disk.port, |kind| matches!(
            kind,
            EventKind::Reset(_)
        )) == 1,
        "the link was not reset once"
    );
    all_clear(sides, disk.port, disk.name)
}

/// The port takes the link down by itself; the guest lets it come up again.
fn containment(sides: &mut Sides, disk: &Disk) -> Result<()> {
    sides.step(disk.port, "a fatal error is contained under load");
    let error_source = |sides: &Sides| {
        number(
            sides,
            disk.port,
            "/extended_capabilities/dpc/error_source_id",
        )
    };
    let events = sides
        .host
        .with_hierarchy(|hierarchy| hierarchy.events().next_sequence());
    disk.under_load(sides, |sides| record(sides, disk.name, FATAL))?;
    contained_once(sides, disk, events)?;
    // Bus, device and function, in 8, 5 and 3 bits.
    let address = sides.host.address(disk.name)?;
    let bus = address
        .split(':')
        .nth(1)
        .and_then(|bus| u64::from_str_radix(bus, 16).ok())
        .context("an address has a bus")?;
    agree(
        "the source of the error",
        &(bus << 8),
        &error_source(sides)?,
    )?;
    // What went into containment did not go on to the root port's AER.
    let total = sides.guest.run(&format!(
        "cat {}/aer_rootport_total_err_fatal",
        disk.port_folder
    ))?;
    agree("what the root port counted", &"0", &total.trim())
}

fn containment_by_software(sides: &mut Sides, disk: &Disk) -> Result<()> {
    sides.step(disk.port, "software triggers containment under load");
    let events = sides
        .host
        .with_hierarchy(|hierarchy| hierarchy.events().next_sequence());
    let port = sides.host.address(disk.port)?;
    disk.under_load(sides, |sides| {
        // DPC Control, DPC Software Trigger.
        sides
            .guest
            .run(&format!("setpci -s {port} ECAP_DPC+6.w=40:40"))?;
        Ok(())
    })?;
    contained_once(sides, disk, events)
}

fn contained_once(sides: &mut Sides, disk: &Disk, events: u64) -> Result<()> {
    for (what, is) in [
        ("triggered", EventKind::ContainmentTriggered),
        ("released", EventKind::ContainmentReleased),
    ] {
        let times = happened(sides, events, disk.port, |kind| *kind == is);
        ensure!(times == 1, "containment was {what} {times} times");
    }
    let status = number(sides, disk.port, "/extended_capabilities/dpc/status/raw")?;
    // Trigger Status and Interrupt Status.
    ensure!(status & 0b1001 == 0, "DPC Status is {status:#x}");
    all_clear(sides, disk.port, disk.name)
}

fn happened(sides: &Sides, since: u64, port: &str, is: impl Fn(&EventKind) -> bool) -> usize {
    let events = sides
        .host
        .with_hierarchy(|hierarchy| hierarchy.events().since(since));
    events
        .iter()
        .filter(|event| *event.name == *port && is(&event.kind))
        .count()
}

/// A card signals a power management event; the guest finds out which it was.
fn wake(sides: &mut Sides) -> Result<()> {
    sides.step("rp-switch", "a card below a switch wakes");
    let card = sides.host.address("card")?;
    let pmcsr = "/capabilities/power-management";
    for round in 1..=2_u64 {
        // Linux takes the permission back when it has heard of a wake.
        sides
            .guest
            .run(&format!("setpci -s {card} CAP_PM+4.w=100:100"))?;
        sides
            .host
            .with_hierarchy(|hierarchy| hierarchy.wake("card", 0))?;
        sides.wait_until("the guest has heard of the wake", RECOVERY, |sides| {
            let inspected = sides.host.inspect_port("rp-switch")?;
            let pme = inspected.pointer("/cfg_space/capabilities/pci-express/root_status/raw");
            let card = sides.host.inspect_port("card")?;
            let space = card.get("cfg_space").unwrap_or(&card);
            let control = space
                .pointer(&format!("{pmcsr}/control_status/raw"))
                .and_then(Value::as_u64)
                .with_context(|| format!("no PMCSR: {space}"))?;
            // PME_Status and PME_En.
            Ok(
                pme.and_then(Value::as_u64).map(|status| status >> 16) == Some(0)
                    && control & 0x8100 == 0,
            )
        })?;
        let interrupts = number(
            sides,
            "rp-switch",
            "/capabilities/pci-express/pme/interrupts",
        )?;
        agree("PME interrupts", &round, &interrupts)?;
    }
    Ok(())
}

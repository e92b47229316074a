//! An operator looks into the hierarchy of a guest that runs, and works its slot: commands and page show what the guest itself reads.
//! The session is recorded, and replayed.

use super::enumerate;
use super::enumerate::number;
use crate::channel::Function;
use crate::host::GuestImage;
use crate::program;
use crate::program::Booted;
use crate::report::progress;
use crate::scenario::agree;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use pci_core::spec::SegmentedBdf;
use pcie_topology::FunctionKind;
use pcie_topology::NamedFunction;
use serde_json::Value;
use std::collections::BTreeMap;

/// A slot with all that an operator uses, a disk in the monitor's memory, and a switch.
const TOPOLOGY: &str = r#"
    [[root_complex]]
    name = "pcie0"
    buses = { start = 0, end = 63 }
    ecam = 0xe000_0000
    mmio32 = { base = 0xc000_0000, size = "256M" }
    mmio64 = { base = 0x40_0000_0000, size = "64G" }
    io = { base = 0x1000, size = "28K" }

    [[root_complex.port]]
    name = "front-slot"
    device = 1
    slot = { number = 1, attention_button = true, power_controller = true, attention_indicator = true, power_indicator = true }

    [[root_complex.port]]
    name = "disk-port"
    device = 2
    endpoint = { name = "boot-disk", kind = "nvme", options = { size = "16M", queues = 2 } }

    [[root_complex.port]]
    name = "switch-port"
    device = 3

    [root_complex.port.switch]
    name = "switch0"

    [[root_complex.port.switch.port]]
    name = "nic-port"

    [root_complex.port.switch.port.endpoint]
    name = "nic0"
    bar = [{ kind = "64", size = "64K" }, { kind = "32", size = "4K" }]
    msix = { vectors = 4 }
"#;

/// What is plugged into the slot.
const CARD: &str = r#"
    name = "data-disk"
    kind = "nvme"
    options = { size = "16M", queues = 2 }
"#;
const CARD_FILE: &str = "card.toml";
const SLOT: &str = "front-slot";
/// How long a guest may take to bring a disk up. An attention button waits for 5 s.
const SECONDS: u32 = 40;

/// What lspci says in a guest and cannot know from a dump: what the kernel does with the function.
const KERNEL_LINES: &[&str] = &[
    "Kernel driver in use:",
    "Kernel modules:",
    "NUMA node:",
    "IOMMU group:",
    "Physical Slot:",
    // The label that ACPI tells of a slot.
    "DeviceName:",
    // Of a function without a pin, whose messages the kernel has given a number.
    "Interrupt: pin ?",
];

pub(super) fn steps(image: &GuestImage) -> Result<()> {
    let mut booted = Booted::boot(image, TOPOLOGY)?;
    progress("both sides compare");
    compare_all(&mut booted)?;
    let empty = booted.ask(&["port", SLOT])?;
    ensure!(empty.contains("empty, power off"), "{empty}");

    progress("a disk is plugged in");
    std::fs::write(CARD_FILE, CARD)?;
    booted.ask(&["plug", SLOT, CARD_FILE])?;
    booted.ask(&["button", SLOT])?;
    booted.guest.wait_for("[ -b /dev/nvme1n1 ]", SECONDS)?;
    booted
        .guest
        .run("dd if=/dev/zero of=/dev/nvme1n1 bs=64k count=4 conv=fsync")?;
    let occupied = booted.ask(&["port", SLOT])?;
    ensure!(occupied.contains("1, occupied, power on"), "{occupied}");
    let tree = booted.ask(&["tree"])?;
    ensure!(tree.contains("data-disk"), "{tree}");
    progress("both sides compare again");
    compare_all(&mut booted)?;

    progress("the disk is taken out");
    booted.ask(&["unplug", SLOT, "--timeout", "60"])?;
    booted.guest.wait_for("[ ! -e /dev/nvme1 ]", SECONDS)?;
    compare_all(&mut booted)?;
    let tree = booted.ask(&["tree"])?;
    ensure!(!tree.contains("data-disk"), "{tree}");
    let events = booted.ask(&["events"])?;
    for (event, times) in [("attention button", 2), (" plugged", 1), (" unplugged", 1)] {
        let found = events
            .lines()
            .filter(|line| line.contains(SLOT) && line.contains(event))
            .count();
        ensure!(found == times, "'{event}' {found} times:\n{events}");
    }

    let messages = booted.power_off()?;
    ensure!(
        messages.contains(" recorded in session.recording"),
        "{messages}"
    );
    let report = program::replay()?;
    progress(report.trim());
    ensure!(report.trim().ends_with("no difference"), "{report}");
    ensure!(report.contains(" 4 operations,"), "{report}");
    ensure!(
        report.contains("records of devices that act on the guest's memory left out"),
        "{report}"
    );
    Ok(())
}

/// Every function: what the page is drawn from, inspection, and lspci, against the guest's sysfs, setpci and lspci.
fn compare_all(booted: &mut Booted) -> Result<()> {
    let topology = booted.get("/topology")?;
    let mut shown = Vec::new();
    for complex in list(&topology, "/complexes") {
        collect(list(complex, "/functions"), None, &mut shown)?;
    }
    let found = booted.guest.functions()?;
    let found: BTreeMap<&str, &Function> = found
        .iter()
        .map(|function| (function.bdf.as_str(), function))
        .collect();
    agree("the number of functions", &shown.len(), &found.len())?;
    let named: Vec<NamedFunction> = shown.iter().map(|(named, _)| named.clone()).collect();
    let addresses = enumerate::addresses(&named)?;
    let tree = booted.ask(&["tree"])?;
    let mut differences = Vec::new();
    for (function, drawn) in &shown {
        let address = text(drawn, "/address")?;
        let place = || format!("{} at {address}", function.name);
        let guest = found
            .get(address)
            .with_context(|| format!("{} is not in the guest's sysfs", place()))?;
        let inspected = booted.ask(&["inspect", &function.path, "--depth", "8", "--json"])?;
        let inspected = serde_json::from_str(&inspected).with_context(place)?;
        enumerate::compare(function, &addresses, &inspected, guest).with_context(place)?;
        let id = drawn.pointer("/id").cloned();
        let guest_id = serde_json::json!([guest.vendor, guest.device]);
        agree("the ID in the page", &id, &Some(guest_id)).with_context(place)?;
        let (_, short) = address.split_once(':').context("an address")?;
        ensure!(
            tree.lines()
                .any(|line| line.contains(&format!("{short} {}", function.name))),
            "{} is not in the tree:\n{tree}",
            place()
        );
        if guest.buses.is_some() {
            compare_port(booted, drawn, address).with_context(place)?;
        }
        compare_lspci(booted, address, &mut differences).with_context(place)?;
    }
    ensure!(
        differences.is_empty(),
        "lspci differs:\n{}",
        differences.join("\n")
    );
    Ok(())
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let entries = value.pointer(pointer).and_then(Value::as_array);
    entries.map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("the page has no text at {pointer}: {value}"))
}

/// The functions of a drawing, each with its part of it.
fn collect(
    functions: &[Value],
    parent: Option<&str>,
    into: &mut Vec<(NamedFunction, Value)>,
) -> Result<()> {
    for function in functions {
        let name = text(function, "/name")?;
        let address: SegmentedBdf = text(function, "/address")?.parse()?;
        let kind = match text(function, "/kind")? {
            "root_port" => FunctionKind::RootPort,
            "upstream_port" => FunctionKind::UpstreamPort,
            "downstream_port" => FunctionKind::DownstreamPort,
            _ => FunctionKind::Endpoint,
        };
        let named = NamedFunction {
            segment: address.segment,
            bdf: Some(address.bdf),
            name: name.to_string(),
            kind,
            parent: parent.map(str::to_string),
            path: text(function, "/path")?.to_string(),
        };
        into.push((named, function.clone()));
        collect(list(function, "/below"), Some(name), into)?;
    }
    Ok(())
}

/// Buses, windows, link and slot of a port: as the page has them, and by the registers that the guest reads (PCIe 6.2 sections 7.5.1.3 and
/// 7.5.3).
fn compare_port(booted: &mut Booted, drawn: &Value, address: &str) -> Result<()> {
    let registers = booted.guest.run(&format!(
        "setpci -s {address} 18.l 20.l 24.l 28.l 2c.l CAP_EXP+12.w CAP_EXP+14.l CAP_EXP+18.w CAP_EXP+1a.w"
    ))?;
    let registers = registers
        .lines()
        .map(|line| u64::from_str_radix(line.trim(), 16))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| registers.clone())?;
    let [
        buses,
        memory,
        prefetchable,
        upper_base,
        upper_limit,
        link,
        slot_capabilities,
        slot_control,
        slot_status,
    ] = registers[..]
    else {
        anyhow::bail!("setpci prints {} values", registers.len());
    };
    let bridge = |name: &str| drawn.pointer(&format!("/bridge/{name}")).cloned();
    agree(
        "buses",
        &[bridge("secondary"), bridge("subordinate")],
        &[buses >> 8, buses >> 16].map(|bus| Some((bus & 0xff).into())),
    )?;
    let window = |base: u64, limit: u64| match base < limit {
        true => Some(serde_json::json!([base, limit])),
        false => Some(Value::Null),
    };
    let range = |word: u64, upper_base: u64, upper_limit: u64| {
        window(
            upper_base << 32 | (word & 0xfff0) << 16,
            upper_limit << 32 | (word & 0xfff0_0000) | 0xf_ffff,
        )
    };
    agree("memory window", &bridge("memory"), &range(memory, 0, 0))?;
    agree(
        "prefetchable window",
        &bridge("prefetchable"),
        &range(prefetchable, upper_base, upper_limit),
    )?;
    // An upstream port has a link above it and no slot.
    agree(
        "link",
        &(number(drawn, "/link/speed")?, number(drawn, "/link/width")?),
        &(link & 0xf, link >> 4 & 0x3f),
    )?;
    let port = text(drawn, "/kind")?;
    if port == "upstream_port" {
        return Ok(());
    }
    let flag = |pointer: &str| drawn.pointer(pointer).and_then(Value::as_bool);
    let bit = |word: u64, bit: u32| Some(word >> bit & 1 == 1);
    agree("link is active", &flag("/link/active"), &bit(link, 13))?;
    let shown = booted.ask(&["port", text(drawn, "/name")?])?;
    let (secondary, subordinate) = (buses >> 8 & 0xff, buses >> 16 & 0xff);
    ensure!(
        shown.contains(&format!("{secondary:02x}-{subordinate:02x}")) && shown.contains(address),
        "{shown}"
    );
    if drawn.pointer("/slot/number").is_none() {
        return Ok(());
    }
    agree(
        "slot number",
        &number(drawn, "/slot/number")?,
        &(slot_capabilities >> 19),
    )?;
    agree("card present", &flag("/slot/present"), &bit(slot_status, 6))?;
    // Power Controller Control: set is off.
    let off = slot_control >> 10 & 1 == 1;
    agree("slot has power", &flag("/slot/powered"), &Some(!off))
}

/// What lspci makes of the dump is what it makes of the guest's registers. Lines that only one side has are added to `differences`.
fn compare_lspci(booted: &mut Booted, address: &str, differences: &mut Vec<String>) -> Result<()> {
    let host = booted.ask(&["lspci", "-D", "-vvv", "-s", address])?;
    let guest = booted
        .guest
        .run(&format!("lspci -b -D -vvv -s {address} 2>/dev/null"))?;
    let (host, guest) = (decoded(&host), decoded(&guest));
    ensure!(host.len() > 10, "lspci prints {host:?}");
    for (side, lines, others) in [("host", &host, &guest), ("guest", &guest, &host)] {
        let only = lines.iter().filter(|line| !others.contains(line));
        differences.extend(only.map(|line| format!("{address}, {side} only: {line}")));
    }
    Ok(())
}

/// The lines that are made of registers, without what the kernel adds to them: sizes, and interrupts by its own numbers.
fn decoded(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .filter(|line| !KERNEL_LINES.iter().any(|kernel| line.starts_with(kernel)))
        .map(|line| {
            let line = without(line, " [size=", "]");
            without(&line, " routed to IRQ ", "")
        })
        .collect()
}

/// A line without the part that begins with `from` and ends with `to`, or with the line.
fn without(line: &str, from: &str, to: &str) -> String {
    let Some((before, rest)) = line.split_once(from) else {
        return line.to_string();
    };
    let after = match to {
        "" => "",
        to => rest.split_once(to).map_or("", |(_, after)| after),
    };
    format!("{before}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_adds_is_left_out() {
        let text = "0000:00:02.0 Class\n\tInterrupt: pin A routed to IRQ 24\n\tRegion 0: Memory at c0 (64-bit) [size=16K]\n\
                    \tMemory behind bridge: c0-df [size=2M] [32-bit]\n\tKernel driver in use: nvme\n\n";
        assert_eq!(
            decoded(text),
            [
                "0000:00:02.0 Class",
                "Interrupt: pin A",
                "Region 0: Memory at c0 (64-bit)",
                "Memory behind bridge: c0-df [32-bit]",
            ]
        );
    }

    #[test]
    fn the_description_is_sound() {
        let topology = pcie_topology::Topology::from_toml(TOPOLOGY).unwrap();
        topology.validate().unwrap();
        let card: pcie_topology::EndpointSpec = toml::from_str(CARD).unwrap();
        assert_eq!(card.name, "data-disk");
    }
}

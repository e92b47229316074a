//! Boots before a large hierarchy: what the guest finds is what was described, and both sides put it in the same place.

use crate::channel::Bar;
use crate::channel::Function;
use crate::channel::Window;
use crate::channel::WindowKind;
use crate::report::progress;
use crate::scenario::Sides;
use crate::scenario::agree;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use pcie_topology::BarKind;
use pcie_topology::EndpointSpec;
use pcie_topology::FunctionKind;
use pcie_topology::NamedFunction;
use pcie_topology::PortSpec;
use pcie_topology::SwitchSpec;
use pcie_topology::Topology;
use pcie_topology::Windows;
use recording::Event;
use serde_json::Value;
use std::collections::BTreeMap;
use vmm::ExitKind;

/// Endpoints, of which some have several functions.
const ENDPOINTS: usize = 40;

/// Two root complexes in segments of their own. `rc0` holds a chain of three switches, `rc1` a flat row of ports.
const COMPLEXES: &str = r#"
    [[root_complex]]
    name = "rc0"
    buses = { start = 0, end = 63 }
    ecam = 0xe000_0000
    mmio32 = { base = 0xc000_0000, size = "128M" }
    mmio64 = { base = 0x40_0000_0000, size = "64G" }

    [[root_complex]]
    name = "rc1"
    segment = 1
    buses = { start = 0, end = 63 }
    ecam = 0xe800_0000
    mmio32 = { base = 0xd000_0000, size = "128M" }
    mmio64 = { base = 0x60_0000_0000, size = "64G" }
"#;

/// What lspci prints where it cannot make sense of the registers.
const COMPLAINTS: &str =
    "chain broken|chain looped|access denied|unreadable|!!!|Capability ID 0x|Unknown type";

/// Exits that have nothing to do with the hierarchy, but those for serial ports, and how many there may be of each: a kernel looks for
/// the ports of a PC's keyboard, clock and timer, and waits by writes to port 0x80; processors are told to pause by a signal.
const FURTHER_EXITS: &[(ExitKind, u64)] = &[
    (ExitKind::Port, 400),
    (ExitKind::IoRead, 0),
    (ExitKind::IoWrite, 0),
    (ExitKind::Unclaimed, 10),
    (ExitKind::Interrupted, 10),
    (ExitKind::Other, 10),
];

pub(crate) fn topology() -> Result<Topology> {
    let mut topology = Topology::from_toml(COMPLEXES)?;
    let [first, second] = topology.root_complex.as_mut_slice() else {
        anyhow::bail!("two root complexes are described");
    };
    let mut names = (0..ENDPOINTS).map(|number| format!("ep{number:02}"));
    // Three levels of six, five and five downstream ports, the last of the upper two leading on.
    let mut below = None;
    for (level, endpoints) in [(3, 6), (2, 5), (1, 5)] {
        let mut switch = SwitchSpec::new(format!("sw{level}"));
        for (port, name) in (0..endpoints).zip(names.by_ref()) {
            switch.port.push(
                PortSpec::new(format!("sw{level}p{port}")).with_endpoint(endpoint(&name, port)),
            );
        }
        if let Some(lower) = below.take() {
            switch
                .port
                .push(PortSpec::new(format!("sw{level}p{endpoints}")).with_switch(lower));
        }
        below = Some(switch);
    }
    let top = below.context("three switches are composed")?;
    first.port.push(PortSpec::new("rp-switch").with_switch(top));
    for (index, name) in names.enumerate() {
        let (complex, port) = match index % 2 {
            0 => (&mut *first, format!("rp0-{index}")),
            _ => (&mut *second, format!("rp1-{index}")),
        };
        complex
            .port
            .push(PortSpec::new(port).with_endpoint(endpoint(&name, index)));
    }
    Ok(topology)
}

/// Every fourth has four functions; every third a large 64-bit BAR.
fn endpoint(name: &str, index: usize) -> EndpointSpec {
    let mut endpoint = EndpointSpec::new(name).with_bar(BarKind::Memory32, 64 << 10);
    if index.is_multiple_of(3) {
        endpoint = endpoint.with_bar(BarKind::Prefetchable, 1 << 30);
    } else {
        endpoint = endpoint.with_bar(BarKind::Prefetchable, 1 << 20);
    }
    if index.is_multiple_of(4) {
        endpoint.functions = 4;
    }
    endpoint
}

pub(crate) fn steps(sides: &mut Sides) -> Result<()> {
    sides.step("rp-switch", "both sides compare");
    sides.no_complaints()?;
    let named = sides.host.functions();
    let found = sides.guest.functions()?;
    let found: BTreeMap<&str, &Function> = found
        .iter()
        .map(|function| (function.bdf.as_str(), function))
        .collect();
    agree("the number of functions", &named.len(), &found.len())?;
    let addresses = addresses(&named)?;
    for function in &named {
        let address = address(function)?;
        let guest = found
            .get(address.as_str())
            .with_context(|| format!("{} is not in the guest's sysfs", function.path))?;
        let space = sides.host.inspect(&function.path)?;
        compare(function, &addresses, &space, guest)
            .with_context(|| format!("{} at {address}", function.path))?;
        ensure!(
            guest.buses.is_some() || guest.bars.len() == 2,
            "{}: two BARs are described: {:x?}",
            function.path,
            guest.bars
        );
    }
    let ports = named.iter().filter(|function| {
        matches!(
            function.kind,
            FunctionKind::RootPort | FunctionKind::DownstreamPort
        )
    });
    for port in ports {
        let driver = found
            .get(address(port)?.as_str())
            .and_then(|guest| guest.driver.as_deref());
        ensure!(
            driver == Some("pcieport"),
            "{} has driver {driver:?}",
            port.name
        );
    }
    sides.step("rp-switch", "lspci decodes");
    let complaints = sides.guest.run(&format!(
        "lspci -D -vvv 2>/dev/null | grep -E '{COMPLAINTS}'; true"
    ))?;
    ensure!(complaints.is_empty(), "lspci complains:\n{complaints}");
    let shown = sides.guest.run("lspci -D -n 2>/dev/null | wc -l")?;
    agree(
        "functions that lspci shows",
        &named.len().to_string().as_str(),
        &shown.trim(),
    )?;
    sides.no_complaints()?;
    count_exits(sides)
}

/// The guest left for the accesses that the hierarchy answered, for the serial ports of console and channel, and for no more than a PC has
/// it look for. The session is replayed, too.
fn count_exits(sides: &mut Sides) -> Result<()> {
    sides.step("rp-switch", "exits are counted");
    // A guest at rest accesses nothing, so that the two counts are of the same time.
    let recording = sides.host.end_recording()?;
    let exits = sides.host.exits();
    progress(&exits.to_string());
    let windows = Windows::new(&topology()?);
    let mut answered: BTreeMap<&str, u64> = BTreeMap::new();
    for record in &recording.records {
        let (address, [config, memory]) = match &record.event {
            Event::Read { address, .. } => (*address, ["config reads", "memory reads"]),
            Event::Write { address, .. } => (*address, ["config writes", "memory writes"]),
            _ => continue,
        };
        let window = windows.at(address).context("it was in a window")?;
        let kind = match window.kind {
            pcie_topology::WindowKind::Ecam => config,
            _ => memory,
        };
        *answered.entry(kind).or_default() += 1;
    }
    let answered = |kind: &str| answered.get(kind).copied().unwrap_or(0);
    for (what, kind) in [
        ("config reads", ExitKind::ConfigRead),
        ("config writes", ExitKind::ConfigWrite),
        ("memory reads", ExitKind::MemoryRead),
        ("memory writes", ExitKind::MemoryWrite),
    ] {
        agree(what, &answered(what), &exits.of(kind))?;
    }
    ensure!(answered("config reads") > 1000, "{exits}");
    for (kind, max) in FURTHER_EXITS {
        ensure!(
            exits.of(*kind) <= *max,
            "more than {max} of {kind:?}: {exits}"
        );
    }
    let report = recording::replay(&recording)?;
    ensure!(report.is_faithful(), "the replay differs: {report}");
    Ok(())
}

/// The address of each name: of an endpoint with several functions, of the first.
pub(super) fn addresses(named: &[NamedFunction]) -> Result<BTreeMap<&str, String>> {
    let mut addresses = BTreeMap::new();
    for function in named {
        let address = address(function)?;
        addresses.entry(function.name.as_str()).or_insert(address);
    }
    Ok(addresses)
}

fn address(function: &NamedFunction) -> Result<String> {
    let bdf = function
        .bdf
        .with_context(|| format!("the guest gave no bus number to {}", function.path))?;
    Ok(format!("{:04x}:{bdf}", function.segment))
}

/// One function: what is above it, its identity, its BARs, its buses and windows.
pub(super) fn compare(
    function: &NamedFunction,
    addresses: &BTreeMap<&str, String>,
    inspected: &Value,
    guest: &Function,
) -> Result<()> {
    // A switch's upstream port is nothing but its configuration space.
    let space = inspected.get("cfg_space").unwrap_or(inspected);
    let header = space.get("header").context("inspection shows no header")?;
    let parent = function
        .parent
        .as_deref()
        .and_then(|name| addresses.get(name))
        .cloned();
    agree("what is above", &parent, &guest.parent)?;
    agree(
        "vendor",
        &number(header, "/vendor_id")?,
        &guest.vendor.into(),
    )?;
    agree(
        "device",
        &number(header, "/device_id")?,
        &guest.device.into(),
    )?;
    agree("class", &class(header)?, &guest.class)?;
    let bridge = !matches!(
        function.kind,
        FunctionKind::Endpoint | FunctionKind::Integrated
    );
    if bridge {
        let buses = (
            u8::try_from(number(header, "/secondary_bus_number")?)?,
            u8::try_from(number(header, "/subordinate_bus_number")?)?,
        );
        agree("buses", &Some(buses), &guest.buses)?;
        agree("windows", &windows(header)?, &guest.windows)
    } else {
        for bar in &guest.bars {
            compare_bar(space, bar)?;
        }
        Ok(())
    }
}

fn compare_bar(space: &Value, bar: &Bar) -> Result<()> {
    let number_at = |pointer: &str| number(space, pointer);
    let index = bar.index;
    let length = number_at(&format!("/bars/bar{index}/len"))?;
    agree("a BAR's length", &length, &(bar.last - bar.start + 1))?;
    let low = number_at(&format!("/header/bar{index}"))?;
    // Bits 2:1 say whether the next one holds the upper half.
    let high = match low & 0b110 {
        0b100 => number_at(&format!("/header/bar{}", index + 1))?,
        _ => 0,
    };
    agree("a BAR", &(high << 32 | low & !0xf), &bar.start)
}

fn class(header: &Value) -> Result<u32> {
    let class = number(header, "/base_class")? << 16
        | number(header, "/sub_class")? << 8
        | number(header, "/programming_interface")?;
    Ok(u32::try_from(class)?)
}

/// The windows of a bridge that are open (PCIe 6.2 section 7.5.1.3).
fn windows(header: &Value) -> Result<Vec<Window>> {
    let low = |name: &str| number(header, &format!("/{name}/address"));
    let upper = |name: &str| number(header, &format!("/{name}/value"));
    let ranges = [
        (
            WindowKind::Io,
            upper("io_base_upper")? | low("io_base")?,
            upper("io_limit_upper")? | low("io_limit")?,
        ),
        (
            WindowKind::Memory,
            low("memory_base")?,
            low("memory_limit")?,
        ),
        (
            WindowKind::Prefetchable,
            upper("prefetchable_base_upper")? | low("prefetchable_memory_base")?,
            upper("prefetchable_limit_upper")? | low("prefetchable_memory_limit")?,
        ),
    ];
    Ok(ranges
        .into_iter()
        // A port without an I/O window reads zero there.
        .filter(|(_, start, last)| start < last && *start != 0)
        .map(|(kind, start, last)| Window { kind, start, last })
        .collect())
}

pub(super) fn number(tree: &Value, pointer: &str) -> Result<u64> {
    tree.pointer(pointer)
        .and_then(Value::as_u64)
        .with_context(|| format!("inspection shows no number at {pointer}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chipset_device::mmio::ExternallyManagedMmioIntercepts;

    #[test]
    fn the_hierarchy_is_as_large_as_promised() {
        let topology = topology().unwrap();
        let hierarchy = topology
            .compose(&mut ExternallyManagedMmioIntercepts, None)
            .unwrap();
        let functions = hierarchy.functions();
        let mut endpoints: Vec<&str> = functions
            .iter()
            .filter(|function| function.kind == FunctionKind::Endpoint)
            .map(|function| function.name.as_str())
            .collect();
        assert!(endpoints.len() > ENDPOINTS, "some have several functions");
        endpoints.dedup();
        assert_eq!(endpoints.len(), ENDPOINTS);
        let switches = functions
            .iter()
            .filter(|function| function.kind == FunctionKind::UpstreamPort);
        assert_eq!(switches.count(), 3);
    }
}

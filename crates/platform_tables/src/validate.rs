//! Checking a platform before anything is written.

use crate::CxlWindow;
use crate::Error;
use crate::HostBridge;
use crate::Platform;
use crate::Port;
use crate::Register;
use crate::cxl;
use pcie_topology::AddressRange;
use std::collections::BTreeSet;

/// First address that does not exist.
const ADDRESS_END: u64 = 1 << 52;
const MMIO32_END: u64 = 1 << 32;
const IO_END: u64 = 1 << 16;
/// Each has a name of two hexadecimal digits.
const HOST_BRIDGES_MAX: usize = 256;
/// Each has a name of three hexadecimal digits.
const CPUS_MAX: usize = 4096;
const SLOT_MAX: u32 = 0x1fff;
const DEVICE_MAX: u8 = 31;
const FUNCTION_MAX: u8 = 7;
/// Ports of a 16550.
const SERIAL_PORT_LEN: u64 = 8;
const APIC_LEN: u64 = 0x1000;

/// Ranges of one address space, and what has them.
struct Space {
    end: u64,
    ranges: Vec<(AddressRange, String)>,
}

impl Space {
    fn new(end: u64) -> Self {
        Self {
            end,
            ranges: Vec::new(),
        }
    }

    /// Claims a range that ends at or below `end`.
    fn claim_below(
        &mut self,
        end: u64,
        what: impl Into<String>,
        range: AddressRange,
    ) -> Result<(), Error> {
        let what = what.into();
        let reaches = range.base.checked_add(range.size.0);
        if range.size.0 == 0 || reaches.is_none_or(|reaches| reaches > end) {
            return Err(Error::Range { what, range, end });
        }
        self.ranges.push((range, what));
        Ok(())
    }

    fn claim(&mut self, what: impl Into<String>, range: AddressRange) -> Result<(), Error> {
        self.claim_below(self.end, what, range)
    }

    fn check(mut self) -> Result<(), Error> {
        self.ranges.sort_by_key(|(range, _)| range.base);
        for ((low, first), (high, second)) in self.ranges.iter().zip(self.ranges.iter().skip(1)) {
            if high.base < low.end() {
                return Err(Error::Overlap {
                    first: first.clone(),
                    first_range: *low,
                    second: second.clone(),
                    second_range: *high,
                });
            }
        }
        Ok(())
    }
}

/// Checks all of it.
pub(crate) fn platform(platform: &Platform) -> Result<(), Error> {
    if platform.cpus.is_empty() {
        return Err(Error::NoCpu);
    }
    at_most("processors", platform.cpus.len(), CPUS_MAX)?;
    unique(
        "processors",
        platform.cpus.iter().map(|cpu| u64::from(cpu.apic_id)),
    )?;
    nodes(platform)?;
    host_bridges(&platform.host_bridges)?;
    for window in &platform.cxl_windows {
        cxl_window(window, &platform.host_bridges)?;
    }
    addresses(platform)
}

/// Checks what concerns host bridges alone; address ranges are checked where all of them are known.
pub(crate) fn host_bridges(bridges: &[HostBridge]) -> Result<(), Error> {
    at_most("host bridges", bridges.len(), HOST_BRIDGES_MAX)?;
    unique("host bridges", bridges.iter().map(|b| u64::from(b.uid)))?;
    for (i, bridge) in bridges.iter().enumerate() {
        host_bridge(bridge)?;
        for other in bridges.iter().take(i) {
            let shared = other.segment == bridge.segment
                && other.buses.start <= bridge.buses.end
                && bridge.buses.start <= other.buses.end;
            if shared {
                return Err(Error::SharedBuses {
                    segment: bridge.segment,
                    first: other.uid,
                    first_buses: other.buses,
                    second: bridge.uid,
                    second_buses: bridge.buses,
                });
            }
        }
    }
    let ports = bridges.iter().flat_map(|bridge| &bridge.ports);
    let slots = ports.flat_map(Port::tree).filter_map(|port| port.slot);
    unique("slots", slots.map(u64::from))
}

fn host_bridge(bridge: &HostBridge) -> Result<(), Error> {
    let uid = bridge.uid;
    let (buses, ecam) = (bridge.buses, bridge.ecam);
    if buses.count() == 0 {
        return Err(Error::Buses { uid, buses });
    }
    let needed = u64::from(buses.count()) << 20;
    if ecam.size.0 < needed {
        return Err(Error::EcamTooSmall {
            uid,
            buses,
            needed,
            ecam,
        });
    }
    aligned(|| format!("host bridge {uid}: ECAM"), ecam.base, 1 << 20)?;
    ports(uid, "root ports of one root bus", &bridge.ports)
}

fn ports(uid: u32, things: &'static str, on_bus: &[Port]) -> Result<(), Error> {
    unique(
        things,
        on_bus
            .iter()
            .map(|port| u64::from(port.device) << 3 | u64::from(port.function)),
    )?;
    for port in on_bus {
        let (device, function) = (port.device, port.function);
        if device > DEVICE_MAX || function > FUNCTION_MAX {
            return Err(Error::Place {
                uid,
                device,
                function,
            });
        }
        if let Some(slot) = port.slot.filter(|slot| *slot > SLOT_MAX) {
            return Err(Error::Slot { slot });
        }
        if !port.label.bytes().all(|c| matches!(c, b' '..=b'~')) {
            return Err(Error::Label {
                label: port.label.clone(),
            });
        }
        ports(uid, "downstream ports of one switch", &port.switch)?;
    }
    Ok(())
}

/// The ranges of memory and I/O space that a host bridge has.
fn claim(bridge: &HostBridge, memory: &mut Space, io: &mut Space) -> Result<(), Error> {
    let name = |part: &str| format!("host bridge {}: {part}", bridge.uid);
    memory.claim(name("ECAM"), bridge.ecam)?;
    if let Some(range) = bridge.mmio32 {
        memory.claim_below(MMIO32_END, name("32-bit memory"), range)?;
    }
    if let Some(range) = bridge.mmio64 {
        memory.claim(name("64-bit memory"), range)?;
    }
    if let Some(range) = bridge.prefetchable {
        memory.claim(name("prefetchable memory"), range)?;
    }
    if let Some(cxl) = bridge.cxl {
        let (base, len) = (cxl.component_registers, cxl::COMPONENT_REGISTERS_LEN);
        aligned(|| name("component registers"), base, len)?;
        memory.claim(name("component registers"), AddressRange::new(base, len))?;
    }
    if let Some(range) = bridge.io {
        io.claim(name("I/O ports"), range)?;
        if let Some(base) = bridge.io_in_memory {
            memory.claim(
                name("I/O ports in memory"),
                AddressRange::new(base, range.size.0),
            )?;
        }
    }
    Ok(())
}

fn addresses(platform: &Platform) -> Result<(), Error> {
    let mut memory = Space::new(ADDRESS_END);
    let mut io = Space::new(IO_END);
    for (i, part) in platform.memory.iter().enumerate() {
        memory.claim(format!("memory {i}"), part.range)?;
    }
    for (i, range) in platform.reserved.iter().enumerate() {
        memory.claim(format!("reserved range {i}"), *range)?;
    }
    for (what, address) in [
        ("local APIC", platform.local_apic),
        ("I/O APIC", platform.io_apic.address),
    ] {
        memory.claim(what, AddressRange::new(address.into(), APIC_LEN))?;
    }
    for bridge in &platform.host_bridges {
        claim(bridge, &mut memory, &mut io)?;
        let below = u64::from(bridge.buses.start) << 20;
        if bridge.ecam.base < below {
            return Err(Error::EcamTooLow {
                uid: bridge.uid,
                first_bus: bridge.buses.start,
                ecam: bridge.ecam.base,
            });
        }
    }
    for (i, window) in platform.cxl_windows.iter().enumerate() {
        memory.claim(format!("CXL window {i}"), window.range)?;
    }
    for (i, port) in platform.serial_ports.iter().enumerate() {
        let range = AddressRange::new(port.base.into(), SERIAL_PORT_LEN);
        io.claim(format!("serial port {i}"), range)?;
    }
    let power = platform.power.iter().flat_map(|power| {
        [
            ("sleep control register", power.sleep_control),
            ("sleep status register", power.sleep_status),
        ]
    });
    let reset = platform
        .reset
        .map(|(register, _)| ("reset register", register));
    for (what, register) in power.chain(reset) {
        match register {
            Register::Memory(address) => memory.claim(what, AddressRange::new(address, 1))?,
            Register::Io(port) => io.claim(what, AddressRange::new(port.into(), 1))?,
        }
    }
    memory.check()?;
    io.check()
}

/// Checks that host bridges overlap neither each other nor these ranges.
pub(crate) fn apart(
    bridges: &[HostBridge],
    others: impl IntoIterator<Item = (&'static str, AddressRange)>,
) -> Result<(), Error> {
    let mut memory = Space::new(ADDRESS_END);
    let mut io = Space::new(IO_END);
    for bridge in bridges {
        host_bridge(bridge)?;
        claim(bridge, &mut memory, &mut io)?;
    }
    for (what, range) in others {
        memory.claim(what, range)?;
    }
    memory.check()?;
    io.check()
}

fn nodes(platform: &Platform) -> Result<(), Error> {
    if !platform.has_nodes() {
        return Ok(());
    }
    if let Some(i) = platform.cpus.iter().position(|cpu| cpu.node.is_none()) {
        return Err(Error::NoNode {
            what: format!("processor {i}"),
        });
    }
    match platform.memory.iter().position(|m| m.node.is_none()) {
        Some(i) => Err(Error::NoNode {
            what: format!("memory {i}"),
        }),
        None => Ok(()),
    }
}

fn cxl_window(window: &CxlWindow, bridges: &[HostBridge]) -> Result<(), Error> {
    let range = window.range;
    let ways = window.targets.len();
    if cxl::encoded_ways(ways).is_none() {
        return Err(Error::Ways {
            window: range,
            ways,
        });
    }
    let granularity = window.granularity;
    if !granularity.is_power_of_two()
        || !(cxl::GRANULARITY_MIN..=cxl::GRANULARITY_MAX).contains(&granularity)
    {
        return Err(Error::Granularity {
            window: range,
            granularity,
        });
    }
    aligned(
        || "the base of a CXL window".into(),
        range.base,
        cxl::WINDOW_ALIGN,
    )?;
    // At most 16 ways: the product cannot overflow.
    let size_align = u64::try_from(ways).map_or(cxl::WINDOW_ALIGN, |ways| cxl::WINDOW_ALIGN * ways);
    aligned(
        || "the size of a CXL window".into(),
        range.size.0,
        size_align,
    )?;
    let is_cxl = |uid: u32| bridges.iter().any(|b| b.uid == uid && b.cxl.is_some());
    match window.targets.iter().find(|uid| !is_cxl(**uid)) {
        Some(uid) => Err(Error::Target {
            window: range,
            uid: *uid,
        }),
        None => unique(
            "targets of one CXL window",
            window.targets.iter().map(|uid| u64::from(*uid)),
        ),
    }
}

fn at_most(things: &'static str, count: usize, max: usize) -> Result<(), Error> {
    if count > max {
        return Err(Error::TooMany { things, count, max });
    }
    Ok(())
}

fn unique(things: &'static str, numbers: impl Iterator<Item = u64>) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for number in numbers {
        if !seen.insert(number) {
            return Err(Error::Duplicate { things, number });
        }
    }
    Ok(())
}

pub(crate) fn aligned(what: impl FnOnce() -> String, value: u64, align: u64) -> Result<(), Error> {
    if !value.is_multiple_of(align) {
        return Err(Error::Misaligned {
            what: what(),
            value,
            align,
        });
    }
    Ok(())
}

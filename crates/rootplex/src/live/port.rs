//! All of a port on one screen.

use super::client::Client;
use super::client::encoded;
use super::events;
use super::tree;
use crate::output::Failure;
use inspect_service::Topology;
use inspect_service::topology::Bridge;
use inspect_service::topology::Function;
use inspect_service::topology::Slot;
use std::fmt::Write;

/// Events that are shown, the newest last.
const EVENTS: usize = 8;

/// Parts of the inspection that are shown as they are, below the port's own path.
const PARTS: &[(&str, &str)] = &[
    ("AER", "cfg_space/extended_capabilities/aer"),
    ("CXL", "cxl"),
    (
        "counters",
        "cfg_space/capabilities/pci-express/slot/counters",
    ),
];

pub(super) fn find<'a>(topology: &'a Topology, name: &str) -> Result<&'a Function, Failure> {
    let ports = topology.functions().into_iter();
    let mut ports = ports.filter(|function| function.is_downstream_port());
    ports
        .find(|port| port.name == name)
        .ok_or_else(|| Failure::mistake(format_args!("no port is named '{name}'")))
}

pub(super) fn run(client: &Client, name: &str) -> Result<(), Failure> {
    let topology: Topology = super::parse(&client.get("/topology")?)?;
    let port = find(&topology, name)?;
    let mut out = header(port);
    for (title, part) in PARTS {
        let target = format!(
            "/inspect/{}/{part}?depth=1&format=text",
            encoded(&port.path)
        );
        let (status, text) = client.exchange("GET", &target, Vec::new())?;
        if status.is_success() {
            // Writing to a string cannot fail.
            let _ = write!(out, "{title:<12}{}", String::from_utf8_lossy(&text));
        }
    }
    let mut seen = events::log(client)?;
    seen.retain(|event| event.port == name);
    for event in seen.iter().skip(seen.len().saturating_sub(EVENTS)) {
        let _ = writeln!(out, "{:<12}{}", "event", events::line(event));
    }
    super::write(&out)
}

fn header(port: &Function) -> String {
    let mut out = String::new();
    let mut row = |title: &str, text: &str| {
        let _ = writeln!(out, "{title:<12}{text}");
    };
    row("port", &port.name);
    row("state", &tree::state(port));
    row("address", port.address.as_deref().unwrap_or("none"));
    row("path", &port.path);
    if let (Some((vendor, device)), Some(class)) = (port.id, port.class) {
        row("ID", &format!("{vendor:04x}:{device:04x}, class {class:06x}"));
    }
    if let Some(bridge) = &port.bridge {
        row(
            "buses",
            &format!("{:02x}-{:02x}", bridge.secondary, bridge.subordinate),
        );
        row("windows", &windows(bridge));
    }
    if let Some(link) = &port.link {
        let state = if link.active { "up" } else { "down" };
        row(
            "link",
            &format!("{state}, {} GT/s, x{}", link.gigatransfers(), link.width),
        );
    }
    if let Some(slot) = &port.slot {
        row("slot", &slot_state(slot));
    }
    row(
        "errors",
        &match port.errors.as_slice() {
            [] => "none".to_string(),
            errors => errors.join(" "),
        },
    );
    row("CXL", if port.cxl { "yes" } else { "no" });
    let below: Vec<_> = port.below.iter().map(|below| below.name.as_str()).collect();
    row("below", &below.join(" "));
    out
}

fn windows(bridge: &Bridge) -> String {
    let windows = [
        ("memory", bridge.memory),
        ("prefetchable", bridge.prefetchable),
        ("I/O", bridge.io),
    ];
    let open: Vec<_> = windows
        .into_iter()
        .filter_map(|(kind, window)| window.map(|(first, last)| format!("{kind} {first:x}-{last:x}")))
        .collect();
    match open.is_empty() {
        true => "closed".to_string(),
        false => open.join(", "),
    }
}

/// A slot in words.
pub(super) fn slot_state(slot: &Slot) -> String {
    let mut words = format!(
        "{}, {}, power {}",
        slot.number,
        if slot.present { "occupied" } else { "empty" },
        if slot.powered { "on" } else { "off" }
    );
    if slot.hot_plug {
        words.push_str(", hot-plug");
    }
    if slot.power_fault {
        words.push_str(", power fault");
    }
    words
}

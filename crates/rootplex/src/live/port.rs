//! All of a port on one screen.

use super::client::Client;
use super::client::encoded;
use super::client::refused;
use super::events;
use super::tree;
use crate::output::Failure;
use hyper::StatusCode;
use inspect_service::Topology;
use inspect_service::topology::Bridge;
use inspect_service::topology::Function;
use inspect_service::topology::Slot;
use serde_json::Value;
use std::fmt::Write;

/// Events that are shown, the newest last.
const EVENTS: usize = 8;

/// Where a port's counters are, below its own path.
const COUNTERS: [&str; 2] = [
    "station",
    "cfg_space/capabilities/pci-express/slot/counters",
];
const AER: &str = "cfg_space/extended_capabilities/aer";
/// The registers of AER that are shown, by the names of inspection.
const AER_REGISTERS: [&str; 5] = [
    "uncorrectable_status",
    "uncorrectable_mask",
    "uncorrectable_severity",
    "correctable_status",
    "correctable_mask",
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
    let mut row = |title: &str, text: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{title:<12}{text}");
    };
    if let Some(aer) = node(client, port, AER, 1)? {
        for register in AER_REGISTERS {
            let raw = aer.get(register).and_then(|register| register.get("raw"));
            if let Some(raw) = raw.and_then(Value::as_u64) {
                row("AER", &format!("{register} {raw:08x}"));
            }
        }
    }
    for part in COUNTERS {
        let counters = node(client, port, part, 0)?;
        let counters = counters.iter().filter_map(Value::as_object).flatten();
        let counted: Vec<_> = counters
            .filter(|(_, value)| value.as_u64().is_some_and(|value| value > 0))
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        if !counted.is_empty() {
            row("counted", &counted.join(", "));
        }
    }
    let mut seen = events::log(client)?;
    seen.retain(|event| event.port == name);
    for event in seen.iter().skip(seen.len().saturating_sub(EVENTS)) {
        row("event", &events::line(event));
    }
    super::write(&out)
}

/// A node below the port's own, if there is one.
fn node(
    client: &Client,
    port: &Function,
    part: &str,
    depth: usize,
) -> Result<Option<Value>, Failure> {
    let target = format!("/inspect/{}/{part}?depth={depth}", encoded(&port.path));
    let (status, body) = client.exchange("GET", &target, Vec::new())?;
    match status {
        StatusCode::NOT_FOUND => Ok(None),
        status if status.is_success() => super::parse(&body).map(Some),
        _ => Err(refused(status, &body)),
    }
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
        row(
            "ID",
            &format!("{vendor:04x}:{device:04x}, class {class:06x}"),
        );
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
        .filter_map(|(kind, window)| {
            window.map(|(first, last)| format!("{kind} {first:x}-{last:x}"))
        })
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

//! All of a port on one screen.

use super::client::Client;
use super::client::encoded;
use super::client::refused;
use super::events;
use super::tree;
use super::tree::ERROR;
use super::tree::MARK;
use crate::output::Failure;
use hyper::StatusCode;
use inspect_service::Topology;
use inspect_service::topology::Bridge;
use inspect_service::topology::Function;
use inspect_service::topology::Severity;
use inspect_service::topology::Slot;
use pci_enumerate::Bytes;
use pcie_topology::name::nearest;
use pcie_topology::name::suggestion;
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

/// The port of this name, or else the switch or endpoint.
pub(super) fn find<'a>(topology: &'a Topology, name: &str) -> Result<&'a Function, Failure> {
    topology.find(name).ok_or_else(|| {
        let known = topology.functions();
        let near = nearest(name, known.iter().map(|function| &*function.name));
        let hint = match near.as_slice() {
            [] => "; `rootplex tree` shows the names".to_owned(),
            near => suggestion(near),
        };
        Failure::mistake(format_args!("no port is named '{name}'{hint}"))
    })
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

/// What is wrong with a port, what is to be done about it, and what else is to be noted, of the functions right below too.
fn findings(port: &Function, out: &mut String) {
    let mut told = Vec::new();
    for function in std::iter::once(port).chain(&port.below) {
        for finding in &function.findings {
            let of = match function.name == port.name {
                true => String::new(),
                false => format!("{}: ", function.name),
            };
            let says = format!("{of}{}", finding.says);
            // The functions of a device are often alike.
            if told.contains(&says) {
                continue;
            }
            let _ = match finding.severity {
                Severity::Problem => writeln!(
                    out,
                    "{ERROR}{:<12}{} {}{ERROR:#}: {says}\n{:<12}{}",
                    "problem", MARK, finding.badge, "  cure", finding.cure
                ),
                Severity::Note => writeln!(out, "{:<12}{says}", "note"),
            };
            told.push(says);
        }
    }
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
    row(
        if port.is_downstream_port() {
            "port"
        } else {
            "name"
        },
        &port.name,
    );
    row("state", &tree::state(port));
    findings(port, &mut out);
    let mut row = |title: &str, text: &str| {
        let _ = writeln!(out, "{title:<12}{text}");
    };
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
            &match bridge.secondary {
                0 => "none".to_owned(),
                secondary => format!("{secondary:02x}-{:02x}", bridge.subordinate),
            },
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
    if port.bridge.is_some() {
        row("below", &below.join(" "));
    }
    for bar in &port.bars {
        let address = match bar.address {
            0 => "no address".to_owned(),
            address => format!(
                "{address:x}-{:x}",
                address.saturating_add(bar.size.saturating_sub(1))
            ),
        };
        row(
            "BAR",
            &format!("{} {address}, {}, {}", bar.index, Bytes(bar.size), bar.kind),
        );
    }
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
    for (indicator, shown) in [
        ("attention", &slot.attention_indicator),
        ("power", &slot.power_indicator),
    ] {
        if let Some(shown) = shown {
            words.push_str(&format!(", {indicator} indicator {shown}"));
        }
    }
    if let Some(open) = slot.latch_open {
        words.push_str(if open {
            ", latch open"
        } else {
            ", latch closed"
        });
    }
    if let Some(engaged) = slot.interlock_engaged {
        words.push_str(if engaged {
            ", interlock engaged"
        } else {
            ", interlock released"
        });
    }
    if !slot.events.is_empty() {
        words.push_str(&format!(", pending: {}", slot.events.join(" ")));
    }
    words
}

//! The hierarchy as a tree, with the state of links and slots.

use super::client::Client;
use crate::output::Failure;
use anstyle::AnsiColor;
use anstyle::Style;
use inspect_service::Topology;
use inspect_service::topology::Finding;
use inspect_service::topology::Function;
use inspect_service::topology::Severity;
use std::fmt::Write;

pub(super) const ERROR: Style = AnsiColor::Red.on_default();
const NAME: Style = Style::new().bold();

pub(super) fn run(client: &Client) -> Result<(), Failure> {
    let topology: Topology = super::parse(&client.get("/topology")?)?;
    super::write(&tree(&topology))
}

fn tree(topology: &Topology) -> String {
    let mut out = String::new();
    for complex in &topology.complexes {
        let (first, last) = complex.buses;
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{NAME}{}{NAME:#}: segment {:04x}, buses {first:02x}-{last:02x}",
            complex.name, complex.segment
        );
        branches(&complex.functions, "", &mut out);
    }
    let functions = topology.functions();
    if let Some(function) = functions
        .iter()
        .find(|function| problems(function).next().is_some())
    {
        let _ = writeln!(
            out,
            "\n{MARK} marks what keeps a device from working; `rootplex port {}` says why and what to do",
            function.name
        );
    }
    out
}

/// Before a problem at a glance.
pub(super) const MARK: char = '!';

/// What keeps a function, or what is below it, from working.
fn problems(function: &Function) -> impl Iterator<Item = &Finding> {
    function
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Problem)
}

fn branches(functions: &[Function], indent: &str, out: &mut String) {
    let mut functions = functions.iter().peekable();
    while let Some(function) = functions.next() {
        let (fork, trunk) = match functions.peek() {
            Some(_) => ("├─", "│ "),
            None => ("└─", "  "),
        };
        let address = function.address.as_deref().unwrap_or("unnumbered");
        let address = address.split_once(':').map_or(address, |(_, bdf)| bdf);
        let _ = writeln!(
            out,
            "{indent}{fork}{address} {NAME}{}{NAME:#}  {}",
            function.name,
            state(function)
        );
        branches(&function.below, &format!("{indent}{trunk}"), out);
    }
}

/// What it is and how it fares.
pub(super) fn state(function: &Function) -> String {
    let mut parts = vec![function.role()];
    if function.cxl {
        parts.push("CXL".to_string());
    }
    if let Some(bridge) = &function.bridge {
        parts.push(match bridge.secondary {
            0 => "no buses".to_string(),
            secondary => format!("buses {secondary:02x}-{:02x}", bridge.subordinate),
        });
    }
    if function.is_downstream_port()
        && let Some(link) = &function.link
    {
        parts.push(match link.active {
            true => format!("link {} GT/s x{}", link.gigatransfers(), link.width),
            false => "link down".to_string(),
        });
    }
    if let Some(slot) = &function.slot {
        let card = if slot.present { "occupied" } else { "empty" };
        let power = if slot.powered { "" } else { ", off" };
        parts.push(format!("slot {} {card}{power}", slot.number));
        if slot.power_fault {
            parts.push(format!("{ERROR}power fault{ERROR:#}"));
        }
    }
    if function.id.is_none() {
        parts.push("out of reach".to_string());
    }
    if !function.errors.is_empty() {
        parts.push(format!(
            "{ERROR}errors: {}{ERROR:#}",
            function.errors.join(" ")
        ));
    }
    let badges =
        problems(function).map(|problem| format!("  {ERROR}{MARK} {}{ERROR:#}", problem.badge));
    parts.join(", ") + &badges.collect::<String>()
}

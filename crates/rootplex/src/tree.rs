//! The hierarchy as text: a tree at the left, a table beside it.

use crate::outline::Buses;
use crate::outline::Complex;
use crate::outline::Node;
use crate::outline::Role;
use crate::outline::Span;
use pci_enumerate::Bar;
use pci_enumerate::BarKind;
use pci_enumerate::Window;
use std::fmt;

const TITLES: [&str; COLUMNS] = [
    "function",
    "name",
    "buses",
    "below 4 GiB",
    "above 4 GiB",
    "what",
];
const COLUMNS: usize = 6;
const GIB4: u64 = 1 << 32;

type Row = [String; COLUMNS];

/// Prints root complexes as trees, all aligned alike.
///
/// A bridge's row shows the bus range and the memory windows it forwards; BARs, which the function itself claims, follow with
/// their number. What enumeration could not give is listed after each tree.
pub struct Tree<'a>(pub &'a [Complex<'a>]);

impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables: Vec<Vec<Row>> = self.0.iter().map(table).collect();
        let mut widths = [0; COLUMNS];
        for row in tables.iter().flatten() {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for (index, (complex, rows)) in self.0.iter().zip(&tables).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            heading(f, complex)?;
            for row in rows {
                writeln!(f, "{}", line(row, &widths).trim_end())?;
            }
            shortfalls(f, complex)?;
        }
        Ok(())
    }
}

fn heading(f: &mut fmt::Formatter<'_>, complex: &Complex<'_>) -> fmt::Result {
    let found = complex.found;
    let (first, last) = found.buses.clone().into_inner();
    writeln!(
        f,
        "{}: segment {:04x}, buses {} ({} in use), ECAM {}",
        complex.name,
        found.segment,
        Buses(first, last),
        Buses(first, found.last_bus_used),
        Span::of(complex.ecam)
    )
}

fn shortfalls(f: &mut fmt::Formatter<'_>, complex: &Complex<'_>) -> fmt::Result {
    if complex.found.shortfalls.is_empty() {
        return writeln!(f, "everything has what it asked for");
    }
    writeln!(f, "not everything has what it asked for:")?;
    complex
        .found
        .shortfalls
        .iter()
        .try_for_each(|shortfall| writeln!(f, "  {shortfall}"))
}

fn line(row: &Row, widths: &[usize; COLUMNS]) -> String {
    let cells = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}"));
    format!("  {}", cells.collect::<Vec<_>>().join("  "))
}

fn table(complex: &Complex<'_>) -> Vec<Row> {
    let mut rows = vec![TITLES.map(str::to_string)];
    branches(&complex.functions, "", &mut rows);
    rows
}

fn branches(nodes: &[Node<'_>], indent: &str, rows: &mut Vec<Row>) {
    let mut nodes = nodes.iter().peekable();
    while let Some(node) = nodes.next() {
        let (fork, trunk) = if nodes.peek().is_some() {
            ("├─", "│ ")
        } else {
            ("└─", "  ")
        };
        let inside = format!("{indent}{trunk}");
        let details = format!("{inside}{}", if node.below.is_empty() { "" } else { "│" });
        let (below, above) = addresses(node);
        let (mut below, mut above) = (below.into_iter(), above.into_iter());
        rows.push([
            format!("{indent}{fork}{}", node.bdf()),
            node.name.to_string(),
            buses(node),
            below.next().unwrap_or_default(),
            above.next().unwrap_or_default(),
            what(node),
        ]);
        loop {
            let (below, above) = (below.next(), above.next());
            if below.is_none() && above.is_none() {
                break;
            }
            let mut row = Row::default();
            let [place, _, _, low, high, _] = &mut row;
            place.clone_from(&details);
            *low = below.unwrap_or_default();
            *high = above.unwrap_or_default();
            rows.push(row);
        }
        branches(&node.below, &inside, rows);
    }
}

fn buses(node: &Node<'_>) -> String {
    match (node.buses(), node.function.bridge.is_some()) {
        (Some((secondary, subordinate)), _) => Buses(secondary, subordinate).to_string(),
        (None, true) => "none".to_string(),
        (None, false) => String::new(),
    }
}

fn what(node: &Node<'_>) -> String {
    let mut text = Role(node).to_string();
    if node.is_cxl {
        text.push_str(", CXL");
    }
    if let Some(slot) = node.function.slot {
        let kind = if slot.hot_plug {
            "hot-plug slot"
        } else {
            "slot"
        };
        text.push_str(&format!(", {kind} {}", slot.number));
    }
    if node.is_empty_port() {
        text.push_str(", empty");
    }
    text
}

/// What a function forwards and claims, by where it is: below 4 GiB, and above.
fn addresses(node: &Node<'_>) -> (Vec<String>, Vec<String>) {
    let (mut below, mut above) = (Vec::new(), Vec::new());
    let mut put = |at: u64, text: String| {
        if at < GIB4 {
            below.push(text)
        } else {
            above.push(text)
        }
    };
    if let Some(bridge) = &node.function.bridge {
        for (kind, window) in [
            ("", bridge.memory),
            ("", bridge.prefetchable),
            ("I/O ", bridge.io),
        ] {
            if let Some(Window { base, limit }) = window {
                put(base, format!("{kind}{}", Span(base, limit)));
            }
        }
    }
    for bar in &node.function.bars {
        put(bar.address.unwrap_or(0), claim(bar));
    }
    if let Some(rom) = &node.function.rom {
        put(0, format!("ROM {}", at(rom.address, rom.size)));
    }
    (below, above)
}

fn claim(bar: &Bar) -> String {
    let kind = if bar.kind == BarKind::Io { " I/O" } else { "" };
    format!("BAR{}{kind} {}", bar.index, at(bar.address, bar.size))
}

fn at(address: Option<u64>, size: u64) -> String {
    match address {
        Some(address) => Span(address, address.saturating_add(size.saturating_sub(1))).to_string(),
        None => "unassigned".to_string(),
    }
}

//! What is said while a scenario runs, and when it fails.

use crate::host::Host;
use std::fmt::Write;

/// How much of the console is shown.
const CONSOLE_LINES: usize = 40;

/// Says what is under way. `cargo xtask guest` shows the last of these.
pub(crate) fn progress(text: &str) {
    println!("progress: {text}");
}

/// Why a scenario failed, and what both sides looked like then.
pub(crate) fn failure(error: &anyhow::Error, host: &Host, port: Option<&str>) -> String {
    let console = host.console();
    let lines: Vec<&str> = console.lines().collect();
    let skipped = lines.len().saturating_sub(CONSOLE_LINES);
    let mut out = format!("{error:#}\n\nthe guest's console:\n");
    for line in lines.iter().skip(skipped) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {line}");
    }
    if let Some(port) = port {
        let inspected = match host.inspect_port(port) {
            Ok(tree) => indented(&tree, 1),
            Err(error) => format!("  {error:#}\n"),
        };
        let _ = write!(out, "\ninspection of port '{port}':\n{inspected}");
    }
    let _ = writeln!(out, "\n{}", host.exits());
    out
}

/// A tree with one line a leaf. Leaves that are zero or false are left out: a port has hundreds.
fn indented(tree: &serde_json::Value, depth: usize) -> String {
    let mut out = String::new();
    let serde_json::Value::Object(children) = tree else {
        return out;
    };
    for (name, child) in children {
        let indent = "  ".repeat(depth);
        // What is below a port can be a tree of its own.
        if name == "device" {
            continue;
        }
        match child {
            serde_json::Value::Object(_) => {
                let below = indented(child, depth + 1);
                if !below.is_empty() {
                    let _ = write!(out, "{indent}{name}:\n{below}");
                }
            }
            leaf if is_nothing(leaf) => {}
            leaf => {
                let _ = writeln!(out, "{indent}{name}: {leaf}");
            }
        }
    }
    out
}

fn is_nothing(leaf: &serde_json::Value) -> bool {
    leaf.is_null() || *leaf == false || *leaf == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_shown_without_what_is_zero_or_below() {
        let tree = serde_json::json!({
            "slot": { "powered": true, "faults": 0 },
            "errors": { "count": 0 },
            "device": { "name": "disk" },
            "name": "rp0",
        });
        assert_eq!(
            indented(&tree, 1),
            "  name: \"rp0\"\n  slot:\n    powered: true\n"
        );
    }
}

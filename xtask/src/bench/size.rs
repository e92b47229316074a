//! What depends on the size of a hierarchy: times of whole operations, and memory, each beside what it is to stay below.

use super::Row;
use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use anyhow::Result;
use std::fmt::Write;

/// The benches, and what each is to stay below on a machine with nothing else to do.
const BOUNDS: &[(&str, &str)] = &[
    ("segment/compose_65536", "3 s"),
    ("segment/scan_65536", "2 ms"),
    ("segment/scan_65536_of_which_510", "2 ms"),
    ("ports/save_256", "100 µs"),
    ("ports/inspect_one_of_256", "10 µs"),
    ("ports/inspect_register_of_256", "10 µs"),
    ("bar_read/behind_1", "100 ns"),
    ("bar_read/behind_255", "100 ns"),
];

/// What the example prints of the whole segment, and what that is to stay below.
const MEMORY_BOUNDS: &[(&str, &str)] = &[
    ("bytes/function", "8 KiB"),
    ("bytes", "1 GiB"),
    ("resident", "1 GiB"),
];

/// The package whose benches and example these are.
pub(super) const PACKAGE: &str = "pcie_topology";
const EXAMPLE: &str = "footprint";

/// What a bench is to stay below, if it is one of these.
pub(super) fn bound(name: &str) -> Option<&'static str> {
    let (_, bound) = BOUNDS.iter().find(|(bench, _)| *bench == name)?;
    Some(bound)
}

/// The section of the page.
pub(super) fn section(workspace: &Workspace, times: &[Row]) -> Result<String> {
    let mut out = "\nA segment of 65,536 functions, and a root complex of 256 ports.\n\n\
         | what | time | to stay below |\n| --- | ---: | ---: |\n"
        .to_string();
    for row in times {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| {} | {} | {} |",
            row.name,
            shown_time(row.cost),
            bound(&row.name).unwrap_or_default()
        );
    }
    out.push_str("\n| memory of 65,536 functions | KiB | to stay below |\n| --- | ---: | ---: |\n");
    let printed = process::capture(process::cargo().current_dir(&workspace.root).args([
        "run",
        "--quiet",
        "--profile",
        "bench",
        "--package",
        PACKAGE,
        "--example",
        EXAMPLE,
    ]))?;
    for (name, bound) in MEMORY_BOUNDS {
        let bytes = printed_value(&printed, name)?;
        let _ = writeln!(out, "| {name} | {:.1} | {bound} |", bytes / 1024.0);
    }
    Ok(out)
}

/// The value in the line `NAME VALUE`.
fn printed_value(printed: &str, name: &str) -> Result<f64> {
    let value = printed
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .with_context(|| format!("the example {EXAMPLE} does not print '{name}'"))?;
    value
        .parse()
        .with_context(|| format!("'{name}' is '{value}'"))
}

/// Nanoseconds in the unit in which people say them.
fn shown_time(nanoseconds: f64) -> String {
    [(1e9, "s"), (1e6, "ms"), (1e3, "µs")]
        .into_iter()
        .find(|(unit, _)| nanoseconds >= *unit)
        .map_or_else(
            || format!("{nanoseconds:.1} ns"),
            |(unit, name)| format!("{:.2} {name}", nanoseconds / unit),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_the_unit_people_say() {
        assert_eq!(shown_time(12.34), "12.3 ns");
        assert_eq!(shown_time(99_500.0), "99.50 µs");
        assert_eq!(shown_time(3.5e8), "350.00 ms");
        assert_eq!(shown_time(2e9), "2.00 s");
    }

    #[test]
    fn a_printed_value_is_read() {
        let printed = "functions 65536\nbytes 420118287\nbytes/function 6410\n";
        assert_eq!(printed_value(printed, "bytes").unwrap(), 420_118_287.0);
        assert_eq!(printed_value(printed, "bytes/function").unwrap(), 6410.0);
        assert!(printed_value(printed, "resident").is_err());
    }

    #[test]
    fn every_bound_is_of_a_bench() {
        let source = include_str!("../../../crates/pcie_topology/benches/size.rs");
        for (name, _) in BOUNDS {
            let (group, bench) = name.split_once('/').unwrap();
            assert!(source.contains(&format!("\"{group}\"")), "{name}");
            assert!(source.contains(&format!("\"{bench}\"")), "{name}");
        }
    }
}

//! What recording costs: a configuration read through the monitor's dispatch, with a recorder and without, by the example
//! `recording_cost` of `vmm`, which lets both take turns.

use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use anyhow::Result;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = "vmm";
const EXAMPLE: &str = "recording_cost";
/// What an exit from guest to monitor takes at least, in nanoseconds.
const EXIT_NS: f64 = 1000.0;
const READS: [u32; 2] = [10_000, 110_000];

/// One kind of read.
#[derive(Debug, PartialEq)]
struct Cost {
    time_ns: f64,
    instructions: Option<f64>,
}

/// Takes the figures, as a section of the page.
pub(super) fn section(workspace: &Workspace) -> Result<String> {
    process::run(process::cargo().current_dir(&workspace.root).args([
        "build",
        "--profile",
        "bench",
        "--package",
        PACKAGE,
        "--example",
        EXAMPLE,
    ]))?;
    let program = workspace.target.join("release/examples").join(EXAMPLE);
    let times = process::capture(&mut Command::new(&program))?;
    let counted = process::is_installed("valgrind");
    let cost = |name: &str| {
        Ok::<_, anyhow::Error>(Cost {
            time_ns: time(&times, name)?,
            instructions: match counted {
                true => Some(instructions(workspace, &program, name)?),
                false => None,
            },
        })
    };
    Ok(table(&cost("off")?, &cost("on")?))
}

fn time(times: &str, name: &str) -> Result<f64> {
    times
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(found, _)| *found == name)
        .and_then(|(_, time)| time.parse().ok())
        .with_context(|| format!("{EXAMPLE} prints no time of '{name}': {times}"))
}

fn instructions(workspace: &Workspace, program: &Path, name: &str) -> Result<f64> {
    let file = workspace.scratch()?.join("callgrind.out");
    let [few, many] = READS;
    let count = |reads: u32| {
        process::capture(
            Command::new("valgrind")
                .args(["--tool=callgrind", "--quiet"])
                .arg(format!("--callgrind-out-file={}", file.display()))
                .arg(program)
                .args([name, &reads.to_string()]),
        )?;
        super::total(&std::fs::read_to_string(&file)?)
    };
    Ok((count(many)? - count(few)?) / f64::from(many - few))
}

fn table(off: &Cost, on: &Cost) -> String {
    let mut out =
        "\n| a configuration read of four bytes | time | instructions |\n| --- | ---: | ---: |\n"
            .to_string();
    let mut row = |what: &str, time: &str, instructions: Option<String>| {
        let instructions = instructions.unwrap_or("–".to_string());
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {what} | {time} | {instructions} |");
    };
    for (what, cost) in [("not recorded", off), ("recorded", on)] {
        let instructions = cost.instructions.map(|count| format!("{count:.1}"));
        row(what, &format!("{:.2} ns", cost.time_ns), instructions);
    }
    let added = on.time_ns - off.time_ns;
    let added_instructions = on.instructions.zip(off.instructions);
    row(
        "what recording adds",
        &format!("{added:.2} ns, {:.1} %", 100.0 * added / off.time_ns),
        added_instructions
            .map(|(on, off)| format!("{:.1}, {:.1} %", on - off, 100.0 * (on - off) / off)),
    );
    row(
        "of a read with an exit of 1 µs",
        &format!("{:.2} %", 100.0 * added / (EXIT_NS + off.time_ns)),
        None,
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_recording_adds_is_said_of_the_read_and_of_the_exit() {
        assert_eq!(time("off 25.00\non 27.50\n", "on").unwrap(), 27.5);
        assert!(time("off 25.00\n", "on").is_err());
        let cost = |time_ns, instructions| Cost {
            time_ns,
            instructions,
        };
        let table = table(&cost(25.0, Some(200.0)), &cost(27.0, Some(220.0)));
        assert!(
            table.ends_with(
                "| not recorded | 25.00 ns | 200.0 |\n| recorded | 27.00 ns | 220.0 |\n\
                 | what recording adds | 2.00 ns, 8.0 % | 20.0, 10.0 % |\n\
                 | of a read with an exit of 1 µs | 0.20 % | – |\n"
            ),
            "{table}"
        );
    }
}

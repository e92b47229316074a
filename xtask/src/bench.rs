//! `cargo xtask bench`: times and instruction counts of the hot paths, into `docs/performance.md`.
//!
//! Times come from the criterion benches of the workspace. Instruction counts come from callgrind: the example
//! `config_reads` of `pcie` performs a number of the reads that the bench of group `config_read` times; the difference between
//! two runs of different length, divided by the difference in length, is the cost of one read without start-up and composition.

mod recording;
mod size;

use crate::commands::Options;
use crate::generated;
use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use anyhow::Result;
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

const PAGE: &str = "docs/performance.md";

/// The scenario, and the bench, that others are compared with: its name contains this.
const BARE: &str = "bare";

const PACKAGE: &str = "pcie";
const EXAMPLE: &str = "config_reads";
/// The criterion group whose benches the example performs as well: `GROUP/TARGET/PORTS`.
const GROUP: &str = "config_read/";
const READS: [u64; 2] = [10_000, 110_000];

/// One row of a table.
#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    /// Nanoseconds, or instructions.
    cost: f64,
    /// Half the width of the confidence interval, where there is one.
    uncertainty: Option<f64>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let machine = machine()?;
    if !options.has("--sizes") {
        let section = format!("{machine}{}", recording::section(workspace)?);
        generated::rewrite_one(workspace, PAGE, "recording", &section)?;
    }
    if options.has("--recording") {
        return Ok(());
    }
    let only_sizes = options.has("--sizes");
    let (sizes, times): (Vec<_>, _) = time(workspace, only_sizes)?
        .into_iter()
        .partition(|row| size::bound(&row.name).is_some());
    let sizes = format!("{machine}{}", size::section(workspace, &sizes)?);
    generated::rewrite_one(workspace, PAGE, "sizes", &sizes)?;
    if only_sizes {
        return Ok(());
    }
    let mut text = machine;
    let _ = write!(
        text,
        "\n## Time\n\nMean of criterion's samples with its 95 % confidence interval, release build with thin LTO.\n\n{}",
        table("time", "ns", &times)
    );
    match count(workspace, &times)? {
        Ok(rows) => {
            let [few, many] = READS;
            let _ = write!(
                text,
                "\n## Instructions\n\nCallgrind's count for {many} reads less that for {few}, divided by the difference: \
                 the same on every machine of this architecture with this compiler.\n\n{}",
                table("instructions a read", "", &rows)
            );
        }
        Err(why) => println!("instructions are not counted: {why}"),
    }
    generated::rewrite_one(workspace, PAGE, "bench", &text)
}

/// Runs every bench and collects what criterion wrote meanwhile.
fn time(workspace: &Workspace, only_sizes: bool) -> Result<Vec<Row>> {
    let start = SystemTime::now();
    for package in &workspace.packages {
        for target in package
            .targets
            .iter()
            .filter(|t| t.kinds.iter().any(|k| k == "bench"))
            .filter(|_| !only_sizes || package.name == size::PACKAGE)
        {
            process::run(process::cargo().current_dir(&workspace.root).args([
                "bench",
                "--package",
                &package.name,
                "--bench",
                &target.name,
            ]))?;
        }
    }
    let mut rows = Vec::new();
    collect(&workspace.target.join("criterion"), start, &mut rows)?;
    rows.sort_by_cached_key(|row| in_order(&row.name));
    Ok(rows)
}

/// Each bench has a folder `new` with its estimates and its name.
fn collect(folder: &Path, start: SystemTime, rows: &mut Vec<Row>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        let estimates = path.join("estimates.json");
        let is_newest = path.file_name().is_some_and(|name| name == "new");
        if is_newest && estimates.is_file() {
            // Results of benches that no longer exist stay in the folder.
            if std::fs::metadata(&estimates)?.modified()? >= start {
                rows.push(
                    estimate(&json(&path.join("benchmark.json"))?, &json(&estimates)?)
                        .with_context(|| path.display().to_string())?,
                );
            }
        } else {
            collect(&path, start, rows)?;
        }
    }
    Ok(())
}

fn json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

fn estimate(benchmark: &Value, estimates: &Value) -> Result<Row> {
    let number = |pointer: &str| {
        estimates
            .pointer(pointer)
            .and_then(Value::as_f64)
            .with_context(|| format!("estimates.json has no {pointer}"))
    };
    Ok(Row {
        name: benchmark
            .get("full_id")
            .and_then(Value::as_str)
            .context("benchmark.json has no full_id")?
            .to_string(),
        cost: number("/mean/point_estimate")?,
        uncertainty: Some(
            (number("/mean/confidence_interval/upper_bound")?
                - number("/mean/confidence_interval/lower_bound")?)
                / 2.0,
        ),
    })
}

/// Instructions a read in each timed scenario, or why they cannot be counted.
fn count(workspace: &Workspace, times: &[Row]) -> Result<Result<Vec<Row>, String>> {
    if !process::is_installed("valgrind") {
        return Ok(Err("valgrind is not installed".to_string()));
    }
    if !workspace.has_target(PACKAGE, "example", Some(EXAMPLE)) {
        return Ok(Err(format!("{PACKAGE} has no example {EXAMPLE}")));
    }
    process::run(process::cargo().current_dir(&workspace.root).args([
        "build",
        "--profile",
        "bench",
        "--package",
        PACKAGE,
        "--example",
        EXAMPLE,
    ]))?;
    // Cargo builds the bench profile into the folder of the release profile.
    let program = workspace.target.join("release/examples").join(EXAMPLE);
    let [few, many] = READS;
    let file = workspace.scratch()?.join("callgrind.out");
    let mut rows = Vec::new();
    for (name, scenario) in times
        .iter()
        .filter_map(|row| Some((&row.name, scenario(&row.name)?)))
    {
        let fixed = instructions(&program, scenario, few, &file)?;
        let total = instructions(&program, scenario, many, &file)?;
        rows.push(Row {
            name: name.clone(),
            cost: (total - fixed) / as_f64(many - few)?,
            uncertainty: None,
        });
    }
    Ok(Ok(rows))
}

/// The example's target and number of ports for a bench.
fn scenario(bench: &str) -> Option<[&str; 2]> {
    let scenario = bench.strip_prefix(GROUP)?;
    // The bare look-up has no ports; the example wants a number all the same.
    Some(
        scenario
            .split_once('/')
            .map_or([scenario, "1"], |(target, ports)| [target, ports]),
    )
}

fn instructions(
    program: &Path,
    [target, ports]: [&str; 2],
    reads: u64,
    file: &Path,
) -> Result<f64> {
    process::capture(
        Command::new("valgrind")
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(program)
            .args([target, ports, &reads.to_string()]),
    )?;
    total(&std::fs::read_to_string(file)?)
}

/// The sum that closes callgrind's output file.
fn total(output: &str) -> Result<f64> {
    let total = output
        .lines()
        .find_map(|line| {
            line.strip_prefix("totals: ")
                .or_else(|| line.strip_prefix("summary: "))
        })
        .context("callgrind gives no total")?;
    total
        .trim()
        .parse()
        .with_context(|| format!("callgrind's total '{total}'"))
}

fn as_f64(number: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(number)?))
}

/// What the figures were taken on.
fn machine() -> Result<String> {
    let rustc = process::capture(Command::new("rustc").arg("--version"))?;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("processor of unknown name", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(format!(
        "Taken on: {cpu}, {cores} cores, {} {}, {}.\n",
        std::env::consts::OS,
        std::env::consts::ARCH,
        rustc.trim()
    ))
}

fn table(heading: &str, unit: &str, rows: &[Row]) -> String {
    let bare = rows
        .iter()
        .find(|row| row.name.contains(BARE))
        .map(|row| row.cost);
    let mut out =
        format!("| what | {heading} | ratio to the bare look-up |\n| --- | ---: | ---: |\n");
    for row in rows {
        let cost = match row.uncertainty {
            Some(uncertainty) => format!("{:.2} ± {uncertainty:.2} {unit}", row.cost),
            None => format!("{:.1} {unit}", row.cost),
        };
        let ratio = bare.map_or("–".to_string(), |bare| format!("{:.1}", row.cost / bare));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} | {} | {ratio} |", row.name, cost.trim());
    }
    out
}

/// A name's parts, numbers among them as numbers: 32 comes before 256.
fn in_order(name: &str) -> Vec<(String, u64)> {
    name.split('/')
        .map(|part| {
            part.parse()
                .map_or_else(|_| (part.to_owned(), 0), |number| (String::new(), number))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_estimate_is_read() {
        let benchmark = json!({"group_id": "config_path", "full_id": "config_path/bare_lookup"});
        let estimates = json!({"mean": {
            "confidence_interval": {"confidence_level": 0.95, "lower_bound": 1.5, "upper_bound": 2.5},
            "point_estimate": 2.0, "standard_error": 0.1
        }});
        assert_eq!(
            estimate(&benchmark, &estimates).unwrap(),
            Row {
                name: "config_path/bare_lookup".to_string(),
                cost: 2.0,
                uncertainty: Some(0.5)
            }
        );
        let error = estimate(&benchmark, &json!({})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "estimates.json has no /mean/point_estimate"
        );
    }

    #[test]
    fn the_example_performs_what_the_bench_times() {
        assert_eq!(
            scenario("config_read/switch_2/16"),
            Some(["switch_2", "16"])
        );
        assert_eq!(
            scenario("config_read/bare_lookup"),
            Some(["bare_lookup", "1"])
        );
        assert_eq!(scenario("config_write/root_port/16"), None);
    }

    #[test]
    fn a_total_is_read() {
        assert_eq!(
            total("events: Ir\nfn=(1)\n1 5\n\ntotals: 12345\n").unwrap(),
            12345.0
        );
        assert!(total("events: Ir\n").is_err());
    }

    #[test]
    fn ratios_are_to_the_bare_look_up() {
        let rows = [
            Row {
                name: "bare".to_string(),
                cost: 2.0,
                uncertainty: Some(0.1),
            },
            Row {
                name: "port".to_string(),
                cost: 5.0,
                uncertainty: None,
            },
        ];
        assert_eq!(
            table("time", "ns", &rows),
            "| what | time | ratio to the bare look-up |\n| --- | ---: | ---: |\n\
             | bare | 2.00 ± 0.10 ns | 1.0 |\n| port | 5.0 ns | 2.5 |\n"
        );
        assert!(table("time", "ns", &rows[1..]).ends_with("| port | 5.0 ns | – |\n"));
    }

    #[test]
    fn rows_are_in_the_order_of_their_numbers() {
        let mut names = ["a/b/256", "a/b/32", "a/b/1", "a/a/9"];
        names.sort_by_cached_key(|name| in_order(name));
        assert_eq!(names, ["a/a/9", "a/b/1", "a/b/32", "a/b/256"]);
    }
}

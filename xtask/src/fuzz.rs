//! `cargo xtask fuzz`: the bodies of `fuzz_bodies` under libFuzzer, on input that the coverage of the code leads to.
//!
//! It runs on the pinned stable compiler: the coverage that libFuzzer needs is a pass of LLVM, which stable rustc runs when told to.
//! What was found lies in the target folder and is where the next run begins; input that a body panics on is written to the
//! committed corpus, where the tests replay it from then on.

mod random;

use crate::commands::Options;
use crate::judge::Package;
use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// For each body, and for all random tests together, unless `--seconds` says otherwise.
const SECONDS: u64 = 600;

/// A folder for each body, with small inputs that together reach what is known to be reachable.
const CORPUS: &str = "crates/fuzz_bodies/corpus";

/// Inputs of a body that are committed.
const INPUTS_MAX: usize = 120;

/// libFuzzer is C++.
const COMPILER: Package = Package {
    name: "g++",
    program: "g++",
};

/// What `cargo fuzz` passes, less the tracing of comparisons: it takes more time than the bodies do, and input that is made of choices
/// has few constants to be guessed. One unit, so that the counters lie together.
const COVERAGE: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
];

/// Bytes of an input and how soon they are that many, seconds that one may take, and MiB that a body may have in all and at once.
const LIMITS: &[&str] = &[
    "-max_len=1024",
    // Long inputs from the beginning: a short one is a step or two.
    "-len_control=0",
    "-timeout=10",
    "-rss_limit_mb=512",
    "-malloc_limit_mb=64",
];

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let time = Duration::from_secs(options.number("--seconds")?.unwrap_or(SECONDS));
    if options.has("--random") {
        return random::run(workspace, time);
    }
    let bodies = chosen(
        bodies(&workspace.root.join(CORPUS))?,
        options.text("--body"),
    )?;
    COMPILER.install().context(
        "fuzzing under coverage needs a C++ compiler; `cargo xtask fuzz --random` does without",
    )?;
    let program = build(workspace)?;
    for body in &bodies {
        let folders = Folders::of(workspace, body)?;
        match options.has("--minimize") {
            true => minimize(&program, body, &folders)?,
            false => guided(&program, body, &folders, time)?,
        }
    }
    println!("{} fuzz bodies: nothing found", bodies.len());
    Ok(())
}

/// The bodies: each has a corpus, which a test makes sure of.
fn bodies(corpus: &Path) -> Result<Vec<String>> {
    let mut bodies = Vec::new();
    for entry in std::fs::read_dir(corpus).with_context(|| corpus.display().to_string())? {
        let entry = entry?;
        if entry.path().is_dir() {
            bodies.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    bodies.sort();
    Ok(bodies)
}

fn chosen(bodies: Vec<String>, name: Option<&str>) -> Result<Vec<String>> {
    let Some(name) = name else {
        return Ok(bodies);
    };
    if !bodies.iter().any(|body| body == name) {
        bail!("no body is named '{name}'; there are {}", bodies.join(", "));
    }
    Ok(vec![name.to_string()])
}

/// Builds the bodies with coverage, apart from all else: the flags are of every crate.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let version = process::capture(Command::new("rustc").arg("-vV"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not say what it runs on")?;
    let target = workspace.target.join("fuzz");
    process::run(
        process::cargo()
            .current_dir(&workspace.root)
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", COVERAGE.join(" "))
            // With a target named, the flags are not those of build scripts and macros.
            .args(["build", "--release", "--target", host])
            .args(["--package", "fuzz_bodies", "--example", "guided"])
            .args(["--features", "libfuzzer"]),
    )?;
    Ok(target.join(host).join("release/examples/guided"))
}

/// Where a body's inputs are.
struct Folders {
    /// What is committed.
    corpus: PathBuf,
    /// What was found since.
    found: PathBuf,
}

impl Folders {
    fn of(workspace: &Workspace, body: &str) -> Result<Self> {
        let folders = Self {
            corpus: workspace.root.join(CORPUS).join(body),
            found: workspace.scratch()?.join("fuzz").join(body),
        };
        std::fs::create_dir_all(&folders.found)
            .with_context(|| folders.found.display().to_string())?;
        Ok(folders)
    }
}

fn command(program: &Path, body: &str) -> Command {
    let mut command = Command::new(program);
    command.env("FUZZ_BODY", body).args(LIMITS);
    command
}

fn guided(program: &Path, body: &str, folders: &Folders, time: Duration) -> Result<()> {
    println!("== {body}");
    let findings = format!("-artifact_prefix={}/", folders.corpus.display());
    process::run(
        command(program, body)
            .args(["-verbosity=0", "-print_final_stats=1"])
            .arg(format!("-max_total_time={}", time.as_secs()))
            .arg(findings)
            .args([&folders.found, &folders.corpus]),
    )
    .with_context(|| {
        format!(
            "{body} has a finding, whose input is now in {CORPUS}/{body}: commit it with the fix"
        )
    })
}

/// Replaces the committed corpus by the fewest of all known inputs that reach the same code, or the longest of them, which do most.
fn minimize(program: &Path, body: &str, folders: &Folders) -> Result<()> {
    let fewest = folders.found.with_extension("fewest");
    // What is left of a run that was stopped.
    if fewest.exists() {
        std::fs::remove_dir_all(&fewest)?;
    }
    std::fs::create_dir_all(&fewest)?;
    process::run(
        command(program, body)
            // Edges, not how often each was taken: the corpus is to stay small.
            .args(["-verbosity=0", "-set_cover_merge=1", "-use_counters=0"])
            .args([&fewest, &folders.corpus, &folders.found]),
    )?;
    for entry in std::fs::read_dir(&folders.corpus)? {
        std::fs::remove_file(entry?.path())?;
    }
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(&fewest)? {
        let entry = entry?;
        inputs.push((entry.metadata()?.len(), entry.file_name()));
    }
    inputs.sort();
    let known = inputs.len();
    inputs.drain(..known.saturating_sub(INPUTS_MAX));
    for (_, name) in &inputs {
        std::fs::copy(fewest.join(name), folders.corpus.join(name))?;
    }
    std::fs::remove_dir_all(&fewest)?;
    println!("{body}: {} inputs of {known}", inputs.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_has_a_corpus() {
        let workspace = Workspace::load().unwrap();
        let bodies = bodies(&workspace.root.join(CORPUS)).unwrap();
        assert!(bodies.contains(&"ecam".to_string()));
        assert!(bodies.contains(&"slots".to_string()));
    }

    #[test]
    fn one_body_is_chosen_by_its_name() {
        let bodies = vec!["ecam".to_string(), "slots".to_string()];
        assert_eq!(chosen(bodies.clone(), None).unwrap(), bodies);
        assert_eq!(chosen(bodies.clone(), Some("slots")).unwrap(), ["slots"]);
        assert_eq!(
            chosen(bodies, Some("slot")).unwrap_err().to_string(),
            "no body is named 'slot'; there are ecam, slots"
        );
    }
}

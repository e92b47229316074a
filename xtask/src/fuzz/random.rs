//! `cargo xtask fuzz --random`: the property tests whose names start with `fuzz_`, on fresh random input.
//!
//! Proptest draws random input without coverage feedback: it finds what hostile input of the expected shape finds, needs no C++
//! compiler, and shrinks what it finds.

use crate::process;
use crate::tally::Tally;
use crate::workspace::Workspace;
use anyhow::Result;
use anyhow::bail;
use std::process::Command;
use std::time::Duration;
use std::time::SystemTime;

/// Per body and round: enough that starting the test programs does not count, little enough that a round ends soon.
const CASES: u32 = 2048;

/// Runs them all, again and again, until the time is up.
pub(super) fn run(workspace: &Workspace, time: Duration) -> Result<()> {
    let packages = packages(workspace);
    if packages.is_empty() {
        bail!("there is no fuzz body: no test has a name that starts with fuzz_");
    }
    process::run(fuzz_bodies(workspace, &packages).arg("--no-run"))?;
    let start = SystemTime::now();
    let mut rounds = 0u64;
    loop {
        let mut tally = Tally::default();
        let status = process::watch(
            fuzz_bodies(workspace, &packages)
                .env("PROPTEST_CASES", CASES.to_string())
                .args(["--", "fuzz_"]),
            |line| tally.read_line(line),
        )?;
        if !status.success() {
            bail!(
                "a fuzz body failed in round {}; proptest has written its input to a proptest-regressions file: commit it with the fix",
                rounds + 1
            );
        }
        if tally.passed == 0 {
            bail!(
                "nothing ran: what is named fuzz_ in {} is no test",
                packages.join(", ")
            );
        }
        rounds += 1;
        if start.elapsed()? >= time {
            println!(
                "{} fuzz bodies, {rounds} rounds, {CASES} cases each: nothing found",
                tally.passed
            );
            return Ok(());
        }
    }
}

/// The members that have fuzz bodies.
fn packages(workspace: &Workspace) -> Vec<&str> {
    workspace
        .packages
        .iter()
        .filter(|package| package.folder.starts_with("crates/"))
        .filter(|package| {
            workspace.files.iter().any(|file| {
                file.is_rust()
                    && file.path.starts_with(&format!("{}/", package.folder))
                    && file.text.contains("fn fuzz_")
            })
        })
        .map(|package| package.name.as_str())
        .collect()
}

fn fuzz_bodies(workspace: &Workspace, packages: &[&str]) -> Command {
    let mut command = process::cargo();
    command
        .current_dir(&workspace.root)
        .args(["test", "--quiet", "--lib", "--bins", "--tests"]);
    for package in packages {
        command.args(["--package", package]);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;
    use crate::workspace::TextFile;

    #[test]
    fn only_members_with_fuzz_bodies_run() {
        let mut workspace = Workspace::default();
        for (name, text) in [
            ("pcie", "fn fuzz_ecam() {}"),
            ("pci_bus", "fn fuzzy() {}"),
            ("pcie_topology", ""),
        ] {
            workspace.packages.push(Package {
                name: name.to_string(),
                folder: format!("crates/{name}"),
                ..Package::default()
            });
            workspace.files.push(TextFile {
                path: format!("crates/{name}/tests/it/main.rs"),
                text: text.to_string(),
            });
        }
        assert_eq!(packages(&workspace), ["pcie"]);
    }
}

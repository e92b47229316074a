//! `cargo xtask lspci`: an outside judge reads what the emulators show.
//!
//! The demo hierarchy's configuration space, as a hex dump, must decode under `lspci` without a complaint, and to the
//! committed expectation. What lspci prints changes from version to version, so the expectation names the version that
//! printed it: text is compared at that version only, complaints are looked for at every version.

use crate::commands::Options;
use crate::judge;
use crate::judge::Judgement;
use crate::judge::Outcome;
use crate::judge::Package;
use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use anyhow::Result;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// One way to look at the dump.
struct View {
    name: &'static str,
    arguments: &'static [&'static str],
    expectation: &'static str,
}

/// Numbers, not names: names come from a list of identifiers that each machine has in another version.
const VIEWS: &[View] = &[
    View {
        name: "lspci: every function",
        arguments: &["-n", "-vvv"],
        expectation: "crates/rootplex/tests/golden/demo.lspci.txt",
    },
    View {
        name: "lspci: tree",
        arguments: &["-n", "-tv"],
        expectation: "crates/rootplex/tests/golden/demo.lspci-tree.txt",
    },
];

const COMPLAINTS: &str = "lspci: no complaints";

/// What lspci prints where it cannot make sense of the registers.
const COMPLAINT_MARKS: &[&str] = &[
    "<chain broken>",
    "<chain looped>",
    "<access denied>",
    "<unreadable>",
    "<?>",
    "!!!",
    "Capability ID 0x",
    "Unknown",
];

/// Capabilities that lspci prints with a `<?>` because it knows their name and does not decode them, or by number because they are newer
/// than it.
const NAMED_ONLY: &[&str] = &[
    "Data Link Feature <?>",
    "Hierarchy ID <?>",
    "Lane Margining at the Receiver <?>",
    "Physical Layer 16.0 GT/s <?>",
    "Physical Layer 32.0 GT/s <?>",
    "Physical Layer 64.0 GT/s <?>",
    "Readiness Time Reporting <?>",
    // Physical Layer 32.0 GT/s and 64.0 GT/s, of which versions before 3.10 do not know the name either.
    "Extended Capability ID 0x2a",
    "Extended Capability ID 0x31",
];

/// Slot Control of a slot without indicators: their fields are read-only zero then (PCIe 6.2 section 7.5.3.10), for which lspci
/// has no name.
const NO_INDICATORS: &str = "Control: AttnInd Unknown, PwrInd Unknown,";

const PCIUTILS: Package = Package {
    name: "pciutils",
    program: "lspci",
};

/// Effective Granularity before software sets it: the value 0 stands for an unknown one (PCIe 6.2 section 7.9.15.3).
const NO_GRANULARITY: &str = "PTMEffectiveGranularity: Unknown";

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    judge::report(judge(workspace, options.has("--update"))?)
}

/// Runs the demo and judges it; with `update`, what lspci prints becomes the expectation.
pub(crate) fn judge(workspace: &Workspace, update: bool) -> Result<Vec<Judgement>> {
    let dump = match dump(workspace) {
        Ok(dump) => dump,
        Err(error) => {
            return Ok(vec![Judgement {
                name: "lspci: the demo's dump".into(),
                outcome: Outcome::Failed(format!("{error:#}")),
            }]);
        }
    };
    let version = match PCIUTILS.install().and_then(|()| version()) {
        Ok(version) => version,
        Err(error) => {
            let names = VIEWS.iter().map(|view| view.name).chain([COMPLAINTS]);
            return Ok(judge::skipped(names, &format!("{error:#}")));
        }
    };
    let mut complaints = Vec::new();
    let mut judgements = Vec::new();
    for view in VIEWS {
        let shown = process::capture(
            Command::new("lspci")
                .arg("-F")
                .arg(&dump)
                .args(view.arguments),
        )?;
        complaints.extend(complaints_in(&shown));
        let file = workspace.root.join(view.expectation);
        if update {
            write_expectation(&file, &version, &shown)?;
        }
        judgements.push(Judgement {
            name: view.name.into(),
            outcome: compare(
                std::fs::read_to_string(file).ok().as_deref(),
                &version,
                &shown,
            ),
        });
    }
    judgements.push(Judgement {
        name: COMPLAINTS.into(),
        outcome: match complaints.is_empty() {
            true => Outcome::Passed,
            false => Outcome::Failed(format!(
                "lspci does not understand:\n{}",
                complaints.join("\n")
            )),
        },
    });
    Ok(judgements)
}

/// The demo hierarchy's config space, in lspci's hex format.
fn dump(workspace: &Workspace) -> Result<PathBuf> {
    let dump = workspace.scratch()?.join("demo.lspci.hex");
    process::capture(
        process::cargo()
            .current_dir(&workspace.root)
            .args([
                "run",
                "--quiet",
                "--package",
                "rootplex",
                "--",
                "demo",
                "--lspci",
            ])
            .arg(&dump),
    )?;
    Ok(dump)
}

/// `lspci version 3.9.0`, say.
fn version() -> Result<String> {
    let version = process::capture(Command::new("lspci").arg("--version"))?;
    Ok(version
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_string())
}

fn write_expectation(file: &Path, version: &str, shown: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, format!("{version}\n{shown}")).with_context(|| file.display().to_string())
}

/// The first line of an expectation is the version that printed the rest.
fn compare(expectation: Option<&str>, version: &str, shown: &str) -> Outcome {
    let Some((expected_version, expected)) = expectation.and_then(|text| text.split_once('\n'))
    else {
        return Outcome::Failed(
            "there is no expectation; make it with `cargo xtask lspci --update`".to_string(),
        );
    };
    if expected_version != version {
        return Outcome::Skipped(format!(
            "the expectation is of {expected_version}, this is {version}: looked for complaints only"
        ));
    }
    match first_difference(expected, shown) {
        None => Outcome::Passed,
        Some(difference) => Outcome::Failed(format!(
            "{difference}\nif this is meant, run `cargo xtask lspci --update` and review the change"
        )),
    }
}

fn first_difference(expected: &str, found: &str) -> Option<String> {
    let (mut old, mut new) = (expected.lines(), found.lines());
    let mut function = "";
    for number in 1.. {
        let (old, new) = (old.next(), new.next());
        if old.is_none() && new.is_none() {
            break;
        }
        if old != new {
            return Some(format!(
                "line {number} (of {function})\n  expected: {}\n  found:    {}",
                old.unwrap_or("the end"),
                new.unwrap_or("the end")
            ));
        }
        // A function's first line is the only kind that is not indented.
        function = new
            .filter(|line| line.starts_with(|c: char| c.is_ascii_hexdigit()))
            .unwrap_or(function);
    }
    None
}

fn complaints_in(shown: &str) -> Vec<String> {
    shown
        .lines()
        .filter(|line| COMPLAINT_MARKS.iter().any(|mark| line.contains(mark)))
        .filter(|line| !NAMED_ONLY.iter().any(|name| line.ends_with(name)))
        .filter(|line| !line.contains(NO_INDICATORS) && !line.contains(NO_GRANULARITY))
        .map(|line| line.trim().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "00:00.0 PCI bridge: Device 1414:c030\n\tControl: I/O- Mem-\n";

    #[test]
    fn the_same_text_passes() {
        let expectation = format!("lspci version 3.9.0\n{SHOWN}");
        assert_eq!(
            compare(Some(&expectation), "lspci version 3.9.0", SHOWN),
            Outcome::Passed
        );
    }

    #[test]
    fn the_first_difference_is_shown_with_its_function() {
        let expectation = format!("lspci version 3.9.0\n{SHOWN}");
        let Outcome::Failed(why) = compare(
            Some(&expectation),
            "lspci version 3.9.0",
            &SHOWN.replace("Mem-", "Mem+"),
        ) else {
            panic!("a difference fails");
        };
        assert!(why.starts_with(
            "line 2 (of 00:00.0 PCI bridge: Device 1414:c030)\n  expected: \tControl: I/O- Mem-\n  found:    \tControl: I/O- Mem+\n"
        ));
    }

    #[test]
    fn a_missing_line_is_a_difference() {
        assert!(
            first_difference("a\nb\n", "a\n")
                .unwrap()
                .ends_with("expected: b\n  found:    the end")
        );
        assert!(
            first_difference("a\n", "a\nb\n")
                .unwrap()
                .ends_with("expected: the end\n  found:    b")
        );
    }

    #[test]
    fn another_version_is_not_compared_and_says_so() {
        let expectation = format!("lspci version 3.9.0\n{SHOWN}");
        assert_eq!(
            compare(Some(&expectation), "lspci version 3.13.0", "something else"),
            Outcome::Skipped(
                "the expectation is of lspci version 3.9.0, this is lspci version 3.13.0: looked for complaints only"
                    .to_string()
            )
        );
    }

    #[test]
    fn no_expectation_is_a_failure() {
        assert!(matches!(
            compare(None, "lspci version 3.9.0", SHOWN),
            Outcome::Failed(_)
        ));
    }

    #[test]
    fn complaints_are_found() {
        let shown = "\tCapabilities: [40] Express (v2) Unknown type 7, MSI 00\n\
                     \tCapabilities: [100 v1] Extended Capability ID 0x3f\n\
                     \tCapabilities: [140] <chain looped>\n\
                     \tCapabilities: [150 v1] Data Link Feature <?>\n\
                     \tCapabilities: [160 v1] Power Budgeting <?>\n\
                     \t\t\tControl: AttnInd Unknown, PwrInd Unknown, Power- Interlock-\n\
                     \tCapabilities: [7c] MSI: Enable- Count=1/1 Maskable- 64bit+\n";
        assert_eq!(
            complaints_in(shown),
            [
                "Capabilities: [40] Express (v2) Unknown type 7, MSI 00",
                "Capabilities: [100 v1] Extended Capability ID 0x3f",
                "Capabilities: [140] <chain looped>",
                "Capabilities: [160 v1] Power Budgeting <?>",
            ]
        );
    }
}

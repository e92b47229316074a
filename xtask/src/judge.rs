//! Outside judges: programs of other projects that look at what this one makes.

use crate::process;
use crate::tally::Tally;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::borrow::Cow;
use std::process::Command;

/// The verdict on one thing.
pub(crate) struct Judgement {
    pub(crate) name: Cow<'static, str>,
    pub(crate) outcome: Outcome,
}

/// How it went; the text says why, in one line or as lines to show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Outcome {
    /// Passed, unless there are complaints.
    pub(crate) fn of(complaints: &[String]) -> Self {
        match complaints {
            [] => Self::Passed,
            complaints => Self::Failed(complaints.join("\n")),
        }
    }
}

/// All of these, skipped for one reason.
pub(crate) fn skipped(names: impl IntoIterator<Item = &'static str>, why: &str) -> Vec<Judgement> {
    names
        .into_iter()
        .map(|name| Judgement {
            name: name.into(),
            outcome: Outcome::Skipped(why.to_string()),
        })
        .collect()
}

/// Shows the verdicts, for a command that does nothing else.
pub(crate) fn report(judgements: Vec<Judgement>) -> Result<()> {
    let mut failed = 0;
    for judgement in judgements {
        match judgement.outcome {
            Outcome::Passed => println!("ok      {}", judgement.name),
            Outcome::Skipped(why) => println!("skipped {}: {why}", judgement.name),
            Outcome::Failed(why) => {
                failed += 1;
                println!("FAILED  {}: {why}", judgement.name);
            }
        }
    }
    if failed > 0 {
        bail!("{failed} disagree");
    }
    Ok(())
}

/// Counts the verdicts as tests; what did not pass gets a note.
pub(crate) fn count(judgements: Vec<Judgement>, tally: &mut Tally, notes: &mut Vec<String>) {
    for judgement in judgements {
        match judgement.outcome {
            Outcome::Passed => tally.passed += 1,
            Outcome::Failed(why) => {
                tally.failed += 1;
                notes.push(format!("failed: {}: {why}", judgement.name));
            }
            Outcome::Skipped(why) => {
                tally.skipped += 1;
                notes.push(format!("skipped: {}: {why}", judgement.name));
            }
        }
    }
}

/// A package of the system, known by a program in it.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
}

impl Package {
    /// Installs it where it is missing and may be installed.
    ///
    /// # Errors
    ///
    /// - it is missing, and there is no `apt-get`, this user may not use it, or it fails.
    pub(crate) fn install(&self) -> Result<()> {
        if process::is_installed(self.program) {
            return Ok(());
        }
        install_package(self.name)
    }
}

/// Installs a package of the system that is missing.
///
/// # Errors
///
/// - there is no `apt-get`, this user may not use it, or it fails.
pub(crate) fn install_package(name: &str) -> Result<()> {
    if !process::is_installed("apt-get") {
        bail!("{name} is not installed, and there is no apt-get to install it with");
    }
    let user = process::capture(Command::new("id").arg("-u"))?;
    let sudo = match user.trim() {
        "0" => &[][..],
        _ if process::capture(Command::new("sudo").args(["-n", "true"])).is_ok() => {
            &["sudo", "-n"][..]
        }
        _ => bail!("{name} is not installed, and installing needs rights that this user lacks"),
    };
    for step in [
        &["apt-get", "update"][..],
        &[
            "apt-get",
            "install",
            "--yes",
            "--no-install-recommends",
            name,
        ],
    ] {
        let mut words = sudo.iter().chain(step);
        let program = words.next().context("a step has a program")?;
        process::run(Command::new(program).args(words))
            .with_context(|| format!("{name} cannot be installed"))?;
    }
    Ok(())
}

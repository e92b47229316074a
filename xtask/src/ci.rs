//! `cargo xtask ci`: all checks in one go.

use crate::commands;
use crate::commands::Options;
use crate::workspace::Workspace;
use anyhow::Result;
use anyhow::bail;

/// The cheap ones first. Each runs whatever became of those before it.
const STEPS: &[(&str, &[&str])] = &[
    ("tidy", &[]),
    ("lint", &[]),
    ("test", &[]),
    ("docs", &[]),
    ("registers", &["--check"]),
    ("schema", &["--check"]),
    ("guest", &[]),
];

pub(crate) fn run(_: &Workspace, _: &Options) -> Result<()> {
    let mut lines = Vec::new();
    let mut failed = 0;
    for (word, options) in STEPS {
        let step = [&[*word], *options].concat().join(" ");
        eprintln!("== {step}");
        let result = commands::run(word, options.iter().map(|option| option.to_string()));
        lines.push(match result {
            Ok(()) => format!("ok      {step}"),
            Err(error) => {
                failed += 1;
                format!("FAILED  {step}: {error:#}")
            }
        });
    }
    println!("\n{}", lines.join("\n"));
    if failed > 0 {
        bail!("{failed} of {} steps failed", STEPS.len());
    }
    Ok(())
}

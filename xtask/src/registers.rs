//! `cargo xtask registers`: the register reference, which `register_book` makes from the register tables.

use crate::commands::Options;
use crate::process;
use crate::workspace::Workspace;
use anyhow::Result;

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut command = process::cargo();
    command.current_dir(&workspace.root).args([
        "run",
        "--quiet",
        "--package",
        "register_book",
        "--",
        "docs/registers",
    ]);
    if options.has("--check") {
        command.arg("--check");
    }
    process::run(&mut command)
}

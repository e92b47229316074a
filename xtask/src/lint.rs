//! `cargo xtask lint`: the compiler's family of checks.

use crate::commands::Options;
use crate::process;
use crate::workspace::Workspace;
use anyhow::Result;

pub(crate) fn run(workspace: &Workspace, _: &Options) -> Result<()> {
    process::run(
        process::cargo()
            .current_dir(&workspace.root)
            .args(["fmt", "--all", "--check"]),
    )?;
    process::run(process::cargo().current_dir(&workspace.root).args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    rustdoc(workspace)
}

/// The API pages of the workspace; a broken link or a missing page is an error.
pub(crate) fn rustdoc(workspace: &Workspace) -> Result<()> {
    process::run(
        process::cargo()
            .current_dir(&workspace.root)
            .env("RUSTDOCFLAGS", "-D warnings")
            .args(["doc", "--workspace", "--no-deps"]),
    )
}

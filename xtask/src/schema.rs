//! `cargo xtask schema`: the schema of saved state, which `state_schema` makes from the messages and holds them to.

use crate::commands::Options;
use crate::judge;
use crate::judge::Judgement;
use crate::judge::Outcome;
use crate::judge::Package;
use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use anyhow::Result;
use std::process::Command;

const PROTOC: Package = Package {
    name: "protobuf-compiler",
    program: "protoc",
};

const FOLDER: &str = "docs/schema";

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut command = process::cargo();
    command.current_dir(&workspace.root).args([
        "run",
        "--quiet",
        "--package",
        "state_schema",
        "--",
        FOLDER,
    ]);
    if options.has("--check") {
        command.arg("--check");
    }
    process::run(&mut command)?;
    judge::report(vec![judge(workspace)?])
}

/// Protobuf's own compiler must understand the committed files.
pub(crate) fn judge(workspace: &Workspace) -> Result<Judgement> {
    let folder = workspace.root.join(FOLDER);
    let mut command = Command::new("protoc");
    command
        .current_dir(&folder)
        .args(["--proto_path=.", "--descriptor_set_out=/dev/null"]);
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        command.arg(entry?.file_name());
    }
    Ok(Judgement {
        name: "protoc: the schema of saved state".into(),
        outcome: match PROTOC.install() {
            Err(error) => Outcome::Skipped(format!("{error:#}")),
            Ok(()) => match process::capture(&mut command) {
                Ok(_) => Outcome::Passed,
                Err(error) => Outcome::Failed(format!("{error:#}")),
            },
        },
    })
}

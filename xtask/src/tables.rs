//! `cargo xtask tables`: outside judges read what a guest would be told.
//!
//! The tables of the demo hierarchy must disassemble and compile again to the same bytes under `iasl` without a remark, the methods of its
//! host bridges must answer under `acpiexec` as the specifications say, and `dtc` must have nothing to say of the device tree.

mod acpiexec;

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

const ACPICA: Package = Package {
    name: "acpica-tools",
    program: "iasl",
};
const DTC: Package = Package {
    name: "device-tree-compiler",
    program: "dtc",
};

const COMPILE: &str = "iasl: every ACPI table";
const DEVICE_TREE: &str = "dtc: the device tree";

/// Tables that must be there, by file.
const TABLES: &[&str] = &["apic", "cedt", "dsdt", "facp", "mcfg", "srat", "xsdt"];

/// What iasl prints on success.
const CLEAN: &str = "Compilation successful. 0 Errors, 0 Warnings, 0 Remarks";

/// What an iasl prints of a table that is younger than itself: it read the header, and can compile no more than that.
const UNKNOWN_TABLE: &str = "decoding ACPI table header only";

/// Bytes before a table's own: iasl writes its own name, version and hence checksum there.
const HEADER_LEN: usize = 36;

pub(crate) fn run(workspace: &Workspace, _: &Options) -> Result<()> {
    judge::report(judge(workspace)?)
}

/// Writes the demo's tables and judges them.
pub(crate) fn judge(workspace: &Workspace) -> Result<Vec<Judgement>> {
    let folder = match write(workspace) {
        Ok(folder) => folder,
        Err(error) => {
            return Ok(vec![Judgement {
                name: "tables: the demo's".into(),
                outcome: Outcome::Failed(format!("{error:#}")),
            }]);
        }
    };
    let mut judgements = match ACPICA.install() {
        Ok(()) => {
            let mut judgements = vec![Judgement {
                name: COMPILE.into(),
                outcome: Outcome::of(&compile_all(&folder)?),
            }];
            judgements.extend(acpiexec::judge(&folder)?);
            judgements
        }
        Err(error) => {
            let names = [COMPILE].into_iter().chain(acpiexec::names());
            judge::skipped(names, &format!("{error:#}"))
        }
    };
    judgements.extend(match DTC.install() {
        Ok(()) => vec![Judgement {
            name: DEVICE_TREE.into(),
            outcome: Outcome::of(&device_tree(&folder)?),
        }],
        Err(error) => judge::skipped([DEVICE_TREE], &format!("{error:#}")),
    });
    Ok(judgements)
}

/// The folder with the demo's tables.
fn write(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.scratch()?.join("tables");
    if folder.exists() {
        // What an earlier run left there is not what this one is to judge.
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    process::capture(
        process::cargo()
            .current_dir(&workspace.root)
            .args(["run", "--quiet", "--package", "rootplex", "--"])
            .args(["tables", "--out"])
            .arg(&folder),
    )?;
    Ok(folder)
}

/// What is wrong with the tables, if anything is.
fn compile_all(folder: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for table in TABLES {
        let binary = folder.join(format!("{table}.aml"));
        let disassembly = output(
            Command::new("iasl")
                .current_dir(folder)
                .arg("-d")
                .arg(&binary),
        )?;
        let compilation = output(Command::new("iasl").current_dir(folder).args([
            "-p",
            &format!("again_{table}"),
            &format!("{table}.dsl"),
        ]))?;
        if !compilation.contains(CLEAN) {
            complaints.push(format!("{table}: {disassembly}\n{compilation}"));
            continue;
        }
        if disassembly.contains(UNKNOWN_TABLE) {
            continue;
        }
        let again = std::fs::read(folder.join(format!("again_{table}.aml")))?;
        if body(&std::fs::read(&binary)?) != body(&again) {
            complaints.push(format!("{table}: compiles to other bytes"));
        }
    }
    Ok(complaints)
}

fn body(table: &[u8]) -> Option<&[u8]> {
    table.get(HEADER_LEN..)
}

/// What dtc says of the device tree, as a blob and then as the source that it makes of it.
fn device_tree(folder: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (from, to, input, made) in [
        ("dtb", "dts", "tables.dtb", "again.dts"),
        ("dts", "dtb", "again.dts", "again.dtb"),
    ] {
        let said = output(
            Command::new("dtc")
                .current_dir(folder)
                .args(["-I", from, "-O", to, "-o", made, input]),
        )?;
        complaints.extend(said.lines().map(str::to_string));
        if !folder.join(made).exists() {
            complaints.push(format!("{made} was not made"));
            break;
        }
    }
    Ok(complaints)
}

/// All that a program prints, whatever its exit status.
fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .with_context(|| format!("{command:?} cannot be started"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

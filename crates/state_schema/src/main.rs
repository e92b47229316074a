//! Writes the schema of saved state: one `.proto` file per package, from the descriptions of every saved-state message of the
//! workspace. What has been written stays true: a field that changes its meaning, or goes, is refused.
//!
//! `state_schema FOLDER` adds what is new, `state_schema FOLDER --check` compares with what is there.

#![forbid(unsafe_code)]

mod compatibility;
mod schema;

// Messages reach `saved_state_roots` by being linked; nothing else of these crates is needed.

use cxl_spec as _;
use nvme as _;
use pci_bus as _;
use pci_core as _;
use pcie as _;
use pcie_topology as _;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use mesh_protobuf::MessageDescription;
use mesh_protobuf::to_proto_files;
use schema::Schema;
use std::collections::BTreeMap;
use std::path::Path;
use vmcore::save_restore::saved_state_roots;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (folder, check) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [folder] => (Path::new(folder), false),
        [folder, "--check"] => (Path::new(folder), true),
        _ => bail!("usage: state_schema FOLDER [--check]"),
    };
    let committed = read(folder)?;
    let roots: Vec<_> = saved_state_roots().collect();
    let broken = broken(&committed, &roots)?;
    if !broken.is_empty() {
        bail!(
            "states that were saved before would be misread:\n  {}\na field keeps its number, name and type for ever; \
             give what is new a number of its own",
            broken.join("\n  ")
        );
    }
    let files = to_proto_files(&roots);
    let stale: Vec<_> = files
        .iter()
        .filter(|(name, text)| committed.get(*name) != Some(text))
        .collect();
    if check && !stale.is_empty() {
        let names: Vec<_> = stale.iter().map(|(name, _)| name.as_str()).collect();
        bail!("stale: {}; run `cargo xtask schema`", names.join(", "));
    }
    for (name, text) in stale {
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        println!("wrote {}", file.display());
    }
    Ok(())
}

/// The text of each committed file, by its name.
fn read(folder: &Path) -> Result<BTreeMap<String, String>> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let text =
                std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            files.insert(name.into_owned(), text);
        }
    }
    Ok(files)
}

/// Every promise of the committed files that the messages of this program break.
fn broken(
    committed: &BTreeMap<String, String>,
    roots: &[&'static MessageDescription<'static>],
) -> Result<Vec<String>> {
    let before = Schema::parse_all(committed)?;
    let now = Schema::parse_all(&to_proto_files(roots))?;
    let mut broken = compatibility::broken(&before, &now);
    broken.extend(compatibility::required_additions(&before, roots));
    Ok(broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    fn workspace() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn committed() -> BTreeMap<String, String> {
        read(&workspace().join("docs/schema")).unwrap()
    }

    #[test]
    fn the_committed_schema_is_kept_and_fresh() {
        let roots: Vec<_> = saved_state_roots().collect();
        assert_eq!(broken(&committed(), &roots).unwrap(), [""; 0]);
        assert_eq!(
            committed(),
            to_proto_files(&roots),
            "run `cargo xtask schema`"
        );
    }

    /// A committed file that gives a field another number than the message has must be found to disagree.
    #[test]
    fn a_changed_number_of_a_real_message_is_found() {
        let mut committed = committed();
        let file = committed.get_mut("pci.cfg_space_emu.proto").unwrap();
        let changed = file.replace("primary_bus_number = 8;", "primary_bus_number = 108;");
        assert_ne!(*file, changed);
        *file = changed;
        let roots: Vec<_> = saved_state_roots().collect();
        assert_eq!(
            broken(&committed, &roots).unwrap(),
            [
                "pci.cfg_space_emu.SavedState: field 108 was 'uint32 primary_bus_number' (u8), and is gone"
            ]
        );
    }

    /// A message reaches the schema by being linked: a crate that declares one must be among the uses above.
    #[test]
    fn every_package_that_the_sources_declare_is_in_the_schema() {
        let mut declared = BTreeSet::new();
        for entry in std::fs::read_dir(workspace().join("crates")).unwrap() {
            declared_packages(&entry.unwrap().path().join("src"), &mut declared);
        }
        assert!(declared.contains("pci.caps.msi"));
        let committed = committed();
        let forgotten: Vec<_> = declared
            .iter()
            .filter(|package| !committed.contains_key(&format!("{package}.proto")))
            .collect();
        assert_eq!(forgotten, [""; 0]);
    }

    /// The packages of the types that derive `SavedStateRoot` in the sources below a folder; examples in comments do not count.
    fn declared_packages(folder: &Path, packages: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                declared_packages(&path, packages);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let mut lines = text.lines().map(str::trim);
            while let Some(line) = lines.next() {
                if line.starts_with("#[derive(") && line.contains("SavedStateRoot") {
                    let package = lines
                        .next()
                        .and_then(|line| line.strip_prefix("#[mesh(package = \""))
                        .and_then(|rest| rest.strip_suffix("\")]"));
                    packages.insert(package.unwrap().to_string());
                }
            }
        }
    }
}

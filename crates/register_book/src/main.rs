//! Writes the register reference of the guide: one Markdown page per area of the specifications, from the tables that the
//! emulators run on.
//!
//! `register_book FOLDER` writes the pages, `register_book FOLDER --check` compares them with what is there.

#![forbid(unsafe_code)]

mod pages;

// Tables reach `reg_table::BLOCKS` by being linked; nothing else of these crates is needed.

use cxl_spec as _;
use nvme as _;
use pci_core as _;
use pci_spec as _;
use pcie as _;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::collections::BTreeSet;
use std::path::Path;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [folder] => write(Path::new(folder)),
        [folder, "--check"] => {
            let stale = stale(Path::new(folder))?;
            if !stale.is_empty() {
                bail!("stale: {}; run `cargo xtask registers`", stale.join(", "));
            }
            Ok(())
        }
        _ => bail!("usage: register_book FOLDER [--check]"),
    }
}

/// Writes every page and removes pages that are no longer made.
fn write(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for name in stale(folder)? {
        let file = folder.join(&name);
        match pages::all().into_iter().find(|page| page.file == name) {
            Some(page) => std::fs::write(&file, page.text),
            None => std::fs::remove_file(&file),
        }
        .with_context(|| file.display().to_string())?;
        println!("wrote {}", file.display());
    }
    Ok(())
}

/// File names of pages that differ from what would be written, are missing, or are no longer made.
fn stale(folder: &Path) -> Result<Vec<String>> {
    let mut stale = BTreeSet::new();
    let mut made = BTreeSet::new();
    for page in pages::all() {
        if std::fs::read_to_string(folder.join(page.file)).ok() != Some(page.text) {
            stale.insert(page.file.to_string());
        }
        made.insert(page.file.to_string());
    }
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !made.contains(&name) {
            stale.insert(name);
        }
    }
    Ok(stale.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reg_table::BLOCKS;
    use reg_table::plan;

    #[test]
    fn the_committed_pages_are_fresh() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/registers");
        assert_eq!(
            stale(&folder).unwrap(),
            [""; 0],
            "run `cargo xtask registers`"
        );
    }

    #[test]
    fn block_names_are_unique() {
        let names: BTreeSet<_> = BLOCKS.iter().map(|block| block.name).collect();
        assert_eq!(names.len(), BLOCKS.len());
    }

    /// A block reaches the pages and the plan by being linked: a crate that declares one must be among the uses above.
    #[test]
    fn every_crate_that_declares_a_block_is_linked() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let linked = |name: &str| {
            let mut crates = BLOCKS.iter().map(|block| block.module.split(':').next());
            crates.any(|declaring| declaring == Some(name))
        };
        let declaring: Vec<_> = std::fs::read_dir(crates)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| declares_a_block(&entry.path().join("src")))
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        assert!(declaring.contains(&"pci_spec".to_string()));
        let forgotten: Vec<_> = declaring.iter().filter(|name| !linked(name)).collect();
        assert_eq!(forgotten, [""; 0]);
    }

    fn declares_a_block(folder: &Path) -> bool {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .any(|path| {
                path.is_dir() && declares_a_block(&path)
                    || std::fs::read_to_string(&path).is_ok_and(|text| {
                        text.lines()
                            .map(|line| line.trim_start().trim_start_matches("reg_table::"))
                            .any(|line| line.starts_with("register_block!"))
                    })
            })
    }

    #[test]
    fn every_block_has_a_subject() {
        assert_eq!(plan::blocks_without_subject(), [""; 0]);
    }

    #[test]
    fn every_subject_passes_the_plan() {
        assert!(!plan::SUBJECTS.is_empty());
        let findings: Vec<_> = plan::SUBJECTS.iter().flat_map(plan::run).collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}

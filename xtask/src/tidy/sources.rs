//! Rules about Rust sources.

use crate::layers;
use crate::workspace::TextFile;
use crate::workspace::Workspace;

/// Crates that may say `deny(unsafe_code)` in place of `forbid`, and why.
const UNSAFE_EXCEPTIONS: &[(&str, &str)] = &[
    (
        "vmcore",
        "an event's file descriptor is lent as `BorrowedFd`, and linkme gathers saved-state roots in a link section",
    ),
    (
        "vmm",
        "KVM takes guest memory by its address, and extended processor state as a structure of variable size",
    ),
];

const LINES_MAX: usize = 900;

const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];

/// Written in two parts, so that this file is not its own finding.
const LEFTOVERS: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!"),
    concat!("#[", "ignore"),
    concat!("allow(", "dead_code)"),
];

/// Every library and program forbids unsafe code, or is a listed exception.
pub(super) fn unsafe_code(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let excepted = UNSAFE_EXCEPTIONS
            .iter()
            .any(|(name, _)| *name == package.name);
        let attribute = match excepted {
            true => "#![deny(unsafe_code)]",
            false => "#![forbid(unsafe_code)]",
        };
        for target in &package.targets {
            if !target
                .kinds
                .iter()
                .any(|kind| matches!(kind.as_str(), "lib" | "proc-macro" | "bin"))
            {
                continue;
            }
            if !has_line(workspace, &target.file, attribute) {
                findings.push(format!("{}: lacks `{attribute}`", target.file));
            }
        }
    }
    findings
}

/// The crates of [`layers::NO_STD`] say so.
pub(super) fn no_std(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        if !layers::NO_STD.contains(&package.name.as_str()) {
            continue;
        }
        for target in package
            .targets
            .iter()
            .filter(|t| t.kinds.iter().any(|kind| kind == "lib"))
        {
            if !has_line(workspace, &target.file, "#![no_std]") {
                findings.push(format!("{}: lacks `#![no_std]`", target.file));
            }
        }
    }
    findings
}

fn has_line(workspace: &Workspace, path: &str, line: &str) -> bool {
    workspace
        .file(path)
        .is_some_and(|file| file.text.lines().any(|text| text.trim() == line))
}

/// No module has a name that takes in anything.
pub(super) fn module_names(workspace: &Workspace) -> Vec<String> {
    rust_files(workspace)
        .filter(|file| {
            let path = file.path.strip_suffix(".rs").unwrap_or(&file.path);
            path.split('/')
                .any(|component| EMPTY_NAMES.contains(&component))
        })
        .map(|file| format!("{}: the name says nothing of what lives there", file.path))
        .collect()
}

/// No file is longer than [`LINES_MAX`].
pub(super) fn file_length(workspace: &Workspace) -> Vec<String> {
    rust_files(workspace)
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(file, lines)| {
            format!(
                "{}: {lines} lines; at most {LINES_MAX} are one room",
                file.path
            )
        })
        .collect()
}

/// Nothing is left to be done, printed or skipped.
pub(super) fn leftovers(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for file in rust_files(workspace) {
        for (line, number) in file.text.lines().zip(1..) {
            for word in LEFTOVERS {
                if contains_word(line, word) {
                    findings.push(format!("{}:{number}: {word}", file.path));
                }
            }
        }
    }
    findings
}

/// Whether `word` occurs other than as the tail of a longer name.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn rust_files(workspace: &Workspace) -> impl Iterator<Item = &TextFile> {
    workspace.files.iter().filter(|file| file.is_rust())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::files;
    use crate::workspace::Package;
    use crate::workspace::Target;

    fn library(name: &str, text: &str) -> Workspace {
        let path = format!("crates/{name}/src/lib.rs");
        let mut workspace = files(&[(&path, text)]);
        workspace.packages.push(Package {
            name: name.to_string(),
            targets: vec![Target {
                name: name.to_string(),
                kinds: vec!["lib".to_string()],
                file: path,
            }],
            ..Package::default()
        });
        workspace
    }

    #[test]
    fn unsafe_code_is_forbidden() {
        assert_eq!(
            unsafe_code(&library("pcie", "//! Doc.\n#![forbid(unsafe_code)]\n")),
            [""; 0]
        );
        assert_eq!(
            unsafe_code(&library("pcie", "#![deny(unsafe_code)]\n")),
            ["crates/pcie/src/lib.rs: lacks `#![forbid(unsafe_code)]`"]
        );
    }

    #[test]
    fn an_exception_still_denies_it() {
        assert_eq!(
            unsafe_code(&library("vmcore", "#![deny(unsafe_code)]\n")),
            [""; 0]
        );
        assert_eq!(unsafe_code(&library("vmcore", "")).len(), 1);
    }

    #[test]
    fn layouts_need_no_standard_library() {
        assert_eq!(no_std(&library("pci_spec", "#![no_std]\n")), [""; 0]);
        assert_eq!(
            no_std(&library("pci_spec", "")),
            ["crates/pci_spec/src/lib.rs: lacks `#![no_std]`"]
        );
        assert_eq!(no_std(&library("pcie", "")), [""; 0]);
    }

    #[test]
    fn names_that_take_in_anything_are_refused() {
        let found = module_names(&files(&[
            ("crates/a/src/common.rs", ""),
            ("crates/a/src/helpers/mod.rs", ""),
            ("crates/a/src/common_header.rs", ""),
            ("crates/a/src/test_helpers.rs", ""),
            ("docs/common.md", ""),
        ]));
        assert_eq!(
            found,
            [
                "crates/a/src/common.rs: the name says nothing of what lives there",
                "crates/a/src/helpers/mod.rs: the name says nothing of what lives there",
            ]
        );
    }

    #[test]
    fn long_files_are_refused() {
        let (fits, long) = ("\n".repeat(LINES_MAX), "\n".repeat(LINES_MAX + 1));
        assert_eq!(
            file_length(&files(&[("a.rs", &fits), ("b.rs", &long), ("c.md", &long)])),
            ["b.rs: 901 lines; at most 900 are one room"]
        );
    }

    #[test]
    fn leftovers_are_found() {
        let [to_do, ignore] = [LEFTOVERS[0], LEFTOVERS[3]];
        let text = format!("fn a() {{\n    {to_do}()\n}}\n{ignore} = \"slow\"]\nmy_{to_do}\n");
        assert_eq!(
            leftovers(&files(&[("a.rs", &text)])),
            [format!("a.rs:2: {to_do}"), format!("a.rs:4: {ignore}")]
        );
    }
}

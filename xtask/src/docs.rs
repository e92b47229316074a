//! `cargo xtask docs`: the API pages, the book, and the links of every page.

use crate::commands::Options;
use crate::lint;
use crate::markdown;
use crate::process;
use crate::workspace::TextFile;
use crate::workspace::Workspace;
use anyhow::Result;
use anyhow::bail;
use std::process::Command;

/// The pages of the book; nothing outside of it is published with it.
const BOOK: &str = "docs/";

pub(crate) fn run(workspace: &Workspace, _: &Options) -> Result<()> {
    lint::rustdoc(workspace)?;
    if process::is_installed("mdbook") {
        process::run(
            Command::new("mdbook")
                .current_dir(&workspace.root)
                .args(["build", "docs", "--dest-dir"])
                .arg(workspace.target.join("book")),
        )?;
    } else {
        println!(
            "the book is not built: mdbook is not installed; its links are checked all the same"
        );
    }
    let findings = check_links(workspace);
    if !findings.is_empty() {
        bail!("{} bad links:\n{}", findings.len(), findings.join("\n"));
    }
    println!("every link within the pages leads somewhere");
    Ok(())
}

/// Links that lead nowhere, and pages of the book that its summary does not name.
pub(crate) fn check_links(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for page in workspace
        .files
        .iter()
        .filter(|file| file.path.ends_with(".md"))
    {
        for link in markdown::links(&page.text) {
            if let Some(why) = wrong(workspace, page, &link.target) {
                findings.push(format!(
                    "{}:{}: '{}' {why}",
                    page.path, link.line, link.target
                ));
            }
        }
    }
    let summary = workspace
        .file("docs/SUMMARY.md")
        .map_or("", |file| &file.text);
    let named: Vec<_> = markdown::links(summary)
        .into_iter()
        .map(|link| link.target)
        .collect();
    for page in &workspace.files {
        if let Some(name) = page
            .path
            .strip_prefix(BOOK)
            .filter(|name| name.ends_with(".md"))
            && name != "SUMMARY.md"
            && !named.iter().any(|target| target == name)
        {
            findings.push(format!("{}: docs/SUMMARY.md does not name it", page.path));
        }
    }
    findings
}

fn wrong(workspace: &Workspace, page: &TextFile, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    let path = match path {
        "" => page.path.clone(),
        path => {
            let Some(path) = resolve(&page.path, path) else {
                return Some("leads out of the repository");
            };
            path
        }
    };
    if page.path.starts_with(BOOK) && !path.starts_with(BOOK) {
        return Some("leads out of the book");
    }
    let Some(file) = workspace.file(&path) else {
        let is_folder = workspace.files.iter().any(|file| {
            file.path
                .strip_prefix(&path)
                .is_some_and(|rest| rest.starts_with('/'))
        });
        return (!is_folder).then_some("leads nowhere");
    };
    let anchor = anchor?;
    (!markdown::anchors(&file.text).iter().any(|a| a == anchor))
        .then_some("names no heading of that page")
}

/// A path relative to a page, as a path relative to the root.
fn resolve(page: &str, target: &str) -> Option<String> {
    let mut components: Vec<_> = page.split('/').collect();
    components.pop();
    for component in target.trim_end_matches('/').split('/') {
        match component {
            "." => {}
            ".." => {
                components.pop()?;
            }
            component => components.push(component),
        }
    }
    Some(components.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        check_links(&Workspace {
            files: files
                .iter()
                .map(|(path, text)| TextFile {
                    path: path.to_string(),
                    text: text.to_string(),
                })
                .collect(),
            ..Workspace::default()
        })
    }

    #[test]
    fn links_of_this_project_lead_somewhere() {
        assert_eq!(check_links(&Workspace::load().unwrap()), [""; 0]);
    }

    #[test]
    fn good_links() {
        let files = [
            (
                "README.md",
                "[guide](docs/a.md#one-two) [crates](crates/) [web](https://www.rust-lang.org) [up](#title)\n# Title",
            ),
            ("crates/x/Cargo.toml", ""),
            ("docs/SUMMARY.md", "[A](a.md)"),
            ("docs/a.md", "# One two"),
        ];
        assert_eq!(findings(&files), [""; 0]);
    }

    #[test]
    fn bad_links_are_named() {
        let files = [
            (
                "README.md",
                "\n[gone](docs/gone.md)\n[out](../x.md)\n[heading](docs/a.md#three)",
            ),
            ("docs/SUMMARY.md", "[A](a.md)"),
            ("docs/a.md", "# One two\n[readme](../README.md)"),
            ("docs/b.md", "# Lost"),
        ];
        assert_eq!(
            findings(&files),
            [
                "README.md:2: 'docs/gone.md' leads nowhere",
                "README.md:3: '../x.md' leads out of the repository",
                "README.md:4: 'docs/a.md#three' names no heading of that page",
                "docs/a.md:2: '../README.md' leads out of the book",
                "docs/b.md: docs/SUMMARY.md does not name it",
            ]
        );
    }
}

//! Sections of hand-written pages that are made from data.
//!
//! A section stands between `<!-- generated: NAME -->` and `<!-- end: NAME -->`.

use crate::commands;
use crate::layers;
use crate::topology_keys;
use crate::workspace::Workspace;
use anyhow::Context;
use anyhow::Result;

/// One section.
struct Section {
    page: &'static str,
    name: &'static str,
    make: fn(&Workspace) -> String,
}

const SECTIONS: &[Section] = &[
    Section {
        page: "README.md",
        name: "crates",
        make: layers::crate_table,
    },
    Section {
        page: "docs/architecture.md",
        name: "layers",
        make: |_| layers::markdown_table(),
    },
    Section {
        page: "docs/testing.md",
        name: "commands",
        make: |_| commands::markdown_table(),
    },
    Section {
        page: "docs/topology.md",
        name: "keys",
        make: topology_keys::markdown,
    },
];

/// Sections that are missing or differ from what would be made now.
pub(crate) fn check(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for section in SECTIONS {
        let page = workspace.file(section.page).map_or("", |file| &file.text);
        match replace(page, section.name, &(section.make)(workspace)) {
            Ok(fresh) if fresh == page => {}
            Ok(_) => findings.push(format!(
                "{}: section '{}' is stale: run `cargo xtask tidy --fix`",
                section.page, section.name
            )),
            Err(error) => findings.push(format!("{}: {error:#}", section.page)),
        }
    }
    findings
}

/// Rewrites every section.
///
/// # Errors
///
/// - a page cannot be read or written, or has no such section.
pub(crate) fn rewrite(workspace: &Workspace) -> Result<()> {
    for section in SECTIONS {
        rewrite_one(
            workspace,
            section.page,
            section.name,
            &(section.make)(workspace),
        )?;
    }
    Ok(())
}

/// Puts `content` into one section of one page.
///
/// # Errors
///
/// - the page cannot be read or written, or has no such section.
pub(crate) fn rewrite_one(
    workspace: &Workspace,
    page: &str,
    name: &str,
    content: &str,
) -> Result<()> {
    let file = workspace.root.join(page);
    let text = std::fs::read_to_string(&file).with_context(|| page.to_string())?;
    let fresh = replace(&text, name, content).with_context(|| page.to_string())?;
    if fresh != text {
        std::fs::write(&file, fresh).with_context(|| page.to_string())?;
        println!("wrote section '{name}' of {page}");
    }
    Ok(())
}

fn replace(page: &str, name: &str, content: &str) -> Result<String> {
    let (begin, end) = (
        format!("<!-- generated: {name} -->\n"),
        format!("<!-- end: {name} -->"),
    );
    let (before, rest) = page
        .split_once(&begin)
        .with_context(|| format!("the mark '{}' is missing", begin.trim()))?;
    let (_, after) = rest
        .split_once(&end)
        .with_context(|| format!("the mark '{end}' is missing"))?;
    // Markdown needs the empty lines: a comment directly above a table would swallow it.
    Ok(format!(
        "{before}{begin}\n{}\n\n{end}{after}",
        content.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Title\n<!-- generated: list -->\nold\n<!-- end: list -->\ntail\n";

    #[test]
    fn only_the_section_changes() {
        let fresh = replace(PAGE, "list", "new\n").unwrap();
        assert_eq!(
            fresh,
            "# Title\n<!-- generated: list -->\n\nnew\n\n<!-- end: list -->\ntail\n"
        );
        assert_eq!(replace(&fresh, "list", "new\n").unwrap(), fresh);
    }

    #[test]
    fn missing_marks_are_named() {
        let error = replace(PAGE, "other", "").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the mark '<!-- generated: other -->' is missing"
        );
        let error = replace("<!-- generated: list -->\n", "list", "").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the mark '<!-- end: list -->' is missing"
        );
    }
}

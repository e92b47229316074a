//! `cargo xtask tidy`: what the project asks of itself and no compiler checks.
//!
//! Each rule looks at a [`Workspace`] and answers with findings, one sentence each. The rules also run as a test.

mod machine;
mod manifests;
mod sources;

use crate::commands::Options;
use crate::generated;
use crate::layers;
use crate::workspace::Workspace;
use anyhow::Result;
use anyhow::bail;

/// One rule.
struct Rule {
    name: &'static str,
    /// Shown with its findings.
    reason: &'static str,
    check: fn(&Workspace) -> Vec<String>,
}

const RULES: &[Rule] = &[
    Rule {
        name: "layers",
        reason: "a crate that knows only what lies below it can be understood, tested and used alone",
        check: layers::check,
    },
    Rule {
        name: "members",
        reason: "a folder is found by its crate's name, and a crate says in one line what it is",
        check: manifests::names,
    },
    Rule {
        name: "lints",
        reason: "the lints of the root manifest are the whole policy",
        check: manifests::lints,
    },
    Rule {
        name: "dependencies",
        reason: "one table says which versions the workspace uses",
        check: manifests::dependencies,
    },
    Rule {
        name: "unsafe code",
        reason: "memory safety of code that a guest can reach is not left to review",
        check: sources::unsafe_code,
    },
    Rule {
        name: "no_std",
        reason: "layouts and tables are of use where there is no standard library",
        check: sources::no_std,
    },
    Rule {
        name: "module names",
        reason: "a name says what lives there; these take in anything",
        check: sources::module_names,
    },
    Rule {
        name: "file length",
        reason: "a file is one room",
        check: sources::file_length,
    },
    Rule {
        name: "leftovers",
        reason: "main has no holes and no test that does not run",
        check: sources::leftovers,
    },
    Rule {
        name: "machine",
        reason: "the project is the same wherever it is checked out",
        check: machine::paths_and_hosts,
    },
    Rule {
        name: "registries",
        reason: "anybody must be able to fetch what the lock file names",
        check: machine::registries,
    },
    Rule {
        name: "workflows",
        reason: "CI types what a person types, so that its verdict can be had at home",
        check: machine::workflows,
    },
    Rule {
        name: "generated sections",
        reason: "a list that a program can make is never out of date",
        check: generated::check,
    },
    Rule {
        name: "code map",
        reason: "docs/architecture.md says of each crate what never happens in it",
        check: manifests::code_map,
    },
];

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.has("--fix") {
        generated::rewrite(workspace)?;
        return report(&findings(&Workspace::load()?));
    }
    report(&findings(workspace))
}

fn report(findings: &[String]) -> Result<()> {
    for finding in findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} rules are broken", findings.len());
    }
    println!("{} rules hold", RULES.len());
    Ok(())
}

/// One text for each rule that is broken.
fn findings(workspace: &Workspace) -> Vec<String> {
    RULES
        .iter()
        .filter_map(|rule| {
            let findings = (rule.check)(workspace);
            (!findings.is_empty()).then(|| {
                format!(
                    "{}: {}\n  {}",
                    rule.name,
                    rule.reason,
                    findings.join("\n  ")
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::TextFile;

    #[test]
    fn this_workspace_is_tidy() {
        let findings = findings(&Workspace::load().unwrap());
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    /// A workspace of nothing but these files.
    pub(super) fn files(files: &[(&str, &str)]) -> Workspace {
        Workspace {
            files: files
                .iter()
                .map(|(path, text)| TextFile {
                    path: path.to_string(),
                    text: text.to_string(),
                })
                .collect(),
            ..Workspace::default()
        }
    }
}

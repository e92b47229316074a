//! Rules about the members and their manifests.

use crate::workspace::Package;
use crate::workspace::Workspace;
use toml::Table;
use toml::Value;

/// A member lies in a folder of its name and describes itself.
pub(super) fn names(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let expected = match package.name.as_str() {
            "xtask" => "xtask".to_string(),
            name => format!("crates/{name}"),
        };
        if package.folder != expected {
            findings.push(format!(
                "{}: crate {} belongs in {expected}",
                package.manifest(),
                package.name
            ));
        }
        if package.description.is_empty() {
            findings.push(format!("{}: has no description", package.manifest()));
        }
    }
    findings
}

/// A member takes the workspace's lints.
pub(super) fn lints(workspace: &Workspace) -> Vec<String> {
    each_manifest(workspace, |_, manifest| {
        let inherits = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .and_then(Value::as_bool);
        match inherits {
            Some(true) => vec![],
            _ => vec!["lacks `[lints] workspace = true`".to_string()],
        }
    })
}

/// A member takes its dependencies from the workspace's table.
pub(super) fn dependencies(workspace: &Workspace) -> Vec<String> {
    each_manifest(workspace, |_, manifest| {
        let mut tables = dependency_tables(manifest);
        if let Some(targets) = manifest.get("target").and_then(Value::as_table) {
            tables.extend(
                targets
                    .values()
                    .filter_map(Value::as_table)
                    .flat_map(dependency_tables),
            );
        }
        tables
            .into_iter()
            .flatten()
            .filter(|(_, dependency)| {
                dependency.get("workspace").and_then(Value::as_bool) != Some(true)
            })
            .map(|(name, _)| {
                format!("{name} lacks `workspace = true`: its version stands in the root manifest")
            })
            .collect()
    })
}

fn dependency_tables(manifest: &Table) -> Vec<&Table> {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|table| manifest.get(*table).and_then(Value::as_table))
        .collect()
}

/// The architecture page has an entry with an invariant for each member under `crates/`.
pub(super) fn code_map(workspace: &Workspace) -> Vec<String> {
    const PAGE: &str = "docs/architecture.md";
    let page = workspace.file(PAGE).map_or("", |file| &file.text);
    let mut findings = Vec::new();
    for package in workspace
        .packages
        .iter()
        .filter(|p| p.folder.starts_with("crates/"))
    {
        let entry = page
            .split("\n### ")
            .find(|entry| entry.starts_with(&format!("`{}`\n", package.name)));
        match entry {
            None => findings.push(format!("{PAGE}: has no heading '### `{}`'", package.name)),
            Some(entry) if !entry.contains("\nInvariant:") => findings.push(format!(
                "{PAGE}: the entry of {} lacks a line that starts with 'Invariant:'",
                package.name
            )),
            Some(_) => {}
        }
    }
    findings
}

fn each_manifest(
    workspace: &Workspace,
    check: impl Fn(&Package, &Table) -> Vec<String>,
) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let path = package.manifest();
        let text = workspace.file(&path).map_or("", |file| &file.text);
        match text.parse::<Table>() {
            Ok(manifest) => findings.extend(
                check(package, &manifest)
                    .into_iter()
                    .map(|finding| format!("{path}: {finding}")),
            ),
            Err(error) => findings.push(format!("{path}: {error}")),
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::files;

    fn one(manifest: &str, architecture: &str) -> Workspace {
        let mut workspace = files(&[
            ("crates/pcie/Cargo.toml", manifest),
            ("docs/architecture.md", architecture),
        ]);
        workspace.packages.push(Package {
            name: "pcie".to_string(),
            description: "Ports.".to_string(),
            folder: "crates/pcie".to_string(),
            ..Package::default()
        });
        workspace
    }

    #[test]
    fn a_folder_has_the_name_of_its_crate() {
        let mut workspace = one("", "");
        assert_eq!(names(&workspace), [""; 0]);
        workspace.packages[0].folder = "crates/fabric".to_string();
        workspace.packages[0].description.clear();
        assert_eq!(
            names(&workspace),
            [
                "crates/fabric/Cargo.toml: crate pcie belongs in crates/pcie",
                "crates/fabric/Cargo.toml: has no description",
            ]
        );
    }

    #[test]
    fn lints_are_inherited() {
        assert_eq!(lints(&one("[lints]\nworkspace = true", "")), [""; 0]);
        for manifest in [
            "",
            "[lints]\nworkspace = false",
            "[lints.rust]\nunsafe_code = \"allow\"",
        ] {
            assert_eq!(
                lints(&one(manifest, "")),
                ["crates/pcie/Cargo.toml: lacks `[lints] workspace = true`"]
            );
        }
    }

    #[test]
    fn dependencies_are_inherited() {
        let good = "[dependencies]\nanyhow.workspace = true\n[dev-dependencies]\nprost = { workspace = true, features = [] }";
        assert_eq!(dependencies(&one(good, "")), [""; 0]);
        let bad = "[dependencies]\nanyhow = \"1\"\n[target.'cfg(unix)'.dev-dependencies]\nlibc = { version = \"0.2\" }";
        assert_eq!(
            dependencies(&one(bad, "")),
            [
                "crates/pcie/Cargo.toml: anyhow lacks `workspace = true`: its version stands in the root manifest",
                "crates/pcie/Cargo.toml: libc lacks `workspace = true`: its version stands in the root manifest",
            ]
        );
    }

    #[test]
    fn a_manifest_that_does_not_parse_is_a_finding() {
        assert_eq!(lints(&one("[lints", "")).len(), 1);
    }

    #[test]
    fn the_code_map_is_complete() {
        assert_eq!(
            code_map(&one(
                "",
                "# Map\n\n### `pcie`\n\nPorts.\nInvariant: none.\n"
            )),
            [""; 0]
        );
        assert_eq!(
            code_map(&one(
                "",
                "# Map\n\n### `pcie`\n\nPorts.\n\n### `other`\n\nInvariant: x\n"
            )),
            ["docs/architecture.md: the entry of pcie lacks a line that starts with 'Invariant:'"]
        );
        assert_eq!(
            code_map(&one("", "# Map\n")),
            ["docs/architecture.md: has no heading '### `pcie`'"]
        );
    }
}

//! What the checks look at: the packages of the workspace and the text of its files.

use crate::process;
use anyhow::Context;
use anyhow::Result;
use serde_json::Value;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// The workspace as `cargo metadata` and git see it.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// Sorted by name.
    pub(crate) packages: Vec<Package>,
    /// Every text file that git tracks or would add, sorted by path.
    pub(crate) files: Vec<TextFile>,
}

/// One member of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) description: String,
    /// Its folder, relative to the root, with `/` between components.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

impl Package {
    /// The path of its manifest, relative to the root.
    pub(crate) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

/// One entry of a manifest's dependency tables.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: DependencyKind,
}

/// The table it stands in.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum DependencyKind {
    Normal,
    Dev,
    Build,
}

/// A library, program, test, bench or example.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// `lib`, `proc-macro`, `bin`, `test`, `bench`, `example`.
    pub(crate) kinds: Vec<String>,
    /// Its root file, relative to the workspace's root.
    pub(crate) file: String,
}

/// One file.
#[derive(Debug)]
pub(crate) struct TextFile {
    /// Relative to the root, with `/` between components.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

impl Workspace {
    /// Asks cargo and git about the workspace around the current directory.
    ///
    /// # Errors
    ///
    /// - `cargo metadata` or `git ls-files` fails;
    /// - a file cannot be read.
    pub(crate) fn load() -> Result<Self> {
        let metadata = process::capture(process::cargo().args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
        ]))?;
        let metadata: Value =
            serde_json::from_str(&metadata).context("output of cargo metadata")?;
        let root = PathBuf::from(text(&metadata, "workspace_root")?);
        let mut packages = list(&metadata, "packages")?
            .iter()
            .map(|package| parse_package(&root, package))
            .collect::<Result<Vec<_>>>()?;
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            target: PathBuf::from(text(&metadata, "target_directory")?),
            files: read_files(&root)?,
            packages,
            root,
        })
    }

    /// One member, by name.
    pub(crate) fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// Whether a member has a target of this kind and, if given, name.
    pub(crate) fn has_target(&self, package: &str, kind: &str, name: Option<&str>) -> bool {
        self.package(package).is_some_and(|package| {
            package.targets.iter().any(|target| {
                target.kinds.iter().any(|k| k == kind) && name.is_none_or(|n| n == target.name)
            })
        })
    }

    /// One file, by path.
    pub(crate) fn file(&self, path: &str) -> Option<&TextFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// A folder for what the commands leave behind, made if need be.
    ///
    /// # Errors
    ///
    /// - it cannot be made.
    pub(crate) fn scratch(&self) -> Result<PathBuf> {
        let folder = self.target.join("xtask");
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(folder)
    }
}

fn read_files(root: &Path) -> Result<Vec<TextFile>> {
    let mut list = Command::new("git");
    list.current_dir(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let mut files = Vec::new();
    for path in process::capture(&mut list)?.split_terminator('\0') {
        let bytes = match std::fs::read(root.join(path)) {
            Ok(bytes) => bytes,
            // Deleted, and the deletion not committed yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).context(path.to_string()),
        };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(TextFile {
                path: path.to_string(),
                text,
            });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}

fn parse_package(root: &Path, package: &Value) -> Result<Package> {
    let manifest = text(package, "manifest_path")?;
    let folder = Path::new(manifest)
        .parent()
        .context("a manifest lies in a folder")?;
    Ok(Package {
        name: text(package, "name")?.to_string(),
        description: text(package, "description").unwrap_or_default().to_string(),
        folder: relative(root, folder),
        dependencies: list(package, "dependencies")?
            .iter()
            .map(|dependency| {
                Ok(Dependency {
                    name: text(dependency, "name")?.to_string(),
                    kind: match text(dependency, "kind") {
                        Ok("dev") => DependencyKind::Dev,
                        Ok("build") => DependencyKind::Build,
                        _ => DependencyKind::Normal,
                    },
                })
            })
            .collect::<Result<_>>()?,
        targets: list(package, "targets")?
            .iter()
            .map(|target| {
                Ok(Target {
                    name: text(target, "name")?.to_string(),
                    kinds: list(target, "kind")?
                        .iter()
                        .filter_map(|kind| kind.as_str().map(str::to_string))
                        .collect(),
                    file: relative(root, Path::new(text(target, "src_path")?)),
                })
            })
            .collect::<Result<_>>()?,
    })
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .components()
        .map(|component| component.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value
        .get(key)
        .and_then(Value::as_str)
        .with_context(|| format!("cargo metadata gives no text '{key}'"))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value
        .get(key)
        .and_then(Value::as_array)
        .with_context(|| format!("cargo metadata gives no list '{key}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_understood() {
        let workspace = Workspace::load().unwrap();
        let xtask = workspace.package("xtask").unwrap();
        assert_eq!(xtask.folder, "xtask");
        assert_eq!(xtask.manifest(), "xtask/Cargo.toml");
        assert!(!xtask.description.is_empty());
        assert!(
            xtask
                .dependencies
                .iter()
                .any(|d| d.name == "anyhow" && d.kind == DependencyKind::Normal)
        );
        assert!(workspace.has_target("xtask", "bin", None));
        assert!(!workspace.has_target("xtask", "example", None));
        assert!(workspace.file("xtask/src/workspace.rs").unwrap().is_rust());
        assert!(workspace.file("Cargo.toml").is_some());
    }
}

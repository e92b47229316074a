//! Rules that keep the machine at hand out of the project.

use crate::commands::COMMANDS;
use crate::workspace::TextFile;
use crate::workspace::Workspace;

/// Where people and machines keep their own files, below the root of a file system.
const PRIVATE_FOLDERS: &[&str] = &["home", "root", "work", "tmp", "Users"];

/// Ends of the names of hosts that only some network knows.
const PRIVATE_DOMAINS: &[&str] = &[
    ".internal",
    ".local",
    ".lan",
    ".corp",
    ".intranet",
    ".localdomain",
];

/// Hosts that serve packages: which one is asked is a matter of the machine's configuration.
const PACKAGE_HOSTS: &[&str] = &[
    "deb.debian.org",
    "files.pythonhosted.org",
    "index.crates.io",
    "pypi.org",
    "registry.npmjs.org",
    "security.debian.org",
    "static.crates.io",
];

/// What the lock file calls the public registry, whoever serves it.
const PUBLIC_REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// No file names a private folder, a private host or a package host.
pub(super) fn paths_and_hosts(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for file in &workspace.files {
        for (line, number) in file.text.lines().zip(1..) {
            for folder in PRIVATE_FOLDERS.iter().map(|name| format!("/{name}/")) {
                if names_folder(line, &folder) {
                    findings.push(format!("{}:{number}: a path under {folder}", file.path));
                }
            }
            for host in hosts(line).filter(|host| is_private(host)) {
                findings.push(format!("{}:{number}: the host {host}", file.path));
            }
        }
    }
    findings
}

/// Whether a path starts with `folder` and goes on.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line
            .get(at + folder.len()..)
            .and_then(|text| text.chars().next());
        let inside_a_path = before.is_some_and(|c| c.is_alphanumeric() || "_-.})>/*".contains(c));
        !inside_a_path && after.is_some_and(|c| c.is_alphanumeric() || "_.".contains(c))
    })
}

/// The hosts of the URLs in a line.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.split("://").skip(1).filter_map(|rest| {
        let authority = rest
            .split(|c: char| !(c.is_alphanumeric() || "-._@".contains(c)))
            .next()?;
        let host = authority.rsplit('@').next()?;
        // A URL within a URL.
        let scheme = matches!(host, "http" | "https");
        (!host.is_empty() && !scheme).then_some(host)
    })
}

fn is_private(host: &str) -> bool {
    let loopback = host == "localhost" || host.starts_with("127.");
    let address = host.split('.').all(|part| part.parse::<u8>().is_ok());
    let nameless = !host.contains('.');
    let private = PRIVATE_DOMAINS.iter().any(|domain| host.ends_with(domain));
    !loopback && (address || nameless || private || PACKAGE_HOSTS.contains(&host))
}

/// The lock file names the public registry alone, and cargo's configuration puts nothing in its place.
pub(super) fn registries(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    if let Some(lock) = workspace.file("Cargo.lock") {
        for (line, number) in lock.text.lines().zip(1..) {
            if let Some(source) = line.strip_prefix("source = ")
                && source.trim_matches('"') != PUBLIC_REGISTRY
            {
                findings.push(format!(
                    "Cargo.lock:{number}: {source} is not the public registry"
                ));
            }
        }
    }
    for file in workspace
        .files
        .iter()
        .filter(|file| file.path.contains(".cargo/config"))
    {
        for (line, number) in file.text.lines().zip(1..) {
            if line.starts_with("[source") || line.starts_with("[registr") {
                findings.push(format!(
                    "{}:{number}: {line} is a matter of the machine",
                    file.path
                ));
            }
        }
    }
    findings
}

/// Workflows and `.ci/run` call nothing but words of xtask.
pub(super) fn workflows(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for file in &workspace.files {
        for (command, number) in commands(file) {
            let mut words = command.split_whitespace();
            let known = words.next() == Some("cargo")
                && words.next() == Some("xtask")
                && words
                    .next()
                    .is_some_and(|word| COMMANDS.iter().any(|c| c.word == word));
            if !known {
                findings.push(format!(
                    "{}:{number}: '{command}' is no word of xtask",
                    file.path
                ));
            }
        }
    }
    findings
}

/// The commands that a workflow or `.ci/run` runs.
fn commands(file: &TextFile) -> Vec<(&str, usize)> {
    let lines = file.text.lines().map(str::trim).zip(1..);
    if file.path.starts_with(".github/workflows/") {
        lines
            .filter_map(|(line, number)| {
                let line = line.strip_prefix("- ").unwrap_or(line);
                Some((line.strip_prefix("run:")?.trim(), number))
            })
            .collect()
    } else if file.path == ".ci/run" {
        const SHELL: &[&str] = &["#", "set ", "cd ", "export "];
        lines
            .filter(|(line, _)| {
                !line.is_empty() && !SHELL.iter().any(|word| line.starts_with(word))
            })
            .collect()
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::files;

    #[test]
    fn private_folders_are_found() {
        for folder in PRIVATE_FOLDERS.iter().map(|name| format!("/{name}/")) {
            let text = format!("see {folder}me/notes, \"{folder}x\"\n");
            assert_eq!(
                paths_and_hosts(&files(&[("a.md", &text)])),
                [format!("a.md:1: a path under {folder}")]
            );
        }
    }

    #[test]
    fn parts_of_other_paths_are_not() {
        for folder in PRIVATE_FOLDERS.iter().map(|name| format!("/{name}/")) {
            let text = format!("crates{folder}x ../{folder}x `{folder}` {{target}}{folder}x");
            assert_eq!(paths_and_hosts(&files(&[("a.md", &text)])), [""; 0]);
        }
    }

    #[test]
    fn private_and_package_hosts_are_found() {
        let scheme = "https:/";
        let text = format!(
            "{scheme}/mirror:8080/x\n{scheme}/10.1.2.3/\n{scheme}/me@git.corp/\n{scheme}/{}/\n",
            PACKAGE_HOSTS[2]
        );
        assert_eq!(
            paths_and_hosts(&files(&[("a.md", &text)])),
            [
                "a.md:1: the host mirror".to_string(),
                "a.md:2: the host 10.1.2.3".to_string(),
                "a.md:3: the host git.corp".to_string(),
                format!("a.md:4: the host {}", PACKAGE_HOSTS[2]),
            ]
        );
    }

    #[test]
    fn public_hosts_and_this_one_are_not() {
        let text = "https://pcisig.com/ http://localhost:80/ http://127.0.0.1:8080/ https://{host}/ type:// https://https://a.org";
        assert_eq!(paths_and_hosts(&files(&[("a.md", text)])), [""; 0]);
    }

    #[test]
    fn only_the_public_registry_is_locked() {
        let good = format!("name = \"a\"\nsource = \"{PUBLIC_REGISTRY}\"\n");
        assert_eq!(registries(&files(&[("Cargo.lock", &good)])), [""; 0]);
        let bad = "source = \"git+https://github.com/a/b\"\n";
        assert_eq!(
            registries(&files(&[
                ("Cargo.lock", bad),
                (".cargo/config.toml", "[source.crates-io]\n")
            ])),
            [
                "Cargo.lock:1: \"git+https://github.com/a/b\" is not the public registry",
                ".cargo/config.toml:1: [source.crates-io] is a matter of the machine",
            ]
        );
    }

    #[test]
    fn workflows_say_words_of_xtask() {
        let workflow = "jobs:\n  a:\n    steps:\n      - uses: actions/checkout@v4\n      - run: cargo xtask lint\n      - run: cargo test\n";
        let script =
            "#!/usr/bin/env bash\nset -euo pipefail\n\ncargo xtask test\ncargo xtask sing\n";
        assert_eq!(
            workflows(&files(&[
                (".github/workflows/ci.yml", workflow),
                (".ci/run", script)
            ])),
            [
                ".github/workflows/ci.yml:6: 'cargo test' is no word of xtask",
                ".ci/run:5: 'cargo xtask sing' is no word of xtask",
            ]
        );
    }
}

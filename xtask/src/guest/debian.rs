//! Kernels, QEMU and userland from Debian's archive, unpacked below `target/`: nothing is installed, and no rights are needed.
//!
//! `apt-get` runs with its own lists, cache and list of installed packages (an empty one), so what it finds is the same on each
//! machine; it checks what comes by the archive's signature and checksums. Programs run by the dynamic loader that comes with them, so the machine's own libraries do not matter either.

use crate::judge;
use crate::process;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// Names archives, with spaces between them, instead of the machine's own package sources.
const MIRROR_VARIABLE: &str = "ROOTPLEX_DEBIAN_MIRROR";

/// The keys that sign the archive, and their package, which other distributions have as well.
const KEYRING_PACKAGE: &str = "debian-archive-keyring";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where the programs come from: the first Debian with QEMU 10. QEMU 7.2, of the Debian before, corrupts a nested guest.
const TOOLS_SUITE: &str = "trixie";

/// What is unpacked beside QEMU.
const TOOLS: &[&str] = &[
    "qemu-system-x86",
    "busybox-static",
    "pciutils",
    "lz4",
    "zstd",
];

/// The package that depends on the newest kernel of its suite.
const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";

/// Where the programs' libraries are.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Changes when what this module leaves behind does, so that an older cache is made anew.
const RECIPE: &str = "1";

/// A kernel that guests run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// What it is called on the command line and in reports.
    pub(crate) name: &'static str,
    suite: &'static str,
}

/// The kernels, oldest first.
pub(crate) const KERNELS: &[Kernel] = &[
    Kernel {
        name: "6.1",
        suite: "bookworm",
    },
    Kernel {
        name: "6.12",
        suite: "trixie",
    },
];

/// The unpacked packages.
#[derive(Debug, Clone)]
pub(crate) struct Debian {
    folder: PathBuf,
}

impl Debian {
    /// Fetches and unpacks what is not there yet.
    ///
    /// # Errors
    ///
    /// - there is no `apt-get`, or no keys to check what comes by, or a file can be had from none of the archives.
    pub(crate) fn fetch(cache: &Path) -> Result<Self> {
        std::fs::create_dir_all(cache)?;
        let folder = cache.join("debian");
        let lock = std::fs::File::create(cache.join("debian.lock"))?;
        // Another run may be fetching.
        lock.lock()?;
        let complete = folder.join("complete");
        if std::fs::read_to_string(&complete).is_ok_and(|recipe| recipe == RECIPE) {
            return Ok(Self { folder });
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        let debian = Self { folder };
        let apt = Apt::prepare(&debian.folder.join("apt"))?;
        apt.update()?;
        for package in apt.download_with_dependencies(TOOLS, TOOLS_SUITE)? {
            unpack(&package, &debian.tools())?;
        }
        for kernel in KERNELS {
            let package = apt.download_kernel(kernel)?;
            unpack(&package, &debian.kernel(kernel))?;
        }
        apt.discard()?;
        std::fs::write(complete, RECIPE)?;
        Ok(debian)
    }

    /// A file of the tools' packages.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.tools().join(path)
    }

    /// A program that links dynamically, by its name in `usr/bin`.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = self.loader();
        command.arg(self.file("usr/bin").join(name));
        command
    }

    /// A program of busybox, which links statically.
    pub(crate) fn busybox(&self, name: &str) -> Command {
        let mut command = Command::new(self.file("usr/bin/busybox"));
        command.arg(name);
        command
    }

    /// The libraries that a program needs and the loader, as paths in the tools' tree.
    ///
    /// # Errors
    ///
    /// - the loader does not find one.
    pub(crate) fn libraries(&self, program: &str) -> Result<Vec<String>> {
        let listed = process::capture(
            self.loader()
                .arg("--list")
                .arg(self.file("usr/bin").join(program)),
        )?;
        let mut paths = vec![format!("{LIBRARIES}/ld-linux-x86-64.so.2")];
        for line in listed.lines() {
            if line.contains("not found") {
                bail!("{program}: {}", line.trim());
            }
            // The loader stands there with its path, and without an arrow or with one.
            if let Some((name, _)) = line.trim().split_once(" => ")
                && !name.contains('/')
            {
                paths.push(format!("{LIBRARIES}/{name}"));
            }
        }
        Ok(paths)
    }

    /// The compressed kernel.
    ///
    /// # Errors
    ///
    /// - its package holds none.
    pub(crate) fn vmlinuz(&self, kernel: &Kernel) -> Result<PathBuf> {
        let boot = self.kernel(kernel).join("boot");
        entries(&boot)?
            .into_iter()
            .find(|path| file_name(path).starts_with("vmlinuz-"))
            .with_context(|| format!("{} holds no kernel", boot.display()))
    }

    /// What a running kernel calls itself.
    ///
    /// # Errors
    ///
    /// - its package holds none.
    pub(crate) fn release(&self, kernel: &Kernel) -> Result<String> {
        let vmlinuz = self.vmlinuz(kernel)?;
        Ok(file_name(&vmlinuz).replacen("vmlinuz-", "", 1))
    }

    /// One of a kernel's modules, which may be compressed with xz, by its name without suffix.
    ///
    /// # Errors
    ///
    /// - the kernel has no such module.
    pub(crate) fn module(&self, kernel: &Kernel, name: &str) -> Result<PathBuf> {
        // Debian 12 unpacks into `lib`, Debian 13 into `usr/lib`.
        for modules in ["lib/modules", "usr/lib/modules"] {
            let modules = self.kernel(kernel).join(modules);
            if modules.exists()
                && let Some(found) = find(&modules, &|file| {
                    file.strip_prefix(name)
                        .is_some_and(|suffix| matches!(suffix, ".ko" | ".ko.xz"))
                })?
            {
                return Ok(found);
            }
        }
        bail!("kernel {} has no module '{name}'", kernel.name)
    }

    fn loader(&self) -> Command {
        let libraries = self.file(LIBRARIES);
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(libraries);
        command
    }

    fn tools(&self) -> PathBuf {
        self.folder.join("tools")
    }

    fn kernel(&self, kernel: &Kernel) -> PathBuf {
        self.folder.join(format!("kernel-{}", kernel.name))
    }
}

/// An `apt-get` that knows nothing of the machine but how to reach the archive.
struct Apt {
    folder: PathBuf,
    mirrors: Vec<String>,
    configuration: PathBuf,
}

impl Apt {
    fn prepare(folder: &Path) -> Result<Self> {
        let mirrors = mirrors()?;
        for below in ["lists/partial", "archives/partial"] {
            std::fs::create_dir_all(folder.join(below))?;
        }
        // Nothing is installed.
        std::fs::write(folder.join("status"), "")?;
        if !Path::new(KEYRING).exists() {
            judge::install_package(KEYRING_PACKAGE)?;
        }
        let mut suites: Vec<&str> = KERNELS.iter().map(|kernel| kernel.suite).collect();
        suites.push(TOOLS_SUITE);
        suites.sort_unstable();
        suites.dedup();
        let shown = folder.display();
        let sources: String = suites
            .iter()
            .map(|suite| {
                format!("deb [arch=amd64 signed-by={KEYRING}] mirror+file:{shown}/mirrors {suite} main\n")
            })
            .collect();
        std::fs::write(folder.join("sources.list"), sources)?;
        std::fs::write(folder.join("mirrors"), mirror_list(&mirrors))?;
        let configuration = folder.join("apt.conf");
        std::fs::write(
            &configuration,
            format!(
                "Dir::Etc::SourceList \"{shown}/sources.list\";\n\
                 Dir::Etc::SourceParts \"/dev/null\";\n\
                 Dir::Etc::Preferences \"/dev/null\";\n\
                 Dir::Etc::PreferencesParts \"/dev/null\";\n\
                 Dir::State \"{shown}\";\n\
                 Dir::State::Lists \"{shown}/lists\";\n\
                 Dir::State::Status \"{shown}/status\";\n\
                 Dir::Cache \"{shown}\";\n\
                 Dir::Cache::Archives \"{shown}/archives\";\n\
                 APT::Architecture \"amd64\";\n\
                 APT::Install-Recommends \"0\";\n\
                 APT::Sandbox::User \"\";\n\
                 Acquire::Languages \"none\";\n\
                 Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"0\";\n\
                 Debug::NoLocking \"1\";\n"
            ),
        )?;
        Ok(Self {
            folder: folder.to_path_buf(),
            mirrors,
            configuration,
        })
    }

    fn update(&self) -> Result<()> {
        // Without this an archive that does not answer leaves the old lists and no error.
        self.run(
            Command::new("apt-get")
                .arg("update")
                .args(["--quiet=2", "--error-on=any"]),
        )
    }

    /// Packages with all that they need, as files.
    fn download_with_dependencies(&self, packages: &[&str], suite: &str) -> Result<Vec<PathBuf>> {
        self.run(
            Command::new("apt-get")
                .args(["install", "--quiet=2", "--yes", "--download-only"])
                .args(["--target-release", suite])
                .args(packages),
        )?;
        debs(&self.folder.join("archives"))
    }

    /// The newest kernel of a suite, without what installing it would need.
    fn download_kernel(&self, kernel: &Kernel) -> Result<PathBuf> {
        let listed = process::capture(
            self.command(Command::new("apt-cache"))
                .arg("depends")
                .arg(format!("{KERNEL_PACKAGE}/{}", kernel.suite)),
        )?;
        let package = dependency(&listed)
            .with_context(|| format!("{KERNEL_PACKAGE} of {} names no kernel", kernel.suite))?;
        let folder = self.folder.join(kernel.name);
        std::fs::create_dir_all(&folder)?;
        self.run(
            Command::new("apt-get")
                .current_dir(&folder)
                .args(["download", "--quiet=2"])
                .arg(format!("{package}/{}", kernel.suite)),
        )?;
        debs(&folder)?
            .pop()
            .with_context(|| format!("apt-get left no {package}"))
    }

    /// Lists and packages are of no more use once they are unpacked.
    fn discard(self) -> Result<()> {
        Ok(std::fs::remove_dir_all(self.folder)?)
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        command.env("APT_CONFIG", &self.configuration);
        let (status, said) = process::run_and_hear(command)?;
        if !status.success() {
            bail!("{}", failure(&said, &self.mirrors));
        }
        Ok(())
    }

    fn command(&self, mut command: Command) -> Command {
        command.env("APT_CONFIG", &self.configuration);
        command
    }
}

/// The addresses of Debian's archive, in the order in which a file is asked for: those that are named, or else those that the machine
/// itself uses.
fn mirrors() -> Result<Vec<String>> {
    if !process::is_installed("apt-get") {
        bail!("there is no apt-get to fetch kernels and QEMU with");
    }
    if let Ok(named) = std::env::var(MIRROR_VARIABLE) {
        return Ok(named.split_whitespace().map(str::to_string).collect());
    }
    let listed = process::capture(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    let mirrors = debian_archives(&listed);
    if mirrors.is_empty() {
        bail!(
            "the package sources name no Debian archive; {MIRROR_VARIABLE} is the address of one"
        );
    }
    Ok(mirrors)
}

/// As apt-transport-mirror(1) reads it: what an earlier one does not have, a later one is asked for.
fn mirror_list(mirrors: &[String]) -> String {
    (1..)
        .zip(mirrors)
        .map(|(priority, mirror)| format!("{mirror}\tpriority:{priority}\n"))
        .collect()
}

/// Why apt-get failed: which files it could not have, from where, and what to do.
fn failure(said: &str, mirrors: &[String]) -> String {
    let mut files: Vec<&str> = said
        .lines()
        .filter_map(|line| {
            line.split_once("Failed to fetch ")?
                .1
                .split_whitespace()
                .next()
        })
        .filter_map(|address| address.rsplit('/').next())
        .collect();
    files.dedup();
    let what = match files.as_slice() {
        [] => said
            .lines()
            .rev()
            .find(|line| line.starts_with("E: "))
            .unwrap_or("apt-get failed")
            .to_string(),
        files => format!("cannot be fetched: {}", files.join(", ")),
    };
    format!(
        "{what} (from {}); {MIRROR_VARIABLE} may be the address of another Debian archive",
        mirrors.join(", ")
    )
}

/// Debian's archives among addresses, each once: by convention the last folder of theirs is `debian`.
fn debian_archives(addresses: &str) -> Vec<String> {
    let mut archives = Vec::new();
    for address in addresses.lines() {
        let address = address.trim().trim_end_matches('/');
        if address.ends_with("/debian") && !archives.iter().any(|known| known == address) {
            archives.push(address.to_string());
        }
    }
    archives
}

/// The first package that a package depends on.
fn dependency(listed: &str) -> Option<&str> {
    listed
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
}

fn unpack(package: &Path, into: &Path) -> Result<()> {
    std::fs::create_dir_all(into)?;
    process::capture(Command::new("dpkg").arg("-x").arg(package).arg(into))?;
    Ok(())
}

fn debs(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut debs = entries(folder)?;
    debs.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    Ok(debs)
}

/// What a folder holds, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The first file below a folder whose name is wanted.
fn find(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Option<PathBuf>> {
    for path in entries(folder)? {
        let found = match path.is_dir() && !path.is_symlink() {
            true => find(&path, wanted)?,
            false => wanted(file_name(&path)).then_some(path),
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn file_name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_known_by_its_last_folder() {
        let sources = "https://packages.example.org/apt/\n\
                       https://mirror.example.org/debian-security/\n\
                       https://mirror.example.org/debian/\n\
                       https://other.example.org/debian/\n";
        let archives = [
            "https://mirror.example.org/debian",
            "https://other.example.org/debian",
        ];
        assert_eq!(debian_archives(&sources.repeat(2)), archives);
        assert!(debian_archives("https://mirror.example.org/ubuntu/\n").is_empty());
    }

    #[test]
    fn archives_are_asked_in_order() {
        let mirrors = ["own", "other"].map(|host| format!("http://{host}.example.org/debian"));
        assert_eq!(
            mirror_list(&mirrors),
            "http://own.example.org/debian\tpriority:1\nhttp://other.example.org/debian\tpriority:2\n"
        );
    }

    #[test]
    fn a_file_that_cannot_be_had_is_named_with_what_helps() {
        let said = "Err:1 mirror+file:/x/mirrors trixie/main amd64 qemu-system-x86 amd64 1:10.0\n  404  Not Found\n\
                    E: Failed to fetch http://own.example.org/debian/pool/main/q/qemu/qemu-system-x86_10.0_amd64.deb  404  Not Found\n\
                    E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?\n";
        let mirrors = ["http://own.example.org/debian".to_string()];
        assert_eq!(
            failure(said, &mirrors),
            "cannot be fetched: qemu-system-x86_10.0_amd64.deb (from http://own.example.org/debian); \
             ROOTPLEX_DEBIAN_MIRROR may be the address of another Debian archive"
        );
        assert_eq!(
            failure("E: Unable to locate package x\n", &mirrors),
            "E: Unable to locate package x (from http://own.example.org/debian); \
             ROOTPLEX_DEBIAN_MIRROR may be the address of another Debian archive"
        );
    }

    #[test]
    fn a_kernel_is_what_its_package_depends_on() {
        let listed = "linux-image-cloud-amd64\n  Depends: linux-image-6.12.1-cloud-amd64\n";
        assert_eq!(dependency(listed), Some("linux-image-6.12.1-cloud-amd64"));
        assert_eq!(dependency("linux-image-cloud-amd64\n"), None);
    }
}

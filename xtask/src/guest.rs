//! `cargo xtask guest`: an unmodified Linux guest is the judge.
//!
//! Everything it takes is fetched into `target/guest`: see [`debian`]. Guests run on KVM inside an emulated machine
//! ([`level_one`]), so that a machine without usable KVM gives the same verdict.

mod cpio;
mod debian;
mod kernel;
mod level_one;
mod userland;

use crate::commands::Options;
use crate::workspace::Workspace;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use debian::Debian;
use debian::KERNELS;
use debian::Kernel;
use level_one::End;
use level_one::HostFile;
use level_one::Job;
use level_one::LevelOne;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// The kernel of level 1.
const LEVEL_ONE_KERNEL: &str = "6.12";

/// For a command line of the developer's.
const RUN_TIMEOUT: Duration = Duration::from_secs(600);

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let Some(command) = options.text("--run") else {
        bail!("nothing to run; see `cargo xtask help`");
    };
    run_command(workspace, options, command)
}

/// Runs a developer's command line in level 1.
fn run_command(workspace: &Workspace, options: &Options, command: &str) -> Result<()> {
    let cache = cache(workspace);
    let debian = Debian::fetch(&cache)?;
    let mut files = Vec::new();
    for file in options.texts("--file") {
        files.push(host_file(file)?);
    }
    for kernel in kernels(options)? {
        files.push(HostFile {
            path: kernel::vmlinux(&debian, kernel, &cache)?,
            name: format!("vmlinux-{}", kernel.name),
        });
    }
    let userland = cache.join("guest.cpio");
    userland::write(&debian, options.text("--init").map(Path::new), &userland)?;
    files.push(HostFile {
        path: userland,
        name: "guest.cpio".to_string(),
    });
    let folder = cache.join("run");
    let level_one = LevelOne::new(&debian, kernel(LEVEL_ONE_KERNEL)?, &cache)?;
    let job = Job {
        command,
        files: &files,
        timeout: RUN_TIMEOUT,
        folder: &folder,
    };
    match level_one.run(&job, |line| println!("{line}"))? {
        End::Exit(0) => Ok(()),
        End::Exit(code) => bail!("the command ended with exit code {code}"),
        End::Died => bail!("level 1 died; its console: {}", console_tail(&folder)),
        End::Timeout => bail!(
            "no end within {} s; the console: {}",
            RUN_TIMEOUT.as_secs(),
            console_tail(&folder)
        ),
    }
}

fn cache(workspace: &Workspace) -> PathBuf {
    workspace.target.join("guest")
}

/// Those that are asked for, or all.
fn kernels(options: &Options) -> Result<Vec<&'static Kernel>> {
    let asked = options
        .texts("--kernel")
        .map(kernel)
        .collect::<Result<Vec<_>>>()?;
    Ok(match asked.is_empty() {
        true => KERNELS.iter().collect(),
        false => asked,
    })
}

fn kernel(name: &str) -> Result<&'static Kernel> {
    KERNELS
        .iter()
        .find(|kernel| kernel.name == name)
        .with_context(|| {
            let names: Vec<_> = KERNELS.iter().map(|kernel| kernel.name).collect();
            format!("'{name}' is not a kernel; there are: {}", names.join(", "))
        })
}

/// `PATH` or `PATH:NAME`; the name is the path's last part unless given.
fn host_file(argument: &str) -> Result<HostFile> {
    let (path, name) = match argument.rsplit_once(':') {
        Some((path, name)) => (path, name.trim_start_matches('/').to_string()),
        None => {
            let name = Path::new(argument)
                .file_name()
                .with_context(|| format!("'{argument}' is not a file"))?;
            (argument, name.to_string_lossy().into_owned())
        }
    };
    Ok(HostFile {
        path: PathBuf::from(path),
        name,
    })
}

/// The end of what the level-1 kernel printed.
fn console_tail(folder: &Path) -> String {
    const LINES: usize = 30;
    let bytes = std::fs::read(level_one::console(folder)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<&str> = text.lines().rev().take(LINES).collect();
    lines.push("");
    lines.reverse();
    lines.join("\n  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_as_given_or_as_on_the_host() {
        let file = host_file("target/debug/probe").unwrap();
        assert_eq!(file.name, "probe");
        let file = host_file("target/debug/probe:/bin/other").unwrap();
        assert_eq!(file.name, "bin/other");
        assert_eq!(file.path, Path::new("target/debug/probe"));
    }

    #[test]
    fn an_unknown_kernel_is_named_with_the_known() {
        assert_eq!(kernel("6.1").unwrap().name, "6.1");
        assert_eq!(
            kernel("5.10").unwrap_err().to_string(),
            "'5.10' is not a kernel; there are: 6.1, 6.12"
        );
    }
}

//! `cargo xtask guest`: an unmodified Linux guest is the judge.
//!
//! Everything it takes is fetched into `target/guest`: see [`debian`]. Guests run on KVM inside an emulated machine
//! ([`level_one`]), so that a machine without usable KVM gives the same verdict.

mod cpio;
mod debian;
mod job;
mod kernel;
mod level_one;
mod progress;
mod scenarios;
mod userland;

use crate::commands::Options;
use crate::judge;
use crate::judge::Judgement;
use crate::judge::Outcome;
use crate::workspace::Workspace;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use debian::Debian;
use debian::KERNELS;
use debian::Kernel;
use job::End;
use job::HostFile;
use job::Job;
use level_one::LevelOne;
use scenarios::Program;
use scenarios::Scenario;
use scenarios::Stage;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// The kernel of level 1.
const LEVEL_ONE_KERNEL: &str = "6.12";

/// For a command line of the developer's.
const RUN_TIMEOUT: Duration = Duration::from_secs(600);

/// The kernel of the quick scenarios.
const QUICK_KERNEL: &str = "6.12";

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if let Some(command) = options.text("--run") {
        return run_command(workspace, options, command);
    }
    let program = Program::build(workspace, &cache(workspace))?;
    let all = program.scenarios()?;
    if options.has("--list") {
        for scenario in &all {
            println!("{:<24} {}", scenario.name, scenario.summary);
        }
        return Ok(());
    }
    let chosen = choose(&all, options.operands())?;
    let judgements = judge(workspace, &program, &chosen, &kernels(options)?);
    println!();
    judge::report(judgements)
}

/// The quick scenarios on one kernel.
pub(crate) fn judge_quickly(workspace: &Workspace) -> Result<Vec<Judgement>> {
    let program = match Program::build(workspace, &cache(workspace)) {
        Ok(program) => program,
        Err(error) => {
            return Ok(vec![Judgement {
                name: "guest: the program".into(),
                outcome: Outcome::Failed(format!("{error:#}")),
            }]);
        }
    };
    let all = program.scenarios()?;
    let quick: Vec<&Scenario> = all.iter().filter(|scenario| scenario.quick).collect();
    Ok(judge(workspace, &program, &quick, &[kernel(QUICK_KERNEL)?]))
}

/// Those of the names, or all where none is named.
fn choose<'a>(all: &'a [Scenario], names: &[String]) -> Result<Vec<&'a Scenario>> {
    if names.is_empty() {
        return Ok(all.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            all.iter()
                .find(|scenario| scenario.name == *name)
                .with_context(|| {
                    format!("'{name}' is not a scenario; see `cargo xtask guest --list`")
                })
        })
        .collect()
}

/// Runs scenarios. Where the tools cannot be had, all are skipped, and say why.
fn judge(
    workspace: &Workspace,
    program: &Program,
    chosen: &[&Scenario],
    kernels: &[&Kernel],
) -> Vec<Judgement> {
    let cache = cache(workspace);
    let all = |outcome: &dyn Fn() -> Outcome| {
        chosen
            .iter()
            .flat_map(|scenario| kernels.iter().map(move |kernel| (scenario, kernel)))
            .map(|(scenario, kernel)| Judgement {
                name: format!("guest: {} on {}", scenario.name, kernel.name).into(),
                outcome: outcome(),
            })
            .collect()
    };
    let debian = match Debian::fetch(&cache) {
        Ok(debian) => debian,
        Err(error) => return all(&|| Outcome::Skipped(format!("{error:#}"))),
    };
    match Stage::prepare(program, &debian, &cache) {
        Ok(stage) => {
            eprintln!("guests run {}", stage.place());
            stage.run(chosen, kernels)
        }
        Err(error) => all(&|| Outcome::Failed(format!("{error:#}"))),
    }
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
        End::Died => bail!(
            "level 1 died; its console: {}",
            level_one::console_tail(&folder)
        ),
        End::Timeout => bail!(
            "no end within {} s; the console: {}",
            RUN_TIMEOUT.as_secs(),
            level_one::console_tail(&folder)
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

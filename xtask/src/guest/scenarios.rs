//! Runs the scenarios of the crate `guest_tests`: each on each kernel, each in a machine of its own.

use super::LEVEL_ONE_KERNEL;
use super::debian::Debian;
use super::debian::KERNELS;
use super::debian::Kernel;
use super::job::End;
use super::job::HostFile;
use super::job::Job;
use super::kernel;
use super::level_one;
use super::level_one::LevelOne;
use super::progress::Progress;
use super::userland;
use crate::judge::Judgement;
use crate::judge::Outcome;
use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use anyhow::Result;
use serde_json::Value;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

const PACKAGE: &str = "guest_tests";
/// What an operator uses.
const PROGRAM: &str = "rootplex";
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Small, and quick to build.
const PROFILE: &str = "guest";

/// Level 1 comes up, and prints what it has to say when a scenario's own time is up.
const MARGIN: Duration = Duration::from_secs(45);

/// For the probe whether a guest runs on this machine's own KVM: it takes three seconds or never ends.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// A line that is news, not output.
const PROGRESS_MARK: &str = "progress: ";

/// How much of a failure's output is shown: why it failed, and what the port looked like.
const FIRST_LINES: usize = 200;
const LAST_LINES: usize = 200;

/// A scenario, as `guest_tests list` has it.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) summary: String,
    pub(super) quick: bool,
    /// Whether the program of an operator runs the guest.
    rootplex: bool,
    timeout: Duration,
}

/// The program whose two roles are the host's side and the guest's first process; beside it is the one of an operator.
pub(super) struct Program(PathBuf);

impl Program {
    /// Builds it: static, as neither level has libraries; in a folder of its own, as its flags would rebuild everything else's.
    pub(super) fn build(workspace: &Workspace, cache: &Path) -> Result<Self> {
        let folder = cache.join("build");
        process::run(
            process::cargo()
                .current_dir(&workspace.root)
                .env("RUSTFLAGS", "-C target-feature=+crt-static")
                .args([
                    "build",
                    "--quiet",
                    "--package",
                    PACKAGE,
                    "--package",
                    PROGRAM,
                ])
                .args(["--target", TARGET, "--profile", PROFILE])
                .arg("--target-dir")
                .arg(&folder),
        )?;
        Ok(Self(folder.join(TARGET).join(PROFILE).join(PACKAGE)))
    }

    /// All scenarios, in the order of the table.
    pub(super) fn scenarios(&self) -> Result<Vec<Scenario>> {
        let listed = process::capture(Command::new(&self.0).arg("list"))?;
        listed
            .lines()
            .map(|line| scenario(line).with_context(|| format!("not a scenario: {line}")))
            .collect()
    }
}

fn scenario(line: &str) -> Option<Scenario> {
    let value: Value = serde_json::from_str(line).ok()?;
    Some(Scenario {
        name: value.get("name")?.as_str()?.to_string(),
        summary: value.get("summary")?.as_str()?.to_string(),
        quick: value.get("quick")?.as_bool()?,
        rootplex: value.get("rootplex").and_then(Value::as_bool) == Some(true),
        timeout: Duration::from_secs(value.get("timeout_s")?.as_u64()?),
    })
}

/// Where scenarios run.
pub(super) struct Stage<'a> {
    cache: &'a Path,
    program: &'a Program,
    debian: &'a Debian,
    userland: PathBuf,
    /// Unless guests run on this machine's own KVM.
    level_one: Option<LevelOne<'a>>,
}

impl<'a> Stage<'a> {
    /// Prepares what all scenarios need.
    pub(super) fn prepare(
        program: &'a Program,
        debian: &'a Debian,
        cache: &'a Path,
    ) -> Result<Self> {
        let userland = cache.join("agent.cpio");
        userland::write(debian, Some(&program.0), &userland)?;
        // Unpacked here once, so that runs side by side find them.
        for kernel in KERNELS {
            kernel::vmlinux(debian, kernel, cache)?;
        }
        let mut stage = Self {
            cache,
            program,
            debian,
            userland,
            level_one: None,
        };
        let kernel = super::kernel(LEVEL_ONE_KERNEL)?;
        if !stage.runs_here(kernel)? {
            stage.level_one = Some(LevelOne::new(debian, kernel, cache)?);
        }
        Ok(stage)
    }

    /// Whether a guest comes up on this machine's own KVM. A device that opens, and machines that can be made, prove nothing.
    fn runs_here(&self, kernel: &Kernel) -> Result<bool> {
        let device = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm");
        if device.is_err() {
            return Ok(false);
        }
        let (command, files) = self.command("probe", kernel)?;
        let job = Job {
            command: &command,
            files: &files,
            timeout: PROBE_TIMEOUT,
            folder: &self.cache.join("probe"),
        };
        Ok(job.run_here(|_| {})? == End::Exit(0))
    }

    /// Where guests run, for people.
    pub(super) fn place(&self) -> &'static str {
        match self.level_one {
            Some(_) => "nested, in an emulated machine",
            None => "on this machine's KVM",
        }
    }

    /// Runs each scenario on each kernel, as many at a time as there are processors.
    pub(super) fn run(&self, scenarios: &[&Scenario], kernels: &[&Kernel]) -> Vec<Judgement> {
        let runs: Vec<(&Scenario, &Kernel)> = scenarios
            .iter()
            .flat_map(|scenario| kernels.iter().map(move |kernel| (*scenario, *kernel)))
            .collect();
        let progress = Progress::new(runs.len());
        let next = Mutex::new(0..runs.len());
        let ended = Mutex::new(Vec::new());
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..workers.min(runs.len()) {
                scope.spawn(|| {
                    loop {
                        let index = next.lock().map(|mut next| next.next());
                        let Ok(Some(index)) = index else { break };
                        let Some((scenario, kernel)) = runs.get(index) else {
                            break;
                        };
                        let judgement = self.judge(scenario, kernel, &progress);
                        if let Ok(mut ended) = ended.lock() {
                            ended.push((index, judgement));
                        }
                    }
                });
            }
        });
        let mut ended = ended.into_inner().unwrap_or_default();
        ended.sort_by_key(|(index, _)| *index);
        ended.into_iter().map(|(_, judgement)| judgement).collect()
    }

    fn judge(&self, scenario: &Scenario, kernel: &Kernel, progress: &Progress) -> Judgement {
        let name = format!("guest: {} on {}", scenario.name, kernel.name);
        progress.started(&name);
        let outcome = self
            .run_one(scenario, kernel, |news| progress.news(&name, news))
            .unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        progress.ended(&name, &outcome);
        Judgement {
            name: name.into(),
            outcome,
        }
    }

    fn run_one(
        &self,
        scenario: &Scenario,
        kernel: &Kernel,
        mut news: impl FnMut(&str),
    ) -> Result<Outcome> {
        let (command, mut files) = self.command(&format!("run {}", scenario.name), kernel)?;
        if scenario.rootplex {
            files.push(HostFile {
                path: self.program.0.with_file_name(PROGRAM),
                name: PROGRAM.to_string(),
            });
        }
        let folder = self
            .cache
            .join("runs")
            .join(format!("{}-{}", scenario.name, kernel.name));
        let job = Job {
            command: &command,
            files: &files,
            timeout: scenario.timeout + MARGIN,
            folder: &folder,
        };
        let mut output = Vec::new();
        let line = |line: &str| match line.strip_prefix(PROGRESS_MARK) {
            Some(text) => {
                output.push(format!("  - {text}"));
                news(text);
            }
            None => output.push(format!("  {line}")),
        };
        let end = match &self.level_one {
            Some(level_one) => level_one.run(&job, line)?,
            None => job.run_here(line)?,
        };
        let why = match end {
            End::Exit(0) => return Ok(Outcome::Passed),
            End::Exit(code) => format!("exit code {code}"),
            End::Died => "died".to_string(),
            End::Timeout => format!("no end within {} s", job.timeout.as_secs()),
        };
        if !matches!(end, End::Exit(_)) && self.level_one.is_some() {
            output.push(format!(
                "  level 1's console:{}",
                level_one::console_tail(&folder)
            ));
        }
        let file = folder.join("output");
        std::fs::write(&file, output.join("\n"))?;
        Ok(Outcome::Failed(format!(
            "{why}\n{}\n  all of it: {}",
            both_ends(&output).join("\n"),
            file.display()
        )))
    }

    /// The program's command line for a kernel, and the files that it names.
    fn command(&self, words: &str, kernel: &Kernel) -> Result<(String, Vec<HostFile>)> {
        let file = |path: PathBuf, name: &str| HostFile {
            path,
            name: name.to_string(),
        };
        let vmlinux = kernel::vmlinux(self.debian, kernel, self.cache)?;
        Ok((
            format!("./{PACKAGE} {words} vmlinux agent.cpio"),
            vec![
                file(self.program.0.clone(), PACKAGE),
                file(vmlinux, "vmlinux"),
                file(self.userland.clone(), "agent.cpio"),
            ],
        ))
    }
}

/// The lines, without the middle of many.
fn both_ends(lines: &[String]) -> Vec<&str> {
    let left_out = lines.len().saturating_sub(FIRST_LINES + LAST_LINES);
    let first = lines.iter().take(FIRST_LINES);
    let last = lines.iter().skip(FIRST_LINES + left_out);
    let mark = (left_out > 0).then_some("  …");
    first
        .map(String::as_str)
        .chain(mark)
        .chain(last.map(String::as_str))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_a_line() {
        let line = r#"{"name":"enumerate","summary":"a tree","quick":true,"timeout_s":120}"#;
        let scenario = scenario(line).unwrap();
        assert_eq!(scenario.name, "enumerate");
        assert_eq!(scenario.summary, "a tree");
        assert_eq!(scenario.timeout, Duration::from_secs(120));
        assert!(scenario.quick);
        assert!(!scenario.rootplex);
        assert!(super::scenario(r#"{"name":"enumerate"}"#).is_none());
    }

    #[test]
    fn the_middle_of_a_long_output_is_left_out() {
        let lines: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let shown = both_ends(&lines);
        assert_eq!(shown.len(), FIRST_LINES + 1 + LAST_LINES);
        assert_eq!((shown[0], shown[FIRST_LINES]), ("0", "  …"));
        assert_eq!(shown.last(), Some(&"999"));
        assert_eq!(both_ends(&lines[..400]).len(), 400);
    }
}

//! The guest's side: the first process of level 2, which does what the host asks for.

mod kernel_log;
mod sysfs;

use crate::channel;
use crate::channel::Ended;
use crate::channel::Reply;
use crate::channel::Request;
use anyhow::Context;
use anyhow::Result;
use kernel_log::KernelLog;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;

/// The port to the host.
const PORT: &str = "/dev/ttyS1";

/// Where the agent finds the guest's file systems.
const PREPARATIONS: &[&str] = &[
    "/bin/busybox --install -s /bin",
    "mount -t proc proc /proc",
    "mount -t sysfs sysfs /sys",
    "mount -t devtmpfs dev /dev",
    // Characters must arrive as they are sent.
    "stty -F /dev/ttyS1 raw -echo",
];

/// How much of a command's output is sent.
const OUTPUT_BYTES_MAX: usize = 8192;

/// The first process of a guest: never returns while the machine is on.
///
/// # Errors
///
/// - the machine is not as it must be. The kernel panics when this process ends.
pub(crate) fn run_as_init() -> Result<()> {
    for preparation in PREPARATIONS {
        let ended = run(preparation)?;
        anyhow::ensure!(ended.code == 0, "{preparation}: {}", ended.output);
    }
    let port = File::options().read(true).write(true).open(PORT)?;
    let mut agent = Agent::new(KernelLog::open()?);
    let from = BufReader::new(port.try_clone()?);
    agent.serve(from, port)
}

/// Serves a host.
struct Agent {
    log: KernelLog,
    jobs: BTreeMap<u32, Job>,
    next_job: u32,
}

/// A command that runs, and where its output goes.
struct Job {
    child: Child,
    output: PathBuf,
}

impl Agent {
    fn new(log: KernelLog) -> Self {
        Self {
            log,
            jobs: BTreeMap::new(),
            next_job: 1,
        }
    }

    fn serve(&mut self, mut from: impl BufRead, mut to: impl Write) -> Result<()> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
        channel::send(&mut to, &Reply::Ready(release.trim().to_string()))?;
        while let Some(request) = channel::receive(&mut from)? {
            match self.answer(request) {
                Ok(Some(reply)) => channel::send(&mut to, &reply)?,
                Ok(None) => {}
                Err(error) => channel::send(&mut to, &Reply::Refused(format!("{error:#}")))?,
            }
        }
        Ok(())
    }

    fn answer(&mut self, request: Request) -> Result<Option<Reply>> {
        Ok(Some(match request {
            Request::Run(command) => Reply::Ended(run(&command)?),
            Request::Start(command) => Reply::Started(self.start(&command)?),
            Request::Finish(number) => Reply::Ended(self.finish(number)?),
            Request::Functions => Reply::Functions(sysfs::functions()?),
            Request::Messages(level) => Reply::Messages(self.log.messages(level)?),
            Request::Reboot => return at_once("reboot -f").map(|()| None),
        }))
    }

    fn start(&mut self, command: &str) -> Result<u32> {
        let number = self.next_job;
        self.next_job += 1;
        let output = std::env::temp_dir().join(format!("job-{number}"));
        let child = shell(command)
            .stdout(File::create(&output)?)
            .spawn()
            .context("the shell cannot be started")?;
        self.jobs.insert(number, Job { child, output });
        Ok(number)
    }

    fn finish(&mut self, number: u32) -> Result<Ended> {
        let mut job = self
            .jobs
            .remove(&number)
            .with_context(|| format!("no command goes by {number}"))?;
        let status = job.child.wait()?;
        Ok(ended(status, &std::fs::read(job.output)?))
    }
}

fn run(command: &str) -> Result<Ended> {
    let output = shell(command)
        .output()
        .context("the shell cannot be started")?;
    Ok(ended(output.status, &output.stdout))
}

/// What ends the machine must not be waited for.
fn at_once(command: &str) -> Result<()> {
    shell(command).spawn()?.wait()?;
    Ok(())
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    // The first command is the one that makes /bin/sh.
    if !std::path::Path::new("/bin/sh").exists() {
        shell = Command::new("/bin/busybox");
        shell.arg("sh");
    }
    shell
        .arg("-c")
        .arg(format!("exec 2>&1\n{command}"))
        .env("PATH", "/bin:/usr/bin")
        .stdin(Stdio::null());
    shell
}

fn ended(status: ExitStatus, output: &[u8]) -> Ended {
    let signal = || status.signal().map_or(-1, |signal| 128 + signal);
    let start = output.len().saturating_sub(OUTPUT_BYTES_MAX);
    let output = output.get(start..).unwrap_or_default();
    Ended {
        code: status.code().unwrap_or_else(signal),
        output: String::from_utf8_lossy(output).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks an agent, which runs here, and gives its answers after the first.
    fn ask(requests: &[Request]) -> Vec<Reply> {
        let mut asked = Vec::new();
        for request in requests {
            channel::send(&mut asked, request).unwrap();
        }
        let mut answered = Vec::new();
        let log = KernelLog::from_records(&[]);
        Agent::new(log)
            .serve(asked.as_slice(), &mut answered)
            .unwrap();
        let mut from = answered.as_slice();
        let ready = channel::receive(&mut from).unwrap();
        assert!(matches!(ready, Some(Reply::Ready(_))));
        std::iter::from_fn(|| channel::receive(&mut from).unwrap()).collect()
    }

    fn ended(code: i32, output: &str) -> Reply {
        Reply::Ended(Ended {
            code,
            output: output.to_string(),
        })
    }

    #[test]
    fn commands_end_with_code_and_output() {
        let replies = ask(&[
            Request::Run("echo out; echo err >&2; exit 3".to_string()),
            Request::Run("kill -9 $$".to_string()),
        ]);
        assert_eq!(replies, [ended(3, "out\nerr\n"), ended(137, "")]);
    }

    #[test]
    fn a_started_command_is_waited_for_later() {
        let replies = ask(&[
            Request::Start("echo first".to_string()),
            Request::Run("echo second".to_string()),
            Request::Finish(1),
            Request::Finish(1),
        ]);
        assert_eq!(
            replies,
            [
                Reply::Started(1),
                ended(0, "second\n"),
                ended(0, "first\n"),
                Reply::Refused("no command goes by 1".to_string()),
            ]
        );
    }

    #[test]
    fn the_end_of_a_long_output_is_sent() {
        let replies = ask(&[Request::Run("seq 1 100000".to_string())]);
        let [Reply::Ended(ended)] = replies.as_slice() else {
            panic!("{replies:?}");
        };
        assert_eq!(ended.output.len(), OUTPUT_BYTES_MAX);
        assert!(ended.output.ends_with("99999\n100000\n"));
    }
}

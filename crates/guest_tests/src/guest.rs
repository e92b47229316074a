//! The host's side of the channel to a guest.

use crate::channel;
use crate::channel::Ended;
use crate::channel::Function;
use crate::channel::Reply;
use crate::channel::Request;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::io;
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// For an answer that is not a matter of time.
const PROMPT: Duration = Duration::from_secs(60);

/// A guest's agent.
pub(crate) struct Guest {
    to: UnixStream,
    from: BufReader<UnixStream>,
}

/// A command that runs in the guest.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Job {
    number: u32,
    command: String,
}

impl Job {
    /// What was started as the first command after the guest came up, by a process that saved the machine.
    pub(crate) fn first(command: &str) -> Self {
        Self {
            number: 1,
            command: command.to_string(),
        }
    }
}

impl Guest {
    /// The agent at the other end.
    ///
    /// # Errors
    ///
    /// - the stream cannot be used twice.
    pub(crate) fn new(stream: UnixStream) -> Result<Self> {
        Ok(Self {
            from: BufReader::new(stream.try_clone()?),
            to: stream,
        })
    }

    /// Waits until the guest is up, and gives its kernel's release.
    ///
    /// # Errors
    ///
    /// - it is not up in time.
    pub(crate) fn ready(&mut self, within: Duration) -> Result<String> {
        match self.receive(within).context("the guest does not come up")? {
            Reply::Ready(release) => Ok(release),
            other => bail!("the guest says {other:?} before it is ready"),
        }
    }

    /// Runs a shell's command line, and gives what it printed.
    ///
    /// # Errors
    ///
    /// - it fails.
    pub(crate) fn run(&mut self, command: &str) -> Result<String> {
        let ended = self.try_run(command)?;
        success(command, ended)
    }

    /// Runs a shell's command line that may fail.
    ///
    /// # Errors
    ///
    /// - the guest does not answer.
    pub(crate) fn try_run(&mut self, command: &str) -> Result<Ended> {
        match self.ask(&Request::Run(command.to_string()))? {
            Reply::Ended(ended) => Ok(ended),
            other => unexpected(&other),
        }
    }

    /// Waits until a shell's command line succeeds, trying ten times a second.
    ///
    /// # Errors
    ///
    /// - it does not within `seconds`.
    pub(crate) fn wait_for(&mut self, condition: &str, seconds: u32) -> Result<()> {
        let tries = seconds * 10;
        let command = format!(
            "n=0; until {condition}; do n=$((n+1)); [ $n -lt {tries} ] || exit 1; sleep 0.1; done"
        );
        let ended = self.try_run(&command)?;
        if ended.code != 0 {
            bail!("not so within {seconds} s: {condition}: {}", ended.output);
        }
        Ok(())
    }

    /// Starts a shell's command line.
    ///
    /// # Errors
    ///
    /// - the guest does not answer.
    pub(crate) fn start(&mut self, command: &str) -> Result<Job> {
        match self.ask(&Request::Start(command.to_string()))? {
            Reply::Started(number) => Ok(Job {
                number,
                command: command.to_string(),
            }),
            other => unexpected(&other),
        }
    }

    /// Waits for what was started, and gives what it printed.
    ///
    /// # Errors
    ///
    /// - it failed.
    pub(crate) fn finish(&mut self, job: Job) -> Result<String> {
        let command = job.command.clone();
        let ended = self.try_finish(job)?;
        success(&command, ended)
    }

    /// Waits for what was started, which may fail.
    ///
    /// # Errors
    ///
    /// - the guest does not answer.
    pub(crate) fn try_finish(&mut self, job: Job) -> Result<Ended> {
        match self.ask(&Request::Finish(job.number))? {
            Reply::Ended(ended) => Ok(ended),
            other => unexpected(&other),
        }
    }

    /// The functions in the guest's sysfs, by address.
    ///
    /// # Errors
    ///
    /// - the guest does not answer.
    pub(crate) fn functions(&mut self) -> Result<Vec<Function>> {
        match self.ask(&Request::Functions)? {
            Reply::Functions(functions) => Ok(functions),
            other => unexpected(&other),
        }
    }

    /// Kernel messages of this level or worse that were not told before.
    ///
    /// # Errors
    ///
    /// - the guest does not answer.
    pub(crate) fn messages(&mut self, level: u8) -> Result<Vec<String>> {
        match self.ask(&Request::Messages(level))? {
            Reply::Messages(messages) => Ok(messages),
            other => unexpected(&other),
        }
    }

    /// Starts the guest anew, and waits until it is up.
    ///
    /// # Errors
    ///
    /// - it is not up in time.
    pub(crate) fn reboot(&mut self, within: Duration) -> Result<()> {
        self.begin_reboot()?;
        self.ready(within)?;
        Ok(())
    }

    /// Starts the guest anew; [`Self::ready`] waits until it is up.
    ///
    /// # Errors
    ///
    /// - the channel is closed.
    pub(crate) fn begin_reboot(&mut self) -> Result<()> {
        Ok(channel::send(&mut self.to, &Request::Reboot)?)
    }

    fn ask(&mut self, request: &Request) -> Result<Reply> {
        channel::send(&mut self.to, request)?;
        let reply = self
            .receive(PROMPT)
            .with_context(|| format!("no answer to {request:?}"))?;
        match reply {
            Reply::Refused(why) => bail!("{request:?}: {why}"),
            reply => Ok(reply),
        }
    }

    fn receive(&mut self, within: Duration) -> Result<Reply> {
        self.to.set_read_timeout(Some(within))?;
        match channel::receive(&mut self.from) {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => bail!("the channel is closed"),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                bail!("nothing within {} s", within.as_secs())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn success(command: &str, ended: Ended) -> Result<String> {
    if ended.code != 0 {
        bail!(
            "in the guest, exit code {}: {command}\n{}",
            ended.code,
            ended.output
        );
    }
    Ok(ended.output)
}

fn unexpected<T>(reply: &Reply) -> Result<T> {
    bail!("the guest says {reply:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest that gives these answers whatever it is asked.
    fn guest(replies: &[Reply]) -> (Guest, UnixStream) {
        let (near, mut far) = UnixStream::pair().unwrap();
        for reply in replies {
            channel::send(&mut far, reply).unwrap();
        }
        (Guest::new(near).unwrap(), far)
    }

    #[test]
    fn a_failed_command_is_shown_with_its_output() {
        let ended = |code, output: &str| {
            Reply::Ended(Ended {
                code,
                output: output.to_string(),
            })
        };
        let (mut guest, _far) = guest(&[ended(0, "fine\n"), ended(1, "no such file\n")]);
        assert_eq!(guest.run("cat a").unwrap(), "fine\n");
        assert_eq!(
            guest.run("cat b").unwrap_err().to_string(),
            "in the guest, exit code 1: cat b\nno such file\n"
        );
    }

    #[test]
    fn a_guest_that_is_silent_is_not_waited_for_for_ever() {
        let (mut guest, far) = guest(&[]);
        let error = guest.ready(Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.to_string(), "the guest does not come up");
        drop(far);
        let error = guest.ready(Duration::from_secs(60)).unwrap_err();
        assert!(format!("{error:#}").ends_with("the channel is closed"));
    }
}

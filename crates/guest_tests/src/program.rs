//! The program `rootplex`, as an operator uses it: it boots the guest, serves its hierarchy, records what happens and replays it.

use crate::guest::Guest;
use crate::host::GuestImage;
use crate::report::progress;
use crate::scenario::BOOT_TIMEOUT;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

const PROGRAM: &str = "./rootplex";
/// Where the program serves the hierarchy.
const SOCKET: &str = "rootplex.sock";
/// Where it finds the other end of the guest's channel.
const CHANNEL: &str = "channel.sock";
const TOPOLOGY: &str = "machine.toml";
const RECORDING: &str = "session.recording";
const CONSOLE: &str = "console";
const MESSAGES: &str = "messages";
/// How much of console and messages a report shows.
const REPORT_LINES: usize = 30;
const POWER_OFF: Duration = Duration::from_secs(30);

/// A scenario in which the program runs the guest.
pub(crate) struct ProgramScenario {
    /// What it goes by.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) summary: &'static str,
    /// What it may take.
    pub(crate) timeout_s: u64,
    /// Whether `cargo xtask test` runs it.
    pub(crate) quick: bool,
    /// What is done, and what must then be so.
    pub(crate) steps: fn(&GuestImage) -> Result<()>,
}

impl ProgramScenario {
    /// A line for `cargo xtask guest`.
    pub(crate) fn listed(&self) -> String {
        serde_json::json!({
            "name": self.name,
            "summary": self.summary,
            "quick": self.quick,
            "timeout_s": self.timeout_s,
            "rootplex": true,
        })
        .to_string()
    }

    /// Takes the steps.
    ///
    /// # Errors
    ///
    /// - a step fails.
    pub(crate) fn run(&self, image: &GuestImage) -> Result<()> {
        (self.steps)(image).with_context(|| {
            format!(
                "the guest's console:\n{}the program's messages:\n{}",
                last_lines(CONSOLE),
                last_lines(MESSAGES)
            )
        })
    }
}

/// A guest that the program runs.
pub(crate) struct Booted {
    child: Child,
    /// The guest's side.
    pub(crate) guest: Guest,
}

impl Booted {
    /// Has the program boot a guest before a hierarchy, and waits until it is up. What happens is recorded.
    ///
    /// # Errors
    ///
    /// - it does not come up.
    pub(crate) fn boot(image: &GuestImage, topology: &str) -> Result<Self> {
        progress("the program boots a guest");
        std::fs::write(TOPOLOGY, topology)?;
        for socket in [SOCKET, CHANNEL] {
            // One of a run before.
            let _ = std::fs::remove_file(socket);
        }
        let listener = UnixListener::bind(CHANNEL)?;
        let child = Command::new(PROGRAM)
            .args(["boot", "--topology", TOPOLOGY, "--record", RECORDING])
            .arg("--kernel")
            .arg(&image.kernel)
            .arg("--initrd")
            .arg(&image.initrd)
            .args(["--cmdline", crate::host::CMDLINE])
            .args(["--socket", SOCKET, "--serial2", CHANNEL])
            .stdin(Stdio::null())
            .stdout(File::create(CONSOLE)?)
            .stderr(File::create(MESSAGES)?)
            .spawn()
            .with_context(|| format!("{PROGRAM} cannot be started"))?;
        let mut child = OwnedChild(Some(child));
        let channel = accept(&listener, &mut child)?;
        let mut guest = Guest::new(channel)?;
        guest.ready(BOOT_TIMEOUT)?;
        let child = child.0.take().context("it was started")?;
        Ok(Self { child, guest })
    }

    /// Runs a command of the program on what it serves, and gives what it printed.
    ///
    /// # Errors
    ///
    /// - it fails.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<String> {
        // Before the words that are for lspci.
        let (command, rest) = arguments.split_first().context("a command")?;
        let mut words = vec![*command, "--socket", SOCKET];
        words.extend(rest);
        program(&words)
    }

    /// What a client gets for a path, such as the page for browsers: JSON.
    ///
    /// # Errors
    ///
    /// - the server does not answer, or refuses.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let mut stream = UnixStream::connect(SOCKET)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .context("an answer has a head")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        serde_json::from_str(body).with_context(|| format!("{path}: {head}"))
    }

    /// Lets the guest turn the machine off, and gives what the program said in the end.
    ///
    /// # Errors
    ///
    /// - the program does not end well.
    #[expect(
        clippy::disallowed_methods,
        reason = "a guest takes the time that it takes, and tells the host nothing"
    )]
    pub(crate) fn power_off(mut self) -> Result<String> {
        progress("the guest turns the machine off");
        self.guest
            .run("(sleep 1; poweroff -f) </dev/null >/dev/null 2>&1 &")?;
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(begin.elapsed() < POWER_OFF, "the program does not end");
            thread::sleep(Duration::from_millis(50));
        };
        ensure!(status.success(), "the program ended with {status}");
        Ok(std::fs::read_to_string(MESSAGES)?)
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ended when nobody takes it.
struct OwnedChild(Option<Child>);

impl Drop for OwnedChild {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Waits until the program connects, or ends.
#[expect(
    clippy::disallowed_methods,
    reason = "a program takes the time that it takes"
)]
fn accept(listener: &UnixListener, child: &mut OwnedChild) -> Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let begin = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(child) = &mut child.0
            && let Some(status) = child.try_wait()?
        {
            anyhow::bail!("the program ended with {status}");
        }
        ensure!(
            begin.elapsed() < BOOT_TIMEOUT,
            "the program does not connect"
        );
        thread::sleep(Duration::from_millis(50));
    }
}

/// Replays what was recorded, and gives the report.
///
/// # Errors
///
/// - an answer differs.
pub(crate) fn replay() -> Result<String> {
    progress("the session is replayed");
    program(&["replay", RECORDING])
}

fn program(arguments: &[&str]) -> Result<String> {
    let output = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{PROGRAM} cannot be started"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "rootplex {}: {}: {}{}",
        arguments.join(" "),
        output.status,
        text(&output.stderr),
        text(&output.stdout)
    );
    Ok(text(&output.stdout))
}

fn last_lines(file: &str) -> String {
    let bytes = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(REPORT_LINES);
    lines
        .iter()
        .skip(skipped)
        .map(|line| format!("  {line}\n"))
        .collect()
}

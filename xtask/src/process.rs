//! Running other programs.

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command with this program's own input and output.
///
/// # Errors
///
/// - it cannot be started, or does not end with success.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command.status().with_context(|| cannot_start(command))?;
    check(command, status)
}

/// Runs a command, and returns how it ended and what it said on standard error, which is shown as well.
///
/// # Errors
///
/// - it cannot be started.
pub(crate) fn run_and_hear(command: &mut Command) -> Result<(ExitStatus, String)> {
    announce(command);
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::inherit())
        .output()
        .with_context(|| cannot_start(command))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    eprint!("{said}");
    Ok((output.status, said))
}

/// Runs a command and returns what it prints; its standard error is shown only if it fails.
///
/// # Errors
///
/// - it cannot be started, does not end with success, or prints something other than UTF-8.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| cannot_start(command))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
    }
    check(command, output.status)?;
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a command, showing its output as it comes and handing over each line of it.
///
/// # Errors
///
/// - it cannot be started, or its output cannot be read. How it ends is left to the caller.
pub(crate) fn watch(command: &mut Command, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
    announce(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| cannot_start(command))?;
    let stdout = child.stdout.take().context("the output is not a pipe")?;
    let mut own = std::io::stdout().lock();
    // A test may print anything: lines are bytes until shown.
    for bytes in BufReader::new(stdout).split(b'\n') {
        let bytes = bytes?;
        own.write_all(&bytes)?;
        own.write_all(b"\n")?;
        line(&String::from_utf8_lossy(&bytes));
    }
    Ok(child.wait()?)
}

/// Whether a program can be started.
pub(crate) fn is_installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

fn announce(command: &Command) {
    eprintln!("$ {}", shown(command));
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

fn cannot_start(command: &Command) -> String {
    format!("`{}` cannot be started", shown(command))
}

fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or_default().to_string_lossy();
    std::iter::once(program)
        .chain(
            command
                .get_args()
                .map(|argument| argument.to_string_lossy()),
        )
        .collect::<Vec<_>>()
        .join(" ")
}

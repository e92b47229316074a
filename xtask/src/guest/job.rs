//! A command line with its files, to be run where KVM works: in level 1, or here.

use anyhow::Context;
use anyhow::Result;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

/// A file that the command finds in its folder.
#[derive(Debug, Clone)]
pub(super) struct HostFile {
    pub(super) path: PathBuf,
    /// Its path there, without a leading `/`.
    pub(super) name: String,
}

/// What to run.
pub(super) struct Job<'a> {
    pub(super) command: &'a str,
    pub(super) files: &'a [HostFile],
    pub(super) timeout: Duration,
    /// For files that stay afterwards.
    pub(super) folder: &'a Path,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Exit(i32),
    /// Ended by a signal, or with the machine it ran in.
    Died,
    Timeout,
}

impl Job<'_> {
    /// Runs the command on this machine, handing over each line that it prints.
    pub(super) fn run_here(&self, line: impl FnMut(&str)) -> Result<End> {
        std::fs::create_dir_all(self.folder)?;
        for file in self.files {
            let link = self.folder.join(&file.name);
            if link.is_symlink() {
                std::fs::remove_file(&link)?;
            }
            std::os::unix::fs::symlink(std::path::absolute(&file.path)?, &link)
                .with_context(|| format!("{} cannot be made", link.display()))?;
        }
        let child = Command::new("sh")
            .arg("-c")
            .arg(format!("exec 2>&1\n{}", self.command))
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the shell cannot be started")?;
        Watched(child).watch(self.timeout, line)
    }
}

/// A process whose output is a pipe, ended when this goes.
pub(super) struct Watched(pub(super) Child);

impl Watched {
    /// Waits for its end, handing over each line that it prints.
    #[expect(
        clippy::disallowed_methods,
        reason = "what hangs is ended by the clock on the wall"
    )]
    pub(super) fn watch(mut self, timeout: Duration, mut line: impl FnMut(&str)) -> Result<End> {
        let stdout = self.0.stdout.take().context("the output is not a pipe")?;
        let lines = lines_of(stdout);
        let deadline = Instant::now() + timeout;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(text) => line(&text),
                Err(RecvTimeoutError::Timeout) => return Ok(End::Timeout),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(self.0.wait()?.code().map_or(End::Died, End::Exit))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Either it has ended already, or nobody waits for it any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines_of(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for bytes in BufReader::new(stdout).split(b'\n') {
            let Ok(bytes) = bytes else { break };
            let text = String::from_utf8_lossy(&bytes);
            if sender
                .send(text.trim_end_matches('\r').to_string())
                .is_err()
            {
                break;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &str, timeout: Duration) -> (End, Vec<String>) {
        let folder = std::env::temp_dir().join(format!("xtask-job-{}", std::process::id()));
        let job = Job {
            command,
            files: &[],
            timeout,
            folder: &folder,
        };
        let mut lines = Vec::new();
        let end = job.run_here(|line| lines.push(line.to_string())).unwrap();
        (end, lines)
    }

    #[test]
    fn lines_and_exit_code_are_handed_over() {
        let (end, lines) = run("echo a; echo b >&2; exit 3", Duration::from_secs(60));
        assert_eq!((end, lines), (End::Exit(3), vec!["a".into(), "b".into()]));
    }

    #[test]
    fn what_hangs_is_ended() {
        let (end, _) = run("exec sleep 1000", Duration::from_millis(10));
        assert_eq!(end, End::Timeout);
        let (end, _) = run("kill -9 $$", Duration::from_secs(60));
        assert_eq!(end, End::Died);
    }
}

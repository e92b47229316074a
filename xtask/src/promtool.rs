//! An outside judge reads the metrics: `promtool`, of Prometheus.
//!
//! `promtool check metrics` judges names and descriptions, in the older text form; it reads no OpenMetrics. That form is judged by
//! having promtool import it, for which each sample is given a time.

use crate::commands::Options;
use crate::judge;
use crate::judge::Judgement;
use crate::judge::Outcome;
use crate::judge::Package;
use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

const PROMETHEUS: Package = Package {
    name: "prometheus",
    program: "promtool",
};

const NAMES: &str = "promtool: names and descriptions of metrics";
const OPEN_METRICS: &str = "promtool: metrics as OpenMetrics";

/// How often a server that starts is looked for, and after what pause.
const LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn run(workspace: &Workspace, _: &Options) -> Result<()> {
    judge::report(judge(workspace)?)
}

/// Serves the demo and judges its metrics.
pub(crate) fn judge(workspace: &Workspace) -> Result<Vec<Judgement>> {
    if let Err(error) = PROMETHEUS.install() {
        return Ok(judge::skipped([NAMES, OPEN_METRICS], &format!("{error:#}")));
    }
    // Paths of sockets are short, so not in the build folder.
    let socket = std::env::temp_dir().join(format!("rootplex-metrics-{}.sock", std::process::id()));
    let served = Served::start(workspace, &socket)?;
    let plain = served.metrics(&socket, "text/plain")?;
    let open = served.metrics(&socket, "application/openmetrics-text")?;
    drop(served);
    Ok(vec![
        judgement(NAMES, outcome(check(&plain))),
        judgement(OPEN_METRICS, outcome(import(workspace, &open))),
    ])
}

fn judgement(name: &'static str, outcome: Outcome) -> Judgement {
    Judgement {
        name: name.into(),
        outcome,
    }
}

fn outcome(result: Result<()>) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

/// The demo hierarchy behind a server.
struct Served(Child);

impl Served {
    fn start(workspace: &Workspace, socket: &Path) -> Result<Self> {
        process::run(process::cargo().current_dir(&workspace.root).args([
            "build",
            "--quiet",
            "--package",
            "rootplex",
        ]))?;
        let child = Command::new(workspace.target.join("debug/rootplex"))
            .args(["serve", "--socket"])
            .arg(socket)
            .stdout(Stdio::null())
            .spawn()
            .context("rootplex serve")?;
        let served = Self(child);
        for _ in 0..LOOKS {
            if UnixStream::connect(socket).is_ok() {
                return Ok(served);
            }
            #[expect(clippy::disallowed_methods, reason = "another process is waited for")]
            std::thread::sleep(PAUSE);
        }
        bail!("rootplex serve did not start");
    }

    fn metrics(&self, socket: &Path, accept: &str) -> Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        if !head.starts_with("HTTP/1.1 200") {
            bail!("/metrics: {head}");
        }
        Ok(body.to_string())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn check(plain: &str) -> Result<()> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("promtool has no standard input")?
        .write_all(plain.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn import(workspace: &Workspace, open: &str) -> Result<()> {
    let folder = workspace.scratch()?;
    let file = folder.join("metrics.txt");
    std::fs::write(&file, timed(open))?;
    process::capture(
        Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .arg(&file)
            .arg(folder.join("metrics")),
    )?;
    Ok(())
}

/// The same with a time at each sample.
fn timed(open: &str) -> String {
    open.lines()
        .map(|line| match line.starts_with('#') {
            true => format!("{line}\n"),
            false => format!("{line} 1700000000\n"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_given_a_time_and_comments_are_not() {
        assert_eq!(
            timed("# TYPE a gauge\na{b=\"c\"} 1\n# EOF\n"),
            "# TYPE a gauge\na{b=\"c\"} 1 1700000000\n# EOF\n"
        );
    }
}

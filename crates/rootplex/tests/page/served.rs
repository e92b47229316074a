//! `rootplex serve --web`, and a second client that asks and operates what it serves.

use serde_json::Value;
use std::io::BufRead;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

/// A server.
pub(crate) struct Served {
    child: Child,
    socket: PathBuf,
    /// Where its page is, without the final slash.
    pub(crate) origin: String,
}

impl Served {
    /// Serves the hierarchy that a file of this folder describes, or the demo.
    pub(crate) fn start(topology: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rootplex"));
        command.args(["serve", "--web"]);
        if let Some(file) = topology {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page");
            command.args(["--topology", &format!("{folder}/{file}")]);
        }
        // Paths of sockets are short, so not in the build folder.
        let name = format!(
            "rxp-{}-{:?}.sock",
            std::process::id(),
            std::thread::current().id()
        );
        let socket = std::env::temp_dir().join(name.replace(['(', ')'], ""));
        let mut child = command
            .arg("--socket")
            .arg(&socket)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let origin = lines
            .find_map(|line| {
                let line = line.unwrap();
                let (_, origin) = line.split_once(" at http")?;
                Some(format!("http{origin}"))
            })
            .unwrap();
        Self {
            child,
            socket,
            origin,
        }
    }

    /// Runs a command that asks or operates, and gives what it prints.
    pub(crate) fn rootplex(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_rootplex"))
            .args(arguments)
            .env("ROOTPLEX_SOCKET", &self.socket)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What inspection says of a node, to this depth.
    pub(crate) fn inspect(&self, path: &str, depth: &str) -> Value {
        serde_json::from_str(&self.rootplex(&["inspect", path, "--depth", depth, "--json"]))
            .unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

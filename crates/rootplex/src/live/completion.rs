//! Completion by Tab, from the live tree.

use super::client::Client;
use super::client::encoded;
use crate::output::Failure;
use clap_complete::engine::CompletionCandidate;
use inspect_service::Topology;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Nobody waits longer for Tab.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a shell must be told.
pub(super) fn script(shell: &str) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(Failure::other)?;
    let output = Command::new(program)
        .env("COMPLETE", shell)
        .output()
        .map_err(Failure::other)?;
    if !output.status.success() {
        return Err(Failure::mistake(format_args!(
            "there are no completions for '{shell}': {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        )));
    }
    crate::output::show(&output.stdout).map(|_| ())
}

/// The server that a completion asks: options of the line that is being typed are not known here.
fn client() -> Option<Client> {
    let socket = std::env::var_os("ROOTPLEX_SOCKET").map(PathBuf::from);
    let client = Client::find(socket.as_deref()).ok()?;
    Some(client.patient_for(PATIENCE))
}

/// The nodes that the last component of a path may become.
pub(super) fn paths(current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let (folder, start) = match current.rsplit_once('/') {
        Some((folder, start)) => (format!("{folder}/"), start),
        None => (String::new(), &*current),
    };
    let listed = client().and_then(|client| {
        let target = format!("/inspect/{}?depth=0", encoded(&folder));
        let listing: serde_json::Value = super::parse(&client.get(&target).ok()?).ok()?;
        listing.as_object().cloned()
    });
    let entries = listed.into_iter().flatten();
    entries
        .filter(|(name, _)| name.starts_with(start))
        .map(|(name, node)| {
            // What is not evaluated is a directory, and goes on.
            let slash = if node.is_null() { "/" } else { "" };
            CompletionCandidate::new(format!("{folder}{name}{slash}"))
        })
        .collect()
}

/// The names of the ports.
pub(super) fn ports() -> Vec<CompletionCandidate> {
    let topology: Option<Topology> =
        client().and_then(|client| super::parse(&client.get("/topology").ok()?).ok());
    let topology = topology.unwrap_or_default();
    let functions = topology.functions().into_iter();
    functions
        .filter(|function| function.is_downstream_port())
        .map(|function| CompletionCandidate::new(&function.name))
        .collect()
}

//! What an operator does to slots.

use super::client;
use super::client::Client;
use super::client::encoded;
use super::port;
use crate::output::Failure;
use crate::output::read_text;
use inspect_service::Topology;
use pcie_topology::EndpointSpec;
use std::path::Path;
use std::time::Duration;

/// Between two looks whether the guest let go.
const POLL: Duration = Duration::from_millis(100);
const POLLS_PER_SECOND: u64 = 10;

/// Has the server do something to a port.
pub(super) fn post(client: &Client, port: &str, what: &str) -> Result<Vec<u8>, Failure> {
    client.send("POST", &target(port, what), Vec::new())
}

fn target(port: &str, what: &str) -> String {
    format!("/ports/{}/{what}", encoded(port))
}

pub(super) fn plug(client: &Client, port: &str, file: Option<&Path>) -> Result<(), Failure> {
    let endpoint = match file {
        None => EndpointSpec::new(format!("{port}-card")),
        Some(file) => toml::from_str(&read_text(file)?)
            .map_err(|error| Failure::mistake(format_args!("{}: {error}", file.display())))?,
    };
    let body = serde_json::to_vec(&endpoint).map_err(Failure::other)?;
    client.send("POST", &target(port, "plug"), body).map(|_| ())
}

pub(super) fn unplug(
    client: &Client,
    port: &str,
    surprise: bool,
    timeout: u64,
) -> Result<(), Failure> {
    if surprise {
        return post(client, port, "unplug?surprise=true").map(|_| ());
    }
    if is_unplugged(client, port)? {
        return Ok(());
    }
    post(client, port, "request-removal")?;
    for _ in 0..timeout.saturating_mul(POLLS_PER_SECOND) {
        #[expect(clippy::disallowed_methods, reason = "an operator waits in real time")]
        std::thread::sleep(POLL);
        if is_unplugged(client, port)? {
            return Ok(());
        }
    }
    Err(Failure::other(format_args!(
        "port '{port}': the guest was asked and has not let the device go in {timeout} s; --surprise does not ask"
    )))
}

/// Takes the device out if the guest has let it go.
fn is_unplugged(client: &Client, port: &str) -> Result<bool, Failure> {
    let (status, body) = client.exchange("POST", &target(port, "unplug"), Vec::new())?;
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    if json.get("held").is_some() {
        return Ok(false);
    }
    match status.is_success() {
        true => Ok(true),
        false => Err(client::refused(status, &body)),
    }
}

pub(super) fn power(client: &Client, name: &str, fault: bool) -> Result<(), Failure> {
    if fault {
        return post(client, name, "power-fault").map(|_| ());
    }
    let topology: Topology = super::parse(&client.get("/topology")?)?;
    match &port::find(&topology, name)?.slot {
        Some(slot) => super::write(&format!("slot {}\n", port::slot_state(slot))),
        None => Err(Failure::other(format_args!("port '{name}' has no slot"))),
    }
}

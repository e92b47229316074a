//! What an operator does.

use crate::client::get;
use crate::client::request;
use crate::machine::Machine;
use std::io::Read;
use std::io::Write;
use std::path::Path;

fn post(machine: &Machine, target: &str, body: &str) -> (u16, String) {
    let answer = request(machine.socket(), "POST", target, body.as_bytes());
    let error = match answer.status {
        204 => String::new(),
        _ => answer.error(),
    };
    (answer.status, error)
}

#[test]
fn a_card_comes_and_goes() {
    let machine = Machine::new();
    let done = (204, String::new());
    assert_eq!(
        post(&machine, "/ports/rp0/plug", r#"{"name": "new"}"#),
        done
    );
    assert_eq!(
        get(
            machine.socket(),
            "/inspect/rc0/functions/rp0/device?depth=0"
        )
        .status,
        200
    );
    let occupied = post(&machine, "/ports/rp0/plug", r#"{"name": "newer"}"#);
    assert_eq!(
        occupied,
        (409, "port 'rp0' is occupied by 'new'".to_string())
    );
    assert_eq!(post(&machine, "/ports/rp0/unplug", ""), done);
    assert_eq!(
        post(&machine, "/ports/rp0/unplug", ""),
        (409, "port 'rp0' is empty".to_string())
    );
}

#[test]
fn a_guest_that_holds_on_is_respected_or_surprised() {
    let machine = Machine::new();
    // rp1 has power, and nobody turned it off.
    let (status, error) = post(&machine, "/ports/rp1/unplug", "");
    assert_eq!(
        (status, error.as_str()),
        (409, "port 'rp1': the guest has not let the device go")
    );
    assert_eq!(post(&machine, "/ports/rp1/request-removal", "").0, 204);
    assert_eq!(post(&machine, "/ports/rp1/button", "").0, 204);
    assert_eq!(post(&machine, "/ports/rp1/power-fault", "").0, 204);
    assert_eq!(post(&machine, "/ports/rp1/unplug?surprise=true", "").0, 204);
}

#[test]
fn a_latch_opens_and_closes() {
    let machine = Machine::new();
    let (status, error) = post(&machine, "/ports/rp1/latch?open=true", "");
    assert_eq!(
        (status, error.as_str()),
        (409, "port 'rp1': slot 2 has no MRL sensor")
    );
    assert_eq!(post(&machine, "/ports/rp1/latch", "").0, 400);
    let topology = "[[root_complex]]\nname = \"rc\"\necam = 0xe000_0000\n[[root_complex.port]]\nname = \"p\"\n\
        slot = { number = 1, mrl_sensor = true }\n";
    let topology = pcie_topology::Topology::from_toml(topology).unwrap();
    let composed = topology.compose(
        &mut chipset_device::mmio::ExternallyManagedMmioIntercepts,
        None,
    );
    let hierarchy = std::sync::Arc::new(parking_lot::Mutex::new(composed.unwrap()));
    let server = crate::machine::serve(hierarchy, inspect_service::Limits::default());
    let socket = server.socket().unwrap();
    let latch = || {
        get(socket, "/topology").json()["complexes"][0]["functions"][0]["slot"]["latch_open"]
            .clone()
    };
    assert_eq!(latch(), false);
    assert_eq!(
        request(socket, "POST", "/ports/p/latch?open=true", b"").status,
        204
    );
    assert_eq!(latch(), true);
    assert_eq!(
        request(socket, "POST", "/ports/p/latch?open=false", b"").status,
        204
    );
    assert_eq!(latch(), false);
}

#[test]
fn mistakes_are_named() {
    let machine = Machine::new();
    assert_eq!(post(&machine, "/ports/rp9/button", "").0, 404);
    let (status, error) = post(&machine, "/ports/rp2/unplug?surprise=true", "");
    assert_eq!(status, 409);
    assert!(error.contains("no hot-plug slot"), "{error}");
    assert_eq!(post(&machine, "/ports/rp0/button", "").0, 409);
    let (status, error) = post(
        &machine,
        "/ports/rp0/plug",
        r#"{"name": "a", "colour": "red"}"#,
    );
    assert_eq!(status, 422);
    assert!(error.contains("colour"), "{error}");
    let (status, error) = post(
        &machine,
        "/ports/rp0/plug",
        r#"{"name": "a", "functions": 999}"#,
    );
    assert_eq!(status, 422);
    assert!(error.contains("999"), "{error}");
    assert_eq!(
        post(&machine, "/ports/rp0/unplug?surprise=perhaps", "").0,
        400
    );
}

/// The saved state, which is no text.
pub(crate) fn save(socket: &Path) -> Vec<u8> {
    let mut stream = crate::client::connect(socket);
    stream
        .write_all(b"GET /state HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let head = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 200"));
    bytes.split_off(head + 4)
}

#[test]
fn state_is_saved_and_restored() {
    let machine = Machine::new();
    let before = get(machine.socket(), "/lspci").body;
    let state = save(machine.socket());
    {
        use chipset_device::mmio::MmioIntercept;
        let mut hierarchy = machine.hierarchy.lock();
        let root = &mut hierarchy.complexes[0].root;
        // Interrupt Line of the first root port.
        let _ = root.mmio_write(crate::machine::ECAM + 0x3c, &[0x2a]);
    }
    assert!(get(machine.socket(), "/lspci").body != before);
    assert_eq!(
        request(machine.socket(), "PUT", "/state", &state).status,
        204
    );
    assert!(get(machine.socket(), "/lspci").body == before);
    let cut = request(machine.socket(), "PUT", "/state", &state[..state.len() / 2]);
    assert_eq!(cut.status, 422);
    assert_eq!(request(machine.socket(), "PUT", "/state", b"").status, 409);
    assert!(get(machine.socket(), "/lspci").body == before);
}

//! What is shown is what there is.

use crate::client::get;
use crate::client::request;
use crate::client::send;
use crate::machine::Machine;
use crate::machine::serve;
use crate::operations::save;
use inspect::AtomicMut;
use inspect::InspectionBuilder;
use inspect::Node;
use inspect::Value;
use inspect_service::Limits;
use inspect_service::Source;
use pcie_topology::EndpointSpec;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

#[test]
fn the_tree_that_was_walked_is_the_tree() {
    let machine = Machine::new();
    let whole = inspect::inspect("", &mut *machine.hierarchy.lock()).results();
    for target in ["/inspect", "/inspect/", "/inspect?depth=64"] {
        let answer = get(machine.socket(), target);
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.body, format!("{:#}\n", whole.json()), "{target}");
    }
}

#[test]
fn a_part_of_the_tree_to_a_depth() {
    let machine = Machine::new();
    let path = "rc0/functions/rp1/device/functions/0";
    for depth in 0..4 {
        let expected = InspectionBuilder::new(path)
            .depth(Some(depth))
            .inspect(&mut *machine.hierarchy.lock())
            .results();
        let answer = get(
            machine.socket(),
            &format!("/inspect/{path}?depth={depth}&format=text"),
        );
        assert_eq!(answer.body, format!("{expected:#}\n"), "depth {depth}");
    }
}

#[test]
fn paths_are_percent_decoded() {
    let machine = Machine::new();
    let plain = get(machine.socket(), "/inspect/rc0/functions/rp0/name");
    assert_eq!(plain.body, "\"rp0\"\n");
    let encoded = get(machine.socket(), "/inspect/rc0%2Ffunctions/r%700/name");
    assert_eq!(encoded.body, plain.body);
}

#[test]
fn looking_changes_nothing() {
    let machine = Machine::new();
    let before = save(machine.socket());
    for target in [
        "/inspect",
        "/topology",
        "/topology?format=svg",
        "/lspci",
        "/metrics",
    ] {
        assert_eq!(get(machine.socket(), target).status, 200, "{target}");
    }
    let after = save(machine.socket());
    assert!(before == after, "the saved state is another");
}

#[test]
fn the_topology_is_as_the_guest_numbered_it() {
    let machine = Machine::new();
    let topology = get(machine.socket(), "/topology").json();
    let ports = &topology["complexes"][0]["functions"];
    assert_eq!(ports[0]["name"], "rp0");
    assert_eq!(ports[0]["address"], "0000:00:00.0");
    assert_eq!(ports[0]["link"]["active"], false);
    assert_eq!(
        ports[0]["slot"],
        json!({
            "number": 1, "hot_plug": true, "present": false, "powered": true, "power_fault": false,
            "events": [], "attention_indicator": null, "power_indicator": null,
            "attention_button": false, "power_controller": false,
            "latch_open": null, "interlock_engaged": null
        })
    );
    assert_eq!(ports[1]["slot"]["attention_button"], true);
    assert_eq!(ports[1]["slot"]["power_controller"], true);
    assert_eq!(ports[1]["below"][1]["name"], "card");
    assert_eq!(ports[1]["below"][1]["kind"], "endpoint");
    let deep = &ports[2]["below"][0]["below"][0]["below"][0];
    assert_eq!(deep["name"], "deep");
    assert_eq!(
        deep["path"],
        "rc0/functions/rp2/device/downstream_ports/dsp0/device/functions/0"
    );
    let secondary = ports[2]["below"][0]["below"][0]["bridge"]["secondary"].as_u64();
    let bus = u64::from_str_radix(&deep["address"].as_str().unwrap()[5..7], 16).ok();
    assert_eq!(secondary, bus);
}

#[test]
fn what_is_behind_a_link_that_is_down_is_not_asked() {
    let machine = Machine::new();
    machine.hierarchy.lock().unplug("rp1").unwrap();
    // Disables the link of rp2: Link Control is 10h into the PCI Express capability.
    let link_control = 0x40 + 0x10;
    let address = crate::machine::ECAM + (2 << 15) + link_control;
    {
        use chipset_device::mmio::MmioIntercept;
        let mut hierarchy = machine.hierarchy.lock();
        let root = &mut hierarchy.complexes[0].root;
        let _ = root.mmio_write(address, &[0x10, 0]);
    }
    let topology = get(machine.socket(), "/topology").json();
    let rp2 = &topology["complexes"][0]["functions"][2];
    assert_eq!(rp2["link"]["active"], false);
    assert_eq!(rp2["below"][0]["name"], "sw");
    assert!(rp2["below"][0]["id"].is_null());
}

#[test]
fn the_drawing_names_everything() {
    let machine = Machine::new();
    let answer = get(machine.socket(), "/topology?format=svg");
    assert!(answer.head.contains("content-type: image/svg+xml"));
    let drawing = roxmltree::Document::parse(&answer.body).unwrap();
    let text: Vec<_> = drawing
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text())
        .collect();
    for name in ["rc0", "rp0", "rp1", "card", "sw", "dsp0", "deep"] {
        assert!(text.contains(&name), "{name} is not in {text:?}");
    }
}

#[test]
fn the_dump_has_every_function_the_guest_reaches() {
    let machine = Machine::new();
    let dump = get(machine.socket(), "/lspci").body;
    let heads: Vec<_> = dump
        .lines()
        .filter(|line| line.contains(": "))
        .filter(|line| line.starts_with("0000:"))
        .collect();
    // Three root ports, two functions of the card, upstream and downstream port, and the endpoint below.
    assert_eq!(heads.len(), 8, "{heads:?}");
    assert_eq!(heads[0], "0000:00:00.0 rp0: root port");
}

#[test]
fn metrics_of_each_port() {
    let machine = Machine::new();
    let answer = send(
        machine.socket(),
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n",
    );
    assert!(
        answer
            .head
            .contains("application/openmetrics-text; version=1.0.0"),
        "{}",
        answer.head
    );
    assert!(
        answer
            .body
            .contains("rootplex_port_link_active{port=\"rp0\"} 0\n"),
        "{}",
        answer.body
    );
    assert!(
        answer
            .body
            .contains("rootplex_port_link_active{port=\"rp1\"} 1\n")
    );
    assert!(answer.body.ends_with("# EOF\n"));
    assert!(
        answer
            .body
            .contains("rootplex_root_complex_unsupported_requests_total{root_complex=\"rc0\"} ")
    );
    machine
        .hierarchy
        .lock()
        .plug("rp0", &EndpointSpec::new("new"))
        .unwrap();
    let after = get(machine.socket(), "/metrics").body;
    assert!(
        after.contains("rootplex_port_slot_occupied{port=\"rp0\"} 1\n"),
        "{after}"
    );
    assert!(after.contains("rootplex_port_plugged_total{port=\"rp0\"} 1\n"));
    // Nobody drives the slot.
    assert!(after.contains("rootplex_port_problems{port=\"rp0\"} 1\n"));
    assert!(after.contains("rootplex_port_slot_events_pending{port=\"rp0\"} 2\n"));
    assert!(!after.contains("# EOF"), "the older form has no end mark");
}

#[test]
fn accesses_are_counted_by_port() {
    let machine = Machine::new();
    let count = |of: &str| {
        let metrics = get(machine.socket(), "/metrics").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(of));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    let reads = "rootplex_port_config_reads_total{port=\"rp1\"}";
    let complex = "rootplex_root_complex_config_reads_total{root_complex=\"rc0\"}";
    // Who looks counts nothing: that goes past the hierarchy's own door.
    assert_eq!((count(reads), count(complex)), (0, 0));
    let card = {
        let mut hierarchy = machine.hierarchy.lock();
        let functions = hierarchy.functions();
        let card = functions
            .iter()
            .find(|function| function.name == "card")
            .unwrap();
        let address = crate::machine::ECAM + (u64::from(card.bdf.unwrap().bus()) << 20);
        for _ in 0..7 {
            let _ = hierarchy.mmio_read(address, &mut [0; 4]);
        }
        let _ = hierarchy.mmio_write(address + 0x3c, &[1]);
        let _ = hierarchy.mmio_read(crate::machine::ECAM, &mut [0; 4]);
        address
    };
    assert!(card > crate::machine::ECAM);
    assert_eq!((count(reads), count(complex)), (7, 8));
    assert_eq!(count("rootplex_port_config_writes_total{port=\"rp1\"}"), 1);
    assert_eq!(count("rootplex_port_config_reads_total{port=\"rp2\"}"), 0);
}

/// A source with something that can be changed.
struct Dial(AtomicU32);

impl Source for Dial {
    fn inspect(&self, path: &str, depth: usize) -> Node {
        let mut tree = inspect::adhoc(|req| {
            req.respond().field("dial", AtomicMut(&self.0));
        });
        InspectionBuilder::new(path)
            .depth(Some(depth))
            .inspect(&mut tree)
            .results()
    }

    fn update(&self, path: &str, value: &str) -> Result<Value, inspect::Error> {
        let mut tree = inspect::adhoc(|req| {
            req.respond().field("dial", AtomicMut(&self.0));
        });
        inspect::update(path, value, &mut tree).result()
    }
}

#[test]
fn a_node_is_changed() {
    let server = serve(Arc::new(Dial(AtomicU32::new(3))), Limits::default());
    let socket = server.socket().unwrap();
    let answer = request(socket, "PUT", "/inspect/dial", b"0x10\n");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({"path": "dial", "value": 16}));
    assert_eq!(get(socket, "/inspect/dial").body, "16\n");
    let wrong = request(socket, "PUT", "/inspect/dial", b"loud");
    assert_eq!(wrong.status, 422);
    assert!(wrong.error().starts_with("'dial': "), "{}", wrong.error());
    assert_eq!(get(socket, "/inspect/dial").body, "16\n");
    // What it does not provide.
    assert_eq!(get(socket, "/state").status, 501);
    assert_eq!(get(socket, "/topology").json(), json!({"complexes": []}));
}

//! What is printed, and the inspection.

use crate::command::print;
use crate::command::run;
use crate::command::vacancy;
use expect_test::expect_file;
use serde_json::Value;

/// The report up to the inspection of the port.
fn tree() -> String {
    let report = print(&["demo"]);
    let end = report.find("\n\nverified: ").unwrap();
    report[..=end].to_string()
}

#[test]
fn the_tree_of_the_demo() {
    expect_file!["../golden/demo.tree.txt"].assert_eq(&tree());
}

#[test]
fn the_demo_is_verified() {
    let report = print(&["demo"]);
    let verified = report
        .lines()
        .find(|line| line.starts_with("verified: "))
        .unwrap();
    // A row of the tree has an address; a continuation row has none.
    let functions = tree()
        .lines()
        .filter(|line| line.contains(":0") && line.contains('─'))
        .count();
    assert!(
        verified.contains(&format!("config spaces of all {functions} functions")),
        "{verified}"
    );
}

#[test]
fn the_report_is_the_same_each_time() {
    let arguments = ["demo", "--json", "-"];
    assert_eq!(print(&arguments), print(&arguments));
    assert_eq!(print(&["demo"]), print(&["demo"]));
}

#[test]
fn the_first_hot_plug_port_is_inspected_unless_another_is_asked_for() {
    let report = print(&["demo"]);
    assert!(
        report.contains("\npcie0/functions/front-slot = {\n"),
        "{report}"
    );
    let report = print(&["demo", "--port", "switch1-port1"]);
    let path = "pcie0/functions/gpu-port/device/downstream_ports/switch0-port1/device/downstream_ports/switch1-port1";
    assert!(report.contains(&format!("\n{path} = {{\n")), "{report}");
    assert!(report.contains("physical_slot_number: 0x11,"), "{report}");
}

#[test]
fn the_whole_inspection_is_json() {
    let json: Value = serde_json::from_str(&print(&["demo", "--json", "-"])).unwrap();
    let port = &json["pcie0"]["functions"]["nvme-port0"];
    assert_eq!(port["cfg_space"]["header"]["secondary_bus_number"], 0x09);
    let cxl =
        &json["cxl0"]["functions"]["cxl-port1"]["device"]["downstream_ports"]["cxl-switch0-port1"];
    assert_eq!(cxl["device_function"], "01.0");
}

#[test]
fn quiet_prints_nothing_and_still_writes_files() {
    let path = vacancy("quiet.json");
    assert_eq!(
        print(&["demo", "--quiet", "--json", path.to_str().unwrap()]),
        ""
    );
    let json: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(json["pcie0"].is_object());
}

#[test]
fn what_did_not_fit_is_said() {
    let path = crate::command::file(
        "shortfall.toml",
        r#"
        [[root_complex]]
        name = "rc0"
        ecam = 0xe000_0000
        buses = { start = 0, end = 3 }
        mmio32 = { base = 0xc000_0000, size = "1M" }

        [[root_complex.port]]
        name = "rp0"

        [root_complex.port.endpoint]
        name = "large"
        bar = [{ kind = "32", size = "2M" }]

        [[root_complex.port]]
        name = "rp1"
        slot = 1
        "#,
    );
    let report = print(&["run", path.to_str().unwrap()]);
    let (_, shortfalls) = report
        .split_once("not everything has what it asked for:\n")
        .unwrap();
    let lines: Vec<_> = shortfalls
        .lines()
        .take_while(|line| !line.is_empty())
        .collect();
    assert_eq!(
        lines,
        [
            "  00:01.0: 2 of 8 bus numbers reserved; the host bridge has no more",
            "  00:01.0: 0 bytes of 32 MiB reserved in the prefetchable window: the host bridge has no 64-bit memory aperture",
            "  01:00.0: BAR 0 asks for 2 MiB of 32-bit memory: the 32-bit memory aperture 0xc0000000-0xc00fffff has 0 bytes left, \
             0 bytes in one piece",
            "  00:01.0: 1 MiB of 2 MiB reserved in the memory window: the 32-bit memory aperture 0xc0000000-0xc00fffff has 0 \
             bytes left, 0 bytes in one piece",
        ]
    );
    assert!(report.contains("\nverified: "), "{report}");
    let quiet = crate::command::run(&["run", path.to_str().unwrap(), "--quiet"]);
    assert_eq!(crate::command::text(&quiet.stdout), "");
    let said = crate::command::text(&quiet.stderr);
    assert!(
        said.starts_with("rootplex: ") && said.contains("asks for"),
        "{said}"
    );
}

#[test]
fn standard_output_takes_one_thing() {
    let output = run(&["demo", "--json", "-", "--svg", "-"]);
    assert_eq!(
        (
            crate::command::text(&output.stderr).as_str(),
            output.status.code()
        ),
        (
            "rootplex: only one of --lspci, --json and --svg can go to standard output\n",
            Some(2)
        )
    );
}

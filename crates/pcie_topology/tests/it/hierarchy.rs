//! Composed hierarchies: names, numbers, inspection, saved state, plugging.

use crate::machine::DEMO;
use crate::machine::Machine;
use expect_test::expect;
use pcie_topology::BarKind;
use pcie_topology::CxlDeviceSpec;
use pcie_topology::EndpointSpec;
use pcie_topology::FunctionKind;
use pcie_topology::MsixSpec;
use pcie_topology::PlugError;
use pcie_topology::Topology;
use vmcore::device_state::ChangeDeviceState;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::SavedStateBlob;

/// The identifiers that a function of the demonstration must show: vendor and device.
fn identity(machine: &mut Machine, name: &str, nth: usize) -> u32 {
    machine.config(name, nth, 0)
}

#[test]
fn names_follow_the_bus_numbers() {
    let mut machine = Machine::from_toml(DEMO);
    let unnumbered = machine
        .hierarchy
        .functions()
        .into_iter()
        .filter(|f| f.bdf.is_none())
        .count();
    assert_eq!(
        unnumbered,
        33,
        "all but the root buses' functions: {}",
        machine.listing()
    );
    machine.number_buses();
    expect![[r#"
        00:02.0 front-slot RootPort
        00:03.0 nvme-port0 RootPort
        02:00.0 nvme0 Endpoint below nvme-port0
        00:03.1 nvme-port1 RootPort
        00:03.2 nic-port RootPort
        04:00.0 nic0 Endpoint below nic-port
        04:00.1 nic0 Endpoint below nic-port
        04:00.2 nic0 Endpoint below nic-port
        04:00.3 nic0 Endpoint below nic-port
        00:04.0 gpu-port RootPort
        05:00.0 switch0 UpstreamPort below gpu-port
        06:00.0 switch0-port0 DownstreamPort below switch0
        06:01.0 switch0-port1 DownstreamPort below switch0
        08:00.0 switch1 UpstreamPort below switch0-port1
        09:00.0 switch1-port0 DownstreamPort below switch1
        0a:00.0 gpu0 Endpoint below switch1-port0
        09:01.0 switch1-port1 DownstreamPort below switch1
        00:01.0 iommu0 Integrated
        00:05.0 collector0 EventCollector
        80:00.0 cxl-port0 RootPort
        81:00.0 mem0 Endpoint below cxl-port0
        80:01.0 cxl-port1 RootPort
        82:00.0 cxl-switch0 UpstreamPort below cxl-port1
        83:00.0 cxl-switch0-port0 DownstreamPort below cxl-switch0
        84:00.0 mem1 Endpoint below cxl-switch0-port0
        83:01.0 cxl-switch0-port1 DownstreamPort below cxl-switch0
        80:02.0 ari-port RootPort
        86:00.0 accelerator0 Endpoint below ari-port
        86:00.1 accelerator0 Endpoint below ari-port
        86:00.2 accelerator0 Endpoint below ari-port
        86:00.3 accelerator0 Endpoint below ari-port
        86:00.4 accelerator0 Endpoint below ari-port
        86:00.5 accelerator0 Endpoint below ari-port
        86:00.6 accelerator0 Endpoint below ari-port
        86:00.7 accelerator0 Endpoint below ari-port
        86:01.0 accelerator0 Endpoint below ari-port
        86:01.1 accelerator0 Endpoint below ari-port
        86:01.2 accelerator0 Endpoint below ari-port
        86:01.3 accelerator0 Endpoint below ari-port
        86:01.4 accelerator0 Endpoint below ari-port
        86:01.5 accelerator0 Endpoint below ari-port
        86:01.6 accelerator0 Endpoint below ari-port
        86:01.7 accelerator0 Endpoint below ari-port
    "#]]
    .assert_eq(&machine.listing());
}

#[test]
fn every_function_answers_where_its_name_says() {
    let mut machine = Machine::from_toml(DEMO);
    machine.number_buses();
    machine.forward_by_ari("ari-port");
    for (i, function) in machine.hierarchy.functions().into_iter().enumerate() {
        let (vendor_device, class) = {
            let nth = machine.hierarchy.functions()[..i]
                .iter()
                .filter(|f| f.name == function.name)
                .count();
            (
                identity(&mut machine, &function.name, nth),
                machine.config(&function.name, nth, 8) >> 8,
            )
        };
        use pcie_topology::FunctionKind::*;
        let expected = match function.kind {
            RootPort => 0xc030_1414,
            UpstreamPort => 0xc031_1414,
            DownstreamPort => 0xc032_1414,
            Endpoint if function.name == "nic0" => 0xc1e4_1414,
            Endpoint | Integrated => 0xc1e0_1414,
            EventCollector => 0xc033_1414,
        };
        assert_eq!(vendor_device, expected, "{function:?}");
        let bridge = matches!(function.kind, RootPort | UpstreamPort | DownstreamPort);
        assert_eq!(class == 0x06_0400, bridge, "{function:?}");
    }
    assert_eq!(machine.config("nic0", 3, 8) >> 8, 0x02_0000);
    assert_eq!(machine.config("mem0", 0, 8) >> 8, 0x05_0210);
}

/// Port Number of Link Capabilities (PCIe 6.2 section 7.5.3.6) is unique in a component: a root complex, or a switch.
#[test]
fn the_ports_of_a_component_have_different_numbers() {
    let mut machine = Machine::from_toml(DEMO);
    let mut numbers = std::collections::BTreeSet::new();
    let functions = machine.hierarchy.functions();
    for function in &functions {
        let component = match function.kind {
            FunctionKind::RootPort => function.path.split('/').next().unwrap().to_owned(),
            FunctionKind::UpstreamPort => function.name.clone(),
            FunctionKind::DownstreamPort => function.parent.clone().unwrap(),
            _ => continue,
        };
        let inspected = inspect::inspect(&function.path, &mut machine.hierarchy)
            .results()
            .json()
            .to_string();
        let (_, number) = inspected.split_once("\"port_number\":").unwrap();
        let number: u8 = number
            .split([',', '}'])
            .next()
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        assert!(
            numbers.insert((component.clone(), number)),
            "{component} has two ports with the number {number}"
        );
    }
    // The demo has 8 root ports, three switches, and 6 ports of theirs.
    assert_eq!(numbers.len(), 8 + 3 + 6, "{numbers:?}");
}

#[test]
fn paths_lead_to_the_functions_in_inspection() {
    let mut machine = Machine::from_toml(DEMO);
    for function in machine.hierarchy.functions() {
        let inspected = inspect::inspect(
            &format!("{}/cfg_space", function.path),
            &mut machine.hierarchy,
        )
        .results()
        .to_string();
        let flat = inspect::inspect(&function.path, &mut machine.hierarchy)
            .results()
            .to_string();
        assert!(
            inspected.contains("command") || flat.contains("command"),
            "{}: {inspected} {flat}",
            function.path
        );
    }
}

#[test]
fn every_function_has_pci_express_and_an_extended_capability() {
    let mut machine = Machine::from_toml(DEMO);
    machine.number_buses();
    machine.forward_by_ari("ari-port");
    let functions = machine.hierarchy.functions();
    for (i, function) in functions.iter().enumerate() {
        let nth = functions[..i]
            .iter()
            .filter(|f| f.name == function.name)
            .count();
        assert!(
            machine.capability(&function.name, nth, 0x10).is_some(),
            "{function:?}"
        );
        let extended = machine.extended_capabilities(&function.name, nth);
        // An event collector is part of the root complex.
        let device = function.kind != pcie_topology::FunctionKind::EventCollector;
        assert!(
            extended.iter().any(|(id, _)| *id == 0x0003) == device,
            "{function:?}: no serial number in {extended:?}"
        );
    }
    // The given serial number, and a derived one.
    let serial = |machine: &mut Machine, name: &str| {
        let at = machine
            .extended_capabilities(name, 0)
            .into_iter()
            .find(|(id, _)| *id == 3)
            .unwrap()
            .1;
        (u64::from(machine.config(name, 0, at + 8)) << 32)
            | u64::from(machine.config(name, 0, at + 4))
    };
    assert_eq!(serial(&mut machine, "nic0"), 0x0200_5eff_fe00_0001);
    let derived = pcie_topology::SerialNumber::from_name("switch0").0;
    assert_eq!(serial(&mut machine, "switch0"), derived);
    // ACS as asked for, all that is emulated where nothing was asked.
    let acs = |machine: &mut Machine, name: &str| {
        let at = machine
            .extended_capabilities(name, 0)
            .into_iter()
            .find(|(id, _)| *id == 0x0d)
            .unwrap()
            .1;
        machine.config(name, 0, at + 4) & 0xffff
    };
    assert_eq!(
        (
            acs(&mut machine, "gpu-port"),
            acs(&mut machine, "switch1-port0")
        ),
        (0x1d, 0x5f)
    );
}

#[test]
fn functions_above_7_answer_once_ari_is_forwarded() {
    let mut machine = Machine::from_toml(DEMO);
    machine.number_buses();
    assert_eq!(machine.config("accelerator0", 7, 0), 0xc1e0_1414);
    assert_eq!(machine.config("accelerator0", 8, 0), u32::MAX);
    machine.forward_by_ari("ari-port");
    for nth in 0..16 {
        let ari = machine
            .extended_capabilities("accelerator0", nth)
            .into_iter()
            .find(|(id, _)| *id == 0x0e)
            .unwrap()
            .1;
        let next = machine.config("accelerator0", nth, ari + 4) >> 8 & 0xff;
        assert_eq!(next as usize, (nth + 1) % 16, "the chain ends with 0");
    }
}

fn save(machine: &mut Machine) -> Vec<SavedStateBlob> {
    machine
        .hierarchy
        .complexes
        .iter_mut()
        .map(|complex| ProtobufSaveRestore::save(&mut complex.root).unwrap())
        .collect()
}

#[test]
fn a_restored_hierarchy_is_the_one_that_was_saved() {
    let mut machine = Machine::from_toml(DEMO);
    let fresh = save(&mut machine);
    machine.number_buses();
    machine.place_bar("nic0", 2, 0, 0x40_0000_0000);
    machine.write(0, 0x40_0000_0010, 0x1122_3344, 4).unwrap();
    machine.set_config("gpu0", 0, 0x3c, &[11]);
    let saved = save(&mut machine);
    let listing = machine.listing();
    assert_ne!(saved, fresh);

    for complex in &mut machine.hierarchy.complexes {
        pollster::block_on(complex.root.reset());
    }
    assert_eq!(save(&mut machine), fresh, "a reset forgets all");
    for (complex, state) in machine.hierarchy.complexes.iter_mut().zip(saved.clone()) {
        ProtobufSaveRestore::restore(&mut complex.root, state).unwrap();
    }
    assert_eq!(save(&mut machine), saved);
    assert_eq!(machine.listing(), listing);
    assert_eq!(machine.read(0, 0x40_0000_0010, 4), Ok(0x1122_3344));

    let mut other = Machine::from_toml(DEMO);
    for (complex, state) in other.hierarchy.complexes.iter_mut().zip(saved.clone()) {
        ProtobufSaveRestore::restore(&mut complex.root, state).unwrap();
    }
    assert_eq!(save(&mut other), saved, "in another process");
}

#[test]
fn a_state_of_another_hierarchy_is_refused_and_changes_nothing() {
    let mut machine = Machine::from_toml(DEMO);
    machine.number_buses();
    let saved = save(&mut machine);
    // The same ports, but the card has one function less.
    let mut other = Machine::from_toml(&DEMO.replace("functions = 4", "functions = 3"));
    let before = save(&mut other);
    let error =
        ProtobufSaveRestore::restore(&mut other.hierarchy.complexes[0].root, saved[0].clone())
            .unwrap_err();
    expect!["failed to restore 'nic-port/nic0': the saved state is invalid: 4 functions in the saved state; 'nic0' has 3"]
        .assert_eq(&format!("{:#}", anyhow::Error::from(error)));
    assert_eq!(save(&mut other), before);
}

#[test]
fn devices_come_and_go() {
    let mut machine = Machine::from_toml(DEMO);
    machine.number_buses();
    let hot = EndpointSpec {
        msix: Some(MsixSpec::new(2)),
        ..EndpointSpec::new("hot0")
    }
    .with_bar(BarKind::Memory64, 0x4000);
    assert_eq!(machine.config("switch1-port1", 0, 0x18) >> 8 & 0xff, 11);
    machine.hierarchy.plug("switch1-port1", &hot).unwrap();
    let function = machine.function("hot0", 0);
    assert_eq!(
        function.path,
        "pcie0/functions/gpu-port/device/downstream_ports/switch0-port1/device/downstream_ports/switch1-port1/device/functions/0"
    );
    assert_eq!(machine.config("hot0", 0, 0), 0xc1e0_1414);
    let pcie = machine.capability("switch1-port1", 0, 0x10).unwrap();
    let slot_status = |machine: &mut Machine| machine.config("switch1-port1", 0, pcie + 0x18) >> 16;
    assert_eq!(
        slot_status(&mut machine) & 0x48,
        0x48,
        "presence is detected, and changed"
    );

    let error = machine
        .hierarchy
        .plug("switch1-port1", &EndpointSpec::new("hot1"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "port 'switch1-port1' is occupied by 'hot0'"
    );
    machine.hierarchy.unplug("switch1-port1").unwrap();
    assert_eq!(slot_status(&mut machine) & 0x48, 0x08, "and is gone");
    assert!(
        machine
            .hierarchy
            .functions()
            .iter()
            .all(|function| function.name != "hot0")
    );
    assert_eq!(
        machine
            .hierarchy
            .unplug("switch1-port1")
            .unwrap_err()
            .to_string(),
        "port 'switch1-port1' is empty"
    );
    machine.hierarchy.plug("switch1-port1", &hot).unwrap();
}

#[test]
fn what_the_file_put_into_a_slot_can_be_taken_out() {
    let topology = Topology::from_toml(
        r#"
        [[root_complex]]
        name = "rc0"
        ecam = 0xe000_0000
        port = [{ name = "rp0", slot = 1, switch = { name = "sw0", port = [{ name = "dp0", slot = 2, endpoint = { name = "ep0" } }] } }, { name = "rp1" }]
        "#,
    )
    .unwrap();
    let mut machine = Machine::new(&topology);
    assert_eq!(machine.hierarchy.port_names(), ["rp0", "dp0", "rp1"]);
    machine.hierarchy.unplug("rp0").unwrap();
    assert_eq!(machine.hierarchy.port_names(), ["rp0", "rp1"]);
    assert!(matches!(
        machine.hierarchy.unplug("dp0"),
        Err(PlugError::UnknownPort { .. })
    ));
    machine
        .hierarchy
        .plug("rp0", &EndpointSpec::new("ep0"))
        .unwrap();
}

#[test]
fn plugging_mistakes_are_told() {
    let mut machine = Machine::from_toml(DEMO);
    let mut check = |port: &str, endpoint: EndpointSpec, expected: expect_test::Expect| {
        let before = machine.listing();
        let error = machine.hierarchy.plug(port, &endpoint).unwrap_err();
        expected.assert_eq(&error.to_string());
        assert_eq!(machine.listing(), before);
    };
    let named = EndpointSpec::new;
    check(
        "switch1-prt1",
        named("x"),
        expect![
            "no port is named 'switch1-prt1'; did you mean 'switch1-port1', 'switch0-port1' or 'switch1-port0'?"
        ],
    );
    check("zzz", named("x"), expect!["no port is named 'zzz'"]);
    check("nvme0", named("x"), expect!["no port is named 'nvme0'"]);
    check(
        "nic-port",
        named("x"),
        expect!["port 'nic-port' has no hot-plug slot; give it a `slot` number"],
    );
    check(
        "nvme-port0",
        named("x"),
        expect!["port 'nvme-port0' is occupied by 'nvme0'"],
    );
    check(
        "front-slot",
        named("gpu0"),
        expect!["the name 'gpu0' is in use"],
    );
    check(
        "front-slot",
        named("pcie0"),
        expect!["the name 'pcie0' is in use"],
    );
    let wrong = EndpointSpec {
        functions: 9,
        device: Some(1),
        ..named("a b")
    }
    .with_bar(BarKind::Memory32, 1000);
    check(
        "front-slot",
        wrong,
        expect![[r#"
            the endpoint's description has mistakes:
            name: "a b" is no name: a name is letters, digits, '_', '.' and '-'
            functions: 9; more than 8 need `ari_forwarding` in the port above
            device: only an endpoint integrated in a root complex has a device number
            bar[0].size: 0x3e8 bytes; a BAR is a power of two of at least 0x1000"#]],
    );
    let memory = EndpointSpec {
        cxl: Some(CxlDeviceSpec::new(1 << 30)),
        ..named("mem9")
    }
    .with_bar(BarKind::Memory64, 0x2_0000);
    check(
        "front-slot",
        memory.clone(),
        expect![[r#"
        the endpoint's description has mistakes:
        cxl: a CXL memory device needs `cxl` with mem in the port above"#]],
    );
    machine
        .hierarchy
        .plug("cxl-switch0-port1", &memory)
        .unwrap();
}

/// A slot with a button, a power controller and a power indicator.
const ORDERLY: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe0000000
    port = [{ name = "rp0", slot = { number = 5, attention_button = true, power_controller = true, power_indicator = true }, link = { speed = "16GT/s", width = 8 }, endpoint = { name = "ep0" } }, { name = "rp1", slot = 1 }]
"#;

#[test]
fn a_device_is_removed_in_order() {
    let mut machine = Machine::from_toml(ORDERLY);
    machine.number_buses();
    let pcie = machine.capability("rp0", 0, 0x10).unwrap();
    assert_eq!(
        machine.config("rp0", 0, pcie + 0x14),
        5 << 19 | 0x53,
        "button, power controller, power indicator, hot-plug; slot 5"
    );
    assert_eq!(
        machine.config("rp0", 0, pcie + 0x10) >> 16 & 0x3ff,
        0x84,
        "16 GT/s, 8 lanes"
    );
    let identity_of_ep0 = identity(&mut machine, "ep0", 0);
    assert_ne!(identity_of_ep0, !0);
    assert!(!machine.hierarchy.removal_permitted("rp0").unwrap());
    machine.hierarchy.request_removal("rp0").unwrap();
    assert_eq!(
        machine.config("rp0", 0, pcie + 0x18) >> 16 & 0x41,
        0x41,
        "present, and the button was pressed"
    );
    // Power Controller Control: off. Power Indicator Control: off.
    machine.set_config("rp0", 0, pcie + 0x18, &[0, 0x07]);
    assert!(machine.hierarchy.removal_permitted("rp0").unwrap());
    assert_eq!(identity(&mut machine, "ep0", 0), !0);
    machine.hierarchy.unplug("rp0").unwrap();

    let refused = |result: Result<(), PlugError>| result.unwrap_err().to_string();
    for (result, expected) in [
        (
            machine.hierarchy.request_removal("rp0"),
            "port 'rp0' is empty",
        ),
        (
            machine.hierarchy.press_attention_button("rp1"),
            "slot 1 has no attention button",
        ),
        (
            machine.hierarchy.set_mrl("rp0", true),
            "slot 5 has no MRL sensor",
        ),
        (
            machine.hierarchy.power_fault("rp1"),
            "slot 1 has no power controller",
        ),
    ] {
        let text = refused(result);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn both_ends_of_a_link_show_what_they_agreed_on() {
    let mut machine = Machine::from_toml(
        r#"
        [[root_complex]]
        name = "rc0"
        ecam = 0xe0000000
        port = [{ name = "rp0", slot = 1, link = { speed = "16GT/s", width = 8 }, switch = { name = "sw0", port = [{ name = "dp0", endpoint = { name = "ep0", functions = 2, link = { speed = "8GT/s", width = 4 } } }] } }]
        "#,
    );
    machine.number_buses();
    let status = |machine: &mut Machine, name: &str, nth| {
        let pcie = machine.capability(name, nth, 0x10).unwrap();
        machine.config(name, nth, pcie + 0x10) >> 16 & 0x3ff
    };
    // The switch can 32 GT/s and 16 lanes.
    assert_eq!(status(&mut machine, "rp0", 0), 0x84);
    assert_eq!(status(&mut machine, "sw0", 0), 0x84);
    let ends = [("dp0", 0), ("ep0", 0), ("ep0", 1)];
    for (name, nth) in ends {
        assert_eq!(status(&mut machine, name, nth), 0x43, "{name}.{nth}");
    }
    // Target Link Speed of the port above: 5 GT/s.
    let pcie = machine.capability("dp0", 0, 0x10).unwrap();
    machine.set_config("dp0", 0, pcie + 0x30, &[2, 0]);
    for (name, nth) in ends {
        assert_eq!(status(&mut machine, name, nth), 0x42, "{name}.{nth}");
    }
    // That of an end that leads upstream limits nothing (PCIe 6.2 section 7.5.3.19).
    for (name, shown) in [("ep0", 0x42), ("sw0", 0x84)] {
        let pcie = machine.capability(name, 0, 0x10).unwrap();
        machine.set_config(name, 0, pcie + 0x30, &[1, 0]);
        assert_eq!(status(&mut machine, name, 0), shown, "{name}");
    }
}

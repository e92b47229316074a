//! What cannot be composed, and the error that says so.

use crate::model::*;
use cxl_spec::pci_registers::spec::flex_bus_port_dvsec::CxlFlexBusPortDvsecCapability;
use memory_range::MemoryRange;
use pci_core::msi::MsiTarget;
use pcie::ComposeError;
use pcie::PciePortSettings;
use pcie::PortBarDefinition;
use pcie::PortBarSubregionDefinition;
use pcie::PortBarSubregionKind;
use pcie::PortBarSubregionKind::CxlComponentRegisters;
use pcie::PortBarSubregionKind::MsiXPba;
use pcie::PortBarSubregionKind::MsiXTable;
use pcie::PortConfig;
use pcie::PortError;
use pcie::root::GenericPcieRootComplex;
use pcie::root::GenericPcieRootPortDefinition;
use pcie::root::RootComplexBuilder;
use pcie::switch::SwitchConfig;

/// The error of a root complex that cannot be, and the proof that it left nothing behind.
fn error(builder: RootComplexBuilder) -> ComposeError {
    let mut regions = Regions::default();
    let error = builder
        .build(&mut regions, &MsiTarget::disconnected())
        .err()
        .unwrap();
    assert_eq!(regions.live(), [], "nothing stays registered");
    error
}

fn text(ports: impl IntoIterator<Item = PortConfig>) -> String {
    // A sound port with a BAR comes first, so that there is something to take back.
    let first = PortConfig {
        bar: Some(bar(&[])),
        ..PortConfig::new("first", 31, 0)
    };
    let builder = ports
        .into_iter()
        .fold(builder().port(first), RootComplexBuilder::port);
    error(builder).to_string()
}

fn bar(parts: &[(PortBarSubregionKind, u64, u64)]) -> PortBarDefinition {
    PortBarDefinition {
        index: 0,
        size_bytes: 0x4_0000,
        subregions: parts
            .iter()
            .map(|&(kind, offset, size_bytes)| PortBarSubregionDefinition {
                kind,
                offset,
                size_bytes,
            })
            .collect(),
    }
}

fn port_with(bar: PortBarDefinition) -> PortConfig {
    PortConfig {
        bar: Some(bar),
        ..PortConfig::new("rp0", 0, 0)
    }
}

fn cxl() -> PciePortSettings {
    PciePortSettings {
        cxl_flex_bus_port_capability: Some(
            CxlFlexBusPortDvsecCapability::new().with_mem_capable(true),
        ),
        ..PciePortSettings::default()
    }
}

#[test]
fn names_and_places() {
    assert_eq!(
        text([PortConfig::new("a", 0, 0), PortConfig::new("a", 1, 0)]),
        "port 'a' is there twice"
    );
    assert_eq!(
        text([PortConfig::new("a", 0x1e, 0), PortConfig::new("b", 0x1e, 0)]),
        "'b' is at 1e.0, where 'a' is"
    );
    assert_eq!(
        text([PortConfig::new("a", 32, 0)]),
        "'a' is at device 32, function 0; devices are 0 to 31, functions 0 to 7"
    );
    assert_eq!(
        text([PortConfig::new("a", 0, 0), PortConfig::new("b", 0, 8)]),
        "'b' is at device 0, function 8; devices are 0 to 31, functions 0 to 7"
    );
    assert_eq!(
        text([PortConfig::new("a", 4, 2)]),
        "'a' is function 2 of device 04, which has no function 0"
    );
    let integrated = builder()
        .port(PortConfig::new("a", 4, 0))
        .integrated_endpoint("b", 4, 0, Scratch::boxed(1));
    assert_eq!(
        error(integrated).to_string(),
        "'b' is at 04.0, where 'a' is"
    );
    let integrated = builder()
        .port(PortConfig::new("a", 4, 0))
        .integrated_endpoint("a", 5, 0, Scratch::boxed(1));
    assert_eq!(error(integrated).to_string(), "port 'a' is there twice");
}

#[test]
fn inspection_finds_a_port_by_its_name() {
    let names = [
        "rp1",
        "rp10",
        "rp2",
        "rp",
        "nic/left",
        "nic/right",
        "/led",
        "",
        "rp1x",
    ];
    let ports = (0..).zip(names);
    let mut root = build(ports.fold(builder(), |builder, (device, name)| {
        builder.port(PortConfig::new(name, device, 0))
    }));
    for (path, expected) in [
        ("rp", "\"03.0\""),
        ("rp1", "\"00.0\""),
        ("rp10", "\"01.0\""),
        ("rp1x", "\"08.0\""),
        ("rp2", "\"02.0\""),
        ("nic/left", "\"04.0\""),
        ("nic/right", "\"05.0\""),
        ("led", "\"06.0\""),
        // Of a port without a name, there are only its children.
        ("", "\"07.0\""),
        ("rp3", "error (not found)"),
        ("ni", "error (not found)"),
    ] {
        let path = format!("functions/{path}/device_function");
        let shown = inspect::inspect(&path, &mut root).results();
        assert_eq!(shown.to_string(), expected, "{path}");
    }
}

#[test]
fn slot_numbers() {
    assert_eq!(
        text([PortConfig::new("a", 0, 0).with_slot(8192)]),
        "port 'a': slot number 8192; slot numbers are 0 to 8191"
    );
    let mut root = build(builder().port(PortConfig::new("a", 0, 0).with_slot(8191)));
    assert_eq!(root.read(0, 0, 0x54) >> 19, 8191);
}

#[test]
fn ranges() {
    let from =
        |start, end, range| error(GenericPcieRootComplex::builder(start, end, range)).to_string();
    assert_eq!(
        from(5, 4, ecam(0, 0)),
        "buses 0x05 to 0x04: the first is above the last"
    );
    assert_eq!(
        from(0, 15, MemoryRange::new(0x1000..0x2000)),
        "ECAM range 0x1000-0x2000 has 0x1000 bytes; buses 0x00 to 0x0f take 0x1000000"
    );
    let chbcr = |range| error(builder().host_bridge_registers(range)).to_string();
    assert_eq!(
        chbcr(MemoryRange::new(0x1000..0x2000)),
        "host bridge component registers at 0x1000-0x2000: 0x1000 bytes, 0x10000 at least"
    );
    assert_eq!(
        chbcr(MemoryRange::new(0xe0ff_f000..0xe100_f000)),
        "ECAM at 0xe0000000-0xe1000000 and host bridge component registers at 0xe0fff000-0xe100f000 overlap"
    );
    let all = GenericPcieRootComplex::builder(0, 255, ecam(0, 255));
    assert_eq!(build(all).ecam_size(), 256 << 20);
}

#[test]
fn bars() {
    let index = PortBarDefinition {
        index: 2,
        ..bar(&[])
    };
    assert_eq!(
        text([port_with(index)]),
        "port 'rp0': BAR2 asked for; a port's BAR is 64 bits wide and can only be BAR0"
    );
    assert_eq!(
        text([port_with(bar(&[(MsiXTable, 0x3_f000, 0x2000)]))]),
        "port 'rp0': MsiXTable of 0x2000 bytes at 0x3f000 do not fit in a BAR of 0x40000 bytes"
    );
    assert_eq!(
        text([port_with(bar(&[(MsiXTable, u64::MAX, 2)]))]),
        "port 'rp0': MsiXTable of 0x2 bytes at 0xffffffffffffffff do not fit in a BAR of 0x40000 bytes"
    );
    assert_eq!(
        text([port_with(bar(&[(MsiXTable, 0, 0x40), (MsiXPba, 0x38, 8)]))]),
        "port 'rp0': MsiXTable and MsiXPba collide in BAR0"
    );
    assert_eq!(
        text([port_with(bar(&[
            (MsiXTable, 0, 0x40),
            (MsiXTable, 0x40, 0x40)
        ]))]),
        "port 'rp0': MsiXTable and MsiXTable collide in BAR0"
    );
    assert_eq!(
        text([port_with(bar(&[(CxlComponentRegisters, 0x8000, 0x1_0000)]))]),
        "port 'rp0': CXL component registers at 0x8000, 0x10000 bytes; they are 64 KiB at a multiple of 64 KiB"
    );
    assert_eq!(
        text([port_with(bar(&[(CxlComponentRegisters, 0, 0x1000)]))]),
        "port 'rp0': CXL component registers at 0x0, 0x1000 bytes; they are 64 KiB at a multiple of 64 KiB"
    );
    assert_eq!(
        text([PortConfig {
            settings: cxl(),
            ..port_with(bar(&[]))
        }]),
        "port 'rp0': a CXL port's BAR needs a part for the component registers"
    );
    for part in [MsiXTable, MsiXPba] {
        assert_eq!(
            text([port_with(bar(&[(part, 0, 0x40)]))]),
            "port 'rp0': MSI-X needs both a table and pending bits in the BAR"
        );
    }
    assert_eq!(
        text([port_with(bar(&[(MsiXTable, 4, 0x40), (MsiXPba, 0x80, 8)]))]),
        "port 'rp0': MSI-X table or pending bits at offset 0x4; offsets are multiples of 8"
    );
    assert_eq!(
        text([port_with(bar(&[(MsiXTable, 0, 8), (MsiXPba, 0x80, 8)]))]),
        "port 'rp0': 0 MSI-X vectors; a function has 1 to 2048"
    );
    assert_eq!(
        text([port_with(bar(&[
            (MsiXTable, 0, 0x1000),
            (MsiXPba, 0x1000, 8)
        ]))]),
        "port 'rp0': MsiXPba of 0x20 bytes at 0x1000 do not fit in a BAR of 0x1008 bytes",
        "256 vectors have 32 bytes of pending bits"
    );
    let huge = PortBarDefinition {
        size_bytes: (1 << 63) + 1,
        ..bar(&[])
    };
    assert_eq!(
        text([port_with(huge)]),
        "port 'rp0': BAR0 asks for 0x8000000000000001 bytes; its kind takes at most 0x8000000000000000"
    );
}

#[test]
fn switches() {
    let text = |ports: Vec<PortConfig>| {
        let mut config = SwitchConfig::new("sw");
        config.ports = ports;
        config
            .build(&MsiTarget::disconnected(), None)
            .err()
            .unwrap()
            .to_string()
    };
    assert_eq!(
        text(vec![PortConfig {
            settings: cxl(),
            ..PortConfig::new("dsp0", 0, 0)
        }]),
        "port 'dsp0': a port with a BAR needs MMIO registration, and none was given"
    );
    assert_eq!(
        text(vec![port_with(bar(&[]))]),
        "port 'rp0': a port with a BAR needs MMIO registration, and none was given"
    );
    assert_eq!(
        text(vec![PortConfig::new("dsp0", 0, 1)]),
        "'dsp0' is function 1 of device 00, which has no function 0"
    );
    assert_eq!(
        text(vec![PortConfig::new("dsp0", 0, 0).with_slot(u32::MAX)]),
        "port 'dsp0': slot number 4294967295; slot numbers are 0 to 8191"
    );
}

#[test]
fn errors_can_be_told_apart() {
    let found = error(builder().port(port_with(bar(&[(MsiXTable, 0, 0x40)]))));
    let ComposeError::Port(PortError::MsixHalf { port }) = found else {
        panic!("{found:?}");
    };
    assert_eq!(port, "rp0");
}

fn new(ports: usize, range: MemoryRange) -> GenericPcieRootComplex {
    let ports = (0..ports).map(|i| GenericPcieRootPortDefinition {
        name: format!("rp{i}").into(),
        hotplug: false,
        settings: PciePortSettings::default(),
    });
    GenericPcieRootComplex::new(
        &mut Regions::default(),
        0,
        15,
        None,
        range,
        ports.collect(),
        &MsiTarget::disconnected(),
    )
}

#[test]
#[should_panic(expected = "too many ports: 33; there is room for 32")]
fn new_panics_past_32_ports() {
    new(33, ecam(0, 15));
}

#[test]
#[should_panic(expected = "too many ports: 300; there is room for 32")]
fn new_panics_past_the_numbers_of_a_byte() {
    new(300, ecam(0, 15));
}

#[test]
#[should_panic(expected = "has 0x1000 bytes; buses 0x00 to 0x0f take 0x1000000")]
fn new_panics_when_ecam_does_not_fit_the_buses() {
    new(1, MemoryRange::new(0x1000..0x2000));
}

#[test]
fn what_is_composed_is_registered_and_mapped() {
    let mut regions = Regions::default();
    let root = builder()
        .host_bridge_registers(MemoryRange::new(0xd000_0000..0xd001_0000))
        .port(PortConfig {
            settings: cxl(),
            ..PortConfig::new("rp0", 0, 0)
        })
        .build(&mut regions, &MsiTarget::disconnected())
        .unwrap();
    assert_eq!(
        regions.live(),
        [
            ("rp0-bar0".into(), 0x1_0000, None),
            ("ecam".into(), 16 << 20, Some(ECAM)),
            ("chbcr".into(), 0x1_0000, Some(0xd000_0000)),
        ]
    );
    drop(root);
    assert_eq!(regions.live(), []);
}

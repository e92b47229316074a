//! Enumeration and a driver against the real emulators: a root complex, a switch, hot-plug slots and endpoints.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails should stop at once"
)]

mod port_bars;

use pci_core::spec::caps::CapabilityId;
use pci_core::spec::caps::ExtendedCapabilityId;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_enumerate::Apertures;
use pci_enumerate::Bdf;
use pci_enumerate::ConfigAccess;
use pci_enumerate::Hierarchy;
use pci_enumerate::HostBridge;
use pci_enumerate::Width;
use pcie::root::GenericPcieRootComplex;
use pcie_topology::DOORBELL_OFFSET;
use pcie_topology::Topology;
use std::sync::Arc;
use testkit::Driver;
use testkit::DriverError;
use testkit::MmioMap;
use testkit::MsiSink;
use testkit::ecam;
use vmcore::device_state::ChangeDeviceState;

/// The first bus is not 0, so that a bus counted from the wrong end shows.
const FIRST_BUS: u8 = 0x20;
const LAST_BUS: u8 = 0x5f;
const ECAM: u64 = 0xe000_0000;

/// rp0 with a switch of two ports, the second a hot-plug slot; rp1 a hot-plug slot; rp2 with a CXL device.
const TOPOLOGY: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000
    chbcr = 0xfd00_0000
    buses = { start = 0x20, end = 0x5f }

    [[root_complex.port]]
    name = "rp0"
    device = 1
    [root_complex.port.switch]
    name = "sw0"
    [[root_complex.port.switch.port]]
    name = "dsp0"
    [root_complex.port.switch.port.endpoint]
    name = "card"
    bar = [{ size = "16K" }, { size = "1M", kind = "prefetchable" }]
    msix = { bar = 0, vectors = 4 }
    [[root_complex.port.switch.port]]
    name = "dsp1"
    slot = 6

    [[root_complex.port]]
    name = "rp1"
    device = 1
    function = 1
    slot = 5

    [[root_complex.port]]
    name = "rp2"
    device = 3
    cxl = {}
    [root_complex.port.endpoint]
    name = "memory"
    bar = [{ size = "256K" }]
    msix = { bar = 0, vectors = 1 }
    cxl = { memory = "1G", bar = 0 }
"#;

struct Machine {
    root: GenericPcieRootComplex,
    map: MmioMap,
    sink: Arc<MsiSink>,
}

impl Machine {
    fn new() -> Self {
        let (mut map, sink) = (MmioMap::new(), MsiSink::new());
        let topology = Topology::from_toml(TOPOLOGY).unwrap();
        let mut hierarchy = topology.compose(&mut map, Some(sink.clone())).unwrap();
        let root = hierarchy.complexes.remove(0).root;
        Self { root, map, sink }
    }

    /// Rings the doorbell of the endpoint behind the switch.
    fn raise(&mut self, vector: u32) {
        let mut driver = Driver::new(&mut self.root, bdf("23:00.0"));
        let bar = driver.size_bars()[0].address.unwrap();
        driver.write_memory(bar + DOORBELL_OFFSET, vector);
    }

    fn enumerate(&mut self) -> Hierarchy {
        let mut host_bridge = HostBridge::new(Apertures {
            buses: FIRST_BUS..=LAST_BUS,
            mmio32: 0xc000_0000..0xd000_0000,
            mmio64: Some(0x40_0000_0000..0x80_0000_0000),
            io: None,
        });
        host_bridge.options.hot_plug.buses = 4;
        pci_enumerate::enumerate(&mut ecam(&mut self.root), &host_bridge).unwrap()
    }
}

fn bdf(text: &str) -> Bdf {
    text.parse().unwrap()
}

#[test]
fn every_function_is_found_where_depth_first_numbering_puts_it() {
    let found = Machine::new().enumerate();
    assert_eq!(found.shortfalls, []);
    let functions: Vec<_> = found
        .iter()
        .map(|function| {
            let buses = function.bridge.as_ref().and_then(|bridge| bridge.buses);
            (
                function.bdf.to_string(),
                function.port_type.unwrap(),
                buses.map(|buses| (buses.secondary, buses.subordinate)),
            )
        })
        .collect();
    let port = |at: &str, kind, first, last| (at.to_string(), kind, Some((first, last)));
    assert_eq!(
        functions,
        [
            port("20:01.0", DevicePortType::RootPort, 0x21, 0x27),
            port("21:00.0", DevicePortType::UpstreamSwitchPort, 0x22, 0x27),
            port("22:00.0", DevicePortType::DownstreamSwitchPort, 0x23, 0x23),
            ("23:00.0".to_string(), DevicePortType::Endpoint, None),
            port("22:01.0", DevicePortType::DownstreamSwitchPort, 0x24, 0x27),
            port("20:01.1", DevicePortType::RootPort, 0x28, 0x2b),
            port("20:03.0", DevicePortType::RootPort, 0x2c, 0x2c),
            ("2c:00.0".to_string(), DevicePortType::Endpoint, None),
        ]
    );
}

#[test]
fn slots_are_known_and_have_their_reserve() {
    let found = Machine::new().enumerate();
    for (at, slot) in [("20:01.1", 5), ("22:01.0", 6)] {
        let port = found.find(bdf(at)).unwrap();
        assert_eq!(
            port.slot,
            Some(pci_enumerate::Slot {
                number: slot,
                hot_plug: true
            }),
            "{at}"
        );
        let bridge = port.bridge.as_ref().unwrap();
        for window in [bridge.memory, bridge.prefetchable] {
            assert!(window.is_some(), "{at}: {bridge:?}");
        }
    }
}

/// The driver walks and sizes by code of its own.
#[test]
fn the_driver_sees_what_enumeration_saw() {
    let mut machine = Machine::new();
    let found = machine.enumerate();
    for function in found.iter() {
        let mut driver = Driver::new(&mut machine.root, function.bdf);
        let capabilities: Vec<_> = function
            .capabilities
            .iter()
            .map(|each| (each.id, each.offset))
            .collect();
        assert_eq!(driver.capabilities(), capabilities, "{}", function.bdf);
        let extended: Vec<_> = function
            .extended_capabilities
            .iter()
            .map(|each| (each.id, each.offset))
            .collect();
        assert_eq!(driver.extended_capabilities(), extended, "{}", function.bdf);
        assert_eq!(driver.size_bars(), function.bars, "{}", function.bdf);
    }
}

#[test]
fn enumerating_again_changes_nothing() {
    let mut machine = Machine::new();
    let first = machine.enumerate();
    assert_eq!(machine.enumerate(), first);
}

#[test]
fn after_reset_nothing_is_routed_until_it_is_enumerated_again() {
    let mut machine = Machine::new();
    let first = machine.enumerate();
    pollster::block_on(machine.root.reset());
    let mut access = ecam(&mut machine.root);
    assert_eq!(access.read(bdf("21:00.0"), 0, Width::Dword), u32::MAX);
    assert_eq!(access.read(bdf("20:01.0"), 0x18, Width::Dword), 0);
    assert_eq!(machine.enumerate(), first);
}

#[test]
fn an_endpoint_behind_a_switch_interrupts_with_its_own_requester_id() {
    let mut machine = Machine::new();
    machine.enumerate();
    let mut driver = Driver::new(&mut machine.root, bdf("23:00.0"));
    driver
        .enable_msix(&[
            (0xfee0_0000, 0x30),
            (0xfee0_0000, 0x31),
            (0xfee0_1000, 0x32),
        ])
        .unwrap();
    machine.raise(2);
    let message = testkit::Message {
        requester: Some(0x2300),
        address: 0xfee0_1000,
        data: 0x32,
    };
    assert_eq!(machine.sink.take(), [message]);
}

#[test]
fn a_masked_vector_is_silent_and_fires_when_unmasked() {
    let mut machine = Machine::new();
    machine.enumerate();
    let mut driver = Driver::new(&mut machine.root, bdf("23:00.0"));
    // Vectors 0 and 1 only: 2 keeps its mask.
    driver
        .enable_msix(&[(0xfee0_0000, 0x30), (0xfee0_0000, 0x31)])
        .unwrap();
    machine.raise(2);
    assert_eq!(machine.sink.count(), 0);
    let mut driver = Driver::new(&mut machine.root, bdf("23:00.0"));
    driver
        .enable_msix(&[
            (0xfee0_0000, 0x30),
            (0xfee0_0000, 0x31),
            (0xfee0_0000, 0x32),
        ])
        .unwrap();
    assert_eq!(
        machine
            .sink
            .take()
            .iter()
            .map(|message| message.data)
            .collect::<Vec<_>>(),
        [0x32]
    );
}

#[test]
fn the_driver_names_what_it_cannot_do() {
    let mut machine = Machine::new();
    machine.enumerate();
    let (port, endpoint) = (bdf("20:01.0"), bdf("2c:00.0"));
    assert_eq!(
        Driver::new(&mut machine.root, port).enable_msix(&[]),
        Err(DriverError::NoCapability {
            bdf: port,
            id: CapabilityId::MSIX
        })
    );
    let mut driver = Driver::new(&mut machine.root, endpoint);
    assert_eq!(
        driver.enable_msix(&[(0, 0); 2]).unwrap_err().to_string(),
        "2c:00.0: 2 MSI-X vectors asked for; it has 1"
    );
    for offset in [0x10, 0x14] {
        driver.write(offset, Width::Dword, 0);
    }
    assert_eq!(
        driver.enable_msix(&[(0, 0)]),
        Err(DriverError::NoTable {
            bdf: endpoint,
            bar: 0
        })
    );
    assert_eq!(
        driver.find_extended_capability(ExtendedCapabilityId::DEVICE_SERIAL_NUMBER),
        Some(0x100)
    );
}

#[test]
fn accesses_are_as_wide_as_asked_and_stay_within_the_root_complex() {
    let mut machine = Machine::new();
    machine.enumerate();
    let mut access = ecam(&mut machine.root);
    let port = bdf("20:01.1");
    assert_eq!(
        access.address(port, 0x58),
        Some(ECAM + (1 << 15) + (1 << 12) + 0x58)
    );
    assert_eq!(access.address(bdf("1f:00.0"), 0), None);
    assert_eq!(access.read(bdf("60:00.0"), 0, Width::Word), 0xffff);
    assert_eq!(
        access.read(port, 0x02, Width::Word),
        access.read(port, 0, Width::Dword) >> 16
    );
    assert_eq!(access.read(port, 0x0b, Width::Byte), 0x06);

    // Bus numbers one by one: the neighbours stay.
    let before = access.read(port, 0x18, Width::Dword);
    access.write(port, 0x19, Width::Byte, 0x50);
    assert_eq!(
        access.read(port, 0x18, Width::Dword),
        before & !0xff00 | 0x5000
    );
}

#[test]
fn the_map_follows_what_is_registered() {
    let machine = Machine::new();
    assert_eq!(machine.map.region_at(ECAM + 0x1234).unwrap().name, "ecam");
    drop(machine.root);
    assert_eq!(machine.map.regions(), []);
}

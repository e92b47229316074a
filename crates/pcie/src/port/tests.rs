//! A port by itself: what it is composed of, what its slot, its BAR and its link do.

mod attached;

use super::*;
use crate::test_helpers::TestPcieEndpoint;
use crate::test_helpers::TestPcieMmioRegistration;
use chipset_device::io::deferred::defer_read;
use cxl_spec::component_registers::test_helper::TestCxlComponentRegisterBlock;
use cxl_spec::spec::CxlComponentRegisterType;
use parking_lot::Mutex;
use pci_core::msi::SignalMsi;

/// Messages sent, with the requester's ID.
#[derive(Default)]
struct Messages(Mutex<Vec<(Option<u32>, u64, u32)>>);

impl SignalMsi for Messages {
    fn signal_msi(&self, devid: Option<u32>, address: u64, data: u32) {
        self.0.lock().push((devid, address, data));
    }
}

fn ids() -> HardwareIds {
    HardwareIds {
        vendor_id: crate::VENDOR_ID,
        device_id: crate::ROOT_PORT_DEVICE_ID,
        revision_id: 0,
        prog_if: ProgrammingInterface::NONE,
        sub_class: Subclass::BRIDGE_PCI_TO_PCI,
        base_class: ClassCode::BRIDGE,
        type0_sub_vendor_id: 0,
        type0_sub_system_id: 0,
    }
}

/// What most tests leave as it is.
#[derive(Default)]
struct Make {
    slot: Option<u32>,
    settings: PciePortSettings,
    bar: Option<PortBarDefinition>,
    without_registrar: bool,
}

impl Make {
    fn port(self) -> PcieDownstreamPort {
        self.port_of_type(DevicePortType::RootPort, &MsiTarget::disconnected())
    }

    fn port_of_type(self, port_type: DevicePortType, target: &MsiTarget) -> PcieDownstreamPort {
        let mut registration = TestPcieMmioRegistration {};
        let register_mmio: Option<&mut dyn RegisterMmioIntercept> = if self.without_registrar {
            None
        } else {
            Some(&mut registration)
        };
        PcieDownstreamPort::new(
            "rp0",
            ids(),
            port_type,
            false,
            self.slot,
            target,
            self.settings,
            register_mmio,
            self.bar,
        )
    }
}

fn hot_plug_port() -> PcieDownstreamPort {
    Make {
        slot: Some(3),
        ..Make::default()
    }
    .port()
}

fn with_acs(acs: u16) -> PciePortSettings {
    PciePortSettings {
        acs_capabilities_supported: acs,
        ..PciePortSettings::default()
    }
}

fn cxl_mem() -> PciePortSettings {
    PciePortSettings {
        cxl_flex_bus_port_capability: Some(
            CxlFlexBusPortDvsecCapability::new().with_mem_capable(true),
        ),
        ..PciePortSettings::default()
    }
}

fn cxl_port() -> PcieDownstreamPort {
    Make {
        settings: cxl_mem(),
        ..Make::default()
    }
    .port()
}

fn component_registers_at(offset: u64) -> PortBarSubregionDefinition {
    PortBarSubregionDefinition {
        kind: PortBarSubregionKind::CxlComponentRegisters,
        offset,
        size_bytes: CXL_COMPONENT_REGISTERS_SIZE_BYTES,
    }
}

fn bar(subregions: Vec<PortBarSubregionDefinition>) -> PortBarDefinition {
    PortBarDefinition {
        index: 0,
        size_bytes: 0x4_0000,
        subregions,
    }
}

fn read(port: &PcieDownstreamPort, offset: u16) -> u32 {
    let mut value = 0;
    port.cfg_space.read_u32(offset, &mut value).unwrap();
    value
}

fn bar_read(port: &mut PcieDownstreamPort, bar: u8, offset: u64, len: usize) -> Vec<u8> {
    let mut data = vec![0xa5; len];
    port.bar_mmio_read(bar, offset, &mut data).unwrap();
    data
}

fn bar_u32(port: &mut PcieDownstreamPort, offset: u64) -> u32 {
    u32::from_le_bytes(bar_read(port, 0, offset, 4).try_into().unwrap())
}

/// Offsets and IDs of the extended capabilities, by the list.
fn extended(port: &PcieDownstreamPort) -> Vec<(u16, ExtendedCapabilityId)> {
    let mut found = Vec::new();
    let mut offset = 0x100;
    while offset != 0 {
        let header = read(port, offset);
        assert_eq!(header >> 16 & 0xf, 1, "version, at {offset:#x}");
        found.push((offset, ExtendedCapabilityId((header & 0xffff) as u16)));
        offset = (header >> 20) as u16;
    }
    found
}

/// A function that has `0x5678_1234` at 0 and nothing else, and keeps what is written to 0x40.
fn endpoint() -> Box<dyn GenericPciBusDevice> {
    Box::new(TestPcieEndpoint::new(
        |offset, value| match offset {
            0 => {
                *value = 0x5678_1234;
                Some(IoResult::Ok)
            }
            _ => Some(IoResult::Err(IoError::InvalidRegister)),
        },
        |_, _| Some(IoResult::Ok),
    ))
}

fn slot_status(port: &PcieDownstreamPort) -> u32 {
    read(port, 0x58) >> 16
}

const PRESENCE_CHANGED: u32 = 1 << 3;
const PRESENT: u32 = 1 << 6;
const LINK_CHANGED: u32 = 1 << 8;

#[test]
fn a_plain_port_is_the_worked_example() {
    let port = Make::default().port();
    let expected = [
        (0x00, 0xc030_1414),
        (0x04, 0x0010_0000),
        (0x08, 0x0604_0000),
        (0x0c, 0x0001_0000),
        (0x18, 0),
        (0x24, 0x0001_0001),
        (0x34, 0x40),
        (0x40, 0x0042_7c10),
        (0x44, 0),
        (0x4c, 0x0000_0105),
        (0x50, 0x0105_0000),
        (0x6c, 0x3e),
        (0x70, 5),
        (0x7c, 0x0080_0005),
        (0x100, 0xffff_ffff),
        (0xffc, 0xffff_ffff),
    ];
    for (offset, value) in expected {
        assert_eq!(read(&port, offset), value, "at {offset:#x}");
    }
    assert_eq!(port.name, "rp0");
    assert_eq!(port.bus_range().bus_range(), (0, 0));
    assert_eq!(port.find_bar(0), None);
}

#[test]
fn capabilities_are_in_order() {
    let port = hot_plug_port();
    let labels: Vec<_> = port
        .cfg_space
        .capabilities()
        .iter()
        .map(|c| c.label().to_owned())
        .collect();
    assert_eq!(labels, ["pci-express", "msi"]);
    assert_eq!(read(&port, 0x40), 0x0142_7c10, "slot implemented");
    assert_eq!(
        read(&port, 0x54),
        (3 << 19) | (1 << 18) | (1 << 6) | (1 << 5),
        "slot 3, hot-plug capable, by surprise, no command completed"
    );
    assert_eq!(
        read(&port, 0x4c),
        0x0010_0105,
        "reports whether the link is up"
    );
}

#[test]
fn the_multi_function_bit_follows_the_argument() {
    let target = MsiTarget::disconnected();
    let port = PcieDownstreamPort::new(
        String::from("rp0"),
        ids(),
        DevicePortType::DownstreamSwitchPort,
        true,
        None,
        &target,
        PciePortSettings::default(),
        None,
        None,
    );
    assert_eq!(read(&port, 0x0c), 0x0081_0000);
    assert_eq!(
        read(&port, 0x40) >> 20 & 0xf,
        6,
        "downstream port of a switch"
    );
}

#[test]
#[should_panic(expected = "Hotplug support is not valid for device port type UpstreamSwitchPort")]
fn a_slot_needs_a_downstream_port() {
    let make = Make {
        slot: Some(1),
        ..Make::default()
    };
    make.port_of_type(
        DevicePortType::UpstreamSwitchPort,
        &MsiTarget::disconnected(),
    );
}

#[test]
fn acs_is_what_the_type_can_have() {
    let filter = filter_acs_capabilities_for_bridge;
    for (port_type, expected) in [
        (DevicePortType::RootPort, 0x00df),
        (DevicePortType::DownstreamSwitchPort, 0x00df),
        (DevicePortType::UpstreamSwitchPort, 0),
        (DevicePortType::Endpoint, 0),
    ] {
        assert_eq!(filter(&port_type, 0xffff), expected, "{port_type:?}");
        assert_eq!(filter(&port_type, 0x0020), 0, "no egress control");
        assert_eq!(filter(&port_type, 0), 0);
    }
    assert_eq!(filter(&DevicePortType::RootPort, 0x0f05), 0x0005);

    let port = Make {
        settings: with_acs(0xffff),
        ..Make::default()
    }
    .port();
    assert_eq!(read(&port, 0x100), 0x0001_000d);
    assert_eq!(read(&port, 0x104), 0x00df);
    assert_eq!(extended(&port), [(0x100, ExtendedCapabilityId::ACS)]);
    assert_eq!(read(&port, 0x10c), 0, "the list ends, and the rest is zero");

    let port = Make {
        settings: with_acs(0x0020),
        ..Make::default()
    }
    .port();
    assert_eq!(read(&port, 0x100), !0, "nothing left of what was asked for");
}

#[test]
fn a_cxl_port_has_its_dvsecs_and_a_bar() {
    for capability in [
        CxlFlexBusPortDvsecCapability::new().with_mem_capable(true),
        CxlFlexBusPortDvsecCapability::new().with_cache_capable(true),
    ] {
        let port = Make {
            settings: PciePortSettings {
                acs_capabilities_supported: 0x5f,
                cxl_flex_bus_port_capability: Some(capability),
            },
            ..Make::default()
        }
        .port();
        assert_eq!(
            extended(&port),
            [
                (0x100, ExtendedCapabilityId::ACS),
                (0x10c, ExtendedCapabilityId::DVSEC),
                (0x134, ExtendedCapabilityId::DVSEC),
                (0x154, ExtendedCapabilityId::DVSEC),
            ]
        );
        let header = |offset: u16| (read(&port, offset + 4), read(&port, offset + 8) & 0xffff);
        assert_eq!(header(0x10c), (0x0280_1e98, 3), "CXL Port DVSEC");
        assert_eq!(header(0x134), (0x0203_1e98, 7), "Flex Bus Port DVSEC");
        assert_eq!(header(0x154), (0x0140_1e98, 8), "Register Locator DVSEC");
        let shown = CxlFlexBusPortDvsecCapability::from_bits((read(&port, 0x13c) >> 16) as u16);
        assert_eq!(shown.mem_capable(), capability.mem_capable());
        assert_eq!(shown.cache_capable(), capability.cache_capable());
        assert!(shown.io_capable());
        assert_eq!(
            (read(&port, 0x160), read(&port, 0x164)),
            (0x100, 0),
            "component registers at offset 0 of BAR0"
        );
        assert!(port.cxl_component_registers.is_some());
    }
}

#[test]
fn what_the_flex_bus_says_is_shown() {
    let asked = CxlFlexBusPortDvsecCapability::new()
        .with_cache_capable(true)
        .with_mem_capable(true)
        .with_cxl_68b_flit_and_vh_capable(true)
        .with_cxl_multi_logical_device_capable(true)
        .with_cxl_latency_optimized_256b_flit_capable(true)
        .with_cxl_pbr_flit_capable(true);
    let port = Make {
        settings: PciePortSettings {
            acs_capabilities_supported: 0,
            cxl_flex_bus_port_capability: Some(asked),
        },
        ..Make::default()
    }
    .port();
    // Without ACS the CXL Port DVSEC of 0x28 bytes is first.
    let shown = read(&port, 0x128 + 8) >> 16;
    assert_eq!(shown, u32::from(asked.with_io_capable(true).into_bits()));
}

#[test]
fn the_locator_says_where_the_component_registers_are() {
    let port = Make {
        settings: cxl_mem(),
        bar: Some(bar(vec![component_registers_at(0x2_0000)])),
        ..Make::default()
    }
    .port();
    let locator = extended(&port).last().unwrap().0;
    assert_eq!(read(&port, locator + 0xc), 0x0002_0100);

    let at = build_cxl_register_locator_extended_capability;
    assert!(at(CxlRegisterLocatorRegisterBir::BAR_10H, 0x8000).is_none());
    let far = at(CxlRegisterLocatorRegisterBir::BAR_14H, 0x12_0003_0000).unwrap();
    assert_eq!(far.extended_capability_id(), ExtendedCapabilityId::DVSEC.0);
    assert_eq!(far.read_u32(0x0c), 0x0003_0101);
    assert_eq!(far.read_u32(0x10), 0x12);
}

#[test]
fn cxl_that_cannot_be_is_left_out() {
    let unregistered = Make {
        settings: cxl_mem(),
        without_registrar: true,
        ..Make::default()
    };
    let other_bar = Make {
        settings: cxl_mem(),
        bar: Some(PortBarDefinition {
            index: 2,
            ..bar(vec![component_registers_at(0)])
        }),
        ..Make::default()
    };
    let no_bar_of_any_header = Make {
        settings: cxl_mem(),
        bar: Some(PortBarDefinition {
            index: 6,
            ..bar(vec![component_registers_at(0)])
        }),
        ..Make::default()
    };
    let misaligned = Make {
        settings: cxl_mem(),
        bar: Some(bar(vec![component_registers_at(0x8000)])),
        ..Make::default()
    };
    let no_part = Make {
        settings: cxl_mem(),
        bar: Some(bar(vec![])),
        ..Make::default()
    };
    let io_only = Make {
        settings: PciePortSettings {
            cxl_flex_bus_port_capability: Some(
                CxlFlexBusPortDvsecCapability::new().with_io_capable(true),
            ),
            ..PciePortSettings::default()
        },
        ..Make::default()
    };
    for make in [
        unregistered,
        other_bar,
        no_bar_of_any_header,
        misaligned,
        no_part,
        io_only,
    ] {
        let mut port = make.port();
        assert_eq!(read(&port, 0x100), 0xffff_ffff);
        assert!(port.cxl_component_registers.is_none());
        assert!(port.save_cxl_component_registers_state().unwrap().is_none());
        assert_eq!(read(&port, 0x00), 0xc030_1414, "all else is as without CXL");
    }
}

#[test]
fn parts_for_msi_x_do_not_hinder_a_port_that_has_none() {
    // The constructor has no MSI-X: a table without pending bits, or beyond the BAR, is as good as nothing.
    let table = |offset| PortBarSubregionDefinition {
        kind: PortBarSubregionKind::MsiXTable,
        offset,
        size_bytes: 0x1000,
    };
    let mut port = Make {
        settings: cxl_mem(),
        bar: Some(bar(vec![
            component_registers_at(0x1_0000),
            table(0),
            table(0xf_0000),
        ])),
        ..Make::default()
    }
    .port();
    assert_eq!(port.cfg_space.capabilities().len(), 2);
    port.bar_mmio_write(0, 0x0c, &[0; 4]).unwrap();
    assert_eq!(bar_u32(&mut port, 0x0c), 0);
    assert_eq!(bar_u32(&mut port, 0x1_1000), 0x0011_0001);
}

#[test]
fn bar0_is_sized_placed_and_found() {
    let mut port = cxl_port();
    for (offset, sized) in [(0x10, 0xffff_0004), (0x14, 0xffff_ffff)] {
        port.cfg_space.write_u32(offset, !0).unwrap();
        assert_eq!(
            read(&port, offset),
            sized,
            "64 KiB, 64 bits wide, at {offset:#x}"
        );
    }
    port.cfg_space.write_u32(0x10, 0xfe00_0000).unwrap();
    port.cfg_space.write_u32(0x14, 0x12).unwrap();
    assert_eq!(
        port.find_bar(0x12_fe00_0000),
        None,
        "Memory Space Enable is clear"
    );
    port.cfg_space.write_u32(0x04, 2).unwrap();
    assert_eq!(port.find_bar(0x12_fe00_0000), Some((0, 0)));
    assert_eq!(port.find_bar(0x12_fe00_ffff), Some((0, 0xffff)));
    assert_eq!(port.find_bar(0x12_fe01_0000), None);
    assert_eq!(port.find_bar(0x12_fdff_ffff), None);
}

/// The names and lengths of regions asked for, and where they are.
#[derive(Clone, Default)]
struct Regions(Arc<Mutex<Vec<RegionEntry>>>);

type RegionEntry = (String, u64, Option<u64>);

struct Region(Regions, usize);

impl RegisterMmioIntercept for Regions {
    fn new_io_region(&mut self, region_name: &str, len: u64) -> Box<dyn ControlMmioIntercept> {
        let mut regions = self.0.lock();
        regions.push((region_name.to_owned(), len, None));
        Box::new(Region(self.clone(), regions.len() - 1))
    }
}

impl ControlMmioIntercept for Region {
    fn region_name(&self) -> &str {
        "region"
    }
    fn map(&mut self, addr: u64) {
        self.0.0.lock()[self.1].2 = Some(addr);
    }
    fn unmap(&mut self) {
        self.0.0.lock()[self.1].2 = None;
    }
    fn addr(&self) -> Option<u64> {
        self.0.0.lock()[self.1].2
    }
    fn len(&self) -> u64 {
        self.0.0.lock()[self.1].1
    }
    fn offset_of(&self, _addr: u64) -> Option<u64> {
        None
    }
}

#[test]
fn the_bar_is_registered_by_the_ports_name_and_follows_the_guest() {
    let mut regions = Regions::default();
    let mut port = PcieDownstreamPort::new(
        "rp7",
        ids(),
        DevicePortType::RootPort,
        false,
        None,
        &MsiTarget::disconnected(),
        cxl_mem(),
        Some(&mut regions),
        Some(PortBarDefinition {
            size_bytes: 0x1_8000,
            ..bar(vec![component_registers_at(0)])
        }),
    );
    let region = |at| vec![("rp7-bar0".to_owned(), 0x2_0000, at)];
    assert_eq!(*regions.0.lock(), region(None), "a power of two");
    port.cfg_space.write_u32(0x10, 0xfe00_0000).unwrap();
    port.cfg_space.write_u32(0x04, 2).unwrap();
    assert_eq!(*regions.0.lock(), region(Some(0xfe00_0000)));
    port.reset(Reset::Cold);
    assert_eq!(*regions.0.lock(), region(None));
}

#[test]
fn bar_reads_follow_the_rules_of_what_lies_there() {
    let mut port = Make {
        settings: cxl_mem(),
        bar: Some(bar(vec![component_registers_at(0x1_0000)])),
        ..Make::default()
    }
    .port();
    assert_eq!(bar_read(&mut port, 1, 0, 4), [0xff; 4], "no such BAR");
    assert_eq!(bar_read(&mut port, 2, 0, 2), [0xff; 2], "no such BAR");
    port.bar_mmio_write(1, 0, &[0; 4]).unwrap();
    for offset in [0, 0xfffc, 0x2_0000, 0x3_fffc, 0x123_4567_8000] {
        assert_eq!(
            bar_read(&mut port, 0, offset, 4),
            [0; 4],
            "between the parts, {offset:#x}"
        );
        assert_eq!(bar_read(&mut port, 0, offset, 1), [0; 1]);
        port.bar_mmio_write(0, offset, &[1; 4]).unwrap();
    }
    assert_eq!(bar_u32(&mut port, 0x1_1000), 0x0011_0001);
    assert_eq!(bar_u32(&mut port, 0x1_0000), 0, "no such register");
    assert_eq!(
        bar_read(&mut port, 0, 0x1_1000, 8),
        [0; 8],
        "no register after the directory's header, so none in all"
    );
    port.bar_mmio_write(0, 0x1_1000, &[0xff; 4]).unwrap();
    assert_eq!(bar_u32(&mut port, 0x1_1000), 0x0011_0001);

    for (offset, len, error) in [
        (0x1_1000, 1, IoError::InvalidAccessSize),
        (0x1_1000, 2, IoError::InvalidAccessSize),
        (0x1_1000, 3, IoError::InvalidAccessSize),
        (0x1_1000, 16, IoError::InvalidAccessSize),
        (0x1_1002, 4, IoError::UnalignedAccess),
        (0x1_1004, 8, IoError::UnalignedAccess),
    ] {
        let mut data = vec![0; len];
        assert_eq!(
            port.bar_mmio_read(0, offset, &mut data).now_or_never(),
            Err(error)
        );
        assert_eq!(
            port.bar_mmio_write(0, offset, &data).now_or_never(),
            Err(error)
        );
    }
}

#[test]
fn a_port_without_a_bar_reads_all_ones() {
    let mut port = Make::default().port();
    assert_eq!(bar_read(&mut port, 0, 0x1000, 4), [0xff; 4]);
    port.bar_mmio_write(0, 0x1000, &[0; 4]).unwrap();
}

#[test]
fn a_bar_is_not_cxls_alone() {
    let mut port = Make {
        bar: Some(bar(vec![component_registers_at(0)])),
        ..Make::default()
    }
    .port();
    assert_eq!(read(&port, 0x100), !0, "not a CXL port");
    assert_eq!(
        bar_u32(&mut port, 0x1000),
        0,
        "no component registers in their place"
    );
    port.bar_mmio_write(0, 0x1000, &[1; 4]).unwrap();
}

fn with_test_block() -> PcieDownstreamPort {
    let mut port = cxl_port();
    let block =
        TestCxlComponentRegisterBlock::new(CxlComponentRegisterType::CacheMemRegister, 0x20);
    let registers = port.cxl_component_registers.as_mut().unwrap();
    assert!(registers.add_register(Box::new(block)));
    port
}

#[test]
fn a_component_register_block_is_reached_through_the_bar() {
    let mut port = with_test_block();
    assert_eq!(
        bar_u32(&mut port, 0x1000),
        0x0111_0001,
        "one entry in the directory"
    );
    port.bar_mmio_write(0, 0x1008, &0x1122_3344_u32.to_le_bytes())
        .unwrap();
    assert_eq!(bar_u32(&mut port, 0x1008), 0x1122_3344);
    let quad = 0x8877_6655_4433_2211_u64.to_le_bytes();
    port.bar_mmio_write(0, 0x1008, &quad).unwrap();
    assert_eq!(bar_read(&mut port, 0, 0x1008, 8), quad);
    assert_eq!(bar_u32(&mut port, 0x100c), 0x8877_6655);
    assert_eq!(bar_u32(&mut port, 0x1028), 0, "after the block");

    port.reset(Reset::Cold);
    assert_eq!(bar_u32(&mut port, 0x1008), 0);
}

#[test]
fn component_registers_are_saved_and_restored() {
    let mut port = with_test_block();
    port.bar_mmio_write(0, 0x1010, &0x1122_3344_u32.to_le_bytes())
        .unwrap();
    let saved = port.save_cxl_component_registers_state().unwrap();
    assert!(saved.is_some());
    let mut other = with_test_block();
    other.restore_cxl_component_registers_state(saved).unwrap();
    assert_eq!(bar_u32(&mut other, 0x1010), 0x1122_3344);

    let refused = |result: Result<(), RestoreError>| {
        assert!(
            matches!(result, Err(RestoreError::InvalidSavedState(_))),
            "{result:?}"
        );
    };
    refused(other.restore_cxl_component_registers_state(None));
    assert_eq!(
        bar_u32(&mut other, 0x1010),
        0x1122_3344,
        "refused and unchanged"
    );
    let saved: Result<_, SaveError> = other.save_cxl_component_registers_state();
    let mut plain = Make::default().port();
    refused(plain.restore_cxl_component_registers_state(saved.unwrap()));
    plain.restore_cxl_component_registers_state(None).unwrap();
}

#[test]
fn the_configuration_space_is_saved_and_restored() {
    let mut port = Make {
        slot: Some(3),
        settings: with_acs(0x5f),
        ..Make::default()
    }
    .port();
    port.add_pcie_device("rp0", "ep0", endpoint()).unwrap();
    for (offset, value) in [
        (0x18, 0x0009_0300),
        (0x04, 6),
        (0x58, 0x1020),
        (0x104, 0x0005_0000),
    ] {
        port.cfg_space.write_u32(offset, value).unwrap();
    }
    let state = port.cfg_space.save().unwrap();
    let mut other = Make {
        slot: Some(3),
        settings: with_acs(0x5f),
        ..Make::default()
    }
    .port();
    other.cfg_space.restore(state).unwrap();
    for offset in (0..0x1000).step_by(4) {
        assert_eq!(read(&other, offset), read(&port, offset), "at {offset:#x}");
    }
    assert_eq!(other.cfg_space.assigned_bus_range(), 3..=9);
    assert_eq!(other.bus_range().bus_range(), (3, 9));
}

#[test]
fn the_bus_range_follows_the_guest() {
    let mut port = Make::default().port();
    let range: AssignedBusRange = port.bus_range();
    port.cfg_space.write_u32(0x18, 0xff05_0201).unwrap();
    assert_eq!(range.bus_range(), (2, 5));
    port.reset(Reset::Cold);
    assert_eq!(range.bus_range(), (0, 0));
}

//! The configuration headers and what lies behind them, word by word.

use crate::function::Config;
use crate::function::endpoint_ids;
use crate::function::port_ids;
use chipset_device::io::IoError;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::ReadOnlyCapability;
use pci_core::capabilities::advanced_features::AdvancedFeaturesCapability;
use pci_core::capabilities::extended::acs::AcsExtendedCapability;
use pci_core::capabilities::extended::fixed::FixedExtendedCapability;
use pci_core::capabilities::msi_cap::MsiCapability;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::cfg_space_emu::BarKind;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::CommonHeaderResult;
use pci_core::cfg_space_emu::ConfigSpaceCommonHeaderEmulatorType0;
use pci_core::cfg_space_emu::ConfigSpaceCommonHeaderEmulatorType1;
use pci_core::cfg_space_emu::ConfigSpaceError;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::cfg_space_emu::HeaderType;
use pci_core::msi::MsiTarget;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::cfg_space::Command;

fn msi() -> Box<dyn PciCapability> {
    Box::new(MsiCapability::new(
        0,
        true,
        false,
        &MsiTarget::disconnected(),
    ))
}

fn express(typ: DevicePortType) -> Box<dyn PciCapability> {
    Box::new(PciExpressCapability::new(typ, None))
}

/// A function that is not PCI Express.
fn conventional() -> ConfigSpaceType0Emulator {
    ConfigSpaceType0Emulator::new(endpoint_ids(), vec![], vec![], DeviceBars::new())
}

#[test]
fn a_type_0_header_as_composed() {
    conventional().shows(&[
        (0x00, 0x2222_1111),
        (0x04, 0x0000_0000),
        (0x08, 0x0108_0203),
        (0x0c, 0x0000_0000),
        (0x10, 0),
        (0x14, 0),
        (0x18, 0),
        (0x1c, 0),
        (0x20, 0),
        (0x24, 0),
        (0x28, 0),
        (0x2c, 0x5555_4444),
        (0x30, 0),
        (0x34, 0),
        (0x38, 0),
        (0x3c, 0),
    ]);
    let mut multi = conventional().with_multi_function_bit(true);
    multi.shows(&[(0x0c, 0x0080_0000)]);
    multi.reset();
    multi.shows(&[(0x0c, 0x0080_0000)]);
    multi
        .with_multi_function_bit(false)
        .shows(&[(0x0c, 0x0000_0000)]);
}

#[test]
fn what_software_can_write_of_a_type_0_header() {
    let bars = DeviceBars::new().bar0(0x1_0000, BarMemoryKind::Dummy);
    let mut function = ConfigSpaceType0Emulator::new(endpoint_ids(), vec![msi()], vec![], bars);
    function.shows(&[(0x04, 0x0010_0000), (0x34, 0x40)]);
    function.shows_after_all_ones(&[
        (0x00, 0x2222_1111),
        (0x04, 0x0010_077f),
        (0x08, 0x0108_0203),
        // What is written at 0x3e shows as the latency timer too.
        (0x10, 0xffff_0004),
        (0x14, 0xffff_ffff),
        (0x18, 0),
        (0x1c, 0),
        (0x20, 0),
        (0x24, 0),
        (0x28, 0),
        (0x2c, 0x5555_4444),
        (0x30, 0),
        (0x34, 0x40),
        (0x38, 0),
        (0x3c, 0x00ff_00ff),
        (0x0c, 0x0000_ff00),
    ]);
    function.write(0x3c, 0x1234_5678);
    function.shows(&[(0x3c, 0x0034_0078), (0x0c, 0x0000_3400)]);
    let _ = function.write_lanes(0x3c, 0xffff_ffff, 0b0001);
    function.shows(&[(0x3c, 0x0034_00ff), (0x0c, 0x0000_3400)]);
    function.reset();
    function.shows(&[
        (0x04, 0x0010_0000),
        (0x0c, 0),
        (0x10, 0x4),
        (0x14, 0),
        (0x3c, 0),
    ]);
}

#[test]
fn a_root_port_reads_as_the_worked_example_says() {
    let mut port = ConfigSpaceType1Emulator::new(
        port_ids(),
        vec![express(DevicePortType::RootPort), msi()],
        vec![],
    );
    let fresh = [
        (0x00, 0xc030_1414),
        (0x04, 0x0010_0000),
        (0x08, 0x0604_0000),
        (0x0c, 0x0001_0000),
        (0x10, 0),
        (0x14, 0),
        (0x18, 0),
        (0x1c, 0),
        (0x20, 0),
        (0x24, 0x0001_0001),
        (0x28, 0),
        (0x2c, 0),
        (0x30, 0),
        (0x34, 0x40),
        (0x38, 0),
        (0x3c, 0),
        (0x40, 0x0042_7c10),
        (0x44, 0),
        (0x48, 0),
        (0x4c, 0x0000_0105),
        (0x50, 0x0105_0000),
        (0x54, 0),
        (0x58, 0),
        (0x5c, 0),
        (0x60, 0),
        (0x64, 0),
        (0x68, 0),
        (0x6c, 0x3e),
        (0x70, 0x5),
        (0x74, 0),
        (0x78, 0),
        (0x7c, 0x0080_0005),
        (0x80, 0),
        (0x84, 0),
        (0x88, 0),
        (0x100, 0xffff_ffff),
        (0xffc, 0xffff_ffff),
    ];
    port.shows(&fresh);
    for offset in (0..0x1000).step_by(4) {
        port.write(offset, u32::MAX);
    }
    port.reset();
    port.shows(&fresh);

    let acs = Box::new(AcsExtendedCapability::new());
    let port = ConfigSpaceType1Emulator::new(
        port_ids(),
        vec![express(DevicePortType::RootPort)],
        vec![acs],
    );
    port.shows(&[(0x100, 0x0001_000d), (0x104, 0x5f), (0x10c, 0), (0xffc, 0)]);
}

#[test]
fn what_software_can_write_of_a_type_1_header() {
    let mut port =
        ConfigSpaceType1Emulator::new(port_ids(), vec![], vec![]).with_multi_function_bit(true);
    port.shows_after_all_ones(&[
        (0x00, 0xc030_1414),
        (0x04, 0x0000_077f),
        (0x08, 0x0604_0000),
        (0x0c, 0x0081_0000),
        (0x10, 0),
        (0x14, 0),
        (0x18, 0x00ff_ffff),
        (0x1c, 0),
        (0x20, 0xfff0_fff0),
        (0x24, 0xfff1_fff1),
        (0x28, 0xffff_ffff),
        (0x2c, 0xffff_ffff),
        (0x30, 0),
        (0x34, 0),
        (0x38, 0),
        // Bits 4:0 and 6 of Bridge Control have a meaning on PCI Express.
        (0x3c, 0x005f_00ff),
    ]);
}

#[test]
fn odd_and_far_offsets_are_invalid_registers() {
    let mut function = conventional();
    for offset in [1, 2, 3, 0x41, 0x100, 0x104, 0xffc, 0x1000, 0xfffc, 0xffff] {
        assert_eq!(
            function.try_read(offset),
            Err(IoError::InvalidRegister),
            "{offset:#x}"
        );
        assert_eq!(
            function.try_write(offset, 0),
            Err(IoError::InvalidRegister),
            "{offset:#x}"
        );
    }
    let express = ConfigSpaceType0Emulator::new(
        endpoint_ids(),
        vec![express(DevicePortType::Endpoint)],
        vec![],
        DeviceBars::new(),
    );
    assert!(express.is_pcie_device() && !function.is_pcie_device());
    express.shows(&[(0x100, u32::MAX), (0xffc, u32::MAX)]);
    assert_eq!(express.try_read(0x1000), Err(IoError::InvalidRegister));
}

#[test]
fn a_conventional_function_may_answer_for_what_it_does_not_have() {
    let mut function = conventional().with_answer_beyond();
    for offset in (0x100..0x1000).step_by(4) {
        function.write(offset, 0);
        assert_eq!(function.read(offset), u32::MAX, "{offset:#x}");
    }
    assert_eq!(function.read(0xfc), 0, "reserved");
    for offset in [0x41, 0x101, 0x1000, 0xfffc] {
        let refused = (function.try_read(offset), function.try_write(offset, 0));
        let error = IoError::InvalidRegister;
        assert_eq!(refused, (Err(error), Err(error)), "{offset:#x}");
    }
}

#[test]
fn a_write_of_initiate_flr_is_an_effect() {
    let capability = Box::new(AdvancedFeaturesCapability::default());
    let ids = endpoint_ids();
    let mut function =
        ConfigSpaceType0Emulator::new(ids, vec![capability], vec![], DeviceBars::new());
    assert!(
        !function
            .write_lanes(0x44, 0xffff_fffe, 0b1111)
            .function_reset
    );
    assert!(!function.write_lanes(0x44, u32::MAX, 0b1110).function_reset);
    assert!(function.write_lanes(0x44, 1, 0b0001).function_reset);
    assert!(!function.write_lanes(0x44, 0, 0b0001).function_reset);
}

#[test]
fn space_that_no_capability_covers_is_reserved() {
    let serial = FixedExtendedCapability::device_serial_number(0x1122_3344_5566_7788);
    let mut function = ConfigSpaceType0Emulator::new(
        endpoint_ids(),
        vec![express(DevicePortType::Endpoint)],
        vec![Box::new(serial), Box::new(FixedExtendedCapability::ari(2))],
        DeviceBars::new(),
    );
    function.shows_after_all_ones(&[
        (0x7c, 0),
        (0xc0, 0),
        (0xfc, 0),
        (0x100, 0x10c1_0003),
        (0x104, 0x5566_7788),
        (0x108, 0x1122_3344),
        (0x10c, 0x0001_000e),
        (0x110, 0x0000_0200),
        (0x114, 0),
        (0xffc, 0),
    ]);
}

#[test]
fn capabilities_are_packed_and_chained_in_order() {
    let vendor = ReadOnlyCapability::new("vendor", [0x0008_0009u32, 0xaabb_ccdd]);
    let function = ConfigSpaceType0Emulator::new(
        endpoint_ids(),
        vec![msi(), Box::new(vendor), express(DevicePortType::Endpoint)],
        vec![
            Box::new(AcsExtendedCapability::new()),
            Box::new(AcsExtendedCapability::with_capabilities(0x3)),
        ],
        DeviceBars::new(),
    );
    function.shows(&[
        (0x34, 0x40),
        (0x40, 0x0080_5005),
        (0x50, 0x0008_5809),
        (0x54, 0xaabb_ccdd),
        (0x58, 0x0002_0010),
        (0x100, 0x10c1_000d),
        (0x10c, 0x0001_000d),
        (0x110, 0x3),
    ]);
}

fn overlong(capabilities: Vec<Box<dyn PciCapability>>) -> ConfigSpaceError {
    ConfigSpaceType0Emulator::try_new(endpoint_ids(), capabilities, vec![], DeviceBars::new())
        .err()
        .unwrap()
}

#[test]
fn what_does_not_fit_is_a_typed_error() {
    let whole = Box::new(ReadOnlyCapability::new("whole", [9u32; 48]));
    let most = Box::new(ReadOnlyCapability::new("most", [9u32; 47]));
    assert!(
        ConfigSpaceType0Emulator::try_new(endpoint_ids(), vec![whole], vec![], DeviceBars::new())
            .is_ok(),
        "0x40 to 0xff"
    );
    let error = overlong(vec![most, msi()]);
    assert_eq!(
        error,
        ConfigSpaceError::CapabilityOverflow {
            label: "msi".into(),
            offset: 0xfc,
            bytes: 16,
            end: 0x100
        }
    );
    assert_eq!(
        error.to_string(),
        "capability 'msi' of 16 bytes at 0xfc ends beyond 0x100"
    );
    assert_eq!(
        overlong(vec![Box::new(ReadOnlyCapability::new(
            "odd",
            [9u8, 0, 6, 0, 1, 2]
        ))]),
        ConfigSpaceError::CapabilityLength {
            label: "odd".into(),
            bytes: 6
        }
    );
    assert_eq!(
        overlong(vec![Box::new(ReadOnlyCapability::new(
            "chained", 0x5009u32
        ))]),
        ConfigSpaceError::CapabilityHeader {
            label: "chained".into(),
            header: 0x5009
        }
    );

    let bars = |bars| {
        ConfigSpaceType1Emulator::try_new(port_ids(), vec![], vec![], bars)
            .err()
            .unwrap()
    };
    let dummy = || BarMemoryKind::Dummy;
    assert_eq!(
        bars(DeviceBars::new().with(1, BarKind::Memory64, 0x1000, dummy())),
        ConfigSpaceError::BarSlots { index: 1, count: 2 }
    );
    assert_eq!(
        bars(
            DeviceBars::new()
                .bar0(0x1000, dummy())
                .with(1, BarKind::Memory32, 0x1000, dummy())
        ),
        ConfigSpaceError::BarOccupied { index: 1 }
    );
    assert_eq!(
        bars(DeviceBars::new().with(0, BarKind::Memory32, 0x8000_0001, dummy())),
        ConfigSpaceError::BarTooLarge {
            index: 0,
            len: 0x8000_0001,
            max: 0x8000_0000
        }
    );
}

#[test]
#[should_panic(expected = "capability 'odd' is 2 bytes long")]
fn new_panics_with_the_error() {
    let odd = ReadOnlyCapability::new("odd", [9u8, 0]);
    ConfigSpaceType1Emulator::new(port_ids(), vec![Box::new(odd)], vec![]);
}

#[test]
fn extended_capabilities_may_fill_their_space_and_no_more() {
    let compose = |count: usize| {
        let all = (0..count).map(|_| Box::new(AcsExtendedCapability::new()) as _);
        ConfigSpaceType1Emulator::try_new(
            port_ids(),
            vec![express(DevicePortType::RootPort)],
            all.collect(),
            DeviceBars::new(),
        )
    };
    // 0xf00 bytes are 320 capabilities of 12.
    let full = compose(320).ok().unwrap();
    full.shows(&[(0x100, 0x10c1_000d), (0xff4, 0x0001_000d)]);
    let error = compose(321).err().unwrap();
    assert!(
        matches!(
            error,
            ConfigSpaceError::CapabilityOverflow {
                offset: 0x1000,
                bytes: 12,
                end: 0x1000,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn the_common_part_leaves_the_rest_to_the_header_type() {
    let mut value = 0;
    let mut common = ConfigSpaceCommonHeaderEmulatorType0::new(
        endpoint_ids(),
        vec![],
        vec![],
        DeviceBars::new().bar2(0x1000, BarMemoryKind::Dummy),
    );
    assert_eq!(
        (common.bar_count(), common.header_type()),
        (6, HeaderType::Type0)
    );
    assert!(common.validate_header_type(HeaderType::Type0));
    assert!(!common.validate_header_type(HeaderType::Type1));
    assert_eq!(common.read_u32(0, &mut value), CommonHeaderResult::Handled);
    assert_eq!(value, 0x2222_1111);
    assert_eq!(common.write_u32(0, 0), CommonHeaderResult::Unhandled);
    for offset in [0x0c, 0x28, 0x2c, 0x30, 0x38, 0x3c] {
        assert_eq!(
            common.read_u32(offset, &mut value),
            CommonHeaderResult::Unhandled
        );
        assert_eq!(common.write_u32(offset, 0), CommonHeaderResult::Unhandled);
    }
    assert_eq!(
        common.write_u32(0x18, u32::MAX),
        CommonHeaderResult::Handled
    );
    assert_eq!(common.base_addresses(), &[0, 0, 0xffff_f004, 0, 0, 0]);
    assert_eq!(
        common.read_u32(0x100, &mut value),
        CommonHeaderResult::Failed(IoError::NoResponse),
        "failures are equal whatever the error"
    );
    common.set_interrupt_line(7);
    assert_eq!((common.interrupt_line(), common.interrupt_pin()), (7, 0));
    common.set_command(Command::new().with_mmio_enabled(true));
    assert_eq!(common.find_bar(0xffff_f000), None, "no side effects");
    common.sync_command_register(common.command());
    assert_eq!(common.find_bar(0xffff_f010), Some((2, 0x10)));
    common.set_base_addresses(&[0, 0, 0x8000_0fff, 1, 0, 0]);
    assert_eq!(common.bar_address(2), Some(0x1_8000_0000));
    common.update_mmio_enabled(false);
    assert_eq!(common.bar_address(2), None);

    let bridge = ConfigSpaceCommonHeaderEmulatorType1::new(
        port_ids(),
        vec![],
        vec![],
        DeviceBars::new()
            .bar0(0x1000, BarMemoryKind::Dummy)
            .bar2(0x1000, BarMemoryKind::Dummy)
            .bar4(0x1000, BarMemoryKind::Dummy),
    );
    assert_eq!(
        (bridge.bar_count(), bridge.header_type()),
        (2, HeaderType::Type1)
    );
    assert_eq!(
        bridge.base_addresses(),
        &[0x4, 0],
        "BARs 2 and 4 are left out"
    );
    assert_eq!(
        bridge.read_u32(0x18, &mut value),
        CommonHeaderResult::Unhandled
    );
}

#[test]
fn a_partial_write_touches_only_its_bytes() {
    let mut port = ConfigSpaceType1Emulator::new(port_ids(), vec![], vec![]);
    port.write(0x18, 0x0003_0201);
    let effects = port.write_lanes(0x18, 0xffff_ffff, 0b0010);
    assert!(effects.bus_numbers && !effects.command);
    port.shows(&[(0x18, 0x0003_ff01)]);
    let effects = port.write_lanes(0x04, 0xffff_ffff, 0b0010);
    assert!(effects.command);
    port.shows(&[(0x04, 0x0000_0700)]);
    assert_eq!(port.write_lanes(0x04, u32::MAX, 0), Default::default());
    assert!(port.write_lanes(0x20, 0, 0b1111).windows);
    assert!(port.write_lanes(0x3c, 0, 0b1000).bridge_control);
}

#[test]
fn looking_shows_registers_by_name() {
    let port = ConfigSpaceType1Emulator::new(port_ids(), vec![msi()], vec![]);
    let shown = inspect::inspect("", &port).results().to_string();
    for part in [
        "prefetchable_memory_base",
        "bus_master: false",
        "msi: ",
        "subordinate_bus_number",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

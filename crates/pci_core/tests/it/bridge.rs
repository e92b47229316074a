//! Bus numbers and windows of a bridge.

use crate::function::Config;
use crate::function::port_ids;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use reg_table::Reset;
use vmcore::save_restore::SaveRestore;

fn bridge() -> ConfigSpaceType1Emulator {
    ConfigSpaceType1Emulator::new(port_ids(), vec![], vec![])
}

#[test]
fn bus_numbers_are_published_as_written() {
    let mut bridge = bridge();
    let range = bridge.bus_range();
    assert_eq!(
        (range.bus_range(), bridge.assigned_bus_range()),
        ((0, 0), 0..=0)
    );
    bridge.write(0x18, 0xff07_0301);
    bridge.shows(&[(0x18, 0x0007_0301)]);
    assert_eq!(
        (range.bus_range(), bridge.assigned_bus_range()),
        ((3, 7), 3..=7)
    );
    let _ = bridge.write_lanes(0x18, 0x0009_0000, 0b0100);
    assert_eq!(range.bus_range(), (3, 9));
    bridge.write(0x18, 0x0002_0300);
    assert_eq!(
        (range.bus_range(), bridge.assigned_bus_range()),
        ((3, 2), 0..=0),
        "upside down: no bus is below"
    );
    bridge.write(0x18, 0x0001_0000);
    assert_eq!(bridge.assigned_bus_range(), 0..=1);
}

#[test]
fn bus_numbers_follow_reset_and_restore() {
    let mut source = bridge();
    source.write(0x18, 0x0007_0301);
    let saved = SaveRestore::save(&mut source).unwrap();
    for kind in [Reset::Cold, Reset::Hot, Reset::FunctionLevel] {
        let range = source.bus_range();
        source.write(0x18, 0x0007_0301);
        source.reset_by(kind);
        assert_eq!(range.bus_range(), (0, 0), "{kind:?}");
    }
    let mut target = bridge();
    let range = target.bus_range();
    SaveRestore::restore(&mut target, saved).unwrap();
    assert_eq!(range.bus_range(), (3, 7));
    target.shows(&[(0x18, 0x0007_0301)]);
}

#[test]
fn the_memory_window_needs_memory_space_and_an_order() {
    let mut bridge = bridge();
    bridge.write(0x20, 0xe1ff_e01f);
    bridge.shows(&[(0x20, 0xe1f0_e010)]);
    assert_eq!(bridge.assigned_memory_range(), None);
    bridge.write(4, 2);
    assert_eq!(
        bridge.assigned_memory_range(),
        Some(0xe010_0000..=0xe1ff_ffff)
    );
    bridge.write(0x20, 0xe000_e010);
    assert_eq!(bridge.assigned_memory_range(), None, "closed");
    bridge.write(0x20, 0);
    assert_eq!(bridge.assigned_memory_range(), Some(0..=0xf_ffff));
}

#[test]
fn the_prefetchable_window_has_64_bits() {
    let mut bridge = bridge();
    bridge.write(0x24, 0x1ff0_1000);
    bridge.write(0x28, 0x12);
    bridge.write(0x2c, 0x34);
    bridge.shows(&[(0x24, 0x1ff1_1001)]);
    assert_eq!(bridge.assigned_prefetch_range(), None);
    bridge.write(4, 2);
    assert_eq!(
        bridge.assigned_prefetch_range(),
        Some(0x12_1000_0000..=0x34_1fff_ffff)
    );
    bridge.write(0x2c, 0x11);
    assert_eq!(bridge.assigned_prefetch_range(), None);
}

#[test]
fn a_bridge_may_have_a_bar() {
    let bars = DeviceBars::new().bar0(0x1_0000, BarMemoryKind::Dummy);
    let mut bridge = ConfigSpaceType1Emulator::new_with_bars(port_ids(), vec![], vec![], bars);
    bridge.write(0x10, 0xfe00_0000);
    bridge.write(0x14, 0x1);
    bridge.write(4, 2);
    assert_eq!(bridge.find_bar(0x1_fe00_8000), Some((0, 0x8000)));
    assert_eq!(bridge.bar_address(0), Some(0x1_fe00_0000));
}

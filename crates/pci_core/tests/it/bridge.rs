//! Bus numbers and windows of a bridge.

use crate::function::Config;
use crate::function::port_ids;
use pci_bus::Upstream;
use pci_core::cfg_space_emu::BarKind;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::cfg_space_emu::EXPANSION_ROM;
use pci_core::spec::cfg_space::DevSel;
use pci_core::spec::cfg_space::IoAddressing;
use pci_core::spec::cfg_space::SecondaryStatus;
use pci_core::spec::cfg_space::Status;
use reg_table::Reset;
use vmcore::save_restore::SaveRestore;

pub(crate) fn bridge() -> ConfigSpaceType1Emulator {
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

fn bridge_with(bars: DeviceBars) -> ConfigSpaceType1Emulator {
    ConfigSpaceType1Emulator::new_with_bars(port_ids(), vec![], vec![], bars)
}

#[test]
fn an_io_window_has_16_or_32_address_bits() {
    let mut none = bridge_with(DeviceBars::new());
    none.shows_after_all_ones(&[(0x1c, 0), (0x30, 0)]);
    none.write(0x04, 1);
    assert_eq!(none.assigned_io_range(), None, "0 to 0xfff is not a window");

    let mut narrow = bridge_with(DeviceBars::new()).with_io_window(IoAddressing::Bits16);
    narrow.shows_after_all_ones(&[(0x1c, 0xf0f0), (0x30, 0)]);
    narrow.write(0x1c, 0x4020);
    assert_eq!(
        narrow.assigned_io_range(),
        None,
        "I/O Space Enable is clear"
    );
    narrow.write(0x04, 1);
    assert_eq!(narrow.assigned_io_range(), Some(0x2000..=0x4fff));
    assert!(narrow.downstream().io.contains(0x4ff0, 0x10));
    narrow.write(0x1c, 0x1020);
    assert_eq!(narrow.assigned_io_range(), None, "base above limit");

    let mut wide = bridge_with(DeviceBars::new()).with_io_window(IoAddressing::Bits32);
    wide.shows_after_all_ones(&[(0x1c, 0xf1f1), (0x30, u32::MAX)]);
    wide.write(0x1c, 0x4020);
    wide.write(0x30, 0x0002_0001);
    wide.write(0x04, 1);
    assert_eq!(wide.assigned_io_range(), Some(0x1_2000..=0x2_4fff));
    let saved = wide.save().unwrap();
    wide.reset();
    wide.restore(saved).unwrap();
    assert_eq!(wide.assigned_io_range(), Some(0x1_2000..=0x2_4fff));
}

#[test]
fn a_bridges_bars_and_rom_are_gated_by_the_bridges_above_and_not_by_its_own_windows() {
    let bars = DeviceBars::new()
        .with(
            0,
            BarKind::Memory32Prefetchable,
            0x2000,
            BarMemoryKind::Dummy,
        )
        .with(1, BarKind::Io, 16, BarMemoryKind::Dummy)
        .rom(0x1_0000, BarMemoryKind::Dummy);
    let mut bridge = bridge_with(bars);
    bridge.shows_after_all_ones(&[
        (0x10, 0xffff_e008),
        (0x14, 0xffff_fff1),
        (0x38, 0xffff_0001),
    ]);
    for (offset, value) in [
        (0x10, 0x8000_2000),
        (0x14, 0x3000),
        (0x38, 0x8001_0001),
        (0x04, 3),
    ] {
        bridge.write(offset, value);
    }
    assert_eq!(bridge.find_bar(0x8000_3fff), Some((0, 0x1fff)));
    assert_eq!(bridge.find_bar(0x8001_0000), Some((EXPANSION_ROM, 0)));
    assert_eq!(bridge.find_io_bar(0x300f), Some((1, 0xf)));
    assert_eq!(bridge.bar_address(1), Some(0x3000));
    bridge.set_upstream(&Upstream {
        memory: [0x8000_0000..=0x8000_ffff].into_iter().collect(),
        ..Upstream::open()
    });
    assert_eq!(bridge.bar_address(0), Some(0x8000_2000));
    assert_eq!(bridge.bar_address(EXPANSION_ROM), None);
    bridge.set_upstream(&Upstream::closed());
    assert_eq!((bridge.bar_address(0), bridge.bar_address(1)), (None, None));
    bridge.set_upstream(&Upstream::open());
    bridge.write(0x14, 0x1_3000);
    assert_eq!(bridge.bar_address(1), None, "no processor has that port");
}

#[test]
fn errors_are_recorded_until_software_clears_them_one_by_one() {
    let mut bridge = bridge_with(DeviceBars::new());
    bridge.record_secondary_status(
        SecondaryStatus::new()
            .with_abort_master_received(true)
            .with_err_received(true)
            .with_devsel(DevSel::Slow),
    );
    bridge.record_status(
        Status::new()
            .with_err_signaled(true)
            .with_interrupt_status(true),
    );
    bridge.shows(&[(0x1c, 0x6000_0000), (0x04, 0x4000_0000)]);
    // Bytes beside it, then one bit of it.
    let _ = bridge.write_lanes(0x1c, u32::MAX, 0b0011);
    bridge.shows(&[(0x1c, 0x6000_0000)]);
    bridge.write(0x1c, 0x2000_0000);
    bridge.shows(&[(0x1c, 0x4000_0000)]);
    bridge.write(0x04, 0x4000_0000);
    bridge.shows(&[(0x04, 0)]);
}

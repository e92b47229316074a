//! BARs: sizing, placing, moving, and the calls that reach the monitor.

use crate::function::Config;
use crate::function::endpoint_ids;
use chipset_device::mmio::ControlMmioIntercept;
use parking_lot::Mutex;
use pci_core::bar_mapping::BarMappings;
use pci_core::cfg_space_emu::BarKind;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use std::io;
use std::sync::Arc;
use vmcore::guest_memory::MappableGuestMemory;
use vmcore::save_restore::SaveRestore;

const MEMORY_ENABLE: u32 = 2;

/// What reached the monitor, in order.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// A region that is mapped and unmapped in turn, and panics otherwise.
struct Region {
    name: &'static str,
    at: Option<u64>,
    calls: Calls,
}

impl ControlMmioIntercept for Region {
    fn region_name(&self) -> &str {
        self.name
    }
    fn map(&mut self, addr: u64) {
        assert_eq!(self.at.replace(addr), None, "{} is mapped twice", self.name);
        self.calls
            .0
            .lock()
            .push(format!("map {} {addr:#x}", self.name));
    }
    fn unmap(&mut self) {
        assert!(self.at.take().is_some(), "{} is not mapped", self.name);
        self.calls.0.lock().push(format!("unmap {}", self.name));
    }
    fn addr(&self) -> Option<u64> {
        self.at
    }
    fn len(&self) -> u64 {
        0x1000
    }
    fn offset_of(&self, addr: u64) -> Option<u64> {
        addr.checked_sub(self.at?).filter(|&offset| offset < 0x1000)
    }
}

struct Memory(Calls);

impl MappableGuestMemory for Memory {
    fn map_to_guest(&mut self, gpa: u64, writable: bool) -> io::Result<()> {
        self.0.0.lock().push(format!("share {gpa:#x} {writable}"));
        if gpa == 0xdead_0000 {
            return Err(io::Error::other("no slot left"));
        }
        Ok(())
    }
    fn unmap_from_guest(&mut self) {
        self.0.0.lock().push("unshare".into());
    }
}

fn region(calls: &Calls, name: &'static str) -> BarMemoryKind {
    BarMemoryKind::Intercept(Box::new(Region {
        name,
        at: None,
        calls: calls.clone(),
    }))
}

fn function(bars: DeviceBars) -> ConfigSpaceType0Emulator {
    ConfigSpaceType0Emulator::new(endpoint_ids(), vec![], vec![], bars)
}

#[test]
fn sizing_reads_the_size_of_every_kind() {
    let dummy = || BarMemoryKind::Dummy;
    let mut f = function(
        DeviceBars::new()
            .with(0, BarKind::Memory32, 0x2001, dummy())
            .with(1, BarKind::Memory64, 0x1_0000_0000, dummy())
            .with(3, BarKind::Memory64Prefetchable, 1, dummy()),
    );
    f.shows(&[
        (0x10, 0),
        (0x14, 4),
        (0x18, 0),
        (0x1c, 0xc),
        (0x20, 0),
        (0x24, 0),
    ]);
    f.shows_after_all_ones(&[
        (0x10, 0xffff_c000),
        (0x14, 0x0000_0004),
        (0x18, 0xffff_ffff),
        (0x1c, 0xffff_f00c),
        (0x20, 0xffff_ffff),
        (0x24, 0),
    ]);
}

#[test]
fn nothing_is_claimed_until_memory_space_is_enabled() {
    let mut f = function(DeviceBars::new().bar0(0x1000, BarMemoryKind::Dummy));
    f.write(0x10, 0x8000_0000);
    assert_eq!((f.find_bar(0x8000_0000), f.bar_address(0)), (None, None));
    f.write(4, MEMORY_ENABLE);
    assert_eq!(f.bar_address(0), Some(0x8000_0000));
    assert_eq!(f.find_bar(0x8000_0fff), Some((0, 0xfff)));
    assert_eq!(
        (f.find_bar(0x8000_1000), f.find_bar(0x7fff_ffff)),
        (None, None)
    );
    let all: Vec<_> = f.bar_mappings().iter().map(|m| (m.index, m.len)).collect();
    assert_eq!(all, [(0, 0x1000)]);
}

#[test]
fn offsets_into_a_large_bar_keep_64_bits() {
    let mut f = function(DeviceBars::new().bar4(1 << 36, BarMemoryKind::Dummy));
    f.write(0x24, 0x20);
    f.write(4, MEMORY_ENABLE);
    assert_eq!(f.find_bar(0x2f_ffff_fff0), Some((4, 0xf_ffff_fff0)));
}

#[test]
fn regions_are_mapped_and_unmapped_in_turn() {
    let calls = Calls::default();
    let mut f = function(DeviceBars::new().bar0(0x1000, region(&calls, "a")).with(
        2,
        BarKind::Memory32,
        0x1000,
        region(&calls, "b"),
    ));
    f.write(4, 0);
    f.write(0x10, 0x1000_0000);
    f.write(0x18, 0x2000_0000);
    assert_eq!(calls.take(), Vec::<String>::new());
    f.write(4, MEMORY_ENABLE);
    assert_eq!(calls.take(), ["map a 0x10000000", "map b 0x20000000"]);
    f.write(4, MEMORY_ENABLE | 4);
    assert_eq!(calls.take(), Vec::<String>::new());
    // Moved while enabled, as the specification leaves open: the BAR answers where the register says.
    f.write(0x10, 0x3000_0000);
    assert_eq!(calls.take(), ["unmap a", "map a 0x30000000"]);
    let _ = f.write_lanes(0x14, 0x1, 0b0001);
    assert_eq!(calls.take(), ["unmap a", "map a 0x130000000"]);
    f.write(0x14, 0x1);
    assert_eq!(calls.take(), Vec::<String>::new(), "where it is already");
    f.write(4, 0);
    assert_eq!(calls.take(), ["unmap a", "unmap b"]);
    f.write(4, MEMORY_ENABLE);
    calls.take();
    f.reset();
    assert_eq!(calls.take(), ["unmap a", "unmap b"]);
    f.shows(&[(0x10, 4), (0x14, 0), (0x18, 0)]);
}

#[test]
fn memory_is_shared_with_the_guest_writable() {
    let calls = Calls::default();
    let memory = BarMemoryKind::SharedMem(Box::new(Memory(calls.clone())));
    let mut f = function(DeviceBars::new().bar2(0x1_0000, memory));
    f.write(0x18, 0xdead_0000);
    f.write(4, MEMORY_ENABLE);
    assert_eq!(calls.take(), ["share 0xdead0000 true"]);
    assert_eq!(
        f.find_bar(0xdead_0010),
        Some((2, 0x10)),
        "accesses that exit are still the device's"
    );
    f.write(0x18, 0x4000_0000);
    assert_eq!(calls.take(), ["unshare", "share 0x40000000 true"]);
}

#[test]
fn restoring_maps_each_bar_once_where_it_was() {
    let compose = |calls: &Calls| function(DeviceBars::new().bar0(0x1000, region(calls, "a")));
    let mut saved_from = compose(&Calls::default());
    saved_from.write(0x10, 0x5000_0000);
    saved_from.write(4, MEMORY_ENABLE);
    let calls = Calls::default();
    let mut f = compose(&calls);
    f.write(0x10, 0x6000_0000);
    f.write(4, MEMORY_ENABLE);
    calls.take();
    SaveRestore::restore(&mut f, SaveRestore::save(&mut saved_from).unwrap()).unwrap();
    assert_eq!(calls.take(), ["unmap a", "map a 0x50000000"]);
    assert_eq!(f.bar_address(0), Some(0x5000_0000));
}

#[test]
fn a_bar_in_no_slot_is_not_made() {
    let mut f =
        function(DeviceBars::new().with(6, BarKind::Memory32, 0x1000, BarMemoryKind::Dummy));
    for offset in (0x10..0x28).step_by(4) {
        f.shows_after_all_ones(&[(offset, 0)]);
    }
    assert_eq!(f.bar_mappings(), &BarMappings::default());
}

//! A configuration access allocates nothing, wherever it goes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../benches/scenario/mod.rs"]
#[allow(
    dead_code,
    reason = "the benchmark's other half is a comparison, which this test does not make"
)]
mod scenario;

use chipset_device::io::IoResult;
use chipset_device::mmio::MmioIntercept;
use scenario::PORTS;
use scenario::Scenario;
use scenario::Target;
use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts what a thread allocates.
struct Counting;

fn count() {
    // A thread that ends has no count any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; this one hands everything to the system's"
)]
// SAFETY: every method does what the system's allocator does, with the caller's arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `act` allocates.
fn allocations(act: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    act();
    ALLOCATIONS.get() - before
}

#[test]
fn the_count_counts() {
    assert_eq!(
        allocations(|| drop(std::hint::black_box(Box::new(1u64)))),
        1
    );
}

/// A read of any size, at a distance from the target's first dword.
fn read_at(scenario: &mut Scenario, distance: u64, data: &mut [u8]) -> IoResult {
    scenario.root.mmio_read(scenario.address + distance, data)
}

/// A write of any size, at a distance from the target's first dword.
fn write_at(scenario: &mut Scenario, distance: u64, data: &[u8]) -> IoResult {
    scenario.root.mmio_write(scenario.address + distance, data)
}

#[test]
fn config_accesses_allocate_nothing() {
    for ports in PORTS {
        for (name, target) in Target::ALL {
            let mut scenario = Scenario::new(target, ports);
            for len in [1, 2, 4, 8] {
                // Vendor ID, Command, bus numbers, Slot Control, Link Control 2, MSI address, and where nothing is.
                for offset in [0x00, 0x04, 0x18, 0x58, 0x70, 0x80, 0x200, 0xff8] {
                    let mut data = [0; 8];
                    let data = &mut data[..len];
                    let read = allocations(|| {
                        drop(read_at(&mut scenario, offset & !(len as u64 - 1), data))
                    });
                    assert_eq!(
                        read, 0,
                        "{name} with {ports} ports: {len} bytes read at {offset:#x}"
                    );
                    let write = allocations(|| {
                        drop(write_at(&mut scenario, offset & !(len as u64 - 1), data))
                    });
                    assert_eq!(
                        write, 0,
                        "{name} with {ports} ports: {len} bytes written at {offset:#x}"
                    );
                }
            }
            let nobody = allocations(|| drop(read_at(&mut scenario, 0x8000, &mut [0; 4])));
            assert_eq!(nobody, 0, "{name} with {ports} ports: nobody");
            let renumbered = allocations(|| drop(write_at(&mut scenario, 0x18, &[0, 1, 2, 0])));
            assert_eq!(renumbered, 0, "{name} with {ports} ports: bus numbers");
        }
    }
}

//! What a composed hierarchy takes of the heap: composes a whole segment of 65,536 functions and prints, a line each, functions, bytes,
//! blocks and bytes per function.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "an example stops at the first surprise"
)]

#[path = "../benches/segment/mod.rs"]
#[allow(dead_code, reason = "the benchmark's other half")]
mod segment;

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static BLOCKS: AtomicUsize = AtomicUsize::new(0);

/// Counts what is allocated and not freed.
struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; this one hands everything to the system's"
)]
// SAFETY: every method does what the system's allocator does, with the caller's arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Relaxed);
        BLOCKS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Relaxed);
        BLOCKS.fetch_sub(1, Relaxed);
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let topology = segment::whole_segment();
    let (bytes, blocks) = (BYTES.load(Relaxed), BLOCKS.load(Relaxed));
    let mut hierarchy = segment::compose(&topology);
    let bytes = BYTES.load(Relaxed) - bytes;
    let blocks = BLOCKS.load(Relaxed) - blocks;
    let functions = segment::scan(&mut hierarchy.complexes[0].root);
    assert_eq!(functions, segment::FUNCTIONS);
    println!("functions {functions}");
    println!("bytes {bytes}");
    println!("blocks {blocks}");
    println!("bytes/function {}", bytes / functions as usize);
    println!("resident {}", resident());
}

/// Peak resident memory of this process in bytes, as Linux counts it; 0 elsewhere.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

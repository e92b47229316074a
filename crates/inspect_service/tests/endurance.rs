//! A day of polling and hot-plug leaves memory as it was.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use inspect_service::Address;
use inspect_service::Server;
use parking_lot::Mutex;
use pcie_topology::EndpointSpec;
use pcie_topology::Hierarchy;
use pcie_topology::Topology;
use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicIsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Bytes that are allocated and not freed.
static LIVE: AtomicIsize = AtomicIsize::new(0);

struct Counting;

fn count(bytes: usize, sign: isize) {
    LIVE.fetch_add(sign * bytes.cast_signed(), Relaxed);
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; this one hands everything to the system's"
)]
// SAFETY: every method does what the system's allocator does, with the caller's arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(new_size, 1);
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TOPOLOGY: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000
    buses = { start = 0, end = 31 }
    mmio32 = { base = 0xc000_0000, size = "256M" }

    [[root_complex.port]]
    name = "rp0"
    slot = 1

    [[root_complex.port]]
    name = "rp1"

    [root_complex.port.endpoint]
    name = "card"
"#;

/// Seconds from one poll to the next. The pauses are left out. A build that is not optimized asks every fourth second, to be done in time;
/// what comes and goes in a day is the same.
const INTERVAL: u32 = if cfg!(debug_assertions) { 4 } else { 1 };
/// A collector that asks for a day.
const POLLS: u32 = 24 * 60 * 60 / INTERVAL;
/// The whole of what is served is asked for every ten minutes.
const LARGE: u32 = 600 / INTERVAL;
/// A card goes or comes twelve times an hour.
const HOT_PLUG: u32 = 300 / INTERVAL;
/// A follower of events leaves, and another comes, every hour.
const FOLLOWER: u32 = 3600 / INTERVAL;
/// Hot-plugs that fill the log of events, so that from then on each pushes an old one out.
const WARM_UP: u32 = 1200;
/// What all but the first two hours may leave behind, in bytes: less than a byte for each poll.
const LEFT_MAX: isize = 4 << 10;

/// A server's threads: two of its own, and four that ask the source.
const SERVER_THREADS: usize = 6;

fn get(socket: &Path, target: &str) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{target}");
    answer
}

/// A follower of the events from number `from` on, as far as the head of its answer.
fn follow(socket: &Path, from: u64) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(
        stream,
        "GET /events?from={from} HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    .unwrap();
    let mut follower = BufReader::new(stream);
    let mut line = String::new();
    follower.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    follower
}

/// Entries of a folder of the kernel's that describes this process.
fn entries(folder: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{folder}"))
        .unwrap()
        .count()
}

/// Bytes and open files in use, once there are as many files as `settled` says, or nothing is under way for a while.
fn in_use(settled: Option<usize>) -> (isize, usize) {
    // Connections that were closed are still being put away by the server's thread.
    for _ in 0..100 {
        #[expect(clippy::disallowed_methods, reason = "a server lives in real time")]
        std::thread::sleep(Duration::from_millis(20));
        if settled.is_some_and(|settled| settled == entries("fd")) {
            break;
        }
    }
    (LIVE.load(Relaxed), entries("fd"))
}

fn hot_plug(hierarchy: &Mutex<Hierarchy>, round: u32) {
    let mut hierarchy = hierarchy.lock();
    match round % 2 {
        0 => hierarchy.plug("rp0", &EndpointSpec::new("card1")).unwrap(),
        _ => hierarchy.unplug("rp0").unwrap(),
    }
}

#[test]
fn a_day_of_polling_and_hot_plug_leaves_memory_as_it_was() {
    let topology = Topology::from_toml(TOPOLOGY).unwrap();
    let composed = topology.compose(&mut ExternallyManagedMmioIntercepts, None);
    let hierarchy = Arc::new(Mutex::new(composed.unwrap()));
    let socket = std::env::temp_dir().join(format!("rxe-{}.sock", std::process::id()));
    let threads_before = entries("task");
    let server = Server::start(hierarchy.clone(), Address::Socket(socket.clone())).unwrap();
    (0..WARM_UP).for_each(|round| hot_plug(&hierarchy, round));
    let news = || hierarchy.lock().events().next_sequence();
    let mut follower = follow(&socket, news());
    let mut before = None;
    for poll in 0..POLLS {
        get(&socket, "/inspect/rc0/functions/rp0/station?depth=0");
        if poll % LARGE == 0 {
            for target in [
                "/metrics",
                "/topology",
                "/lspci",
                "/inspect/rc0/functions/rp0",
            ] {
                get(&socket, target);
            }
        }
        if poll % HOT_PLUG == 0 {
            hot_plug(&hierarchy, poll / HOT_PLUG);
        }
        if poll % FOLLOWER == FOLLOWER - 1 {
            follower = follow(&socket, news());
        }
        if poll == POLLS / 12 - 1 {
            // Two hours: each kind of request was answered, and a follower has come just now, as at the end.
            before = Some(in_use(None));
        }
    }
    let (bytes_before, files_before) = before.unwrap();
    let (bytes, files) = in_use(Some(files_before));
    let left = bytes - bytes_before;
    assert!(
        left.abs() < LEFT_MAX,
        "{left} bytes more than {bytes_before}"
    );
    assert_eq!(files, files_before, "open files");
    // Those that wait for the source come and go.
    let threads = entries("task") - threads_before;
    assert!(threads <= SERVER_THREADS, "{threads} threads");
    assert!(
        hierarchy.lock().events().dropped() > 0,
        "the log was never full"
    );
    drop(follower);
    drop(server);
    assert!(!socket.exists());
}

//! The cost of a configuration read behind the lock that the server shares, alone and while a client polls the whole tree without a
//! pause. See `docs/performance.md`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark stops at the first surprise"
)]

use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use chipset_device::mmio::MmioIntercept;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use inspect_service::Address;
use inspect_service::Server;
use parking_lot::Mutex;
use pcie_topology::Hierarchy;
use pcie_topology::Topology;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

const ECAM: u64 = 0xe000_0000;
const PORTS: usize = 32;

/// Root ports with an endpoint each.
fn hierarchy() -> Hierarchy {
    let mut text = format!("[[root_complex]]\nname = \"rc\"\necam = {ECAM:#x}\n");
    for port in 0..PORTS {
        let _ = write!(
            text,
            "[[root_complex.port]]\nname = \"rp{port}\"\nslot = {port}\n\
             [root_complex.port.endpoint]\nname = \"ep{port}\"\n"
        );
    }
    let topology = Topology::from_toml(&text).unwrap();
    topology
        .compose(&mut ExternallyManagedMmioIntercepts, None)
        .unwrap()
}

/// One 4-byte read of the first root port.
fn read(hierarchy: &Mutex<Hierarchy>) -> u32 {
    let mut data = [0; 4];
    let mut hierarchy = hierarchy.lock();
    let root = &mut hierarchy.complexes[0].root;
    let _ = root.mmio_read(black_box(ECAM), &mut data);
    u32::from_le_bytes(data)
}

fn poll(socket: &Path, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream
            .write_all(b"GET /inspect HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        // A reader that does nothing but read, on a busy machine, may leave a walk too little time.
        assert!(answer.starts_with(b"HTTP/1.1 200") || answer.starts_with(b"HTTP/1.1 504"));
    }
}

fn config_read_locked(c: &mut Criterion) {
    let hierarchy = Arc::new(Mutex::new(hierarchy()));
    let mut group = c.benchmark_group("config_read_locked");
    group.bench_function("alone", |b| b.iter(|| read(&hierarchy)));

    let socket = std::env::temp_dir().join(format!("rxb-{}.sock", std::process::id()));
    let server = Server::start(hierarchy.clone(), Address::Socket(socket.clone())).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| poll(&socket, &stop));
        group.bench_function("while_polled", |b| b.iter(|| read(&hierarchy)));
        stop.store(true, Relaxed);
    });
    drop(server);
    group.finish();
}

criterion_group!(benches, config_read_locked);
criterion_main!(benches);

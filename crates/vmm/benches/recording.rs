//! What recording costs a configuration read, as the guest sees it: from the exit to the answer, through the monitor's dispatch and the
//! lock on the hierarchy. See `docs/performance.md`.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark stops at the first surprise"
)]

use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use pcie_topology::Topology;
use recording::MessageLog;
use recording::Recorder;
use std::hint::black_box;
use vmm::Bus;

const TOPOLOGY: &str = r#"
    [[root_complex]]
    name = "rc0"
    ecam = 0xe000_0000
    mmio32 = { base = 0xc000_0000, size = "256M" }

    [[root_complex.port]]
    name = "rp0"
    endpoint = { name = "e0" }
"#;

/// The Vendor ID of the root port.
const REGISTER: u64 = 0xe000_0000;

fn bus() -> Bus {
    let topology = Topology::from_toml(TOPOLOGY).unwrap();
    let messages = MessageLog::new(None);
    let hierarchy = topology.compose(&mut ExternallyManagedMmioIntercepts, Some(messages));
    Bus::new(&topology, hierarchy.unwrap())
}

fn read(bus: &Bus) -> u32 {
    let mut data = [0; 4];
    bus.memory_read(black_box(REGISTER), &mut data);
    u32::from_le_bytes(data)
}

fn recording(c: &mut Criterion) {
    let mut group = c.benchmark_group("recording");
    let plain = bus();
    group.bench_function("off", |b| b.iter(|| read(&plain)));
    let recorded = bus();
    let recorder = Recorder::start(TOPOLOGY, std::io::sink()).unwrap();
    recorded
        .hierarchy()
        .lock()
        .record(recorder.with_messages(MessageLog::new(None)));
    group.bench_function("on", |b| b.iter(|| read(&recorded)));
    group.finish();
}

criterion_group!(benches, recording);
criterion_main!(benches);

//! What recording costs a configuration read, as the guest sees it: from the exit to the answer, through the monitor's dispatch and the
//! lock on the hierarchy.
//!
//! Without arguments it times: slices of reads with and without a recorder take turns, each shorter than a scheduler's, so that both meet
//! the same machine; of each kind the median slice counts. A line each: the name, nanoseconds a read. With `NAME COUNT` it only reads, for
//! whoever counts instructions. `cargo xtask bench` does both. See `docs/performance.md`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a measurement stops at the first surprise, and takes the time"
)]

use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use pcie_topology::Topology;
use recording::MessageLog;
use recording::Recorder;
use std::hint::black_box;
use std::time::Instant;
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
const NAMES: [&str; 2] = ["off", "on"];
const SLICES: usize = 4000;
const SLICE_READS: u32 = 4000;

fn bus(recorded: bool) -> Bus {
    let topology = Topology::from_toml(TOPOLOGY).unwrap();
    let messages = MessageLog::new(None);
    let hierarchy = topology.compose(&mut ExternallyManagedMmioIntercepts, Some(messages.clone()));
    let bus = Bus::new(&topology, hierarchy.unwrap());
    if recorded {
        let recorder = Recorder::start(TOPOLOGY, std::io::sink()).unwrap();
        let recorder = recorder.with_messages(messages);
        bus.hierarchy().lock().record(recorder);
    }
    bus
}

fn read(bus: &Bus, count: u32) {
    for _ in 0..count {
        let mut data = [0; 4];
        bus.memory_read(black_box(REGISTER), &mut data);
        black_box(data);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [name, count] = arguments.as_slice() {
        read(&bus(name == "on"), count.parse().unwrap());
        return;
    }
    let buses = [bus(false), bus(true)];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..SLICES {
        for (bus, times) in buses.iter().zip(&mut times) {
            let begin = Instant::now();
            read(bus, SLICE_READS);
            times.push(begin.elapsed());
        }
    }
    for (name, mut times) in NAMES.into_iter().zip(times) {
        times.sort_unstable();
        let median = times[times.len() / 2];
        println!(
            "{name} {:.2}",
            median.as_secs_f64() * 1e9 / f64::from(SLICE_READS)
        );
    }
}

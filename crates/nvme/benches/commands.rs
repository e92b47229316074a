//! Commands a second over memory: reads of 4 KiB, by queue depth, from the doorbell to the last completion.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    dead_code,
    missing_docs,
    reason = "a benchmark stops at the first surprise, and uses what it needs of the tests' guest"
)]

#[path = "../tests/it/host.rs"]
mod host;

use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use host::DATA;
use host::Host;
use host::io;
use nvme::spec::IoOpcode;

fn reads(c: &mut Criterion) {
    let mut group = c.benchmark_group("nvme_read_4k");
    for depth in [1u64, 32, 256] {
        let mut host = Host::new();
        host.enable();
        let mut queue = host.create_queue(1, 1024);
        host.set_bytes(DATA, &[1; 4096]);
        host.run(&mut queue, io(IoOpcode::Write, 0, 8, DATA, 0));
        group.throughput(Throughput::Elements(depth));
        group.bench_function(format!("depth_{depth}"), |b| {
            b.iter(|| {
                for _ in 0..depth {
                    host.put(&mut queue, io(IoOpcode::Read, 0, 8, DATA, 0));
                }
                host.ring(&queue);
                for _ in 0..depth {
                    while host.take(&mut queue).is_none() {
                        std::hint::spin_loop();
                    }
                }
                host.acknowledge(&queue);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reads);
criterion_main!(benches);

//! The cost of a configuration read, through the root complex's `mmio_read`. See `docs/performance.md`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark stops at the first surprise"
)]

mod scenario;

use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use scenario::BareLookup;
use scenario::PORTS;
use scenario::Scenario;
use scenario::Target;
use std::hint::black_box;

fn config_read(c: &mut Criterion) {
    let mut group = c.benchmark_group("config_read");
    let mut bare = BareLookup::new();
    group.bench_function("bare_lookup", |b| {
        b.iter(|| black_box(&mut bare).read(black_box(1)))
    });
    for ports in PORTS {
        for (name, target) in Target::ALL {
            let mut scenario = Scenario::new(target, ports);
            assert_eq!(scenario.read(), scenario.expected, "{name}");
            group.bench_function(format!("{name}/{ports}"), |b| {
                b.iter(|| black_box(&mut scenario).read())
            });
        }
    }
    group.finish();
}

criterion_group!(benches, config_read);
criterion_main!(benches);

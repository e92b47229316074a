//! What depends on the size of a hierarchy: composing, scanning, saving, inspecting. See `docs/performance.md`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark stops at the first surprise"
)]

mod segment;

use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use std::hint::black_box;
use std::time::Duration;
use vmcore::save_restore::ProtobufSaveRestore;

fn segment(c: &mut Criterion) {
    let mut group = c.benchmark_group("segment");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_secs(10));
    let topology = segment::whole_segment();
    group.bench_function("compose_65536", |b| {
        b.iter_with_large_drop(|| segment::compose(black_box(&topology)))
    });
    let mut hierarchy = segment::compose(&topology);
    let root = &mut hierarchy.complexes[0].root;
    assert_eq!(segment::scan(root), segment::FUNCTIONS);
    group.bench_function("scan_65536", |b| {
        b.iter(|| segment::scan(black_box(&mut *root)))
    });
    drop(hierarchy);
    let mut hierarchy = segment::compose(&segment::one_function_each());
    let root = &mut hierarchy.complexes[0].root;
    assert_eq!(segment::scan(root), 2 * 255);
    group.bench_function("scan_65536_of_which_510", |b| {
        b.iter(|| segment::scan(black_box(&mut *root)))
    });
    group.finish();
}

fn ports(c: &mut Criterion) {
    let mut group = c.benchmark_group("ports");
    let mut root = segment::ports();
    group.bench_function("save_256", |b| {
        b.iter(|| ProtobufSaveRestore::save(black_box(&mut root)).unwrap())
    });
    let path = "functions/rp128";
    let shown = inspect::inspect(path, &mut root).results();
    assert!(
        shown.json().to_string().contains("link_status"),
        "{}",
        shown.json()
    );
    group.bench_function("inspect_one_of_256", |b| {
        b.iter(|| inspect::inspect(path, black_box(&mut root)).results())
    });
    let path = "functions/rp128/cfg_space/capabilities/pci-express/slot_status";
    let shown = inspect::inspect(path, &mut root).results();
    assert!(
        shown.json().to_string().contains("presence_detect_state"),
        "{}",
        shown.json()
    );
    group.bench_function("inspect_register_of_256", |b| {
        b.iter(|| inspect::inspect(path, black_box(&mut root)).results())
    });
    group.finish();
}

/// A read of a BAR behind the last of so many ports.
fn memory(c: &mut Criterion) {
    let mut group = c.benchmark_group("bar_read");
    for (name, ports) in [("behind_1", 1), ("behind_255", 255)] {
        let mut behind = segment::BarBehind::new(ports);
        group.bench_function(name, |b| b.iter(|| black_box(&mut behind).read()));
    }
    group.finish();
}

criterion_group!(benches, segment, ports, memory);
criterion_main!(benches);

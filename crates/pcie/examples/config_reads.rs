//! Performs configuration reads and nothing else, for counting instructions: `config_reads TARGET PORTS COUNT`, where TARGET
//! is `bare_lookup`, `root_port`, `endpoint`, `switch_1`, `switch_2`, `switch_3` or `switch_8`. The difference between two
//! counts is the cost of the reads alone.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "an example stops at the first surprise"
)]

#[path = "../benches/scenario/mod.rs"]
mod scenario;

use scenario::BareLookup;
use scenario::PORTS;
use scenario::Scenario;
use scenario::Target;
use std::hint::black_box;

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [target, ports, count] = args.as_slice() else {
        let names = Target::ALL.map(|(name, _)| name).join(", ");
        eprintln!(
            "usage: config_reads TARGET PORTS COUNT\nTARGET: bare_lookup, {names}; PORTS: {PORTS:?}"
        );
        std::process::exit(2);
    };
    let count: u64 = count.parse().unwrap();
    if target == "bare_lookup" {
        let mut bare = BareLookup::new();
        for _ in 0..count {
            black_box(black_box(&mut bare).read(black_box(1)));
        }
        return;
    }
    let (_, target) = Target::ALL
        .into_iter()
        .find(|(name, _)| name == target)
        .unwrap();
    let mut scenario = Scenario::new(target, ports.parse().unwrap());
    assert_eq!(scenario.read(), scenario.expected);
    for _ in 0..count {
        black_box(black_box(&mut scenario).read());
    }
}

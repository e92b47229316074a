//! A client that polls the whole tree does not keep the guest from its configuration space.

use crate::client::get;
use crate::machine::ECAM;
use crate::machine::Machine;
use crate::machine::hierarchy;
use crate::machine::serve;
use chipset_device::mmio::MmioIntercept;
use inspect::Node;
use inspect::Value;
use inspect_service::Limits;
use inspect_service::Source;
use parking_lot::Mutex;
use pcie_topology::Hierarchy;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::time::Instant;

/// Nodes that a question may have copied: more than any register has fields.
const NODES_MAX: usize = 64;

/// Notes how much each question copies.
struct Watched {
    hierarchy: Arc<Mutex<Hierarchy>>,
    most: AtomicUsize,
    questions: AtomicUsize,
}

impl Source for Watched {
    fn inspect(&self, path: &str, depth: usize) -> Node {
        let node = self.hierarchy.inspect(path, depth);
        self.most.fetch_max(count(&node), Relaxed);
        self.questions.fetch_add(1, Relaxed);
        node
    }

    fn update(&self, path: &str, value: &str) -> Result<Value, inspect::Error> {
        self.hierarchy.update(path, value)
    }
}

fn count(node: &Node) -> usize {
    match node {
        Node::Dir(entries) => {
            1 + entries
                .iter()
                .map(|entry| count(&entry.node))
                .sum::<usize>()
        }
        _ => 1,
    }
}

#[test]
fn no_question_copies_more_than_a_directory() {
    let watched = Arc::new(Watched {
        hierarchy: hierarchy(),
        most: AtomicUsize::new(0),
        questions: AtomicUsize::new(0),
    });
    let server = serve(watched.clone(), Limits::default());
    let answer = get(server.socket().unwrap(), "/inspect");
    let whole = inspect::inspect("", &mut *watched.hierarchy.lock()).results();
    assert_eq!(answer.body, format!("{:#}\n", whole.json()));
    assert!(count(&whole) > 20 * NODES_MAX, "{}", count(&whole));
    assert!(
        watched.most.load(Relaxed) <= NODES_MAX,
        "{:?}",
        watched.most
    );
    assert!(watched.questions.load(Relaxed) > 100);
}

/// Times of single configuration reads as a virtual processor makes them, sorted.
fn read_times(hierarchy: &Mutex<Hierarchy>) -> Vec<Duration> {
    let mut times: Vec<_> = (0..20_000)
        .map(|_| {
            let start = Instant::now();
            let mut data = [0; 4];
            let mut hierarchy = hierarchy.lock();
            let read = hierarchy.complexes[0].root.mmio_read(ECAM, &mut data);
            drop(hierarchy);
            let time = start.elapsed();
            assert!(matches!(read, chipset_device::io::IoResult::Ok));
            assert_eq!(data[..2], [0x14, 0x14]);
            // The guest does other things as well.
            std::hint::spin_loop();
            time
        })
        .collect();
    times.sort();
    times
}

fn poll(socket: &Path, stop: &AtomicBool) -> usize {
    let mut polls = 0;
    while !stop.load(Relaxed) || polls == 0 {
        assert_eq!(get(socket, "/inspect").status, 200);
        polls += 1;
    }
    polls
}

#[test]
fn config_reads_keep_their_latency_while_the_tree_is_polled() {
    let machine = Machine::new();
    let alone = read_times(&machine.hierarchy);
    let stop = AtomicBool::new(false);
    let (polled, polls) = std::thread::scope(|scope| {
        let poller = scope.spawn(|| poll(machine.socket(), &stop));
        std::thread::sleep(Duration::from_millis(20));
        let polled = read_times(&machine.hierarchy);
        stop.store(true, Relaxed);
        (polled, poller.join().unwrap())
    });
    assert!(polls >= 1);
    let median = |times: &[Duration]| times[times.len() / 2];
    // Most reads do not even notice; `cargo xtask bench` has the figures. The rest is what a busy machine adds.
    let bound = 4 * median(&alone) + Duration::from_micros(2);
    assert!(
        median(&polled) <= bound,
        "{:?} alone, {:?} while polled",
        median(&alone),
        median(&polled)
    );
}

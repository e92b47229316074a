//! Many clients, and slow ones.

use crate::client::connect;
use crate::client::get;
use crate::machine::Machine;
use crate::machine::serve;
use inspect::Node;
use inspect::Value;
use inspect::ValueKind;
use inspect_service::Limits;
use inspect_service::Source;
use std::io::Read;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::time::Instant;

#[test]
fn a_thousand_clients_get_an_answer_each() {
    let machine = Machine::new();
    let (served, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let answer = get(machine.socket(), "/inspect/rc0/functions/rp0?depth=0");
                    match answer.status {
                        200 => served.fetch_add(1, Relaxed),
                        503 => refused.fetch_add(1, Relaxed),
                        status => panic!("{status}"),
                    };
                }
            });
        }
    });
    assert_eq!(served.load(Relaxed) + refused.load(Relaxed), 1000);
    assert!(served.load(Relaxed) >= 64, "{served:?} were served");
    assert_eq!(get(machine.socket(), "/inspect?depth=0").status, 200);
}

#[test]
fn clients_beyond_the_places_are_told_at_once() {
    let machine = Machine::with(Limits {
        connections: 4,
        refusals: 2,
        request: Duration::from_secs(2),
        ..Limits::default()
    });
    let idle: Vec<_> = (0..4).map(|_| connect(machine.socket())).collect();
    let start = Instant::now();
    let answer = get(machine.socket(), "/inspect?depth=0");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.error(), "too many connections are open");
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    // Beyond those that are refused with patience, nothing is read before the answer.
    let waiting: Vec<_> = (0..2).map(|_| connect(machine.socket())).collect();
    let mut last = connect(machine.socket());
    let mut text = String::new();
    last.read_to_string(&mut text).unwrap();
    assert_eq!(crate::client::parse(&text).status, 503);
    assert!(start.elapsed() < Duration::from_secs(2));
    drop((idle, waiting));
    // The places are free again as soon as the server has seen them go.
    while get(machine.socket(), "/inspect?depth=0").status != 200 {
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}

/// More than the buffers of a socket hold.
struct Long;

impl Source for Long {
    fn inspect(&self, path: &str, _: usize) -> Node {
        let text = match path {
            "long" => "x".repeat(4 << 20),
            _ => String::new(),
        };
        Node::Value(ValueKind::from(text).into())
    }

    fn update(&self, _: &str, _: &str) -> Result<Value, inspect::Error> {
        Err(inspect::Error::Immutable)
    }
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let limits = Limits {
        connections: 1,
        stall: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = serve(Arc::new(Long), limits);
    let socket = server.socket().unwrap();
    let mut slow = connect(socket);
    slow.write_all(b"GET /inspect/long HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let start = Instant::now();
    // It has the only place until the server's patience is up.
    while get(socket, "/inspect/short").status != 200 {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(start.elapsed() >= Duration::from_millis(200));
    let mut text = Vec::new();
    let _ = slow.read_to_end(&mut text);
    assert!(text.starts_with(b"HTTP/1.1 200"));
    assert!(text.len() < 4 << 20, "it got all of it");
}

//! Events as a stream.

use crate::client::connect;
use crate::client::get;
use crate::client::send;
use crate::machine::serve;
use inspect::Node;
use inspect::Value;
use inspect_service::Event;
use inspect_service::Limits;
use inspect_service::Server;
use inspect_service::Source;
use parking_lot::Condvar;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

/// Events that the log keeps.
const KEPT: usize = 4;

#[derive(Default)]
struct Log {
    events: Mutex<VecDeque<Event>>,
    arrived: Condvar,
}

impl Log {
    fn push(&self, sequence: u64) {
        let mut events = self.events.lock();
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(Event {
            sequence,
            time_us: 1000 * sequence,
            port: "rp0".to_string(),
            bdf: Some("0000:00:00.0".to_string()),
            kind: "link".to_string(),
            what: "link up".to_string(),
            cause: "a line\nand another".to_string(),
        });
        self.arrived.notify_all();
    }
}

impl Source for Log {
    fn inspect(&self, _: &str, _: usize) -> Node {
        Node::Dir(vec![])
    }

    fn update(&self, _: &str, _: &str) -> Result<Value, inspect::Error> {
        Err(inspect::Error::Immutable)
    }

    fn events(&self, from: u64, max: usize) -> Vec<Event> {
        let events = self.events.lock();
        let later = events.iter().filter(|event| event.sequence >= from);
        later.take(max).cloned().collect()
    }

    fn wait_for_event(&self, from: u64, timeout: Duration) -> Option<u64> {
        let mut events = self.events.lock();
        let next = |events: &VecDeque<Event>| events.back().map_or(0, |event| event.sequence + 1);
        self.arrived
            .wait_while_for(&mut events, |events| next(events) <= from, timeout);
        Some(next(&events))
    }
}

fn start() -> (Arc<Log>, Server) {
    let log = Arc::new(Log::default());
    let server = serve(log.clone(), Limits::default());
    (log, server)
}

/// The names and ids of a stream's events.
fn ids(body: &str) -> Vec<String> {
    body.lines()
        .filter(|line| line.starts_with("id: ") || line.starts_with("event: dropped"))
        .map(str::to_string)
        .collect()
}

#[test]
fn the_log_so_far() {
    let (log, server) = start();
    let socket = server.socket().unwrap();
    assert_eq!(get(socket, "/events?follow=false").body, "");
    log.push(0);
    log.push(1);
    let answer = get(socket, "/events?follow=false");
    assert!(answer.head.contains("content-type: text/event-stream"));
    assert_eq!(
        answer.body.split("\n\n").next().unwrap(),
        "id: 0\nevent: link\ndata: {\"sequence\":0,\"time_us\":0,\"port\":\"rp0\",\"bdf\":\"0000:00:00.0\",\"kind\":\"link\",\
         \"what\":\"link up\",\"cause\":\"a line\\nand another\"}"
    );
    assert_eq!(ids(&answer.body), ["id: 0", "id: 1"]);
    assert_eq!(
        ids(&get(socket, "/events?follow=false&from=1").body),
        ["id: 1"]
    );
}

#[test]
fn a_client_resumes_where_it_was_and_hears_what_it_lost() {
    let (log, server) = start();
    let socket = server.socket().unwrap();
    (0..10).for_each(|sequence| log.push(sequence));
    let resume = |id: &str| {
        let head =
            format!("GET /events?follow=false HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {id}\r\n\r\n");
        send(socket, head.as_bytes())
    };
    assert_eq!(ids(&resume("7").body), ["id: 8", "id: 9"]);
    let behind = resume("1").body;
    assert_eq!(
        ids(&behind),
        ["event: dropped", "id: 6", "id: 7", "id: 8", "id: 9"]
    );
    assert!(behind.contains("data: {\"dropped\":4}"), "{behind}");
    assert_eq!(resume("seven").status, 400);
    assert_eq!(ids(&resume("18446744073709551615").body), [""; 0]);
}

#[test]
fn a_follower_hears_of_events_as_they_come() {
    let (log, server) = start();
    let mut stream = connect(server.socket().unwrap());
    stream
        .write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    for sequence in 0..20 {
        log.push(sequence);
        let id = format!("id: {sequence}");
        assert!(lines.by_ref().any(|line| line == id));
    }
}

#[test]
fn followers_leave_places_for_others() {
    let log = Arc::new(Log::default());
    let limits = Limits {
        followers: 2,
        ..Limits::default()
    };
    let server = serve(log.clone(), limits);
    let socket = server.socket().unwrap();
    let follow = || {
        let mut stream = connect(socket);
        stream
            .write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut stream = BufReader::new(stream);
        let mut status = String::new();
        stream.read_line(&mut status).unwrap();
        (stream, status)
    };
    let followers = [follow(), follow()];
    assert!(followers.iter().all(|(_, status)| status.contains("200")));
    assert!(follow().1.contains("503"));
    assert_eq!(get(socket, "/inspect").status, 200);
    drop(followers);
    // The server sees that they are gone when it next has something to say.
    let start = Instant::now();
    while !follow().1.contains("200") {
        log.push(0);
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}

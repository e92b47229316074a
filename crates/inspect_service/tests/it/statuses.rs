//! Bad requests get a clear status.

use crate::client::Answer;
use crate::client::connect;
use crate::client::get;
use crate::client::read;
use crate::client::request;
use crate::client::send;
use crate::machine::Machine;
use crate::machine::serve;
use inspect::Node;
use inspect::Value;
use inspect_service::Address;
use inspect_service::Limits;
use inspect_service::Server;
use inspect_service::Source;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn an_unknown_path_says_how_far_it_is_known() {
    let machine = Machine::new();
    let answer = get(machine.socket(), "/inspect/rc0/functions/rp9/name");
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.error(),
        "there is no 'rc0/functions/rp9/name'; the path is known as far as 'rc0/functions'"
    );
    let json = answer.json();
    assert_eq!(json["known"], "rc0/functions");
    let children = json["children"].as_array().unwrap();
    for name in ["rp0", "rp1", "rp2"] {
        assert!(children.contains(&name.into()), "{children:?}");
    }
    let first = get(machine.socket(), "/inspect/rc9");
    assert_eq!(
        (first.status, first.error().as_str()),
        (404, "there is no 'rc9'")
    );
    // A value has nothing below it.
    let below = get(machine.socket(), "/inspect/rc0/functions/rp0/name/x");
    assert_eq!(below.json()["known"], "rc0/functions/rp0/name");
    assert_eq!(get(machine.socket(), "/elsewhere").status, 404);
}

#[test]
fn a_bad_parameter_is_named() {
    let machine = Machine::new();
    for (target, hint) in [
        ("/inspect?depth=65", "at most 64"),
        ("/inspect?depth=18446744073709551615", "at most 64"),
        ("/inspect?depth=-1", "depth"),
        ("/inspect?depth=much", "depth"),
        ("/inspect?dephth=1", "dephth"),
        ("/inspect?format=xml", "xml"),
        ("/inspect/%ff", "UTF-8"),
        ("/topology?format=text", "json or svg"),
        ("/metrics?x=1", "x"),
        ("/events?from=now", "from"),
    ] {
        let answer = get(machine.socket(), target);
        assert_eq!(answer.status, 400, "{target}");
        assert!(
            answer.error().contains(hint),
            "{target}: {}",
            answer.error()
        );
    }
}

#[test]
fn a_path_as_long_as_can_be_is_a_path() {
    let machine = Machine::new();
    let long = get(machine.socket(), &format!("/inspect/{}", "a/".repeat(3000)));
    assert_eq!(long.status, 404);
    let longer = get(
        machine.socket(),
        &format!("/inspect/{}", "a/".repeat(30_000)),
    );
    assert!(matches!(longer.status, 414 | 431), "{}", longer.status);
}

#[test]
fn what_is_read_only_is_not_changed() {
    let machine = Machine::new();
    for path in ["", "/rc0", "/rc0/functions/rp0/name"] {
        let answer = request(machine.socket(), "PUT", &format!("/inspect{path}"), b"x");
        assert_eq!(answer.status, 405, "{path}");
        assert!(answer.error().contains("not changed"), "{}", answer.error());
    }
    let missing = request(machine.socket(), "PUT", "/inspect/rc0/x", b"x");
    assert_eq!(missing.status, 404);
    let method = request(machine.socket(), "DELETE", "/inspect/rc0", b"");
    assert_eq!(method.status, 405);
}

#[test]
fn a_long_value_is_not_read() {
    let machine = Machine::new();
    let answer = request(
        machine.socket(),
        "PUT",
        "/inspect/rc0",
        &[b'x'; (4 << 10) + 1],
    );
    assert_eq!(answer.status, 413);
    assert_eq!(
        answer.error(),
        "the request's body is longer than 4096 bytes"
    );
    let binary = request(machine.socket(), "PUT", "/inspect/rc0", b"\xff");
    assert_eq!(binary.status, 400);
}

#[test]
fn an_answer_that_is_too_long_is_refused() {
    let machine = Machine::with(Limits {
        answer_bytes: 4 << 10,
        ..Limits::default()
    });
    let answer = get(machine.socket(), "/inspect");
    assert_eq!(answer.status, 413);
    assert!(
        answer.error().contains("fewer levels"),
        "{}",
        answer.error()
    );
    assert_eq!(get(machine.socket(), "/inspect?depth=1").status, 200);
}

#[test]
fn what_comes_too_slowly_is_given_up() {
    let machine = Machine::with(Limits {
        request: Duration::from_millis(50),
        ..Limits::default()
    });
    let mut body = connect(machine.socket());
    body.write_all(b"PUT /inspect/rc0 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab")
        .unwrap();
    assert_eq!(read(body).status, 408);
    let mut head = connect(machine.socket());
    head.write_all(b"GET /insp").unwrap();
    // Hyper closes without a word: no request was made that could be answered.
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut head, &mut rest).unwrap();
    assert!(rest.is_empty() || rest.contains("408"), "{rest}");
}

#[test]
fn what_is_no_request_is_refused() {
    let machine = Machine::new();
    assert_eq!(send(machine.socket(), b"\x16\x03\x01\r\n\r\n").status, 400);
    let many = "x: y\r\n".repeat(500);
    let head = format!("GET /inspect HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    assert_eq!(send(machine.socket(), head.as_bytes()).status, 431);
}

/// A source that does not do what it should.
struct Broken;

impl Source for Broken {
    fn inspect(&self, path: &str, _: usize) -> Node {
        match path {
            "panic" => panic!("the source of a test"),
            _ => {
                std::thread::sleep(Duration::from_millis(2000));
                Node::Dir(vec![])
            }
        }
    }

    fn update(&self, _: &str, _: &str) -> Result<Value, inspect::Error> {
        Err(inspect::Error::Unresolved)
    }
}

#[test]
fn a_source_that_fails_is_told_of() {
    let limits = Limits {
        answer: Duration::from_millis(1000),
        ..Limits::default()
    };
    let server = serve(Arc::new(Broken), limits);
    let socket = server.socket().unwrap();
    assert_eq!(get(socket, "/inspect/panic").status, 500);
    let slow = get(socket, "/inspect/slow");
    assert_eq!(
        (slow.status, slow.error().as_str()),
        (504, "what was asked for did not answer in time")
    );
    std::thread::sleep(Duration::from_millis(2000));
    assert_eq!(request(socket, "PUT", "/inspect/x", b"1").status, 504);
}

#[test]
fn web_pages_are_kept_away() {
    let machine = Machine::new();
    let server = Server::start(machine.hierarchy.clone(), Address::Tcp(0)).unwrap();
    let address = server.tcp().unwrap();
    assert!(address.ip().is_loopback());
    let ask = |host: &str, more: &str| -> Answer {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!("GET /inspect?depth=0 HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        read(stream)
    };
    let own = format!("localhost:{}", address.port());
    assert_eq!(ask(&own, "").status, 200);
    assert_eq!(ask(&own, &format!("Origin: http://{own}\r\n")).status, 200);
    assert_eq!(ask("evil.example", "").status, 403);
    assert_eq!(ask(&own, "Origin: http://evil.example\r\n").status, 403);
    assert_eq!(ask(&own, "Sec-Fetch-Site: cross-site\r\n").status, 403);
}

#[test]
fn the_page_is_for_browsers_and_lets_nothing_in() {
    let machine = Machine::new();
    let server = Server::start(machine.hierarchy.clone(), Address::Tcp(0)).unwrap();
    let address = server.tcp().unwrap();
    let ask = |method: &str, target: &str, more: &str| -> Answer {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n{more}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        read(stream)
    };
    let page = ask("GET", "/", "");
    assert_eq!(page.status, 200);
    assert!(page.body.starts_with("<!doctype html>"));
    for file in ["/", "/page/main.js", "/page/style.css"] {
        let head = ask("GET", file, "").head.to_lowercase();
        assert!(
            head.contains("content-security-policy: default-src 'none'; script-src 'self';"),
            "{head}"
        );
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    }
    assert_eq!(ask("GET", "/page/nothing.js", "").status, 404);
    // Whoever reaches the socket has no browser there.
    assert_eq!(get(machine.socket(), "/").status, 404);

    // No form of another site, nor a program that does not know what it does, presses a button.
    let refused = ask("POST", "/ports/rp1/button", "");
    assert_eq!(
        (refused.status, refused.error().as_str()),
        (
            403,
            "over TCP, what changes something needs the header Rootplex-Operator"
        )
    );
    assert_eq!(
        ask("POST", "/ports/rp1/button", "Rootplex-Operator: test\r\n").status,
        204
    );
}

#[test]
fn the_register_tables_are_served() {
    let machine = Machine::new();
    let tables = get(machine.socket(), "/registers").json();
    let titles = tables.as_array().unwrap().iter();
    assert!(
        titles
            .filter_map(|table| table["title"].as_str())
            .any(|title| title == "PCI Express capability")
    );
}

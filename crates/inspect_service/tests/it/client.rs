//! A client that sends what it is told to, right or wrong.

use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// What a refusal says.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_string()
    }
}

pub(crate) fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    // A server that does not answer fails the test, and does not stop it.
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream
}

/// Sends a request with a body, and reads the answer to its end.
pub(crate) fn request(socket: &Path, method: &str, target: &str, body: &[u8]) -> Answer {
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = connect(socket);
    stream.write_all(head.as_bytes()).unwrap();
    // The server may have refused already.
    let _ = stream.write_all(body);
    read(stream)
}

pub(crate) fn get(socket: &Path, target: &str) -> Answer {
    request(socket, "GET", target, b"")
}

/// Sends bytes, and reads the answer to its end.
pub(crate) fn send(socket: &Path, bytes: &[u8]) -> Answer {
    let mut stream = connect(socket);
    stream.write_all(bytes).unwrap();
    read(stream)
}

pub(crate) fn read(mut stream: impl Read) -> Answer {
    let mut bytes = Vec::new();
    // A server that closes before it has read everything resets the connection; the answer has come all the same.
    let _ = stream.read_to_end(&mut bytes);
    parse(&String::from_utf8(bytes).unwrap())
}

pub(crate) fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.split(' ').nth(1).unwrap_or("0");
    let body = if head.contains("transfer-encoding: chunked") {
        unchunked(body)
    } else {
        body.to_string()
    };
    Answer {
        status: status.parse().unwrap(),
        head: head.to_string(),
        body,
    }
}

fn unchunked(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((length, rest)) = text.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&rest[..length.min(rest.len())]);
        text = rest.get(length + 2..).unwrap_or("");
    }
    body
}

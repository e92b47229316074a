//! The asking side: HTTP over a Unix socket, one request a connection.

use crate::output::Failure;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use inspect_service::live_sockets;
use inspect_service::socket_folder;
use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use std::fmt::Display;
use std::future::Future;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

/// What stands for itself in a path (RFC 3986 section 3.3).
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Longer than a server takes for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A path as a part of a request's target.
pub(super) fn encoded(path: &str) -> impl Display + '_ {
    utf8_percent_encode(path, PATH)
}

/// Asks one server.
pub(super) struct Client {
    socket: PathBuf,
    runtime: Runtime,
    patience: Duration,
}

impl Client {
    /// The server at `socket`, or the only one there is.
    pub(super) fn find(socket: Option<&Path>) -> Result<Self, Failure> {
        let socket = match socket {
            Some(socket) => socket.to_owned(),
            None => only_one(&socket_folder())?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::other)?;
        Ok(Self {
            socket,
            runtime,
            patience: PATIENCE,
        })
    }

    /// The same, for those who give up soon.
    pub(super) fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The body of the answer to a `GET`.
    pub(super) fn get(&self, target: &str) -> Result<Vec<u8>, Failure> {
        self.send("GET", target, Vec::new())
    }

    /// The body of the answer to a request.
    pub(super) fn send(
        &self,
        method: &str,
        target: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        let (status, body) = self.exchange(method, target, body)?;
        match status.is_success() {
            true => Ok(body),
            false => Err(refused(status, &body)),
        }
    }

    /// Status and body of the answer to a request.
    pub(super) fn exchange(
        &self,
        method: &str,
        target: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        self.wait(async {
            let response = self.ask(method, target, body).await?;
            let status = response.status();
            let body = response.into_body().collect().await;
            let body = body.map_err(|error| self.broken(&error))?.to_bytes();
            Ok((status, body.into()))
        })
    }

    /// Hands on the lines of an answer as they come, until there are no more or `f` says no.
    pub(super) fn follow(
        &self,
        target: &str,
        mut f: impl FnMut(&str) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let mut response = self.ask("GET", target, Vec::new()).await?;
            if !response.status().is_success() {
                let status = response.status();
                let body = response.into_body().collect().await;
                return Err(refused(
                    status,
                    &body.map(|body| body.to_bytes()).unwrap_or_default(),
                ));
            }
            let mut pending = Vec::new();
            while let Some(frame) = response.frame().await {
                let frame = frame.map_err(|error| self.broken(&error))?;
                pending.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<_> = pending.drain(..=end).collect();
                    if !f(String::from_utf8_lossy(&line).trim_end())? {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    fn wait<R>(&self, work: impl Future<Output = Result<R, Failure>>) -> Result<R, Failure> {
        self.runtime
            .block_on(async { tokio::time::timeout(self.patience, work).await })
            .unwrap_or_else(|_| {
                Err(Failure::no_server(format_args!(
                    "{}: no answer came in time",
                    self.socket.display()
                )))
            })
    }

    async fn ask(
        &self,
        method: &str,
        target: &str,
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            Failure::no_server(format_args!(
                "no server answers at {}: {error}; `rootplex serve` starts one",
                self.socket.display()
            ))
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(&error))?;
        // It ends with the exchange; what goes wrong is seen there.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "rootplex")
            .body(Full::new(Bytes::from(body)))
            .map_err(Failure::mistake)?;
        let response = sender.send_request(request).await;
        response.map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &hyper::Error) -> Failure {
        Failure::no_server(format_args!("{}: {error}", self.socket.display()))
    }
}

fn only_one(folder: &Path) -> Result<PathBuf, Failure> {
    let live = live_sockets(folder);
    match live.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::no_server(format_args!(
            "no server is live in {}; start one with `rootplex serve`, or say --socket",
            folder.display()
        ))),
        several => {
            let paths: Vec<_> = several
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            Err(Failure::mistake(format_args!(
                "several servers are live; choose by --socket: {}",
                paths.join(", ")
            )))
        }
    }
}

/// What a refusal says, one line for each of its own.
pub(super) fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let error = json.get("error").and_then(|error| error.as_str());
    let mut lines: Vec<_> = error
        .map_or_else(|| status.to_string(), str::to_string)
        .lines()
        .map(str::to_string)
        .collect();
    let names = json.get("children").and_then(|names| names.as_array());
    if let Some(names) = names.filter(|names| !names.is_empty()) {
        let names: Vec<_> = names.iter().filter_map(|name| name.as_str()).collect();
        lines.push(format!("there are: {}", names.join(", ")));
    }
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::UNPROCESSABLE_ENTITY => Failure::mistake(lines.join("\n")),
        _ => Failure::other(lines.join("\n")),
    }
}

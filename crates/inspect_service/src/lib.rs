//! Serving live state to its operator, over a Unix socket.
//!
//! A [`Server`] speaks HTTP on a socket that only its owner can open (mode 0600), or on a loopback TCP port. A monitor that keeps its
//! hierarchy behind a lock embeds it in five lines:
//!
//! ```
//! use chipset_device::mmio::ExternallyManagedMmioIntercepts;
//! use inspect_service::{Address, Server};
//! use parking_lot::Mutex;
//! use pcie_topology::Topology;
//! use std::sync::Arc;
//!
//! # let description = "[[root_complex]]\nname = \"rc0\"\necam = 0xe000_0000";
//! # let path = std::env::temp_dir().join(format!("inspect-service-doc-{}.sock", std::process::id()));
//! let topology = Topology::from_toml(description)?;
//! let hierarchy = topology.compose(&mut ExternallyManagedMmioIntercepts, None)?;
//! let hierarchy = Arc::new(Mutex::new(hierarchy));
//! let server = Server::start(hierarchy.clone(), Address::Socket(path))?;
//! // The guest runs; its accesses go to `hierarchy.lock().complexes[0].root`. The server stops when it is dropped.
//! # assert!(server.socket().is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Any other thing is served by implementing [`Source`].
//!
//! # What is served
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /inspect/PATH?depth=N&format=json` | the node and `N` levels of directories below it, as JSON or, with `format=text`, as text |
//! | `PUT /inspect/PATH` | changes a node to what the body says |
//! | `GET /events?from=N&follow=true&named=true` | server-sent events: hot-plug, link, errors, resets, bus numbers |
//! | `GET /metrics` | counters and gauges of ports and root complexes: OpenMetrics for those who accept it, else the older text form |
//! | `GET /topology?format=json` | the hierarchy as JSON or, with `format=svg`, as a drawing |
//! | `GET /registers` | the register tables as JSON: names, offsets, fields, access rights, sections |
//! | `GET /lspci` | the configuration spaces, for `lspci -F` |
//! | `POST /ports/NAME/plug` | plugs the endpoint that the body describes in JSON |
//! | `POST /ports/NAME/unplug?surprise=false` | takes out what is in the slot, if the guest let it go or with `surprise=true` |
//! | `POST /ports/NAME/request-removal`, `button`, `latch?open=true`, `power-fault` | what an operator does to a slot |
//! | `GET /state`, `PUT /state` | saves the state, restores it |
//! | `GET /` | over TCP, a page for a browser that draws the hierarchy and follows it |
//!
//! The id of an event is its sequence number, so that `Last-Event-ID` resumes. Where a client fell behind the log, an event `dropped`
//! says how many it missed.
//!
//! # Statuses
//!
//! A request that is not done is answered with a JSON object whose `error` says why:
//!
//! | status | why |
//! | --- | --- |
//! | 400 | a parameter is wrong, or the depth beyond its limit |
//! | 403 | a web page of another site sent the request |
//! | 404 | there is no such path; `known` is the longest part of it that there is, `children` what is there |
//! | 405 | the node can be looked at and not changed, or the method is not taken here |
//! | 408 | the body did not come in time |
//! | 409 | the slot or the state does not allow it |
//! | 413 | the body or the answer is too long |
//! | 422 | the node does not take the value; the endpoint's description is wrong |
//! | 431 | the head is too long |
//! | 501 | the embedder offers no such operation |
//! | 503 | too many clients |
//! | 504 | what was asked for did not answer in time |
//!
//! # What clients cannot do
//!
//! | threat | where it is stopped |
//! | --- | --- |
//! | another user connects | the socket's mode is 0600 before it has a name anyone could open |
//! | a web page sends requests to the TCP port | `Host` must name a loopback address, `Origin` the server itself; what changes something needs a header that a page of another site cannot send unasked |
//! | a name or message carries markup into the page | the page sets text and never markup; its policy lets nothing in but the server's own files |
//! | many clients, slow clients | [`Limits`]: connections, followers, times for head, body, answer and each write |
//! | a huge body, answer or depth | [`Limits`], before anything is allocated |
//! | a client polls the whole tree | a tree is copied directory by directory, each under the lock for itself, with four times as long in between as it took, up to a millisecond |
//!
//! Left to the embedder: a TCP port is open to every user of the machine, and whoever connects may change what can be changed. Restoring a
//! state while the guest runs confuses the guest; stop it first.

#![forbid(unsafe_code)]

mod follow;
mod hierarchy;
mod limits;
pub mod lspci;
pub mod metrics;
mod origin;
mod page;
mod patient;
mod refusal;
mod routes;
mod saved;
mod server;
mod service;
mod socket;
mod source;
mod tables;
pub mod topology;
mod walk;

pub use limits::Limits;
pub use server::Address;
pub use server::ServeError;
pub use server::Server;
pub use socket::SocketError;
pub use socket::live_sockets;
pub use socket::make_socket_folder;
pub use socket::socket_folder;
pub use source::Event;
pub use source::Operation;
pub use source::OperationError;
pub use source::Outcome;
pub use source::Source;
pub use topology::Topology;

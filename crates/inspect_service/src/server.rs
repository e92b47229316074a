//! The server: a thread that accepts connections, as many as there is room for.

use crate::Limits;
use crate::Source;
use crate::follow::Following;
use crate::patient::Patient;
use crate::refusal::Refusal;
use crate::routes;
use crate::service::Service;
use crate::socket::Claim;
use crate::socket::SocketError;
use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tower::ServiceExt;

/// A request's head is no longer than this, in bytes; a longer one is answered 431.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Threads that may be waiting for the source: a walk, another question, and one of each that nobody waits for any more.
const QUESTIONS_MAX: usize = 4;
/// How long a question that is under way may hold up the end.
const STOP: Duration = Duration::from_secs(1);
/// After a failure to accept, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For those beyond even the clients that are refused properly.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/json\r\n\
    content-length: 42\r\n\r\n{\"error\":\"too many connections are open\"}\n";

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket, which only its owner can connect to.
    Socket(PathBuf),
    /// A port of 127.0.0.1; 0 for any that is free. Every user of the machine can connect to it.
    Tcp(u16),
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The port cannot be had.
    #[error("port {port} of 127.0.0.1: {source}")]
    Tcp {
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The system gives no thread or no means to wait.
    #[error("the server's thread: {0}")]
    Thread(io::Error),
}

/// A server at work. It stops, and its socket goes away, when this is dropped.
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    service: Arc<Service>,
    threads: Vec<JoinHandle<()>>,
    claim: Option<Claim>,
    tcp: Option<SocketAddr>,
}

impl Server {
    /// Serves `source` at `address`, on a thread of its own.
    ///
    /// # Errors
    ///
    /// As [`Self::start_with`].
    pub fn start(source: Arc<dyn Source>, address: Address) -> Result<Self, ServeError> {
        Self::start_with(source, address, Limits::default())
    }

    /// As [`Self::start`], with limits other than the usual ones.
    ///
    /// # Errors
    ///
    /// - another server listens at the socket or port;
    /// - there is a file in the socket's place, or its folder does not exist or cannot be written to;
    /// - the system gives no thread.
    pub fn start_with(
        source: Arc<dyn Source>,
        address: Address,
        limits: Limits,
    ) -> Result<Self, ServeError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(QUESTIONS_MAX)
            .thread_name("inspect-service")
            .build()
            .map_err(ServeError::Thread)?;
        let guard = runtime.enter();
        let is_tcp = matches!(address, Address::Tcp(_));
        let service = Arc::new(Service::new(source, limits, is_tcp));
        let (stop, stopped) = oneshot::channel();
        let (work, claim, tcp): (Work, _, _) = match address {
            Address::Socket(path) => {
                let (listener, claim) = Claim::bind(&path)?;
                let listener = UnixListener::from_std(listener).map_err(ServeError::Thread)?;
                (
                    Box::pin(accept(listener, service.clone())),
                    Some(claim),
                    None,
                )
            }
            Address::Tcp(port) => {
                let failed = |source| ServeError::Tcp { port, source };
                let listener =
                    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                let tcp = listener.local_addr().map_err(failed)?;
                let listener = TcpListener::from_std(listener).map_err(failed)?;
                (Box::pin(accept(listener, service.clone())), None, Some(tcp))
            }
        };
        drop(guard);
        let mut server = Self {
            stop: Some(stop),
            service: service.clone(),
            threads: Vec::new(),
            claim,
            tcp,
        };
        server.spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = work => {}
                    // An error says that the server was dropped, which is the same.
                    _ = stopped => {}
                }
            });
            runtime.shutdown_timeout(STOP);
        })?;
        server.spawn(move || service.watch())?;
        Ok(server)
    }

    fn spawn(&mut self, work: impl FnOnce() + Send + 'static) -> Result<(), ServeError> {
        let thread = std::thread::Builder::new()
            .name("inspect-service".to_string())
            .spawn(work)
            .map_err(ServeError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Where its socket is, if it has one.
    pub fn socket(&self) -> Option<&Path> {
        self.claim.as_ref().map(Claim::path)
    }

    /// Its TCP address, if it has one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        self.tcp
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // First the socket: whoever comes now shall not find a server that is about to go.
        self.claim = None;
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself.
            let _ = stop.send(());
        }
        self.service.stop();
        for thread in self.threads.drain(..) {
            // If it panicked, that was reported already.
            let _ = thread.join();
        }
    }
}

type Work = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that connections come from.
trait Listener: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Writes what can be written at once.
    fn write_now(stream: &Self::Stream, bytes: &[u8]) -> io::Result<usize>;
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn write_now(stream: &UnixStream, bytes: &[u8]) -> io::Result<usize> {
        stream.try_write(bytes)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn write_now(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        stream.try_write(bytes)
    }
}

async fn accept<L: Listener>(listener: L, service: Arc<Service>) {
    let places = Arc::new(Semaphore::new(service.limits.connections));
    let refusals = Arc::new(Semaphore::new(service.limits.refusals));
    let served = routes::router(service.clone());
    let refused = Router::new().fallback(async || Refusal::busy("too many connections are open"));
    loop {
        let Ok(stream) = listener.next().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (place, router) = match places.clone().try_acquire_owned() {
            Ok(place) => (place, served.clone()),
            Err(_) => match refusals.clone().try_acquire_owned() {
                Ok(place) => (place, refused.clone()),
                Err(_) => {
                    // Whether the client hears of it is its own affair.
                    let _ = L::write_now(&stream, FULL);
                    continue;
                }
            },
        };
        let service = service.clone();
        tokio::spawn(async move {
            serve(stream, router, &service.limits).await;
            drop(place);
        });
    }
}

/// Serves one request. A connection that could be kept would be a place taken by a client that wants nothing at present.
async fn serve<S>(stream: S, router: Router, limits: &Limits)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let following = Following::default();
    let extension = following.clone();
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(extension.clone());
        let router = router.clone();
        async move { Ok::<_, Infallible>(answer(router, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(Patient::new(stream, limits.stall)), answer);
    let mut connection = std::pin::pin!(connection);
    // How it ended is of no interest: a client that went away, or was too slow, is disconnected either way.
    if tokio::time::timeout(limits.connection, connection.as_mut())
        .await
        .is_err()
        && following.is_set()
    {
        let _ = connection.await;
    }
}

async fn answer(router: Router, request: Request<Incoming>) -> axum::response::Response {
    match router.oneshot(request.map(Body::new)).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_resort_has_the_length_it_says() {
        let (head, body) = std::str::from_utf8(FULL)
            .unwrap()
            .split_once("\r\n\r\n")
            .unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
    }
}

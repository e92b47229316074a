//! Asking the source, a bounded number of times at once and for a bounded time.

use crate::Limits;
use crate::Source;
use crate::refusal::Refusal;
use crate::routes::late;
use crate::walk;
use crate::walk::Walk;
use crate::walk::WalkError;
use axum::http::StatusCode;
use inspect::Node;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::Semaphore;

/// How many names a refusal offers.
const NAMES_MAX: usize = 32;
/// How long the end of a server may be overlooked for want of events.
const WATCH: Duration = Duration::from_millis(100);

/// What all connections share.
pub(crate) struct Service {
    source: Arc<dyn Source>,
    pub(crate) limits: Limits,
    /// Whether it is reached over TCP, where a browser could be made to ask.
    pub(crate) is_tcp: bool,
    /// Walks rest most of the time, so one waits for another and not for the source.
    walks: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    pub(crate) followers: Arc<Semaphore>,
    /// Wakes those who follow events.
    pub(crate) news: Notify,
    stopped: AtomicBool,
}

impl Service {
    pub(crate) fn new(source: Arc<dyn Source>, limits: Limits, is_tcp: bool) -> Self {
        Self {
            source,
            is_tcp,
            walks: Arc::new(Semaphore::new(1)),
            calls: Arc::new(Semaphore::new(1)),
            followers: Arc::new(Semaphore::new(limits.followers)),
            news: Notify::new(),
            stopped: AtomicBool::new(false),
            limits,
        }
    }

    /// Waits for events and wakes the followers, until [`Self::stop`]: the work of a thread.
    pub(crate) fn watch(&self) {
        let mut from = 0;
        while !self.stopped.load(Relaxed)
            && let Some(next) = self.source.wait_for_event(from, WATCH)
        {
            if next > from {
                from = next;
                self.news.notify_waiters();
            }
        }
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// Asks the source on a thread that may wait.
    pub(crate) async fn call<R: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Source) -> R + Send + 'static,
    ) -> Result<R, Refusal> {
        self.ask(self.calls.clone(), question).await
    }

    /// The node at `path`, as [`Walk::node`].
    pub(crate) async fn walk(
        &self,
        path: String,
        depth: usize,
    ) -> Result<Result<Node, WalkError>, Refusal> {
        let cancel = Cancel::default();
        let cancelled = cancel.0.clone();
        let bytes_left = self.limits.answer_bytes;
        // A single question needs no turn.
        let turn = if depth == 0 { &self.calls } else { &self.walks };
        self.ask(turn.clone(), move |source| {
            let mut walk = Walk {
                source,
                bytes_left,
                cancelled: &cancelled,
                rest: Duration::ZERO,
            };
            walk.node(path.trim_matches('/'), depth)
        })
        .await
    }

    /// The longest part of `path` that is known, and the names there.
    pub(crate) async fn known_prefix(
        &self,
        path: String,
    ) -> Result<(String, Vec<String>), Refusal> {
        self.call(move |source| {
            let (prefix, node) = walk::known_prefix(source, path.trim_matches('/'));
            let names = match node {
                Node::Dir(entries) => entries
                    .into_iter()
                    .take(NAMES_MAX)
                    .map(|entry| entry.name.into_owned())
                    .collect(),
                _ => Vec::new(),
            };
            (prefix.to_string(), names)
        })
        .await
    }

    async fn ask<R: Send + 'static>(
        &self,
        turn: Arc<Semaphore>,
        question: impl FnOnce(&dyn Source) -> R + Send + 'static,
    ) -> Result<R, Refusal> {
        let source = self.source.clone();
        let answer = async move {
            // The semaphore is never closed. The permit stays with the question, which goes on when nobody waits for it.
            let permit = turn.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let _permit = permit;
                question(&*source)
            })
            .await
        };
        match tokio::time::timeout(self.limits.answer, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "what was asked for panicked",
            )),
            Err(_) => Err(late()),
        }
    }
}

/// Tells a walk that its client has gone.
#[derive(Default)]
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

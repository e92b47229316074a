//! Events as a stream (server-sent events, HTML Living Standard section 9.2).

use crate::Event;
use crate::refusal::Refusal;
use crate::service::Service;
use axum::extract::Extension;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::response::sse;
use axum::response::sse::KeepAlive;
use axum::response::sse::Sse;
use futures::Stream;
use futures::StreamExt;
use futures::stream;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// So many events are fetched at once.
const BATCH: usize = 64;
/// A quiet stream shows in this interval that it is alive, which also finds out clients that have gone.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The event that says how many were lost.
const DROPPED: &str = "dropped";
const LAST_EVENT_ID: &str = "last-event-id";

/// Tells a connection that it lasts as long as the client likes.
#[derive(Clone, Default)]
pub(crate) struct Following(Arc<AtomicBool>);

impl Following {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// Only events with this number or a greater one.
    from: Option<u64>,
    /// Whether the stream goes on when the log is at its end; it does unless told.
    follow: Option<bool>,
    /// Whether the kind of an event is also its name in the stream; it is unless told. A browser gives to those who wait for one kind
    /// what is of that kind, and to those who wait for any only what has no name.
    named: Option<bool>,
}

pub(crate) async fn events(
    State(service): State<Arc<Service>>,
    Extension(following): Extension<Following>,
    headers: HeaderMap,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    // A browser that reconnects says where it was, and knows better than the address it was given first.
    let from = match headers.get(LAST_EVENT_ID) {
        Some(id) => id
            .to_str()
            .ok()
            .and_then(|id| id.parse::<u64>().ok())
            .ok_or_else(|| Refusal::bad_request("Last-Event-ID is no number"))?
            .saturating_add(1),
        None => query.from.unwrap_or(0),
    };
    let follow = query.follow.unwrap_or(true);
    let named = query.named.unwrap_or(true);
    let Ok(permit) = service.followers.clone().try_acquire_owned() else {
        let followers = service.limits.followers;
        return Err(Refusal::busy(format!(
            "{followers} clients follow events already"
        )));
    };
    following.0.store(true, Relaxed);
    let events = batches(service, from, follow, named)
        .flat_map(stream::iter)
        .map(move |event| {
            // The place is given back when the stream ends.
            let _permit = &permit;
            event
        });
    let stream = Sse::new(events);
    Ok(stream
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response())
}

/// The events from number `from` on, in batches that are fetched when the last one has been sent: a slow client makes nothing
/// pile up here, and is told how many events it lost.
fn batches(
    service: Arc<Service>,
    from: u64,
    follow: bool,
    named: bool,
) -> impl Stream<Item = Vec<Result<sse::Event, axum::Error>>> {
    stream::unfold(Some(from), move |from| {
        let service = service.clone();
        async move {
            let from = from?;
            loop {
                // Before the log is asked, so that no event falls in between.
                let mut news = std::pin::pin!(service.news.notified());
                news.as_mut().enable();
                let events = service
                    .call(move |source| source.events(from, BATCH))
                    .await
                    .unwrap_or_default();
                if let Some(last) = events.last() {
                    let next = last.sequence.saturating_add(1);
                    return Some((lines(from, &events, named), Some(next)));
                }
                if !follow {
                    return None;
                }
                news.await;
            }
        }
    })
}

fn lines(from: u64, events: &[Event], named: bool) -> Vec<Result<sse::Event, axum::Error>> {
    let first = events.first().map_or(from, |event| event.sequence);
    let dropped = first.saturating_sub(from);
    let dropped = (dropped > 0).then(|| {
        sse::Event::default()
            .event(DROPPED)
            .json_data(json!({ "dropped": dropped }))
    });
    let events = events.iter().map(|event| line(event, named));
    dropped.into_iter().chain(events).collect()
}

fn line(event: &Event, named: bool) -> Result<sse::Event, axum::Error> {
    let line = sse::Event::default().id(event.sequence.to_string());
    let line = match named {
        true => line.event(event_name(&event.kind)),
        false => line,
    };
    line.json_data(event)
}

/// The kind, without what would end its line.
fn event_name(kind: &str) -> String {
    kind.replace(['\r', '\n'], " ")
}

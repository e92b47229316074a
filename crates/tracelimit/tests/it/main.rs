//! The macros, seen from a subscriber.
//!
//! One test function, because the switch of [`tracelimit::disable_rate_limiting`] is global to the process.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails should stop at once"
)]

mod api;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::Mutex;
use tracing::Level;
use tracing::field::Field;
use tracing::field::Visit;
use tracing::span;

/// What one event said: `level target field=value ...`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let meta = event.metadata();
        let target = if meta.target() == "bus" { " @bus" } else { "" };
        let mut line = Line(format!("{}{target}", meta.level()));
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn macros() {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        default_limit(&log);
        own_limit(&log);
        forms(&log);
        level_at_run_time(&log);
        disabled(&log);
    });
}

fn default_limit(log: &Log) {
    for n in 0..25 {
        tracelimit::warn_ratelimited!(n, "too much");
    }
    let lines = log.take();
    assert_eq!(lines.len(), 10);
    assert_eq!(lines[0], "WARN message=too much n=0");
    assert_eq!(lines[9], "WARN message=too much dropped_ratelimited=0 n=9");
}

fn own_limit(log: &Log) {
    // A period of zero is over at once, so the limit never bites.
    for _ in 0..3 {
        tracelimit::info_ratelimited!(period: 0, limit: 1, "a");
        tracelimit::error_ratelimited!(limit: 2, period: 60_000, "b");
    }
    let lines = log.take();
    assert_eq!(lines.iter().filter(|l| l.starts_with("INFO")).count(), 3);
    assert_eq!(lines.iter().filter(|l| l.starts_with("ERROR")).count(), 2);
}

fn forms(log: &Log) {
    let error = "oops";
    tracelimit::warn_ratelimited!("only text {}", 1);
    tracelimit::warn_ratelimited!(?error, code = 3, "fields {error}");
    tracelimit::warn_ratelimited!(code = %error);
    tracelimit::warn_ratelimited!(target: "bus", code = 4, "target");
    tracelimit::warn_ratelimited!(parent: None, "parent");
    tracelimit::warn_ratelimited!({ code = 5 }, "braces");
    tracelimit::event_ratelimited_static!(level: Level::DEBUG, limit: 7, "static");
    tracelimit::event_ratelimited_static!(limit: 7, level: Level::TRACE, "static");
    assert_eq!(
        log.take(),
        [
            "WARN message=only text 1",
            "WARN message=fields oops error=\"oops\" code=3",
            "WARN code=oops",
            "WARN @bus message=target code=4",
            "WARN message=parent",
            "WARN message=braces code=5",
            "DEBUG message=static",
            "TRACE message=static",
        ]
    );
}

fn level_at_run_time(log: &Log) {
    for level in [
        Level::ERROR,
        Level::WARN,
        Level::INFO,
        Level::DEBUG,
        Level::TRACE,
    ] {
        tracelimit::event_ratelimited!(limit: 3, level, "leveled");
    }
    assert_eq!(
        log.take(),
        [
            "ERROR message=leveled",
            "WARN message=leveled",
            "INFO message=leveled dropped_ratelimited=0"
        ],
        "all levels share the call site's limiter"
    );
}

fn disabled(log: &Log) {
    tracelimit::disable_rate_limiting(true);
    for _ in 0..25 {
        tracelimit::warn_ratelimited!("free");
    }
    tracelimit::disable_rate_limiting(false);
    assert_eq!(log.take(), vec!["WARN message=free"; 25]);
}

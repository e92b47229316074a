//! What happened.

use super::ServerOption;
use super::client::Client;
use crate::output::Failure;
use crate::output::show;
use clap::Args;
use inspect_service::Event;

#[derive(Args)]
pub(crate) struct Options {
    /// Go on with what happens from now on.
    #[arg(long, short)]
    follow: bool,
    /// Begin with the event of this number.
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// Write a line of JSON for each event.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOption,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let client = options.server.client()?;
    let target = format!("/events?from={}&follow={}", options.from, options.follow);
    let json = options.json;
    stream(&client, &target, |item| {
        let line = match item {
            Item::Event(event) if json => serde_json::to_string(&event).unwrap_or_default(),
            Item::Event(event) => line(&event),
            Item::Dropped(data) if json => data.to_string(),
            Item::Dropped(data) => format!("… events are lost: {data}"),
        };
        show(format!("{line}\n").as_bytes())
    })
}

/// The log as it is now.
pub(super) fn log(client: &Client) -> Result<Vec<Event>, Failure> {
    let mut events = Vec::new();
    stream(client, "/events?follow=false", |item| {
        if let Item::Event(event) = item {
            events.push(event);
        }
        Ok(true)
    })?;
    Ok(events)
}

/// An event in a line: seconds, port, function, what and why.
pub(super) fn line(event: &Event) -> String {
    let (seconds, micros) = (event.time_us / 1_000_000, event.time_us % 1_000_000);
    let bdf = event.bdf.as_deref().unwrap_or("-");
    let cause = match event.cause.as_str() {
        "" => String::new(),
        cause => format!(" ({cause})"),
    };
    format!(
        "{:>6} {seconds:>6}.{micros:06} {bdf:>12} {}: {}{cause}",
        event.sequence, event.port, event.what
    )
}

enum Item<'a> {
    Event(Event),
    /// So many were lost, as JSON.
    Dropped(&'a str),
}

/// Reads server-sent events; of each, the data is one line.
fn stream(
    client: &Client,
    target: &str,
    mut f: impl FnMut(Item<'_>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut kind = String::new();
    client.follow(target, |line| {
        if let Some(name) = line.strip_prefix("event: ") {
            kind = name.to_string();
        }
        match line.strip_prefix("data: ") {
            None => Ok(true),
            Some(data) if kind == "dropped" => f(Item::Dropped(data)),
            Some(data) => f(Item::Event(super::parse(data.as_bytes())?)),
        }
    })
}

//! What is under way, on one line of a terminal; elsewhere a line for each end.

use crate::judge::Outcome;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::io::Write;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// Longer lines would wrap, and could not be taken back.
const COLUMNS: usize = 118;

/// Shared by those who run things.
pub(super) struct Progress {
    total: usize,
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ended: usize,
    /// What runs, since when, and its last news.
    running: BTreeMap<String, (Option<Instant>, String)>,
}

impl Progress {
    pub(super) fn new(total: usize) -> Self {
        Self {
            total,
            terminal: std::io::stderr().is_terminal(),
            state: Mutex::default(),
        }
    }

    pub(super) fn started(&self, name: &str) {
        let mut state = self.state();
        state
            .running
            .insert(name.to_string(), (Some(now()), "starts".to_string()));
        self.show(&state);
    }

    pub(super) fn news(&self, name: &str, news: &str) {
        let mut state = self.state();
        if let Some((_, last)) = state.running.get_mut(name) {
            *last = news.to_string();
        }
        self.show(&state);
    }

    pub(super) fn ended(&self, name: &str, outcome: &Outcome) {
        let mut state = self.state();
        state.ended += 1;
        let since = state.running.remove(name).and_then(|(since, _)| since);
        let took = since.map_or(Duration::ZERO, |since| now().duration_since(since));
        let word = match outcome {
            Outcome::Passed => "ok     ",
            Outcome::Failed(_) => "FAILED ",
            Outcome::Skipped(_) => "skipped",
        };
        self.clear();
        eprintln!("{word} {name} ({} s)", took.as_secs());
        self.show(&state);
    }

    fn show(&self, state: &State) {
        if !self.terminal {
            return;
        }
        let running: Vec<String> = state
            .running
            .iter()
            .map(|(name, (_, news))| format!("{name}: {news}"))
            .collect();
        let line = format!("[{}/{}] {}", state.ended, self.total, running.join(" | "));
        self.clear();
        eprint!("{}", line.chars().take(COLUMNS).collect::<String>());
        // A line that is not shown is shown with the next news.
        let _ = std::io::stderr().flush();
    }

    fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "people want to know how long it took"
)]
fn now() -> Instant {
    Instant::now()
}

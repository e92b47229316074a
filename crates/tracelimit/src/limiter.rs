//! The limiter behind one call site.

use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// Lets a number of events through in each period and counts the others.
///
/// A period begins with the first event after the last period ended, so an event that comes alone is never held back.
#[doc(hidden)]
#[derive(Debug)]
pub struct RateLimiter {
    period: Duration,
    limit: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Start of the period as time since the process's first event; `None` before the limiter's first event.
    start: Option<Duration>,
    /// Events let through in this period.
    passed: u32,
    /// Events dropped since the last one that reported how many.
    dropped: u64,
}

/// The event came when its call site had used up its share of the period.
#[doc(hidden)]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RateLimited;

impl RateLimiter {
    /// A limiter with the default period and limit.
    pub const fn new_default() -> Self {
        Self::new(crate::PERIOD_MS, crate::EVENTS_PER_PERIOD)
    }

    /// A limiter that passes `limit` events in `period_ms` milliseconds.
    pub const fn new(period_ms: u32, limit: u32) -> Self {
        Self {
            period: Duration::from_millis(period_ms as u64),
            limit,
            state: Mutex::new(State {
                start: None,
                passed: 0,
                dropped: 0,
            }),
        }
    }

    /// Asks to emit one event.
    ///
    /// `Ok` holds the number of events dropped so far when there is something to say: some were dropped, or this event is
    /// the last that the period allows.
    ///
    /// # Errors
    ///
    /// [`RateLimited`] when the period's events are used up.
    pub fn event(&self) -> Result<Option<u64>, RateLimited> {
        self.event_with_config(None, None)
    }

    /// [`event`](Self::event) with the call site's own period in milliseconds and limit.
    ///
    /// # Errors
    ///
    /// [`RateLimited`] when the period's events are used up.
    pub fn event_with_config(
        &self,
        period_ms: Option<u32>,
        limit: Option<u32>,
    ) -> Result<Option<u64>, RateLimited> {
        if crate::rate_limiting_disabled() {
            return Ok(None);
        }
        let period = period_ms.map_or(self.period, |ms| Duration::from_millis(ms.into()));
        self.event_at(
            time_since_first_event(),
            period,
            limit.unwrap_or(self.limit),
        )
    }

    fn event_at(
        &self,
        now: Duration,
        period: Duration,
        limit: u32,
    ) -> Result<Option<u64>, RateLimited> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Two threads may read the clock in one order and take the lock in the other; a time before the start is in the period.
        let period_over = state
            .start
            .is_none_or(|start| now.saturating_sub(start) >= period);
        if period_over {
            state.start = Some(now);
            state.passed = 0;
        }
        if state.passed >= limit {
            state.dropped += 1;
            return Err(RateLimited);
        }
        state.passed += 1;
        let last_of_period = state.passed == limit;
        if last_of_period || state.dropped > 0 {
            Ok(Some(std::mem::take(&mut state.dropped)))
        } else {
            Ok(None)
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "bounds the log, and no device's behaviour depends on it"
)]
fn time_since_first_event() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(100);

    fn at(limiter: &RateLimiter, ms: u64) -> Result<Option<u64>, RateLimited> {
        limiter.event_at(Duration::from_millis(ms), PERIOD, 3)
    }

    #[test]
    fn passes_the_limit_and_drops_the_rest() {
        let limiter = RateLimiter::new(100, 3);
        assert_eq!(at(&limiter, 0), Ok(None));
        assert_eq!(at(&limiter, 1), Ok(None));
        assert_eq!(at(&limiter, 2), Ok(Some(0)), "last event of the period");
        assert_eq!(at(&limiter, 3), Err(RateLimited));
        assert_eq!(at(&limiter, 99), Err(RateLimited));
    }

    #[test]
    fn next_period_reports_what_was_dropped_once() {
        let limiter = RateLimiter::new(100, 3);
        for ms in 0..8 {
            let _ = at(&limiter, ms);
        }
        assert_eq!(at(&limiter, 100), Ok(Some(5)));
        assert_eq!(at(&limiter, 101), Ok(None));
    }

    #[test]
    fn period_starts_with_its_first_event() {
        let limiter = RateLimiter::new(100, 3);
        assert_eq!(at(&limiter, 90), Ok(None));
        assert_eq!(at(&limiter, 110), Ok(None));
        assert_eq!(at(&limiter, 189), Ok(Some(0)));
        assert_eq!(at(&limiter, 189), Err(RateLimited));
        assert_eq!(at(&limiter, 190), Ok(Some(1)));
    }

    #[test]
    fn clock_read_before_the_start_counts_into_the_period() {
        let limiter = RateLimiter::new(100, 3);
        assert_eq!(at(&limiter, 50), Ok(None));
        assert_eq!(at(&limiter, 49), Ok(None));
        assert_eq!(at(&limiter, 50), Ok(Some(0)));
    }

    #[test]
    fn limit_zero_drops_everything() {
        let limiter = RateLimiter::new_default();
        assert_eq!(limiter.event_with_config(None, Some(0)), Err(RateLimited));
        assert_eq!(limiter.event_with_config(None, Some(0)), Err(RateLimited));
        assert_eq!(limiter.event(), Ok(Some(2)));
    }

    #[test]
    fn default_is_ten_events_in_five_seconds() {
        let limiter = RateLimiter::new_default();
        assert_eq!(limiter.period, Duration::from_secs(5));
        assert_eq!(limiter.limit, 10);
    }
}

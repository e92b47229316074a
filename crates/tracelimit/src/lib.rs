//! Rate-limited tracing macros: a guest cannot flood the log.
//!
//! A device logs what a guest did wrong, and a guest can do the same wrong thing a million times a second. Each call site of
//! these macros owns a limiter which by default lets [`EVENTS_PER_PERIOD`] events through in [`PERIOD_MS`] milliseconds. What
//! was dropped is counted, and the count appears in the field `dropped_ratelimited` of the next event that gets through.
//!
//! ```
//! let offset = 0x40;
//! tracelimit::warn_ratelimited!(offset, "write to a read-only register");
//! tracelimit::warn_ratelimited!(period: 1000, limit: 1, ?offset, "at most once a second");
//! ```
//!
//! After the optional `period: <milliseconds>,` and `limit: <events>,` (in either order) the syntax is that of the `tracing`
//! macro of the same name, including `target:` and `parent:`.

#![forbid(unsafe_code)]

mod limiter;

#[doc(hidden)]
pub use limiter::RateLimited;
#[doc(hidden)]
pub use limiter::RateLimiter;
#[doc(hidden)]
pub use tracing;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// How many events a call site emits in one period, unless it says otherwise.
pub const EVENTS_PER_PERIOD: u32 = 10;

/// The length of a period in milliseconds, unless the call site says otherwise.
pub const PERIOD_MS: u32 = 5000;

static DISABLED: AtomicBool = AtomicBool::new(false);

/// Turns the limits of all call sites off (`true`) or on again (`false`).
///
/// For a person who follows one guest closely; not for a monitor in production, whose log a guest could then fill.
pub fn disable_rate_limiting(disabled: bool) {
    DISABLED.store(disabled, Ordering::Relaxed);
}

fn rate_limiting_disabled() -> bool {
    DISABLED.load(Ordering::Relaxed)
}

/// [`tracing::error!`], at a bounded rate.
#[macro_export]
macro_rules! error_ratelimited {
    ($($rest:tt)+) => { $crate::event_ratelimited_static!(level: $crate::tracing::Level::ERROR, $($rest)+) };
}

/// [`tracing::warn!`], at a bounded rate.
#[macro_export]
macro_rules! warn_ratelimited {
    ($($rest:tt)+) => { $crate::event_ratelimited_static!(level: $crate::tracing::Level::WARN, $($rest)+) };
}

/// [`tracing::info!`], at a bounded rate.
#[macro_export]
macro_rules! info_ratelimited {
    ($($rest:tt)+) => { $crate::event_ratelimited_static!(level: $crate::tracing::Level::INFO, $($rest)+) };
}

/// [`tracing::event!`], at a bounded rate, with a level that is known at run time only: `event_ratelimited!(level, ..)`.
#[macro_export]
macro_rules! event_ratelimited {
    (@parse $period:expr, $limit:expr, period: $p:expr, $($rest:tt)+) => {
        $crate::event_ratelimited!(@parse ::core::option::Option::Some($p), $limit, $($rest)+)
    };
    (@parse $period:expr, $limit:expr, limit: $l:expr, $($rest:tt)+) => {
        $crate::event_ratelimited!(@parse $period, ::core::option::Option::Some($l), $($rest)+)
    };
    (@parse $period:expr, $limit:expr, $level:expr, $($rest:tt)+) => {
        match $level {
            level => $crate::__limited!($period, $limit, |dropped| match level {
                $crate::tracing::Level::ERROR => $crate::__emit!($crate::tracing::Level::ERROR, dropped, $($rest)+),
                $crate::tracing::Level::WARN => $crate::__emit!($crate::tracing::Level::WARN, dropped, $($rest)+),
                $crate::tracing::Level::INFO => $crate::__emit!($crate::tracing::Level::INFO, dropped, $($rest)+),
                $crate::tracing::Level::DEBUG => $crate::__emit!($crate::tracing::Level::DEBUG, dropped, $($rest)+),
                $crate::tracing::Level::TRACE => $crate::__emit!($crate::tracing::Level::TRACE, dropped, $($rest)+),
            }),
        }
    };
    ($($rest:tt)+) => {
        $crate::event_ratelimited!(@parse ::core::option::Option::None, ::core::option::Option::None, $($rest)+)
    };
}

/// [`tracing::event!`], at a bounded rate, with a constant level: `event_ratelimited_static!(level: LEVEL, ..)`.
///
/// `period:` and `limit:` may stand before or after `level:`.
#[macro_export]
macro_rules! event_ratelimited_static {
    (@parse $level:expr, $period:expr, $limit:expr, period: $p:expr, $($rest:tt)+) => {
        $crate::event_ratelimited_static!(@parse $level, ::core::option::Option::Some($p), $limit, $($rest)+)
    };
    (@parse $level:expr, $period:expr, $limit:expr, limit: $l:expr, $($rest:tt)+) => {
        $crate::event_ratelimited_static!(@parse $level, $period, ::core::option::Option::Some($l), $($rest)+)
    };
    (@parse $old:expr, $period:expr, $limit:expr, level: $level:expr, $($rest:tt)+) => {
        $crate::event_ratelimited_static!(@parse $level, $period, $limit, $($rest)+)
    };
    (@parse $level:expr, $period:expr, $limit:expr, $($rest:tt)+) => {
        $crate::__limited!($period, $limit, |dropped| $crate::__emit!($level, dropped, $($rest)+))
    };
    ($($rest:tt)+) => {
        // Without `level:` the placeholder stays, and the type error names it.
        $crate::event_ratelimited_static!(
            @parse "event_ratelimited_static! needs `level: LEVEL`",
            ::core::option::Option::None,
            ::core::option::Option::None,
            $($rest)+
        )
    };
}

/// Runs the body with the dropped count in hand if the call site's limiter lets the event through.
#[doc(hidden)]
#[macro_export]
macro_rules! __limited {
    ($period:expr, $limit:expr, |$dropped:ident| $body:expr) => {{
        static LIMITER: $crate::RateLimiter = $crate::RateLimiter::new_default();
        if let ::core::result::Result::Ok($dropped) = LIMITER.event_with_config($period, $limit) {
            $body;
        }
    }};
}

/// Emits one event with the field `dropped_ratelimited` in front of the caller's fields, wherever these begin.
#[doc(hidden)]
#[macro_export]
macro_rules! __emit {
    ($level:expr, $dropped:ident, target: $target:expr, parent: $parent:expr, $($fields:tt)+) => {
        $crate::tracing::event!(target: $target, parent: $parent, $level, dropped_ratelimited = $dropped, $($fields)+)
    };
    ($level:expr, $dropped:ident, target: $target:expr, $($fields:tt)+) => {
        $crate::tracing::event!(target: $target, $level, dropped_ratelimited = $dropped, $($fields)+)
    };
    ($level:expr, $dropped:ident, parent: $parent:expr, $($fields:tt)+) => {
        $crate::tracing::event!(parent: $parent, $level, dropped_ratelimited = $dropped, $($fields)+)
    };
    ($level:expr, $dropped:ident, { $($fields:tt)* }, $($message:tt)+) => {
        $crate::tracing::event!($level, { dropped_ratelimited = $dropped, $($fields)* }, $($message)+)
    };
    ($level:expr, $dropped:ident, $($fields:tt)+) => {
        $crate::tracing::event!($level, dropped_ratelimited = $dropped, $($fields)+)
    };
}

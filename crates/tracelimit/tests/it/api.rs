//! Every public item that others program against, with its signature: this file compiles, or the interface has changed.
//!
//! What the macros say is tested beside this file; here they only compile.

#![allow(
    clippy::type_complexity,
    reason = "signatures are written out as others write them"
)]

use std::fmt::Debug;
use tracelimit::RateLimited;
use tracelimit::RateLimiter;
use tracelimit::tracing::Level;

#[test]
fn items() {
    fn debug<T: Debug>() {}
    debug::<RateLimited>();
    static LIMITER: RateLimiter = RateLimiter::new_default();
    const _: RateLimiter = RateLimiter::new(100, 3);
    let _: &'static RateLimiter = &LIMITER;
    let _: fn(&RateLimiter) -> Result<Option<u64>, RateLimited> = RateLimiter::event;
    let _: fn(&RateLimiter, Option<u32>, Option<u32>) -> Result<Option<u64>, RateLimited> =
        RateLimiter::event_with_config;
    let _: fn(bool) = tracelimit::disable_rate_limiting;
}

#[test]
fn macros() {
    let (offset, error) = (0x40u16, std::fmt::Error);
    let error: &dyn std::error::Error = &error;
    tracelimit::error_ratelimited!(error, "failed");
    tracelimit::info_ratelimited!(period: 1000, limit: 1, ?offset, "at {offset:#x}",);
    tracelimit::warn_ratelimited!(limit: 1, offset, %error, name = "bar0", device.id = 3, "unhandled write");
    tracelimit::warn_ratelimited!(offset = format_args!("{offset:#x}"), "trailing comma",);
    tracelimit::event_ratelimited!(Level::WARN, offset, "level first");
    tracelimit::event_ratelimited_static!(level: Level::ERROR, offset, "constant");
    let warn = || tracelimit::warn_ratelimited!("as an expression");
    let () = warn();
}

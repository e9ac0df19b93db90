//! The cache under every order in which its callers, flights and forgettings may happen: its own source, compiled here with
//! a mutex and a `spawn` that let shuttle choose who runs next.
//!
//! Each check runs over random schedules and over PCT's, which change who goes first a few times only and so find what
//! takes a rare delay; what is small enough runs over all schedules there are. A failure prints its schedule, and
//! `shuttle::replay` takes it. tokio's `watch` in the cache is not instrumented; it does no more than wake.

// A test says what it expects and stops when that is not so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, unreachable_pub)] // the daemon's file as it is; nobody uses all of it here
#[path = "../../daemon/core/src/single_flight.rs"]
mod single_flight;

/// The part of the daemon's `clock` that the cache uses: a clock that stands still.
mod clock {
    use std::time::SystemTime;

    pub(crate) struct Clock;

    impl Clock {
        #[allow(clippy::unused_self)] // as the daemon's
        pub(crate) const fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }
    }
}

mod rig;
mod sync_shim;

mod eviction;
mod failures;
mod forgetting;
mod sharing;

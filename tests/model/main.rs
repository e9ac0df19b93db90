//! The cache under every order of callers, in-flight loads and invalidations: the daemon's own source, compiled here with a
//! mutex and a `spawn` that let shuttle choose the next task.
//!
//! Each check runs with random schedules and with PCT schedules, which change priorities only a few times and so find faults
//! that need a rare delay. Small checks run with all schedules. A failure prints its schedule for `shuttle::replay`. tokio's
//! `watch` in the cache is not instrumented; the cache only uses it to wake tasks.

// A test panics when an expectation fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, unreachable_pub)] // the daemon's file; these tests do not use all of it
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

mod simulation;
mod sync_shim;

mod eviction;
mod failures;
mod invalidation;
mod sharing;

//! The client's only clock. All other modules get a time or a [`Deadline`] as an argument.

use std::io;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The time at which a wait ends, and how long the whole wait may take.
///
/// Created at the start of a call and passed on, so that connecting, starting the daemon, writing and reading share one
/// limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// A deadline that is `limit` away.
    #[allow(clippy::disallowed_methods)] // this module is the proper place
    pub(crate) fn after(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, limit }
    }

    /// The time that is left; `None` after the deadline. Never zero, which means no timeout for a socket.
    #[allow(clippy::disallowed_methods)] // this module is the proper place
    pub(crate) fn remaining(self) -> Option<Duration> {
        let left = self.at.saturating_duration_since(Instant::now());
        // A socket's timeout is rounded down to microseconds.
        (left >= Duration::from_micros(1)).then_some(left)
    }

    /// The earlier of this deadline and one that is `limit` away.
    pub(crate) fn within(self, limit: Duration) -> Self {
        let other = Self::after(limit);
        if other.at < self.at { other } else { self }
    }

    /// The length of the whole wait.
    pub(crate) const fn limit(self) -> Duration {
        self.limit
    }

    /// Sleeps until the deadline at most. False after the deadline.
    pub(crate) fn sleep(self, wanted: Duration) -> bool {
        match self.remaining() {
            Some(left) => {
                std::thread::sleep(wanted.min(left));
                true
            }
            None => false,
        }
    }

    /// Waits for a child process. Kills it at the deadline and returns `None`.
    pub(crate) fn wait_for(self, child: &mut Child) -> io::Result<Option<ExitStatus>> {
        for attempt in 0.. {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if !self.sleep(backoff(attempt)) {
                break;
            }
        }
        child.kill()?;
        child.wait().map(|_| None)
    }
}

/// The wall clock.
#[allow(clippy::disallowed_methods)] // this module is the proper place
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// The time since boot, sleep included. Setting the wall clock does not change it.
pub(crate) fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    // On macOS this clock counts sleep.
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    Duration::try_from(rustix::time::clock_gettime(clock)).unwrap_or_default()
}

/// The monotonic clock, for measuring.
#[allow(clippy::disallowed_methods)] // this module is the proper place
pub(crate) fn monotonic_now() -> Instant {
    Instant::now()
}

/// The pause before the next attempt: doubles from 5 ms to 40 ms, with a jitter of half of it, so that clients that
/// wait for the same daemon do not retry together.
pub(crate) fn backoff(attempt: u32) -> Duration {
    jittered(5_000 << attempt.min(3))
}

/// Like [`backoff`], up to 500 ms: for a daemon that has too many callers.
pub(crate) fn long_backoff(attempt: u32) -> Duration {
    jittered((5_000 << attempt.min(7)).min(500_000))
}

/// Half of so many microseconds to all of them.
fn jittered(full: u64) -> Duration {
    use std::hash::{BuildHasher, Hasher};
    // The standard library's keys of a hash map are random: enough for jitter, and no dependency.
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    Duration::from_micros(full / 2 + random % (full / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_within_bounds() {
        for attempt in 0..40 {
            let full = Duration::from_millis([5, 10, 20, 40][attempt.min(3) as usize]);
            let pause = backoff(attempt);
            assert!(pause >= full / 2 && pause < full, "{attempt}: {pause:?}");
            let full = Duration::from_millis([5, 10, 20, 40, 80, 160, 320, 500][attempt.min(7) as usize]);
            let pause = long_backoff(attempt);
            assert!(pause >= full / 2 && pause < full, "{attempt}: {pause:?}");
        }
    }

    #[test]
    fn deadline_within_takes_the_earlier() {
        let call = Deadline::after(Duration::from_secs(10));
        let connect = call.within(Duration::from_secs(2));
        assert_eq!(connect.limit(), Duration::from_secs(2));
        assert!(connect.remaining().unwrap() <= Duration::from_secs(2));
        assert_eq!(connect.within(Duration::from_mins(1)).limit(), Duration::from_secs(2));
        let over = Deadline::after(Duration::ZERO);
        assert_eq!(over.remaining(), None);
        assert!(!over.sleep(Duration::from_secs(9)));
    }
}

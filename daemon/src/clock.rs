//! Time, always injected: [`TimeSource`] is the AWS SDK's own seam, so the daemon and the requests it signs go by one
//! clock, and a test can turn it.

use std::time::{Duration, SystemTime};

pub use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource, TimeSource};
use jiff::Timestamp;

/// A moment as the wire says it: whole seconds, rounded down.
#[must_use]
pub fn timestamp(at: SystemTime) -> Timestamp {
    let seconds = match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(_) => 0,
    };
    // Out of range means a date past the year 9999, which only a broken peer can cause.
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// How long until `then`; nothing if that is past.
#[must_use]
pub fn left(now: SystemTime, then: SystemTime) -> Duration {
    then.duration_since(now).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_and_no_panic_at_the_ends() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_999);
        assert_eq!(timestamp(at).to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(timestamp(SystemTime::UNIX_EPOCH - Duration::from_secs(9)), Timestamp::UNIX_EPOCH);
        assert_eq!(timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)), Timestamp::MAX);
        assert_eq!(left(at, at - Duration::from_secs(1)), Duration::ZERO);
    }
}

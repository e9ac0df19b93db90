//! When the daemon locks by itself (K2).

use std::time::Duration;

use crate::config::LockTimes;

/// Why it locked by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoLockReason {
    /// Nobody has used it for so long.
    Idle(Duration),
    /// It was unlocked so long ago.
    Max(Duration),
}

/// When it locks, and why: the first of both. All timers are counted from the machine's boot, the time asleep included: no
/// clock that is set brings them nearer or puts them off.
#[must_use]
pub(super) fn due(times: LockTimes, used: Duration, unlocked: Duration) -> Option<(Duration, AutoLockReason)> {
    let idle = times.idle.map(|idle| (used.saturating_add(idle), AutoLockReason::Idle(idle)));
    let max = times.max.map(|max| (unlocked.saturating_add(max), AutoLockReason::Max(max)));
    idle.into_iter().chain(max).min_by_key(|(at, _)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn it_locks_at_whichever_comes_first() {
        let times = |idle, max| LockTimes { idle, max };
        assert_eq!(due(times(None, None), HOUR, HOUR), None);
        let idle = Some(30 * MINUTE);
        assert_eq!(due(times(idle, None), HOUR, MINUTE), Some((90 * MINUTE, AutoLockReason::Idle(30 * MINUTE))));
        assert_eq!(
            due(times(None, Some(12 * HOUR)), 9 * HOUR, HOUR),
            Some((13 * HOUR, AutoLockReason::Max(12 * HOUR)))
        );
        // However busy it is, the absolute limit stands.
        for (used, expected) in [(HOUR, 90 * MINUTE), (12 * HOUR, 12 * HOUR + 30 * MINUTE), (13 * HOUR, 13 * HOUR)] {
            assert_eq!(due(times(idle, Some(12 * HOUR)), used, HOUR).unwrap().0, expected, "{used:?}");
        }
        assert_eq!(due(times(Some(Duration::MAX), None), HOUR, HOUR).unwrap().0, Duration::MAX);
    }
}

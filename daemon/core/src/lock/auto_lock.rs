//! The automatic lock (K2).

use std::time::Duration;

use crate::config::LockRules;

/// The reason of an automatic lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoLockReason {
    /// The agent was not used for this time.
    Idle(Duration),
    /// The agent was unlocked for this time.
    Max(Duration),
    /// The desktop locked its screen.
    ScreenLock,
    /// The computer is about to sleep.
    Sleep,
}

/// Returns when the agent locks and why: at the earlier of both limits. All times are counted from boot, sleep included, so
/// setting the wall clock does not change them.
#[must_use]
pub(super) fn due(rules: LockRules, used: Duration, unlocked: Duration) -> Option<(Duration, AutoLockReason)> {
    let idle = rules.idle.map(|idle| (used.saturating_add(idle), AutoLockReason::Idle(idle)));
    let max = rules.max.map(|max| (unlocked.saturating_add(max), AutoLockReason::Max(max)));
    idle.into_iter().chain(max).min_by_key(|(at, _)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn auto_lock_is_due_at_the_earlier_limit() {
        let times = |idle, max| LockRules { idle, max, ..LockRules::default() };
        assert_eq!(due(times(None, None), HOUR, HOUR), None);
        let idle = Some(30 * MINUTE);
        assert_eq!(due(times(idle, None), HOUR, MINUTE), Some((90 * MINUTE, AutoLockReason::Idle(30 * MINUTE))));
        assert_eq!(
            due(times(None, Some(12 * HOUR)), 9 * HOUR, HOUR),
            Some((13 * HOUR, AutoLockReason::Max(12 * HOUR)))
        );
        // Uses do not move the absolute limit.
        for (used, expected) in [(HOUR, 90 * MINUTE), (12 * HOUR, 12 * HOUR + 30 * MINUTE), (13 * HOUR, 13 * HOUR)] {
            assert_eq!(due(times(idle, Some(12 * HOUR)), used, HOUR).unwrap().0, expected, "{used:?}");
        }
        assert_eq!(due(times(Some(Duration::MAX), None), HOUR, HOUR).unwrap().0, Duration::MAX);
    }
}

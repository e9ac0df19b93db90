//! Agreement between a job and its caller on whether the job may still change anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// The job's half: the job calls [`Cancel::begin`] before its first side effect.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicU8>);

/// The caller's half. If it is dropped before the job begins, the job has no side effect.
#[derive(Debug)]
pub(super) struct CallerGuard(Cancel);

/// The caller has given up and assumes that nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled;

impl Cancel {
    /// Marks the job as begun. Errors if the caller has given up.
    pub fn begin(&self) -> Result<(), Cancelled> {
        match self.0.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(BEGUN) => Ok(()),
            Err(_) => Err(Cancelled),
        }
    }

    /// Whether the job has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire) == BEGUN
    }

    /// Whether the caller gave up before the job began.
    pub(super) fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == GIVEN_UP
    }

    /// Returns the caller's half.
    pub(super) fn caller(&self) -> CallerGuard {
        CallerGuard(self.clone())
    }
}

impl CallerGuard {
    /// Gives up. Returns whether the job has begun, so that its effect is unknown.
    pub(super) fn give_up(&self) -> bool {
        self.0.0.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire) == Err(BEGUN)
    }
}

impl Drop for CallerGuard {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begin_after_caller_left_errors() {
        let cancel = Cancel::default();
        drop(cancel.caller());
        assert!(cancel.is_given_up());
        assert_eq!(cancel.begin(), Err(Cancelled));
    }

    #[test]
    fn give_up_after_begin_reports_unknown_effect() {
        let cancel = Cancel::default();
        let caller = cancel.caller();
        cancel.begin().unwrap();
        cancel.begin().unwrap();
        assert!(caller.give_up());
        assert!(!cancel.is_given_up());
    }
}

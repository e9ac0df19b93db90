//! Whether somebody still waits for what a thread is about to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::error::KeyringError;

const WANTED: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// The thread's half: asked before anything is changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Cancel(Arc<AtomicU8>);

/// The waiter's half. Dropped before the answer, it gives up.
#[derive(Debug)]
pub(super) struct Waiting(Cancel);

impl Cancel {
    /// Begins to change something, unless nobody waits for it any more: then they were told that it was not done.
    pub(super) fn begin(&self) -> Result<(), KeyringError> {
        match self.0.compare_exchange(WANTED, BEGUN, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(BEGUN) => Ok(()),
            Err(_) => Err(KeyringError::NotAnswering { is_unsure: false }),
        }
    }

    /// Whether nothing was begun, and somebody waits for it still.
    pub(super) fn is_unused(&self) -> bool {
        self.0.load(Ordering::Acquire) == WANTED
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == GIVEN_UP
    }

    /// The waiter's half.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting(self.clone())
    }
}

impl Waiting {
    /// Waits no longer. Whether it may have been done all the same.
    pub(super) fn give_up(&self) -> bool {
        let ticket = &self.0.0;
        ticket.compare_exchange(WANTED, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire) == Err(BEGUN)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_waits_for_is_not_begun() {
        let ticket = Cancel::default();
        drop(ticket.waiting());
        assert!(ticket.is_given_up());
        assert!(ticket.begin().is_err());
    }

    #[test]
    fn what_has_begun_may_be_done() {
        let ticket = Cancel::default();
        let waiting = ticket.waiting();
        ticket.begin().unwrap();
        ticket.begin().unwrap();
        assert!(waiting.give_up());
        assert!(!ticket.is_given_up());
    }
}

//! Ctrl-C, but not in the middle of a write.
//!
//! What a write needs for a moment and takes away itself (a lock for kubectl, a file that is about to be renamed) would
//! stay for ever if a signal ended the process in between: no destructor runs then.

use std::marker::PhantomData;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// What people and service managers end a program with, and can expect to wait a moment for.
const DEFERRED: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// While this lives, those signals wait; when it is dropped, one that came in between does what it would have done. So
/// it has to be dropped last: a field below those that clean up, or a variable above them.
#[derive(Debug)]
pub(crate) struct Deferred {
    /// The mask from before. `None` where there is none to go back to.
    before: Option<SigSet>,
    /// A mask belongs to a thread, so this stays in it.
    _thread: PhantomData<*const ()>,
}

/// Has those signals wait. Where that cannot be (it always can), the write happens all the same.
pub(crate) fn defer() -> Deferred {
    let deferred: SigSet = DEFERRED.into_iter().collect();
    Deferred { before: deferred.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok(), _thread: PhantomData }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = before.thread_set_mask();
        }
    }
}

/// Whether all of them wait in this thread; `None` where some do.
#[cfg(test)]
pub(crate) fn are_deferred() -> Option<bool> {
    let mask = SigSet::thread_get_mask().unwrap();
    let blocked = DEFERRED.into_iter().filter(|signal| mask.contains(*signal)).count();
    [(0, false), (DEFERRED.len(), true)].into_iter().find(|(count, _)| *count == blocked).map(|(_, all)| all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_wait_until_the_last_guard_has_gone() {
        assert_eq!(are_deferred(), Some(false));
        let outer = defer();
        drop(defer());
        assert_eq!(are_deferred(), Some(true), "one within another ends nothing");
        drop(outer);
        assert_eq!(are_deferred(), Some(false));
    }
}

//! Ctrl-C, but not in the middle of a write.
//!
//! What a write needs for a moment and takes away itself (a lock for kubectl, a file that is about to be renamed) would
//! stay for ever if a signal ended the process in between: no destructor runs then. What draws on the whole terminal has
//! to leave it as it was, and handles the signal in a thread instead.

use std::io;
use std::marker::PhantomData;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};

/// What people and service managers end a program with, and can expect to wait a moment for.
const TERMINATION_SIGNALS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// While this lives, those signals wait; when it is dropped, one that came in between does what it would have done. So
/// it has to be dropped last: a field below those that clean up, or a variable above them.
#[derive(Debug)]
pub(crate) struct DeferredSignals {
    /// The mask from before. `None` where there is none to go back to.
    before: Option<SigSet>,
    /// A mask belongs to a thread, so this stays in it.
    _thread: PhantomData<*const ()>,
}

/// Has those signals wait. Where that cannot be (it always can), the write happens all the same.
pub(crate) fn defer_signals() -> DeferredSignals {
    let deferred: SigSet = TERMINATION_SIGNALS.into_iter().collect();
    DeferredSignals { before: deferred.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok(), _thread: PhantomData }
}

impl Drop for DeferredSignals {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = before.thread_set_mask();
        }
    }
}

/// Hands those signals to `tell`, one by one and in a thread of its own, instead of having them do what they do. To be
/// called before any other thread is started: one that was there already would still be hit by them.
pub(crate) fn handle_in_thread(signals: &[Signal], mut tell: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
    let signals: SigSet = signals.iter().copied().collect();
    signals.thread_block()?;
    let wait = move || {
        while let Ok(signal) = signals.wait() {
            tell(signal);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(())
}

/// Does something while signals that were handed over do what they do: a child that is started in `act` inherits
/// the unblocked mask and can be interrupted.
pub(crate) fn with_default_action<T>(signals: &[Signal], act: impl FnOnce() -> T) -> T {
    let signals: SigSet = signals.iter().copied().collect();
    let _ = signals.thread_unblock();
    let done = act();
    let _ = signals.thread_block();
    done
}

/// Has a signal that was handed over do what it would have done: end the program, so that its parent sees
/// this signal; or stop it, and then this returns once it continues.
pub(crate) fn raise_default(signal: Signal) {
    let alone: SigSet = [signal].into_iter().collect();
    let _ = alone.thread_unblock();
    let _ = raise(signal);
    let _ = alone.thread_block();
}

/// Whether all of them wait in this thread; `None` where some do.
#[cfg(test)]
pub(crate) fn are_deferred() -> Option<bool> {
    let mask = SigSet::thread_get_mask().unwrap();
    let blocked = TERMINATION_SIGNALS.into_iter().filter(|signal| mask.contains(*signal)).count();
    [(0, false), (TERMINATION_SIGNALS.len(), true)].into_iter().find(|(count, _)| *count == blocked).map(|(_, all)| all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defer_signals_nested_guards_keep_blocking() {
        assert_eq!(are_deferred(), Some(false));
        let outer = defer_signals();
        drop(defer_signals());
        assert_eq!(are_deferred(), Some(true), "one within another ends nothing");
        drop(outer);
        assert_eq!(are_deferred(), Some(false));
    }
}

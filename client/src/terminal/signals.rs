//! Defers signals during a write, or handles them in a thread.
//!
//! A signal that ends the process runs no destructors. During a write it would leave kubectl's lock and temporary files
//! behind, so it is deferred until the write is done. Code that draws on the terminal restores it first, in a thread
//! that handles the signal.

use std::io;
use std::marker::PhantomData;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};

/// Signals with which a user or a service manager ends a program.
pub(crate) const TERMINATION_SIGNALS: &[Signal] = &[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// Defers the [`TERMINATION_SIGNALS`] of this thread until it is dropped. Drop it last: declare it as a field below
/// those that clean up, or as a variable above them.
#[derive(Debug)]
pub(crate) struct DeferredSignals {
    /// The mask from before; `None` if it could not be changed.
    before: Option<SigSet>,
    /// Not `Send`: a mask belongs to a thread.
    _thread: PhantomData<*const ()>,
}

/// Blocks the [`TERMINATION_SIGNALS`] in this thread. Ignores an error, so that the write takes place.
pub(crate) fn defer_signals() -> DeferredSignals {
    DeferredSignals {
        before: set(TERMINATION_SIGNALS).thread_swap_mask(SigmaskHow::SIG_BLOCK).ok(),
        _thread: PhantomData,
    }
}

impl Drop for DeferredSignals {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = before.thread_set_mask();
        }
    }
}

/// Starts a thread that calls `handle` with each of these signals; their default actions no longer take place. Call
/// this before another thread is started: threads inherit the signal mask.
pub(crate) fn handle_in_thread(signals: &[Signal], mut handle: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
    let signals = set(signals);
    signals.thread_block()?;
    let wait = move || {
        while let Ok(signal) = signals.wait() {
            handle(signal);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(())
}

/// Runs `act` with the default actions of signals that a thread handles. A child process that `act` starts inherits the
/// unblocked mask.
pub(crate) fn with_default_action<T>(signals: &[Signal], act: impl FnOnce() -> T) -> T {
    let signals = set(signals);
    let _ = signals.thread_unblock();
    let done = act();
    let _ = signals.thread_block();
    done
}

/// Takes the default action of a signal that a thread handles. It ends the process, so that the parent process sees
/// this signal, or stops it; this returns when the process continues.
pub(crate) fn raise_default(signal: Signal) {
    with_default_action(&[signal], || {
        let _ = raise(signal);
    });
}

fn set(signals: &[Signal]) -> SigSet {
    signals.iter().copied().collect()
}

/// Whether this thread blocks all [`TERMINATION_SIGNALS`]; `None` if it blocks some.
#[cfg(test)]
pub(crate) fn are_deferred() -> Option<bool> {
    let mask = SigSet::thread_get_mask().unwrap();
    let blocked = TERMINATION_SIGNALS.iter().filter(|signal| mask.contains(**signal)).count();
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

//! Signal dispositions of child processes.

use std::fs;
use std::sync::Once;

use rustix::process::Signal;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Signals that a shell may ignore when it starts a command: HUP (`nohup`), INT and QUIT (background jobs of a
/// non-interactive shell), TERM, and the signals of job control. The standard library resets PIPE and the signal mask
/// in every child itself.
const RESET: [Signal; 7] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::TSTP, Signal::TTIN, Signal::TTOU];

/// Makes sure that every child of this process starts with the default disposition of the signals in [`RESET`]. Call it
/// before a child is spawned.
///
/// `execve` keeps an ignored signal ignored and resets a handled one to its default (execve(2)), and a shell cannot
/// trap a signal that was ignored when it started. So a handler that does nothing replaces each ignored disposition:
/// this process still survives the signal, and its children get the default.
///
/// Reads `/proc/self/status`; without that file, children inherit what this process ignores.
pub(super) fn reset_in_children() {
    static RESET_ONCE: Once = Once::new();
    RESET_ONCE.call_once(|| {
        let ignored = ignored();
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
        // tokio installs its handler on the first call for a signal and never removes it.
        let _guard = runtime.enter();
        for number in RESET.map(Signal::as_raw).into_iter().filter(|number| ignored & (1 << (number - 1)) != 0) {
            drop(signal(SignalKind::from_raw(number)).expect("a handler can be installed"));
        }
    });
}

/// The signals that this process ignores: bit N - 1 stands for signal N.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

//! What the cache takes from the daemon's `task`, with shuttle in it.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt;
use shuttle::future::JoinHandle;

pub(crate) use shuttle::sync::{Mutex, MutexGuard};
pub(crate) use std::sync::PoisonError;

thread_local! {
    /// Everything spawned and not yet waited for. All of one check runs on one thread of the machine.
    static SPAWNED: RefCell<Vec<JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
}

/// What a flight panics with where the check wants it to.
pub(crate) struct Crash;

/// As tokio's: such a panic ends the task it is in and nothing else. Any other is the check's own.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    let task = shuttle::future::spawn(AssertUnwindSafe(task).catch_unwind().map(|end| match end {
        Err(panic) if !panic.is::<Crash>() => resume_unwind(panic),
        _ => {}
    }));
    SPAWNED.with_borrow_mut(|spawned| spawned.push(task));
}

/// Waits for the end of every task. One that never ends is what shuttle calls a deadlock.
pub(crate) async fn all_ended() {
    while let Some(task) = SPAWNED.with_borrow_mut(Vec::pop) {
        task.await.unwrap();
    }
}

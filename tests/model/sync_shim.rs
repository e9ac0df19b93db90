//! The cache's mutex and task spawner, instrumented by shuttle, in place of those of `rolecall-core`.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt;
use shuttle::future::JoinHandle;

pub(crate) use shuttle::sync::{Mutex, MutexGuard};
pub(crate) use std::sync::PoisonError;

thread_local! {
    /// The tasks that no `all_ended` has waited for. All tasks of a check run on one thread.
    static SPAWNED: RefCell<Vec<JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
}

/// The panic of a load that is meant to panic.
pub(crate) struct Crash;

/// Spawns a task as tokio does: a [`Crash`] ends this task only. Any other panic fails the check.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    let task = shuttle::future::spawn(AssertUnwindSafe(task).catch_unwind().map(|end| match end {
        Err(panic) if !panic.is::<Crash>() => resume_unwind(panic),
        _ => {}
    }));
    SPAWNED.with_borrow_mut(|spawned| spawned.push(task));
}

/// Waits for the end of every task. shuttle reports a task that never ends as a deadlock.
pub(crate) async fn all_ended() {
    while let Some(task) = SPAWNED.with_borrow_mut(Vec::pop) {
        task.await.unwrap();
    }
}

//! Blocking work that may hang, in threads of its own, with a timeout.
//!
//! A library that blocks cannot be cancelled: the caller gives up after a timeout and leaves the thread behind. A worker
//! bounds what is left behind, either by the number of such threads ([`BlockingWorker::queued`]) or by rejecting every job
//! while one runs ([`BlockingWorker::exclusive`]). Used for the OS keyring, its password prompt and desktop notifications.

mod cancel;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

pub use cancel::{Cancel, Cancelled};

/// Runs blocking jobs. Clones share the threads. `S` is state that a thread keeps from one job to the next, such as a
/// connection; a new thread starts with the default.
pub struct BlockingWorker<S>(Arc<Inner<S>>);

struct Inner<S> {
    /// The name of its threads.
    name: &'static str,
    mode: Mode,
    current: Mutex<CurrentThread<S>>,
    load: Arc<watch::Sender<Load>>,
}

/// What happens to a job while another one runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It waits in one thread's queue. A thread that exceeds a timeout is replaced, up to this number of stuck threads.
    Queued { max_stuck_threads: usize },
    /// It is rejected. The thread ends with its job.
    Exclusive,
}

/// The thread that receives the next job.
struct CurrentThread<S> {
    id: u64,
    jobs: Option<mpsc::Sender<Job<S>>>,
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// What the threads are doing.
#[derive(Debug, Default)]
struct Load {
    /// Jobs that are queued or running.
    jobs: usize,
    /// Threads that exceeded a timeout and have not returned.
    stuck: BTreeSet<u64>,
}

/// Why a job has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerError {
    /// The job was not started: another one runs, or too many threads are stuck.
    Busy,
    /// The job exceeded its timeout. `has_begun` is true if it may have a side effect all the same.
    TimedOut {
        /// Whether the job had called [`Cancel::begin`].
        has_begun: bool,
        /// Whether the thread was replaced now, and not after the timeout of an earlier caller of the same thread.
        is_first: bool,
    },
    /// The thread could not be started, or panicked.
    Failed(String),
}

impl<S: Default + 'static> BlockingWorker<S> {
    /// Creates a worker that runs jobs one after another and tolerates `max_stuck_threads` threads that hang.
    #[must_use]
    pub fn queued(name: &'static str, max_stuck_threads: usize) -> Self {
        Self::new(name, Mode::Queued { max_stuck_threads })
    }

    /// Creates a worker that rejects a job while another one runs, however long that hangs.
    #[must_use]
    pub fn exclusive(name: &'static str) -> Self {
        Self::new(name, Mode::Exclusive)
    }

    fn new(name: &'static str, mode: Mode) -> Self {
        let current = Mutex::new(CurrentThread { id: 0, jobs: None });
        Self(Arc::new(Inner { name, mode, current, load: Arc::new(watch::Sender::new(Load::default())) }))
    }

    /// Runs a job and returns its result. Errors if the job cannot start or takes longer than `timeout`.
    ///
    /// A job whose caller gave up while it was queued does not run. One that runs already goes on, and its thread is given
    /// up; the job has to call [`Cancel::begin`] before it changes anything.
    pub async fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        job: impl FnOnce(&mut S, &Cancel) -> T + Send + 'static,
    ) -> Result<T, WorkerError> {
        let (sender, result) = oneshot::channel();
        let cancel = Cancel::default();
        let caller = cancel.caller();
        let counted = self.count_job()?;
        let job = move |state: &mut S| {
            // The job no longer counts when the caller receives its result, or learns of a panic.
            let (sender, counted) = (sender, counted);
            let result = (!cancel.is_given_up()).then(|| job(state, &cancel));
            drop(counted);
            if let Some(result) = result {
                drop(sender.send(result));
            }
        };
        let thread = self.submit(Box::new(job))?;
        match tokio::time::timeout(timeout, result).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(WorkerError::Failed("its thread has ended".to_owned())),
            Err(_) => {
                let has_begun = caller.give_up();
                let is_first = self.give_up(thread);
                Err(WorkerError::TimedOut { has_begun, is_first })
            }
        }
    }

    /// Whether a job is queued or running, in a stuck thread too.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.0.load.borrow().jobs > 0
    }

    /// Waits until a thread that is stuck now returns. Returns immediately if none is.
    pub async fn stuck_thread_returned(&self) {
        let mut load = self.0.load.subscribe();
        let stuck = load.borrow().stuck.len();
        // The sender lives as long as this worker.
        let _ = load.wait_for(|load| load.stuck.is_empty() || load.stuck.len() < stuck).await;
    }

    /// Waits until no job is queued or running.
    #[cfg(test)]
    pub(crate) async fn idle(&self) {
        self.0.load.subscribe().wait_for(|load| load.jobs == 0).await.unwrap();
    }

    fn count_job(&self) -> Result<CountedJob, WorkerError> {
        let is_accepted = self.0.load.send_if_modified(|load| {
            let is_accepted = self.0.mode != Mode::Exclusive || load.jobs == 0;
            load.jobs += usize::from(is_accepted);
            is_accepted
        });
        if is_accepted { Ok(CountedJob(Arc::clone(&self.0.load))) } else { Err(WorkerError::Busy) }
    }

    /// Sends a job to the current thread, or to a new one. Returns the thread's id.
    fn submit(&self, job: Job<S>) -> Result<u64, WorkerError> {
        let mut current = self.current();
        let job = match &current.jobs {
            Some(jobs) => match jobs.send(job) {
                Ok(()) => return Ok(current.id),
                // It panicked.
                Err(mpsc::SendError(job)) => job,
            },
            None => job,
        };
        if let Mode::Queued { max_stuck_threads } = self.0.mode
            && self.0.load.borrow().stuck.len() >= max_stuck_threads
        {
            return Err(WorkerError::Busy);
        }
        let id = current.id + 1;
        let (sender, jobs) = mpsc::channel::<Job<S>>();
        let running = RunningThread { load: Arc::clone(&self.0.load), id };
        let work = move || {
            let _running = running;
            let mut state = S::default();
            while let Ok(job) = jobs.recv() {
                job(&mut state);
            }
        };
        let spawned = thread::Builder::new().name(self.0.name.to_owned()).spawn(work);
        spawned.map_err(|error| WorkerError::Failed(error.to_string()))?;
        // The thread receives until this sender is dropped.
        drop(sender.send(job));
        *current = CurrentThread { id, jobs: (self.0.mode != Mode::Exclusive).then_some(sender) };
        Ok(id)
    }

    /// Leaves a thread to its job: it ends when that returns. Returns whether this call has replaced the thread.
    fn give_up(&self, id: u64) -> bool {
        let mut current = self.current();
        let is_current = self.0.mode != Mode::Exclusive && current.id == id;
        let Some(jobs) = current.jobs.take_if(|_| is_current) else { return false };
        self.0.load.send_if_modified(|load| load.stuck.insert(id));
        drop(jobs); // the thread may end from here on
        true
    }

    fn current(&self) -> MutexGuard<'_, CurrentThread<S>> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for BlockingWorker<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for BlockingWorker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingWorker").field("name", &self.0.name).finish_non_exhaustive()
    }
}

/// A job that counts as queued or running until it is dropped, also by a panic.
struct CountedJob(Arc<watch::Sender<Load>>);

impl Drop for CountedJob {
    fn drop(&mut self) {
        self.0.send_modify(|load| load.jobs -= 1);
    }
}

/// A thread that counts as running until it is dropped, also by a panic.
struct RunningThread {
    load: Arc<watch::Sender<Load>>,
    id: u64,
}

impl Drop for RunningThread {
    fn drop(&mut self) {
        self.load.send_if_modified(|load| load.stuck.remove(&self.id));
    }
}

#[cfg(test)]
mod tests;

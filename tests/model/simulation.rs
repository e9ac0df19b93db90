//! A cache with one key, and a log of its loads, which are numbered.
//!
//! The log is behind `std`'s mutex, which shuttle does not instrument: an entry is atomic with the statements beside it.

use std::collections::{BTreeSet, HashMap};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use shuttle::current::TaskId;
use shuttle::future::{JoinHandle, yield_now};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};

use crate::clock::Clock;
use crate::single_flight::{Cache, CacheEntry, FailureTtl, InFlight, LoadError, Outcome};
use crate::sync_shim;

/// The key of all loads.
pub(crate) const KEY: usize = 0;

/// The value or the error of a load: its number.
#[derive(Debug)]
pub(crate) struct Loaded(pub(crate) usize);

/// The number of a value that was inserted, not loaded.
pub(crate) const INSERTED: usize = usize::MAX;

/// The most schedules that a small check may have. Each additional lock in the cache multiplies their number.
const MAX_SCHEDULES: usize = 200_000;

/// How a load ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoadEnd {
    Success,
    Failure,
    Panic,
}

/// A cache with the log of its loads.
pub(crate) struct Model {
    pub(crate) cache: Arc<Cache<usize, Loaded, Loaded>>,
    /// How a load ends, by its number.
    ends: fn(usize) -> LoadEnd,
    is_small: bool,
    /// One permit for each caller that has arrived.
    gate: tokio::sync::Semaphore,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    loads: Vec<Record>,
    /// How often the key was invalidated. A generation lies between two invalidations.
    generation: usize,
    /// The loads whose result a task has received.
    received: BTreeSet<usize>,
    /// The loads whose failure was cleared.
    cleared: BTreeSet<usize>,
    /// Whether failures were cleared at any time.
    has_cleared_failures: bool,
    /// The load that each task runs.
    by_task: HashMap<TaskId, usize>,
    /// The loads whose end was reported.
    reported: Vec<usize>,
    /// Violations that were found where a panic would be a panic in a destructor.
    violations: Vec<String>,
    /// The loads that were started when the end of a load was reported, with that load.
    started_on_end: Vec<(usize, InFlight<Loaded, Loaded>)>,
}

/// A load. It took its slot in a generation from `requested` to `started`.
#[derive(Clone, Copy)]
struct Record {
    requested: usize,
    started: usize,
    ended: Option<usize>,
}

impl FailureTtl for Loaded {
    fn failure_ttl(&self, _: u32) -> Duration {
        Duration::ZERO
    }
}

impl Model {
    /// Creates a cache whose loads yield, and which gets a further call when the first load has ended.
    pub(crate) fn new(ends: fn(usize) -> LoadEnd) -> Arc<Self> {
        Self::create(ends, false)
    }

    /// Creates a cache without further calls, so that all schedules can be run.
    pub(crate) fn small(ends: fn(usize) -> LoadEnd) -> Arc<Self> {
        Self::create(ends, true)
    }

    /// Inserts a value.
    pub(crate) fn with_value(self: Arc<Self>) -> Arc<Self> {
        self.cache.insert_if_absent(&KEY, Loaded(INSERTED));
        self
    }

    fn create(ends: fn(usize) -> LoadEnd, is_small: bool) -> Arc<Self> {
        let model: Arc<OnceLock<Weak<Self>>> = Arc::default();
        let model_of_callback = Arc::clone(&model);
        let cache = Cache::new(Clock, move |key| {
            assert_eq!(*key, KEY);
            if let Some(model) = model_of_callback.get().and_then(Weak::upgrade) {
                model.on_load_end();
            }
        });
        let gate = tokio::sync::Semaphore::new(0);
        let created = Arc::new(Self { cache, ends, is_small, gate, log: Mutex::default() });
        assert!(model.set(Arc::downgrade(&created)).is_ok());
        created
    }

    fn log<T>(&self, write: impl FnOnce(&mut Log) -> T) -> T {
        write(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Joins the load in flight, or starts one.
    pub(crate) fn get_or_start(self: &Arc<Self>) -> InFlight<Loaded, Loaded> {
        self.start_gated(0)
    }

    /// Like [`Self::get_or_start`]. A load that this starts waits until `callers` callers have arrived.
    pub(crate) fn start_gated(self: &Arc<Self>, callers: u32) -> InFlight<Loaded, Loaded> {
        self.start(None, callers)
    }

    /// Calls for the key if the cache has no result yet. The result may be of a load that ended after the cache was read.
    pub(crate) async fn call_if_absent(self: &Arc<Self>) {
        let seen = self.peek();
        if seen.value.is_none() && seen.last_failure.is_none() {
            drop(self.start(Some(&seen), 0).wait().await);
        }
    }

    fn start(self: &Arc<Self>, seen: Option<&CacheEntry<Loaded, Loaded>>, callers: u32) -> InFlight<Loaded, Loaded> {
        let requested = self.generation();
        let model = Arc::clone(self);
        let load = move || {
            let number = model.record_start(requested);
            async move {
                model.log(|log| log.by_task.insert(shuttle::current::me(), number));
                drop(model.gate.acquire_many(callers).await.unwrap());
                if !model.is_small {
                    yield_now().await;
                }
                model.log(|log| log.loads[number].ended = Some(log.generation));
                match (model.ends)(number) {
                    LoadEnd::Success => Ok(Loaded(number)),
                    LoadEnd::Failure => Err(Loaded(number)),
                    // Not `panic!`: shuttle's hook would print a schedule for it.
                    LoadEnd::Panic => resume_unwind(Box::new(sync_shim::Crash)),
                }
            }
        };
        match seen {
            Some(seen) => self.cache.get_or_start_after(&KEY, seen, load),
            None => self.cache.get_or_start(&KEY, load),
        }
    }

    /// Records that a load starts. Two loads of one generation are never in flight at once.
    fn record_start(&self, requested: usize) -> usize {
        self.log(|log| {
            let started = log.generation;
            let is_in_flight =
                |load: &Record| load.ended.is_none() && load.requested == started && load.started == started;
            if requested == started && log.loads.iter().any(is_in_flight) {
                log.violations.push("two loads in flight at once".to_owned());
            }
            log.loads.push(Record { requested, started, ended: None });
            log.loads.len() - 1
        })
    }

    /// When the end of a load is reported, its slot is free: a call at that moment never joins the load that ended.
    fn on_load_end(self: &Arc<Self>) {
        let me = shuttle::current::me();
        // shuttle drops a load that has not started, when it cleans up after a failure.
        let Some(number) = self.log(|log| log.by_task.get(&me).copied()) else { return };
        let is_first = self.log(|log| {
            if log.reported.contains(&number) {
                log.violations.push(format!("the end of load {number} was reported twice"));
            }
            if log.received.contains(&number) {
                log.violations.push(format!("the result of load {number} was received before its end was reported"));
            }
            log.reported.push(number);
            log.reported.len() == 1
        });
        if is_first && !self.is_small {
            let next = self.get_or_start();
            self.log(|log| log.started_on_end.push((number, next)));
        }
    }

    /// Calls for the key. The result is of a load whose result no caller received before this call.
    pub(crate) async fn call(self: &Arc<Self>) -> Outcome<Loaded, Loaded> {
        self.call_gated(0).await
    }

    /// Like [`Self::call`]. A load that this starts waits until `callers` callers have arrived.
    pub(crate) async fn call_gated(self: &Arc<Self>, callers: u32) -> Outcome<Loaded, Loaded> {
        let (received, generation) = self.log(|log| (log.received.clone(), log.generation));
        let load = self.start_gated(callers);
        self.gate.add_permits(1);
        let outcome = load.wait().await;
        if let Some(number) = number(&outcome) {
            assert!(!received.contains(&number), "joined load {number} after it had ended");
            self.log(|log| {
                assert!(log.loads[number].started >= generation, "joined load {number} after it was invalidated");
                log.received.insert(number);
            });
        }
        outcome
    }

    /// Reads the cache, and checks that it has nothing from before an invalidation, no cleared failure, and no failure from
    /// before a success.
    pub(crate) fn peek(&self) -> CacheEntry<Loaded, Loaded> {
        let (generation, cleared) = self.log(|log| (log.generation, log.cleared.clone()));
        let found = self.cache.peek(&KEY);
        let value = found.value.as_ref().map(|value| value.0).filter(|number| *number != INSERTED);
        let failure = found.last_failure.as_ref().map(|last_failure| last_failure.error.0);
        for number in value.into_iter().chain(failure) {
            let started = self.log(|log| log.loads[number].started);
            assert!(started >= generation, "load {number} is from before an invalidation");
        }
        if let Some(failure) = failure {
            assert!(!cleared.contains(&failure), "the failure of load {failure} was cleared");
            assert!(value < Some(failure), "load {failure} was followed by a success");
        }
        found
    }

    /// Invalidates the key, as a change of the configuration does.
    pub(crate) fn invalidate(&self) {
        // Counted in the callback, while the cache is locked.
        self.cache.retain(|_| {
            self.log(|log| log.generation += 1);
            false
        });
    }

    /// Clears the failures of the key.
    pub(crate) fn clear_failures(&self) {
        self.log(|log| log.has_cleared_failures = true);
        self.cache.clear_failures(
            |key| *key == KEY,
            |error| {
                self.log(|log| log.cleared.insert(error.0));
                true
            },
        );
    }

    /// Clears the failures of all other keys.
    pub(crate) fn clear_failures_of_others(&self) {
        self.cache.clear_failures(|key| *key != KEY, |_| true);
    }

    pub(crate) fn load_count(&self) -> usize {
        self.log(|log| log.loads.len())
    }

    fn generation(&self) -> usize {
        self.log(|log| log.generation)
    }

    pub(crate) fn has_cleared_failures(&self) -> bool {
        self.log(|log| log.has_cleared_failures)
    }

    pub(crate) fn is_cleared(&self, number: usize) -> bool {
        self.log(|log| log.cleared.contains(&number))
    }

    /// Waits until every load has ended, and checks that no violation was found.
    pub(crate) async fn wait_for_loads(self: &Arc<Self>) {
        sync_shim::all_ended().await;
        for (load_ended, next) in self.log(|log| std::mem::take(&mut log.started_on_end)) {
            let next = next.wait().await;
            assert_ne!(number(&next), Some(load_ended), "joined a load when its end was reported");
        }
        sync_shim::all_ended().await;
        let violations = self.log(|log| log.violations.clone());
        assert!(violations.is_empty(), "{violations:?}");
    }

    /// Waits until every load has ended, and checks what holds in every schedule.
    pub(crate) async fn end(self: &Arc<Self>) {
        self.wait_for_loads().await;
        self.peek();
        let loads = self.load_count();
        self.log(|log| {
            let invalidated = log.loads.iter().filter(|load| load.ended > Some(load.started)).count();
            let kept = loads.saturating_sub(log.generation)..=loads - invalidated;
            assert!(kept.contains(&log.reported.len()), "{} of {loads} reported, not {kept:?}", log.reported.len());
        });
        drop(self.call().await);
        assert_eq!(self.load_count(), loads + 1, "the slot still had a load");
        sync_shim::all_ended().await;
    }
}

/// Returns the number of the load that an outcome is from; `None` if the load panicked.
pub(crate) fn number(outcome: &Outcome<Loaded, Loaded>) -> Option<usize> {
    match outcome {
        Ok(loaded) | Err(LoadError::Failed(loaded)) => Some(loaded.0),
        Err(LoadError::Lost) => None,
    }
}

/// Spawns a task that uses the model.
pub(crate) fn spawn_task<F>(model: &Arc<Model>, task: impl FnOnce(Arc<Model>) -> F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    shuttle::future::spawn(task(Arc::clone(model)))
}

/// Runs a check with a few thousand random schedules.
pub(crate) fn check_random_schedules<F: Future<Output = ()> + 'static>(check: fn() -> F) {
    run(RandomScheduler::new(2000), check);
    run(PctScheduler::new(3, 1000), check);
}

/// Runs a long check with a few random schedules.
pub(crate) fn check_few_schedules<F: Future<Output = ()> + 'static>(check: fn() -> F) {
    run(RandomScheduler::new(50), check);
}

/// Runs a small check with all its schedules.
pub(crate) fn check_all_schedules<F: Future<Output = ()> + 'static>(check: fn() -> F) {
    let count = run(DfsScheduler::new(Some(MAX_SCHEDULES), false), check);
    assert!((1000..MAX_SCHEDULES).contains(&count), "too few schedules to mean anything, or too many to run: {count}");
}

fn run<F: Future<Output = ()> + 'static>(scheduler: impl Scheduler + 'static, check: fn() -> F) -> usize {
    let runner = shuttle::Runner::new(scheduler, shuttle::Config::default());
    runner.run(move || shuttle::future::block_on(check()))
}

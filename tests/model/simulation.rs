//! A cache of one key, whose flights are numbered and written down.
//!
//! What is written down is behind `std`'s mutex, which shuttle does not see: each entry happens at once with what stands
//! beside it.

use std::collections::{BTreeSet, HashMap};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::StaticTimeSource;
use shuttle::current::TaskId;
use shuttle::future::{JoinHandle, yield_now};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};

use crate::clock::SharedTimeSource;
use crate::single_flight::{Cache, CacheEntry, FailureTtl, InFlight, LoadError, Outcome};
use crate::sync_shim;

/// The key of all flights.
pub(crate) const KEY: usize = 0;

/// What a flight brings, good or bad: its number.
#[derive(Debug)]
pub(crate) struct Flown(pub(crate) usize);

/// The number of a value that no flight brought.
pub(crate) const PUT: usize = usize::MAX;

/// Schedules that make no caller wait. Each additional lock in the cache multiplies their number.
const MANY: usize = 200_000;

/// How a flight ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Good,
    Bad,
    Panic,
}

/// A cache, and what happened to it.
pub(crate) struct Model {
    pub(crate) cache: Arc<Cache<usize, Flown, Flown>>,
    /// How a flight ends, by its number.
    ends: fn(usize) -> End,
    is_small: bool,
    /// Opens with the callers who have come.
    gate: tokio::sync::Semaphore,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    flights: Vec<Record>,
    /// How often the key was forgotten. A generation is what lies between.
    generation: usize,
    /// The in-flight loads that a task has observed.
    heard: BTreeSet<usize>,
    /// Failures that were forgiven.
    forgiven: BTreeSet<usize>,
    /// Whether anybody forgave anything.
    is_forgiving: bool,
    /// Which task flies which flight.
    flyers: HashMap<TaskId, usize>,
    /// The flights whose landing was announced.
    landed: Vec<usize>,
    /// What was not as it should be where a panic would be one in a destructor.
    complaints: Vec<String>,
    /// What was asked for at an announcement, with the flight that was announced.
    after: Vec<(usize, InFlight<Flown, Flown>)>,
}

/// A flight. It took its slot in a generation between `asked` and `begun`.
#[derive(Clone, Copy)]
struct Record {
    asked: usize,
    begun: usize,
    ended: Option<usize>,
}

impl FailureTtl for Flown {
    fn failure_ttl(&self, _: u32) -> Duration {
        Duration::ZERO
    }
}

impl Model {
    /// A cache whose flights take their time, and which is asked again when one has landed.
    pub(crate) fn new(ends: fn(usize) -> End) -> Arc<Self> {
        Self::made(ends, false)
    }

    /// A cache with no more to it than what the check does, so that all schedules can be gone through.
    pub(crate) fn small(ends: fn(usize) -> End) -> Arc<Self> {
        Self::made(ends, true)
    }

    /// The same with a value that no flight brought.
    pub(crate) fn with_value(self: Arc<Self>) -> Arc<Self> {
        self.cache.insert_if_absent(&KEY, Flown(PUT));
        self
    }

    fn made(ends: fn(usize) -> End, is_small: bool) -> Arc<Self> {
        let time = SharedTimeSource::new(StaticTimeSource::new(SystemTime::UNIX_EPOCH));
        let model: Arc<OnceLock<Weak<Self>>> = Arc::default();
        let announced = Arc::clone(&model);
        let cache = Cache::new(time, move |key| {
            assert_eq!(*key, KEY);
            if let Some(model) = announced.get().and_then(Weak::upgrade) {
                model.announced();
            }
        });
        let gate = tokio::sync::Semaphore::new(0);
        let made = Arc::new(Self { cache, ends, is_small, gate, log: Mutex::default() });
        assert!(model.set(Arc::downgrade(&made)).is_ok());
        made
    }

    fn log<T>(&self, write: impl FnOnce(&mut Log) -> T) -> T {
        write(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Joins a flight or begins one.
    pub(crate) fn get_or_start(self: &Arc<Self>) -> InFlight<Flown, Flown> {
        self.fly_behind(0)
    }

    /// The same; if a flight begins, it waits until as many as `callers` have come.
    pub(crate) fn fly_behind(self: &Arc<Self>, callers: u32) -> InFlight<Flown, Flown> {
        let asked = self.generation();
        let model = Arc::clone(self);
        self.cache.get_or_start(&KEY, move || {
            let number = model.begin(asked);
            async move {
                model.log(|log| log.flyers.insert(shuttle::current::me(), number));
                drop(model.gate.acquire_many(callers).await.unwrap());
                if !model.is_small {
                    yield_now().await;
                }
                model.log(|log| log.flights[number].ended = Some(log.generation));
                match (model.ends)(number) {
                    End::Good => Ok(Flown(number)),
                    End::Bad => Err(Flown(number)),
                    // Not `panic!`: shuttle's hook would print a schedule for it.
                    End::Panic => resume_unwind(Box::new(sync_shim::Crash)),
                }
            }
        })
    }

    /// Writes down that a flight begins. No two of one generation are under way at once.
    fn begin(&self, asked: usize) -> usize {
        self.log(|log| {
            let begun = log.generation;
            let of_one = |flight: &Record| flight.ended.is_none() && flight.asked == begun && flight.begun == begun;
            if asked == begun && log.flights.iter().any(of_one) {
                log.complaints.push("two flights at once".to_owned());
            }
            log.flights.push(Record { asked, begun, ended: None });
            log.flights.len() - 1
        })
    }

    /// Whoever hears of a landing finds the slot free: asking then never joins the flight that landed.
    fn announced(self: &Arc<Self>) {
        let me = shuttle::current::me();
        // A flight that never started_at is dropped by shuttle, which clears up after a failure.
        let Some(number) = self.log(|log| log.flyers.get(&me).copied()) else { return };
        let is_first = self.log(|log| {
            if log.landed.contains(&number) {
                log.complaints.push(format!("the landing of flight {number} was announced twice"));
            }
            if log.heard.contains(&number) {
                log.complaints.push(format!("flight {number} was heard of before its landing was announced"));
            }
            log.landed.push(number);
            log.landed.len() == 1
        });
        if is_first && !self.is_small {
            let flight = self.get_or_start();
            self.log(|log| log.after.push((number, flight)));
        }
    }

    /// Wants something, and hears of a flight that nobody had heard of before.
    pub(crate) async fn call(self: &Arc<Self>) -> Outcome<Flown, Flown> {
        self.call_behind(0).await
    }

    /// The same; if a flight begins, it waits until as many as `callers` have come.
    pub(crate) async fn call_behind(self: &Arc<Self>, callers: u32) -> Outcome<Flown, Flown> {
        let (heard, generation) = self.log(|log| (log.heard.clone(), log.generation));
        let flight = self.fly_behind(callers);
        self.gate.add_permits(1);
        let outcome = flight.wait().await;
        if let Some(number) = number(&outcome) {
            assert!(!heard.contains(&number), "joined flight {number} although it was over");
            self.log(|log| {
                assert!(log.flights[number].begun >= generation, "joined flight {number} although it was forgotten");
                log.heard.insert(number);
            });
        }
        outcome
    }

    /// Looks, and finds nothing from before a forgetting, no last_failure that was forgiven and none from before a success.
    pub(crate) fn peek(&self) -> CacheEntry<Flown, Flown> {
        let (generation, forgiven) = self.log(|log| (log.generation, log.forgiven.clone()));
        let found = self.cache.peek(&KEY);
        let good = found.value.as_ref().map(|value| value.0).filter(|number| *number != PUT);
        let bad = found.last_failure.as_ref().map(|last_failure| last_failure.error.0);
        for number in good.into_iter().chain(bad) {
            let begun = self.log(|log| log.flights[number].begun);
            assert!(begun >= generation, "flight {number} came from before a forgetting");
        }
        if let Some(bad) = bad {
            assert!(!forgiven.contains(&bad), "flight {bad} was forgiven");
            assert!(good < Some(bad), "flight {bad} was followed by a success");
        }
        found
    }

    /// The configuration was changed.
    pub(crate) fn forget(&self) {
        // Counted where it happens: the cache is locked.
        self.cache.retain(|_| {
            self.log(|log| log.generation += 1);
            false
        });
    }

    /// There is reason to believe that it goes better now.
    pub(crate) fn clear_failures(&self) {
        self.log(|log| log.is_forgiving = true);
        self.cache.clear_failures(
            |key| *key == KEY,
            |error| {
                self.log(|log| log.forgiven.insert(error.0));
                true
            },
        );
    }

    /// There is reason to believe that it goes better now with everything else.
    pub(crate) fn forgive_others(&self) {
        self.cache.clear_failures(|key| *key != KEY, |_| true);
    }

    pub(crate) fn flights(&self) -> usize {
        self.log(|log| log.flights.len())
    }

    fn generation(&self) -> usize {
        self.log(|log| log.generation)
    }

    pub(crate) fn is_forgiving(&self) -> bool {
        self.log(|log| log.is_forgiving)
    }

    pub(crate) fn ignores_result(&self, number: usize) -> bool {
        self.log(|log| log.forgiven.contains(&number))
    }

    /// Waits until everything has ended, well so far.
    pub(crate) async fn settle(self: &Arc<Self>) {
        sync_shim::all_ended().await;
        for (load_ended, flight) in self.log(|log| std::mem::take(&mut log.after)) {
            let next = flight.wait().await;
            assert_ne!(number(&next), Some(load_ended), "joined a flight at the announcement of its landing");
        }
        sync_shim::all_ended().await;
        let complaints = self.log(|log| log.complaints.clone());
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    /// Waits until everything has ended, and checks what holds whatever happened.
    pub(crate) async fn end(self: &Arc<Self>) {
        self.settle().await;
        self.peek();
        let flights = self.flights();
        self.log(|log| {
            let forgotten = log.flights.iter().filter(|flight| flight.ended > Some(flight.begun)).count();
            let kept = flights.saturating_sub(log.generation)..=flights - forgotten;
            assert!(kept.contains(&log.landed.len()), "{} of {flights} announced, not {kept:?}", log.landed.len());
        });
        drop(self.call().await);
        assert_eq!(self.flights(), flights + 1, "the slot had a flight left");
        sync_shim::all_ended().await;
    }
}

/// Which flight an outcome is of.
pub(crate) fn number(outcome: &Outcome<Flown, Flown>) -> Option<usize> {
    match outcome {
        Ok(flown) | Err(LoadError::Failed(flown)) => Some(flown.0),
        Err(LoadError::Lost) => None,
    }
}

/// A task beside the others.
pub(crate) fn beside<F>(model: &Arc<Model>, task: impl FnOnce(Arc<Model>) -> F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    shuttle::future::spawn(task(Arc::clone(model)))
}

/// Some thousand schedules of chance.
pub(crate) fn some<F: Future<Output = ()> + 'static>(check: fn() -> F) {
    run(RandomScheduler::new(2000), check);
    run(PctScheduler::new(3, 1000), check);
}

/// Fewer, of what takes long.
pub(crate) fn few<F: Future<Output = ()> + 'static>(check: fn() -> F) {
    run(RandomScheduler::new(50), check);
}

/// All schedules there are.
pub(crate) fn all<F: Future<Output = ()> + 'static>(check: fn() -> F) {
    let count = run(DfsScheduler::new(Some(MANY), false), check);
    assert!((1000..MANY).contains(&count), "too little to choose, or too much to go through: {count} schedules");
}

fn run<F: Future<Output = ()> + 'static>(chooser: impl Scheduler + 'static, check: fn() -> F) -> usize {
    let runner = shuttle::Runner::new(chooser, shuttle::Config::default());
    runner.run(move || shuttle::future::block_on(check()))
}

//! One laptop with Rolecall: the policy of the daemon, with STS in memory.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use rolecall_core::circuit_breaker::{CircuitOpen, RefreshPermit};
use rolecall_core::clock::{Clock, ClockSource, time_until};
use rolecall_core::endpoint_calls::{CallError, EndpointCalls, TotalTimeout};
use rolecall_core::refresh::{self, Freshness, KnownFailure, NextStep, RefreshNeed, StaleSession};
use rolecall_core::renewal::{Due, RenewalFailure, RenewalQueue, RenewalState, Urgency};
use rolecall_core::session::Session;
use rolecall_core::single_flight::{Cache, CacheEntry, FailureTtl};
use rolecall_protocol::ErrorClass;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::usage::{Run, Usage};
use crate::{Call, LATENCY, PLUGIN_RUNS, Traffic, is_outage};

/// The life of a session, AWS's default.
const SESSION_LIFE: Duration = Duration::from_hours(1);
/// The default of `keep_warm`.
const KEEP_WARM: Duration = Duration::from_hours(8);
/// How long the daemon works on a request.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(9);

/// A machine with a daemon and one STS endpoint. Clones share them.
#[derive(Clone)]
struct Laptop {
    machine: Machine,
    clock: Clock,
    cache: Arc<Cache<usize, Session, StsError>>,
    calls: EndpointCalls<(), StsError>,
    log: Arc<Mutex<Vec<Call>>>,
    events: mpsc::UnboundedSender<Event>,
}

/// The clocks of the machine.
#[derive(Debug, Clone)]
struct Machine {
    start: Instant,
    asleep: Arc<Mutex<Duration>>,
}

/// What the renewal task of the daemon acts on.
#[derive(Debug)]
enum Event {
    Used(usize),
    LoadEnded(usize),
    RenewalEnded(usize),
    SystemChanged,
}

/// A failed call to STS.
#[derive(Debug, Clone)]
struct StsError {
    retry_after: Option<Duration>,
    is_breaker_open: bool,
}

/// Simulates the day of one laptop.
#[must_use]
pub fn simulate(usage: &Usage, seed: u64) -> Traffic {
    // The policy draws its random numbers from the generator of the thread.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(day(usage))
}

async fn day(usage: &Usage) -> Traffic {
    let laptop = Laptop::start();
    let mut traffic = Traffic { runs: usage.runs.len(), ..Traffic::default() };
    let (morning, afternoon) = usage.runs.split_at(usage.runs.partition_point(|run| run.at < usage.lunch.start));
    laptop.work(morning, &mut traffic).await;
    laptop.pass(usage.lunch.start).await;
    laptop.sleep(usage.lunch.end.saturating_sub(laptop.machine.elapsed()));
    laptop.work(afternoon, &mut traffic).await;
    laptop.pass(crate::DAY).await;
    traffic.calls = std::mem::take(&mut *laptop.log.lock().unwrap());
    traffic
}

impl Laptop {
    /// Starts the daemon, inside a runtime with paused time.
    fn start() -> Self {
        let machine = Machine { start: Instant::now(), asleep: Arc::default() };
        let clock = Clock::new(machine.clone());
        let (events, received) = mpsc::unbounded_channel();
        let ended = events.clone();
        let cache = Cache::new(clock.clone(), move |role: &usize| drop(ended.send(Event::LoadEnded(*role))));
        let calls = EndpointCalls::new(clock.clone());
        let laptop = Self { machine, clock, cache, calls, log: Arc::default(), events };
        tokio::spawn(laptop.clone().renew_sessions(received));
        laptop
    }

    async fn work(&self, runs: &[Run], traffic: &mut Traffic) {
        for run in runs {
            self.pass(run.at).await;
            if !self.kubectl(run.role).await {
                traffic.failures.push(run.at);
                let session = self.cache.peek(&run.role).value;
                traffic.first_use_failures += usize::from(session.is_none());
                traffic.avoidable_failures += usize::from(session.is_some_and(|it| it.is_usable(self.clock.now())));
            }
        }
    }

    /// Waits until this time of the day.
    async fn pass(&self, until: Duration) {
        tokio::time::sleep(until.saturating_sub(self.machine.elapsed())).await;
    }

    /// Lets the machine sleep: time passes, and timers do not advance. On Linux the daemon gets an event when it wakes up.
    fn sleep(&self, time: Duration) {
        *self.machine.asleep.lock().unwrap() += time;
        self.clear_network_failures();
        drop(self.events.send(Event::SystemChanged));
    }

    /// Runs kubectl, which runs its plugin up to six times. Returns whether it got a token.
    async fn kubectl(&self, role: usize) -> bool {
        for _ in 0..PLUGIN_RUNS {
            let served = tokio::time::timeout(RESPONSE_TIMEOUT, self.get(role, Freshness::Cached)).await;
            if matches!(served, Ok(Ok(()))) {
                drop(self.events.send(Event::Used(role)));
                return true;
            }
        }
        false
    }

    /// Whether AWS still accepts the session of a role.
    fn is_usable(&self, role: usize) -> bool {
        self.cache.peek(&role).value.is_some_and(|session| session.is_usable(self.clock.now()))
    }

    /// As `Sessions::get` of the daemon, for chains of one role.
    async fn get(&self, role: usize, freshness: Freshness) -> Result<(), StsError> {
        let mut entry = self.cache.peek(&role);
        if self.is_fresh(&entry, freshness) {
            return Ok(());
        }
        let mut step = self.next_step(role, &entry, freshness, false);
        if step == NextStep::WaitForProbe {
            self.calls.check_breaker(&()).await?;
            entry = self.cache.peek(&role);
            if self.is_fresh(&entry, freshness) {
                return Ok(());
            }
            step = self.next_step(role, &entry, freshness, true);
        }
        let failed = match step {
            NextStep::Load { wait } => self.load(role, &entry, freshness, wait).await,
            NextStep::UseCache | NextStep::WaitForProbe => Err(StsError::failed()),
        };
        let is_served = freshness == Freshness::Cached && self.is_usable(role);
        failed.or_else(|error| if is_served { Ok(()) } else { Err(error) })
    }

    fn is_fresh(&self, entry: &CacheEntry<Session, StsError>, freshness: Freshness) -> bool {
        let session = entry.value.as_ref().filter(|_| freshness == Freshness::Cached);
        session.is_some_and(|session| session.is_fresh(self.clock.now()))
    }

    fn next_step(
        &self,
        role: usize,
        entry: &CacheEntry<Session, StsError>,
        freshness: Freshness,
        has_waited: bool,
    ) -> NextStep {
        let now = self.clock.now();
        let failure = entry.last_failure.as_ref().map(|last_failure| KnownFailure {
            is_within_ttl: last_failure.is_within_ttl(now),
            is_breaker_open: last_failure.error.is_breaker_open,
        });
        let session = entry.value.as_deref();
        let stale =
            StaleSession { need: RefreshNeed::of(session, now), is_loading: self.cache.is_loading(&role), failure };
        let may_refresh = || !matches!(self.permit(), RefreshPermit::Wait(_));
        refresh::next_step(freshness, &stale, has_waited, may_refresh)
    }

    /// Loads a session, or joins a load in flight. A caller waits at most `wait` after its start.
    async fn load(
        &self,
        role: usize,
        seen: &CacheEntry<Session, StsError>,
        freshness: Freshness,
        wait: Option<Duration>,
    ) -> Result<(), StsError> {
        let laptop = self.clone();
        let load = || async move { laptop.assume_role().await };
        let load = match freshness {
            Freshness::Cached => self.cache.get_or_start_after(&role, seen, load),
            Freshness::Refresh | Freshness::BypassCache => self.cache.get_or_start(&role, load),
        };
        let deadline = load.started_at() + wait.unwrap_or(Duration::from_mins(2));
        let outcome = tokio::time::timeout_at(deadline, load.wait()).await;
        if matches!(outcome, Ok(Ok(_))) { Ok(()) } else { Err(StsError::failed()) }
    }

    async fn assume_role(&self) -> Result<Session, StsError> {
        let timeout = TotalTimeout::default();
        let send = || async {
            timeout.start();
            self.sts().await
        };
        let attempt = || self.calls.call(&(), timeout.of_attempt(), send());
        self.calls.with_retries(&(), &timeout, attempt).await
    }

    /// STS: answers, or fails during the outage.
    async fn sts(&self) -> Result<Session, StsError> {
        let at = self.machine.elapsed();
        let is_success = !is_outage(at);
        self.log.lock().unwrap().push(Call { at, is_success });
        tokio::time::sleep(LATENCY).await;
        if !is_success {
            return Err(StsError::failed());
        }
        let issued = self.clock.now();
        let credentials = Credentials::new("ASIA", "secret", None, Some(issued + SESSION_LIFE), "sts");
        Ok(Session { credentials, arn: None, issued, is_clamped: false })
    }

    /// As the renewal task of the daemon.
    async fn renew_sessions(self, mut events: mpsc::UnboundedReceiver<Event>) {
        let mut queue = RenewalQueue::new();
        loop {
            let due = queue.next_due().map_or(Duration::MAX, |due| time_until(self.clock.now(), due));
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                () = tokio::time::sleep(due) => None,
            };
            let now = self.clock.now();
            match event {
                Some(Event::Used(role)) => {
                    let is_new = queue.track(&role, now + KEEP_WARM);
                    if is_new {
                        self.plan(&mut queue, role);
                    }
                }
                Some(Event::LoadEnded(role)) => self.plan(&mut queue, role),
                Some(Event::RenewalEnded(role)) => {
                    queue.end(&role);
                    self.plan(&mut queue, role);
                }
                Some(Event::SystemChanged) => {
                    self.clear_network_failures();
                    queue.keys().into_iter().for_each(|role| self.plan(&mut queue, role));
                }
                None => {}
            }
            while let Some(due) = queue.next(now, |_| self.permit(), |role| self.cache.peek(role).value) {
                if let Due::Renew(role) = due {
                    let laptop = self.clone();
                    tokio::spawn(async move {
                        drop(laptop.get(role, Freshness::Refresh).await);
                        drop(laptop.events.send(Event::RenewalEnded(role)));
                    });
                }
            }
        }
    }

    fn plan(&self, queue: &mut RenewalQueue<usize>, role: usize) {
        let state = || {
            let CacheEntry { value, last_failure } = self.cache.peek(&role);
            let failure = last_failure.map(|last_failure| RenewalFailure {
                last: last_failure.last,
                failures: last_failure.failures,
                retry_after: last_failure.error.retry_after.unwrap_or_default(),
                may_pass: true,
                is_of_endpoint: true,
            });
            RenewalState { session: value, failure, needs_mfa_code: false }
        };
        queue.plan(&role, state, Urgency::Spread, self.clock.now());
    }

    fn permit(&self) -> RefreshPermit {
        self.calls.breakers().refresh_permit(&(), self.clock.now())
    }

    fn clear_network_failures(&self) {
        self.calls.breakers().reset(|_| false);
        self.cache.clear_failures(|_| true, |_| true);
    }
}

impl Machine {
    /// Returns the time since the start of the day.
    fn elapsed(&self) -> Duration {
        self.start.elapsed() + *self.asleep.lock().unwrap()
    }
}

impl ClockSource for Machine {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(500_000) + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        Self::elapsed(self)
    }

    fn awake(&self) -> Duration {
        self.start.elapsed()
    }
}

impl StsError {
    const fn failed() -> Self {
        Self { retry_after: None, is_breaker_open: false }
    }
}

impl From<CircuitOpen<Self>> for StsError {
    fn from(open: CircuitOpen<Self>) -> Self {
        Self { retry_after: Some(open.retry_after), is_breaker_open: true }
    }
}

/// An internal error of STS.
impl CallError for StsError {
    fn timed_out() -> Self {
        Self::failed()
    }

    fn is_transient(&self) -> bool {
        true
    }

    fn is_endpoint_failure(&self) -> bool {
        true
    }

    fn is_of_the_network(&self) -> bool {
        true
    }

    fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl FailureTtl for StsError {
    fn failure_ttl(&self, failures: u32) -> Duration {
        refresh::failure_ttl(ErrorClass::Retry, failures, self.retry_after, self.is_breaker_open)
    }
}

//! Renews sessions before they are asked for: one task for any number of profiles. [`RenewalQueue`] decides when.
//!
//! The task also reads the clock every `POLL_INTERVAL`, since timers do not count the time of a suspended machine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::sessions::{ChainState, Freshness, Sessions};
use rolecall_core::clock::{Clock, next_tick, time_until};
use rolecall_core::profile::Profile;
use rolecall_core::renewal::{Due, RenewalFailure, RenewalQueue, RenewalState, Urgency};
use rolecall_core::role_chain::RoleChain;
use rolecall_protocol::ErrorClass;

/// The longest wait without reading the clock where the system does not report each wake-up (B10), as macOS does not. Linux
/// reports it ([`crate::system_events`]); there the clock is read on every tick, so that an idle processor stays asleep.
const POLL_INTERVAL: Duration = Duration::from_secs(15);
/// How often the task learns that a profile is in use; a minute more or less does not matter to it.
const USE_REPORT_INTERVAL: Duration = Duration::from_mins(1);
/// Events that may wait. A full queue loses a use, and the next use of the chain sends it again.
const EVENT_CAPACITY: usize = 4096;
/// Changes of plans that a subscriber may lag behind.
const PLAN_CAPACITY: usize = 256;
/// Sends events to the renewal task, and reads its plans. Clones share one task. It runs in a daemon, and not in
/// `rolecalld --once`.
#[derive(Clone)]
pub struct Renewer {
    sessions: Sessions,
    clock: Clock,
    events: mpsc::Sender<Event>,
    /// The events, until the task starts.
    unstarted: Arc<Mutex<Option<mpsc::Receiver<Event>>>>,
    planned: Planned,
    plan_events: broadcast::Sender<RoleChain>,
}

/// When each chain is renewed next. Written by the task only.
type Planned = Arc<Mutex<HashMap<RoleChain, SystemTime>>>;

/// Everything on which the task acts, besides time.
enum Event {
    /// A session of the chain was used, which is to be renewed for this long.
    Used(RoleChain, Duration),
    /// A load has ended, of a renewal or of a caller.
    LoadEnded(RoleChain),
    /// More loads have ended than could be reported.
    LoadEventsLost,
    /// A renewal has ended.
    RenewalEnded(RoleChain),
    /// Sessions were dropped: chains without a session are not renewed.
    SessionsDropped,
    /// The user ended failures: their chains may be renewed now.
    FailuresCleared,
    /// The network or the clock changed: failures were cleared.
    SystemChanged,
    /// Read the clock now.
    Poll,
}

/// The state of the task.
struct Engine {
    /// The clock's count of discontinuities, as read last.
    discontinuities: u64,
    queue: RenewalQueue<RoleChain>,
    renewer: Renewer,
}

impl Renewer {
    /// Creates the handle. The task starts with [`Self::start`]; without it, sessions are renewed on request only.
    #[must_use]
    pub fn new(sessions: Sessions, clock: Clock) -> Self {
        let (events, received) = mpsc::channel(EVENT_CAPACITY);
        let (plan_events, _) = broadcast::channel(PLAN_CAPACITY);
        let unstarted = Arc::new(Mutex::new(Some(received)));
        Self { sessions, clock, events, unstarted, planned: Planned::default(), plan_events }
    }

    /// Starts the task, once. It ends when `stop` is cancelled.
    pub fn start(&self, stop: CancellationToken) {
        let Some(events) = self.unstarted.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let engine =
            Engine { discontinuities: self.clock.discontinuities(), queue: RenewalQueue::new(), renewer: self.clone() };
        tokio::spawn(engine.run(events, self.sessions.load_events(), stop));
    }

    /// Reports a use of a profile: its session is renewed for `keep_warm` from now on. `last_used` is the use before it.
    pub fn used(&self, profile: &Profile, last_used: Option<SystemTime>) {
        let is_reported = last_used.is_some_and(|at| time_until(at, self.clock.now()) < USE_REPORT_INTERVAL);
        if !is_reported || self.planned(&profile.chain).is_none() {
            self.send(Event::Used(profile.chain.clone(), profile.keep_warm));
        }
    }

    /// Renews a profile's session as long as its last use before a restart allows.
    pub fn resume(&self, profile: &Profile, last_used: SystemTime) {
        let rest = profile.keep_warm.saturating_sub(time_until(last_used, self.clock.now()));
        if !rest.is_zero() {
            self.send(Event::Used(profile.chain.clone(), rest));
        }
    }

    /// Reports that sessions were dropped, for example because no profile uses them.
    pub fn sessions_dropped(&self) {
        self.send(Event::SessionsDropped);
    }

    /// Reports that the user ended failures, for example by a login: they are retried now.
    pub fn failures_cleared(&self) {
        self.send(Event::FailuresCleared);
    }

    /// Reports that failures were cleared because the network or the clock changed: they are retried, spread over time.
    pub fn system_changed(&self) {
        self.send(Event::SystemChanged);
    }

    /// Has the task read the clock now.
    pub fn poll(&self) {
        self.send(Event::Poll);
    }

    /// Returns when the session of the chain is renewed next, if a renewal is planned.
    #[must_use]
    pub fn planned(&self, chain: &RoleChain) -> Option<SystemTime> {
        self.plans().get(chain).copied()
    }

    /// Subscribes to the chains whose plans change from now on.
    #[must_use]
    pub fn plan_events(&self) -> broadcast::Receiver<RoleChain> {
        self.plan_events.subscribe()
    }

    fn send(&self, event: Event) {
        // A full queue loses a use, which the next use repeats, or an event that the next poll makes up for.
        drop(self.events.try_send(event));
    }

    fn set_plan(&self, chain: &RoleChain, at: Option<SystemTime>) {
        let before = match at {
            Some(at) => self.plans().insert(chain.clone(), at),
            None => self.plans().remove(chain),
        };
        if before != at {
            drop(self.plan_events.send(chain.clone()));
        }
    }

    fn plans(&self) -> MutexGuard<'_, HashMap<RoleChain, SystemTime>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut load_events: broadcast::Receiver<RoleChain>,
        stop: CancellationToken,
    ) {
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.recv() => event,
                ended = load_events.recv() => match ended {
                    Ok(chain) => Some(Event::LoadEnded(chain)),
                    Err(RecvError::Lagged(_)) => Some(Event::LoadEventsLost),
                    Err(RecvError::Closed) => None,
                },
                () = tokio::time::sleep_until(self.next_poll()) => Some(Event::Poll),
            };
            let Some(event) = event else { return };
            self.check_discontinuities();
            self.handle(event);
            self.start_due();
        }
    }

    fn next_poll(&self) -> Instant {
        let poll = if cfg!(target_os = "linux") { next_tick() } else { Instant::now() + POLL_INTERVAL };
        let now = self.renewer.clock.now();
        self.queue.next_due().map_or(poll, |due| poll.min(Instant::now() + time_until(now, due)))
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Used(chain, keep_warm) => {
                if self.queue.track(&chain, self.renewer.clock.now() + keep_warm) {
                    self.plan(&chain);
                }
            }
            Event::LoadEnded(chain) => self.plan(&chain),
            Event::LoadEventsLost => self.plan_all(Urgency::Spread),
            Event::FailuresCleared => self.plan_all(Urgency::Soon),
            Event::SystemChanged => self.system_changed(),
            Event::RenewalEnded(chain) => {
                self.queue.end(&chain);
                self.plan(&chain);
            }
            Event::SessionsDropped => self.drop_chains_without_session(),
            Event::Poll => {}
        }
    }

    fn drop_chains_without_session(&mut self) {
        let Renewer { sessions, .. } = &self.renewer;
        self.queue.retain(|chain| sessions.peek(chain).session.is_some());
        let queue = &self.queue;
        self.renewer.plans().retain(|chain, _| queue.contains(chain));
    }

    /// After the machine woke up, or its clock was set or corrected, failures are cleared and every plan is made again.
    fn check_discontinuities(&mut self) {
        let discontinuities = self.renewer.clock.discontinuities();
        if std::mem::replace(&mut self.discontinuities, discontinuities) != discontinuities {
            tracing::info!("machine woke up, or its clock was set or corrected");
            self.renewer.sessions.clear_all_failures();
            // The answer to a renewal corrects a clock that was set to a wrong time.
            let is_uncertain = self.renewer.clock.is_uncertain();
            self.plan_all(if is_uncertain { Urgency::Soon } else { Urgency::Spread });
        }
    }

    /// Renews overdue sessions that are still valid soon: the network may be lost again. After a wake-up, which many machines
    /// have at the same time, and for expired sessions, which are loaded on their next use, renewals are spread.
    fn system_changed(&mut self) {
        let (is_waking, now) = (self.renewer.clock.is_waking(), self.renewer.clock.now());
        for chain in self.queue.keys() {
            let is_usable = self.renewer.sessions.peek(&chain).session.is_some_and(|session| session.is_usable(now));
            let urgency = if is_usable && !is_waking { Urgency::Soon } else { Urgency::Spread };
            self.plan_with(&chain, urgency);
        }
    }

    fn plan_all(&mut self, urgency: Urgency) {
        for chain in self.queue.keys() {
            self.plan_with(&chain, urgency);
        }
    }

    fn plan(&mut self, chain: &RoleChain) {
        self.plan_with(chain, Urgency::Spread);
    }

    fn plan_with(&mut self, chain: &RoleChain, urgency: Urgency) {
        let sessions = &self.renewer.sessions;
        self.queue.plan(chain, || renewal_state(chain, sessions.peek(chain)), urgency, self.renewer.clock.now());
        self.renewer.set_plan(chain, self.queue.planned(chain));
    }

    fn start_due(&mut self) {
        let now = self.renewer.clock.now();
        let sessions = self.renewer.sessions.clone();
        let next = |queue: &mut RenewalQueue<RoleChain>| {
            queue.next(now, |chain| sessions.refresh_permit(chain), |chain| sessions.peek(chain).session)
        };
        while let Some(due) = next(&mut self.queue) {
            let (Due::Renew(chain) | Due::Later(chain) | Due::Unused(chain)) = &due;
            self.renewer.set_plan(chain, self.queue.planned(chain));
            if let Due::Renew(chain) = due {
                self.renew(chain);
            }
        }
    }

    fn renew(&self, chain: RoleChain) {
        let (sessions, renewer) = (self.renewer.sessions.clone(), self.renewer.clone());
        tokio::spawn(async move {
            // The cache and the log have the outcome.
            drop(sessions.get(&chain, Freshness::Refresh).await);
            // This event must not be lost: without it the chain would never be planned again.
            drop(renewer.events.send(Event::RenewalEnded(chain)).await);
        });
    }
}

fn renewal_state(chain: &RoleChain, known: ChainState) -> RenewalState {
    let failure = known.last_failure.map(|last_failure| RenewalFailure {
        last: last_failure.last,
        failures: last_failure.failures,
        retry_after: last_failure.error.retry_after().unwrap_or_default(),
        may_pass: last_failure.retry_at().is_some(),
        is_of_endpoint: last_failure.error.class() == ErrorClass::Retry,
    });
    RenewalState { session: known.session, failure, needs_mfa_code: chain.needs_interactive_mfa() }
}

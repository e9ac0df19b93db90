//! Renews sessions before they are asked for: one task and one queue of due times, for any number of profiles.
//!
//! A session that was used within its profile's `keep_warm` is renewed at a random point in the middle of its life (B1),
//! for example between 27 and 33 min of an hour. AWS may therefore fail for half of a session's life without an effect. A
//! renewal that fails is repeated with growing pauses. A session that nothing uses expires. Due times are pure functions
//! of `now`; the task also reads the clock every `POLL_INTERVAL`, since timers do not count the time of a suspended
//! machine.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::sessions::{ChainState, Freshness, SessionError, Sessions};
use rolecall_core::clock::{Clock, next_minute, time_until};
use rolecall_core::profile::Profile;
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;
use rolecall_core::single_flight::LastFailure;

/// The longest wait without reading the clock where the system does not report each wake-up (B10), as macOS does not. Linux
/// reports it ([`crate::system_events`]); there the clock is read once a minute, so that an idle processor stays asleep.
const POLL_INTERVAL: Duration = Duration::from_secs(15);
/// The bound of the first pause after a failure (B5). It doubles with each further failure …
const MIN_PAUSE: Duration = Duration::from_secs(5);
/// … up to this.
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// Renewals that are due when the machine wakes up start at random within this time (B10).
const WAKE_JITTER: Duration = Duration::from_secs(3);
/// Renewals in flight at once: half of the calls that STS gets at once, so that a caller never waits for a renewal.
const MAX_IN_FLIGHT: usize = 4;
/// How often the task learns that a profile is in use; a minute more or less does not matter to it.
const USE_REPORT_INTERVAL: Duration = Duration::from_mins(1);
/// Events that may wait. A full queue loses a use, and the next use of the chain sends it again.
const EVENT_CAPACITY: usize = 4096;
/// Changes of plans that a subscriber may lag behind.
const PLAN_CAPACITY: usize = 256;
/// How long before its end the renewal of a session is tried that needs an MFA code from the user, so that the failure
/// shows that the code is needed.
const MFA_NOTICE: Duration = Duration::from_mins(15);

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

/// When a renewal is due, with a number that tells renewals of the same time apart.
type DueAt = (SystemTime, u64);

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
    /// Failures were cleared: their chains may be renewed now.
    FailuresCleared,
    /// Read the clock now.
    Poll,
}

/// The state of the task.
struct Engine {
    /// The clock's count of discontinuities, as read last.
    discontinuities: u64,
    tracked: HashMap<RoleChain, TrackedChain>,
    due: BTreeMap<DueAt, RoleChain>,
    last_number: u64,
    in_flight: usize,
    renewer: Renewer,
}

/// A chain whose session is renewed.
#[derive(Debug, Clone, Copy)]
struct TrackedChain {
    /// When renewing ends, unless the session is used again.
    until: SystemTime,
    /// Its key in `Engine::due`.
    due_at: Option<DueAt>,
    is_loading: bool,
}

/// Returns when a session is renewed: at `share` (0.45 to 0.55) of its life, and with at least 20 min left if its life is
/// longer than 40 min. `None` for a session that does not expire.
#[must_use]
pub fn renew_at(session: &Session, share: f64) -> Option<SystemTime> {
    let end = session.expires()?;
    let life = time_until(session.issued, end);
    let floor = Duration::from_mins(20);
    let spent = life.mul_f64(share.clamp(0.0, 1.0));
    Some(session.issued + if life > 2 * floor { spent.min(life.saturating_sub(floor)) } else { spent })
}

/// Returns the pause after a number of failures in a row: random (`share`) below a bound that doubles from 5 s to 60 s (B5).
#[must_use]
pub fn pause(failures: u32, share: f64) -> Duration {
    let bound = MIN_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(MAX_PAUSE);
    bound.mul_f64(share.clamp(0.0, 1.0)).max(MIN_PAUSE / 5)
}

/// Returns when the next renewal is tried: in the middle of the session's life, or after the pause that follows a failure.
/// `None` where there is no session to renew, or where only the user can end the failure.
#[must_use]
fn next_try(chain: &RoleChain, known: &ChainState, share: f64) -> Option<SystemTime> {
    let session = known.session.as_ref()?;
    match &known.last_failure {
        None if chain.needs_interactive_mfa() => session.expires().map(|end| end - MFA_NOTICE),
        None => renew_at(session, 0.45 + 0.1 * share),
        Some(last_failure) => session.expires().and_then(|_| after(last_failure, share)),
    }
}

fn after(last_failure: &LastFailure<SessionError>, share: f64) -> Option<SystemTime> {
    // A failure that time does not end is not repeated. Callers wait for the failure's time to live; a renewal waits for its
    // own pause, which begins when AWS's Retry-After ends.
    last_failure.retry_at()?;
    let retry_after = last_failure.error.retry_after().unwrap_or_default();
    Some(last_failure.last + retry_after + pause(last_failure.failures, share))
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
        let engine = Engine {
            discontinuities: self.clock.discontinuities(),
            tracked: HashMap::new(),
            due: BTreeMap::new(),
            last_number: 0,
            in_flight: 0,
            renewer: self.clone(),
        };
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

    /// Reports that failures were cleared, for example by a login: they are retried now.
    pub fn failures_cleared(&self) {
        self.send(Event::FailuresCleared);
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
            self.handle(event);
            self.check_discontinuities();
            self.start_due();
        }
    }

    fn next_poll(&self) -> Instant {
        let poll = if cfg!(target_os = "linux") { next_minute() } else { Instant::now() + POLL_INTERVAL };
        match self.next_due() {
            Some(due) if self.in_flight < MAX_IN_FLIGHT => {
                poll.min(Instant::now() + time_until(self.renewer.clock.now(), due))
            }
            // With nothing due, or every place taken, the next event starts the next renewal.
            _ => poll,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Used(chain, keep_warm) => self.track(&chain, keep_warm),
            Event::LoadEnded(chain) => self.plan(&chain),
            Event::LoadEventsLost | Event::FailuresCleared => self.plan_all(),
            Event::RenewalEnded(chain) => {
                self.in_flight = self.in_flight.saturating_sub(1);
                if let Some(tracked) = self.tracked.get_mut(&chain) {
                    tracked.is_loading = false;
                    self.plan(&chain);
                }
            }
            Event::SessionsDropped => self.drop_chains_without_session(),
            Event::Poll => {}
        }
    }

    fn track(&mut self, chain: &RoleChain, keep_warm: Duration) {
        let until = self.renewer.clock.now() + keep_warm;
        if let Some(tracked) = self.tracked.get_mut(chain) {
            tracked.until = until;
            return;
        }
        self.tracked.insert(chain.clone(), TrackedChain { until, due_at: None, is_loading: false });
        self.plan(chain);
    }

    fn drop_chains_without_session(&mut self) {
        let sessions = &self.renewer.sessions;
        self.tracked.retain(|chain, tracked| tracked.is_loading || sessions.peek(chain).session.is_some());
        let tracked = &self.tracked;
        self.due.retain(|_, chain| tracked.contains_key(chain));
        self.renewer.plans().retain(|chain, _| tracked.contains_key(chain));
    }

    /// After the machine woke up, or its clock was set or corrected, failures are cleared and every plan is made again.
    fn check_discontinuities(&mut self) {
        let discontinuities = self.renewer.clock.discontinuities();
        if std::mem::replace(&mut self.discontinuities, discontinuities) != discontinuities {
            tracing::info!("machine woke up, or its clock was set or corrected");
            self.renewer.sessions.clear_all_failures();
            self.plan_all();
        }
    }

    fn plan_all(&mut self) {
        for chain in self.tracked.keys().cloned().collect::<Vec<_>>() {
            self.plan(&chain);
        }
    }

    /// Puts the next renewal of a tracked chain into the queue, in the place of an earlier plan.
    fn plan(&mut self, chain: &RoleChain) {
        let Some(tracked) = self.tracked.get_mut(chain).filter(|tracked| !tracked.is_loading) else { return };
        let now = self.renewer.clock.now();
        // Many chains may be overdue at once.
        let soonest = now + WAKE_JITTER.mul_f64(fastrand::f64());
        let at = next_try(chain, &self.renewer.sessions.peek(chain), fastrand::f64());
        let at = at.map(|at| if at <= now { soonest } else { at });
        if let Some(earlier) = tracked.due_at.take() {
            self.due.remove(&earlier);
        }
        if let Some(at) = at {
            self.last_number += 1;
            tracked.due_at = Some((at, self.last_number));
            self.due.insert((at, self.last_number), chain.clone());
        }
        self.renewer.set_plan(chain, at);
    }

    fn next_due(&self) -> Option<SystemTime> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    fn start_due(&mut self) {
        let now = self.renewer.clock.now();
        while self.in_flight < MAX_IN_FLIGHT && self.next_due().is_some_and(|due| due <= now) {
            let Some((_, chain)) = self.due.pop_first() else { return };
            let Some(tracked) = self.tracked.get_mut(&chain) else { continue };
            tracked.due_at = None;
            if tracked.until <= now {
                // It was not used for `keep_warm`: the session expires, and its next use tracks it again.
                self.tracked.remove(&chain);
            } else {
                tracked.is_loading = true;
                self.in_flight += 1;
                self.renew(chain.clone());
            }
            self.renewer.set_plan(&chain, None);
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

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;

    const T0: SystemTime = SystemTime::UNIX_EPOCH;

    fn session(life: Duration) -> Session {
        let credentials = Credentials::new("AKIDEXAMPLE", "s", None, Some(T0 + life), "test");
        Session { credentials, arn: None, issued: T0, is_clamped: false }
    }

    #[test]
    fn renew_at_middle_of_session_life() {
        for (life, share, expected) in [
            (60, 0.45, 27),
            (60, 0.5, 30),
            (60, 0.55, 33),
            (720, 0.5, 360),
            (43, 0.55, 23), // 20 min are left
            (15, 0.4, 6),
        ] {
            let at = renew_at(&session(Duration::from_mins(life)), share).unwrap();
            assert_eq!(at.duration_since(T0).unwrap().as_secs() / 60, expected, "{life} min at {share}");
        }
        let endless = Credentials::new("AKIDEXAMPLE", "s", None, None, "test");
        assert_eq!(renew_at(&Session { credentials: endless, arn: None, issued: T0, is_clamped: false }, 0.5), None);
    }

    #[test]
    fn pause_doubles_with_jitter_up_to_a_minute() {
        for (failures, most) in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (50, 60)] {
            assert_eq!(pause(failures, 1.0), Duration::from_secs(most));
            assert!(pause(failures, 0.5) <= Duration::from_secs(most) / 2);
            assert_eq!(pause(failures, 0.0), Duration::from_secs(1));
        }
    }
}

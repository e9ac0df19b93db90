//! Renews sessions before anyone asks: one task, one queue of due times, whatever the number of profiles.
//!
//! A session that was used within its profile's `keep_warm` is renewed at a random point in the middle of its life (B1),
//! so that AWS may be down for half of it and nobody notices. A renewal that fails is tried again with growing pauses;
//! what nobody uses any more is left to end by itself. When is a pure function of `now`; the task looks at the clock now and
//! then whatever is planned, since timers do not count the time that a laptop sleeps.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::sessions::{Freshness, Known, SessionError, Sessions};
use rolecall_core::clock::{Clock, next_minute, time_until};
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;
use rolecall_core::single_flight::LastFailure;

/// The longest sleep without a look at the clock where nobody tells that the machine wakes up (B10). Linux does at once
/// ([`crate::system_events`]), and an idle laptop's processor is better left asleep: there it is the next minute.
const LOOK: Duration = Duration::from_secs(15);
/// The pauses after failures grow from here … (B5)
const PAUSE: Duration = Duration::from_secs(5);
/// … to here.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// What is due when the machine wakes up is spread over this (B10).
const SPREAD: Duration = Duration::from_secs(3);
/// Renewals under way at once: half of what STS is asked, so that somebody who waits never waits for these.
const FLYING: usize = 4;
/// Void entries that the queue may carry along beside as many as there are good ones.
const VOID: usize = 64;
/// Events that may wait; a full queue loses a note of use, and the next use makes it again.
const QUEUE: usize = 4096;

/// How long before its end a session that only a person can renew is tried to be renewed, and so said to be wanting.
const SOON: Duration = Duration::from_mins(15);

/// Plans that a watcher may be behind.
const NEWS: usize = 256;

/// Tells the engine what happened, and people what it plans.
#[derive(Clone)]
pub struct Renewer {
    tell: mpsc::Sender<Event>,
    planned: Planned,
    news: broadcast::Sender<RoleChain>,
}

/// When each chain is renewed next: written by the engine alone.
type Planned = Arc<Mutex<HashMap<RoleChain, SystemTime>>>;

/// Everything that makes the engine move, beside time.
enum Event {
    /// A session was handed out; its chain is to be kept warm for that long.
    Used(RoleChain, Duration),
    /// A flight has ended, whoever started_at it.
    Landed(RoleChain),
    /// More flights have ended than could be told.
    Missed,
    /// A renewal of ours has ended.
    Renewed(RoleChain),
    /// The configuration changed: only what is still wanted is kept.
    Changed,
    /// What failed may work now.
    Forgiven,
    /// Look at the clock now.
    Look,
}

/// The engine's memory.
struct Engine {
    sessions: Sessions,
    clock: Clock,
    /// The clock's, as of the last look.
    discontinuities: u64,
    warm: HashMap<RoleChain, TrackedChain>,
    due: BinaryHeap<Reverse<(SystemTime, u64)>>,
    /// The chains of the entries in `due`, by number; an entry without one is void.
    entries: HashMap<u64, RoleChain>,
    next: u64,
    flying: usize,
    renewer: Renewer,
}

/// What is known of a chain that is kept warm.
#[derive(Debug, Clone, Copy)]
struct TrackedChain {
    /// Until when, unless it is used again.
    until: SystemTime,
    /// The entry in the queue that counts.
    entry: Option<u64>,
    /// Whether a renewal is under way.
    is_loading: bool,
}

/// When a session is renewed: at `share` (0.45 to 0.55) of its life, and never with less than twenty minutes left of a
/// life that is longer than forty. `None` for what has no end.
#[must_use]
pub fn renew_at(session: &Session, share: f64) -> Option<SystemTime> {
    let end = session.expires()?;
    let life = time_until(session.issued, end);
    let floor = Duration::from_mins(20);
    let spent = life.mul_f64(share.clamp(0.0, 1.0));
    Some(session.issued + if life > 2 * floor { spent.min(life.saturating_sub(floor)) } else { spent })
}

/// The pause after so many failures in a row: full jitter below a bound that doubles (B5).
#[must_use]
pub fn pause(failures: u32, share: f64) -> Duration {
    let bound = PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(PAUSE_MAX);
    bound.mul_f64(share.clamp(0.0, 1.0)).max(PAUSE / 5)
}

/// When the next renewal is tried: in the middle of the session's life, or a while after the last failure. `None` where there
/// is nothing to renew, or where only a person can help.
#[must_use]
fn next_try(chain: &RoleChain, known: &Known, share: f64) -> Option<SystemTime> {
    let session = known.session.as_ref()?;
    match &known.last_failure {
        // It is theirs to decide when; but what ends soon is to be seen.
        None if chain.needs_interactive_mfa() => session.expires().map(|end| end - SOON),
        None => renew_at(session, 0.45 + 0.1 * share),
        Some(last_failure) => session.expires().and_then(|_| after(last_failure, share)),
    }
}

fn after(last_failure: &LastFailure<SessionError>, share: f64) -> Option<SystemTime> {
    // Time has to help. For how long it is remembered is for callers; here somebody who has time asks, but never before AWS
    // wants to be asked, nor all in the moment in which it does.
    last_failure.retry_at()?;
    let rest = last_failure.error.retry_after().unwrap_or_default();
    Some(last_failure.last + rest + pause(last_failure.failures, share))
}

impl Renewer {
    /// Starts the engine; it ends with `stop`.
    pub fn start(sessions: Sessions, clock: Clock, stop: CancellationToken) -> Self {
        let (tell, told) = mpsc::channel(QUEUE);
        let (news, _) = broadcast::channel(NEWS);
        let renewer = Self { tell, planned: Planned::default(), news };
        let landings = sessions.news();
        let engine = Engine {
            discontinuities: clock.discontinuities(),
            sessions,
            clock,
            warm: HashMap::new(),
            due: BinaryHeap::new(),
            entries: HashMap::new(),
            next: 0,
            flying: 0,
            renewer: renewer.clone(),
        };
        tokio::spawn(engine.run(told, landings, stop));
        renewer
    }

    /// A session of that chain was handed out.
    pub fn used(&self, chain: &RoleChain, keep_warm: Duration) {
        self.tell(Event::Used(chain.clone(), keep_warm));
    }

    /// The configuration changed.
    pub fn changed(&self) {
        self.tell(Event::Changed);
    }

    /// What failed may work now: somebody logged in, or AWS's own files were changed.
    pub fn failures_cleared(&self) {
        self.tell(Event::Forgiven);
    }

    /// Something may be due: the machine woke up, its network changed, or a test turned its clock.
    pub fn peek(&self) {
        self.tell(Event::Look);
    }

    /// When the session of that chain is renewed next, if it is.
    #[must_use]
    pub fn planned(&self, chain: &RoleChain) -> Option<SystemTime> {
        self.plans().get(chain).copied()
    }

    /// The chains whose plans change from now on.
    #[must_use]
    pub fn news(&self) -> broadcast::Receiver<RoleChain> {
        self.news.subscribe()
    }

    fn tell(&self, event: Event) {
        // Full or gone: what is lost is a note of use, which the next use makes again, or a hint to do at once what is done in
        // time.
        drop(self.tell.try_send(event));
    }

    fn plan(&self, chain: &RoleChain, at: Option<SystemTime>) {
        let before = match at {
            Some(at) => self.plans().insert(chain.clone(), at),
            None => self.plans().remove(chain),
        };
        if before != at {
            drop(self.news.send(chain.clone()));
        }
    }

    fn plans(&self) -> MutexGuard<'_, HashMap<RoleChain, SystemTime>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    async fn run(
        mut self,
        mut told: mpsc::Receiver<Event>,
        mut landings: broadcast::Receiver<RoleChain>,
        stop: CancellationToken,
    ) {
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = told.recv() => event,
                landed = landings.recv() => match landed {
                    Ok(chain) => Some(Event::Landed(chain)),
                    Err(RecvError::Lagged(_)) => Some(Event::Missed),
                    Err(RecvError::Closed) => None,
                },
                () = tokio::time::sleep_until(self.next_look()) => Some(Event::Look),
            };
            let Some(event) = event else { return };
            self.take_in(event);
            self.notice_shocks();
            self.renew_what_is_due();
        }
    }

    /// Until when nothing is to be done.
    fn next_look(&self) -> Instant {
        let look = if cfg!(target_os = "linux") { next_minute() } else { Instant::now() + LOOK };
        match self.next_due() {
            Some(due) if self.flying < FLYING => look.min(Instant::now() + time_until(self.clock.now(), due)),
            // Nothing to do, or nobody to do it: the end of a renewal that is under way wakes us.
            _ => look,
        }
    }

    fn take_in(&mut self, event: Event) {
        match event {
            Event::Used(chain, keep_warm) => self.used(&chain, keep_warm),
            Event::Landed(chain) => self.plan(&chain),
            Event::Missed | Event::Forgiven => self.plan_all(),
            Event::Renewed(chain) => {
                self.flying = self.flying.saturating_sub(1);
                if let Some(warm) = self.warm.get_mut(&chain) {
                    warm.is_loading = false;
                    self.plan(&chain);
                }
            }
            Event::Changed => self.forget_what_is_gone(),
            Event::Look => {}
        }
    }

    fn used(&mut self, chain: &RoleChain, keep_warm: Duration) {
        let until = self.clock.now() + keep_warm;
        if let Some(warm) = self.warm.get_mut(chain) {
            warm.until = until;
            return;
        }
        self.warm.insert(chain.clone(), TrackedChain { until, entry: None, is_loading: false });
        self.plan(chain);
    }

    fn forget_what_is_gone(&mut self) {
        let sessions = &self.sessions;
        self.warm.retain(|chain, warm| warm.is_loading || sessions.peek(chain).session.is_some());
        let warm = &self.warm;
        self.entries.retain(|_, chain| warm.contains_key(chain));
        self.renewer.plans().retain(|chain, _| warm.contains_key(chain));
    }

    /// The machine woke up, or its clock was set or corrected: what failed may work now, and what was planned in another time
    /// is planned anew.
    fn notice_shocks(&mut self) {
        let discontinuities = self.clock.discontinuities();
        if std::mem::replace(&mut self.discontinuities, discontinuities) != discontinuities {
            tracing::info!("The machine woke up, or its clock was set or corrected");
            self.sessions.clear_all_failures();
            self.plan_all();
        }
    }

    fn plan_all(&mut self) {
        for chain in self.warm.keys().cloned().collect::<Vec<_>>() {
            self.plan(&chain);
        }
    }

    /// Puts the chain's next renewal into the queue, if it is kept warm and there is one.
    fn plan(&mut self, chain: &RoleChain) {
        let Some(warm) = self.warm.get_mut(chain).filter(|warm| !warm.is_loading) else { return };
        let now = self.clock.now();
        // What is late already is late for many, and need not be so in the same moment.
        let soonest = now + SPREAD.mul_f64(fastrand::f64());
        let at =
            next_try(chain, &self.sessions.peek(chain), fastrand::f64()).map(|at| if at <= now { soonest } else { at });
        if let Some(void) = warm.entry.take() {
            self.entries.remove(&void);
        }
        warm.entry = at.map(|at| {
            self.next += 1;
            self.entries.insert(self.next, chain.clone());
            self.due.push(Reverse((at, self.next)));
            self.next
        });
        if self.due.len() > 2 * self.entries.len() + VOID {
            let entries = &self.entries;
            self.due.retain(|Reverse((_, entry))| entries.contains_key(entry));
        }
        self.renewer.plan(chain, at);
    }

    fn next_due(&self) -> Option<SystemTime> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    fn renew_what_is_due(&mut self) {
        let now = self.clock.now();
        while self.flying < FLYING && self.next_due().is_some_and(|due| due <= now) {
            let Some(Reverse((_, entry))) = self.due.pop() else { return };
            let Some(chain) = self.entries.remove(&entry) else { continue };
            let Some(warm) = self.warm.get_mut(&chain).filter(|warm| warm.entry == Some(entry)) else { continue };
            warm.entry = None;
            if warm.until <= now {
                // Nobody has asked for long enough: it ends by itself, and its next use begins anew.
                self.warm.remove(&chain);
            } else {
                warm.is_loading = true;
                self.flying += 1;
                self.renew(chain.clone());
            }
            self.renewer.plan(&chain, None);
        }
    }

    fn renew(&self, chain: RoleChain) {
        let (sessions, renewer) = (self.sessions.clone(), self.renewer.clone());
        tokio::spawn(async move {
            // How it went is in the cache, and in the log.
            drop(sessions.get(&chain, Freshness::Refresh).await);
            // Waits for a place rather than lose it: without this the chain would never be planned again.
            drop(renewer.tell.send(Event::Renewed(chain)).await);
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
    fn renewal_is_in_the_middle_of_a_session_s_life() {
        for (life, share, expected) in [
            (60, 0.45, 27),
            (60, 0.5, 30),
            (60, 0.55, 33),
            (720, 0.5, 360),
            (43, 0.55, 23), // twenty minutes are left
            (15, 0.4, 6),
        ] {
            let at = renew_at(&session(Duration::from_mins(life)), share).unwrap();
            assert_eq!(at.duration_since(T0).unwrap().as_secs() / 60, expected, "{life} min at {share}");
        }
        let endless = Credentials::new("AKIDEXAMPLE", "s", None, None, "test");
        assert_eq!(renew_at(&Session { credentials: endless, arn: None, issued: T0, is_clamped: false }, 0.5), None);
    }

    #[test]
    fn pauses_grow_with_jitter_and_stay_within_a_minute() {
        for (failures, most) in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (50, 60)] {
            assert_eq!(pause(failures, 1.0), Duration::from_secs(most));
            assert!(pause(failures, 0.5) <= Duration::from_secs(most) / 2);
            assert_eq!(pause(failures, 0.0), Duration::from_secs(1));
        }
    }
}

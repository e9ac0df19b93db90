//! Renews sessions before anyone asks: one task, one queue of due times, whatever the number of profiles.
//!
//! A session that was used within its profile's `keep_warm` is renewed at a random point in the middle of its life (B1),
//! so that AWS may be down for half of it and nobody notices. A renewal that fails is tried again with growing pauses
//! until the session ends; what nobody uses any more is left to end by itself. When is a pure function of `now`; the task
//! looks at the wall clock at least every half minute, since timers do not count the time that a laptop sleeps.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::{SharedTimeSource, left};
use crate::profile::Chain;
use crate::session::Session;
use crate::sessions::{Sessions, Want};

/// The longest sleep without a look at the wall clock (B10).
const LOOK: Duration = Duration::from_secs(30);
/// The pauses after failures grow from here … (B5)
const PAUSE: Duration = Duration::from_secs(5);
/// … to here.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// What is overdue by more than this was slept through: it is spread over [`SPREAD`] rather than done at once.
const OVERSLEPT: Duration = Duration::from_secs(10);
/// See [`OVERSLEPT`] (B10).
const SPREAD: Duration = Duration::from_secs(3);
/// Events that may wait; a full queue loses a note of use, and the next use makes it again.
const QUEUE: usize = 4096;

/// Tells the engine what happened, and people what it plans.
#[derive(Clone)]
pub struct Renewer {
    tell: mpsc::Sender<Event>,
    planned: Planned,
}

/// When each chain is renewed next: written by the engine alone.
type Planned = Arc<Mutex<HashMap<Chain, SystemTime>>>;

/// Everything that makes the engine move, beside time.
enum Event {
    /// A session was handed out; its chain is to be kept warm for that long.
    Used(Chain, Duration),
    /// A renewal has ended, and whether well.
    Landed(Chain, bool),
    /// The configuration changed: only what is still wanted is kept.
    Changed,
    /// Look at the clock now.
    Look,
}

/// The engine's memory.
struct Engine {
    sessions: Sessions,
    time: SharedTimeSource,
    warm: HashMap<Chain, Warm>,
    due: BinaryHeap<Reverse<(SystemTime, u64)>>,
    /// The chains of the entries in `due`, by number; an entry without one is void.
    entries: HashMap<u64, Chain>,
    next: u64,
    renewer: Renewer,
}

/// What is known of a chain that is kept warm.
#[derive(Debug, Clone, Copy)]
struct Warm {
    /// Until when, unless it is used again.
    until: SystemTime,
    /// The entry in the queue that counts.
    entry: Option<u64>,
    /// Renewals that failed in a row.
    failures: u32,
}

/// When a session is renewed: at `share` (0.45 to 0.55) of its life, and never with less than twenty minutes left of a
/// life that is longer than forty. `None` for what has no end.
#[must_use]
pub fn renew_at(session: &Session, share: f64) -> Option<SystemTime> {
    let end = session.expires()?;
    let life = left(session.issued, end);
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

impl Renewer {
    /// Starts the engine; it ends with `stop`.
    pub fn start(sessions: Sessions, time: SharedTimeSource, stop: CancellationToken) -> Self {
        let (tell, told) = mpsc::channel(QUEUE);
        let renewer = Self { tell, planned: Planned::default() };
        let engine = Engine {
            sessions,
            time,
            warm: HashMap::new(),
            due: BinaryHeap::new(),
            entries: HashMap::new(),
            next: 0,
            renewer: renewer.clone(),
        };
        tokio::spawn(engine.run(told, stop));
        renewer
    }

    /// A session of that chain was handed out.
    pub fn used(&self, chain: &Chain, keep_warm: Duration) {
        self.tell(Event::Used(chain.clone(), keep_warm));
    }

    /// The configuration changed.
    pub fn changed(&self) {
        self.tell(Event::Changed);
    }

    /// Something may be due: the machine woke up, or a test turned its clock.
    pub fn look(&self) {
        self.tell(Event::Look);
    }

    /// When the session of that chain is renewed next, if it is.
    #[must_use]
    pub fn planned(&self, chain: &Chain) -> Option<SystemTime> {
        self.plans().get(chain).copied()
    }

    fn tell(&self, event: Event) {
        // Full or gone: what is lost is a note that the next use makes again.
        drop(self.tell.try_send(event));
    }

    fn plans(&self) -> MutexGuard<'_, HashMap<Chain, SystemTime>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    async fn run(mut self, mut told: mpsc::Receiver<Event>, stop: CancellationToken) {
        loop {
            let nap = self.next_due().map_or(LOOK, |due| left(self.time.now(), due).min(LOOK));
            tokio::select! {
                () = stop.cancelled() => return,
                event = told.recv() => match event {
                    Some(event) => self.take_in(event),
                    None => return,
                },
                () = tokio::time::sleep(nap) => {}
            }
            self.renew_what_is_due();
        }
    }

    fn take_in(&mut self, event: Event) {
        let now = self.time.now();
        match event {
            Event::Used(chain, keep_warm) => {
                let fresh = Warm { until: now, entry: None, failures: 0 };
                let warm = self.warm.entry(chain.clone()).or_insert(fresh);
                warm.until = now + keep_warm;
                if warm.entry.is_none() {
                    self.plan(&chain);
                }
            }
            Event::Landed(chain, renewed) => {
                if let Some(warm) = self.warm.get_mut(&chain) {
                    warm.failures = if renewed { 0 } else { warm.failures + 1 };
                    self.plan(&chain);
                }
            }
            Event::Changed => {
                let sessions = &self.sessions;
                self.warm.retain(|chain, _| sessions.peek(chain).is_some());
                let warm = &self.warm;
                self.entries.retain(|_, chain| warm.contains_key(chain));
                self.renewer.plans().retain(|chain, _| warm.contains_key(chain));
            }
            Event::Look => {}
        }
    }

    /// Puts the chain's next renewal into the queue; nothing where there is no session, or none that ends.
    fn plan(&mut self, chain: &Chain) {
        self.renewer.plans().remove(chain);
        let Some(warm) = self.warm.get_mut(chain) else { return };
        warm.entry = None;
        let now = self.time.now();
        let Some(session) = self.sessions.peek(chain).filter(|session| session.is_usable(now)) else { return };
        let at = match warm.failures {
            0 => renew_at(&session, 0.45 + 0.1 * fastrand::f64()),
            failures => Some(now + pause(failures, fastrand::f64())),
        };
        let Some(at) = at else { return };
        self.next += 1;
        warm.entry = Some(self.next);
        self.entries.insert(self.next, chain.clone());
        self.due.push(Reverse((at, self.next)));
        self.renewer.plans().insert(chain.clone(), at);
    }

    fn next_due(&self) -> Option<SystemTime> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    fn renew_what_is_due(&mut self) {
        let now = self.time.now();
        while self.next_due().is_some_and(|due| due <= now) {
            let Some(Reverse((due, entry))) = self.due.pop() else { return };
            let Some(chain) = self.entries.remove(&entry) else { continue };
            let Some(warm) = self.warm.get_mut(&chain).filter(|warm| warm.entry == Some(entry)) else { continue };
            // From here until it has landed there is no plan; `entry` stays, so that a use does not make another.
            self.renewer.plans().remove(&chain);
            if warm.until < now {
                // Nobody has asked for long enough: it ends by itself, and its next use begins anew.
                self.warm.remove(&chain);
            } else {
                let overslept = left(due, now) > OVERSLEPT;
                let delay = if overslept { SPREAD.mul_f64(fastrand::f64()) } else { Duration::ZERO };
                self.renew(chain, delay);
            }
        }
    }

    fn renew(&self, chain: Chain, delay: Duration) {
        let (sessions, renewer) = (self.sessions.clone(), self.renewer.clone());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let outcome = sessions.get(&chain, Want::New).await;
            if let Err(error) = &outcome {
                tracing::warn!(%error, "A renewal failed; the session is used while it lasts");
            }
            // Waits for a place rather than lose it: without this the chain would never be planned again.
            drop(renewer.tell.send(Event::Landed(chain, outcome.is_ok())).await);
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
        Session { credentials, arn: None, issued: T0 }
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
        assert_eq!(renew_at(&Session { credentials: endless, arn: None, issued: T0 }, 0.5), None);
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

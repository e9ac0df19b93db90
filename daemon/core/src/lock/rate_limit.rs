//! The rate limit of passphrase attempts (K1, fault matrix row 104).
//!
//! All clients belong to the same user, so wrong passphrases are counted over all of them. After each one, no passphrase is
//! checked for a pause that grows from 100 ms to 10 s. Up to four clients wait for the end of the pause and are then checked
//! independently of each other, so a right passphrase waits at most 10 s.
//!
//! A program that keeps guessing must not keep the user out. A session (setsid(2)) has therefore one place, since the processes that a
//! program starts are in its session. A client whose session or process has fewer wrong passphrases takes the place of one with
//! more; others are rejected at once.

use std::collections::VecDeque;
use std::time::Duration;

/// The pause after the first wrong passphrase. Each further one doubles it, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// How long after the last wrong passphrase the count starts again at zero.
const FAILURES_TTL: Duration = Duration::from_mins(15);
/// The limit of waiting clients, and so of attempts per pause.
pub(super) const MAX_WAITERS: usize = 4;

/// The limit of remembered clients with wrong passphrases. The oldest makes room.
const MAX_FAILED: usize = 64;

/// The client of a request. What is unknown is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LockClient {
    /// Pid and start time of the process that runs the client.
    pub process: Option<(u32, u64)>,
    /// The session of that process (setsid(2)).
    pub session: Option<u32>,
    /// The name of its program, for messages.
    pub name: Option<String>,
}

/// The place of a waiting client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// A client that waits for the check of its passphrase, or for its result.
#[derive(Debug)]
struct Place {
    ticket: Ticket,
    client: LockClient,
    /// Its passphrase is being checked. Until the check has failed, no other client gets the place: more passphrases than places would
    /// be checked in one pause.
    is_checked: bool,
}

/// How many wrong passphrases there were in a row, for the process that replaces this one.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Failures {
    count: u32,
    /// When the last one was checked, as time since boot.
    last: Duration,
}

/// The wrong passphrases so far and the waiting clients.
#[derive(Debug, Default)]
pub(super) struct UnlockRateLimit {
    failures: u32,
    /// When the last wrong passphrase was checked, as time since boot.
    last: Duration,
    waiting: Vec<Place>,
    tickets: u64,
    /// The clients with wrong passphrases, the last one last.
    failed: VecDeque<LockClient>,
}

/// Returns the pause after `failures` wrong passphrases in a row.
#[must_use]
fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        _ => FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(8)).min(MAX_PAUSE),
    }
}

impl UnlockRateLimit {
    /// Adds a waiting client. Returns its place and how long it has to wait. Errors with the time after which it can try again if
    /// its session already waits, or too many others do, and none of them has more wrong passphrases.
    pub(super) fn enter(&mut self, client: LockClient, now: Duration) -> Result<(Ticket, Duration), Duration> {
        self.expire_failures(now);
        if let Some(rival) = self.rival(&client) {
            let place = &self.waiting[rival];
            if place.is_checked || self.rank(&client) >= self.rank(&place.client) {
                return Err(self.retry_after(now));
            }
            self.waiting.swap_remove(rival);
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.push(Place { ticket, client, is_checked: false });
        Ok((ticket, self.remaining_pause(now)))
    }

    /// Returns the waiting client whose place a new one needs: that of its session, or the one with the most wrong passphrases if
    /// all places are taken.
    fn rival(&self, client: &LockClient) -> Option<usize> {
        let is_same_session = |Place { client: other, .. }: &Place| {
            (client.session.is_some() && other.session == client.session)
                || (client.process.is_some() && other.process == client.process)
        };
        let same = self.waiting.iter().position(is_same_session);
        let is_full = self.waiting.len() >= MAX_WAITERS;
        let rank = |index: &usize| {
            let Place { client, is_checked, .. } = &self.waiting[*index];
            (!is_checked, self.rank(client))
        };
        same.or_else(|| (0..self.waiting.len()).filter(|_| is_full).max_by_key(rank))
    }

    /// Returns the wrong passphrases of a client's session and of its process.
    fn rank(&self, client: &LockClient) -> (usize, usize) {
        let count = |is_same: &dyn Fn(&LockClient) -> bool| self.failed.iter().filter(|failed| is_same(failed)).count();
        (
            count(&|failed| failed.session.is_some() && failed.session == client.session),
            count(&|failed| failed.process.is_some() && failed.process == client.process),
        )
    }

    /// Begins the check of a waiting client. Returns false if another client has got its place.
    pub(super) fn begin_check(&mut self, ticket: Ticket) -> bool {
        let place = self.waiting.iter_mut().find(|place| place.ticket == ticket);
        place.map(|place| place.is_checked = true).is_some()
    }

    /// Removes a waiting client.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.waiting.retain(|place| place.ticket != ticket);
    }

    /// Returns the time after which a rejected client can try again.
    pub(super) fn retry_after(&self, now: Duration) -> Duration {
        self.remaining_pause(now).max(FIRST_PAUSE)
    }

    /// Counts a wrong passphrase. Returns the pause before it is reported and the next one is checked.
    pub(super) fn record_failure(&mut self, client: LockClient, now: Duration) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        if let Some(place) = self.waiting.iter_mut().find(|place| place.is_checked && place.client == client) {
            place.is_checked = false;
        }
        if self.failed.len() >= MAX_FAILED {
            self.failed.pop_front();
        }
        self.failed.push_back(client);
        pause(self.failures)
    }

    /// Sets the count of wrong passphrases to zero.
    pub(super) fn record_success(&mut self) {
        self.failures = 0;
        self.failed.clear();
    }

    /// Returns the wrong passphrases for the process that replaces this one.
    pub(super) const fn snapshot(&self) -> Failures {
        Failures { count: self.failures, last: self.last }
    }

    /// Continues with the wrong passphrases of the process before.
    pub(super) fn resume(&mut self, before: Failures, now: Duration) {
        (self.failures, self.last) = (before.count, before.last.min(now));
    }

    /// Returns the client with the last wrong passphrase.
    pub(super) fn last_failed(&self) -> Option<&LockClient> {
        self.failed.back()
    }

    /// Returns the number of wrong passphrases in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the rest of the current pause.
    fn remaining_pause(&self, now: Duration) -> Duration {
        (self.last + pause(self.failures)).saturating_sub(now)
    }

    fn expire_failures(&mut self, now: Duration) {
        if now.saturating_sub(self.last) >= FAILURES_TTL {
            self.record_success();
        }
    }
}

impl LockClient {
    /// Returns the process as a message names it, for example `process 4711 (python3)`.
    pub(super) fn description(&self) -> Option<String> {
        let (pid, _) = self.process?;
        Some(self.name.as_ref().map_or_else(|| format!("process {pid}"), |name| format!("process {pid} ({name})")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Duration = Duration::from_hours(1);

    /// A client with a session of its own.
    fn client(pid: u32) -> LockClient {
        LockClient { process: Some((pid, 7)), session: Some(pid), name: None }
    }

    fn wait(entered: Result<(Ticket, Duration), Duration>) -> Result<Duration, Duration> {
        entered.map(|(_, wait)| wait)
    }

    #[test]
    fn pause_doubles_up_to_ten_seconds() {
        let millis: Vec<u128> = (0..10).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(millis, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(pause(u32::MAX), MAX_PAUSE);
    }

    #[test]
    fn waiting_time_is_the_rest_of_the_pause() {
        let mut attempts = UnlockRateLimit::default();
        assert_eq!(wait(attempts.enter(client(1), T0)), Ok(Duration::ZERO));
        for _ in 0..20 {
            attempts.record_failure(client(1), T0);
        }
        assert_eq!(wait(attempts.enter(client(2), T0 + Duration::from_secs(4))), Ok(Duration::from_secs(6)));
        assert_eq!(wait(attempts.enter(client(3), T0 + MAX_PAUSE)), Ok(Duration::ZERO));
        attempts.record_success();
        assert_eq!(wait(attempts.enter(client(4), T0 + MAX_PAUSE)), Ok(Duration::ZERO));
        assert_eq!(attempts.record_failure(client(4), T0 + MAX_PAUSE), FIRST_PAUSE);
    }

    /// Fault matrix row 104.
    #[test]
    fn waiting_clients_are_few_and_distinct() {
        let mut attempts = UnlockRateLimit::default();
        let (first, _) = attempts.enter(client(1), T0).unwrap();
        assert_eq!(wait(attempts.enter(client(1), T0)), Err(FIRST_PAUSE), "one at a time");
        for pid in 2..=4 {
            assert_eq!(wait(attempts.enter(client(pid), T0)), Ok(Duration::ZERO));
        }
        assert_eq!(wait(attempts.enter(client(5), T0)), Err(FIRST_PAUSE));
        attempts.leave(Ticket(9));
        assert_eq!(wait(attempts.enter(client(5), T0)), Err(FIRST_PAUSE), "an unknown place frees none");
        attempts.leave(first);
        assert_eq!(wait(attempts.enter(client(5), T0)), Ok(Duration::ZERO));
    }

    /// Fault matrix row 104: a program that guesses, also from many processes, does not keep the user out.
    #[test]
    fn client_without_failures_takes_the_place_of_a_guesser() {
        let of = |pid, session| LockClient { process: Some((pid, 7)), session: Some(session), name: None };
        let mut attempts = UnlockRateLimit::default();
        // The processes of one program are in one session, which has one place.
        let (guess, _) = attempts.enter(of(10, 1), T0).unwrap();
        for pid in 11..100 {
            assert!(attempts.enter(of(pid, 1), T0).is_err(), "{pid}");
        }
        attempts.record_failure(of(10, 1), T0);
        attempts.leave(guess);
        // Four guessers with sessions of their own occupy all places.
        for session in 1..=4 {
            attempts.record_failure(of(10 * session, session), T0);
            assert!(attempts.enter(of(10 * session + 1, session), T0).is_ok());
        }
        assert!(attempts.enter(of(19, 1), T0).is_err(), "its session waits already");
        let (owner, _) = attempts.enter(of(50, 5), T0).unwrap();
        assert!(attempts.begin_check(owner));
        assert_eq!(attempts.waiting.len(), MAX_WAITERS);
        assert!(
            attempts.waiting.iter().all(|place| place.client.session != Some(1)),
            "the one with the most failures left"
        );
        // In one session, the process without failures has precedence.
        let mut attempts = UnlockRateLimit::default();
        attempts.record_failure(of(10, 1), T0);
        let (guess, _) = attempts.enter(of(10, 1), T0).unwrap();
        assert!(attempts.enter(of(20, 1), T0).is_ok());
        assert!(!attempts.begin_check(guess));
        assert!(attempts.enter(of(10, 1), T0).is_err());
        // A place whose passphrase is being checked stays until the check has failed.
        let mut attempts = UnlockRateLimit::default();
        attempts.record_failure(of(10, 1), T0);
        let (guess, _) = attempts.enter(of(10, 1), T0).unwrap();
        assert!(attempts.begin_check(guess));
        assert!(attempts.enter(of(20, 1), T0).is_err());
        attempts.record_failure(of(10, 1), T0);
        assert!(attempts.enter(of(20, 1), T0).is_ok());
    }

    #[test]
    fn waiting_unknown_clients_count_separately() {
        let mut attempts = UnlockRateLimit::default();
        let unknown = LockClient::default;
        let tickets: Vec<_> = (0..MAX_WAITERS).map(|_| attempts.enter(unknown(), T0).unwrap().0).collect();
        assert_eq!(wait(attempts.enter(unknown(), T0)), Err(FIRST_PAUSE));
        attempts.leave(tickets[0]);
        assert_eq!(wait(attempts.enter(unknown(), T0)), Ok(Duration::ZERO));
    }

    /// Fault matrix row 104. Holds for any number of processes and sessions, whether or not they wait for the result.
    #[test]
    fn an_hour_of_guessing_is_at_most_1500_attempts() {
        let (mut attempts, mut now, mut guesses) = (UnlockRateLimit::default(), T0, 0_u32);
        while now < T0 + Duration::from_hours(1) {
            let mut waits = Vec::new();
            while let Ok(entered) = attempts.enter(client(guesses), now) {
                waits.push((guesses, entered));
                guesses += 1;
            }
            now += waits.iter().map(|(_, (_, wait))| *wait).max().unwrap() + Duration::from_millis(1);
            for (pid, (ticket, _)) in waits {
                attempts.record_failure(client(pid), now);
                attempts.leave(ticket);
            }
        }
        assert!((1000..1500).contains(&guesses), "{guesses}");
    }

    /// Fault matrix row 104.
    #[test]
    fn resumed_failures_keep_the_pause() {
        let (mut before, mut attempts) = (UnlockRateLimit::default(), UnlockRateLimit::default());
        for _ in 0..20 {
            before.record_failure(client(1), T0);
        }
        let later = T0 + Duration::from_secs(4);
        attempts.resume(before.snapshot(), later);
        assert_eq!(wait(attempts.enter(client(1), later)), Ok(Duration::from_secs(6)));
        assert_eq!(attempts.record_failure(client(1), later), MAX_PAUSE);
        // A time since another boot.
        attempts.resume(before.snapshot(), Duration::ZERO);
        assert_eq!(wait(attempts.enter(client(2), Duration::ZERO)), Ok(MAX_PAUSE));
    }

    #[test]
    fn failures_expire_after_15_minutes() {
        let mut attempts = UnlockRateLimit::default();
        for _ in 0..9 {
            attempts.record_failure(client(1), T0);
        }
        assert_eq!(wait(attempts.enter(client(1), T0 + FAILURES_TTL)), Ok(Duration::ZERO));
        assert_eq!(attempts.record_failure(client(1), T0 + FAILURES_TTL), FIRST_PAUSE);
        assert_eq!(attempts.last_failed().unwrap().description().unwrap(), "process 1");
    }
}

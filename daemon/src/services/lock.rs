//! The lock and unlock endpoints, the automatic lock, and the check whether a request may be served.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{
    AuditDecision, ErrorBody, ErrorCode, EventKind, LockRequest, LockStatus, ProfileName, UnlockRequest,
};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::approvals::Approvals;
use super::error::AgentError;
use super::event_bus::EventBus;
use super::token_cache::TokenCache;
use crate::audit_log::{AuditLog, Entry, new_record};
use crate::desktop_lock::{Desktop, DesktopError, DesktopEvent};
use crate::renew::Renewer;
use crate::sessions::Sessions;
use rolecall_core::clock::{Clock, next_tick};
use rolecall_core::config::LockRules;
use rolecall_core::lock::{AutoLockReason, DesktopState, Lock, LockClient, LockError, LockTimers};

/// The pause before the desktop is followed again.
const DESKTOP_RETRY_PAUSE: Duration = Duration::from_secs(2);

/// The client that locks or unlocks.
#[derive(Debug, Clone, Default)]
pub struct Locker {
    /// The client's process id, for the log.
    pub pid: Option<u32>,
    /// The process that runs the client. The rate limit of passphrases counts by it and its session.
    pub client: LockClient,
}

/// Locks and unlocks the agent. Locking drops every session and token.
pub struct LockService {
    lock: Lock,
    sessions: Sessions,
    token_cache: Arc<TokenCache>,
    renewer: Renewer,
    events: EventBus,
    audit_log: AuditLog,
    clock: Clock,
    approvals: Arc<Approvals>,
}

impl LockService {
    pub(crate) fn new(
        clock: Clock,
        sessions: Sessions,
        token_cache: Arc<TokenCache>,
        renewer: Renewer,
        events: EventBus,
        audit_log: AuditLog,
        approvals: Arc<Approvals>,
    ) -> Self {
        Self { lock: Lock::new(clock.clone()), sessions, token_cache, renewer, events, audit_log, clock, approvals }
    }

    /// Restores the lock from a file, and stores it there from now on.
    pub fn open(&self, file: PathBuf) {
        if self.lock.load(file) {
            self.sessions.close();
            tracing::info!("lock restored, agent is locked");
        }
    }

    /// Sets the passphrase if the request has one, and locks unless the request only sets it.
    pub async fn lock(&self, request: LockRequest, locker: Locker) -> Result<LockStatus, AgentError> {
        if let Some(passphrase) = request.passphrase {
            let set = self.lock.set_passphrase(passphrase, request.old, locker.client.clone()).await;
            set.map_err(|error| {
                let AgentError(body) = self.rejected("passphrase change rejected", &error, &locker);
                // The error's own hint names `unlock`.
                let is_wrong = matches!(error, LockError::Wrong);
                AgentError(if is_wrong { body.hint("Try again: rolecall lock --passphrase") } else { body })
            })?;
            tracing::info!(pid = locker.pid, "passphrase set");
            self.events.publish(EventKind::Lock);
        }
        if !request.only_set {
            let is_new = self.close().map_err(|error| AgentError(error.body()))?;
            if is_new {
                tracing::info!(pid = locker.pid, "agent locked");
            }
            // Also if it was locked before: an earlier save may have failed.
            self.lock.save().await;
        }
        Ok(self.lock.status())
    }

    /// Unlocks if the passphrase is correct.
    pub async fn unlock(&self, request: UnlockRequest, locker: Locker) -> Result<LockStatus, AgentError> {
        let client = locker.client.clone();
        let unlocked = self.lock.unlock(request.passphrase, client, || self.sessions.reopen()).await;
        if unlocked.map_err(|error| self.rejected("unlock rejected", &error, &locker))? {
            tracing::info!(pid = locker.pid, "agent unlocked");
            self.events.publish(EventKind::Lock);
        }
        Ok(self.lock.status())
    }

    /// Locks when the times of `[lock]` have passed, until `stop`.
    pub async fn auto_lock(&self, stop: CancellationToken) {
        loop {
            self.lock_if_due();
            let left = self.lock.until_auto_lock();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.lock.changed() => {}
                () = tokio::time::sleep_until(next_check(left)), if left.is_some() => {}
            }
        }
    }

    /// Errors with `locked` if the agent is locked. Does not count as a use.
    pub fn check_unlocked(&self) -> Result<(), AgentError> {
        if self.is_locked() { Err(AgentError(self.lock.locked_error())) } else { Ok(()) }
    }

    /// Whether the agent is locked. Does not count as a use.
    pub(super) fn is_locked(&self) -> bool {
        self.lock_if_due();
        self.lock.serving().is_none()
    }

    /// Runs a request that needs a session, and counts it as a use of the agent if it succeeds: a kubeconfig that is always
    /// refused does not keep the agent open. Errors with `locked` if the agent is locked or becomes locked before the request is
    /// done.
    pub(super) async fn while_unlocked<T>(
        &self,
        name: &ProfileName,
        request: impl Future<Output = Result<T, AgentError>>,
    ) -> Result<T, AgentError> {
        self.lock_if_due();
        let locked = || AgentError::new(name, self.lock.locked_error());
        let serving = self.lock.serving().ok_or_else(locked)?;
        let done = tokio::select! {
            biased; // most requests are done when they are first polled
            done = request => Some(done),
            () = serving.cancelled() => None,
        };
        if let Some(done) = done.filter(|_| !serving.is_cancelled()) {
            if done.is_ok() {
                self.lock.record_use();
            }
            return done;
        }
        // The request may have cached its token after the lock cleared the cache.
        self.token_cache.clear();
        Err(locked())
    }

    /// Locks with the desktop, as far as `[lock]` says so, until `stop`.
    pub async fn follow_desktop(&self, stop: CancellationToken) {
        loop {
            let rules = self.lock.rules();
            let has_wish = rules.on_screen_lock || rules.on_sleep;
            self.lock.set_desktop(DesktopState::default());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.lock.rules_changed(rules) => {}
                () = self.lock_with_desktop(rules), if has_wish => {}
            }
        }
    }

    /// Locks with the desktop. If it cannot be followed, tries again on every tick, and the first time after two seconds: the bus may
    /// have restarted.
    async fn lock_with_desktop(&self, rules: LockRules) {
        loop {
            let (was_followed, error) = self.lock_until_failure(rules).await;
            if self.lock.set_desktop(DesktopState { is_followed: false, problem: Some(no_effect(rules, &error)) }) {
                tracing::warn!(%error, "the desktop cannot be followed, so the agent does not lock with it");
            }
            let next = if was_followed { Instant::now() + DESKTOP_RETRY_PAUSE } else { next_tick() };
            tokio::time::sleep_until(next).await;
        }
    }

    /// Returns whether the desktop was followed, and why it is not any longer.
    async fn lock_until_failure(&self, rules: LockRules) -> (bool, DesktopError) {
        let mut desktop = match Desktop::connect(rules).await {
            Ok(desktop) => desktop,
            Err(error) => return (false, error),
        };
        loop {
            let is_followed = desktop.is_followed();
            let absent = (!is_followed).then(|| no_effect(rules, &DesktopError::Absent));
            let problem = absent.or_else(|| desktop.sleep_error().map(sleep_does_not_wait));
            if self.lock.set_desktop(DesktopState { is_followed, problem }) && !is_followed {
                tracing::warn!("logind is not on the system bus, so the agent does not lock with the desktop");
            }
            match desktop.next_event().await {
                Ok(DesktopEvent::Lock(why)) => self.lock_because(why),
                Ok(DesktopEvent::Changed) => {}
                Err(error) => return (true, error),
            }
        }
    }

    /// Locks if a time of `[lock]` has passed. Timers alone do not notice: they stop while a laptop sleeps.
    pub(super) fn lock_if_due(&self) {
        if let Some(why) = self.lock.auto_lock_due() {
            self.lock_because(why);
        }
    }

    fn lock_because(&self, why: AutoLockReason) {
        if !matches!(self.close(), Ok(true)) {
            return;
        }
        let reason = match why {
            AutoLockReason::Idle(limit) => {
                tracing::info!(idle_minutes = limit.as_secs() / 60, "agent locked automatically");
                "idle"
            }
            AutoLockReason::Max(limit) => {
                tracing::info!(max_minutes = limit.as_secs() / 60, "agent locked automatically");
                "max"
            }
            AutoLockReason::ScreenLock => {
                tracing::info!("agent locked with the screen");
                "screen_lock"
            }
            AutoLockReason::Sleep => {
                tracing::info!("agent locked before sleep");
                "sleep"
            }
        };
        let mut record = new_record(&self.clock, "lock", AuditDecision::Allowed);
        record.reason = Some(reason.to_owned());
        self.audit_log.record(Entry { record, client: None });
        let lock = self.lock.clone();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || lock.save_now())),
            Err(_) => lock.save_now(),
        }
    }

    /// Returns whether the agent is locked, and when it locks automatically.
    pub fn status(&self) -> LockStatus {
        self.lock_if_due();
        self.lock.status()
    }

    /// Sets when the agent locks by itself.
    pub(super) fn configure(&self, rules: LockRules) {
        self.lock.configure(rules);
    }

    /// Returns what the next run of the program needs to continue.
    pub(super) fn timers(&self) -> LockTimers {
        self.lock.timers()
    }

    /// Continues where the run before a restart was.
    pub(super) fn resume(&self, timers: LockTimers) {
        if self.lock.resume(timers) {
            self.sessions.close();
        }
    }

    /// Locks, and drops every session and what was made with one. Returns false if the agent was locked before.
    fn close(&self) -> Result<bool, LockError> {
        let is_new = self.lock.lock(|| {
            self.sessions.close();
            self.token_cache.clear();
            self.approvals.clear_answers();
        })?;
        if is_new {
            self.renewer.sessions_dropped();
            self.events.publish(EventKind::Lock);
        }
        Ok(is_new)
    }

    fn rejected(&self, event: &str, error: &LockError, locker: &Locker) -> AgentError {
        match error {
            LockError::Wrong => {
                let LockClient { process, name, .. } = &locker.client;
                let parent = process.map(|(pid, _)| pid);
                let failures = self.lock.failed_attempts();
                tracing::warn!(pid = locker.pid, parent, program = name, failures, %error, "{event}");
            }
            error => tracing::info!(pid = locker.pid, %error, "{event}"),
        }
        AgentError(error.body())
    }
}

/// Returns what the user reads if the desktop cannot be followed.
fn no_effect(rules: LockRules, error: &DesktopError) -> ErrorBody {
    let keys = match (rules.on_screen_lock, rules.on_sleep) {
        (true, false) => "on_screen_lock of [lock] has",
        (false, _) => "on_sleep of [lock] has",
        (true, true) => "on_screen_lock and on_sleep of [lock] have",
    };
    let body = ErrorBody::new(ErrorCode::ConfigInvalid, format!("{keys} no effect: {error}"));
    body.hint("Let your screen locker run: rolecall lock")
}

/// Returns what the user reads if the computer may sleep before the agent is locked.
fn sleep_does_not_wait(error: &DesktopError) -> ErrorBody {
    ErrorBody::new(ErrorCode::ConfigInvalid, format!("sleep does not wait until the agent is locked: {error}"))
}

/// Returns when to check the times: on the next tick, with the other periodic tasks, or when the lock is due before.
fn next_check(left: Option<Duration>) -> Instant {
    let tick = next_tick();
    left.map_or(tick, |left| tick.min(Instant::now() + left))
}

//! The renewal engine as the services see it: it runs in a daemon, and not in `rolecalld --once`.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::renew::Renewer;
use crate::sessions::Sessions;
use rolecall_core::clock::{Clock, time_until};
use rolecall_core::profile::Profile;
use rolecall_core::role_chain::RoleChain;

/// How often the engine learns that a profile is in use; a minute more or less does not matter to it.
const USE_REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// Renews sessions in the background once it is started.
pub struct Renewal {
    sessions: Sessions,
    clock: Clock,
    renewer: OnceLock<Renewer>,
}

impl Renewal {
    pub(crate) const fn new(sessions: Sessions, clock: Clock) -> Self {
        Self { sessions, clock, renewer: OnceLock::new() }
    }

    /// Starts the engine, which runs until `stop`. Without it sessions are renewed on request only.
    pub fn start(&self, stop: CancellationToken) -> &Renewer {
        self.renewer.get_or_init(|| Renewer::start(self.sessions.clone(), self.clock.clone(), stop))
    }

    /// Reports a use of a profile. `last_used` is the use before it.
    pub(super) fn used(&self, profile: &Profile, last_used: Option<SystemTime>) {
        let Some(renewer) = self.renewer.get() else { return };
        let is_reported = last_used.is_some_and(|at| time_until(at, self.clock.now()) < USE_REPORT_INTERVAL);
        if !is_reported || renewer.planned(&profile.chain).is_none() {
            renewer.used(&profile.chain, profile.keep_warm);
        }
    }

    /// Renews a profile's session as long as its last use before a restart allows.
    pub(super) fn resume(&self, profile: &Profile, last_used: SystemTime) {
        let rest = profile.keep_warm.saturating_sub(time_until(last_used, self.clock.now()));
        if let Some(renewer) = self.renewer.get().filter(|_| !rest.is_zero()) {
            renewer.used(&profile.chain, rest);
        }
    }

    /// Drops what the engine plans for chains that have no session any more, or that no profile uses.
    pub(super) fn sessions_changed(&self) {
        if let Some(renewer) = self.renewer.get() {
            renewer.config_changed();
        }
    }

    /// Retries failed renewals now.
    pub(super) fn failures_cleared(&self) {
        if let Some(renewer) = self.renewer.get() {
            renewer.failures_cleared();
        }
    }

    /// Returns when a chain's session is renewed next, if it is.
    pub(super) fn planned(&self, chain: &RoleChain) -> Option<SystemTime> {
        self.renewer.get()?.planned(chain)
    }

    /// Returns the chains whose plans change from now on, if the engine runs.
    pub(super) fn plan_changes(&self) -> Option<broadcast::Receiver<RoleChain>> {
        self.renewer.get().map(Renewer::plan_events)
    }
}

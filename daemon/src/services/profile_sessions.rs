//! A profile's session, with a record of its use.

use std::sync::Arc;

use super::error::AgentError;
use super::profile_activity::ProfileActivity;
use super::renewal::Renewal;
use crate::sessions::{Freshness, Served, Sessions};
use rolecall_core::clock::Clock;
use rolecall_core::profile::Profile;

/// Loads the sessions of profiles for requests.
pub(crate) struct ProfileSessions {
    sessions: Sessions,
    activity: Arc<ProfileActivity>,
    renewal: Arc<Renewal>,
    clock: Clock,
}

impl ProfileSessions {
    pub(crate) const fn new(
        sessions: Sessions,
        activity: Arc<ProfileActivity>,
        renewal: Arc<Renewal>,
        clock: Clock,
    ) -> Self {
        Self { sessions, activity, renewal, clock }
    }

    /// Lets the next load of a profile's session call STS although its endpoint failed before.
    pub(super) fn allow_probe(&self, profile: &Profile) {
        self.sessions.allow_probe(&profile.chain);
    }

    /// Returns a profile's session and records the use.
    pub(super) async fn get(&self, profile: &Profile, freshness: Freshness) -> Result<Served, AgentError> {
        let last_used = self.activity.used(&profile.name, self.clock.now());
        let served = self.get_unused(profile, freshness).await?;
        // Credentials without an expiry are not renewed.
        if served.session.expires().is_some() {
            self.renewal.used(profile, last_used);
        }
        Ok(served)
    }

    /// Returns a profile's session without recording a use, so that the session is not renewed for it.
    pub(super) async fn get_unused(&self, profile: &Profile, freshness: Freshness) -> Result<Served, AgentError> {
        match self.sessions.get(&profile.chain, freshness).await {
            Ok(served) => {
                if profile.chain.steps.is_empty() {
                    Box::pin(self.sessions.learn_time(&profile.chain, &served.session)).await;
                }
                Ok(served)
            }
            Err(error) => {
                let body = error.body(&profile.source_name);
                tracing::debug!(profile = %profile.name, code = %body.code, %error, "session load failed");
                Err(AgentError::new(&profile.name, body))
            }
        }
    }
}

//! The refresh and cluster endpoints, and what other services need of a profile: its session, and its state.

use std::sync::Arc;

use rolecall_protocol::{
    Cluster, ErrorClass, ErrorCode, Problem, ProfileName, ProfileState, ProfileStatus, Refreshed, join_sentences,
};

use super::approvals::Approvals;
use super::config::ConfigService;
use super::error::AgentError;
use super::lock::LockService;
use super::profile_activity::ProfileActivity;
use crate::renew::Renewer;
use crate::sessions::{Freshness, Served, Sessions};
use rolecall_core::clock::Clock;
use rolecall_core::profile::Profile;

/// Loads the sessions of profiles for requests, and reports their state.
pub struct ProfileSessions {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) lock: Arc<LockService>,
    pub(crate) sessions: Sessions,
    pub(crate) activity: Arc<ProfileActivity>,
    pub(crate) renewer: Renewer,
    pub(crate) clock: Clock,
    pub(crate) approvals: Arc<Approvals>,
}

impl ProfileSessions {
    /// Assumes a profile's role again, whatever the cache has, and although the endpoint of STS failed before.
    pub async fn refresh(&self, name: &ProfileName) -> Result<Refreshed, AgentError> {
        let profile = self.config.profile(name)?;
        self.sessions.allow_probe(&profile.chain);
        let served = self.lock.while_unlocked(name, self.get(&profile, Freshness::BypassCache)).await?;
        self.approvals.open(name, self.clock.now());
        self.activity.refreshed(name);
        Ok(Refreshed { session: served.session.status(&self.clock) })
    }

    /// Describes a profile's cluster with the profile's session. This is not a use of the profile:
    /// `rolecall kubeconfig --all` must not start the renewal of every session.
    pub async fn cluster(&self, name: &ProfileName) -> Result<Cluster, AgentError> {
        let profile = self.config.profile(name)?;
        let describe = async {
            let served = self.get_unused(&profile, Freshness::Cached).await?;
            let described = self.sessions.describe(&profile.chain, &served.session, &profile.cluster).await;
            described.map_err(|error| AgentError::new(name, error.body()))
        };
        self.lock.while_unlocked(name, Box::pin(describe)).await
    }

    /// Returns a profile's session and records the use.
    pub(super) async fn get(&self, profile: &Profile, freshness: Freshness) -> Result<Served, AgentError> {
        let last_used = self.activity.used(&profile.name, self.clock.now());
        let served = self.get_unused(profile, freshness).await?;
        // Credentials without an expiry are not renewed.
        if served.session.expires().is_some() {
            self.renewer.used(profile, last_used);
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
                let mut body = error.body(&profile.source_name);
                if body.code == ErrorCode::AccessDenied {
                    let find = format!("To find the cause, run: rolecall doctor {}", profile.name);
                    body.hint = Some(match body.hint {
                        Some(hint) => join_sentences(&hint.to_string(), Some(&find)).into(),
                        None => find.into(),
                    });
                }
                tracing::debug!(profile = %profile.name, code = %body.code, %error, "session load failed");
                Err(AgentError::new(&profile.name, body))
            }
        }
    }

    /// Returns what `status` shows of a profile. Calls nothing.
    pub(super) fn status(&self, profile: &Profile) -> ProfileStatus {
        let (now, clock) = (self.clock.now(), &self.clock);
        let known = self.sessions.peek(&profile.chain);
        let activity = self.activity.of(&profile.name);
        // The engine may still plan a renewal of a session that was just dropped.
        let planned = known.session.as_ref().and_then(|_| self.renewer.planned(&profile.chain));
        let next_renewal = planned.map(|at| clock.stamp(at));
        let is_usable = known.session.as_ref().is_some_and(|session| session.is_usable(now));
        let class = known.last_failure.as_ref().map(|failure| failure.error.class());
        let state = match (class, is_usable) {
            (_, true) => ProfileState::Ready,
            (Some(ErrorClass::Login), false) => ProfileState::LoginNeeded,
            (Some(_), false) => ProfileState::Failed,
            (None, false) if known.session.is_some() => ProfileState::Expired,
            (None, false) => ProfileState::Unused,
        };
        let session_problem = known.last_failure.map(|failure| Problem {
            since: clock.stamp(failure.since),
            class: failure.error.class(),
            retry: next_renewal,
            remembered_until: failure.retry_at().filter(|at| *at > now).map(|at| clock.stamp(at)),
            error: failure.error.body(&profile.source_name),
        });
        let tokens_rejected = activity.tokens_rejected(now).map(|at| clock.stamp(at));
        let token_problem = activity.token_failure.map(|(error, since)| Problem {
            since: clock.stamp(since),
            class: ErrorClass::Change,
            retry: None,
            remembered_until: None,
            error,
        });
        ProfileStatus {
            name: profile.name.clone(),
            cluster: profile.cluster.clone(),
            region: profile.chain.region.clone(),
            source: profile.source_name.clone(),
            role_arn: profile.chain.steps.last().map(|step| step.role.clone()),
            protected: profile.protected,
            state,
            session: known.session.filter(|_| is_usable).map(|session| session.status(clock)),
            next_renewal,
            last_used: activity.last_used.map(|used| clock.stamp(used)),
            problem: session_problem.or(token_problem),
            tokens_rejected,
            included_from: None,
            overrides: None,
        }
    }
}

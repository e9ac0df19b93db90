//! What is dropped from the cache, and when: sessions after a logout or a lock, failures once their cause may be gone.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use rolecall_protocol::ErrorClass;
use tokio_util::sync::CancellationToken;

use super::{Freshness, SessionError, Sessions};
use rolecall_aws::error::AwsErrorKind;
use rolecall_core::config::SourceConfig;
use rolecall_core::role_chain::{RoleChain, StsEndpoint};

impl Sessions {
    /// Drops every session, cancels every load, and loads nothing until [`Sessions::reopen`].
    pub fn close(&self) {
        self.cache.close();
        self.mfa_codes.clear();
        self.load_cancellation().cancel();
        self.sources.aws_profiles().sso().cancel_refreshes();
    }

    /// Loads sessions again after [`Sessions::close`].
    pub fn reopen(&self) {
        *self.load_cancellation() = CancellationToken::new();
        self.cache.open();
    }

    pub(super) fn load_cancellation(&self) -> MutexGuard<'_, CancellationToken> {
        self.load_cancellation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops every session that was made from one of the sources which `is_ended` names, and cancels the loads for them.
    /// Returns how many of these sessions were usable.
    pub fn forget(&self, is_ended: impl Fn(&SourceConfig) -> bool) -> usize {
        let now = self.now();
        let is_affected = |chain: &RoleChain| {
            let dependencies = self.dependencies(std::iter::once(chain));
            dependencies.iter().any(|dependency| is_ended(&dependency.source))
        };
        let affected: HashSet<RoleChain> = self.cache.keys().into_iter().filter(|chain| is_affected(chain)).collect();
        // The roles of the source's AWS profile, and the source without MFA, end with it.
        let affected = self.dependencies(affected.iter());
        let usable =
            self.all().iter().filter(|(chain, session)| affected.contains(chain) && session.is_usable(now)).count();
        self.cache.retain(|chain| !affected.contains(chain));
        usable
    }

    /// Drops the failures of a chain and of everything from which it is made, for example because its profile changed.
    pub fn clear_failures(&self, chain: &RoleChain) {
        let dependencies = self.dependencies(std::iter::once(chain));
        self.cache.clear_failures(|failed| dependencies.contains(failed), |_| true);
    }

    /// Drops the failures that a login ends.
    pub fn clear_login_failures(&self) {
        self.cache.clear_failures(|_| true, |error| error.class() == ErrorClass::Login);
    }

    /// AWS's files changed, for example by a login of the AWS CLI: sources are loaded again on their next use, and their
    /// failures are dropped. Endpoints that could not be reached are tried again: the files may name others.
    pub fn aws_files_changed(&self) {
        self.states.files_changed(self.now());
        self.reload_access_keys();
        self.aws.breakers().allow_probe(|_| true, |failure| failure.kind == AwsErrorKind::Throttled, self.now());
        self.cache.clear_failures(|_| true, |error| error.is_of_the_source() || is_of_the_network(error));
    }

    /// Lets the next load of a chain call STS although its endpoint failed before, for a user who asks again. The rate limit
    /// holds, and where AWS throttles, its pause stays.
    pub fn allow_probe(&self, chain: &RoleChain) {
        let endpoints: HashSet<StsEndpoint> =
            self.dependencies(std::iter::once(chain)).iter().map(RoleChain::endpoint).collect();
        let breakers = self.aws.breakers();
        breakers.allow_probe(
            |endpoint| endpoints.contains(endpoint),
            |failure| failure.kind == AwsErrorKind::Throttled,
            self.now(),
        );
    }

    /// Loads long-lived access keys again at once: sessions that were made with a replaced key end with it.
    fn reload_access_keys(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        for (chain, session) in self.all() {
            if chain.is_base() && session.expires().is_none() {
                let sessions = self.clone();
                runtime.spawn(async move { sessions.get(&chain, Freshness::Cached).await.map(drop) });
            }
        }
    }

    /// Drops the failures that another network may not have. Where AWS throttles, its pause stays.
    pub fn clear_network_failures(&self) {
        self.aws.breakers().reset(|failure| failure.kind == AwsErrorKind::Throttled);
        self.cache.clear_failures(|_| true, is_of_the_network);
    }

    /// Drops every failure: after the machine woke up or its clock was corrected, each cause may be gone.
    pub fn clear_all_failures(&self) {
        self.aws.breakers().reset(|failure| failure.kind == AwsErrorKind::Throttled);
        self.cache.clear_failures(|_| true, |_| true);
    }
}

/// Whether another network, or another endpoint, may not have the failure.
fn is_of_the_network(error: &SessionError) -> bool {
    error.class() == ErrorClass::Retry && !error.is_throttled()
}

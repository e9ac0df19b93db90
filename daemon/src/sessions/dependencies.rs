//! What role chains are made from: shorter chains, sources, and the logins and MFA devices that these need.

use std::collections::HashSet;

use rolecall_aws::source::Login;
use rolecall_core::role_chain::RoleChain;
use rolecall_protocol::ErrorClass;

use super::{SessionFailure, Sessions};

impl Sessions {
    /// Returns the chains and everything from which they are made, as far as it is recorded.
    pub fn dependencies<'a>(&self, chains: impl Iterator<Item = &'a RoleChain>) -> HashSet<RoleChain> {
        self.states.dependencies(chains.cloned())
    }

    /// Returns the login that a source needs, as far as it is recorded.
    #[must_use]
    pub fn login_of(&self, source: &RoleChain) -> Option<Login> {
        self.states.login_of(source)
    }

    /// Returns the source with MFA from which a source is made, itself or one to which its AWS profile leads.
    #[must_use]
    pub fn mfa_source(&self, source: &RoleChain) -> Option<RoleChain> {
        let mut dependencies = self.dependencies(std::iter::once(source)).into_iter();
        dependencies.find(|chain| chain.is_base() && chain.source.mfa.is_some())
    }

    /// Records from AWS's files what a source depends on, where no load has done so yet. Calls nothing.
    pub async fn resolve_from_files(&self, source: &RoleChain) {
        let (mut next, mut resolved) = (vec![source.clone()], HashSet::new());
        while let Some(chain) = next.pop() {
            for below in chain.prefixes().filter(RoleChain::is_base) {
                // AWS profiles may lead to each other in a circle, which loading reports.
                if !resolved.insert(below.clone()) {
                    continue;
                }
                if self.states.is_unknown(&below) && below.source.mfa.is_none() {
                    let (upstream, login) = self.sources.aws_profiles().resolve_from_files(&below).await;
                    self.states.set_upstream(&below, upstream);
                    self.states.set_login(&below, login);
                }
                next.extend(self.states.upstream(&below));
            }
        }
    }

    /// Returns the failure of a chain, or of anything from which it is made, that a login ends.
    #[must_use]
    pub fn login_failure(&self, chain: &RoleChain) -> Option<SessionFailure> {
        let dependencies = self.dependencies(std::iter::once(chain));
        let failures = dependencies.iter().filter_map(|dependency| self.cache.peek(dependency).last_failure);
        failures.map(|last_failure| last_failure.error).find(|error| error.class() == ErrorClass::Login)
    }
}

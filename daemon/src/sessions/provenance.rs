//! What a cached session was made from, and what AWS's files say of the sources.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use rolecall_aws::source::{Login, Principal};
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;

/// A session as the cache keeps it.
#[derive(Debug)]
pub(super) struct CachedSession {
    pub(super) session: Arc<Session>,
    pub(super) provenance: Provenance,
    /// When the load of the session began. A source's session from before a change of AWS's files is loaded again.
    pub(super) load_started_at: SystemTime,
}

/// Which source gave the base credentials that a session was made from, and whose they were.
///
/// A session is current while its source gives the same principal's credentials: sessions that were made with a replaced
/// access key, or before another login, are not served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The source, as a role chain without steps and without MFA.
    pub(super) source: RoleChain,
    /// Whose credentials the source gave; `None` where nothing tells one owner from another.
    pub(super) principal: Option<Principal>,
}

impl Provenance {
    /// As another process can use it: logins are counted per process, so they are left out.
    pub(super) fn for_next_process(&self) -> Self {
        let principal = self.principal.clone().filter(|principal| matches!(principal, Principal::AccessKey(_)));
        Self { source: self.source.clone(), principal }
    }
}

/// What AWS's files, and AWS's answers, say of sources and roles. It stays where no session is cached: a login is missing
/// exactly then.
#[derive(Debug, Default)]
pub(super) struct SourceStates(Mutex<States>);

#[derive(Debug, Default)]
struct States {
    /// By the chain of the source alone.
    by_source: HashMap<RoleChain, SourceState>,
    /// Chains whose last role AWS grants for an hour at most, although an MFA code is sent.
    one_hour: HashSet<RoleChain>,
    /// When AWS's files changed last.
    files_changed_at: Option<SystemTime>,
}

#[derive(Debug, Clone, Default)]
struct SourceState {
    /// The role that its AWS profile names, as a chain.
    upstream: Option<RoleChain>,
    /// The login that it needs.
    login: Option<Login>,
}

impl SourceStates {
    /// Records that AWS's files changed.
    pub(super) fn files_changed(&self, now: SystemTime) {
        self.states().files_changed_at = Some(now);
    }

    /// Whether AWS's files changed after a load began.
    pub(super) fn is_superseded(&self, load_started_at: SystemTime) -> bool {
        self.states().files_changed_at.is_some_and(|changed| load_started_at <= changed)
    }

    /// Whether nothing was recorded of a source yet.
    pub(super) fn is_unknown(&self, source: &RoleChain) -> bool {
        !self.states().by_source.contains_key(source)
    }

    /// Records the chain to which the AWS profile of a source leads.
    pub(super) fn set_upstream(&self, source: &RoleChain, upstream: Option<RoleChain>) {
        self.states().by_source.entry(source.clone()).or_default().upstream = upstream;
    }

    /// Returns the chain to which the AWS profile of a source leads.
    pub(super) fn upstream(&self, source: &RoleChain) -> Option<RoleChain> {
        self.states().by_source.get(source)?.upstream.clone()
    }

    /// Returns every source whose AWS profile leads to a role, with that chain.
    pub(super) fn upstreams(&self) -> Vec<(RoleChain, RoleChain)> {
        let states = self.states();
        states.by_source.iter().filter_map(|(source, state)| Some((source.clone(), state.upstream.clone()?))).collect()
    }

    /// Returns the source whose credentials a chain is made from in the end: without MFA, and behind the roles of AWS
    /// profiles.
    pub(super) fn root_source(&self, chain: &RoleChain) -> RoleChain {
        let states = self.states();
        let (mut source, mut visited) = (chain.without_mfa(), HashSet::new());
        // AWS profiles that lead to each other in a circle give no credentials.
        while let Some(upstream) = states.by_source.get(&source).and_then(|state| state.upstream.as_ref()) {
            if !visited.insert(std::mem::replace(&mut source, upstream.without_mfa())) {
                break;
            }
        }
        source
    }

    /// Records the login that a source needs.
    pub(super) fn set_login(&self, source: &RoleChain, login: Option<Login>) {
        self.states().by_source.entry(source.clone()).or_default().login = login;
    }

    /// Returns the login that a source itself needs.
    pub(super) fn own_login(&self, source: &RoleChain) -> Option<Login> {
        self.states().by_source.get(source)?.login.clone()
    }

    /// Returns the login that a source, or what its AWS profile leads to, needs.
    pub(super) fn login_of(&self, source: &RoleChain) -> Option<Login> {
        self.dependencies(std::iter::once(source.clone())).iter().find_map(|chain| self.own_login(chain))
    }

    /// Records that AWS grants the last role of a chain for an hour at most.
    pub(super) fn set_one_hour(&self, chain: &RoleChain) {
        self.states().one_hour.insert(chain.clone());
    }

    /// Whether AWS is known to grant the last role of a chain for an hour at most.
    pub(super) fn is_one_hour(&self, chain: &RoleChain) -> bool {
        self.states().one_hour.contains(chain)
    }

    /// Returns the chains and everything from which they are made: shorter chains, sources, and the chains to which the
    /// AWS profiles of sources lead.
    pub(super) fn dependencies(&self, chains: impl Iterator<Item = RoleChain>) -> HashSet<RoleChain> {
        let states = self.states();
        let (mut all, mut next) = (HashSet::new(), chains.collect::<Vec<_>>());
        while let Some(chain) = next.pop() {
            for prefix in chain.prefixes() {
                let upstream = states.by_source.get(&prefix).and_then(|state| state.upstream.as_ref());
                next.extend(upstream.filter(|upstream| !all.contains(*upstream)).cloned());
                all.insert(prefix);
            }
        }
        all
    }

    /// Drops what is recorded of chains that are not wanted.
    pub(super) fn retain(&self, wanted: &HashSet<RoleChain>) {
        let mut states = self.states();
        states.by_source.retain(|source, _| wanted.contains(source));
        states.one_hour.retain(|chain| wanted.contains(chain));
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rolecall_core::config::{SourceConfig, SourceKind};

    use super::*;

    fn source(name: &str) -> RoleChain {
        let source = SourceConfig::plain(SourceKind::AwsProfile(name.to_owned()));
        RoleChain::new(source, "us-east-1".parse().unwrap(), Vec::new())
    }

    #[test]
    fn provenance_next_process_gets_access_key_but_no_login() {
        let made_from = |principal| Provenance { source: source("work"), principal: Some(principal) };
        let by_key = made_from(Principal::AccessKey("AKIDEXAMPLE".into()));
        assert_eq!(by_key.for_next_process(), by_key);
        let text = serde_json::to_string(&by_key).unwrap();
        assert_eq!(serde_json::from_str::<Provenance>(&text).unwrap(), by_key);
        assert_eq!(made_from(Principal::Login(1)).for_next_process().principal, None);
    }

    #[test]
    fn dependencies_follow_aws_profiles_even_in_a_circle() {
        let states = SourceStates::default();
        let (work, hub) = (source("work"), source("hub"));
        states.set_upstream(&work, Some(hub.clone()));
        states.set_upstream(&hub, Some(work.clone()));
        assert_eq!(states.dependencies(std::iter::once(work.clone())), HashSet::from([work, hub]));
    }

    #[test]
    fn root_source_follows_the_aws_profile_as_it_is_now() {
        let states = SourceStates::default();
        let (work, base) = (source("work"), source("base"));
        states.set_upstream(&work, Some(base.clone()));
        assert_eq!(states.root_source(&work), base);
        // The AWS profile has an access key of its own now.
        states.set_upstream(&work, None);
        assert_eq!(states.root_source(&work), work);
        states.set_upstream(&base, Some(work.clone()));
        states.set_upstream(&work, Some(base));
        states.root_source(&work); // a circle ends
    }
}

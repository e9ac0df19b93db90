//! What the process hands to the next one on a restart, and takes from the one before.

use std::sync::Arc;

use super::Sessions;
use super::provenance::{CachedSession, Provenance};
use rolecall_aws::source::Principal;
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;

impl Sessions {
    /// Returns every cached session with its chain and what it was made from.
    #[must_use]
    pub fn export(&self) -> Vec<(RoleChain, Arc<Session>, Provenance)> {
        let exported = |(chain, cached): (RoleChain, Arc<CachedSession>)| {
            (chain, Arc::clone(&cached.session), cached.provenance.for_next_process())
        };
        self.current().map(exported).collect()
    }

    /// Returns the provenance of a session that the process before this one recorded without: from the access keys that
    /// its sources gave.
    #[must_use]
    pub fn provenance_by_keys(&self, chain: &RoleChain, keys: &[(RoleChain, String)]) -> Provenance {
        let source = self.states.root_source(chain);
        let key = keys.iter().find(|(of, _)| *of == source);
        let principal = key.map(|(_, id)| Principal::AccessKey(id.as_str().into()));
        Provenance { source, principal }
    }

    /// Puts a session of the process before this one into the cache, unless there is one. The upstreams are set before, see
    /// [`Sessions::set_upstream`].
    pub fn restore(&self, chain: &RoleChain, session: Session, provenance: Provenance) {
        let load_started_at = session.issued;
        self.cache.insert_if_absent(chain, CachedSession { session: Arc::new(session), provenance, load_started_at });
    }

    /// Returns every source whose AWS profile leads to a role, with the chain of that role.
    #[must_use]
    pub fn upstreams(&self) -> Vec<(RoleChain, RoleChain)> {
        self.states.upstreams()
    }

    /// Records to which role the AWS profile of a source leads.
    pub fn set_upstream(&self, source: &RoleChain, upstream: RoleChain) {
        self.states.set_upstream(source, Some(upstream));
    }
}

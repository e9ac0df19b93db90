//! What the process hands to the next one on a restart, and takes from the one before.

use std::sync::Arc;

use super::Sessions;
use super::provenance::{CachedSession, Provenance};
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;

impl Sessions {
    /// Returns every cached session with its chain and, where it is recorded, what it was made from.
    #[must_use]
    pub fn export(&self) -> Vec<(RoleChain, Arc<Session>, Option<Provenance>)> {
        let exported = |(chain, cached): (RoleChain, Arc<CachedSession>)| {
            let provenance = cached.provenance.as_ref().map(Provenance::for_next_process);
            (chain, Arc::clone(&cached.session), provenance)
        };
        self.current().map(exported).collect()
    }

    /// Puts a session of the process before this one into the cache, unless there is one.
    pub fn restore(&self, chain: &RoleChain, session: Session, provenance: Option<Provenance>) {
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

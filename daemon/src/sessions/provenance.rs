//! What is known of sources beside their sessions: when they were asked last, and what they turned out to build on.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rolecall_aws::source::{Login, Owner};
use rolecall_core::role_chain::RoleChain;

/// By the chain of the source alone.
#[derive(Debug, Default)]
pub(super) struct Bases(Mutex<State>);

/// Whose credentials something stands on, by the sources' chains.
pub(super) type Lineage = HashMap<RoleChain, Option<Owner>>;

#[derive(Debug, Default)]
struct State {
    by_chain: HashMap<RoleChain, Base>,
    /// When AWS's own files were changed last.
    changed: Option<SystemTime>,
}

#[derive(Debug, Clone, Default)]
struct Base {
    /// When the source was asked last.
    asked: Option<SystemTime>,
    /// The role that its AWS profile names, if it does.
    through: Option<RoleChain>,
    /// The login that it depends on.
    login: Option<Login>,
    /// Whose credentials it gave last.
    owner: Option<Owner>,
    /// Whether AWS does not take what it gave any more.
    is_rejected: bool,
    /// The longest that AWS grants for a role is an hour.
    is_short: bool,
}

impl Bases {
    /// AWS's own files were changed: what sources gave is to be asked for anew.
    pub(super) fn files_changed(&self, now: SystemTime) {
        self.state().changed = Some(now);
    }

    /// Whether AWS's own files were changed after the source was asked.
    pub(super) fn is_superseded(&self, chain: &RoleChain) -> bool {
        let state = self.state();
        let asked = state.by_chain.get(chain).and_then(|base| base.asked);
        let is_rejected = state.by_chain.get(chain).is_some_and(|base| base.is_rejected);
        is_rejected || state.changed.is_some_and(|changed| asked.is_none_or(|asked| asked <= changed))
    }

    /// Notes that a source was asked, at a time from before that.
    pub(super) fn asked(&self, chain: &RoleChain, at: SystemTime) {
        let mut state = self.state();
        let base = state.by_chain.entry(chain.clone()).or_default();
        (base.asked, base.is_rejected) = (Some(at), false);
    }

    /// Notes what a source's AWS profile leads to.
    pub(super) fn leads_through(&self, chain: &RoleChain, through: Option<RoleChain>) {
        self.state().by_chain.entry(chain.clone()).or_default().through = through;
    }

    /// What a source's AWS profile leads to, as far as that is known.
    pub(super) fn through(&self, chain: &RoleChain) -> Option<RoleChain> {
        self.state().by_chain.get(chain)?.through.clone()
    }

    /// Notes on which login a source depends.
    pub(super) fn depends_on(&self, chain: &RoleChain, login: Option<Login>) {
        self.state().by_chain.entry(chain.clone()).or_default().login = login;
    }

    /// The login that a source, or what its AWS profile leads to, depends on.
    pub(super) fn login_of(&self, chain: &RoleChain) -> Option<Login> {
        let foundations = self.foundations(std::iter::once(chain.clone()));
        let state = self.state();
        foundations.iter().find_map(|chain| state.by_chain.get(chain)?.login.clone())
    }

    /// Notes that AWS does not take what a source gave.
    pub(super) fn rejected(&self, chain: &RoleChain) {
        self.state().by_chain.entry(chain.clone()).or_default().is_rejected = true;
    }

    /// Whether AWS does not take what a source gave, and nothing newer has come since.
    pub(super) fn is_rejected(&self, chain: &RoleChain) -> bool {
        self.state().by_chain.get(chain).is_some_and(|base| base.is_rejected)
    }

    /// Notes that a role's sessions last an hour at most.
    pub(super) fn lasts_an_hour(&self, chain: &RoleChain) {
        self.state().by_chain.entry(chain.clone()).or_default().is_short = true;
    }

    /// Whether a role's sessions last an hour at most, as far as that is known.
    pub(super) fn is_short(&self, chain: &RoleChain) -> bool {
        self.state().by_chain.get(chain).is_some_and(|base| base.is_short)
    }

    /// Whether nothing is known of a source yet.
    pub(super) fn is_unknown(&self, chain: &RoleChain) -> bool {
        !self.state().by_chain.contains_key(chain)
    }

    /// Notes whose credentials a source gives. True if they are another's than before, perhaps.
    pub(super) fn gives(&self, chain: &RoleChain, owner: Option<Owner>) -> bool {
        let mut state = self.state();
        let base = state.by_chain.entry(chain.clone()).or_default();
        std::mem::replace(&mut base.owner, owner) != base.owner
    }

    /// The sources that depend on a login.
    pub(super) fn of_login(&self, login: &Login) -> Vec<RoleChain> {
        let state = self.state();
        let depends =
            |(_, base): &(&RoleChain, &Base)| base.login.as_ref().is_some_and(|own| own.is_shared_with(login));
        state.by_chain.iter().filter(depends).map(|(chain, _)| chain.clone()).collect()
    }

    /// Whose credentials a chain stands on.
    pub(super) fn lineage(&self, chain: &RoleChain) -> Lineage {
        let foundations = self.foundations(std::iter::once(chain.clone()));
        let state = self.state();
        let owner = |chain: RoleChain| {
            let owner = state.by_chain.get(&chain)?.owner.clone();
            Some((chain, owner))
        };
        foundations.into_iter().filter_map(owner).collect()
    }

    /// Whether a chain stands on the same ones still. What the configuration no longer has makes no difference.
    pub(super) fn is_of(&self, chain: &RoleChain, lineage: &Lineage) -> bool {
        self.lineage(chain).iter().all(|(base, owner)| lineage.get(base).and_then(Option::as_ref) == owner.as_ref())
    }

    /// Every long-lived key that is known, by its id, to be passed on.
    pub(super) fn all_keys(&self) -> Vec<(RoleChain, String)> {
        let state = self.state();
        let key = |(chain, base): (&RoleChain, &Base)| match &base.owner {
            Some(Owner::Keys(key)) => Some((chain.clone(), key.clone())),
            Some(Owner::Login(_)) | None => None,
        };
        state.by_chain.iter().filter_map(key).collect()
    }

    /// Those chains with everything that they build on.
    pub(super) fn foundations(&self, chains: impl Iterator<Item = RoleChain>) -> HashSet<RoleChain> {
        let state = self.state();
        let (mut all, mut next) = (HashSet::new(), chains.collect::<Vec<_>>());
        while let Some(chain) = next.pop() {
            for prefix in chain.prefixes() {
                if let Some(through) = state.by_chain.get(&prefix).and_then(|base| base.through.clone())
                    && !all.contains(&through)
                {
                    next.push(through);
                }
                all.insert(prefix);
            }
        }
        all
    }

    /// What leads to what, to be passed on.
    pub(super) fn all_through(&self) -> Vec<(RoleChain, RoleChain)> {
        let state = self.state();
        state.by_chain.iter().filter_map(|(chain, base)| Some((chain.clone(), base.through.clone()?))).collect()
    }

    /// Forgets sources that nobody wants any more.
    pub(super) fn retain(&self, wanted: &HashSet<RoleChain>) {
        self.state().by_chain.retain(|chain, _| wanted.contains(chain));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

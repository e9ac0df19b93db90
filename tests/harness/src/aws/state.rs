//! The state of the embedded AWS, behind one lock.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::access::{Access, AccessEntry, Grantee};
use super::call_log::Calls;
use super::cluster::Cluster;
use super::eks::cluster_config::Updates;
use super::fault::Faults;
use super::identity::Identities;
use super::sso::records::Center;
use crate::aws::sigv4::TOLERANCE;
use crate::clock::Clock;

#[derive(Debug)]
pub(crate) struct AwsState {
    /// How far the time of a request may differ from the clock.
    pub(crate) tolerance: Duration,
    pub(crate) identities: Identities,
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) access: Access,
    /// An earlier state of the access entries, and for how many more lookups API servers still see it.
    pub(crate) earlier_access: Option<(usize, Access)>,
    pub(crate) updates: Updates,
    /// The most items of one page of EKS.
    pub(crate) page_size: usize,
    pub(crate) faults: Faults,
    pub(crate) calls: Calls,
    pub(crate) sso: Center,
    /// Whether STS names the trust policy that denies a call.
    pub(crate) names_trust_policies: bool,
    /// Regions in which the account has not activated STS.
    pub(crate) regions_without_sts: BTreeSet<String>,
}

#[derive(Debug)]
pub(crate) struct SharedAws {
    pub(crate) clock: Clock,
    state: Mutex<AwsState>,
    /// Notified when a call begins or ends.
    changed: Condvar,
}

impl AwsState {
    fn new() -> Self {
        Self {
            tolerance: TOLERANCE,
            identities: Identities::default(),
            clusters: Vec::new(),
            access: Access::default(),
            earlier_access: None,
            updates: Updates::default(),
            page_size: 100,
            faults: Faults::default(),
            calls: Calls::default(),
            sso: Center::default(),
            names_trust_policies: false,
            regions_without_sts: BTreeSet::new(),
        }
    }
}

impl AwsState {
    /// Adds an access entry of a principal, or replaces it, without the validation of EKS.
    pub(crate) fn grant(&mut self, cluster: &str, region: &str, principal: &str, now: SystemTime) -> &mut AccessEntry {
        let known = self.clusters.iter().find(|known| known.name == cluster && known.region == region);
        let other = || format!("arn:aws:eks:{region}:111122223333:cluster/{cluster}");
        let arn = known.map_or_else(other, Cluster::arn);
        let user = || self.identities.user(principal).map(|user| user.user_id);
        let id = self.identities.role(principal).map(|role| role.id.clone()).or_else(user);
        let entries = self.access.entries(cluster, region);
        entries.insert(principal.to_owned(), AccessEntry::new(&arn, principal, id, now));
        entries.get_mut(principal).expect("the entry was just stored")
    }

    /// Finds the Kubernetes user of a canonical ARN, as an API server sees the access entries.
    pub(crate) fn grantee(
        &mut self,
        cluster: &str,
        region: &str,
        canonical: &str,
        id: Option<&str>,
    ) -> Option<Grantee> {
        if let Some((lookups, earlier)) = &mut self.earlier_access
            && *lookups > 0
        {
            *lookups -= 1;
            return earlier.find(cluster, region, canonical, id);
        }
        self.access.find(cluster, region, canonical, id)
    }
}

impl SharedAws {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::new(AwsState::new()), changed: Condvar::new() }
    }

    /// Locks the state. The lock is held between awaits only, for microseconds.
    pub(crate) fn state(&self) -> MutexGuard<'_, AwsState> {
        // A panic under the lock is a failed test already; a second panic while it unwinds would abort the whole run.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits until `done` holds, for at most `timeout` of real time. Returns whether it holds.
    pub(crate) fn wait_until(&self, timeout: Duration, done: impl Fn(&AwsState) -> bool) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), timeout, |state| !done(state));
        let (state, _timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
        done(&state)
    }
}

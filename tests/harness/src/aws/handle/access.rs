//! Access to clusters, through the handle: without the validation of EKS, so that a test can set up any state.

use super::AwsHandle;
use crate::aws::access::{AccessEntry, AssociatedPolicy, Grantee};

impl AwsHandle {
    /// Adds an access entry, or replaces that of the principal: this user or role gets `username` (a template:
    /// `{{SessionName}}`, `{{SessionNameRaw}}`, `{{AccountID}}`, `{{AccessKeyID}}`) and these groups. A role matches with its
    /// path. Groups may be reserved ones, such as `system:masters`.
    pub fn grant(&self, cluster: &str, region: &str, principal_arn: &str, username: &str, groups: &[&str]) {
        let now = self.clock().now();
        let mut state = self.shared.state();
        let entry = state.grant(cluster, region, principal_arn, now);
        username.clone_into(&mut entry.username);
        entry.groups = groups.iter().map(|group| (*group).to_owned()).collect();
    }

    /// Gives the access entry of a principal a policy, such as `AmazonEKSViewPolicy`: in these namespaces, or in the whole
    /// cluster if there are none. Panics if there is no entry.
    pub fn grant_policy(&self, cluster: &str, region: &str, principal_arn: &str, policy: &str, namespaces: &[&str]) {
        let now = self.clock().now();
        let partition = principal_arn.split(':').nth(1).unwrap_or("aws");
        let arn = format!("arn:{partition}:eks::aws:cluster-access-policy/{policy}");
        let namespaces: Vec<String> = namespaces.iter().map(|name| (*name).to_owned()).collect();
        let namespaces = (!namespaces.is_empty()).then_some(namespaces);
        let mut state = self.shared.state();
        let entry = state.access.entries(cluster, region).get_mut(principal_arn);
        let entry = entry.unwrap_or_else(|| panic!("{principal_arn} has no access entry"));
        entry.policies.retain(|policy| policy.arn != arn);
        entry.policies.push(AssociatedPolicy { arn, namespaces, associated: now, modified: now });
    }

    /// Removes the access entry of a principal.
    pub fn revoke(&self, cluster: &str, region: &str, principal_arn: &str) {
        self.shared.state().access.entries(cluster, region).remove(principal_arn);
    }

    /// Returns the access entries of a cluster as DescribeAccessEntry returns them, with their policies in `policies`, sorted by
    /// principal.
    pub fn access_entries(&self, cluster: &str, region: &str) -> Vec<serde_json::Value> {
        let mut state = self.shared.state();
        let shown = |entry: &AccessEntry| {
            let mut shown = entry.json(cluster);
            shown["policies"] = entry.policies.iter().map(AssociatedPolicy::json).collect();
            shown
        };
        state.access.entries(cluster, region).values().map(shown).collect()
    }

    /// Sets the authentication mode of a cluster without an update: `CONFIG_MAP`, `API_AND_CONFIG_MAP` or `API`.
    pub fn set_authentication_mode(&self, cluster: &str, region: &str, mode: &str) {
        let mut state = self.shared.state();
        let found = state.clusters.iter_mut().find(|known| known.name == cluster && known.region == region);
        mode.clone_into(&mut found.unwrap_or_else(|| panic!("there is no cluster {cluster}")).authentication_mode);
    }

    /// Returns the authentication mode of a cluster; the default of a new cluster if it does not exist.
    pub fn authentication_mode(&self, cluster: &str, region: &str) -> String {
        let state = self.shared.state();
        let found = state.clusters.iter().find(|known| known.name == cluster && known.region == region);
        found.map_or_else(|| "API_AND_CONFIG_MAP".to_owned(), |known| known.authentication_mode.clone())
    }

    /// Makes later updates of clusters stay in progress for this many DescribeUpdate calls; 0 at first.
    pub fn set_update_polls(&self, polls: usize) {
        self.shared.state().updates.polls = polls;
    }

    /// Makes the next update of a cluster end with the status `Failed`.
    pub fn fail_next_update(&self) {
        self.shared.state().updates.next_fails = true;
    }

    /// Limits the pages of EKS's lists to this many items; 100 at first.
    pub fn set_page_size(&self, items: usize) {
        self.shared.state().page_size = items.max(1);
    }

    /// Makes API servers see the present access entries for this many more lookups of a token's principal: changes of EKS count
    /// after some seconds.
    pub fn delay_access_changes(&self, lookups: usize) {
        let mut state = self.shared.state();
        state.earlier_access = Some((lookups, state.access.clone()));
    }

    /// Returns the creator of a cluster, if it is an administrator that no list shows.
    pub(crate) fn hidden_administrator(&self, cluster: &str, region: &str) -> Option<String> {
        let state = self.shared.state();
        let found = state.clusters.iter().find(|known| known.name == cluster && known.region == region)?;
        found.creator.clone().filter(|_| found.authentication_mode == "CONFIG_MAP")
    }

    /// Returns the Kubernetes user of a canonical ARN and a unique id in a cluster, by its access entries.
    pub(crate) fn grantee(
        &self,
        cluster: &str,
        region: &str,
        canonical_arn: &str,
        id: Option<&str>,
    ) -> Option<Grantee> {
        self.shared.state().grantee(cluster, region, canonical_arn, id)
    }
}

//! What a test can do to the embedded AWS and ask of it.

mod mfa;
mod signin;
mod web_identity;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::aws::access::Grantee;
use crate::aws::access_key::AccessKey;
use crate::aws::call_log::{Call, Outcome};
use crate::aws::cluster::Cluster;
use crate::aws::fault::{Fault, Script};
use crate::aws::identity::NewSession;
use crate::aws::op::Op;
use crate::aws::role::Role;
use crate::aws::sso::handle::Sso;
use crate::aws::state::{AwsState, SharedAws};
use crate::clock::Clock;

/// A handle on a running embedded AWS; clones are the same one.
#[derive(Clone, Debug)]
pub struct AwsHandle {
    pub(super) shared: Arc<SharedAws>,
    addr: SocketAddr,
}

impl AwsHandle {
    pub(crate) fn new(shared: Arc<SharedAws>, addr: SocketAddr) -> Self {
        Self { shared, addr }
    }

    pub(crate) fn shared(&self) -> &Arc<SharedAws> {
        &self.shared
    }

    /// `http://127.0.0.1:PORT`, the endpoint of every service.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// AWS's own clock.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Refuses requests that are signed in their headers more than this off its clock. STS says 15 minutes in its errors
    /// and so does this one at first; most of AWS says 5.
    pub fn tolerate(&self, off: Duration) {
        self.shared.state().tolerance = off;
    }
}

/// Identities and what they may do.
impl AwsHandle {
    /// A new key of the user `name`, who is made if there is none yet; the name may have a path (`team/dev`).
    pub fn add_user(&self, account: &str, name: &str) -> AccessKey {
        self.add_user_key(&format!("arn:aws:iam::{account}:user/{name}"))
    }

    /// As [`AwsHandle::add_user`], by ARN: for other partitions.
    pub fn add_user_key(&self, arn: &str) -> AccessKey {
        self.shared.state().identities.add_user_key(arn)
    }

    /// Puts a role in place, or changes the one of that ARN.
    pub fn add_role(&self, role: Role) {
        self.shared.state().identities.put_role(role);
    }

    /// Changes a role that is there, such as its trust: `aws.update_role(arn, |role| role.trusts(user))`.
    pub fn update_role(&self, arn: &str, change: impl FnOnce(Role) -> Role) {
        let role =
            self.shared.state().identities.role(arn).cloned().unwrap_or_else(|| panic!("there is no role {arn}"));
        self.add_role(change(role));
    }

    /// Deletes a role; its sessions go on, as they do in IAM for a while.
    pub fn remove_role(&self, arn: &str) {
        self.shared.state().identities.remove_role(arn);
    }

    /// Deletes an access key: its next call gets `InvalidClientTokenId`.
    pub fn remove_key(&self, key_id: &str) {
        self.shared.state().identities.remove_key(key_id);
    }

    /// The ids of a user's access keys, oldest first.
    pub fn keys_of(&self, user_arn: &str) -> Vec<String> {
        self.shared.state().identities.keys_of(user_arn)
    }

    /// From now on a key that CreateAccessKey makes is unknown to STS for this many calls: IAM is eventually consistent.
    pub fn spread_new_keys_slowly(&self, calls: usize) {
        self.shared.state().identities.spread_slowly(calls);
    }

    /// Credentials of a role without an AssumeRole: base credentials that end. Trust is not asked.
    pub fn session(&self, role_arn: &str, session_name: &str, lifetime: Duration) -> AccessKey {
        let expires = self.shared.clock.now() + lifetime;
        let mut state = self.shared.state();
        let role = state.identities.role(role_arn).cloned().unwrap_or_else(|| panic!("there is no role {role_arn}"));
        let new = NewSession { role: &role, name: session_name, expires, source_identity: None, packed: 0 };
        state.identities.add_session(&new)
    }

    /// Ends every session of a role or user now: their next call gets `ExpiredToken`.
    pub fn end_sessions(&self, principal_arn: &str) {
        let now = self.shared.clock.now();
        self.shared.state().identities.end_sessions(principal_arn, now);
    }

    /// Denies an action (`eks:DescribeCluster`, `eks:ListClusters`, `sts:AssumeRole`) to a user or role; all are
    /// allowed at first.
    pub fn deny(&self, principal_arn: &str, action: &str) {
        self.shared.state().identities.permit(principal_arn, action, false);
    }

    /// Takes [`AwsHandle::deny`] back.
    pub fn allow(&self, principal_arn: &str, action: &str) {
        self.shared.state().identities.permit(principal_arn, action, true);
    }

    /// Whose an access key is: a user's ARN, or an assumed-role ARN. `None` once it is deleted.
    pub fn owner_of(&self, key_id: &str) -> Option<String> {
        self.shared.state().identities.credential(key_id).map(|known| known.principal.arn.clone())
    }

    /// Every secret key and session token ever issued here, for leak checks.
    pub fn secrets(&self) -> Vec<String> {
        self.shared.state().identities.secrets().to_vec()
    }
}

/// Clusters and who has access to them.
impl AwsHandle {
    /// Puts a cluster in place, or changes the one of that ARN.
    pub fn add_cluster(&self, cluster: Cluster) {
        let mut state = self.shared.state();
        state.clusters.retain(|known| known.arn() != cluster.arn());
        state.clusters.push(cluster);
    }

    /// Deletes the clusters of that name and region.
    pub fn remove_cluster(&self, name: &str, region: &str) {
        self.shared.state().clusters.retain(|known| (known.name.as_str(), known.region.as_str()) != (name, region));
    }

    /// An access entry: this user or role is `username` (a template: `{{SessionName}}`, `{{SessionNameRaw}}`,
    /// `{{AccountID}}`, `{{AccessKeyID}}`) with these groups. A role's path is no matter.
    pub fn grant(&self, cluster: &str, region: &str, principal_arn: &str, username: &str, groups: &[&str]) {
        self.shared.state().access.grant(cluster, region, principal_arn, grantee(username, groups));
    }

    /// A line of `mapRoles` in aws-auth. An ARN with a path never matches, as in the real authenticator.
    pub fn map_role(&self, cluster: &str, region: &str, role_arn: &str, username: &str, groups: &[&str]) {
        self.shared.state().access.map(cluster, region, role_arn, grantee(username, groups));
    }

    /// A line of `mapUsers` in aws-auth.
    pub fn map_user(&self, cluster: &str, region: &str, user_arn: &str, username: &str, groups: &[&str]) {
        self.shared.state().access.map(cluster, region, user_arn, grantee(username, groups));
    }

    /// Takes back what a principal has in a cluster, by access entry and by aws-auth.
    pub fn revoke(&self, cluster: &str, region: &str, principal_arn: &str) {
        self.shared.state().access.revoke(cluster, region, principal_arn);
    }

    /// Who a canonical ARN is in a cluster.
    pub(crate) fn grantee(&self, cluster: &str, region: &str, canonical_arn: &str) -> Option<Grantee> {
        self.shared.state().access.find(cluster, region, canonical_arn)
    }
}

/// IAM Identity Center.
impl AwsHandle {
    /// What a test can do to IAM Identity Center and ask of it.
    pub fn sso(&self) -> Sso {
        Sso::new(Arc::clone(&self.shared), self.addr)
    }
}

/// Faults.
impl AwsHandle {
    /// Queues a fault for calls of `op`: once, unless it says otherwise (`Fault::Throttle.times(3)`, `.forever()`,
    /// `.for_role(arn)`). The first in the queue that matches a call is played on it.
    pub fn fault(&self, op: Op, script: impl Into<Script>) {
        self.shared.state().faults.push(op, script.into());
    }

    /// The same fault on every call of every operation until [`AwsHandle::clear_faults`].
    pub fn outage(&self, fault: &Fault) {
        for &op in Op::ALL {
            self.fault(op, fault.clone().forever());
        }
    }

    /// Forgets every fault; calls that are being held stay so until their gate opens.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }
}

/// What has been called.
impl AwsHandle {
    /// How many calls of `op` have come in.
    pub fn calls(&self, op: Op) -> usize {
        self.shared.state().calls.count(op)
    }

    /// How many calls of `op` are being answered now.
    pub fn in_flight(&self, op: Op) -> usize {
        self.shared.state().calls.in_flight(op)
    }

    /// The most calls of `op` that there were at any one time.
    pub fn peak(&self, op: Op) -> usize {
        self.shared.state().calls.peak(op)
    }

    /// Every call, oldest first.
    pub fn log(&self) -> Vec<Call> {
        self.shared.state().calls.log().to_vec()
    }

    /// Every call of one operation, oldest first.
    pub fn log_of(&self, op: Op) -> Vec<Call> {
        self.log().into_iter().filter(|call| call.op == op).collect()
    }

    /// When calls of one operation came in, by AWS's clock.
    pub fn times(&self, op: Op) -> Vec<SystemTime> {
        self.log_of(op).into_iter().map(|call| call.at).collect()
    }

    /// Waits until at least `n` calls of `op` have come in, held ones too. Panics with the log after `timeout` of real
    /// time.
    #[track_caller]
    pub fn wait_for_calls(&self, op: Op, n: usize, timeout: Duration) {
        self.wait(&format!("{n} calls of {op:?}"), timeout, |state| state.calls.count(op) >= n);
    }

    /// Waits until at least `n` calls of `op` have been answered or abandoned. Panics with the log after `timeout` of
    /// real time.
    #[track_caller]
    pub fn wait_for_answers(&self, op: Op, n: usize, timeout: Duration) {
        let answered = |call: &&Call| call.op == op && call.outcome != Outcome::Pending;
        self.wait(&format!("{n} answers to {op:?}"), timeout, |state| {
            state.calls.log().iter().filter(answered).count() >= n
        });
    }

    #[track_caller]
    fn wait(&self, what: &str, timeout: Duration, done: impl Fn(&AwsState) -> bool) {
        let came = self.shared.wait_until(timeout, done);
        assert!(came, "waited {timeout:?} for {what}; what came:\n{:#?}", self.log());
    }
}

fn grantee(username: &str, groups: &[&str]) -> Grantee {
    Grantee { username: username.to_owned(), groups: groups.iter().map(|group| (*group).to_owned()).collect() }
}

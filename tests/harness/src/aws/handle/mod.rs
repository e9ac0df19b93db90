//! The handle of an embedded AWS: what a test can set, script and inspect.

mod access;
mod mfa;
mod signin;
mod web_identity;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::aws::access_key::AccessKey;
use crate::aws::call_log::{Call, Outcome};
use crate::aws::cluster::Cluster;
use crate::aws::denied_by::DeniedBy;
use crate::aws::fault::{Fault, Script};
use crate::aws::identity::NewSession;
use crate::aws::op::Op;
use crate::aws::role::Role;
use crate::aws::sso::handle::Sso;
use crate::aws::state::{AwsState, SharedAws};
use crate::clock::Clock;

/// A handle of a running embedded AWS; clones refer to the same one.
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

    /// Returns `http://127.0.0.1:PORT`, the endpoint of all services.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns the address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns AWS's clock.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Sets how far the time of a request that is signed in its headers may differ from AWS's clock: 15 minutes at
    /// first, as in the error texts of STS. Most AWS services allow 5.
    pub fn set_clock_tolerance(&self, tolerance: Duration) {
        self.shared.state().tolerance = tolerance;
    }
}

/// Identities and permissions.
impl AwsHandle {
    /// Creates an access key of the user `name`, and the user if it does not exist. The name may have a path
    /// (`team/dev`).
    pub fn add_user(&self, account: &str, name: &str) -> AccessKey {
        self.add_user_key(&format!("arn:aws:iam::{account}:user/{name}"))
    }

    /// As [`AwsHandle::add_user`], with an ARN: for other partitions.
    pub fn add_user_key(&self, arn: &str) -> AccessKey {
        self.shared.state().identities.add_user_key(arn)
    }

    /// Adds a role, or replaces the one of that ARN.
    pub fn add_role(&self, role: Role) {
        self.shared.state().identities.put_role(role);
    }

    /// Changes a role: `aws.update_role(arn, |role| role.trusts(user))`. Panics if it does not exist.
    pub fn update_role(&self, arn: &str, change: impl FnOnce(Role) -> Role) {
        let role =
            self.shared.state().identities.role(arn).cloned().unwrap_or_else(|| panic!("there is no role {arn}"));
        self.add_role(change(role));
    }

    /// Deletes a role. Its sessions stay valid, as they do in IAM for a while.
    pub fn remove_role(&self, arn: &str) {
        self.shared.state().identities.remove_role(arn);
    }

    /// Deletes an access key: its next call fails with `InvalidClientTokenId`.
    pub fn remove_key(&self, key_id: &str) {
        self.shared.state().identities.remove_key(key_id);
    }

    /// Returns the ids of a user's access keys, oldest first.
    pub fn access_key_ids(&self, user_arn: &str) -> Vec<String> {
        self.shared.state().identities.access_key_ids(user_arn)
    }

    /// Makes keys of later CreateAccessKey calls unknown to STS for this many calls: IAM is eventually consistent.
    pub fn delay_new_keys(&self, calls: usize) {
        self.shared.state().identities.delay_new_keys(calls);
    }

    /// Issues a session of a role without an AssumeRole call, whatever its trust policy: base credentials that expire.
    pub fn session(&self, role_arn: &str, session_name: &str, lifetime: Duration) -> AccessKey {
        let expires = self.shared.clock.now() + lifetime;
        let mut state = self.shared.state();
        let role = state.identities.role(role_arn).cloned().unwrap_or_else(|| panic!("there is no role {role_arn}"));
        let new = NewSession { role: &role, name: session_name, expires, source_identity: None, packed: 0 };
        state.identities.add_session(&new)
    }

    /// Expires every session of a role or user: its next call fails with `ExpiredToken`.
    pub fn expire_sessions(&self, principal_arn: &str) {
        let now = self.shared.clock.now();
        self.shared.state().identities.expire_sessions(principal_arn, now);
    }

    /// Denies an action (`eks:DescribeCluster`, `eks:ListClusters`, `sts:AssumeRole`) to a user or role. All actions
    /// are allowed at first.
    pub fn deny(&self, principal_arn: &str, action: &str) {
        self.shared.state().identities.deny(principal_arn, action, None);
    }

    /// Denies an action as [`AwsHandle::deny`] does, and names the policy in the message.
    pub fn deny_by(&self, principal_arn: &str, action: &str, by: DeniedBy) {
        self.shared.state().identities.deny(principal_arn, action, Some(by));
    }

    /// Makes STS name the trust policy in the message if it denies a role to a caller of the same account.
    pub fn name_trust_policies(&self) {
        self.shared.state().names_trust_policies = true;
    }

    /// Deactivates STS in a region: each call there fails with `RegionDisabledException`.
    pub fn disable_sts(&self, region: &str) {
        self.shared.state().regions_without_sts.insert(region.to_owned());
    }

    /// Reverts [`AwsHandle::deny`].
    pub fn allow(&self, principal_arn: &str, action: &str) {
        self.shared.state().identities.allow(principal_arn, action);
    }

    /// Returns the principal of an access key: a user's ARN, or an assumed-role ARN. `None` if the key does not exist.
    pub fn owner_of(&self, key_id: &str) -> Option<String> {
        self.shared.state().identities.credential(key_id).map(|known| known.principal.arn.clone())
    }

    /// Returns when an access key expires; `None` if it is a long-lived one or does not exist.
    pub fn expiry_of(&self, key_id: &str) -> Option<SystemTime> {
        self.shared.state().identities.credential(key_id).and_then(|known| known.expires)
    }

    /// Returns every secret access key and session token issued so far, for leak checks.
    pub fn secrets(&self) -> Vec<String> {
        self.shared.state().identities.secrets().to_vec()
    }
}

/// Clusters.
impl AwsHandle {
    /// Adds a cluster, or replaces the one of that ARN.
    pub fn add_cluster(&self, cluster: Cluster) {
        let mut state = self.shared.state();
        state.clusters.retain(|known| known.arn() != cluster.arn());
        state.clusters.push(cluster);
    }

    /// Deletes the clusters of that name and region.
    pub fn remove_cluster(&self, name: &str, region: &str) {
        self.shared.state().clusters.retain(|known| (known.name.as_str(), known.region.as_str()) != (name, region));
    }
}

/// IAM Identity Center.
impl AwsHandle {
    /// Returns the handle of IAM Identity Center.
    pub fn sso(&self) -> Sso {
        Sso::new(Arc::clone(&self.shared), self.addr)
    }
}

/// Faults.
impl AwsHandle {
    /// Queues a fault for calls of `op`. It applies once, unless the script says otherwise
    /// (`Fault::Throttle.times(3)`, `.forever()`, `.for_role(arn)`). A call gets the first fault in the queue that
    /// matches.
    pub fn fault(&self, op: Op, script: impl Into<Script>) {
        self.shared.state().faults.push(op, script.into());
    }

    /// Throttles each `n`th call of `op` until [`AwsHandle::clear_faults`].
    pub fn throttle_every(&self, op: Op, n: usize) {
        self.shared.state().faults.throttle_every(op, n);
    }

    /// Applies a fault to every call of every operation until [`AwsHandle::clear_faults`].
    pub fn outage(&self, fault: &Fault) {
        for &op in Op::ALL {
            self.fault(op, fault.clone().forever());
        }
    }

    /// Lets `chooser` decide for each call of `op` whether a fault applies, before any queued fault, until
    /// [`AwsHandle::clear_faults`]. Its argument is the ARN of the role to assume, or else of the caller's role.
    pub fn choose_faults(&self, op: Op, chooser: impl FnMut(Option<&str>) -> Option<Fault> + Send + 'static) {
        self.shared.state().faults.choose(op, chooser);
    }

    /// Removes every fault. Held calls stay held until their gate opens.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }
}

/// The call log.
impl AwsHandle {
    /// Returns how many calls of `op` have arrived.
    pub fn calls(&self, op: Op) -> usize {
        self.shared.state().calls.count(op)
    }

    /// Returns how many calls of `op` are in flight.
    pub fn in_flight(&self, op: Op) -> usize {
        self.shared.state().calls.in_flight(op)
    }

    /// Returns the maximum number of calls of `op` in flight at one time.
    pub fn peak(&self, op: Op) -> usize {
        self.shared.state().calls.peak(op)
    }

    /// Returns every call, oldest first.
    pub fn log(&self) -> Vec<Call> {
        self.shared.state().calls.log().to_vec()
    }

    /// Returns every call of one operation, oldest first.
    pub fn log_of(&self, op: Op) -> Vec<Call> {
        self.log().into_iter().filter(|call| call.op == op).collect()
    }

    /// Returns the arrival times of calls of one operation, by AWS's clock.
    pub fn times(&self, op: Op) -> Vec<SystemTime> {
        self.log_of(op).into_iter().map(|call| call.at).collect()
    }

    /// Waits until at least `n` calls of `op` have arrived, including held ones. Panics with the log after `timeout`
    /// of real time.
    #[track_caller]
    pub fn wait_for_calls(&self, op: Op, n: usize, timeout: Duration) {
        self.wait(&format!("{n} calls of {op:?}"), timeout, |state| state.calls.count(op) >= n);
    }

    /// Waits until at least `n` calls of `op` have a response or are abandoned. Panics with the log after `timeout` of
    /// real time.
    #[track_caller]
    pub fn wait_for_responses(&self, op: Op, n: usize, timeout: Duration) {
        let finished = |call: &&Call| call.op == op && call.outcome != Outcome::Pending;
        self.wait(&format!("{n} responses to {op:?}"), timeout, |state| {
            state.calls.log().iter().filter(finished).count() >= n
        });
    }

    #[track_caller]
    fn wait(&self, what: &str, timeout: Duration, done: impl Fn(&AwsState) -> bool) {
        let reached = self.shared.wait_until(timeout, done);
        assert!(reached, "waited {timeout:?} for {what}; the log:\n{:#?}", self.log());
    }
}

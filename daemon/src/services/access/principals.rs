//! What plans need besides what was read: the caller, the access policies, and what IAM says about principals.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use rolecall_aws::eks::EksErrorReason;
use rolecall_aws::iam::Lookup;
use rolecall_core::cluster_access::change::{PlanContext, given_principal};
use rolecall_core::cluster_access::principal::{IamKind, Principal};
use rolecall_protocol::{AccessFinding, ErrorBody, GivenPrincipal, Severity, Unread};

use super::MAX_PARALLEL_CALLS;
use super::connection::ClusterConnection;
use super::error::{denied, eks_error, finding, iam_error};

/// What IAM says about principals.
#[derive(Default)]
pub(super) struct IamAnswers {
    /// The principal with its path, by its ARN without a path; `None` if it does not exist.
    pub(super) by_arn: BTreeMap<String, Option<Principal>>,
    /// Why some could not be looked up.
    pub(super) unread: Option<Unread>,
}

/// Returns what a plan needs for these principals and policies, and a note if IAM did not answer for all of them.
pub(super) async fn plan_context(
    cluster: &ClusterConnection<'_>,
    principals: &[Principal],
    policies: &[String],
) -> Result<(PlanContext, Option<AccessFinding>), ErrorBody> {
    let caller = cluster.caller().await?;
    let policies = if policies.is_empty() { Vec::new() } else { known_policies(cluster).await? };
    let IamAnswers { by_arn, unread } = look_up(cluster, principals).await;
    let note = unread.map(|unread| {
        let message = format!("IAM did not say which principals exist: {}", unread.error.message);
        AccessFinding {
            hint: unread.error.hint.map(|hint| hint.to_string()),
            ..finding(Severity::Note, "iam_not_asked", message)
        }
    });
    Ok((PlanContext { caller, policies, iam: by_arn }, note))
}

/// Returns the valid principals of a request.
pub(super) fn given(cluster: &ClusterConnection<'_>, given: &[GivenPrincipal]) -> Vec<Principal> {
    given.iter().filter_map(|one| given_principal(one, cluster.partition(), cluster.account()).ok()).collect()
}

/// Returns the names of the access policies. None if EKS denies the list: it checks the names itself.
async fn known_policies(cluster: &ClusterConnection<'_>) -> Result<Vec<String>, ErrorBody> {
    match cluster.eks.list_access_policies().await {
        Ok(known) => Ok(known.into_iter().map(|policy| policy.name).collect()),
        Err(error) if matches!(error.reason, EksErrorReason::Denied { .. }) => Ok(Vec::new()),
        Err(error) => Err(eks_error(&error)),
    }
}

/// Looks up principals of the cluster's account in IAM, several at the same time. Those of other accounts are not asked for.
/// After a denial, no more of that kind are asked for.
pub(super) async fn look_up(cluster: &ClusterConnection<'_>, principals: &[Principal]) -> IamAnswers {
    let mut answers = IamAnswers::default();
    let mut own: Vec<&Principal> =
        principals.iter().filter(|principal| principal.account() == cluster.account()).collect();
    own.sort_unstable();
    own.dedup();
    for kind in [IamKind::Role, IamKind::User] {
        let mut lookups = Vec::new();
        for principal in &own {
            if principal.kind() == kind {
                lookups.push(Box::pin(look_up_one(cluster, principal)));
            }
        }
        let mut lookups = iter(lookups).buffer_unordered(MAX_PARALLEL_CALLS);
        while let Some((principal, outcome)) = lookups.next().await {
            let found = match outcome {
                Ok(Lookup::Found(found)) => Some(found.arn.parse().unwrap_or_else(|_| principal.clone())),
                Ok(Lookup::NotFound) => None,
                Ok(Lookup::Denied { action }) => {
                    let body = denied(action, "the existence of principals is not checked");
                    answers.unread = Some(Unread { what: "IAM".to_owned(), error: body });
                    break;
                }
                Err(error) => {
                    answers.unread = Some(Unread { what: "IAM".to_owned(), error });
                    continue;
                }
            };
            answers.by_arn.insert(principal.without_path().to_string(), found);
        }
    }
    answers
}

async fn look_up_one<'a>(
    cluster: &ClusterConnection<'_>,
    principal: &'a Principal,
) -> (&'a Principal, Result<Lookup, ErrorBody>) {
    let outcome = match principal.kind() {
        IamKind::Role => cluster.iam.get_role(principal.name()).await,
        IamKind::User => cluster.iam.get_user(principal.name()).await,
    };
    (principal, outcome.map_err(|error| iam_error(&error)))
}

impl IamAnswers {
    /// Whether IAM says that a principal does not exist, or only with another path.
    pub(super) fn is_missing(&self, principal: &Principal) -> bool {
        match self.by_arn.get(&principal.without_path().to_string()) {
            Some(Some(known)) => principal.path() != "/" && principal.path() != known.path(),
            Some(None) => true,
            None => false,
        }
    }

    /// Returns a principal with the path that IAM names.
    pub(super) fn complete(&self, principal: &Principal) -> Principal {
        let known = self.by_arn.get(&principal.without_path().to_string()).cloned().flatten();
        known.filter(|_| principal.path() == "/").unwrap_or_else(|| principal.clone())
    }
}

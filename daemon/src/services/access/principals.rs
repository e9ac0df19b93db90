//! The principals of a request: names become ARNs, and IAM says which of them exist.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use rolecall_aws::iam::Lookup;
use rolecall_core::cluster_access::principal::{IamKind, Principal, PrincipalError};
use rolecall_protocol::{ErrorBody, GivenPrincipal, PrincipalKind, Unread};

use super::MAX_PARALLEL_CALLS;
use super::connection::ClusterConnection;
use super::error::{denied, iam_error};

/// What IAM says about principals.
#[derive(Default)]
pub(super) struct IamAnswers {
    /// The principals that exist, by the ARN that was asked for, with the path that IAM names.
    found: BTreeMap<String, Principal>,
    /// The ARNs of those that do not exist.
    pub(super) missing: Vec<String>,
    /// Why some could not be looked up.
    pub(super) unread: Option<Unread>,
}

/// Reads a principal as the user gave it. A name is one of the cluster's account.
pub(super) fn parse(cluster: &ClusterConnection<'_>, given: &GivenPrincipal) -> Result<Principal, PrincipalError> {
    let kind = match given.kind {
        PrincipalKind::Role => Some(IamKind::Role),
        PrincipalKind::User => Some(IamKind::User),
        _ => None,
    };
    Principal::from_name_or_arn(given.name.trim(), kind, cluster.partition(), cluster.account())
}

/// Looks up principals of the cluster's account in IAM, several at the same time. Those of other accounts are not asked for.
/// After the first denial, no more of that kind are asked for.
pub(super) async fn look_up(cluster: &ClusterConnection<'_>, principals: &[Principal]) -> IamAnswers {
    let mut answers = IamAnswers::default();
    for kind in [IamKind::Role, IamKind::User] {
        let own = principals.iter().filter(|principal| principal.account() == cluster.account());
        let lookups: Vec<_> =
            own.filter(|principal| principal.kind() == kind).map(|one| Box::pin(look_up_one(cluster, one))).collect();
        let mut lookups = iter(lookups).buffer_unordered(MAX_PARALLEL_CALLS);
        while let Some((principal, outcome)) = lookups.next().await {
            match outcome {
                Ok(Lookup::Found(found)) => {
                    let found = found.arn.parse().unwrap_or_else(|_| principal.clone());
                    // IAM looks up by name alone, so the path may be another one.
                    if principal.path() == "/" || found.is_same(principal) {
                        answers.found.insert(principal.to_string(), found);
                    } else {
                        answers.missing.push(principal.to_string());
                    }
                }
                Ok(Lookup::NotFound) => answers.missing.push(principal.to_string()),
                Ok(Lookup::Denied { action }) => {
                    let body = denied(action, "the existence of principals is not checked");
                    answers.unread = Some(Unread { what: "IAM".to_owned(), error: body });
                    break;
                }
                Err(error) => answers.unread = Some(Unread { what: "IAM".to_owned(), error }),
            }
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
    /// Returns the principal with the path that IAM names, if the user gave none.
    pub(super) fn complete(&self, principal: &Principal) -> Principal {
        self.found.get(&principal.to_string()).cloned().unwrap_or_else(|| principal.clone())
    }
}

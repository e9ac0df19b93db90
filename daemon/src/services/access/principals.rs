//! The principals of a request: names become ARNs, and IAM says which of them exist.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use rolecall_aws::iam::Lookup;
use rolecall_core::cluster_access::principal::{IamKind, Principal, PrincipalError};
use rolecall_protocol::{
    AccessFinding, ErrorBody, GivenPrincipal, PrincipalKind, Severity, Unread, sanitize_for_terminal,
};

use super::MAX_PARALLEL_CALLS;
use super::connection::ClusterConnection;
use super::entry_plan::{Refused, Requested, finding};
use super::error::{denied, iam_error};

/// What IAM says about principals.
#[derive(Default)]
pub(super) struct IamAnswers {
    /// The principals that exist, by the ARN that was asked for, with the path that IAM names.
    found: BTreeMap<String, Principal>,
    /// The ARNs of those that do not exist.
    pub(super) missing: BTreeSet<String>,
    /// Why some could not be looked up.
    pub(super) unread: Option<Unread>,
}

/// Returns the principals of a request, each once, and with the path that IAM names. Those that IAM does not know are
/// refused. Returns a note if IAM was not asked for all of them.
pub(super) async fn resolve(
    cluster: &ClusterConnection<'_>,
    given: &[GivenPrincipal],
) -> (Vec<Requested>, Option<AccessFinding>) {
    let mut requested = parse_all(cluster, given);
    let valid: Vec<Principal> = requested.iter().filter_map(|one| one.clone().ok()).collect();
    let answers = look_up(cluster, &valid).await;
    for one in &mut requested {
        let Ok(principal) = one else { continue };
        let arn = principal.to_string();
        if answers.missing.contains(&arn) {
            let finding = finding(Severity::Error, "missing_in_iam", "IAM has no such role or user in this account");
            *one = Err(Refused { given: arn, finding });
        } else if let Some(found) = answers.found.get(&arn) {
            *principal = found.clone();
        }
    }
    let note = answers.unread.map(|unread| {
        let message = format!("IAM did not say which principals exist: {}", unread.error.message);
        AccessFinding { hint: unread.error.hint, ..finding(Severity::Note, "iam_not_asked", message) }
    });
    (requested, note)
}

/// Reads the principals of a request, each once.
pub(super) fn parse_all(cluster: &ClusterConnection<'_>, given: &[GivenPrincipal]) -> Vec<Requested> {
    let mut seen = BTreeSet::new();
    let mut requested = Vec::new();
    for given in given {
        let parsed = parse(cluster, given);
        let key = match &parsed {
            Ok(principal) => principal.to_string().to_ascii_lowercase(),
            Err(refused) => refused.given.clone(),
        };
        if seen.insert(key) {
            requested.push(parsed);
        }
    }
    requested
}

/// Reads a principal as the user gave it. A name is one of the cluster's account.
fn parse(cluster: &ClusterConnection<'_>, given: &GivenPrincipal) -> Requested {
    let kind = match given.kind {
        PrincipalKind::Role => Some(IamKind::Role),
        PrincipalKind::User => Some(IamKind::User),
        _ => None,
    };
    let refused = |finding| Refused { given: sanitize_for_terminal(given.name.trim()), finding };
    let parsed = Principal::from_name_or_arn(given.name.trim(), kind, cluster.partition(), cluster.account());
    let principal = parsed.map_err(|error| refused(invalid(&error)))?;
    if principal.partition() != cluster.partition() {
        let message = format!("is of partition {}, the cluster is of {}", principal.partition(), cluster.partition());
        return Err(refused(finding(Severity::Error, "other_partition", message)));
    }
    Ok(principal)
}

fn invalid(error: &PrincipalError) -> AccessFinding {
    let (code, hint) = match error {
        PrincipalError::Session { role } => ("session_arn", Some(format!("Use: {role}"))),
        PrincipalError::ServiceLinkedRole => ("service_linked_role", None),
        PrincipalError::Root => ("root_user", None),
        _ => ("invalid_principal", None),
    };
    AccessFinding { hint, ..finding(Severity::Error, code, error.to_string()) }
}

/// Looks up principals of the cluster's account in IAM, several at the same time. Those of other accounts are not asked for.
/// After a denial, no more of that kind are asked for.
pub(super) async fn look_up(cluster: &ClusterConnection<'_>, principals: &[Principal]) -> IamAnswers {
    let mut answers = IamAnswers::default();
    for kind in [IamKind::Role, IamKind::User] {
        let mut lookups = Vec::new();
        for principal in principals {
            if principal.account() == cluster.account() && principal.kind() == kind {
                lookups.push(Box::pin(look_up_one(cluster, principal)));
            }
        }
        let mut lookups = iter(lookups).buffer_unordered(MAX_PARALLEL_CALLS);
        while let Some((principal, outcome)) = lookups.next().await {
            match outcome {
                Ok(Lookup::Found(found)) => answers.record(principal, &found.arn),
                Ok(Lookup::NotFound) => {
                    answers.missing.insert(principal.to_string());
                }
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
    /// Records the ARN of a principal that exists. IAM looks up by name alone, so the path may be another one than asked for.
    fn record(&mut self, asked: &Principal, arn: &str) {
        let found = arn.parse().unwrap_or_else(|_| asked.clone());
        if asked.path() == "/" || found.is_same(asked) {
            self.found.insert(asked.to_string(), found);
        } else {
            self.missing.insert(asked.to_string());
        }
    }
}

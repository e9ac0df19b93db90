//! The cluster: whether it is the one that the profile was added with, and the network path to its API server.

use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{ErrorCode, EventKind, Finding, FindingArea, FindingState, Hint};

use super::describe::{self, Description, Whereabouts};
use super::diagnosis::{Diagnosis, Fatal, UNAUTHORIZED, plugin_failure};
use super::path;
use crate::pin;
use rolecall_aws::cluster::ca_sha256;
use rolecall_aws::eks::EksCluster;
use rolecall_aws::error::ConnectionFailure;
use rolecall_aws::kubernetes::{KubernetesClient, KubernetesError, UserInfo};
use rolecall_aws::token::Token;
use rolecall_core::session::Session;

/// How long one call of the API server may take.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);
/// The states of a cluster in which its API server works.
const WORKING: [&str; 3] = ["ACTIVE", "UPDATING", "PENDING"];

/// What the API server answered to the token.
pub(super) struct Answer {
    pub(super) client: KubernetesClient,
    pub(super) user: Result<UserInfo, KubernetesError>,
}

/// Why the API server was not called.
pub(super) enum NotAsked {
    /// The request names no API server.
    NoEntry,
    /// The profile has no pin.
    NoPin,
    /// The API server in the kubeconfig is not that of the pin.
    PinMismatch,
    /// The CA in the kubeconfig is no certificate.
    InvalidCa(KubernetesError),
}

impl Answer {
    /// Whether the API server accepts the token. `None` if it did not answer the question.
    pub(super) const fn is_accepted(&self) -> Option<bool> {
        match &self.user {
            // Before Kubernetes 1.28 there is no such review, and the token was accepted.
            Ok(_)
            | Err(
                KubernetesError::Forbidden { .. } | KubernetesError::NotFound { .. } | KubernetesError::Status(404),
            ) => Some(true),
            Err(KubernetesError::Unauthorized) => Some(false),
            Err(_) => None,
        }
    }
}

/// Sends the token to the API server in the request, if that is the pinned one.
pub(super) async fn ask(diagnosis: &Diagnosis<'_>, token: Token) -> Result<Answer, NotAsked> {
    let profile = diagnosis.profile;
    let query = diagnosis.request.api_server.as_ref().ok_or(NotAsked::NoEntry)?;
    if profile.pin.is_none() {
        return Err(NotAsked::NoPin);
    }
    let pem = pin::api_server_ca(profile, query).map_err(|_| NotAsked::PinMismatch)?;
    let aws = &diagnosis.components.aws;
    let client = KubernetesClient::new(aws.clock(), &aws.network().path, &query.server, &pem, token.token);
    let client = client.map_err(NotAsked::InvalidCa)?;
    let silent = || KubernetesError::Unreachable {
        failure: ConnectionFailure::TimedOut,
        reason: format!("no response within {} s", REVIEW_TIMEOUT.as_secs()),
    };
    let user = diagnosis.within(REVIEW_TIMEOUT, client.self_subject_review()).await;
    Ok(Answer { user: user.unwrap_or_else(|| Err(silent())), client })
}

/// Reports whether the cluster is the one that the profile was added with, and the network path to its API server.
pub(super) async fn check(
    diagnosis: &Diagnosis<'_>,
    session: &Arc<Session>,
    description: &Description,
    asked: Result<Answer, NotAsked>,
) -> Result<Answer, Fatal> {
    let answered = asked.as_ref().ok().and_then(Answer::is_accepted);
    let is_accepted = answered == Some(true);
    let problem = match description {
        Description::Missing if is_accepted => Some(of_other_account(diagnosis)),
        Description::Missing => match describe::search(diagnosis, session).await {
            // The pinned API server answers, so the cluster exists.
            Whereabouts::SimilarName(_) | Whereabouts::OtherRegion(_) | Whereabouts::Unknown if answered.is_some() => {
                Some(of_other_account(diagnosis))
            }
            found => Some(missing(diagnosis, &found)),
        },
        Description::Cluster(cluster) => compare(diagnosis, cluster, &asked),
        Description::Denied(_) | Description::Failed(_) => describe::not_described(description),
    };
    match problem {
        // What the API server accepts works, whatever EKS says.
        Some(finding) if is_accepted || finding.state != FindingState::Problem => {
            diagnosis.found(as_warning(finding)).await;
        }
        // The name is in the token, so the API server of another name rejects it.
        Some(finding) if answered == Some(false) => return Err(finding.consequence(UNAUTHORIZED).into()),
        Some(finding) => return Err(finding.into()),
        None => {}
    }
    let answer = asked.map_err(|reason| not_asked(diagnosis, &reason))?;
    let cluster = match description {
        Description::Cluster(cluster) => Some(cluster.as_ref()),
        _ => None,
    };
    let Some(is_accepted) = answer.is_accepted() else {
        return Err(path::problem(diagnosis, &answer.user, cluster).into());
    };
    diagnosis.found(Finding::ok(FindingArea::ApiServer, "API server", "API server reachable")).await;
    diagnosis.found(Finding::ok(FindingArea::ApiServer, "API server", "certificate matches the pin")).await;
    let components = diagnosis.components;
    if components.activity.answered(&diagnosis.profile.name, is_accepted, components.aws.now()) {
        components.events.publish(EventKind::Token);
    }
    Ok(answer)
}

/// Lowers a problem to a warning: kubectl works.
fn as_warning(finding: Finding) -> Finding {
    match finding.state {
        FindingState::Problem => Finding { state: FindingState::Warning, consequence: None, ..finding },
        _ => finding,
    }
}

/// Returns what differs between EKS's description, the pin and the kubeconfig.
fn compare(diagnosis: &Diagnosis<'_>, cluster: &EksCluster, asked: &Result<Answer, NotAsked>) -> Option<Finding> {
    let profile = diagnosis.profile;
    let status = cluster.status.as_deref().unwrap_or("ACTIVE");
    if !WORKING.contains(&status) || cluster.endpoint.is_none() {
        let cause = format!("cluster {} has the status {status}", profile.cluster);
        let fix = if status == "CREATING" {
            "Wait until the cluster is active."
        } else {
            "See the cluster in the EKS console."
        };
        return Some(unreachable_problem("cluster_not_active", cause).fix(fix));
    }
    let pin = profile.pin.as_deref()?;
    let (server, ca) = (cluster.endpoint.as_deref(), cluster.certificate_authority.as_ref());
    let ca = ca.and_then(|ca| ca.data.as_deref()).and_then(ca_sha256);
    let (code, cause) = if server != Some(pin.server.as_str()) {
        (
            "cluster_recreated",
            "has another API server than the pin of the profile: it was deleted and created again, or the pin is wrong",
        )
    } else if ca.is_some() && pin.ca_sha256.is_some() && ca != pin.ca_sha256 {
        ("cluster_ca_changed", "has another certificate authority than the pin of the profile")
    } else if matches!(asked, Err(NotAsked::PinMismatch)) {
        let cause = "the kubeconfig has another API server or certificate authority than the cluster and the pin";
        return Some(
            pin_mismatch(diagnosis, cause).fix(Hint::command(format!("rolecall kubeconfig {}", profile.name))),
        );
    } else {
        return None;
    };
    let finding = unreachable_problem(code, format!("cluster {} {cause}", profile.cluster));
    Some(finding.fix(format!(
        "Ask why the cluster changed. If it was recreated, accept the new one: rolecall kubeconfig {} --repin",
        profile.name
    )))
}

fn unreachable_problem(code: &str, cause: String) -> Finding {
    Finding::problem(FindingArea::ApiServer, "cluster", code, cause)
        .consequence("kubectl: Unable to connect to the server, or a certificate error")
}

fn pin_mismatch(diagnosis: &Diagnosis<'_>, cause: &str) -> Finding {
    Finding::problem(FindingArea::ApiServer, "pin", "pin_mismatch", cause)
        .consequence(plugin_failure(ErrorCode::PinMismatch))
        .fix(format!(
            "rolecall kubeconfig {0} (if the cluster was recreated: rolecall kubeconfig {0} --repin)",
            diagnosis.profile.name
        ))
}

/// Returns the finding of an API server that was not called.
fn not_asked(diagnosis: &Diagnosis<'_>, reason: &NotAsked) -> Finding {
    let write = Hint::command(format!("rolecall kubeconfig {}", diagnosis.profile.name));
    let (code, cause) = match reason {
        NotAsked::NoEntry => ("no_kubeconfig_entry", "not called: the kubeconfig has no entry of this profile"),
        NotAsked::NoPin => ("no_pin", "not called: the profile has no pin, so Rolecall does not send it a token"),
        NotAsked::PinMismatch => {
            return pin_mismatch(
                diagnosis,
                "the kubeconfig has another API server or certificate authority than the pin",
            );
        }
        NotAsked::InvalidCa(error) => {
            let finding =
                Finding::problem(FindingArea::ApiServer, "API server", "kubeconfig_ca_invalid", error.to_string());
            return finding.fix(write);
        }
    };
    Finding::not_checked(FindingArea::ApiServer, "API server", code, cause).fix(write)
}

/// Returns the finding of a cluster that works, and that EKS does not know in the account of the role.
fn of_other_account(diagnosis: &Diagnosis<'_>) -> Finding {
    let cause = format!(
        "EKS has no cluster {} in the account of {}; it may be in another account or region",
        diagnosis.profile.cluster,
        diagnosis.identity()
    );
    Finding::not_checked(FindingArea::ApiServer, "cluster", "cluster_of_other_account", cause)
}

/// Returns the finding of a missing cluster.
fn missing(diagnosis: &Diagnosis<'_>, found: &Whereabouts) -> Finding {
    let profile = diagnosis.profile;
    let (cluster, region) = (&profile.cluster, &profile.chain.region);
    let absent = format!("there is no cluster {cluster} in {region} of the account of {}", diagnosis.identity());
    let setting = format!(
        "in [profiles.{}] of config.toml, then run: rolecall kubeconfig {} --repin",
        profile.name, profile.name
    );
    let (code, cause, fix) = match found {
        Whereabouts::OtherName(name) => (
            "cluster_name_wrong",
            format!("{absent}; the API server of the profile is that of cluster {name}"),
            format!("Set cluster = \"{name}\" in [profiles.{}] of config.toml.", profile.name),
        ),
        Whereabouts::SimilarName(name) => (
            "cluster_name_wrong",
            format!("{absent}; did you mean {name}?"),
            format!("If so, set cluster = \"{name}\" {setting}"),
        ),
        Whereabouts::OtherRegion(other) => (
            "cluster_in_other_region",
            format!("{absent}; {other} has a cluster of this name"),
            format!("If you mean that one, set region = \"{other}\" {setting}"),
        ),
        Whereabouts::Unknown if profile.pin.is_some() => (
            "cluster_deleted",
            format!("{absent}, and the pinned API server does not answer: it was probably deleted"),
            format!("If it is gone for good: rolecall remove {}", profile.name),
        ),
        Whereabouts::Unknown => (
            "cluster_not_found",
            absent,
            format!("Fix cluster, region or role_arn in [profiles.{}] of config.toml.", profile.name),
        ),
    };
    unreachable_problem(code, cause).fix(fix)
}

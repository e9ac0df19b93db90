//! The role chain: each role is assumed from the session before it.

use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{AdministratorRequest, ErrorCode, Finding, FindingArea, RoleArn};

use super::diagnosis::{Diagnosis, FatalFinding, plugin_failure};
use super::failure;
use super::source::{SourceCredentials, duration_text, still_usable};
use crate::sessions::{Freshness, SessionError};
use rolecall_aws::error::AwsErrorKind;
use rolecall_aws::sts::StsOperation;
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;

/// How long an AssumeRole may take, with its retries.
const ROLE_TIMEOUT: Duration = Duration::from_secs(8);

/// Assumes each role of the chain, and returns the last session.
pub(super) async fn check(diagnosis: &Diagnosis<'_>, source: &SourceCredentials) -> Result<Arc<Session>, FatalFinding> {
    let (mut session, mut caller) = (Arc::clone(&source.session), source.arn.clone());
    for chain in diagnosis.profile.chain.prefixes().filter(|chain| !chain.is_base()) {
        session = assume(diagnosis, &chain, &caller).await?;
        caller = session.arn.clone().unwrap_or_default();
    }
    Ok(session)
}

async fn assume(diagnosis: &Diagnosis<'_>, chain: &RoleChain, caller: &str) -> Result<Arc<Session>, FatalFinding> {
    let role = chain.steps.last().map_or("", |step| step.role.as_str());
    diagnosis.checking(format!("AssumeRole of {role}")).await;
    let loading = diagnosis.components.sessions.get(chain, Freshness::Cached);
    let served = match diagnosis.within(ROLE_TIMEOUT, loading).await {
        Some(Ok(served)) => served,
        Some(Err(error)) => {
            let finding = failure::of_session(diagnosis, &error);
            return Err(Box::new(match denied_role(&error) {
                Some(role) => finding.administrator(allow_request(role.as_str(), caller)),
                None => finding,
            }));
        }
        None => {
            let cause = format!("STS did not answer AssumeRole of {role} within {} s", ROLE_TIMEOUT.as_secs());
            let finding = Finding::problem(FindingArea::Role, "assume role", "sts_slow", cause)
                .consequence(plugin_failure(ErrorCode::Timeout))
                .fix(rolecall_aws::error::NETWORK_HINT);
            return Err(Box::new(finding));
        }
    };
    if let Some(problem) = &served.problem {
        diagnosis.found(still_usable(diagnosis, problem, &served.session)).await;
    } else {
        diagnosis.found(Finding::ok(FindingArea::Role, "assume role", role)).await;
    }
    if served.session.is_clamped {
        diagnosis.found(shorter(diagnosis, &served.session)).await;
    }
    Ok(served.session)
}

/// Returns the role that AWS denied.
fn denied_role(error: &SessionError) -> Option<&RoleArn> {
    let (SessionError::Sts(error) | SessionError::Denied { error, .. }) = error else { return None };
    match &error.operation {
        StsOperation::AssumeRole(role) if error.error.kind == AwsErrorKind::Denied => Some(role),
        _ => None,
    }
}

/// Returns the request to allow a caller to assume a role.
fn allow_request(role: &str, caller: &str) -> AdministratorRequest {
    let account = role.split(':').nth(4).unwrap_or_default();
    AdministratorRequest {
        to: format!("an administrator of the AWS account {account}"),
        request: format!("Allow {caller} to assume the role {role}."),
        commands: Vec::new(),
        statement: None,
    }
}

/// Returns the warning of a session that is shorter than the profile asks.
fn shorter(diagnosis: &Diagnosis<'_>, session: &Session) -> Finding {
    let life = session.expires().and_then(|end| end.duration_since(session.issued).ok()).unwrap_or_default();
    let wanted = diagnosis.profile.duration;
    let cause =
        format!("AWS grants a session of {}, and the profile asks for {}", duration_text(life), duration_text(wanted));
    Finding::warning(FindingArea::Role, "assume role", "duration_limited", cause)
        .consequence("Rolecall renews the session more often")
        .fix("Ask for a longer maximum session duration of the role, or set duration = \"1h\" in the profile.")
}

//! The role chain: each role is assumed from the session before it.

use std::sync::Arc;
use std::time::Duration;

use rolecall_protocol::{ErrorCode, Finding, FindingArea};

use super::diagnosis::{Diagnosis, Fatal, duration_text, plugin_failure};
use super::failure;
use super::source::still_usable;
use crate::sessions::Freshness;
use rolecall_aws::error::NETWORK_HINT;
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;

/// How long an AssumeRole may take, with its retries.
const ROLE_TIMEOUT: Duration = Duration::from_secs(8);

/// Assumes each role of the chain, and returns the last session. Without a working source (`None`), the session in the cache is
/// the last one.
pub(super) async fn check(diagnosis: &Diagnosis<'_>, source: Option<&Arc<Session>>) -> Result<Arc<Session>, Fatal> {
    let chain = &diagnosis.profile.chain;
    let Some(source) = source else { return assume(diagnosis, chain).await };
    if chain.is_base() {
        let cause = "no role: the source's own credentials sign the token";
        diagnosis.found(Finding::ok(FindingArea::Role, "assume role", cause)).await;
    }
    let mut session = Arc::clone(source);
    for prefix in chain.prefixes().filter(|prefix| !prefix.is_base()) {
        session = assume(diagnosis, &prefix).await?;
    }
    Ok(session)
}

async fn assume(diagnosis: &Diagnosis<'_>, chain: &RoleChain) -> Result<Arc<Session>, Fatal> {
    let role = chain.steps.last().map_or("", |step| step.role.as_str());
    diagnosis.checking(format!("AssumeRole of {role}")).await;
    let loading = diagnosis.components.sessions.get(chain, Freshness::Cached);
    let served = match diagnosis.within(ROLE_TIMEOUT, loading).await {
        Some(Ok(served)) => served,
        Some(Err(error)) => return Err(failure::of_load(diagnosis, chain, &error).await),
        None => {
            let cause = format!("STS did not answer AssumeRole of {role} within {} s", ROLE_TIMEOUT.as_secs());
            let finding = Finding::problem(FindingArea::Role, "assume role", "sts_slow", cause)
                .consequence(plugin_failure(ErrorCode::Timeout))
                .fix(NETWORK_HINT);
            return Err(finding.into());
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

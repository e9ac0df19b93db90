//! The source: its credentials, its login, the principal that they are, and the clock.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use rolecall_protocol::{ErrorCode, Finding, FindingArea, FindingState, Hint, LoginKind, Region};

use super::diagnosis::{Diagnosis, Fatal, duration_text, plugin_failure};
use super::failure;
use crate::sessions::{Freshness, SessionError};
use rolecall_aws::error::{AwsErrorCode, AwsErrorKind};
use rolecall_aws::sts::{self, StsError};
use rolecall_core::clock::time_until;
use rolecall_core::config::inputs::StsAddress;
use rolecall_core::role_chain::{RoleChain, StsEndpoint};
use rolecall_core::session::Session;

/// How long a source may take. kubectl's call of the plugin ends after 10 s.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(8);
/// How long GetCallerIdentity may take. One attempt takes at most 5 s.
const IDENTITY_TIMEOUT: Duration = Duration::from_secs(6);
/// A login that ends within this time is a warning.
const LOGIN_WARNING: Duration = Duration::from_mins(15);
/// A clock whose difference is at most this is correct: the time in a response of AWS has whole seconds.
const CLOCK_RESOLUTION_SECONDS: u64 = 1;
/// A region of each partition that is enabled in every account.
const HOME_REGIONS: [&str; 4] = ["us-east-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"];

/// Checks the source, its principal, its login and the clock. Returns the source's session.
pub(super) async fn check(diagnosis: &Diagnosis<'_>) -> Result<Arc<Session>, Fatal> {
    let source = &diagnosis.profile.source_name;
    diagnosis.checking(format!("source \"{source}\" ({})", diagnosis.source_kind())).await;
    let chain = &diagnosis.profile.chain;
    let sessions = &diagnosis.components.sessions;
    // The user may have fixed the cause of an earlier failure.
    sessions.clear_failures(chain);
    sessions.allow_probe(chain);
    let base = if sessions.mfa_in_assume_role(chain) { chain.without_mfa() } else { chain.base() };
    let session = load(diagnosis, &base).await?;
    let identified = identify(diagnosis, &base, session).await;
    match &identified {
        Ok((_, arn)) => {
            let cause = format!("{arn} ({})", diagnosis.source_kind());
            diagnosis.found(Finding::ok(FindingArea::Source, "source", cause)).await;
        }
        Err(Fatal(findings)) if findings.iter().all(|finding| finding.area != FindingArea::Source) => {
            diagnosis.found(Finding::ok(FindingArea::Source, "source", diagnosis.source_kind())).await;
        }
        Err(_) => {}
    }
    check_login(diagnosis, &base).await;
    check_clock(diagnosis).await;
    let (session, arn) = identified?;
    match failure::other_partition(diagnosis, &arn) {
        Some(finding) => Err(finding.into()),
        None => Ok(session),
    }
}

/// Reports a failed source as a warning if the role's session in the cache is still usable. Errors with the failure if there is
/// none.
pub(super) async fn survive(diagnosis: &Diagnosis<'_>, Fatal(findings): Fatal) -> Result<(), Fatal> {
    let chain = &diagnosis.profile.chain;
    let now = diagnosis.components.aws.now();
    let session = diagnosis.components.sessions.peek(chain).session.filter(|session| session.is_usable(now));
    let Some(session) = session.filter(|_| !chain.is_base()) else { return Err(Fatal(findings)) };
    for finding in findings {
        diagnosis.found(as_still_usable(diagnosis, finding, &session)).await;
    }
    Ok(())
}

/// Loads the credentials of the source.
async fn load(diagnosis: &Diagnosis<'_>, base: &RoleChain) -> Result<Arc<Session>, Fatal> {
    let loading = diagnosis.components.sessions.get(base, Freshness::Cached);
    match diagnosis.within(SOURCE_TIMEOUT, loading).await {
        Some(Ok(served)) => {
            if let Some(problem) = &served.problem {
                diagnosis.found(still_usable(diagnosis, problem, &served.session)).await;
            }
            Ok(served.session)
        }
        Some(Err(error)) => Err(failure::of_load(diagnosis, base, &error).await),
        None => {
            let cause =
                format!("{} gave no credentials within {} s", diagnosis.source_kind(), SOURCE_TIMEOUT.as_secs());
            let finding = Finding::problem(FindingArea::Source, "source", "source_slow", cause)
                .consequence(plugin_failure(ErrorCode::Timeout))
                .fix("Check the network, and the credential_process of the AWS profile if it has one.");
            Err(finding.into())
        }
    }
}

/// Returns the warning of a session whose refresh failed.
pub(super) fn still_usable(diagnosis: &Diagnosis<'_>, problem: &SessionError, session: &Session) -> Finding {
    as_still_usable(diagnosis, failure::of_session(diagnosis, problem), session)
}

fn as_still_usable(diagnosis: &Diagnosis<'_>, finding: Finding, session: &Session) -> Finding {
    let now = diagnosis.components.aws.now();
    let consequence = match session.expires() {
        Some(end) => {
            let left = duration_text(time_until(now, end));
            format!("kubectl works for another {left}, with the session that Rolecall has")
        }
        None => "kubectl works with the session that Rolecall has".to_owned(),
    };
    Finding { state: FindingState::Warning, ..finding }.consequence(consequence)
}

/// Returns the credentials with the ARN of their principal, from the endpoint at which the roles are assumed. Credentials that
/// STS rejects are loaded once more: they may have been replaced where they come from.
async fn identify(
    diagnosis: &Diagnosis<'_>,
    base: &RoleChain,
    session: Arc<Session>,
) -> Result<(Arc<Session>, String), Fatal> {
    let endpoint = diagnosis.profile.chain.endpoint();
    let mut session = session;
    let mut identified = ask_identity(diagnosis, &endpoint, &session).await?;
    match identified.as_ref().map_err(|error| error.error.kind) {
        // The time in the response has corrected the clock.
        Err(AwsErrorKind::Clock) => identified = ask_identity(diagnosis, &endpoint, &session).await?,
        Err(AwsErrorKind::CredentialsRejected) if !base.needs_interactive_mfa() => {
            let reloading = diagnosis.components.sessions.get(base, Freshness::BypassCache);
            if let Some(Ok(newer)) = diagnosis.within(SOURCE_TIMEOUT, reloading).await
                && !newer.session.has_same_credentials(&session)
            {
                session = newer.session;
                identified = ask_identity(diagnosis, &endpoint, &session).await?;
            }
        }
        _ => {}
    }
    match identified {
        Ok(arn) => Ok((session, arn)),
        Err(error) => Err(rejected(diagnosis, &endpoint, &session, &error).await.into()),
    }
}

/// Returns the finding of failed credentials. A key that this STS does not know may be of another partition, or of an account
/// that does not use the region.
async fn rejected(diagnosis: &Diagnosis<'_>, endpoint: &StsEndpoint, session: &Session, error: &StsError) -> Finding {
    if error.error.code == Some(AwsErrorCode::UnknownKey) {
        let regions = HOME_REGIONS.iter().filter_map(|region| region.parse::<Region>().ok());
        let others = regions.filter(|region| *region != endpoint.region).map(|region| StsEndpoint {
            region,
            sts: StsAddress::default(),
            ..endpoint.clone()
        });
        let others: Vec<StsEndpoint> = others.collect();
        let asking = others.iter().map(|other| Box::pin(ask_identity(diagnosis, other, session)));
        let known = join_all(asking).await.into_iter().find_map(|answer| answer.ok()?.ok());
        if let Some(arn) = known {
            let other = failure::other_partition(diagnosis, &arn);
            return other.unwrap_or_else(|| failure::region_disabled(diagnosis, &arn));
        }
    }
    failure::of_sts(diagnosis, error)
}

async fn ask_identity(
    diagnosis: &Diagnosis<'_>,
    endpoint: &StsEndpoint,
    session: &Session,
) -> Result<Result<String, StsError>, Fatal> {
    let call = sts::get_caller_identity(&diagnosis.components.aws, endpoint, session);
    let answered = diagnosis.within(IDENTITY_TIMEOUT, call).await;
    answered.ok_or_else(|| failure::sts_silent(diagnosis).into())
}

/// Reports when the login of the source ends.
async fn check_login(diagnosis: &Diagnosis<'_>, base: &RoleChain) {
    let Some(login) = diagnosis.components.source_logins.login_status(base) else { return };
    if login.renews || login.kind == LoginKind::Keyring {
        return;
    }
    let clock = diagnosis.components.aws.clock();
    let now: Timestamp = clock.stamp(clock.now());
    let left = login.ends.and_then(|end| Duration::try_from(end.duration_since(now)).ok());
    let Some(left) = left else { return };
    let cause = format!("login ends in {}", duration_text(left));
    let finding = if left <= LOGIN_WARNING {
        let source = &diagnosis.profile.source_name;
        Finding::warning(FindingArea::Source, "login", "login_expires_soon", cause)
            .consequence("new sessions need another login then")
            .fix(Hint::command(format!("rolecall login {source} --renew")))
    } else {
        Finding::ok(FindingArea::Source, "login", cause)
    };
    diagnosis.found(finding).await;
}

/// Compares this machine's clock with AWS's.
async fn check_clock(diagnosis: &Diagnosis<'_>) {
    // Without a response of AWS, the failed call is the finding.
    let Some(status) = diagnosis.components.aws.clock().status() else { return };
    let skew = status.skew_seconds.unsigned_abs();
    let side = if status.skew_seconds > 0 { "behind" } else { "ahead of" };
    let finding = if status.corrected {
        // To the nearest minute: AWS's time has whole seconds.
        let shown = (skew + 30) / 60 * 60;
        let cause = format!("clock is {} {side} AWS", duration_text(Duration::from_secs(shown)));
        Finding::warning(FindingArea::Source, "clock", "clock_wrong", cause)
            .consequence(
                "Rolecall corrects it in its own calls; the AWS CLI, browsers and other programs fail with errors such as \
                 SignatureDoesNotMatch",
            )
            .fix(Hint::command(clock_command()))
    } else if skew <= CLOCK_RESOLUTION_SECONDS {
        Finding::ok(FindingArea::Source, "clock", "clock within 1 s of AWS")
    } else {
        Finding::ok(FindingArea::Source, "clock", format!("clock {skew} s {side} AWS"))
    };
    diagnosis.found(finding).await;
}

/// Returns what sets the clock.
const fn clock_command() -> &'static str {
    if cfg!(target_os = "macos") { "sudo sntp -sS time.apple.com" } else { "sudo timedatectl set-ntp true" }
}

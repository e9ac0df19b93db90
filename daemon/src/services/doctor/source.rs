//! The source: its credentials, its login, the principal that they are, and the clock.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rolecall_protocol::{ErrorCode, Finding, FindingArea, FindingState, LoginKind};

use super::diagnosis::{Diagnosis, FatalFinding, plugin_failure};
use super::failure;
use crate::sessions::{Freshness, SessionError};
use rolecall_aws::error::AwsErrorKind;
use rolecall_aws::sts::{self, StsError};
use rolecall_core::config::home_region;
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

/// The credentials that sign the first call to STS.
pub(super) struct SourceCredentials {
    pub(super) session: Arc<Session>,
    /// The ARN of their principal.
    pub(super) arn: String,
}

/// Checks the source, its principal, its login and the clock.
pub(super) async fn check(diagnosis: &Diagnosis<'_>) -> Result<SourceCredentials, FatalFinding> {
    let source = &diagnosis.profile.source_name;
    diagnosis.checking(format!("source \"{source}\" ({})", diagnosis.source_kind())).await;
    let chain = &diagnosis.profile.chain;
    let sessions = &diagnosis.components.sessions;
    // The user may have fixed the cause of an earlier failure.
    sessions.clear_failures(chain);
    sessions.allow_probe(chain);
    let base = if sessions.mfa_in_assume_role(chain) { chain.without_mfa() } else { chain.base() };
    let session = load(diagnosis, &base).await?;
    let identified = identify(diagnosis, &session).await;
    match &identified {
        Ok(arn) => {
            let cause = format!("{arn} ({})", diagnosis.source_kind());
            diagnosis.found(Finding::ok(FindingArea::Source, "source", cause)).await;
        }
        Err(finding) if finding.area != FindingArea::Source => {
            diagnosis.found(Finding::ok(FindingArea::Source, "source", diagnosis.source_kind())).await;
        }
        Err(_) => {}
    }
    check_login(diagnosis, &base).await;
    check_clock(diagnosis).await;
    Ok(SourceCredentials { session, arn: identified? })
}

/// Loads the credentials of the source.
async fn load(diagnosis: &Diagnosis<'_>, base: &RoleChain) -> Result<Arc<Session>, FatalFinding> {
    let loading = diagnosis.components.sessions.get(base, Freshness::Cached);
    match diagnosis.within(SOURCE_TIMEOUT, loading).await {
        Some(Ok(served)) => {
            if let Some(problem) = &served.problem {
                diagnosis.found(still_usable(diagnosis, problem, &served.session)).await;
            }
            Ok(served.session)
        }
        Some(Err(error)) => Err(Box::new(failure::of_session(diagnosis, &error))),
        None => {
            let cause =
                format!("{} gave no credentials within {} s", diagnosis.source_kind(), SOURCE_TIMEOUT.as_secs());
            let finding = Finding::problem(FindingArea::Source, "source", "source_slow", cause)
                .consequence(plugin_failure(ErrorCode::Timeout))
                .fix("Check the network, and the credential_process of the AWS profile if it has one.");
            Err(Box::new(finding))
        }
    }
}

/// Returns the warning of a session whose refresh failed.
pub(super) fn still_usable(diagnosis: &Diagnosis<'_>, problem: &SessionError, session: &Session) -> Finding {
    let finding = failure::of_session(diagnosis, problem);
    let clock = diagnosis.components.aws.clock();
    let left = session.expires().map(|end| rolecall_core::clock::time_until(clock.now(), end));
    let consequence = match left {
        Some(left) => format!("kubectl works for another {}, with the session that Rolecall has", duration_text(left)),
        None => "kubectl works with the session that Rolecall has".to_owned(),
    };
    Finding { state: FindingState::Warning, ..finding }.consequence(consequence)
}

/// Returns the ARN of the credentials, from the endpoint that the roles are assumed at.
async fn identify(diagnosis: &Diagnosis<'_>, session: &Session) -> Result<String, FatalFinding> {
    let endpoint = diagnosis.profile.chain.endpoint();
    let mut identified = ask_identity(diagnosis, &endpoint, session).await?;
    if matches!(&identified, Err(error) if error.error.kind == AwsErrorKind::Clock) {
        // The time in the response has corrected the clock.
        identified = ask_identity(diagnosis, &endpoint, session).await?;
    }
    let error = match identified {
        Ok(arn) => return Ok(arn),
        Err(error) => error,
    };
    let home = home_region(&endpoint.region);
    if error.error.kind == AwsErrorKind::CredentialsRejected && home != endpoint.region {
        let elsewhere =
            StsEndpoint { region: home, sts: rolecall_core::config::inputs::StsAddress::default(), ..endpoint };
        if let Ok(Ok(arn)) = ask_identity(diagnosis, &elsewhere, session).await {
            return Err(Box::new(failure::region_disabled(diagnosis, &arn)));
        }
    }
    Err(Box::new(failure::of_sts(diagnosis, &error)))
}

async fn ask_identity(
    diagnosis: &Diagnosis<'_>,
    endpoint: &StsEndpoint,
    session: &Session,
) -> Result<Result<String, StsError>, FatalFinding> {
    let call = sts::get_caller_identity(&diagnosis.components.aws, endpoint, session);
    let answered = diagnosis.within(IDENTITY_TIMEOUT, call).await;
    answered.ok_or_else(|| Box::new(failure::sts_silent(diagnosis)))
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
            .fix(format!("rolecall login {source} --renew"))
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
        let cause = format!("clock is {} {side} AWS", duration_text(Duration::from_secs(skew)));
        Finding::warning(FindingArea::Source, "clock", "clock_wrong", cause)
            .consequence(
                "Rolecall corrects it in its own calls; the AWS CLI, browsers and other programs fail with errors such as \
                 SignatureDoesNotMatch",
            )
            .fix(clock_fix())
    } else if skew <= CLOCK_RESOLUTION_SECONDS {
        Finding::ok(FindingArea::Source, "clock", "clock within 1 s of AWS")
    } else {
        Finding::ok(FindingArea::Source, "clock", format!("clock {skew} s {side} AWS"))
    };
    diagnosis.found(finding).await;
}

/// Returns what sets the clock.
const fn clock_fix() -> &'static str {
    if cfg!(target_os = "macos") { "sudo sntp -sS time.apple.com" } else { "sudo timedatectl set-ntp true" }
}

/// Returns a duration in its two largest units: `47 min`, `3 h 20 min`, `8 s`.
pub(super) fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min"),
        (_, 0) => format!("{hours} h"),
        _ => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_text_has_at_most_two_units() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (420, "7 min"), (3600, "1 h"), (12_000, "3 h 20 min")] {
            assert_eq!(duration_text(Duration::from_secs(seconds)), text);
        }
    }
}

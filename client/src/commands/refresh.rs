//! `rolecall refresh NAME…`: new sessions now.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{Endpoint, ProfileName, ProfileStatus, Refreshed, SessionStatus, sanitize_for_terminal};

use crate::cli::Refresh;
use crate::clock;
use crate::clock::Deadline;
use crate::context::Context;
use crate::daemon::config_status;
use crate::daemon::{CallError, Daemon};
use crate::error::{CliError, Exit};
use crate::{format_time, output};

/// How long a failed refresh waits for the profile's current session.
const PROFILE_TIMEOUT: Duration = Duration::from_secs(2);

/// Requests a new session for each profile, and prints it. Continues after an error; the exit code is that of the first
/// one.
pub(crate) fn run(wanted: &Refresh, context: &Context) -> Result<(), CliError> {
    let daemon = context.daemon()?;
    let names = if wanted.all { config_status::profile_names(&daemon, &context.zone)? } else { wanted.names.clone() };
    let mut failed = None;
    for name in &names {
        if let Err(error) = refresh(&daemon, name, context) {
            // The daemon did not answer, so it does not answer for the other profiles either.
            if names.len() == 1 || error.code() == Exit::Unreachable as u8 {
                return Err(error);
            }
            output::print_error(&error);
            failed.get_or_insert(error.code());
        }
    }
    failed.map_or(Ok(()), |code| Err(CliError::silent(code)))
}

fn refresh(daemon: &Daemon, name: &ProfileName, context: &Context) -> Result<(), CliError> {
    let Refreshed { session } = daemon
        .call_json(&Endpoint::Refresh(name.clone()), b"")
        .map_err(|error| refresh_error(error, daemon, name, &context.zone))?;
    let got = session_text(&session, clock::now(), &context.zone);
    context.print_done(&format!("{name}: {got}"))
}

/// The error of a refresh, with the session that stays valid. Asks the daemon again only if it has responded.
fn refresh_error(error: CallError, daemon: &Daemon, name: &ProfileName, zone: &TimeZone) -> CliError {
    if !matches!(error, CallError::Rejected(_)) {
        return error.into();
    }
    let error = CliError::from(error);
    let profile = Endpoint::Profile(name.clone());
    let found: Option<ProfileStatus> = daemon.call_json_within(&profile, b"", Deadline::after(PROFILE_TIMEOUT)).ok();
    match found.and_then(|profile| kept_session_text(&profile, clock::now(), zone)) {
        Some(kept_session_text) => error.with_hint_prefix(&kept_session_text),
        None => error,
    }
}

/// The session that is still valid, as a sentence.
fn kept_session_text(profile: &ProfileStatus, now: Timestamp, zone: &TimeZone) -> Option<String> {
    let end = profile.session.as_ref()?.expires.filter(|end| *end > now)?;
    Some(format!("The current session stays valid until {}", format_time::short_time(now, end, zone)))
}

/// The new session. Long-lived access keys have no session; the daemon has read them again.
fn session_text(session: &SessionStatus, now: Timestamp, zone: &TimeZone) -> String {
    let Some(end) = session.expires else {
        let key = sanitize_for_terminal(&session.key_id_suffix);
        return format!("the source's keys were read again (access key …{key})");
    };
    let whose = session.arn.as_deref().map(|arn| format!(" of {}", sanitize_for_terminal(arn))).unwrap_or_default();
    format!("a new session{whose}, valid until {}", format_time::until(now, end, zone, None))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn kept_session_text_valid_session() {
        let mut profile: ProfileStatus = serde_json::from_value(serde_json::json!({
            "name": "prod", "cluster": "prod", "region": "eu-west-1", "source": "work", "state": "failed",
            "session": {"key_id_suffix": "WXYZ", "issued": "2026-01-02T12:00:00Z", "expires": "2026-01-02T22:14:00Z"},
        }))
        .unwrap();
        let session_text =
            |profile: &ProfileStatus, now: &str| kept_session_text(profile, now.parse().unwrap(), &TimeZone::UTC);
        let noon = "2026-01-02T12:00:00Z";
        assert_eq!(session_text(&profile, noon).as_deref(), Some("The current session stays valid until 22:14"));
        assert_eq!(session_text(&profile, "2026-01-02T22:14:00Z"), None);
        profile.session = None;
        assert_eq!(session_text(&profile, noon), None);
    }

    #[test]
    fn session_text_long_lived_keys() {
        let mut session = SessionStatus {
            arn: Some("arn:aws:sts::111122223333:assumed-role/developers/dev".to_owned()),
            key_id_suffix: "WXYZ".to_owned(),
            issued: Timestamp::UNIX_EPOCH,
            expires: Some(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1)),
            temporary: true,
        };
        let session_text = |session: &SessionStatus| session_text(session, Timestamp::UNIX_EPOCH, &TimeZone::UTC);
        assert_eq!(
            session_text(&session),
            "a new session of arn:aws:sts::111122223333:assumed-role/developers/dev, valid until 01:00 (1 h)"
        );
        session.expires = None;
        assert_eq!(session_text(&session), "the source's keys were read again (access key …WXYZ)");
    }
}

//! `rolecall refresh NAME`: a new session now.

use jiff::{Timestamp, tz::TimeZone};
use rolecall_protocol::{Endpoint, Refreshed, SessionStatus, sanitize_for_terminal};

use crate::agent::{Agent, IfAbsent};
use crate::cli::Refresh;
use crate::report::CliError;
use crate::run::Context;
use crate::{clock, output, words};

/// Has the daemon forget the session, and says what the new one is.
pub(crate) fn run(wanted: &Refresh, context: &Context) -> Result<(), CliError> {
    let endpoint = Endpoint::Refresh(wanted.name.clone());
    let Refreshed { session } = Agent::find(IfAbsent::Start)?.call_json(&endpoint, b"")?;
    let got = told(&session, clock::now(), &TimeZone::system());
    output::print(&format!("{} {}: {got}\n", context.screen.tick(), wanted.name))
}

/// What there is now. Keys without an end are no session: they are what the source has, read again.
fn told(session: &SessionStatus, now: Timestamp, zone: &TimeZone) -> String {
    let Some(end) = session.expires else {
        let key = sanitize_for_terminal(&session.key_id_suffix);
        return format!("the source's keys were read again (access key …{key})");
    };
    let whose = session.arn.as_deref().map(|arn| format!(" of {}", sanitize_for_terminal(arn))).unwrap_or_default();
    format!("a new session{whose}, valid until {}", words::until(now, end, zone, None))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn long_lived_keys_are_no_new_session() {
        let mut session = SessionStatus {
            arn: Some("arn:aws:sts::111122223333:assumed-role/developers/dev".to_owned()),
            key_id_suffix: "WXYZ".to_owned(),
            issued: Timestamp::UNIX_EPOCH,
            expires: Some(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1)),
        };
        let told = |session: &SessionStatus| told(session, Timestamp::UNIX_EPOCH, &TimeZone::UTC);
        assert_eq!(
            told(&session),
            "a new session of arn:aws:sts::111122223333:assumed-role/developers/dev, valid until 01:00 (1 h)"
        );
        session.expires = None;
        assert_eq!(told(&session), "the source's keys were read again (access key …WXYZ)");
    }
}

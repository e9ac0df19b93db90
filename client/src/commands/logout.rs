//! `rolecall logout SOURCE…`: revokes logins, and drops the sessions made with them.

use rolecall_protocol::{Endpoint, LoggedOut, SourceName, Status};

use crate::cli::Logout;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::error::CliError;
use crate::login::source;
use crate::output;

/// Logs out of each source, and prints the results. Continues after an error.
pub(crate) fn run(wanted: &Logout, context: &Context) -> Result<(), CliError> {
    // Starts the daemon if it does not run, because only the daemon finds logins in AWS's own files.
    let daemon = context.daemon()?;
    let status: Status = daemon.call_json(&Endpoint::Status, b"")?;
    let sources = if wanted.all {
        source::all_names(&status)
    } else {
        wanted.names.iter().map(|name| source::find(name, &status)).collect::<Result<_, _>>()?
    };
    if sources.is_empty() {
        output::print_note("no source is configured, so there is nothing to log out of");
    }
    let mut failed = None;
    for source in &sources {
        let has_login = status.sources.iter().any(|known| known.name == *source && known.login.is_some());
        if let Err(error) = log_out(&daemon, source, has_login, context) {
            output::print_error(&error);
            failed.get_or_insert(error.code());
        }
    }
    failed.map_or(Ok(()), |code| Err(CliError::silent(code)))
}

fn log_out(daemon: &Daemon, source: &SourceName, has_login: bool, context: &Context) -> Result<(), CliError> {
    let out: LoggedOut = daemon.call_json(&Endpoint::Logout(source.clone()), b"")?;
    let logout_text = logout_text(&out, has_login);
    if let Some(problem) = out.problem.filter(|_| out.revoked != Some(true)) {
        // The login was dropped here, but AWS did not revoke it. So the logout failed.
        return Err(CliError::from(problem)
            .with_hint_prefix("The agent dropped it")
            .with_subject(format!("source \"{source}\"")));
    }
    context.print_done(&format!("source {source}: {logout_text}"))
}

/// The result of a logout. A source without a login, such as an access key, can be used again without a question, so
/// it is not logged out.
fn logout_text(out: &LoggedOut, has_login: bool) -> String {
    let sessions = match out.sessions {
        0 => None,
        1 => Some("1 session dropped".to_owned()),
        many => Some(format!("{many} sessions dropped")),
    };
    let revoked = (out.revoked == Some(true)).then(|| "AWS revoked the login".to_owned());
    let parts: Vec<String> = sessions.into_iter().chain(revoked).collect();
    match parts.as_slice() {
        [] => "there was no login and no session".to_owned(),
        parts if !has_login && out.revoked.is_none() => {
            format!("{}; it has no login to end, so the next use gets a new session", parts.join(", "))
        }
        parts => format!("logged out; {}", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logout_text_counts_sessions() {
        let logout_text = |sessions, revoked| logout_text(&LoggedOut { sessions, revoked, problem: None }, true);
        assert_eq!(logout_text(0, None), "there was no login and no session");
        assert_eq!(logout_text(1, None), "logged out; 1 session dropped");
        assert_eq!(logout_text(3, Some(true)), "logged out; 3 sessions dropped, AWS revoked the login");
        assert_eq!(logout_text(0, Some(true)), "logged out; AWS revoked the login");
        assert_eq!(logout_text(0, Some(false)), "there was no login and no session");
        let access_key = LoggedOut { sessions: 2, revoked: None, problem: None };
        assert_eq!(
            super::logout_text(&access_key, false),
            "2 sessions dropped; it has no login to end, so the next use gets a new session"
        );
    }
}

//! `rolecall refresh NAME`: a new session now.

use jiff::tz::TimeZone;
use rolecall_protocol::{Endpoint, Refreshed, sanitize_for_terminal};

use crate::agent::{Agent, IfAbsent};
use crate::cli::Refresh;
use crate::report::CliError;
use crate::run::Context;
use crate::{clock, output, words};

/// Has the daemon forget the session, and says what the new one is.
pub(crate) fn run(wanted: &Refresh, context: &Context) -> Result<(), CliError> {
    let endpoint = Endpoint::Refresh(wanted.name.clone());
    let Refreshed { session } = Agent::find(IfAbsent::Start)?.call_json(&endpoint, b"")?;
    let whose = session.arn.map(|arn| format!(" of {}", sanitize_for_terminal(&arn))).unwrap_or_default();
    let until = session
        .expires
        .map(|end| format!(", valid until {}", words::until(clock::now(), end, &TimeZone::system())))
        .unwrap_or_default();
    output::print(&format!("{} {}: a new session{whose}{until}\n", context.screen.tick(), wanted.name))
}

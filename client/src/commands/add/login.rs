//! Offers a login while a profile is added, if its source needs one.

use std::io::IsTerminal;
use std::path::Path;

use rolecall_protocol::{Endpoint, ErrorBody, ErrorCode, LoginFlow, Probed, SourceName, join_sentences, location};

use super::verify::of_draft;
use crate::cli::Add;
use crate::clock;
use crate::config_file::ConfigFile;
use crate::context::Context;
use crate::daemon::{CallError, Daemon};
use crate::environment::Environment;
use crate::error::CliError;
use crate::login::browser;
use crate::login::flow::{self, LoginOptions};
use crate::login::prompter::{CodeInput, Prompter};
use crate::terminal::status_line::Sink;
use crate::terminal::tty::Tty;

/// The hint for a source that is not in the configuration yet.
const RUN_AGAIN_HINT: &str = "Run the command again, and log in when it asks";

/// The note for a shell that has an access key in its environment.
const KEYS_IN_ENVIRONMENT: &str = "AWS_ACCESS_KEY_ID is set in this shell, and Rolecall reads no keys from the environment: put them into ~/.aws/credentials, or run: rolecall keys put NAME --source";

/// Has the daemon assume the role and describe the cluster. If the source needs a login, offers one; errors
/// with the daemon's refusal if the user declines or there is no terminal.
pub(super) fn probe(
    daemon: &Daemon,
    wanted: &Add,
    source: &Source<'_>,
    draft: &ConfigFile,
    path: &Path,
    context: &Context,
) -> Result<Probed, CliError> {
    let text = draft.text();
    let probe = || daemon.call_json(&Endpoint::Probe(wanted.name.clone()), text.as_bytes());
    match probe() {
        Err(CallError::Rejected(refusal)) if refusal.code == ErrorCode::LoginNeeded => {
            offer(daemon, source, &text, refusal, context)?;
            probe().map_err(|error| of_draft(error, path))
        }
        Err(CallError::Rejected(refusal)) if refusal.code == ErrorCode::SourceUnavailable && source.is_new => {
            Err(of_draft(CallError::Rejected(with_note_on_keys(refusal, &context.environment)), path))
        }
        answer => answer.map_err(|error| of_draft(error, path)),
    }
}

/// Adds to the hint that an access key in the environment has no effect, if there is one.
fn with_note_on_keys(refusal: ErrorBody, environment: &Environment) -> ErrorBody {
    if environment.get("AWS_ACCESS_KEY_ID").is_none() {
        return refusal;
    }
    let hint = match &refusal.hint {
        Some(hint) => join_sentences(&hint.to_string(), Some(KEYS_IN_ENVIRONMENT)),
        None => KEYS_IN_ENVIRONMENT.to_owned(),
    };
    refusal.hint(hint)
}

/// The source of the new profile.
pub(super) struct Source<'a> {
    pub(super) name: &'a SourceName,
    /// Whether the source is only in the draft. No other command can log in to it then.
    pub(super) is_new: bool,
}

impl Source<'_> {
    /// The error, with `instead` as its hint if the daemon's hint needs the source in the configuration.
    fn refused(&self, error: impl Into<CliError>, instead: &str) -> CliError {
        let error = error.into();
        if self.is_new { error.with_hint(instead) } else { error }
    }
}

fn offer(
    daemon: &Daemon,
    source: &Source<'_>,
    draft: &str,
    refusal: ErrorBody,
    context: &Context,
) -> Result<(), CliError> {
    let name = source.name;
    if location::no_prompt() || !std::io::stderr().is_terminal() || !Tty::open().is_some_and(|tty| tty.is_available()) {
        return Err(source.refused(refusal, "Run the command in a terminal, and log in when it asks"));
    }
    let has_browser = browser::is_available(&context.environment);
    let about = format!("source \"{name}\"");
    let mut prompter =
        Prompter::new(about, name, &context.environment, Sink::StandardError, CodeInput::Terminal, has_browser)?;
    if !prompter.confirm_login(&refusal) {
        return Err(source.refused(refusal, RUN_AGAIN_HINT));
    }
    let flow = if has_browser { LoginFlow::Browser } else { LoginFlow::Device };
    let options = LoginOptions { flow, renew: false, draft: Some(draft) };
    let held = flow::log_in(daemon, name, options, &mut prompter);
    let done = held.map_err(|error| source.refused(error, RUN_AGAIN_HINT))?;
    context.print_done(&format!("source {name}: {}", done.text(clock::now(), &context.zone)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_note_on_keys_only_if_the_shell_has_some() {
        let refusal =
            || ErrorBody::new(ErrorCode::SourceUnavailable, "AWS profile \"x\" not found").hint("There are none.");
        let hint = |variables: &[(&str, &str)]| {
            let environment = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            with_note_on_keys(refusal(), &environment).hint.unwrap().to_string()
        };
        assert_eq!(hint(&[("AWS_PROFILE", "x")]), "There are none.");
        assert!(
            hint(&[("AWS_ACCESS_KEY_ID", "AKIAX")])
                .starts_with("There are none. AWS_ACCESS_KEY_ID is set in this shell")
        );
    }
}

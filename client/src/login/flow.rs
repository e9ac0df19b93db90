//! The steps of a login: the daemon asks, and the user interface answers, until the login is done.

use std::time::Duration;

use jiff::Timestamp;
use rolecall_protocol::{ErrorBody, ErrorCode, LoginFlow, LoginRequest, LoginStep, MfaSerial, Secret, SourceName};

use super::outcome::LoginOutcome;
use crate::clock::Deadline;
use crate::daemon::{Daemon, LoginSteps};
use crate::error::{CliError, Exit};

/// How long the daemon may work without a step for the user.
const DAEMON_WORK_TIMEOUT: Duration = Duration::from_mins(2);
/// How long the user may take in a browser.
pub(crate) const BROWSER_TIMEOUT: Duration = Duration::from_mins(10);
/// How often the waiting line is redrawn.
const POLL_INTERVAL: Duration = Duration::from_millis(120);
/// How many codes are tried until AWS accepts one.
const MAX_ATTEMPTS_PER_CODE: u32 = 3;
/// How many codes one login may take: each role of a source can ask for its own.
const MAX_CODES_PER_LOGIN: u32 = 16;

/// The options of a login.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoginOptions<'a> {
    /// How the user approves a login, if the source has several flows.
    pub(crate) flow: LoginFlow,
    /// Whether a valid login is replaced.
    pub(crate) renew: bool,
    /// The configuration that has the source, if it is not in force yet.
    pub(crate) draft: Option<&'a str>,
}

/// A page on which the user approves the login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VerificationPage {
    pub(crate) url: String,
    /// The code that the page shows or asks for.
    pub(crate) code: Option<String>,
    pub(crate) expires: Timestamp,
    /// Whether another process started this login.
    pub(crate) joined: bool,
}

/// The user interface of a login.
pub(crate) trait LoginUi {
    /// Asks for an MFA code. `refused` is the error of the last code.
    fn ask_code(&mut self, serial: &MfaSerial, refused: Option<&ErrorBody>) -> Result<Secret<String>, CliError>;
    /// Shows a page.
    fn show_page(&mut self, page: &VerificationPage);
    /// Shows that the login still waits for the page.
    fn show_waiting(&mut self);
    /// Runs a program.
    fn run_command(&mut self, argv: &[String]) -> Result<(), CliError>;
    /// Calls the daemon, which may have to be started. Ctrl-C ends the program during the call.
    fn interruptible<T>(&mut self, call: impl FnOnce() -> T) -> T;
    /// Clears what [`Self::show_waiting`] shows.
    fn clear(&mut self);
}

/// Logs in to a source: asks the daemon, and passes its steps to the user interface.
pub(crate) fn log_in(
    daemon: &Daemon,
    source: &SourceName,
    options: LoginOptions<'_>,
    ui: &mut impl LoginUi,
) -> Result<LoginOutcome, CliError> {
    let LoginOptions { flow, mut renew, draft } = options;
    let (mut code, mut codes, mut tries, mut has_run) = (None, 0, 0, false);
    loop {
        let request = LoginRequest { code: code.take(), flow, renew, draft: draft.map(str::to_owned) };
        let steps = ui
            .interruptible(|| daemon.login(source, &request))
            .map_err(|error| error.with_subject(format_args!("source \"{source}\"")))?;
        let result = read_steps(steps, source, ui);
        ui.clear();
        let (last, page_shown) = result?;
        // A login that the user has just made is not replaced again.
        renew &= !page_shown;
        match last {
            LoginStep::Done { source, arn, changed } => return Ok(LoginOutcome { source, arn, changed }),
            LoginStep::Failed { error } => return Err(error.into()),
            LoginStep::MfaCode { refused: Some(refused), .. } if tries >= MAX_ATTEMPTS_PER_CODE => {
                return Err(refused.into());
            }
            LoginStep::MfaCode { .. } if codes >= MAX_CODES_PER_LOGIN => return Err(too_many_codes(source)),
            LoginStep::MfaCode { serial, refused } => {
                if refused.is_none() {
                    // The first code, or the next one after AWS accepted a code.
                    (tries, renew) = (0, renew && codes == 0);
                }
                (codes, tries) = (codes + 1, tries + 1);
                code = Some(ui.ask_code(&serial, refused.as_ref())?);
            }
            LoginStep::Command { argv } if has_run => return Err(still_not_logged_in(source, &argv)),
            LoginStep::Command { argv } => {
                ui.run_command(&argv)?;
                (has_run, renew) = (true, false);
            }
            _ => return Err(unknown_step(source)),
        }
    }
}

/// Reads steps up to the one that ends this request. True if a page was shown.
fn read_steps(
    mut steps: LoginSteps,
    source: &SourceName,
    ui: &mut impl LoginUi,
) -> Result<(LoginStep, bool), CliError> {
    let mut until = Deadline::after(DAEMON_WORK_TIMEOUT);
    let (mut page, mut was_unknown) = (None, false);
    loop {
        match steps.next(POLL_INTERVAL) {
            Ok(Some(LoginStep::Browser { url, code, expires, joined })) => {
                let new = VerificationPage { url, code, expires, joined };
                if page.as_ref() != Some(&new) {
                    until = Deadline::after(BROWSER_TIMEOUT);
                    ui.show_page(&new);
                    page = Some(new);
                }
            }
            Ok(Some(LoginStep::Unknown)) => was_unknown = true,
            Ok(Some(last)) => return Ok((last, page.is_some())),
            Ok(None) if until.remaining().is_none() => return Err(timed_out(source, until.limit())),
            Ok(None) if page.is_some() => ui.show_waiting(),
            Ok(None) => {}
            Err(_) if was_unknown => return Err(unknown_step(source)),
            Err(error) => return Err(error.with_subject(format_args!("source \"{source}\""))),
        }
    }
}

fn still_not_logged_in(source: &SourceName, argv: &[String]) -> CliError {
    let command = argv.join(" ");
    let body = ErrorBody::new(
        ErrorCode::LoginFailed,
        format!("source \"{source}\": {command} succeeded, but the source still has no valid login"),
    );
    body.hint("Check that it logs in to the AWS profile of the source: rolecall status").into()
}

fn too_many_codes(source: &SourceName) -> CliError {
    let body = ErrorBody::new(ErrorCode::LoginFailed, format!("source \"{source}\": AWS keeps asking for MFA codes"));
    body.hint("See what its roles ask for: rolecall agent logs").into()
}

fn timed_out(source: &SourceName, limit: Duration) -> CliError {
    let minutes = limit.as_secs() / 60;
    let body = ErrorBody::new(ErrorCode::LoginNeeded, format!("source \"{source}\": no login within {minutes} min"));
    body.hint(format!("Try again: rolecall login {source}")).into()
}

fn unknown_step(source: &SourceName) -> CliError {
    CliError::new(
        Exit::Mismatch,
        format!("source \"{source}\": the agent asks for a step that this client does not know"),
        "The agent is newer than the client: install rolecall again",
    )
}

#[cfg(test)]
mod tests;

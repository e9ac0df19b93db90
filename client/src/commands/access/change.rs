//! How a change is made: the daemon's plan, the user's yes, the change itself, and its report.

use std::io::IsTerminal;
use std::time::Duration;

use rolecall_protocol::{
    AccessPlan, AccessReport, AccessStep, ChangeOptions, Endpoint, ProfileName, escape_controls, sanitize_for_terminal,
};
use serde::Serialize;

use super::account::Account;
use super::principals::Principals;
use super::{plan_view, report};
use crate::cli::Confirm;
use crate::clock::Deadline;
use crate::context::Context;
use crate::daemon::{Daemon, Steps};
use crate::error::{CliError, Exit};
use crate::output::{self, DataFormat};
use crate::terminal::prompt;
use crate::terminal::status_line::{Sink, StatusLine};
use crate::terminal::style;
use crate::terminal::tty::{Tty, TypedLine};

/// How long the daemon may take to make a plan: thousands of principals are looked up in IAM.
const PLAN_TIMEOUT: Duration = Duration::from_mins(5);
/// How long a change may take: a new authentication mode takes minutes.
const APPLY_TIMEOUT: Duration = Duration::from_mins(30);
/// How long the user may take to answer.
const CONFIRM_TIMEOUT: Duration = Duration::from_mins(10);
/// What the progress of a change says about Ctrl-C: the daemon finishes a change that has begun.
const AFTER_CTRL_C: &str = " (goes on after Ctrl-C)";
/// How often the deadline is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A change of the access to a profile's cluster.
pub(super) struct Change<'a> {
    pub(super) profile: &'a ProfileName,
    pub(super) endpoint: Endpoint,
    pub(super) confirm: &'a Confirm,
    /// The principals that the user gave, with their places.
    pub(super) given: Principals,
}

/// A change as far as the user interface needs it.
struct Session<'a> {
    change: &'a Change<'a>,
    daemon: Daemon,
    line: StatusLine,
    context: &'a Context,
}

/// Shows the plan, asks, makes the change and reports. `options` gives the part of the request that selects the plan.
pub(super) fn run<R: Serialize>(
    change: &Change<'_>,
    mut request: R,
    options: impl Fn(&mut R) -> &mut ChangeOptions,
    context: &Context,
) -> Result<(), CliError> {
    let format = change.confirm.output.data();
    let tty = check_can_ask(change.confirm, format)?;
    options(&mut request).api_server = super::api_server(change.profile);
    check_size(&request, &change.endpoint)?;
    let is_live = std::io::stderr().is_terminal() && style::supports_cursor_moves(&context.environment);
    let line = StatusLine::new(Sink::StandardError, is_live, tty.clone())?;
    let session = Session { change, daemon: context.daemon()?, line, context };

    let plan = session.plan(&request)?;
    let account = Account::find(&session.daemon, change.profile);
    session.show_plan(&plan, account.as_ref(), format)?;
    if plan.effective() == 0 || change.confirm.dry_run {
        return session.end_unchanged(&plan, account.as_ref(), format);
    }
    if let Some(tty) = tty.filter(|_| !change.confirm.yes) {
        session.ask(&tty, &plan)?;
    }
    options(&mut request).apply = Some(plan.id.clone());
    let done = session.apply(&request)?;
    session.show_report(&done, &plan, account.as_ref(), format)
}

/// Returns the terminal for the question; `None` with `--yes` or `--dry-run`. Errors if the question cannot be asked.
fn check_can_ask(confirm: &Confirm, format: Option<DataFormat>) -> Result<Option<Tty>, CliError> {
    if confirm.yes || confirm.dry_run {
        return Ok(Tty::open());
    }
    if format.is_some() {
        return Err(CliError::new(
            Exit::Usage,
            "data for programs leaves no place for a question",
            "Add --yes to make the change, or --dry-run to see it",
        ));
    }
    let tty = Tty::open().filter(|tty| tty.is_available() && std::io::stdout().is_terminal());
    tty.map(Some).ok_or_else(|| {
        CliError::new(
            Exit::Usage,
            "there is no terminal to show the plan and to ask on",
            "See the plan with --dry-run, and make the change with --yes",
        )
    })
}

fn check_size(request: &impl Serialize, endpoint: &Endpoint) -> Result<(), CliError> {
    /// The room that the id of a plan takes.
    const ID_BYTES: usize = 1024;
    let size = serde_json::to_vec(request).map_or(usize::MAX, |body| body.len());
    if size + ID_BYTES <= endpoint.max_body_bytes() {
        return Ok(());
    }
    Err(CliError::new(Exit::Usage, format!("the request is too large ({size} bytes)"), "Give fewer principals at once"))
}

impl Session<'_> {
    fn plan(&self, request: &impl Serialize) -> Result<AccessPlan, CliError> {
        match self.last_step(request, PLAN_TIMEOUT, "")? {
            AccessStep::Plan(plan) => Ok(plan),
            AccessStep::Failed { error } => Err(error.into()),
            _ => Err(self.unknown_step()),
        }
    }

    fn apply(&self, request: &impl Serialize) -> Result<AccessReport, CliError> {
        let result = self.last_step(request, APPLY_TIMEOUT, AFTER_CTRL_C).map_err(|error| {
            let check = format!("Some of the changes may be made: rolecall access list {}", self.change.profile);
            error.with_hint_suffix(&check)
        })?;
        match result {
            AccessStep::Report(done) => Ok(done),
            AccessStep::Failed { error } => Err(error.into()),
            _ => Err(self.unknown_step()),
        }
    }

    /// Reads the steps up to the one that ends the request, and shows the progress.
    fn last_step(&self, request: &impl Serialize, timeout: Duration, aside: &str) -> Result<AccessStep, CliError> {
        let steps = self.daemon.access_change(&self.change.endpoint, request);
        let result = steps.map_err(|error| error.with_subject(self.change.profile));
        let result = result.and_then(|steps| self.read_steps(steps, timeout, aside));
        self.line.clear();
        result
    }

    fn read_steps(&self, mut steps: Steps<AccessStep>, timeout: Duration, aside: &str) -> Result<AccessStep, CliError> {
        let deadline = Deadline::after(timeout);
        loop {
            match steps.next(POLL_INTERVAL).map_err(|error| error.with_subject(self.change.profile))? {
                Some(AccessStep::Progress { done, total, activity }) => {
                    self.line.draw(&(progress_text(done, total, activity.as_deref()) + aside));
                }
                Some(AccessStep::Unknown) => {}
                Some(last) => return Ok(last),
                None if deadline.remaining().is_none() => {
                    let minutes = timeout.as_secs() / 60;
                    let message = format!("{}: the agent did not finish within {minutes} min", self.change.profile);
                    return Err(CliError::failed(message, "See what it is doing with: rolecall agent logs"));
                }
                None => {}
            }
        }
    }

    fn show_plan(
        &self,
        plan: &AccessPlan,
        account: Option<&Account>,
        format: Option<DataFormat>,
    ) -> Result<(), CliError> {
        match format {
            Some(format) if self.change.confirm.dry_run => output::print_data(format, plan),
            Some(_) => Ok(()),
            None => output::print(&plan_view::render(plan, account, &self.change.given, self.screen())),
        }
    }

    fn ask(&self, tty: &Tty, plan: &AccessPlan) -> Result<(), CliError> {
        let (cluster, count) = (escape_controls(&plan.cluster), super::counted(plan.effective(), "change"));
        let question = format!("Make {count} to the access of cluster {cluster}? [y/N] ");
        let typed = self.line.ask(tty, &question, Deadline::after(CONFIRM_TIMEOUT));
        match typed {
            TypedLine::Line(answer) if prompt::is_yes(&answer, false) => return Ok(()),
            TypedLine::Line(_) => {}
            TypedLine::End | TypedLine::Timeout => tty.write("\n"),
        }
        Err(CliError::failed(format!("the access of cluster {cluster} was not changed"), "Nothing was changed."))
    }

    /// Ends a plan that is not carried out. A refused principal is a failure.
    fn end_unchanged(
        &self,
        plan: &AccessPlan,
        account: Option<&Account>,
        format: Option<DataFormat>,
    ) -> Result<(), CliError> {
        let unchanged = report::of_unchanged(plan);
        if let Some(format) = format.filter(|_| !self.change.confirm.dry_run) {
            output::print_data(format, &unchanged)?;
        } else if format.is_none() && plan.effective() > 0 {
            output::print("This is a dry run: nothing was changed.\n")?;
        }
        if !report::has_failure(&unchanged) {
            return Ok(());
        }
        // On a terminal, the plan above ends with them.
        if format.is_some() || !std::io::stdout().is_terminal() {
            report::print_failures(&unchanged, plan, &self.change.given, account);
        }
        Err(CliError::silent(Exit::Failed as u8))
    }

    fn show_report(
        &self,
        done: &AccessReport,
        plan: &AccessPlan,
        account: Option<&Account>,
        format: Option<DataFormat>,
    ) -> Result<(), CliError> {
        match format {
            Some(format) => output::print_data(format, done)?,
            None => output::print(&report::render(done, self.change.profile, account, self.screen()))?,
        }
        if !report::has_failure(done) {
            return Ok(());
        }
        report::print_failures(done, plan, &self.change.given, account);
        Err(CliError::silent(Exit::Failed as u8))
    }

    fn screen(&self) -> style::Screen {
        self.context.screen.widened(self.change.confirm.output.is_wide())
    }

    fn unknown_step(&self) -> CliError {
        CliError::new(
            Exit::Mismatch,
            format!("{}: the agent sent a step that this client does not know", self.change.profile),
            "The agent is newer than the client: install rolecall again",
        )
    }
}

fn progress_text(done: usize, total: usize, activity: Option<&str>) -> String {
    let count = if total > 0 { format!("{done} of {total}") } else { String::new() };
    match (activity.map(sanitize_for_terminal), count.as_str()) {
        (Some(activity), "") => activity,
        (Some(activity), count) => format!("{count}: {activity}"),
        (None, _) => count,
    }
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::{AccessGrantRequest, GivenPrincipal, PrincipalKind};

    use super::*;

    #[test]
    fn progress_text_counts_and_names_the_activity() {
        assert_eq!(progress_text(3, 200, None), "3 of 200");
        assert_eq!(progress_text(3, 200, Some("waiting\u{7}")), "3 of 200: waiting\\u{7}");
        assert_eq!(progress_text(0, 0, Some("reading")), "reading");
    }

    #[test]
    fn check_can_ask_data_needs_yes_or_dry_run() {
        let error = check_can_ask(&Confirm::default(), Some(DataFormat::Json)).unwrap_err();
        assert_eq!(error.code(), 2);
        assert!(error.to_string().contains("--yes"), "{error}");
        let yes = Confirm { yes: true, ..Confirm::default() };
        assert!(check_can_ask(&yes, Some(DataFormat::Json)).is_ok());
    }

    #[test]
    fn check_size_refuses_what_the_daemon_would() {
        let endpoint = Endpoint::AccessGrant("prod".parse().unwrap());
        let principal = GivenPrincipal { kind: PrincipalKind::User, name: "x".repeat(64) };
        let mut request = AccessGrantRequest { principals: vec![principal.clone(); 10_000], ..Default::default() };
        assert!(check_size(&request, &endpoint).is_ok());
        request.principals = vec![principal; 100_000];
        assert!(check_size(&request, &endpoint).unwrap_err().to_string().contains("too large"));
    }
}

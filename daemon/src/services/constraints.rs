//! Checks the constraints of a profile before it is used.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rolecall_protocol::ProfileName;

use super::approvals::Approvals;
use super::config::ConfigService;
use super::error::AgentError;
use super::unauthorized::ClientProcess;
use crate::processes::Process;
use rolecall_core::clock::Clock;
use rolecall_core::constraints::{Confirm, ConstraintError, Constraints, LocalTime, ProgramFile};
use rolecall_core::profile::Profile;

/// Checks constraints.
pub struct ConstraintService {
    pub(crate) config: Arc<ConfigService>,
    pub(crate) approvals: Arc<Approvals>,
    pub(crate) clock: Clock,
}

impl ConstraintService {
    /// Checks a request that uses a profile without getting a token. Errors with the constraint that excludes it.
    pub async fn check_request(&self, name: &ProfileName, client: Option<ClientProcess>) -> Result<(), AgentError> {
        let profile = self.config.profile(name)?;
        let checked = Box::pin(self.check(&profile, client)).await;
        checked.map_err(|error| {
            if error != ConstraintError::Pending {
                tracing::warn!(profile = %name, code = %error.body(name).code, "request refused by a constraint");
            }
            AgentError::new(name, error.body(name))
        })
    }

    /// Returns if the profile may be used now by the process that runs the client. Asks the user if the profile says so.
    pub(super) async fn check(&self, profile: &Profile, client: Option<ClientProcess>) -> Result<(), ConstraintError> {
        let Some(constraints) = &profile.constraints else { return Ok(()) };
        let now = self.clock.now();
        let program = client.and_then(|client| Some((client.program?, program_name(client))));
        let opened = self.approvals.opened_at(&profile.name);
        constraints.check((now, local_time(now)), opened, program, &files(constraints))?;
        if constraints.confirm == Confirm::Never {
            return Ok(());
        }
        let program = self.config.active().confirm_program.clone();
        let question = || question(profile, client);
        let asked = (profile.name.clone(), client.and_then(|client| client.program));
        self.approvals.confirm(&asked, constraints.confirm, program, question).await
    }

    /// Errors with the constraint on time that excludes a profile now. Asks the user nothing.
    pub(super) fn check_time(&self, profile: &Profile) -> Result<(), ConstraintError> {
        let Some(constraints) = &profile.constraints else { return Ok(()) };
        let now = self.clock.now();
        let of_time = Constraints { allowed_programs: None, ..Constraints::clone(constraints) };
        of_time.check((now, local_time(now)), self.approvals.opened_at(&profile.name), None, &[])
    }
}

/// Returns a time in the machine's time zone.
fn local_time(now: std::time::SystemTime) -> LocalTime {
    let local = Timestamp::try_from(now).unwrap_or_default().to_zoned(TimeZone::system());
    // Neither is negative.
    let weekday = u8::try_from(local.weekday().to_monday_zero_offset()).unwrap_or_default();
    let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or_default();
    LocalTime { weekday, minute }
}

/// Returns the files of the allowed programs. One that does not exist allows nothing.
fn files(constraints: &Constraints) -> Vec<ProgramFile> {
    let paths = constraints.allowed_programs.iter().flatten();
    paths.filter_map(|path| path.metadata().ok()).map(|file| (file.dev(), file.ino())).collect()
}

/// Returns the path of the program that asks, or the name of its command.
fn program_name(client: ClientProcess) -> String {
    let process = Process::find(client.pid).filter(|process| process.started == client.started);
    let name = process.and_then(|process| process.executable().or(Some(process.command)));
    name.unwrap_or_else(|| format!("process {}", client.pid))
}

fn question(profile: &Profile, client: Option<ClientProcess>) -> Vec<String> {
    let by = client.map_or_else(
        || "An unknown program".to_owned(),
        |client| format!("{} (process {})", program_name(client), client.pid),
    );
    let role = profile.chain.steps.last().map_or("none", |step| step.role.as_str());
    vec![
        format!("{by} asks to use the profile {}.", profile.name),
        format!("Cluster: {} in {}", profile.cluster, profile.chain.region),
        format!("Role: {role}"),
    ]
}

//! The search, as the daemon reports it.

use std::io::IsTerminal as _;
use std::time::Duration;

use rolecall_protocol::{DiscoverRequest, DiscoverStep, DiscoveredCluster, ErrorBody, sanitize_for_terminal};
use serde::Serialize;

use crate::cli::Discover;
use crate::clock::Deadline;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::error::CliError;
use crate::terminal::status_line::{Sink, StatusLine};
use crate::terminal::style;

/// How long a search may take: a large organization has thousands of roles.
const TIMEOUT: Duration = Duration::from_mins(20);
/// How often the deadline is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) clusters: Vec<DiscoveredCluster>,
    pub(super) skipped: Vec<Skipped>,
}

/// A part that could not be searched.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Skipped {
    pub(super) what: String,
    pub(super) error: ErrorBody,
}

/// Runs a search, and shows its progress on a terminal.
pub(super) fn search(daemon: &Daemon, wanted: &Discover, context: &Context) -> Result<Found, CliError> {
    let request = DiscoverRequest {
        sources: wanted.sources.clone(),
        aws_profiles: wanted.aws_profiles.clone(),
        permission_sets: wanted.permission_sets,
        accounts: wanted.accounts.clone(),
        role_names: wanted.role_names.clone(),
        regions: wanted.regions.clone(),
        all_regions: wanted.all_regions,
    };
    let is_live = std::io::stderr().is_terminal() && style::supports_cursor_moves(&context.environment);
    let line = StatusLine::new(Sink::StandardError, is_live, None)?;
    line.draw("searching for clusters");
    let found = read(daemon, &request, &line);
    line.clear();
    found
}

fn read(daemon: &Daemon, request: &DiscoverRequest, line: &StatusLine) -> Result<Found, CliError> {
    let deadline = Deadline::after(TIMEOUT);
    let mut steps = daemon.discover(request)?;
    let mut found = Found::default();
    loop {
        match steps.next(POLL_INTERVAL)? {
            Some(DiscoverStep::Progress { done, total, what }) => {
                let what = sanitize_for_terminal(&what);
                line.draw(&format!("searched {done} of {total} ({what}), clusters: {}", found.clusters.len()));
            }
            Some(DiscoverStep::Found { cluster }) => found.clusters.push(*cluster),
            Some(DiscoverStep::Skipped { what, error }) => {
                found.skipped.push(Skipped { what, error: error.sanitized() });
            }
            Some(DiscoverStep::Done) => return Ok(found),
            Some(DiscoverStep::Failed { error }) => return Err(error.into()),
            None if deadline.remaining().is_none() => {
                let message = format!("the agent did not finish the search within {} min", TIMEOUT.as_secs() / 60);
                return Err(CliError::failed(message, "Search in parts: --aws-profile, --account, --region"));
            }
            _ => {}
        }
    }
}

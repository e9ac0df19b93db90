//! Checks before the first write: the configuration is valid, the role can be assumed, the cluster exists.

use std::fmt::Write as _;
use std::path::Path;

use jiff::SignedDuration;
use rolecall_protocol::{
    Cluster, ConfigChecked, Endpoint, ErrorBody, ErrorCode, Probed, ProbedCluster, SessionStatus, sanitize_for_terminal,
};

use crate::cli::Add;
use crate::config_file::{ConfigFile, ProfileEntry};
use crate::context::Context;
use crate::daemon::{CallError, Daemon};
use crate::error::CliError;
use crate::format_time;
use crate::kubeconfig::context_entry::Server;
use crate::{clock, output};

/// The session duration if neither the command line nor the configuration sets one.
const DEFAULT_DURATION: SignedDuration = SignedDuration::from_hours(1);

/// Checks only that the daemon accepts the new configuration.
pub(super) fn config_alone(daemon: &Daemon, draft: &ConfigFile, path: &Path) -> Result<(), CliError> {
    daemon
        .call_json::<ConfigChecked>(&Endpoint::ConfigCheck, draft.text().as_bytes())
        .map_err(|error| of_draft(error, path))?;
    Ok(())
}

/// The error without its position if that is in the draft: the file on disk does not have that line.
pub(super) fn of_draft(error: CallError, path: &Path) -> CliError {
    match error {
        CallError::Rejected(body) if body.code == ErrorCode::ConfigInvalid => {
            let message = without_position(&body.message, path).to_owned();
            CliError::from(ErrorBody { message, ..body })
        }
        error => error.into(),
    }
}

/// Removes `PATH:LINE: ` from the start of a message.
fn without_position<'a>(message: &'a str, path: &Path) -> &'a str {
    let rest = message.strip_prefix(&format!("{}:", path.display()));
    let rest = rest.and_then(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(": "));
    rest.unwrap_or(message)
}

/// Prints the assumed role and the described cluster, and returns the API server.
pub(super) fn with_aws(
    Probed { session, cluster }: Probed,
    wanted: &Add,
    profile: &ProfileEntry,
    draft: &ConfigFile,
    given: Option<Server>,
    context: &Context,
) -> Result<Server, CliError> {
    output::print(&signed_in(wanted, profile, &session, draft, context))?;
    match (cluster, given) {
        (ProbedCluster::Cluster(cluster), None) => {
            output::print(&found(&cluster, "endpoint pinned", context))?;
            Ok(Server::from(&cluster))
        }
        (ProbedCluster::Cluster(cluster), Some(given)) => {
            output::print(&found(&cluster, &format!("{} pinned, as given", given.url), context))?;
            Ok(given)
        }
        (ProbedCluster::ClusterProblem(problem), Some(given)) => {
            let problem = problem.sanitized().message;
            let mark = context.screen.warning();
            output::print(&format!(
                "{mark} cluster {} cannot be described ({problem})\n{} {} pinned, as given\n",
                profile.cluster,
                context.screen.tick(),
                given.url
            ))?;
            Ok(given)
        }
        (ProbedCluster::ClusterProblem(problem), None) => Err(no_cluster(wanted, problem)),
    }
}

/// The error if the cluster cannot be described, so that the kubeconfig entry has no server. Unless the cluster does
/// not exist, the hint has the option that names the server.
fn no_cluster(wanted: &Add, problem: ErrorBody) -> CliError {
    let hint = match problem.hint {
        hint if problem.code == ErrorCode::ClusterNotFound => hint,
        Some(hint) => {
            let hint = hint.to_string();
            let hint = hint.trim_end_matches(['.', ' ']);
            Some(format!("{hint}, or give --server and --certificate-authority").into())
        }
        None => Some("Give --server and --certificate-authority".into()),
    };
    // The daemon's message names only the cluster.
    CliError::from(ErrorBody { hint, ..problem }).with_subject(&wanted.name)
}

fn signed_in(
    wanted: &Add,
    profile: &ProfileEntry,
    session: &SessionStatus,
    draft: &ConfigFile,
    context: &Context,
) -> String {
    let arn = session.arn.as_deref().map(sanitize_for_terminal);
    let mut line = context.screen.tick();
    // Writing to a String cannot fail.
    let _ = match (&wanted.options.role_arn, arn.as_deref()) {
        (Some(role), Some(arn)) => write!(line, " assumed {role} as {}", arn.rsplit('/').next().unwrap_or(arn)),
        (Some(role), None) => write!(line, " assumed {role}"),
        (None, Some(arn)) => write!(line, " signed in as {arn}"),
        (None, None) => write!(line, " the source {} has credentials", profile.source),
    };
    if let Some(end) = session.expires {
        let less = less_than_asked(wanted, session, draft);
        let _ = write!(line, ", valid until {}", format_time::until(clock::now(), end, &context.zone, less.as_deref()));
    }
    line + "\n"
}

/// The note that a session is shorter than requested: by the limit of the role, or of a role chain.
fn less_than_asked(wanted: &Add, session: &SessionStatus, draft: &ConfigFile) -> Option<String> {
    // Without a role there is no AssumeRole with a duration.
    wanted.options.role_arn.as_ref()?;
    let asked = wanted.options.duration.clone().or_else(|| draft.default_duration());
    let asked = asked.and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_DURATION);
    format_time::granted_if_shorter(session, asked)?;
    Some(format!("AWS grants less than the requested {}", format_time::duration(asked)))
}

fn found(cluster: &Cluster, pinned: &str, context: &Context) -> String {
    let version = cluster.version.as_deref().map(|version| format!("Kubernetes {}, ", sanitize_for_terminal(version)));
    format!(
        "{} found cluster {} in {} ({}{})\n",
        context.screen.tick(),
        cluster.name,
        cluster.region,
        version.unwrap_or_default(),
        sanitize_for_terminal(pinned)
    )
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::Hint;

    use super::*;

    const ARN: &str = "arn:aws:iam::111122223333:role/developers";

    #[test]
    fn no_cluster_hint_offers_server_options() {
        let add = Add::of("rolecall add prod --region eu-west-1");
        let result_text = |code, hint: Option<&str>| {
            let body = ErrorBody { hint: hint.map(Hint::text), ..ErrorBody::new(code, "no") };
            no_cluster(&add, body).to_string()
        };
        assert_eq!(
            result_text(ErrorCode::AccessDenied, Some("Ask for the permission eks:DescribeCluster.")),
            "prod: no. Ask for the permission eks:DescribeCluster, or give --server and --certificate-authority"
        );
        assert_eq!(result_text(ErrorCode::AwsUnavailable, None), "prod: no. Give --server and --certificate-authority");
        assert_eq!(
            result_text(ErrorCode::ClusterNotFound, Some("Did you mean \"prod\"?")),
            "prod: no. Did you mean \"prod\"?"
        );
    }

    #[test]
    fn of_draft_drops_the_position() {
        let path = Path::new("/home/dev/.config/rolecall/config.toml");
        let text = |message: &str| {
            of_draft(CallError::Rejected(ErrorBody::new(ErrorCode::ConfigInvalid, message)), path).to_string()
        };
        assert_eq!(
            text("/home/dev/.config/rolecall/config.toml:9: profiles.prod.role_arn: another partition"),
            "profiles.prod.role_arn: another partition"
        );
        assert_eq!(text("/etc/other.toml:9: x"), "/etc/other.toml:9: x");
    }

    #[test]
    fn less_than_asked_names_the_request() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let result_text = |line: &str, config: &str| {
            std::fs::write(&path, config).unwrap();
            let issued = jiff::Timestamp::UNIX_EPOCH;
            let expires = Some(issued + SignedDuration::from_hours(1));
            let session = SessionStatus { arn: None, key_id_suffix: String::new(), issued, expires, temporary: true };
            less_than_asked(&Add::of(line), &session, &ConfigFile::load(&path).unwrap())
        };
        let line = format!("rolecall add prod --region eu-west-1 --role-arn {ARN}");
        let long = "[defaults]\nduration = \"8h\"\n";
        assert_eq!(result_text(&line, ""), None);
        assert_eq!(result_text(&line, long).as_deref(), Some("AWS grants less than the requested 8 h"));
        assert_eq!(result_text(&format!("{line} --duration 1h"), long), None);
        assert_eq!(
            result_text(&format!("{line} --duration 12h"), "").as_deref(),
            Some("AWS grants less than the requested 12 h")
        );
        assert_eq!(result_text("rolecall add prod --region eu-west-1", long), None);
    }
}

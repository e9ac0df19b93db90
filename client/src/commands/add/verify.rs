//! Asking before writing: is the configuration valid, can the role be assumed, is the cluster there?

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use rolecall_protocol::{
    Cluster, ConfigChecked, Endpoint, ErrorBody, Probed, ProbedCluster, SessionStatus, sanitize_for_terminal,
};

use crate::agent::Agent;
use crate::cli::Add;
use crate::config_file::{ConfigFile, ProfileEntry};
use crate::context_entry::Server;
use crate::report::CliError;
use crate::run::Context;
use crate::{clock, output, words};

/// Has the daemon read the configuration as it would be, and nothing else.
pub(super) fn config_alone(agent: &Agent, draft: &ConfigFile) -> Result<(), CliError> {
    agent.call_json::<ConfigChecked>(&Endpoint::ConfigCheck, draft.text().as_bytes())?;
    Ok(())
}

/// Has the daemon assume the role and describe the cluster, says what came of it, and returns where the API server is.
pub(super) fn with_aws(
    agent: &Agent,
    wanted: &Add,
    profile: &ProfileEntry,
    draft: &ConfigFile,
    given: Option<Server>,
    context: &Context,
) -> Result<Server, CliError> {
    let Probed { session, cluster } =
        agent.call_json(&Endpoint::Probe(wanted.name.clone()), draft.text().as_bytes())?;
    output::print(&signed_in(wanted, profile, &session, context))?;
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

/// Nothing is known of the cluster, so there is nothing to put into a kubeconfig.
fn no_cluster(wanted: &Add, problem: ErrorBody) -> CliError {
    let advice = "Nothing was written. If only describing is forbidden, give what it would say: --server URL --certificate-authority FILE";
    let hint = match &problem.hint {
        Some(hint) => format!("{} {advice}", ended(hint)),
        None => advice.to_owned(),
    };
    let body = ErrorBody { code: problem.code, message: problem.message, hint: Some(hint) };
    let error = CliError::from(body);
    if error.to_string().starts_with(wanted.name.as_str()) { error } else { error.about(&wanted.name) }
}

/// A sentence with its full stop.
fn ended(sentence: &str) -> String {
    let sentence = sentence.trim_end();
    if sentence.ends_with(['.', '!', '?']) { sentence.to_owned() } else { format!("{sentence}.") }
}

fn signed_in(wanted: &Add, profile: &ProfileEntry, session: &SessionStatus, context: &Context) -> String {
    let arn = session.arn.as_deref().map(sanitize_for_terminal);
    let mut line = context.screen.tick();
    // Writing to a String cannot fail.
    let _ = match (&wanted.role_arn, arn.as_deref()) {
        (Some(role), Some(arn)) => write!(line, " assumed {role} as {}", arn.rsplit('/').next().unwrap_or(arn)),
        (Some(role), None) => write!(line, " assumed {role}"),
        (None, Some(arn)) => write!(line, " signed in as {arn}"),
        (None, None) => write!(line, " the source {} has credentials", profile.source),
    };
    if let Some(end) = session.expires {
        let _ = write!(line, ", valid until {}", words::until(clock::now(), end, &TimeZone::system()));
    }
    line + "\n"
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

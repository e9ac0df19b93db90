//! `rolecall access lint FILE|PROFILE`.

use std::path::Path;

use rolecall_protocol::{
    AccessLintRequest, AccessLinted, AccessList, AccessListRequest, AccessSource, AuthenticationMode, Endpoint,
    ErrorCode, ProfileName,
};

use super::account::Account;
use super::principals::file_error;
use super::{findings, rows};
use crate::cli::AccessLint as Wanted;
use crate::context::Context;
use crate::daemon::{CallError, Daemon, patient_deadline};
use crate::error::{CliError, Exit};
use crate::files::input_text::{is_stdin, read_input};
use crate::output;
use crate::terminal::style::Screen;

/// The size limit of a ConfigMap, in bytes, with room for its metadata.
const MAX_FILE_BYTES: u64 = 1536 * 1024;
/// The code of the finding that a cluster has no aws-auth.
const NO_AWS_AUTH: &str = "no_aws_auth";

/// Prints the mappings and what is wrong with them. Errors after that if something does not work.
pub(super) fn run(wanted: &Wanted, context: &Context) -> Result<(), CliError> {
    let daemon = context.daemon()?;
    let path = Path::new(&wanted.target);
    let (linted, account) = if is_stdin(path) || path.exists() {
        (lint_file(&daemon, path)?, None)
    } else {
        let profile: ProfileName = wanted.target.parse().map_err(|_| no_such_file(&wanted.target))?;
        (lint_cluster(&daemon, &profile)?, Account::find(&daemon, &profile))
    };
    match wanted.output.data() {
        Some(format) => output::print_data(format, &linted)?,
        None => output::print(&render(&linted, account.as_ref(), context.screen.widened(wanted.output.is_wide())))?,
    }
    let errors = findings::errors(&findings::all(&linted.rows, &linted.findings));
    if errors > 0 { Err(CliError::silent(Exit::Failed as u8)) } else { Ok(()) }
}

fn lint_file(daemon: &Daemon, path: &Path) -> Result<AccessLinted, CliError> {
    let text = read_input(path, MAX_FILE_BYTES).map_err(|error| file_error(&error))?;
    let request = AccessLintRequest { text };
    if serde_json::to_vec(&request).map_or(usize::MAX, |body| body.len()) > Endpoint::AccessLint.max_body_bytes() {
        return Err(CliError::failed(
            format!("{} is too large for an aws-auth", path.display()),
            "A ConfigMap has at most 1 MiB",
        ));
    }
    super::call(daemon, &Endpoint::AccessLint, &request)
}

/// The part of a cluster's access that comes from aws-auth.
fn lint_cluster(daemon: &Daemon, profile: &ProfileName) -> Result<AccessLinted, CliError> {
    let endpoint = Endpoint::AccessList(profile.clone());
    let request = AccessListRequest { api_server: super::api_server(profile) };
    let body = serde_json::to_vec(&request).unwrap_or_default();
    let list: AccessList =
        daemon.call_json_within(&endpoint, &body, patient_deadline(&endpoint)).map_err(|error| match error {
            CallError::Rejected(said) if said.code == ErrorCode::UnknownProfile => {
                CliError::from(said).with_hint_prefix(&format!("There is no file {profile} either"))
            }
            error => error.into(),
        })?;
    let rows: Vec<_> = list.rows.into_iter().filter(|row| row.source == AccessSource::AwsAuth).collect();
    findings::print_unread(&list.unread);
    if rows.is_empty() && list.findings.is_empty() && !list.unread.is_empty() {
        return Err(CliError::silent(Exit::Failed as u8));
    }
    if list.mode == Some(AuthenticationMode::Api) {
        output::print_note("the cluster does not use aws-auth: its authentication mode is API");
    }
    Ok(AccessLinted { rows, findings: list.findings })
}

fn no_such_file(target: &str) -> CliError {
    CliError::new(Exit::Usage, format!("there is no file {target}"), "Give a file, - for standard input, or a profile")
}

fn render(linted: &AccessLinted, account: Option<&Account>, screen: Screen) -> String {
    let mut found = findings::all(&linted.rows, &linted.findings);
    // The verdict says so.
    let has_no_aws_auth = found.iter().any(|located| located.finding.code == NO_AWS_AUTH);
    found.retain(|located| located.finding.code != NO_AWS_AUTH);
    let mut text = String::new();
    if !linted.rows.is_empty() {
        text.push_str(&rows::table(&linted.rows, None, account, screen));
    }
    text.push_str(&findings::render(&found, account, screen));
    let mappings = super::counted(linted.rows.len(), "mapping");
    let verdict = match findings::errors(&found) {
        0 if has_no_aws_auth => format!("{} the cluster has no aws-auth", screen.tick()),
        0 if linted.rows.is_empty() => format!("{} no mappings", screen.tick()),
        0 => format!("{} {mappings}, all of which work", screen.tick()),
        errors => format!("{} {mappings}; {} to fix", screen.cross(), super::counted(errors, "mistake")),
    };
    text + &verdict + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::access::rows::tests::{assert_fits, rows, screen};

    fn shown(linted: &AccessLinted, width: usize) -> String {
        anstream::adapter::strip_str(&render(linted, None, screen(Some(width)))).to_string()
    }

    #[test]
    fn render_states_what_to_fix() {
        let broken = AccessLinted { rows: rows().split_off(2), findings: Vec::new() };
        let text = shown(&broken, 200);
        assert!(text.ends_with("Remove /platform\n✗ 2 mappings; 1 mistake to fix\n"), "{text}");
        for width in [40, 80] {
            assert_fits(&shown(&broken, width), width);
        }
        let good = AccessLinted { rows: rows().split_off(3), findings: Vec::new() };
        assert!(shown(&good, 80).ends_with("✓ 1 mapping, all of which work\n"), "{}", shown(&good, 80));
        let empty = AccessLinted { rows: Vec::new(), findings: Vec::new() };
        assert_eq!(shown(&empty, 80), "✓ no mappings\n");
        let absent = serde_json::json!({"rows": [], "findings": [{"severity": "note", "code": "no_aws_auth",
            "message": "the cluster has no ConfigMap kube-system/aws-auth"}]});
        let absent: AccessLinted = serde_json::from_value(absent).unwrap();
        assert_eq!(shown(&absent, 80), "✓ the cluster has no aws-auth\n");
    }
}

//! The optional inputs of AssumeRole: from the command line to the configuration.

use rolecall_protocol::{ProfileInputs, SourceIdentity};

use crate::cli::Inputs;
use crate::config_file::{ConfigFileError, InputsEntry};
use crate::error::{CliError, Exit};
use crate::files::atomic_file;

/// The size limit of a policy file. STS accepts 2,048 characters without spaces.
const MAX_POLICY_FILE: u64 = 64 * 1024;

/// Returns the inputs for the configuration.
pub(super) fn of(wanted: &Inputs) -> Result<InputsEntry, CliError> {
    let tags: std::collections::BTreeMap<_, _> = wanted.tag.iter().cloned().collect();
    if tags.len() < wanted.tag.len() {
        return Err(CliError::new(Exit::Usage, "--tag names a key twice", "Give each tag once"));
    }
    Ok(InputsEntry {
        source_identity: wanted.source_identity.clone(),
        tags,
        transitive_tags: wanted.transitive_tag.clone(),
        policy_arns: wanted.policy_arn.clone(),
        policy: wanted.policy.as_deref().map(policy).transpose()?,
        sts_endpoint: wanted.sts_endpoint.clone(),
        fips: wanted.fips.then_some(true),
        dual_stack: wanted.dual_stack.then_some(true),
    })
}

/// A policy without white space, which counts for the limit of STS.
fn policy(path: &std::path::Path) -> Result<String, CliError> {
    if !path.exists() {
        let message = format!("there is no policy {}", path.display());
        return Err(CliError::new(Exit::Usage, message, "Give --policy a file with a policy in JSON"));
    }
    let text = atomic_file::read(path, MAX_POLICY_FILE).map_err(ConfigFileError::File)?.text;
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(policy) if policy.is_object() => Ok(policy.to_string()),
        Ok(_) => Err(refused(path, "holds no policy, which is a JSON object")),
        Err(error) => Err(refused(path, &format!("is not JSON: line {}, column {}", error.line(), error.column()))),
    }
}

fn refused(path: &std::path::Path, why: &str) -> CliError {
    CliError::new(Exit::Usage, format!("{} {why}", path.display()), "Fix the policy file")
}

/// Whether the daemon uses these inputs. Inputs that are not given may come from the defaults.
pub(super) fn are_in_force(wanted: &InputsEntry, known: &ProfileInputs) -> bool {
    let tags = wanted
        .tags
        .iter()
        .all(|(key, value)| known.tags.get(key.as_str()).is_some_and(|known| known == value.as_str()));
    let is = |wanted: Option<&str>, known: Option<&str>| wanted.is_none() || wanted == known;
    tags && is(wanted.source_identity.as_ref().map(SourceIdentity::as_str), known.source_identity.as_deref())
        && is(wanted.policy.as_deref(), known.policy.as_deref())
        && is(wanted.sts_endpoint.as_deref(), known.sts_endpoint.as_deref())
        && wanted.policy_arns.iter().all(|arn| known.policy_arns.iter().any(|known| known == arn.as_str()))
        && wanted.transitive_tags.iter().all(|key| known.transitive_tags.iter().any(|known| known == key.as_str()))
        && wanted.fips.is_none_or(|is| is == known.fips)
        && wanted.dual_stack.is_none_or(|is| is == known.dual_stack)
}

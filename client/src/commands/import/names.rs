//! Names of profiles, made from the names of contexts.

use std::collections::HashSet;

use rolecall_protocol::ProfileName;

use super::target::Target;

/// The longest name, in bytes, that leaves room for a number.
const MAX_NAME_BYTES: usize = 60;

/// Returns a name for the profile of a context that is not in use: the name of the context if it is one, or else one made from it.
/// For example, `arn:aws:eks:eu-west-1:111122223333:cluster/prod` gives `prod`, `prod-eu-west-1` or
/// `prod-eu-west-1-111122223333`.
pub(super) fn profile_name(context: &str, target: &Target, is_taken: impl Fn(&str) -> bool) -> ProfileName {
    let mut tried = HashSet::new();
    let base = candidates(context, target);
    let numbered = base.last().cloned().unwrap_or_default();
    let numbered = (2..).map(|number| format!("{numbered}-{number}"));
    let mut names = base.into_iter().chain(numbered).filter(|name| tried.insert(name.clone()));
    let free = names.find_map(|name| name.parse::<ProfileName>().ok().filter(|name| !is_taken(name.as_str())));
    // The numbers do not end.
    free.unwrap_or_else(|| unreachable!("a free number exists"))
}

fn candidates(context: &str, target: &Target) -> Vec<String> {
    let region = target.region.as_str();
    if let Some(arn) = context.strip_prefix("arn:") {
        let account = arn.split(':').nth(3).unwrap_or_default();
        let cluster = arn.rsplit('/').next().unwrap_or_default();
        return [cluster.to_owned(), format!("{cluster}-{region}"), format!("{cluster}-{region}-{account}")]
            .map(|name| valid(&name))
            .to_vec();
    }
    if let Some(eksctl) = context.strip_suffix(".eksctl.io") {
        let cluster = eksctl.rsplit('@').next().and_then(|rest| rest.split('.').next()).unwrap_or_default();
        return vec![valid(cluster), valid(&format!("{cluster}-{region}"))];
    }
    vec![valid(context)]
}

/// Replaces what a name may not have.
fn valid(text: &str) -> String {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let replaced: String = text.chars().map(|c| if is_valid(c) { c } else { '-' }).collect();
    let trimmed = replaced.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    // A valid name stays, also a long one.
    let limit = if trimmed == text && text.parse::<ProfileName>().is_ok() { text.len() } else { MAX_NAME_BYTES };
    let name: String = trimmed.chars().take(limit).collect();
    if name.is_empty() { "eks".to_owned() } else { name }
}

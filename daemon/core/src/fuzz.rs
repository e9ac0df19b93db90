//! The fuzz targets of this crate: functions that panic if a property does not hold for an input. `tests/fuzz` runs them with
//! libFuzzer, and the tests below run them on the seeds and on mutations.

// A property that does not hold is a panic.
#![allow(clippy::panic, clippy::missing_panics_doc)]

use std::path::Path;

use rolecall_protocol::is_unsafe_for_terminal;

use crate::cluster_access::aws_auth::edit::{self, MappingChange, NewMapping};
use crate::cluster_access::aws_auth::{AwsAuth, Data, MapKey, Mapping, ProblemKind, lint, manifest};
use crate::config::Config;

/// A word that stands for a secret in the seeds.
const SECRET: &str = "c4n4ry/+";

/// A configuration. Reading it section by section gives the same result as reading it as a whole. An error is one line and
/// quotes nothing of the text.
pub fn configuration(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let path = Path::new("config.toml");
    let by_section = Config::parse_by_section(path, text);
    match (Config::parse_whole(path, text), by_section) {
        (Ok((whole, _)), Ok((by_section, _))) => assert_eq!(whole, by_section),
        (Err(error), Ok(_)) => panic!("read by section, but: {error}"),
        (whole, Err(by_section)) => {
            for error in whole.err().into_iter().chain([by_section]) {
                let shown = error.to_string();
                assert!(!shown.contains(is_unsafe_for_terminal), "{shown:?}");
                assert!(!shown.contains(SECRET), "{shown}");
                assert!(shown.len() < 1024, "{shown}");
            }
        }
    }
}

/// A text of `mapRoles`. Each edit keeps the meaning of every other mapping, and a mapping that is added or removed leaves every
/// other byte as it is. A finding is one line of text without control characters.
pub fn aws_auth(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let key = MapKey::Roles;
    let data = Data::from([(key.as_str().to_owned(), text.to_owned())]);
    let text_of = |data: &Data| data.get(key.as_str()).cloned().unwrap_or_default();
    for found in lint::lint(&data, Some("aws")) {
        let shown = [Some(found.finding.message), found.finding.hint];
        assert!(!shown.iter().flatten().any(|line| line.contains(is_unsafe_for_terminal)), "{shown:?}");
    }
    drop(manifest::data_of(text));
    let before = AwsAuth::read(&data);
    let is_unreadable = |kind: &ProblemKind| matches!(kind, ProblemKind::InvalidYaml { .. } | ProblemKind::NotAList);
    if before.problems.iter().any(|problem| is_unreadable(&problem.kind)) {
        return;
    }
    let arn = "arn:aws:iam::111122223333:role/added".to_owned();
    let mapping = NewMapping { key, arn, username: "added".to_owned(), groups: vec!["viewers".to_owned()] };
    if let Ok(edited) = edit::add(&data, &mapping) {
        let added = text_of(&edited);
        let mut mappings = AwsAuth::read(&edited).roles;
        let last = mappings.pop().map(|last| (last.index, last.username));
        assert_eq!(last.as_ref().map(|(_, username)| username.as_str()), Some("added"), "{added:?}");
        assert_eq!(meanings(&mappings, None), meanings(&before.roles, None), "{added:?}");
        if !before.roles.is_empty() {
            assert!(is_insertion(text, &added), "{added:?}");
        }
    }
    for mapping in before.roles.iter().take(8) {
        let index = mapping.index;
        if let Ok(edited) = edit::remove(&data, key, index) {
            let mappings = AwsAuth::read(&edited).roles;
            assert_eq!(meanings(&mappings, None), meanings(&before.roles, Some(index)), "{:?}", text_of(&edited));
            if !mappings.is_empty() {
                assert!(is_insertion(&text_of(&edited), text), "{:?}", text_of(&edited));
            }
        }
        let change = MappingChange { username: Some("changed".to_owned()), groups: None };
        if let Ok(edited) = edit::change(&data, key, index, &change) {
            let mappings = AwsAuth::read(&edited).roles;
            assert_eq!(
                meanings(&mappings, Some(index)),
                meanings(&before.roles, Some(index)),
                "{:?}",
                text_of(&edited)
            );
        }
    }
}

/// What the mappings mean, without the one at an index.
fn meanings(mappings: &[Mapping], without: Option<usize>) -> Vec<String> {
    let others = mappings.iter().filter(|mapping| Some(mapping.index) != without);
    others.map(|mapping| format!("{:?} {:?} {:?}", mapping.subject, mapping.username, mapping.groups)).collect()
}

/// Whether the long text is the short one with one more part.
fn is_insertion(short: &str, long: &str) -> bool {
    let pairs = short.bytes().zip(long.bytes());
    let start = pairs.take_while(|(one, other)| one == other).count();
    let pairs = short.bytes().rev().zip(long.bytes().rev());
    let end = pairs.take_while(|(one, other)| one == other).count();
    short.len() <= long.len() && start + end >= short.len()
}

#[cfg(test)]
mod tests {
    /// Fault matrix row 121.
    #[test]
    fn aws_auth_of_any_bytes() {
        rolecall_mutator::run("aws_auth", 500, super::aws_auth);
    }

    /// Fault matrix row 90.
    #[test]
    fn configuration_of_any_bytes() {
        rolecall_mutator::run("configuration", 1_000, super::configuration);
    }
}

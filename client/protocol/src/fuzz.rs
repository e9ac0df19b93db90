//! Fuzz targets: each is one function that panics if a property does not hold for an input. `tests/fuzz` runs them with
//! libFuzzer, and the tests below run them on the seeds and on mutations.

// A property that does not hold is a panic.
#![allow(clippy::panic, clippy::missing_panics_doc)]

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    ClusterName, EndpointUrl, EntryKey, ExecInfo, ExternalId, HttpUrl, KeyName, MfaSerial, PolicyArn, ProfileName,
    Region, RoleArn, SessionName, SourceIdentity, SourceName, TagKey, TagValue, escape_controls, sanitize_for_terminal,
};

/// The content of `KUBERNETES_EXEC_INFO`. An error is one line; the same JSON in another layout gives the same result.
pub fn exec_info(input: &[u8]) {
    match (ExecInfo::parse(input), serde_json::from_slice::<serde_json::Value>(input)) {
        (Err(error), _) => assert_line(&error.to_string()),
        // A duplicate of an unknown field is ignored, also here.
        (Ok(info), Ok(json)) => match ExecInfo::parse(json.to_string().as_bytes()) {
            Ok(again) => assert_eq!(again, info),
            Err(error) => panic!("{error} in another layout"),
        },
        (Ok(_), Err(_)) => {}
    }
}

/// The grammars of names, ARNs, regions and URLs. A valid text is the value's own text, has only characters that its kind
/// allows, and is the same in JSON. An error is one line and quotes at most one character.
pub fn names(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_iam = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    for name in [name::<ProfileName>(&text), name::<SourceName>(&text), name::<KeyName>(&text)].into_iter().flatten() {
        assert!(name.len() <= 64 && name.chars().all(is_word) && !name.starts_with('.'), "{name}");
    }
    if let Some(region) = name::<Region>(&text) {
        assert!(region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{region}");
    }
    if let Some(cluster) = name::<ClusterName>(&text) {
        assert!(cluster.chars().all(|c| is_word(c) && c != '.'), "{cluster}");
    }
    if name::<RoleArn>(&text).is_some()
        && let Ok(role) = text.parse::<RoleArn>()
    {
        let (partition, account, last) = (role.partition(), role.account(), role.role_name());
        assert!(text.starts_with(&format!("arn:{partition}:iam::{account}:role/")), "{text}");
        assert!(text.ends_with(&format!("/{last}")) && last.chars().all(is_iam) && !last.is_empty(), "{text}");
        assert!(account.len() == 12 && account.bytes().all(|c| c.is_ascii_digit()), "{text}");
    }
    for name in [name::<SessionName>(&text), name::<SourceIdentity>(&text)].into_iter().flatten() {
        assert!(name.chars().all(is_iam), "{name}");
    }
    for name in [name::<ExternalId>(&text), name::<MfaSerial>(&text), name::<PolicyArn>(&text)].into_iter().flatten() {
        assert!(name.chars().all(|c| c.is_ascii_graphic()), "{name}");
    }
    for name in [name::<TagKey>(&text), name::<TagValue>(&text)].into_iter().flatten() {
        assert!(!name.chars().any(char::is_control), "{name}");
    }
    if let Some(url) = name::<EndpointUrl>(&text) {
        assert!(HttpUrl::parse(&url).is_ok_and(|url| url.is_secure()), "{url}");
    }
    if let Ok(url) = HttpUrl::parse(&text) {
        assert!(!url.host().is_empty() && !url.host().contains(['@', '/', '\\', '?', '#', ' ']), "{text}");
        assert!(text.ends_with(url.path_and_query()), "{text}");
    }
    if let Ok(key) = text.parse::<EntryKey>() {
        assert!(text.len() == 64 && key.to_text().expose().eq_ignore_ascii_case(&text));
    }
}

/// Parses a name of one kind. Returns its text.
fn name<T>(text: &str) -> Option<String>
where
    T: FromStr<Err: fmt::Display> + fmt::Display + PartialEq + Serialize + DeserializeOwned,
{
    match text.parse::<T>() {
        Ok(name) => {
            assert_eq!(name.to_string(), text);
            let json = serde_json::to_string(&name).unwrap_or_default();
            assert!(serde_json::from_str::<T>(&json).is_ok_and(|again| again == name), "{json}");
            Some(name.to_string())
        }
        Err(error) => {
            let error = error.to_string();
            assert_line(&error);
            assert!(error.len() < 256, "{error}");
            None
        }
    }
}

/// What makes text safe for a terminal. The result is one line without control characters, is not longer than the limit,
/// and stays the same when it is sanitized again.
pub fn sanitizer(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let shown = sanitize_for_terminal(&text);
    assert_line(&shown);
    assert!(shown.chars().count() <= 512, "{} characters", shown.chars().count());
    assert_eq!(sanitize_for_terminal(&shown), shown);
    let escaped = escape_controls(&text);
    assert_line(&escaped);
    assert_eq!(escape_controls(&escaped), escaped);
}

/// Checks that a text is one line that a terminal shows as it is.
fn assert_line(text: &str) {
    let is_visible = |c: char| {
        !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(text.chars().all(is_visible), "{text:?}");
}

#[cfg(test)]
mod tests {
    use rolecall_mutator::run;

    /// Fault matrix row 42.
    #[test]
    fn exec_info_of_any_bytes() {
        run("exec_info", 2_000, super::exec_info);
    }

    /// Fault matrix rows 35 to 37.
    #[test]
    fn names_of_any_bytes() {
        run("names", 5_000, super::names);
    }

    /// Fault matrix row 39.
    #[test]
    fn sanitizer_of_any_bytes() {
        run("sanitizer", 2_000, super::sanitizer);
    }
}

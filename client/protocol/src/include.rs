//! `include` of the configuration: the syntax of a pattern, and the files that it names.
//!
//! Both the daemon and the client read included files, so they find them with this module.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The limit of included files.
pub const MAX_INCLUDED_FILES: usize = 16;
/// The limit of entries of a folder that `*` looks at.
const MAX_FOLDER_ENTRIES: usize = 4096;
/// The length limit of a pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 4096;

/// A path of an included file. `*` in its last part stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IncludePattern(String);

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIncludePattern {
    /// It names no file.
    #[error("must be the path of a file")]
    NoFile,
    /// It is too long, or has control characters.
    #[error("must be a path of at most {MAX_PATTERN_BYTES} bytes without control characters")]
    Characters,
    /// It begins with `~NAME`.
    #[error("must not name the home folder of another user; write its path instead of ~NAME")]
    OtherHome,
    /// A part before the last one has `*`.
    #[error("may have * in its last part only")]
    Wildcard,
}

/// A file that a pattern names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncludedPath {
    /// The path. For a pattern that cannot be expanded, the pattern.
    pub path: PathBuf,
    /// Why it is not read, as a continuation of the path.
    pub problem: Option<String>,
}

impl IncludePattern {
    /// Returns the pattern as the configuration has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern has a `*`, so that it may name any number of files.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.0.contains('*')
    }

    /// Returns the path without `~`. A relative path begins in the folder of the configuration `config`.
    #[must_use]
    pub fn path(&self, config: &Path, home: &Path) -> PathBuf {
        match self.0.strip_prefix("~/") {
            Some(rest) => home.join(rest),
            None => config.parent().unwrap_or_else(|| Path::new("/")).join(&self.0),
        }
    }

    /// Returns the files, sorted by name: one without `*`, which may not exist, otherwise those that match. Errors with a
    /// message if the folder cannot be listed.
    fn files(&self, config: &Path, home: &Path) -> Result<Vec<PathBuf>, String> {
        let path = self.path(config, home);
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
            return Err(InvalidIncludePattern::NoFile.to_string());
        };
        if !self.has_wildcard() {
            return Ok(vec![path]);
        }
        let entries = match folder.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(format!("cannot be listed: {error}")),
        };
        let mut found = Vec::new();
        for (count, entry) in entries.enumerate() {
            if count == MAX_FOLDER_ENTRIES {
                return Err(format!("is in a folder with more than {MAX_FOLDER_ENTRIES} entries"));
            }
            let entry = entry.map_err(|error| format!("cannot be listed: {error}"))?;
            let is_match = entry.file_name().to_str().is_some_and(|file| matches(name, file));
            if is_match && !entry.path().is_dir() && !is_same_file(&entry.path(), config) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Returns the files that the patterns of the configuration `config` name, in the order of the patterns and without
/// repetitions. The last one has a problem if there are more than [`MAX_INCLUDED_FILES`].
#[must_use]
pub fn included_paths(patterns: &[IncludePattern], config: &Path, home: &Path) -> Vec<IncludedPath> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for pattern in patterns {
        match pattern.files(config, home) {
            Ok(files) => {
                let is_new = |path: &PathBuf| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone()));
                found.extend(files.into_iter().filter(is_new).map(|path| IncludedPath { path, problem: None }));
            }
            Err(problem) => {
                found.push(IncludedPath { path: pattern.path(config, home), problem: Some(problem) });
            }
        }
    }
    if found.len() > MAX_INCLUDED_FILES {
        let count = found.len();
        found.truncate(MAX_INCLUDED_FILES + 1);
        found[MAX_INCLUDED_FILES].problem =
            Some(format!("is not read: include names {count} files, the limit is {MAX_INCLUDED_FILES}"));
    }
    found
}

impl TryFrom<String> for IncludePattern {
    type Error = InvalidIncludePattern;

    fn try_from(text: String) -> Result<Self, InvalidIncludePattern> {
        let folders = text.rsplit_once('/').map_or("", |(folders, _)| folders);
        match () {
            () if text.len() > MAX_PATTERN_BYTES || text.chars().any(char::is_control) => {
                Err(InvalidIncludePattern::Characters)
            }
            () if text.starts_with('~') && !text.starts_with("~/") => Err(InvalidIncludePattern::OtherHome),
            () if text.ends_with('/') || Path::new(&text).file_name().is_none() => Err(InvalidIncludePattern::NoFile),
            () if folders.contains('*') => Err(InvalidIncludePattern::Wildcard),
            () => Ok(Self(text)),
        }
    }
}

impl std::str::FromStr for IncludePattern {
    type Err = InvalidIncludePattern;

    fn from_str(text: &str) -> Result<Self, InvalidIncludePattern> {
        text.to_owned().try_into()
    }
}

impl From<IncludePattern> for String {
    fn from(pattern: IncludePattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for IncludePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a file name matches a name with `*`. As in a shell, `*` at the beginning does not match hidden files.
fn matches(pattern: &str, name: &str) -> bool {
    if pattern.starts_with('*') && name.starts_with('.') {
        return false;
    }
    let (Some((first, rest)), false) = (pattern.split_once('*'), name.is_empty()) else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().ok().is_some_and(|a| b.canonicalize().ok() == Some(a))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;

    use super::*;

    fn paths(patterns: &[&str], config: &Path, home: &Path) -> Vec<PathBuf> {
        let patterns: Vec<IncludePattern> = patterns.iter().map(|text| text.parse().unwrap()).collect();
        included_paths(&patterns, config, home).into_iter().map(|found| found.path).collect()
    }

    #[test]
    fn pattern_syntax() {
        for good in ["team.toml", "~/a/b.toml", "/etc/rolecall/*.toml", "team/a-*-b*.toml", "*"] {
            assert_eq!(good.parse::<IncludePattern>().unwrap().as_str(), good);
        }
        for (bad, error) in [
            ("", InvalidIncludePattern::NoFile),
            ("team/", InvalidIncludePattern::NoFile),
            ("team/..", InvalidIncludePattern::NoFile),
            ("~other/team.toml", InvalidIncludePattern::OtherHome),
            ("*/team.toml", InvalidIncludePattern::Wildcard),
            ("a\nb", InvalidIncludePattern::Characters),
        ] {
            assert_eq!(bad.parse::<IncludePattern>().unwrap_err(), error, "{bad:?}");
        }
    }

    #[test]
    fn matches_star_as_a_shell_does() {
        for (pattern, name) in [("*.toml", "a.toml"), ("a*b*c", "a-b-b-c"), ("*", "x"), ("a*", "a"), ("a**b", "ab")] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.toml", ".toml"), ("*.toml", ".a.toml"), ("ab*ba", "aba"), ("a*b", "b"), ("[a]*", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn included_paths_are_sorted_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        let config = home.join("rolecall/config.toml");
        fs::create_dir_all(home.join("rolecall/folder.toml")).unwrap();
        for name in ["config.toml", "b.toml", "a.toml", "c.txt"] {
            fs::write(home.join("rolecall").join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("a.toml", home.join("rolecall/link.toml")).unwrap();
        let own = |name: &str| home.join("rolecall").join(name);
        assert_eq!(paths(&["*.toml"], &config, home), [own("a.toml"), own("b.toml")], "not the configuration itself");
        assert_eq!(paths(&["b.toml", "*.toml"], &config, home), [own("b.toml"), own("a.toml")]);
        assert_eq!(
            paths(&["~/x.toml", "/y.toml", "../z.toml"], &config, home),
            [home.join("x.toml"), "/y.toml".into(), home.join("rolecall/../z.toml")],
            "files that do not exist"
        );
        assert_eq!(paths(&["none/*.toml", "*.yaml"], &config, home), [PathBuf::new(); 0]);
    }

    #[test]
    fn included_paths_beyond_the_limit_have_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..20 {
            fs::write(folder.path().join(format!("{number:02}.toml")), "").unwrap();
        }
        let patterns = ["*.toml".parse().unwrap()];
        let found = included_paths(&patterns, &folder.path().join("other/config"), folder.path());
        assert!(found.is_empty(), "the pattern is relative to the configuration");
        let found = included_paths(&patterns, &folder.path().join("config"), folder.path());
        assert_eq!(found.len(), 17);
        assert!(found[..16].iter().all(|found| found.problem.is_none()));
        assert_eq!(found[16].problem.as_deref(), Some("is not read: include names 20 files, the limit is 16"));
    }
}

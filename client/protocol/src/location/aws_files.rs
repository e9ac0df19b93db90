//! The paths of AWS's own files, as the AWS CLI finds them.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::variables::variable;
use super::{LocationError, home};

/// Returns the paths of AWS's configuration file and credentials file: `AWS_CONFIG_FILE` and
/// `AWS_SHARED_CREDENTIALS_FILE`, or else `~/.aws/config` and `~/.aws/credentials`. Other `AWS_*` variables, which
/// choose an identity, are ignored.
///
/// # Errors
/// `OtherHome` if a variable starts with the home folder of another user, `NoHome` if there is no home folder.
pub fn aws_files() -> Result<(PathBuf, PathBuf), LocationError> {
    let place = |name: &'static str, default: &str| match variable(name).map(|value| expand_aws_path(&value)) {
        Some(path) if path.as_bytes().starts_with(b"~") => Err(LocationError::OtherHome(name)),
        Some(path) => std::path::absolute(path).map_err(LocationError::NoCurrentFolder),
        None => Ok(home()?.join(".aws").join(default)),
    };
    Ok((place("AWS_CONFIG_FILE", "config")?, place("AWS_SHARED_CREDENTIALS_FILE", "credentials")?))
}

/// Expands `$NAME` and `${NAME}`, and then `~` at the start, as the AWS CLI does in the two variables with paths. A variable
/// that is not set stays as it is, and so does the home folder of another user (`~NAME`).
#[must_use]
pub fn expand_aws_path(path: &OsStr) -> OsString {
    let Some(text) = path.to_str() else { return path.to_owned() };
    #[allow(clippy::disallowed_methods)] // a variable that is set to nothing counts here
    let expanded = expand_variables(text, |name| env::var(name).ok());
    match (expanded.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')), home()) {
        (Some(rest), Ok(home)) => {
            let mut path = home.into_os_string();
            path.push(rest);
            path
        }
        _ => expanded.into(),
    }
}

/// Replaces `$NAME` and `${NAME}` by the values of variables (Python's `os.path.expandvars`).
fn expand_variables(text: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let (mut expanded, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find('$') {
        let (before, variable) = rest.split_at(start);
        let after = &variable[1..];
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let braced = after.strip_prefix('{').and_then(|braced| braced.find('}'));
        let (name, end) = if let Some(length) = braced {
            (&after[1..=length], length + 3)
        } else {
            let length = after.find(|c| !is_word(c)).unwrap_or(after.len());
            (&after[..length], length + 1)
        };
        expanded.push_str(before);
        match value_of(name).filter(|_| !name.is_empty()) {
            Some(value) => expanded.push_str(&value),
            None => expanded.push_str(&variable[..end]),
        }
        rest = &variable[end..];
    }
    expanded + rest
}

/// Returns `~/.aws`, where AWS's tools keep logins regardless of those two variables.
pub fn aws_folder() -> Result<PathBuf, LocationError> {
    Ok(home()?.join(".aws"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expand_variables_as_the_aws_cli_does() {
        let value_of = |name: &str| match name {
            "HOME" => Some("/home/ana".to_owned()),
            "A_1" => Some("x$HOME".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expected) in [
            ("$HOME/config", "/home/ana/config"),
            ("${HOME}/config", "/home/ana/config"),
            ("/a/$A_1-$EMPTY.", "/a/x$HOME-."),
            ("$UNSET/${UNSET}/$", "$UNSET/${UNSET}/$"),
            ("${HOME/$HOME", "${HOME//home/ana"),
            ("$$HOME", "$/home/ana"),
            ("${}", "${}"),
        ] {
            assert_eq!(expand_variables(text, value_of), expected, "{text}");
        }
    }

    #[test]
    fn expand_aws_path_home_of_this_user_only() {
        let home = home().unwrap();
        for (path, expected) in [
            ("~/config", home.join("config").into_os_string()),
            ("~", home.clone().into_os_string()),
            ("~ana/config", "~ana/config".into()),
            ("a/~", "a/~".into()),
        ] {
            assert_eq!(expand_aws_path(OsStr::new(path)), expected, "{path}");
        }
    }
}

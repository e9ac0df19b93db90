//! The environment variables of a process: of a kubeconfig entry, of `rolecall shell`, and those that the daemon inherits.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use super::kubeconfigs_folder;

/// The prefix of variables that the daemon has for the programs that it runs and not for itself. They survive a restart.
pub const SHELL_PREFIX: &str = "ROLECALL_SHELL_";

/// The variable with the profile of `rolecall shell` and `rolecall exec`, for their child processes.
pub const PROFILE_VARIABLE: &str = "ROLECALL_PROFILE";
/// The variable with how many `rolecall shell` processes there are around a process.
pub const SHELL_LEVEL_VARIABLE: &str = "ROLECALL_SHELL";
/// The variable with the `KUBECONFIG` outside of `rolecall shell` and `rolecall exec`.
pub const OUTER_KUBECONFIG_VARIABLE: &str = "ROLECALL_OUTER_KUBECONFIG";

/// The variables in which AWS's SDKs read credentials. Those for Go, Java and Ruby read `AWS_ACCESS_KEY` and `AWS_SECRET_KEY`, those
/// for JavaScript and Ruby the names with `AMAZON`. The token of Bedrock precedes a session there.
pub const CREDENTIAL_VARIABLES: [&str; 10] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AMAZON_ACCESS_KEY_ID",
    "AMAZON_SECRET_ACCESS_KEY",
    "AMAZON_SESSION_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
];

/// Returns the value of `KUBECONFIG`, if it is set and not empty. Inside `rolecall shell` and `rolecall exec`, it is the
/// value outside of them, since their own kubeconfig is removed.
pub fn kubeconfig() -> Option<OsString> {
    match private_kubeconfig() {
        Some(_) => variable(OUTER_KUBECONFIG_VARIABLE),
        None => variable("KUBECONFIG"),
    }
}

/// Returns the kubeconfig of the `rolecall shell` or `rolecall exec` in which this process runs. `None` elsewhere, and if
/// `KUBECONFIG` was set to another file since.
pub fn private_kubeconfig() -> Option<PathBuf> {
    let path = PathBuf::from(variable("KUBECONFIG")?);
    (path.parent()?.parent()? == kubeconfigs_folder().ok()?).then_some(path)
}

/// Returns the profile of the `rolecall shell` or `rolecall exec` in which this process runs.
pub fn profile() -> Option<crate::ProfileName> {
    variable(PROFILE_VARIABLE)?.to_str()?.parse().ok()
}

/// Returns how many `rolecall shell` processes there are around this process.
pub fn shell_level() -> u32 {
    variable(SHELL_LEVEL_VARIABLE).and_then(|level| level.to_str()?.parse().ok()).unwrap_or(0)
}

/// Returns the value of `KUBERNETES_EXEC_INFO`, if it is set and not empty. [`crate::ExecInfo`] parses it.
pub fn exec_info() -> Option<OsString> {
    variable(crate::EXEC_INFO_VARIABLE)
}

/// Returns the entry key in `ROLECALL_ENTRY_KEY`, which a kubeconfig entry sets. `None` without a well-formed key.
pub fn entry_key() -> Option<crate::EntryKey> {
    let text = variable(crate::ENTRY_KEY_VARIABLE)?.into_string().ok()?;
    crate::Secret::new(text).expose().parse().ok()
}

/// Returns whether `ROLECALL_NO_PROMPT` is set to anything but `0`: then the plugin never prompts.
pub fn no_prompt() -> bool {
    variable("ROLECALL_NO_PROMPT").is_some_and(|value| value != "0")
}

/// Returns `ROLECALL_LOG_LEVEL`, the log level of a daemon without a level in its arguments.
pub fn log_level() -> Option<String> {
    variable("ROLECALL_LOG_LEVEL").and_then(|level| level.into_string().ok())
}

/// Returns whether a daemon that starts in the background inherits the environment variable `name`. Other variables of
/// the shell are removed: the daemon also serves other terminals, and the `AWS_*` variables of one terminal must not
/// choose their identity. `TZ` would shift `allowed_hours`.
pub fn daemon_inherits(name: &str) -> bool {
    const INHERITED: &[&str] = &[
        "HOME",
        "USER",
        "LOGNAME",
        "PATH",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TMPDIR",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
        "GNUPGHOME",
        "PASSWORD_STORE_DIR",
        "SSH_AUTH_SOCK",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "DBUS_SESSION_BUS_ADDRESS",
    ];
    // A secret of one kubeconfig entry, and what belongs to one terminal.
    let not_inherited = [crate::ENTRY_KEY_VARIABLE, PROFILE_VARIABLE, SHELL_LEVEL_VARIABLE, OUTER_KUBECONFIG_VARIABLE];
    if not_inherited.contains(&name) {
        return false;
    }
    INHERITED.contains(&name) || ["XDG_", "LC_", "ROLECALL_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Returns the environment of the shell that started this daemon, without the variables that hold credentials. The daemon
/// keeps variables that would change what it does itself under another name, see [`SHELL_PREFIX`].
#[allow(clippy::disallowed_methods)] // the one place that reads variables
pub fn shell_variables() -> Vec<(OsString, OsString)> {
    let original =
        |(name, value): (OsString, OsString)| match name.to_str().and_then(|it| it.strip_prefix(SHELL_PREFIX)) {
            Some(name) => (name.into(), value),
            None => (name, value),
        };
    env::vars_os().map(original).collect()
}

/// Returns the value of a variable that is set and not empty.
#[allow(clippy::disallowed_methods)] // the one place that reads variables
pub(super) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemon_inherits_no_identity_secret_or_time_zone() {
        assert!(["HOME", "XDG_RUNTIME_DIR", "ROLECALL_CONFIG", "LC_ALL"].iter().all(|name| daemon_inherits(name)));
        for name in
            ["AWS_PROFILE", "AWS_SECRET_ACCESS_KEY", crate::ENTRY_KEY_VARIABLE, PROFILE_VARIABLE, "TZ", "LD_PRELOAD"]
        {
            assert!(!daemon_inherits(name), "{name}");
        }
    }
}

//! What `rolecall doctor` reads in a kubeconfig: the users that run Rolecall, the current context, and kubectl's lock files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::draft::Draft;
use super::entry;
use super::entry_names::EntryNames;
use super::error::KubeconfigError;
use super::files::Files;
use super::lock;
use super::model::{EntryKind, Value};

/// The environment variable that sends the plugin to another agent.
const SOCKET_VARIABLE: &str = "ROLECALL_SOCKET";

/// The parts of the kubeconfig files that decide whether kubectl runs Rolecall.
#[derive(Debug, Default)]
pub(crate) struct Health {
    pub(crate) users: Vec<OwnUser>,
    /// The names of all contexts, also of other tools.
    pub(crate) contexts: Vec<String>,
    /// The current context, if no file has it.
    pub(crate) missing_current_context: Option<String>,
    pub(crate) lock_files: Vec<LockFile>,
}

/// A user entry that runs `rolecall token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnUser {
    pub(crate) name: String,
    /// Whether `rolecall kubeconfig`, `rename` and `remove` change this user of the profile.
    pub(crate) is_managed: bool,
    /// The profile whose token it asks for.
    pub(crate) profile: String,
    /// The program that kubectl runs.
    pub(crate) command: PathBuf,
    /// The names of the contexts that use it.
    pub(crate) contexts: Vec<String>,
    /// Why kubectl does not run the plugin of this entry.
    pub(crate) plugin_error: Option<PluginError>,
    /// The socket of the agent, if the entry names one.
    pub(crate) socket: Option<String>,
}

/// An exec entry that client-go rejects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PluginError {
    ApiVersion(String),
    NoInteractiveMode,
    InteractiveMode(String),
}

/// A lock file of kubectl beside a kubeconfig. kubectl creates it for the time of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockFile {
    pub(crate) path: PathBuf,
    pub(crate) age: Duration,
    /// Whether it is so old that its kubectl must have crashed.
    pub(crate) is_stale: bool,
}

/// Reads the files.
pub(crate) fn health(files: &Files) -> Result<Health, KubeconfigError> {
    let loaded = files.load()?;
    let draft = Draft::new(&loaded);
    let contexts = draft.visible(EntryKind::Context);
    let users = draft.visible(EntryKind::User).into_iter().filter_map(|(name, _, item)| {
        let profile = entry::profile_of(item)?.to_owned();
        let exec = item.at_path(&["user", "exec"])?;
        let uses_it = |item: &Value| item.at_path(&["context", "user"]).and_then(Value::as_str) == Some(name);
        let contexts = contexts.iter().filter(|(_, _, item)| uses_it(item)).map(|(name, _, _)| (*name).to_owned());
        Some(OwnUser {
            name: name.to_owned(),
            is_managed: draft.entry_names(&profile).user == name,
            profile,
            command: PathBuf::from(exec.get("command").and_then(Value::as_str).unwrap_or_default()),
            contexts: contexts.collect(),
            plugin_error: plugin_error(exec),
            socket: entry::variable(exec, SOCKET_VARIABLE).map(str::to_owned),
        })
    });
    let current = draft.current_context().filter(|name| draft.find(EntryKind::Context, name).is_none());
    Ok(Health {
        users: users.collect(),
        contexts: contexts.iter().map(|(name, ..)| (*name).to_owned()).collect(),
        missing_current_context: current.map(str::to_owned),
        lock_files: files.paths().iter().filter_map(|path| lock_file(path, files.timeouts.stale_after)).collect(),
    })
}

/// Returns the name of the user entry that Rolecall writes for a profile.
pub(crate) fn user_name(profile: &str) -> String {
    EntryNames::new(profile).user
}

/// What client-go rejects in an exec entry (tools/clientcmd/validation.go and plugin/pkg/client/auth/exec/exec.go).
fn plugin_error(exec: &Value) -> Option<PluginError> {
    let text = |key| exec.get(key).and_then(Value::as_str).unwrap_or_default();
    let (version, mode) = (text("apiVersion"), text("interactiveMode"));
    match (version.strip_prefix("client.authentication.k8s.io/"), mode) {
        (Some("v1" | "v1beta1"), "Never" | "IfAvailable" | "Always") | (Some("v1beta1"), "") => None,
        (Some("v1"), "") => Some(PluginError::NoInteractiveMode),
        (Some("v1" | "v1beta1"), other) => Some(PluginError::InteractiveMode(other.to_owned())),
        _ => Some(PluginError::ApiVersion(version.to_owned())),
    }
}

impl PluginError {
    /// What kubectl prints about the entry of this user.
    pub(crate) fn kubectl_message(&self, user: &str) -> String {
        match self {
            Self::ApiVersion(version) => format!("error: exec plugin: invalid apiVersion \"{version}\""),
            Self::NoInteractiveMode => {
                format!("error: interactiveMode must be specified for {user} to use exec authentication plugin")
            }
            Self::InteractiveMode(mode) => format!("error: invalid interactiveMode for {user}: \"{mode}\""),
        }
    }
}

fn lock_file(kubeconfig: &Path, stale_after: Duration) -> Option<LockFile> {
    let path = lock::kubectl_lock_path(kubeconfig);
    let age = lock::age(&fs::symlink_metadata(&path).ok()?);
    Some(LockFile { path, age, is_stale: age >= stale_after })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, exec: &str) -> String {
        format!("- {{name: {name}, user: {{exec: {{command: /usr/bin/rolecall, {exec}}}}}}}\n")
    }

    #[test]
    fn health_finds_own_users_and_missing_context() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let text = format!(
            "current-context: gone\ncontexts:\n- {{name: prod, context: {{cluster: c, user: rolecall-prod}}}}\n\
             - {{name: copy, context: {{cluster: c, user: rolecall-prod}}}}\nusers:\n{}{}- {{name: aws, user: {{exec: {{command: aws, \
             args: [eks, get-token]}}}}}}\n",
            user(
                "rolecall-prod",
                "args: [token, prod], apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never"
            ),
            user("other", "args: [token, prod], env: [{name: ROLECALL_SOCKET, value: /s}]"),
        );
        fs::write(&path, text).unwrap();
        let files = Files::one(&path).unwrap();
        let found = health(&files).unwrap();
        assert_eq!(found.missing_current_context.as_deref(), Some("gone"));
        assert!(found.lock_files.is_empty());
        let [own, other] = found.users.as_slice() else { panic!("{:?}", found.users) };
        assert_eq!((own.name.as_str(), own.profile.as_str()), ("rolecall-prod", "prod"));
        assert!(own.is_managed && !other.is_managed);
        assert_eq!((own.contexts.len(), &own.plugin_error, &own.socket), (2, &None, &None));
        assert_eq!(other.socket.as_deref(), Some("/s"));
        assert_eq!(other.plugin_error, Some(PluginError::ApiVersion(String::new())));

        fs::write(folder.path().join("kubeconfig.lock"), "").unwrap();
        let [lock] = health(&files).unwrap().lock_files.try_into().unwrap();
        assert!(!lock.is_stale && lock.path.ends_with("kubeconfig.lock"), "{lock:?}");
    }

    #[test]
    fn plugin_error_follows_client_go() {
        let of = |text: &str| plugin_error(&super::super::model::parse(Path::new("x"), text).unwrap());
        let version = |name: &str| format!("apiVersion: client.authentication.k8s.io/{name}\n");
        assert_eq!(of(&version("v1beta1")), None);
        assert_eq!(of(&version("v1")), Some(PluginError::NoInteractiveMode));
        assert_eq!(of(&format!("{}interactiveMode: IfAvailable\n", version("v1"))), None);
        let sometimes = of(&format!("{}interactiveMode: Sometimes\n", version("v1"))).unwrap();
        assert_eq!(sometimes.kubectl_message("u"), "error: invalid interactiveMode for u: \"Sometimes\"");
        let old = of(&version("v1alpha1")).unwrap().kubectl_message("u");
        assert_eq!(old, "error: exec plugin: invalid apiVersion \"client.authentication.k8s.io/v1alpha1\"");
    }
}

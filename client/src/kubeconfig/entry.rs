//! The three entries of a profile: what they contain, and how Rolecall recognizes its own entries.

use std::path::{Path, PathBuf};

use base64::Engine;
use rolecall_protocol::{ENTRY_KEY_VARIABLE, EntryKey};

use super::entry_names::EntryNames;
use super::error::KubeconfigError;
use super::model::{EntryKind, Value};

/// The apiVersion of the exec plugin protocol in the entries.
const EXEC_API_VERSION: &str = "client.authentication.k8s.io/v1";

/// kubectl shares its terminal with `rolecall` if it has one, so that `rolecall` can offer a login.
pub(super) const INTERACTIVE_MODE: &str = "IfAvailable";

/// The variables that Rolecall sets for its program.
pub(super) const ENTRY_VARIABLES: [&str; 2] = [ENTRY_KEY_VARIABLE, "ROLECALL_SOCKET"];

/// The content of a profile's entries. kubectl runs `<command> token <profile>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name of the profile.
    pub(crate) profile: String,
    /// The URL of the API server.
    pub(crate) server: String,
    /// The certificate authority of the API server: PEM in base64, as EKS returns it.
    pub(crate) certificate_authority_data: String,
    /// The absolute path of `rolecall`. Programs with a short `PATH` would not find a bare name.
    pub(crate) command: PathBuf,
    /// What kubectl prints if the command does not exist.
    pub(crate) install_hint: String,
    /// The environment variables that kubectl sets for the command, beside those that the user added.
    pub(crate) env: Vec<(String, String)>,
    /// The profile's entry key, for a further environment variable.
    pub(crate) key: Option<EntryKey>,
}

/// Whether a user entry runs `rolecall token <profile>`. Only this marks entries as Rolecall's.
pub(super) fn is_ours(user: &Value, profile: &str) -> bool {
    profile_of(user).is_some_and(|found| found == profile)
}

/// Returns the profile if the user entry runs `rolecall token <profile>`.
pub(super) fn profile_of(user: &Value) -> Option<&str> {
    let exec = user.at_path(&["user", "exec"])?;
    let command = exec.get("command").and_then(Value::as_str)?;
    match exec.get("args")?.items() {
        [token, profile] if token.as_str() == Some("token") && Path::new(command).file_name()? == "rolecall" => {
            profile.as_str()
        }
        _ => None,
    }
}

/// Returns the entry key that the user entry sets, if it is well-formed.
pub(super) fn entry_key(user: &Value) -> Option<EntryKey> {
    variable(user.at_path(&["user", "exec"])?, ENTRY_KEY_VARIABLE)?.parse().ok()
}

/// Returns the value of an environment variable that an `exec` map sets.
pub(super) fn variable<'a>(exec: &'a Value, name: &str) -> Option<&'a str> {
    let is_wanted = |item: &&Value| item.get("name").and_then(Value::as_str) == Some(name);
    exec.get("env")?.items().iter().find(is_wanted)?.get("value").and_then(Value::as_str)
}

impl Entry {
    /// Errors if the command or the certificate authority cannot work in a kubeconfig.
    pub(super) fn check(&self) -> Result<(), KubeconfigError> {
        if !self.command.is_absolute() || self.command.to_str().is_none() {
            return Err(KubeconfigError::Command { command: self.command.clone() });
        }
        // kubectl rejects the whole file if one certificate authority is not base64.
        if base64::engine::general_purpose::STANDARD.decode(&self.certificate_authority_data).is_err() {
            return Err(KubeconfigError::CertificateAuthority { profile: self.profile.clone() });
        }
        Ok(())
    }

    /// Returns the entry of a kind: a new one, or `old` with Rolecall's keys updated and all other keys kept.
    pub(super) fn updated_item(&self, names: &EntryNames, kind: EntryKind, old: Option<&Value>) -> Value {
        let mut item = old.cloned().unwrap_or_else(|| empty_item(names.get(kind), kind));
        let mut body = item.get(kind.body_key()).cloned().unwrap_or(Value::Null);
        match kind {
            EntryKind::Cluster if self.is_server_of(&body, names) => {}
            EntryKind::Cluster => self.fill_cluster(&mut body),
            EntryKind::Context => {
                body.set("cluster", Value::str(&names.cluster));
                body.set("user", Value::str(&names.user));
            }
            EntryKind::User => {
                let mut exec = body.get("exec").cloned().unwrap_or(Value::Null);
                self.fill_exec(&mut exec);
                body.set("exec", exec);
            }
        }
        item.set(kind.body_key(), body);
        item
    }

    /// Whether a cluster that another tool made has this server, and its certificate authority in a file.
    fn is_server_of(&self, cluster: &Value, names: &EntryNames) -> bool {
        let is_set = |key| cluster.get(key).is_some_and(|value| *value != Value::Null);
        names.cluster != EntryNames::new(&self.profile).cluster
            && cluster.get("server").and_then(Value::as_str) == Some(&self.server)
            && is_set("certificate-authority")
            && !is_set("certificate-authority-data")
    }

    /// Returns what kubectl runs for the profile, as the value of `exec`.
    pub(super) fn exec(&self) -> Value {
        let mut exec = Value::Null;
        self.fill_exec(&mut exec);
        exec
    }

    fn fill_cluster(&self, body: &mut Value) {
        body.set("certificate-authority-data", Value::str(&self.certificate_authority_data));
        body.set("server", Value::str(&self.server));
        // The certificate of a pinned server has to be verified. client-go rejects this key beside a CA anyway.
        body.remove("insecure-skip-tls-verify");
    }

    fn fill_exec(&self, exec: &mut Value) {
        let is_new = *exec == Value::Null;
        exec.set("apiVersion", Value::str(EXEC_API_VERSION));
        exec.set("args", Value::List(vec![Value::str("token"), Value::str(&self.profile)]));
        exec.set("command", Value::Str(self.command.to_string_lossy().into_owned()));
        if is_new {
            // kubectl writes `env: null`, so its next rewrite of the file does not change this entry.
            exec.set("env", Value::Null);
        }
        for (name, value) in &self.env {
            set_variable(exec, name, value);
        }
        if let Some(key) = &self.key {
            set_variable(exec, ENTRY_KEY_VARIABLE, key.to_text().expose());
        }
        exec.set("installHint", Value::str(&self.install_hint));
        exec.set("interactiveMode", Value::str(INTERACTIVE_MODE));
        exec.set("provideClusterInfo", Value::Bool(true));
    }
}

/// Returns an entry without a body, with its keys in kubectl's order, which is alphabetical.
fn empty_item(name: &str, kind: EntryKind) -> Value {
    let mut pairs = [("name", Value::str(name)), (kind.body_key(), Value::Null)];
    pairs.sort_by_key(|(key, _)| *key);
    Value::map(pairs)
}

/// Sets an environment variable of an `exec` map.
fn set_variable(exec: &mut Value, name: &str, value: &str) {
    let known = exec
        .items_mut("env")
        .and_then(|env| env.iter_mut().find(|item| item.get("name").and_then(Value::as_str) == Some(name)));
    match known {
        Some(item) => item.set("value", Value::str(value)),
        None => exec.push("env", Value::map([("name", Value::str(name)), ("value", Value::str(value))])),
    }
}

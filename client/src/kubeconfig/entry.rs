//! What our entries look like, and how they are told from everybody else's.

use std::path::{Path, PathBuf};

use base64::Engine;

use super::error::KubeconfigError;
use super::model::{Kind, Value};

/// The apiVersion of the exec plugin protocol that our entries ask for.
const EXEC_API_VERSION: &str = "client.authentication.k8s.io/v1";

/// kubectl lends us its terminal if it has one: a login may need a person.
const INTERACTIVE_MODE: &str = "IfAvailable";

/// What a profile needs in a kubeconfig. The context is named as the profile is; its cluster and its user are both
/// named `rolecall-<profile>`; the command that kubectl runs is `<command> token <profile>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The profile, and the context.
    pub(crate) profile: String,
    /// The API server's URL.
    pub(crate) server: String,
    /// Its certificate authority: PEM in base64, as EKS gives it.
    pub(crate) certificate_authority_data: String,
    /// The absolute path of `rolecall`: a bare name is not found by programs whose PATH is short.
    pub(crate) command: PathBuf,
    /// What kubectl says when the command is not there.
    pub(crate) install_hint: String,
    /// Variables that kubectl sets for the command. Others that a person added stay.
    pub(crate) env: Vec<(String, String)>,
}

/// The name of a profile's cluster and user.
pub(super) fn inner_name(profile: &str) -> String {
    format!("rolecall-{profile}")
}

/// Whether a user entry runs `rolecall token <profile>`: the one sign by which entries are ours.
pub(super) fn is_ours(user: &Value, profile: &str) -> bool {
    profile_of(user).is_some_and(|found| found == profile)
}

/// The profile of a user entry that runs `rolecall token <profile>`.
pub(super) fn profile_of(user: &Value) -> Option<&str> {
    let exec = user.at(&["user", "exec"])?;
    let command = exec.get("command").and_then(Value::as_str)?;
    let args: Vec<Option<&str>> = exec.get("args")?.items().iter().map(Value::as_str).collect();
    match args.as_slice() {
        [Some("token"), Some(profile)] if Path::new(command).file_name()? == "rolecall" => Some(profile),
        _ => None,
    }
}

impl Entry {
    /// Refuses what would not work as a command.
    pub(super) fn check(&self) -> Result<(), KubeconfigError> {
        if !self.command.is_absolute() || self.command.to_str().is_none() {
            return Err(KubeconfigError::Command { command: self.command.clone() });
        }
        // One entry that is not base64 makes the whole file unreadable for kubectl.
        if base64::engine::general_purpose::STANDARD.decode(&self.certificate_authority_data).is_err() {
            return Err(KubeconfigError::CertificateAuthority { profile: self.profile.clone() });
        }
        Ok(())
    }

    /// The name of this profile's entry of that kind.
    pub(super) fn name(&self, kind: Kind) -> String {
        match kind {
            Kind::Context => self.profile.clone(),
            Kind::Cluster | Kind::User => inner_name(&self.profile),
        }
    }

    /// The entry of that kind: a new one, or `old` brought up to date with everything in it that is not ours to say.
    pub(super) fn item(&self, kind: Kind, old: Option<&Value>) -> Value {
        let mut item = old.cloned().unwrap_or_else(|| self.named(kind));
        let mut body = item.get(kind.body()).cloned().unwrap_or(Value::Null);
        match kind {
            Kind::Cluster => self.fill_cluster(&mut body),
            Kind::Context => {
                body.set("cluster", Value::Str(self.name(Kind::Cluster)));
                body.set("user", Value::Str(self.name(Kind::User)));
            }
            Kind::User => {
                let mut exec = body.get("exec").cloned().unwrap_or(Value::Null);
                self.fill_exec(&mut exec);
                body.set("exec", exec);
            }
        }
        item.set(kind.body(), body);
        item
    }

    /// An entry without anything in it, with its keys in kubectl's order, which is the alphabet's.
    fn named(&self, kind: Kind) -> Value {
        let mut pairs = [("name", Value::Str(self.name(kind))), (kind.body(), Value::Null)];
        pairs.sort_by_key(|(key, _)| *key);
        Value::map(pairs)
    }

    fn fill_cluster(&self, body: &mut Value) {
        body.set("certificate-authority-data", Value::str(&self.certificate_authority_data));
        body.set("server", Value::str(&self.server));
        // A pinned server is not one that may be anybody; client-go refuses the two together anyway.
        body.remove("insecure-skip-tls-verify");
    }

    fn fill_exec(&self, exec: &mut Value) {
        let is_new = *exec == Value::Null;
        exec.set("apiVersion", Value::str(EXEC_API_VERSION));
        exec.set("args", Value::List(vec![Value::str("token"), Value::str(&self.profile)]));
        exec.set("command", Value::Str(self.command.to_string_lossy().into_owned()));
        if is_new {
            // As kubectl writes it, so that kubectl's next rewrite of the file has nothing to change here.
            exec.set("env", Value::Null);
        }
        for (name, value) in &self.env {
            let variable = Value::map([("name", Value::str(name)), ("value", Value::str(value))]);
            let known = exec.items_mut("env").and_then(|env| {
                env.iter_mut().find(|item| item.get("name").and_then(Value::as_str) == Some(name.as_str()))
            });
            match known {
                Some(item) => item.set("value", Value::str(value)),
                None => exec.push("env", variable),
            }
        }
        exec.set("installHint", Value::str(&self.install_hint));
        exec.set("interactiveMode", Value::str(INTERACTIVE_MODE));
        exec.set("provideClusterInfo", Value::Bool(true));
    }
}

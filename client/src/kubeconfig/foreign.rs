//! Reads the contexts that other tools made, with their clusters and what their users run.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::entry;
use super::error::KubeconfigError;
use super::files::Files;
use super::model::{EntryKind, Value};

/// A context that kubectl sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundContext {
    pub(crate) name: String,
    pub(crate) cluster_name: Option<String>,
    pub(crate) cluster: Option<FoundCluster>,
    pub(crate) user_name: Option<String>,
    pub(crate) user: Option<FoundUser>,
}

/// How a cluster is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundCluster {
    pub(crate) server: String,
    pub(crate) authority: Option<Authority>,
    pub(crate) skips_tls_verification: bool,
    pub(crate) tls_server_name: Option<String>,
    pub(crate) proxy_url: Option<String>,
}

/// The certificate authority of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authority {
    /// PEM in base64.
    Data(String),
    /// A file in PEM.
    File(PathBuf),
}

/// What a user authenticates with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FoundUser {
    /// It runs `rolecall token`.
    Rolecall,
    /// It runs another program.
    Exec(ExecCommand),
    /// It runs a program and has this other credential, which kubectl may use instead.
    Mixed(&'static str),
    /// Other credentials, in words.
    Other(&'static str),
}

/// The program that a user runs.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ExecCommand {
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
}

/// The value of a variable may be a secret.
impl fmt::Debug for ExecCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        let Self { command, args, .. } = self;
        f.debug_struct("ExecCommand").field("command", command).field("args", args).field("env", &names).finish()
    }
}

/// Returns the contexts that kubectl sees, in the order of the files.
pub(crate) fn found_contexts(files: &Files) -> Result<Vec<FoundContext>, KubeconfigError> {
    let loaded = files.load()?;
    let draft = Draft::new(&loaded);
    let by_name = |kind| -> HashMap<&str, (usize, &Value)> {
        draft.visible(kind).into_iter().map(|(name, file, item)| (name, (file, item))).collect()
    };
    let (clusters, users) = (by_name(EntryKind::Cluster), by_name(EntryKind::User));
    let context = |(name, _, item): (&str, usize, &Value)| {
        let part = |key| item.at_path(&["context", key]).and_then(Value::as_str).map(str::to_owned);
        let (cluster_name, user_name) = (part("cluster"), part("user"));
        let cluster = cluster_name.as_deref().and_then(|name| clusters.get(name));
        let user = user_name.as_deref().and_then(|name| users.get(name));
        FoundContext {
            name: name.to_owned(),
            cluster: cluster.and_then(|(file, item)| found_cluster(item, draft.path(*file))),
            user: user.map(|(_, item)| found_user(item)),
            cluster_name,
            user_name,
        }
    };
    Ok(draft.visible(EntryKind::Context).into_iter().map(context).collect())
}

fn found_cluster(item: &Value, file: &Path) -> Option<FoundCluster> {
    let text = |key| item.at_path(&["cluster", key]).and_then(Value::as_str).filter(|text| !text.is_empty());
    let data = text("certificate-authority-data").map(|data| Authority::Data(data.split_whitespace().collect()));
    // A relative path starts at the folder of the kubeconfig.
    let path =
        text("certificate-authority").map(|path| Authority::File(crate::files::names::folder_of(file).join(path)));
    Some(FoundCluster {
        server: text("server")?.to_owned(),
        authority: data.or(path),
        skips_tls_verification: item.at_path(&["cluster", "insecure-skip-tls-verify"]) == Some(&Value::Bool(true)),
        tls_server_name: text("tls-server-name").map(str::to_owned),
        proxy_url: text("proxy-url").map(str::to_owned),
    })
}

fn found_user(item: &Value) -> FoundUser {
    if entry::profile_of(item).is_some() {
        return FoundUser::Rolecall;
    }
    let is_set = |key: &str| item.at_path(&["user", key]).is_some_and(|value| !is_empty(value));
    let other = OTHER_CREDENTIALS.iter().find(|(key, _)| is_set(key)).map(|(_, words)| *words);
    match (exec_of(item), other) {
        (Some(exec), None) => FoundUser::Exec(exec),
        (Some(_), Some(other)) => FoundUser::Mixed(other),
        (None, Some(other)) => FoundUser::Other(other),
        (None, None) => FoundUser::Other("no credentials"),
    }
}

/// The keys of a user beside `exec` that hold credentials, with words for them.
const OTHER_CREDENTIALS: [(&str, &str); 8] = [
    ("client-certificate", "client certificate"),
    ("client-certificate-data", "client certificate"),
    ("client-key-data", "client certificate"),
    ("token", "token"),
    ("tokenFile", "token file"),
    ("username", "user name and password"),
    ("password", "user name and password"),
    ("auth-provider", "auth provider"),
];

fn is_empty(value: &Value) -> bool {
    *value == Value::Null || value.as_str() == Some("")
}

/// Returns what a user runs; `None` if it runs nothing.
pub(super) fn exec_of(item: &Value) -> Option<ExecCommand> {
    let exec = item.at_path(&["user", "exec"])?;
    let command = exec.get("command").and_then(Value::as_str).filter(|command| !command.is_empty())?;
    let texts = |key| exec.get(key).map(Value::items).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let variable = |item: &Value| {
        let part = |key| item.get(key).map(text).unwrap_or_default();
        (part("name"), part("value"))
    };
    Some(ExecCommand {
        command: command.to_owned(),
        args: texts("args").iter().map(text).collect(),
        env: texts("env").iter().map(variable).collect(),
    })
}

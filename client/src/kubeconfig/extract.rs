//! Copies the entries of one profile into a kubeconfig of their own.

use std::path::Path;

use super::draft::{self, Draft};
use super::emit;
use super::entry;
use super::error::KubeconfigError;
use super::files::Files;
use super::model::{EntryKind, Value};
use crate::files::names::folder_of;

/// The keys of a cluster and of a user that hold a path. kubectl reads a relative path from the folder of the kubeconfig
/// (client-go, tools/clientcmd/loader.go, `GetClusterFileReferences` and `GetAuthInfoFileReferences`).
const PATH_KEYS: [&str; 4] = ["certificate-authority", "client-certificate", "client-key", "tokenFile"];

/// A kubeconfig with the entries of one profile.
#[derive(Debug)]
pub(crate) struct Extract {
    /// The text of the kubeconfig.
    pub(crate) text: String,
    /// The namespace of its context, if it has one.
    pub(crate) namespace: Option<String>,
}

/// Returns a kubeconfig with the context, the cluster and the user of a profile, as they are in the user's files, so that
/// the entry key, a proxy and variables that the user added stay. The context is the current one; `namespace` replaces
/// its namespace. `None` if the files have no context and user that Rolecall made for the profile.
pub(crate) fn extract(
    files: &Files,
    profile: &str,
    namespace: Option<&str>,
) -> Result<Option<Extract>, KubeconfigError> {
    let loaded = files.load()?;
    let draft = Draft::new(&loaded);
    let find = |kind, name: Option<&str>| {
        let position = draft.find(kind, name?)?;
        let mut item = draft.item(kind, position)?.clone();
        make_paths_absolute(&mut item, kind, folder_of(draft.path(position.file)));
        Some(item)
    };
    let name = draft.entry_names(profile).context;
    let Some(mut context) = find(EntryKind::Context, Some(&name)) else { return Ok(None) };
    let name_of = |key| context.at_path(&["context", key]).and_then(Value::as_str);
    let user = find(EntryKind::User, name_of("user")).filter(|user| entry::is_ours(user, profile));
    let (Some(user), Some(cluster)) = (user, find(EntryKind::Cluster, name_of("cluster"))) else { return Ok(None) };
    if let (Some(namespace), Some(body)) = (namespace, context.get_mut("context")) {
        body.set("namespace", Value::str(namespace));
    }
    let namespace = context.at_path(&["context", "namespace"]).and_then(Value::as_str).map(str::to_owned);
    let mut kubeconfig = draft::empty_kubeconfig();
    for (kind, item) in [(EntryKind::Cluster, cluster), (EntryKind::Context, context), (EntryKind::User, user)] {
        kubeconfig.push(kind.list_key(), item);
    }
    kubeconfig.set("current-context", Value::str(&name));
    Ok(Some(Extract { text: emit::block(&kubeconfig), namespace }))
}

fn make_paths_absolute(item: &mut Value, kind: EntryKind, folder: &Path) {
    let Some(body) = item.get_mut(kind.body_key()) else { return };
    for key in PATH_KEYS {
        if let Some(path) = body.get(key).and_then(Value::as_str).filter(|path| !path.is_empty()) {
            let path = folder.join(path).to_string_lossy().into_owned();
            body.set(key, Value::Str(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kubeconfig of a user, with another tool's context and what the user added to Rolecall's entries.
    const USER_FILE: &str = "apiVersion: v1
kind: Config
current-context: minikube
clusters:
- name: rolecall-prod
  cluster: {server: https://prod, certificate-authority: pki/ca.crt, proxy-url: socks5://localhost:1080}
- name: minikube
  cluster: {server: https://minikube}
contexts:
- name: prod
  context: {cluster: rolecall-prod, user: rolecall-prod, namespace: web}
- name: minikube
  context: {cluster: minikube, user: minikube}
- name: other
  context: {cluster: minikube, user: minikube}
users:
- name: rolecall-prod
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      args: [token, prod]
      command: /usr/bin/rolecall
      env: [{name: ROLECALL_ENTRY_KEY, value: abc}, {name: MINE, value: \"1\"}]
- name: minikube
  user: {token: secret-of-another-tool}
";

    fn files(folder: &Path) -> Files {
        let path = folder.join("config");
        std::fs::write(&path, USER_FILE).unwrap();
        Files::one(&path).unwrap()
    }

    #[test]
    fn extract_copies_only_the_entries_of_the_profile() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let Extract { text, namespace } = extract(&files, "prod", None).unwrap().unwrap();
        assert_eq!(namespace.as_deref(), Some("web"));
        let ca = folder.path().join("pki/ca.crt");
        for part in ["current-context: prod\n", "MINE", "abc", "socks5", ca.to_str().unwrap(), "namespace: web"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains("minikube") && !text.contains("secret-of-another-tool"), "{text}");
        let own = folder.path().join("own");
        std::fs::write(&own, &text).unwrap();
        let own = Files::one(&own).unwrap();
        let found = crate::kubeconfig::find(&own, "prod").unwrap().unwrap();
        assert!(found.is_current && found.server.as_deref() == Some("https://prod"), "{found:?}");
        assert_eq!(extract(&own, "prod", None).unwrap().unwrap().text, text, "a copy of the copy is equal");
    }

    #[test]
    fn extract_namespace_replaces_that_of_the_context() {
        let folder = tempfile::tempdir().unwrap();
        let extract = extract(&files(folder.path()), "prod", Some("api")).unwrap().unwrap();
        assert_eq!(extract.namespace.as_deref(), Some("api"));
        assert!(extract.text.contains("namespace: api") && !extract.text.contains("namespace: web"));
    }

    #[test]
    fn extract_entries_of_other_tools_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        for name in ["minikube", "other", "nope"] {
            assert!(extract(&files, name, None).unwrap().is_none(), "{name}");
        }
    }
}

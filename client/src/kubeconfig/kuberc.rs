//! The policy of kubectl's own settings (kuberc) on exec plugins: kubectl 1.35 and later refuse a plugin that it excludes.

use std::path::Path;

use super::error::KubeconfigError;
use super::files::MAX_KUBECONFIG_BYTES;
use super::model::{self, Value};
use crate::files::atomic_file;

/// Which exec plugins kubectl runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PluginPolicy {
    AllowAll,
    DenyAll,
    /// The programs that it runs: paths, and names that it looks up in `PATH`.
    Allowlist(Vec<String>),
    /// A value for which kubectl reports an error.
    Unknown(String),
}

/// Reads the policy. A file that does not exist, or does not set one, allows every plugin.
pub(crate) fn plugin_policy(path: &Path) -> Result<PluginPolicy, KubeconfigError> {
    let original = atomic_file::read_unicode(path, MAX_KUBECONFIG_BYTES)?;
    Ok(policy_of(&model::parse(path, &original.text)?))
}

fn policy_of(kuberc: &Value) -> PluginPolicy {
    match kuberc.get("credentialPluginPolicy").and_then(Value::as_str).unwrap_or_default() {
        "" | "AllowAll" => PluginPolicy::AllowAll,
        "DenyAll" => PluginPolicy::DenyAll,
        "Allowlist" => {
            let list = kuberc.get("credentialPluginAllowlist").map(Value::items).unwrap_or_default();
            PluginPolicy::Allowlist(list.iter().filter_map(program_of).map(str::to_owned).collect())
        }
        other => PluginPolicy::Unknown(other.to_owned()),
    }
}

/// The program of an entry. The key was `name` in kubectl 1.35 and is `command` since 1.36.
fn program_of(item: &Value) -> Option<&str> {
    item.get("command").or_else(|| item.get("name")).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugin_policy_reads_the_formats_of_kubectl() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kuberc");
        assert_eq!(plugin_policy(&path).unwrap(), PluginPolicy::AllowAll, "it does not exist");
        let of = |text: &str| {
            std::fs::write(&path, format!("apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n{text}"))
                .unwrap();
            plugin_policy(&path).unwrap()
        };
        assert_eq!(of(""), PluginPolicy::AllowAll);
        assert_eq!(of("credentialPluginPolicy: DenyAll\n"), PluginPolicy::DenyAll);
        assert_eq!(of("credentialPluginPolicy: Sometimes\n"), PluginPolicy::Unknown("Sometimes".to_owned()));
        let list =
            "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- name: /a/rolecall\n- command: aws\n";
        assert_eq!(of(list), PluginPolicy::Allowlist(vec!["/a/rolecall".to_owned(), "aws".to_owned()]));
    }
}

//! Whether each profile's kubeconfig entry gets a token by the pin and the entry key, and a forged one does not.

use super::facts::Facts;
use super::finding::Finding;
use crate::config_file::ConfigFile;
use crate::kubeconfig::context_entry::{self, Server};
use crate::kubeconfig::{self, InstalledEntry};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(config) = &facts.config else { return Vec::new() };
    let names = config.profile_names();
    let entries = context_entry::files(None)
        .and_then(|files| kubeconfig::find_all(&files, &names).map_err(Into::into))
        .map_err(|error| error.to_string());
    match entries {
        Ok(entries) => names.iter().zip(entries).map(|(name, entry)| finding(name, config, entry.as_ref())).collect(),
        Err(cause) => {
            vec![Finding::problem("kubeconfig", cause, "kubectl does not read it either.", "kubectl config view")]
        }
    }
}

fn finding(profile: &str, config: &ConfigFile, entry: Option<&InstalledEntry>) -> Finding {
    let name = format!("profile {profile}");
    let write = format!("rolecall kubeconfig {profile}");
    let Some(pinned) = config.profile(profile) else {
        return Finding::problem(
            name,
            "it has no cluster, region or source",
            "It gets no token.",
            "rolecall config check",
        );
    };
    if config.pin_mode(profile) == Some("off") {
        let consequence =
            "Every kubeconfig that a process of this user writes gets a token, also for a server of its author.";
        return Finding::warning(
            name,
            "pin = \"off\"",
            consequence,
            "Remove pin from the profile: rolecall config edit",
        );
    }
    let Some(entry) = entry else {
        return Finding::ok(name, "no kubeconfig context; a token needs the pinned cluster or the entry key");
    };
    let is_other_server = pinned
        .server
        .as_deref()
        .zip(entry.server.as_deref())
        .is_some_and(|(ours, theirs)| ours.trim_end_matches('/') != theirs.trim_end_matches('/'));
    let ca = entry.certificate_authority_data.as_deref().and_then(|data| Server::from_data("", data));
    let is_other_ca = pinned.ca_sha256.as_deref().zip(ca).is_some_and(|(ours, theirs)| ours != theirs.ca_sha256);
    if is_other_server || is_other_ca {
        let cause = if is_other_server { "another server" } else { "another certificate authority" };
        let cause = format!("its kubeconfig context names {cause} than the pin");
        return Finding::problem(name, cause, "It gets no token, which protects you if you did not change it.", write);
    }
    match config.entry_key(profile) {
        key if key.is_some() && key == entry.entry_key => {
            Finding::ok(name, "its kubeconfig context has the pinned cluster and the entry key")
        }
        _ => Finding::warning(
            name,
            "its kubeconfig context has no valid entry key",
            "Clients that do not send cluster information, such as the Python client, get no token.",
            write,
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::finding::State;
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn config(more: &str) -> (tempfile::TempDir, ConfigFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let text = format!(
            "[sources.work]\naws_profile = \"work\"\n[profiles.prod]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\n\
             server = \"https://a.example\"\nentry_key = \"{KEY}\"\n{more}"
        );
        std::fs::write(&path, text).unwrap();
        let config = ConfigFile::load(&path).unwrap();
        (folder, config)
    }

    fn entry(server: &str, key: Option<&str>) -> InstalledEntry {
        InstalledEntry {
            file: PathBuf::new(),
            server: Some(server.to_owned()),
            certificate_authority_data: None,
            command: PathBuf::new(),
            entry_key: key.and_then(|key| key.parse().ok()),
            is_current: false,
        }
    }

    #[test]
    fn finding_follows_pin_and_entry_key() {
        let (_folder, pinned) = config("");
        let state = |entry: Option<InstalledEntry>| finding("prod", &pinned, entry.as_ref()).state;
        assert_eq!(state(None), State::Ok);
        assert_eq!(state(Some(entry("https://a.example/", Some(KEY)))), State::Ok);
        assert_eq!(state(Some(entry("https://a.example", None))), State::Warning);
        assert_eq!(state(Some(entry("https://evil.example", Some(KEY)))), State::Problem);
        for off in ["pin = \"off\"\n", "[defaults]\npin = \"off\"\n"] {
            let (_folder, unpinned) = config(off);
            assert_eq!(finding("prod", &unpinned, None).state, State::Warning, "{off}");
        }
    }
}

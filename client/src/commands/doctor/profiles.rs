//! Whether only the user can change the kubeconfig, whether each profile's entry in it runs Rolecall and gets a token by
//! the pin and the entry key, and whether a forged one does not.

use std::path::Path;

use rolecall_trusted_file as trusted_file;

use super::facts::Facts;
use super::files::fix_of;
use super::finding::Finding;
use crate::config_file::{ConfigFile, ProfileEntry};
use crate::environment::is_executable;
use crate::error::CliError;
use crate::kubeconfig::context_entry::{self, Server};
use crate::kubeconfig::{self, Context, Files, InstalledEntry};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(config) = &facts.config else { return Vec::new() };
    findings(config).unwrap_or_else(|error| {
        let cause = error.to_string();
        vec![Finding::problem("kubeconfig", cause, "kubectl does not read it either.", "kubectl config view")]
    })
}

fn findings(config: &ConfigFile) -> Result<Vec<Finding>, CliError> {
    let files = context_entry::files(None)?;
    let mut findings: Vec<Finding> = files.paths().iter().filter_map(|path| file(path)).collect();
    findings.extend(of_profiles(config, &files)?);
    Ok(findings)
}

/// Returns the finding for a kubeconfig file; `None` if it does not exist.
fn file(path: &Path) -> Option<Finding> {
    let name = "kubeconfig";
    match trusted_file::check(path) {
        Ok(_) => Some(Finding::ok(name, format!("{} can be changed by this user and root only", path.display()))),
        Err(error) if error.is_missing() => None,
        Err(error) => {
            let consequence = "Other users choose which program kubectl runs.";
            Some(Finding::problem(name, error.to_string(), consequence, fix_of(&error)))
        }
    }
}

fn of_profiles(config: &ConfigFile, files: &Files) -> Result<Vec<Finding>, CliError> {
    let names = config.profile_names();
    let entries = kubeconfig::find_all(files, &names)?;
    let contexts = kubeconfig::contexts(files)?;
    let of_profile = |(name, entry): (&String, Option<InstalledEntry>)| {
        other_program(name, &contexts).unwrap_or_else(|| finding(name, config, entry.as_ref()))
    };
    Ok(names.iter().zip(entries).map(of_profile).collect())
}

/// Returns a problem if the context of a profile has a user that runs another program or has other credentials.
fn other_program(profile: &str, contexts: &[Context]) -> Option<Finding> {
    let context = contexts.iter().find(|context| context.name == profile)?;
    if context.profile.as_deref() == Some(profile) {
        return None;
    }
    Some(Finding::problem(
        format!("profile {profile}"),
        format!("its kubeconfig context does not run rolecall token {profile}"),
        "kubectl uses other credentials with this context.",
        format!("rolecall kubeconfig {profile}"),
    ))
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
    if let Some(problem) = entry.and_then(|entry| missing_command(&name, entry, &write)) {
        return problem;
    }
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
    let pin_warning = missing_pin(&name, &pinned, &write);
    let Some(entry) = entry else {
        let cause = "no kubeconfig context; a token needs the pinned cluster or the entry key";
        return pin_warning.unwrap_or_else(|| Finding::ok(name, cause));
    };
    if let Some(difference) = other_cluster(&pinned, entry) {
        let cause = format!("its kubeconfig context names {difference} than the pin");
        return Finding::problem(name, cause, "It gets no token, which protects you if you did not change it.", write);
    }
    if let Some(warning) = pin_warning.or_else(|| relative_command(&name, entry, &write)) {
        return warning;
    }
    match config.entry_key(profile) {
        key if key.is_some() && key == entry.entry_key && !entry.provides_cluster_info => Finding::warning(
            name,
            "its kubeconfig entry has no provideClusterInfo: true",
            "kubectl does not name the server to the agent, which cannot compare it with the pin.",
            write,
        ),
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

/// Returns what in an entry is not the pinned cluster.
fn other_cluster(pinned: &ProfileEntry, entry: &InstalledEntry) -> Option<&'static str> {
    let servers = pinned.server.as_deref().zip(entry.server.as_deref());
    if servers.is_some_and(|(ours, theirs)| ours.trim_end_matches('/') != theirs.trim_end_matches('/')) {
        return Some("another server");
    }
    let ca = entry.certificate_authority_data.as_deref().and_then(|data| Server::from_data("", data));
    let is_other_ca = pinned.ca_sha256.as_deref().zip(ca).is_some_and(|(ours, theirs)| ours != theirs.ca_sha256);
    is_other_ca.then_some("another certificate authority")
}

/// Returns a warning if the profile has no complete pin.
fn missing_pin(name: &str, pinned: &ProfileEntry, write: &str) -> Option<Finding> {
    let (cause, consequence) = match (&pinned.server, &pinned.ca_sha256) {
        (Some(_), Some(_)) => return None,
        (Some(_), None) => (
            "it pins no certificate authority (ca_sha256)",
            "The agent does not compare the certificate authority of the server to which kubectl sends a token.",
        ),
        (None, _) => (
            "it has no pin (server, ca_sha256)",
            "The agent does not compare the server to which kubectl sends a token.",
        ),
    };
    Some(Finding::warning(name, cause, consequence, write))
}

/// Returns a problem if kubectl cannot run the command of an entry.
fn missing_command(name: &str, entry: &InstalledEntry, write: &str) -> Option<Finding> {
    let shown = entry.command.display();
    let cause = format!("the command {shown} of its kubeconfig entry is not an executable file");
    let is_missing = entry.command.is_absolute() && !is_executable(&entry.command);
    is_missing.then(|| Finding::problem(name, cause, "kubectl gets no token.", write))
}

/// Returns a warning if only some programs find the command of an entry.
fn relative_command(name: &str, entry: &InstalledEntry, write: &str) -> Option<Finding> {
    let cause = format!("the command {} of its kubeconfig entry is not an absolute path", entry.command.display());
    let consequence = "Programs with a short PATH do not find it.";
    entry.command.is_relative().then(|| Finding::warning(name, cause, consequence, write))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::super::finding::State;
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    const CA: &str = "ca_sha256 = \"ab\"\n";

    fn config(more: &str) -> (tempfile::TempDir, ConfigFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let text = format!(
            "[sources.work]\naws_profile = \"work\"\n[profiles.prod]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\n\
             server = \"https://a.example\"\nentry_key = \"{KEY}\"\n{more}"
        );
        fs::write(&path, text).unwrap();
        let config = ConfigFile::load(&path).unwrap();
        (folder, config)
    }

    fn entry(server: &str, key: Option<&str>) -> InstalledEntry {
        InstalledEntry {
            context: "prod".to_owned(),
            file: PathBuf::new(),
            server: Some(server.to_owned()),
            certificate_authority_data: None,
            command: PathBuf::from("/bin/sh"),
            provides_cluster_info: true,
            entry_key: key.and_then(|key| key.parse().ok()),
            is_current: false,
        }
    }

    #[test]
    fn finding_follows_pin_and_entry_key() {
        let (_folder, pinned) = config(CA);
        let state = |entry: Option<InstalledEntry>| finding("prod", &pinned, entry.as_ref()).state;
        assert_eq!(state(None), State::Ok);
        assert_eq!(state(Some(entry("https://a.example/", Some(KEY)))), State::Ok);
        assert_eq!(state(Some(entry("https://a.example", None))), State::Warning);
        assert_eq!(state(Some(entry("https://evil.example", Some(KEY)))), State::Problem);
        for off in ["pin = \"off\"\n", "[defaults]\npin = \"off\"\n"] {
            let (_folder, unpinned) = config(&format!("{CA}{off}"));
            assert_eq!(finding("prod", &unpinned, None).state, State::Warning, "{off}");
        }
    }

    #[test]
    fn finding_follows_command_and_cluster_info() {
        let (folder, pinned) = config(CA);
        let of = |command: PathBuf, provides_cluster_info| {
            let entry = InstalledEntry { command, provides_cluster_info, ..entry("https://a.example", Some(KEY)) };
            finding("prod", &pinned, Some(&entry))
        };
        let not_executable = folder.path().join("rolecall");
        fs::write(&not_executable, "").unwrap();
        for (command, provides_cluster_info, state, cause) in [
            (PathBuf::from("/bin/sh"), true, State::Ok, "its kubeconfig context has the pinned cluster"),
            (PathBuf::from("/bin/sh"), false, State::Warning, "its kubeconfig entry has no provideClusterInfo"),
            (PathBuf::from("rolecall"), true, State::Warning, "the command rolecall of its kubeconfig entry is not"),
            (
                PathBuf::from("/nowhere/rolecall"),
                true,
                State::Problem,
                "the command /nowhere/rolecall of its kubeconfig",
            ),
            (not_executable, true, State::Problem, "the command "),
        ] {
            let found = of(command, provides_cluster_info);
            assert!(found.state == state && found.cause.starts_with(cause), "{found:?}");
            assert_eq!(found.fix.is_some(), state != State::Ok, "{found:?}");
        }
    }

    #[test]
    fn finding_without_a_pin_is_a_warning() {
        let (_folder, without_ca) = config("");
        let found = finding("prod", &without_ca, None);
        assert!(found.state == State::Warning && found.cause.contains("no certificate authority"), "{found:?}");
        let other = finding("prod", &without_ca, Some(&entry("https://evil.example", Some(KEY))));
        assert_eq!(other.state, State::Problem, "a problem is shown before a warning");
        let (folder, _) = config("");
        let path = folder.path().join("config.toml");
        let text = fs::read_to_string(&path).unwrap().replace("server = \"https://a.example\"\n", "");
        fs::write(&path, text).unwrap();
        let found = finding("prod", &ConfigFile::load(&path).unwrap(), None);
        assert_eq!((found.state, found.cause.as_str()), (State::Warning, "it has no pin (server, ca_sha256)"));
        assert_eq!(found.fix.as_deref(), Some("rolecall kubeconfig prod"));
    }

    #[test]
    fn file_that_others_can_write_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        assert_eq!(file(&path), None);
        fs::write(&path, "").unwrap();
        for (mode, state) in [(0o600, State::Ok), (0o644, State::Ok), (0o646, State::Problem)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(file(&path).unwrap().state, state, "{mode:o}");
        }
        assert!(file(&path).unwrap().fix.unwrap().starts_with("chmod go-w "));
    }

    #[test]
    fn context_of_another_program_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let (_folder, pinned) = config(CA);
        let state = |user: &str, command: &str| {
            let text = format!(
                "apiVersion: v1\nkind: Config\nclusters:\n- {{name: rolecall-prod, cluster: {{server: https://a.example}}}}\n\
                 contexts:\n- {{name: prod, context: {{cluster: rolecall-prod, user: {user}}}}}\nusers:\n\
                 - {{name: rolecall-prod, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: {command}, \
                 args: [token, prod], interactiveMode: Never}}}}}}\n"
            );
            fs::write(&path, text).unwrap();
            let found = of_profiles(&pinned, &Files::one(&path).unwrap()).unwrap();
            assert_eq!(found.len(), 1);
            found.into_iter().next().unwrap().cause
        };
        let other = "its kubeconfig context does not run rolecall token prod";
        assert_eq!(state("rolecall-prod", "/usr/bin/evil"), other);
        assert_eq!(state("someone", "/usr/bin/rolecall"), other);
        assert_ne!(state("rolecall-prod", "/usr/bin/rolecall"), other);
    }
}

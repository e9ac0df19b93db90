//! Whether each profile's entry in the kubeconfig runs Rolecall and gets a token by the pin and the entry key, and whether a
//! forged one does not.

use rolecall_protocol::Hint;
use std::path::{Path, PathBuf};

use super::checked::{Checked, Repair};
use super::facts::Facts;
use crate::config_file::{ConfigFile, ProfileEntry};
use crate::environment::is_executable;
use crate::error::CliError;
use crate::kubeconfig::context_entry::{self, Server};
use crate::kubeconfig::{self, Context, Files, InstalledEntry};

/// Where programs that a desktop starts look for others: they do not read the start files of a shell.
const DESKTOP_PATH: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// The code of a profile that the configuration does not describe.
const INCOMPLETE: &str = "profile_invalid";

/// The profile of a check, with the command that writes its kubeconfig entry.
struct Subject<'a> {
    profile: &'a str,
    write: String,
}

impl<'a> Subject<'a> {
    fn new(profile: &'a str) -> Self {
        Self { profile, write: format!("rolecall kubeconfig {profile}") }
    }

    fn ok(&self, cause: &str) -> Checked {
        let checked = Checked::ok(format!("profile {}", self.profile), cause);
        checked.profile(self.profile).brief(format!("context {}", self.profile))
    }

    fn warning(&self, code: &str, cause: impl AsRef<str>, consequence: &str) -> Checked {
        let checked = Checked::warning(format!("profile {}", self.profile), code, cause);
        checked.consequence(consequence).fix(Hint::command(&self.write)).profile(self.profile)
    }

    fn problem(&self, code: &str, cause: impl AsRef<str>, consequence: &str) -> Checked {
        let checked = Checked::problem(format!("profile {}", self.profile), code, cause);
        checked.consequence(consequence).fix(Hint::command(&self.write)).profile(self.profile)
    }

    /// Writing the entry again, which keeps its cluster.
    fn repair(&self) -> Repair {
        Repair::WriteEntries { profile: self.profile.to_owned() }
    }
}

pub(super) fn check(facts: &Facts) -> Vec<Checked> {
    let Some(config) = &facts.config else { return Vec::new() };
    let findings = context_entry::files(None).and_then(|files| of_profiles(config, &files));
    // The check of the files says why they cannot be read.
    let mut findings = findings.unwrap_or_default();
    // The agent serves the profiles of the last valid configuration, and the check of the configuration names the mistake.
    if facts.agent.as_ref().is_ok_and(|agent| agent.status.config.problem.is_some()) {
        findings.retain(|checked| checked.finding.code != INCOMPLETE);
    }
    findings
}

fn of_profiles(config: &ConfigFile, files: &Files) -> Result<Vec<Checked>, CliError> {
    let names = config.all_profile_names();
    let entries = kubeconfig::find_all(files, &names)?;
    let contexts = kubeconfig::contexts(files)?;
    let of_profile = |(name, entry): (&String, Option<InstalledEntry>)| {
        other_program(name, entry.as_ref(), &contexts).unwrap_or_else(|| finding(name, config, entry.as_ref()))
    };
    Ok(names.iter().zip(entries).map(of_profile).collect())
}

/// Returns a problem if the context of a profile has a user that runs another program or has other credentials, for example
/// after `aws eks update-kubeconfig --alias`.
fn other_program(profile: &str, entry: Option<&InstalledEntry>, contexts: &[Context]) -> Option<Checked> {
    // After `rolecall import`, the context of a profile may have another name.
    if entry.is_some_and(|entry| entry.context != profile) {
        return None;
    }
    let context = contexts.iter().find(|context| context.name == profile)?;
    if context.profile.as_deref() == Some(profile) {
        return None;
    }
    let user = context.user.as_deref().unwrap_or_default();
    let cause = format!("its kubeconfig context uses the user \"{user}\", which does not run rolecall token {profile}");
    let subject = Subject::new(profile);
    let checked = subject.problem("context_of_other_tool", cause, "kubectl uses other credentials with this context.");
    Some(if user == kubeconfig::user_name(profile) {
        checked.fix(Hint::command(format!(
            "kubectl config delete-user {user} && kubectl config delete-context {profile} && {}",
            subject.write
        )))
    } else {
        checked
            .fix(Hint::command(format!("kubectl config rename-context {profile} {profile}-other && {}", subject.write)))
    })
}

fn finding(profile: &str, config: &ConfigFile, entry: Option<&InstalledEntry>) -> Checked {
    let subject = Subject::new(profile);
    let Some(pinned) = config.profile_in_force(profile) else {
        let cause = "the profile has no cluster, region or source";
        let checked = subject.problem(INCOMPLETE, cause, "It gets no token.");
        return checked.fix(Hint::command("rolecall config check"));
    };
    let repair = entry.and_then(|entry| is_pinned(&pinned, entry).then(|| subject.repair()));
    if let Some(problem) = entry.and_then(|entry| missing_command(&subject, entry)) {
        return problem.repair(repair);
    }
    if let Some(problem) = entry.and_then(|entry| unusable_cluster(&subject, entry)) {
        return problem;
    }
    if config.pin_mode(profile) == Some("off") {
        let consequence =
            "Every kubeconfig that a process of this user writes gets a token, also for a server of its author.";
        return subject
            .warning("pin_off", "pin = \"off\"", consequence)
            .fix("Remove pin from the profile: rolecall config edit");
    }
    let pin_warning = missing_pin(&subject, &pinned);
    let Some(entry) = entry else {
        let cause = "no kubeconfig context; a token needs the pinned cluster or the entry key";
        return pin_warning.unwrap_or_else(|| Checked { brief: None, ..subject.ok(cause) });
    };
    if let Some(difference) = other_cluster(&pinned, entry) {
        let cause = format!("its kubeconfig context {difference}");
        let consequence = "It gets no token, which protects you if you did not change it.";
        return subject.problem("pin_mismatch", cause, consequence);
    }
    if let Some(problem) = other_route(&subject, config, entry) {
        return problem;
    }
    if let Some(warning) = pin_warning {
        return warning;
    }
    if let Some(warning) = relative_command(&subject, entry) {
        return warning.repair(repair);
    }
    match config.entry_key(profile) {
        key if key.is_some() && key == entry.entry_key && !entry.provides_cluster_info => subject
            .warning(
                "no_cluster_info",
                "its kubeconfig entry has no provideClusterInfo: true",
                "kubectl does not name the server to the agent, which cannot compare it with the pin.",
            )
            .repair(repair),
        key if key.is_some() && key == entry.entry_key => {
            subject.ok("its kubeconfig context has the pinned cluster and the entry key")
        }
        key if !entry.provides_cluster_info => subject
            .problem(
                "no_entry_key",
                "its kubeconfig context has neither a valid entry key nor provideClusterInfo: true",
                "kubectl gets no token: another author may have written such a kubeconfig.",
            )
            .repair(repair.filter(|_| key.is_some())),
        key => subject
            .warning(
                "no_entry_key",
                "its kubeconfig context has no valid entry key",
                "Clients that do not send cluster information, such as the Python client, get no token.",
            )
            // Without a key in the configuration, only `rolecall kubeconfig` creates one.
            .repair(repair.filter(|_| key.is_some())),
    }
}

/// Whether the cluster of an entry is the pinned one, in both parts.
pub(super) fn is_pinned(pinned: &ProfileEntry, entry: &InstalledEntry) -> bool {
    pinned.server.is_some()
        && pinned.ca_sha256.is_some()
        && entry.server.is_some()
        && entry.certificate_authority_data.is_some()
        && other_cluster(pinned, entry).is_none()
}

/// Returns what in an entry is not the pinned cluster.
fn other_cluster(pinned: &ProfileEntry, entry: &InstalledEntry) -> Option<String> {
    let servers = pinned.server.as_deref().zip(entry.server.as_deref());
    if let Some((ours, theirs)) = servers
        && ours.trim_end_matches('/') != theirs.trim_end_matches('/')
    {
        return Some(format!("names the server {theirs}, and the profile is pinned to {ours}"));
    }
    let ca = entry.certificate_authority_data.as_deref().and_then(|data| Server::from_data("", data));
    let is_other_ca = pinned.ca_sha256.as_deref().zip(ca).is_some_and(|(ours, theirs)| ours != theirs.ca_sha256);
    is_other_ca.then(|| "has another certificate authority than the pin of the profile".to_owned())
}

/// Returns a problem if kubectl knows no server that it can trust.
fn unusable_cluster(subject: &Subject<'_>, entry: &InstalledEntry) -> Option<Checked> {
    if entry.is_insecure {
        let cause = "its kubeconfig context has insecure-skip-tls-verify, so any server could receive the token";
        return Some(subject.problem("pin_mismatch", cause, "It gets no token."));
    }
    let cause = "its kubeconfig context names no cluster with a server";
    let consequence = "kubectl: The connection to the server localhost:8080 was refused";
    entry.server.is_none().then(|| subject.problem("no_server", cause, consequence))
}

/// Returns a problem if kubectl reaches the pinned server by another route than the profile's.
fn other_route(subject: &Subject<'_>, config: &ConfigFile, entry: &InstalledEntry) -> Option<Checked> {
    let route = config.server_route(subject.profile);
    let (key, setting) = if route.proxy_url != entry.proxy_url {
        ("proxy-url", "proxy_url")
    } else if route.tls_server_name != entry.tls_server_name {
        ("tls-server-name", "tls_server_name")
    } else {
        return None;
    };
    let profile = subject.profile;
    let cause = format!("its kubeconfig context has another {key} than the profile");
    let checked =
        subject.problem("pin_mismatch", cause, "It gets no token, which protects you if you did not change it.");
    Some(
        checked.fix(format!(
            "Make {key} of the kubeconfig and {setting} in [profiles.{profile}] equal: rolecall config edit"
        )),
    )
}

/// Returns a warning if the profile has no complete pin.
fn missing_pin(subject: &Subject<'_>, pinned: &ProfileEntry) -> Option<Checked> {
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
    Some(subject.warning("no_pin", cause, consequence))
}

/// Returns a problem if kubectl cannot run the command of an entry.
fn missing_command(subject: &Subject<'_>, entry: &InstalledEntry) -> Option<Checked> {
    let shown = entry.command.display();
    let cause = format!("the command {shown} of its kubeconfig entry is not an executable file");
    let consequence = format!("kubectl: Unable to connect to the server: getting credentials: exec: fork/exec {shown}");
    // kubectl looks for a path with a folder in the folder of the kubeconfig.
    let is_path = entry.command.components().count() > 1;
    let folder = entry.file.parent().unwrap_or(&entry.file);
    let is_missing = is_path && !is_executable(&folder.join(&entry.command));
    is_missing.then(|| subject.problem("command_missing", cause, &consequence))
}

/// Returns a warning if only some programs find the command of an entry: a name without a folder that only a shell's PATH
/// has, or a path that is relative to the kubeconfig.
fn relative_command(subject: &Subject<'_>, entry: &InstalledEntry) -> Option<Checked> {
    let cause = format!("the command {} of its kubeconfig entry is not an absolute path", entry.command.display());
    let consequence = "Programs with a short PATH, such as Lens, do not find it.";
    let is_name = entry.command.components().count() == 1;
    let is_found = is_name && on_desktop_path(&entry.command).is_some();
    (entry.command.is_relative() && !is_found).then(|| subject.warning("command_relative", cause, consequence))
}

fn on_desktop_path(name: &Path) -> Option<PathBuf> {
    DESKTOP_PATH.iter().map(|folder| Path::new(folder).join(name)).find(|path| is_executable(path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rolecall_protocol::FindingState;

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
            tls_server_name: None,
            proxy_url: None,
            is_insecure: false,
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
        let state = |entry: Option<InstalledEntry>| finding("prod", &pinned, entry.as_ref()).state();
        assert_eq!(state(None), FindingState::Ok);
        assert_eq!(state(Some(entry("https://a.example/", Some(KEY)))), FindingState::Ok);
        assert_eq!(state(Some(entry("https://a.example", None))), FindingState::Warning);
        assert_eq!(state(Some(entry("https://evil.example", Some(KEY)))), FindingState::Problem);
        for off in ["pin = \"off\"\n", "[defaults]\npin = \"off\"\n"] {
            let (_folder, unpinned) = config(&format!("{CA}{off}"));
            assert_eq!(finding("prod", &unpinned, None).state(), FindingState::Warning, "{off}");
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
            (PathBuf::from("/bin/sh"), true, FindingState::Ok, "its kubeconfig context has the pinned cluster"),
            (PathBuf::from("/bin/sh"), false, FindingState::Warning, "its kubeconfig entry has no provideClusterInfo"),
            (
                PathBuf::from("rolecall"),
                true,
                FindingState::Warning,
                "the command rolecall of its kubeconfig entry is not",
            ),
            (
                PathBuf::from("/nowhere/rolecall"),
                true,
                FindingState::Problem,
                "the command /nowhere/rolecall of its kubeconfig",
            ),
            (not_executable, true, FindingState::Problem, "the command "),
        ] {
            let found = of(command, provides_cluster_info);
            assert!(found.state() == state && found.finding.cause.starts_with(cause), "{found:?}");
            assert_eq!(found.finding.fix.is_some(), state != FindingState::Ok, "{found:?}");
        }
    }

    #[test]
    fn finding_without_a_pin_is_a_warning() {
        let (_folder, without_ca) = config("");
        let found = finding("prod", &without_ca, None);
        assert!(
            found.state() == FindingState::Warning && found.finding.cause.contains("no certificate authority"),
            "{found:?}"
        );
        let other = finding("prod", &without_ca, Some(&entry("https://evil.example", Some(KEY))));
        assert_eq!(other.state(), FindingState::Problem, "a problem is shown before a warning");
        let (folder, _) = config("");
        let path = folder.path().join("config.toml");
        let text = fs::read_to_string(&path).unwrap().replace("server = \"https://a.example\"\n", "");
        fs::write(&path, text).unwrap();
        let found = finding("prod", &ConfigFile::load(&path).unwrap(), None);
        assert_eq!(
            (found.state(), found.finding.cause.as_str()),
            (FindingState::Warning, "it has no pin (server, ca_sha256)")
        );
        assert_eq!(found.finding.fix.as_ref().map(Hint::as_str), Some("rolecall kubeconfig prod"));
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
            found.into_iter().next().unwrap().finding.cause
        };
        let other = "does not run rolecall token prod";
        assert!(state("rolecall-prod", "/usr/bin/evil").ends_with(other));
        assert!(state("someone", "/usr/bin/rolecall").ends_with(other));
        assert!(!state("rolecall-prod", "/usr/bin/rolecall").ends_with(other));
    }
}

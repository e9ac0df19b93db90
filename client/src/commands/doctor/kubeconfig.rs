//! Whether kubectl runs Rolecall for the contexts in the kubeconfig: files, users, lock files, and kubectl's own policy.

use rolecall_protocol::Hint;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rolecall_protocol::location;
use rolecall_trusted_file::{self as trusted_file, shell_quoted};

use super::checked::{Checked, Repair};
use super::facts::Facts;
use super::files::fix_of;
use crate::config_file::ConfigFile;
use crate::environment::Environment;
use crate::files::path_text::display_path;
use crate::kubeconfig::context_entry;
use crate::kubeconfig::{self, Health, OwnUser, PluginPolicy};

/// Whether kubectl can read the files, and only this user can change them.
pub(super) fn files(_: &Facts) -> Vec<Checked> {
    let files = match context_entry::files(None) {
        Ok(files) => files,
        Err(error) => {
            let found = Checked::problem("kubeconfig", "kubeconfig_unusable", error.message());
            return vec![found.fix(error.hint().cloned().unwrap_or_else(|| Hint::command("kubectl config view")))];
        }
    };
    let mut found: Vec<Checked> = files.paths().iter().filter_map(|path| file(path)).collect();
    if let Err(error) = kubeconfig::contexts(&files) {
        found.push(
            Checked::problem("kubeconfig", "kubeconfig_invalid", error.to_string())
                .consequence("kubectl does not read it either.")
                .fix(error.advice()),
        );
    }
    found
}

/// Returns the finding for a kubeconfig file; `None` if it does not exist.
fn file(path: &Path) -> Option<Checked> {
    let name = "kubeconfig";
    match trusted_file::check(path) {
        Ok(_) => Some(Checked::ok(name, format!("{} can be changed by this user and root only", path.display()))),
        Err(error) if error.is_missing() => None,
        Err(error) => Some(
            Checked::problem(name, "file_not_trusted", error.to_string())
                .consequence("Other users choose which program kubectl runs.")
                .fix(fix_of(&error)),
        ),
    }
}

/// What in the kubeconfig, or in kubectl's own settings, keeps kubectl from running Rolecall for a context.
pub(super) fn entries(facts: &Facts) -> Vec<Checked> {
    let health = context_entry::files(None).and_then(|files| Ok(kubeconfig::health(&files)?));
    // `files` reports the error.
    let Ok(health) = health else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(known) = known_profiles(facts) {
        found.extend(health.users.iter().filter_map(|user| stale(user, &known, &facts.environment)));
    }
    found.extend(facts.profile_names().iter().filter_map(|profile| without_context(profile, &health)));
    found.extend(duplicates(&health));
    found.extend(health.users.iter().filter_map(rejected_plugin));
    found.extend(health.missing_current_context.as_deref().map(missing_current_context));
    found.extend(health.lock_files.iter().filter(|lock| lock.is_stale).map(|lock| {
        let cause = format!("{} has been there for {} s", display_path(&lock.path), lock.age.as_secs());
        Checked::warning("kubeconfig", "kubectl_lock", cause)
            .consequence("A kubectl that was killed has left it there. kubectl config cannot change the file.")
            .fix(Hint::command(format!("rm -f {}", shell_quoted(&lock.path))))
    }));
    found.extend(kuberc(&health, &facts.environment));
    found
}

/// The profiles of every configuration whose agent an entry may ask: the one of this shell, the user's own, and those that it
/// trusts. `None` if one of them cannot be read, so that it is not known which entries are stale.
fn known_profiles(facts: &Facts) -> Option<BTreeSet<String>> {
    // Without the file, every entry would look stale.
    if !facts.config_path.as_ref()?.exists() {
        return None;
    }
    let own = location::default_config().ok().map(|path| ConfigFile::load(&path)).transpose().ok()?;
    let mut known: BTreeSet<String> = facts.config.as_ref()?.all_profile_names().into_iter().collect();
    known.extend(facts.profile_names());
    if let Some(own) = own {
        for path in own.trusted_configs() {
            known.extend(ConfigFile::load(&path).ok()?.all_profile_names());
        }
        known.extend(own.all_profile_names());
    }
    Some(known)
}

/// A user of a profile that does not exist. An entry that names the socket of another agent is not judged.
fn stale(user: &OwnUser, known: &BTreeSet<String>, environment: &Environment) -> Option<Checked> {
    let asks_other_agent =
        user.socket.as_deref().is_some_and(|socket| environment.get("ROLECALL_SOCKET") != Some(OsStr::new(socket)));
    // An entry of a profile that exists, with another name in it, is not stale: the check of profiles says how to correct it.
    let is_of_profile = known.iter().any(|profile| user.name == kubeconfig::user_name(profile));
    if known.contains(&user.profile) || asks_other_agent || is_of_profile {
        return None;
    }
    let profile = &user.profile;
    let what = match user.contexts.as_slice() {
        [] => format!("the user {}", user.name),
        [context] => format!("the context {context}"),
        contexts => format!("the contexts {}", contexts.join(", ")),
    };
    let verb = if user.contexts.len() > 1 { "run" } else { "runs" };
    let found = Checked::warning(
        "kubeconfig",
        "stale_context",
        format!("{what} {verb} rolecall token {profile}, and there is no profile {profile}"),
    )
    .consequence(format!("kubectl prints: rolecall: there is no profile \"{profile}\""))
    .profile(profile);
    Some(if user.is_managed {
        found.fix(Hint::command("rolecall doctor --fix")).repair(Repair::RemoveEntries { profile: profile.clone() })
    } else {
        found.fix(Hint::command(format!("kubectl config delete-user {}", user.name)))
    })
}

/// A profile for which kubectl finds no context. That a context of its name runs another program is said by the check of profiles.
fn without_context(profile: &str, health: &Health) -> Option<Checked> {
    let has_context = health.users.iter().any(|user| user.profile == profile && !user.contexts.is_empty());
    if has_context || health.contexts.iter().any(|context| context == profile) {
        return None;
    }
    Some(
        Checked::warning("kubeconfig", "no_context", format!("no context runs rolecall token {profile}"))
            .consequence(format!("kubectl --context {profile} does not find the cluster."))
            .fix(Hint::command(format!("rolecall kubeconfig {profile}")))
            .profile(profile),
    )
}

/// Profiles with several users that ask the same agent, one of which no context uses.
fn duplicates(health: &Health) -> Vec<Checked> {
    let mut users: BTreeMap<(&str, Option<&str>), Vec<&OwnUser>> = BTreeMap::new();
    for user in &health.users {
        users.entry((&user.profile, user.socket.as_deref())).or_default().push(user);
    }
    let of_profile = |((profile, _), users): ((&str, Option<&str>), Vec<&OwnUser>)| {
        let unused = &users.iter().find(|user| user.contexts.is_empty() && users.len() > 1)?.name;
        let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
        let cause = format!("the users {} run rolecall token {profile}", names.join(", "));
        let found = Checked::warning("kubeconfig", "duplicate_user", cause);
        let found = found.consequence(format!("No context uses {unused}."));
        Some(found.fix(Hint::command(format!("kubectl config delete-user {unused}"))).profile(profile))
    };
    users.into_iter().filter_map(of_profile).collect()
}

/// A user whose exec entry kubectl rejects.
fn rejected_plugin(user: &OwnUser) -> Option<Checked> {
    let error = user.plugin_error.as_ref()?;
    Some(
        Checked::problem(
            "kubeconfig",
            "exec_entry_invalid",
            format!("kubectl rejects the exec entry of the user {}", user.name),
        )
        .consequence(format!("kubectl: {}", error.kubectl_message(&user.name)))
        .fix(Hint::command(format!("rolecall kubeconfig {}", user.profile)))
        .profile(&user.profile)
        .repair(user.is_managed.then(|| Repair::WriteEntries { profile: user.profile.clone() })),
    )
}

fn missing_current_context(name: &str) -> Checked {
    Checked::warning("kubeconfig", "no_current_context", format!("the current context {name} does not exist"))
        .consequence(format!("kubectl: error: context was not found for specified context: {name}"))
        .fix(Hint::command("rolecall use NAME"))
}

/// The policy of kubectl 1.35 and later on the programs of our users.
fn kuberc(health: &Health, environment: &Environment) -> Vec<Checked> {
    let name = "kuberc";
    let Some(path) = kuberc_path(environment) else { return Vec::new() };
    let shown = display_path(&path);
    let policy = match kubeconfig::plugin_policy(&path) {
        Ok(policy) => policy,
        Err(error) => return vec![Checked::warning(name, "kuberc_invalid", error.to_string()).fix(error.advice())],
    };
    let commands: BTreeSet<&Path> = health.users.iter().map(|user| user.command.as_path()).collect();
    let refused = |command: &Path, policy: &str| {
        let command = command.display();
        Checked::problem(name, "plugin_policy", format!("{shown} has credentialPluginPolicy: {policy}, which excludes {command}"))
            .consequence(format!("kubectl 1.35 or later: getting credentials: plugin \"{command}\" not allowed"))
            .fix(format!(
                "Set credentialPluginPolicy: Allowlist, and add \"command: {command}\" (in kubectl 1.35 \"name: {command}\") to credentialPluginAllowlist"
            ))
    };
    match &policy {
        PluginPolicy::AllowAll => Vec::new(),
        PluginPolicy::DenyAll => commands.first().map(|command| refused(command, "DenyAll")).into_iter().collect(),
        PluginPolicy::Allowlist(allowed) => {
            let is_allowed = |command: &Path| allowed.iter().any(|entry| is_same_program(entry, command, environment));
            commands
                .into_iter()
                .filter(|command| !is_allowed(command))
                .map(|command| refused(command, "Allowlist"))
                .collect()
        }
        PluginPolicy::Unknown(value) => {
            let found =
                Checked::problem(name, "kuberc_invalid", format!("{shown} has credentialPluginPolicy: {value}"));
            vec![found.consequence("kubectl 1.35 or later reports an error.").fix("Use AllowAll, DenyAll or Allowlist")]
        }
    }
}

/// Where kubectl looks for its settings; `None` if they are turned off.
fn kuberc_path(environment: &Environment) -> Option<PathBuf> {
    match environment.get("KUBERC") {
        Some(value) if value == "off" => None,
        Some(path) => Some(PathBuf::from(path)),
        None => Some(location::home().ok()?.join(".kube/kuberc")),
    }
}

/// Whether an entry of the list is the program, as client-go compares them: both as paths, a name by `PATH`.
fn is_same_program(entry: &str, command: &Path, environment: &Environment) -> bool {
    let resolve = |program: &Path| match program.to_str() {
        Some(name) if !name.contains('/') => environment.find_program(name),
        _ => Some(program.to_owned()),
    };
    resolve(Path::new(entry)).is_some_and(|entry| resolve(command) == Some(entry))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use rolecall_protocol::FindingState;

    use super::*;

    fn user(name: &str, profile: &str, contexts: &[&str]) -> OwnUser {
        OwnUser {
            name: name.to_owned(),
            is_managed: name.starts_with("rolecall-"),
            profile: profile.to_owned(),
            command: PathBuf::from("/usr/bin/rolecall"),
            contexts: contexts.iter().map(|name| (*name).to_owned()).collect(),
            plugin_error: None,
            socket: None,
        }
    }

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn file_that_others_can_write_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        assert_eq!(file(&path), None);
        fs::write(&path, "").unwrap();
        for (mode, state) in [(0o600, FindingState::Ok), (0o644, FindingState::Ok), (0o646, FindingState::Problem)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(file(&path).unwrap().state(), state, "{mode:o}");
        }
        assert!(file(&path).unwrap().finding.fix.unwrap().as_str().starts_with("chmod go-w "));
    }

    #[test]
    fn stale_entries_of_ours_are_repaired() {
        let known = BTreeSet::from(["prod".to_owned()]);
        let none = environment(&[]);
        assert_eq!(stale(&user("rolecall-prod", "prod", &["prod"]), &known, &none), None);
        let found = stale(&user("rolecall-old", "old", &["old"]), &known, &none).unwrap();
        assert_eq!(found.finding.cause, "the context old runs rolecall token old, and there is no profile old");
        assert_eq!(found.repair, Some(Repair::RemoveEntries { profile: "old".to_owned() }));
        let copy = stale(&user("mine", "old", &["a", "b"]), &known, &none).unwrap();
        assert_eq!(
            (copy.repair, copy.finding.fix.as_ref().map(Hint::as_str)),
            (None, Some("kubectl config delete-user mine"))
        );
        let other = OwnUser { socket: Some("/other".to_owned()), ..user("rolecall-old", "old", &["old"]) };
        assert_eq!(stale(&other, &known, &none), None);
        assert!(stale(&other, &known, &environment(&[("ROLECALL_SOCKET", "/other")])).is_some());
    }

    #[test]
    fn duplicates_and_missing_contexts_name_the_profile() {
        let users =
            vec![user("rolecall-prod", "prod", &["prod"]), user("copy", "prod", &[]), user("rolecall-a", "a", &[])];
        let health = Health { users, ..Health::default() };
        let found = duplicates(&health);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].finding.fix.as_ref().map(Hint::as_str), Some("kubectl config delete-user copy"));
        assert_eq!(without_context("prod", &health), None);
        assert_eq!(
            without_context("a", &health).unwrap().finding.fix.as_ref().map(Hint::as_str),
            Some("rolecall kubeconfig a")
        );
    }

    #[test]
    fn kuberc_policy_excludes_programs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kuberc");
        let environment = environment(&[("KUBERC", path.to_str().unwrap()), ("PATH", "/bin")]);
        let codes = |text: &str, command: &str| {
            fs::write(&path, text).unwrap();
            let health = Health {
                users: vec![OwnUser { command: PathBuf::from(command), ..user("u", "p", &[]) }],
                ..Health::default()
            };
            kuberc(&health, &environment).into_iter().map(|found| found.finding.code).collect::<Vec<_>>()
        };
        let list =
            |name: &str| format!("credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- name: {name}\n");
        let policy = ["plugin_policy"];
        assert!(codes("", "/bin/sh").is_empty());
        assert_eq!(codes("credentialPluginPolicy: DenyAll\n", "/bin/sh"), policy);
        assert_eq!(codes(&list("/usr/bin/aws"), "/bin/sh"), policy);
        assert!(codes(&list("/bin/sh"), "/bin/sh").is_empty());
        assert!(codes(&list("sh"), "/bin/sh").is_empty(), "by PATH");
        assert_eq!(codes(&list("sh"), "/opt/sh"), policy);
        assert_eq!(codes("credentialPluginPolicy: x\n", "/bin/sh"), ["kuberc_invalid"]);
        assert_eq!(codes(": [\n", "/bin/sh"), ["kuberc_invalid"]);
    }

    #[test]
    fn kuberc_path_is_none_if_turned_off() {
        assert_eq!(kuberc_path(&environment(&[("KUBERC", "off")])), None);
        assert_eq!(kuberc_path(&environment(&[("KUBERC", "/k")])), Some(PathBuf::from("/k")));
    }
}

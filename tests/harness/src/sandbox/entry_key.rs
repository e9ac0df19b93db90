//! Entry keys: a kubeconfig entry passes the key of its profile to the plugin, and so do the commands of a sandbox.

use std::fs;
use std::process::Command;

use super::Sandbox;

/// The variable that holds the key.
const VARIABLE: &str = "ROLECALL_ENTRY_KEY";

/// Returns a configuration in which each profile without an entry key has the same one, as its last key.
pub fn with_entry_keys(config: &str) -> String {
    let mut sections: Vec<String> = Vec::new();
    for line in config.split_inclusive('\n') {
        match sections.last_mut() {
            Some(section) if !line.starts_with('[') => section.push_str(line),
            _ => sections.push(line.to_owned()),
        }
    }
    let with_key = |section: String| {
        if !is_profile(&section) || section.contains("entry_key") {
            return section;
        }
        let body = section.trim_end();
        format!("{body}\nentry_key = \"{}\"\n{}", "5e".repeat(32), section[body.len()..].trim_start_matches('\n'))
    };
    sections.into_iter().map(with_key).collect()
}

/// Whether a section is `[profiles.NAME]`, and not a table in a profile.
fn is_profile(section: &str) -> bool {
    let header = section.lines().next().and_then(|line| line.strip_prefix("[profiles."));
    header.and_then(|rest| rest.strip_suffix(']')).is_some_and(|name| name.starts_with('"') || !name.contains('.'))
}

impl Sandbox {
    /// Returns the entry key of a profile in the user's configuration.
    pub fn entry_key(&self, profile: &str) -> Option<String> {
        let path = self.config_home().join("rolecall/config.toml");
        // A test may put a pipe there, which would block a reader.
        let config =
            fs::metadata(&path).ok().filter(fs::Metadata::is_file).and_then(|_| fs::read_to_string(&path).ok())?;
        let headers =
            [format!("[profiles.{profile}]"), format!("[profiles.\"{profile}\"]"), format!("[included.{profile}]")];
        let mut lines = config.lines().skip_while(|line| !headers.iter().any(|header| line.trim() == header)).skip(1);
        let line =
            lines.by_ref().take_while(|line| !line.starts_with('[')).find(|line| line.starts_with("entry_key"))?;
        line.split('"').nth(1).map(str::to_owned)
    }

    /// Sets the entry key of a profile for a command, as kubectl does for the plugin.
    pub fn pass_entry_key(&self, command: &mut Command, profile: &str) {
        if let Some(key) = self.entry_key(profile) {
            command.env(VARIABLE, key);
        }
    }

    /// Sets the entry key for a command line that ends with `token NAME`, unless the test has set it.
    pub(super) fn pass_entry_key_to_plugin(&self, command: &mut Command) {
        if command.get_envs().any(|(name, _)| name == VARIABLE) {
            return;
        }
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
        if let [.., word, profile] = arguments.as_slice()
            && word == "token"
        {
            self.pass_entry_key(command, profile);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_keys_are_added_to_profiles_alone() {
        let config = "[sources.work]\naws_profile = \"work\"\n\n[profiles.prod]\ncluster = \"prod\"\n\n[profiles.prod.tags]\n\
                      a = \"b\"\n[profiles.\"v1.2\"]\nentry_key = \"own\"\n";
        let with_keys = with_entry_keys(config);
        let line = format!("entry_key = \"{}\"\n", "5e".repeat(32));
        assert_eq!(with_keys, config.replace("cluster = \"prod\"\n\n", &format!("cluster = \"prod\"\n{line}")));
        let sandbox = Sandbox::new();
        sandbox.write("home/.config/rolecall/config.toml", &with_keys);
        assert_eq!(sandbox.entry_key("prod"), Some("5e".repeat(32)));
        assert_eq!(sandbox.entry_key("v1.2").as_deref(), Some("own"));
        assert_eq!(sandbox.entry_key("work"), None);
    }
}

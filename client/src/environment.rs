//! The environment as a value, for what is passed to other processes. `main.rs` creates the one copy.
//! `rolecall_protocol::location` reads the variables that name paths.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rolecall_protocol::location;

/// Variables that hold a path. The daemon runs in another folder, so relative paths are made absolute.
const PATH_VARIABLES: &[&str] = &["ROLECALL_CONFIG", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];
/// Those of them in which `~` and other variables are expanded. The daemon does not inherit the variables.
const AWS_PATH_VARIABLES: &[&str] = &["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];

/// Names and values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(Vec<(OsString, OsString)>);

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<T: IntoIterator<Item = (OsString, OsString)>>(variables: T) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl Environment {
    /// A variable's value; an empty one counts as unset.
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
    }

    /// The environment of a new daemon: the variables of [`location::daemon_inherits`] and those that the configuration
    /// passes to programs.
    pub(crate) fn for_daemon(&self, passed: &[String]) -> Vec<(OsString, OsString)> {
        let is_kept = |name: &str| location::daemon_inherits(name) || passed.iter().any(|known| known == name);
        let kept = self.0.iter().filter(|(name, _)| name.to_str().is_some_and(is_kept));
        kept.map(|(name, value)| (name.clone(), for_daemon(name, value))).collect()
    }

    /// The environment without `ROLECALL_CONFIG`, for a daemon that uses the user's own configuration.
    pub(crate) fn without_config(mut self) -> Self {
        self.0.retain(|(name, _)| name != "ROLECALL_CONFIG");
        self
    }

    /// The variables of a kubeconfig entry with which kubectl in another shell finds the same daemon.
    pub(crate) fn for_kubeconfig(&self) -> Vec<(String, String)> {
        let socket = self.get("ROLECALL_SOCKET").and_then(|path| std::path::absolute(path).ok());
        let socket = socket.and_then(|path| path.into_os_string().into_string().ok());
        socket.map(|path| ("ROLECALL_SOCKET".to_owned(), path)).into_iter().collect()
    }

    /// Finds the first executable file `name` on `PATH`. Skips relative entries, since their meaning depends on the
    /// current folder.
    pub(crate) fn find_program(&self, name: &str) -> Option<PathBuf> {
        std::env::split_paths(self.get("PATH")?)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .find(|path| is_executable(path))
    }
}

/// The value of a variable for the daemon.
fn for_daemon(name: &OsStr, value: &OsStr) -> OsString {
    let is_in = |names: &[&str]| name.to_str().is_some_and(|name| names.contains(&name));
    let value = if is_in(AWS_PATH_VARIABLES) { location::expand_aws_path(value) } else { value.to_owned() };
    // The daemon refuses the home folder of another user.
    if !is_in(PATH_VARIABLES) || value.as_encoded_bytes().starts_with(b"~") {
        return value;
    }
    std::path::absolute(&value).map_or(value, PathBuf::into_os_string)
}

/// Whether a path leads to an executable file.
pub(crate) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
    }

    #[test]
    fn for_daemon_drops_credentials() {
        let shell = environment(&[
            ("HOME", "/home/dev"),
            ("AWS_PROFILE", "other"),
            ("AWS_ACCESS_KEY_ID", "wrong"),
            ("LD_PRELOAD", "x.so"),
            ("AWS_CONFIG_FILE", "/etc/aws"),
            ("KUBERNETES_EXEC_INFO", "{}"),
            ("ROLECALL_ENTRY_KEY", "secret"),
        ]);
        let names = |passed: &[String]| -> Vec<String> {
            shell.for_daemon(passed).iter().filter_map(|(name, _)| Some(name.to_str()?.to_owned())).collect()
        };
        assert_eq!(names(&[]), ["HOME", "AWS_CONFIG_FILE"]);
        assert_eq!(names(&["AWS_PROFILE".to_owned()]), ["HOME", "AWS_PROFILE", "AWS_CONFIG_FILE"]);
    }

    #[test]
    fn for_daemon_relative_paths_are_absolute() {
        let here = std::env::current_dir().unwrap();
        let pairs = [("ROLECALL_CONFIG", "my.toml"), ("PATH", "bin:/usr/bin"), ("ROLECALL_SOCKET", "my.sock")];
        let shell = environment(&pairs);
        let kept = shell.for_daemon(&[]);
        assert_eq!(kept[0].1, here.join("my.toml"));
        assert_eq!(kept[1].1, "bin:/usr/bin");
        let entry = shell.for_kubeconfig();
        assert_eq!(entry, [("ROLECALL_SOCKET".to_owned(), here.join("my.sock").to_str().unwrap().to_owned())]);
        assert_eq!(shell.without_config().get("ROLECALL_CONFIG"), None);
    }

    #[test]
    fn for_daemon_expands_paths_of_aws_files() {
        let home = location::home().unwrap();
        let shell = environment(&[("AWS_CONFIG_FILE", "~/aws"), ("AWS_SHARED_CREDENTIALS_FILE", "~other/aws")]);
        let kept = shell.for_daemon(&[]);
        assert_eq!(kept[0].1, home.join("aws"));
        assert_eq!(kept[1].1, "~other/aws");
    }

    #[test]
    fn find_program_skips_relative_folders() {
        assert!(environment(&[("PATH", ".:relative:/nowhere:/bin")]).find_program("sh").is_some());
        assert_eq!(environment(&[("PATH", ".:..")]).find_program("sh"), None);
        assert_eq!(environment(&[]).find_program("sh"), None);
    }
}

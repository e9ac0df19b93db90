//! The environment as a value, for what is passed to other processes. `main.rs` creates the one copy.
//! `rolecall_protocol::location` reads the variables that name paths.

use std::ffi::{OsStr, OsString};
use std::io::Read;
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

    /// The environment for a daemon that the plugin starts, without `ROLECALL_CONFIG`. A kubeconfig adds variables to those
    /// of kubectl: variables that lead to other programs, files or hosts stay only if kubectl was started with them.
    pub(crate) fn of_plugin(self) -> Self {
        self.without_additions(&Caller::of_plugin())
    }

    fn without_additions(mut self, caller: &Caller) -> Self {
        self.0.retain(|(name, value)| match caller {
            _ if name == "ROLECALL_CONFIG" => false,
            Caller::User => true,
            Caller::Kubectl(known) => !leads_elsewhere(name) || has_variable(known, name, value),
            Caller::UnknownKubectl => !leads_to_host(name),
        });
        self
    }

    /// Whether a kubeconfig may have added variables to those of the program that runs the plugin, except for Rolecall's own. Some
    /// variables make a program run another one.
    pub(crate) fn has_additions_of_kubeconfig(&self) -> bool {
        self.has_additions(&Caller::of_plugin())
    }

    fn has_additions(&self, caller: &Caller) -> bool {
        let is_own = |name: &OsStr| {
            name == rolecall_protocol::EXEC_INFO_VARIABLE || name.as_encoded_bytes().starts_with(b"ROLECALL_")
        };
        match caller {
            Caller::User => false,
            Caller::Kubectl(known) => {
                self.0.iter().any(|(name, value)| !is_own(name) && !has_variable(known, name, value))
            }
            Caller::UnknownKubectl => true,
        }
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

/// Which process runs the plugin.
enum Caller {
    /// A user: no kubeconfig is involved.
    User,
    /// kubectl or a similar program, which was started with this environment, as the kernel shows it.
    Kubectl(Vec<u8>),
    /// Such a program, and the system does not show its environment.
    UnknownKubectl,
}

impl Caller {
    /// Returns the process that runs this plugin.
    fn of_plugin() -> Self {
        match (location::exec_info(), parent_environment()) {
            (None, _) => Self::User,
            (Some(_), Some(environment)) => Self::Kubectl(environment),
            (Some(_), None) => Self::UnknownKubectl,
        }
    }
}

/// Whether a variable names a program, a file or a host that the daemon would use.
fn leads_elsewhere(name: &OsStr) -> bool {
    leads_to_host(name)
        || name.as_encoded_bytes().starts_with(b"AWS_")
        || ["GNUPGHOME", "PASSWORD_STORE_DIR", "SSH_AUTH_SOCK"].iter().any(|known| name == *known)
}

/// Whether a variable names a host to which the daemon would send secrets, or a program that it would run.
fn leads_to_host(name: &OsStr) -> bool {
    name == "DBUS_SESSION_BUS_ADDRESS" || name.as_encoded_bytes().starts_with(b"AWS_CONTAINER_")
}

/// Whether an environment, as the kernel shows it, has a variable with this value.
fn has_variable(environment: &[u8], name: &OsStr, value: &OsStr) -> bool {
    let variable = [name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat();
    environment.split(|byte| *byte == 0).any(|known| known == variable)
}

/// The environment with which the parent process was started. `None` if the system does not show it.
fn parent_environment() -> Option<Vec<u8>> {
    /// Linux limits arguments and environment to a quarter of the stack, which is 8 MiB.
    const MAX_BYTES: u64 = 4 * 1024 * 1024;
    let parent = rustix::process::getppid()?;
    let mut environment = Vec::new();
    let file = std::fs::File::open(format!("/proc/{}/environ", parent.as_raw_nonzero())).ok()?;
    file.take(MAX_BYTES).read_to_end(&mut environment).ok()?;
    Some(environment)
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
    fn variables_that_a_kubeconfig_added_are_dropped() {
        let (bus, files) = ("DBUS_SESSION_BUS_ADDRESS", "AWS_CONFIG_FILE");
        let all = [
            ("HOME", "/h"),
            (files, "/theirs"),
            (bus, "unixexec:path=/bin/sh"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://h"),
            ("ROLECALL_CONFIG", "/c"),
        ];
        let kept = |caller: Caller| {
            let kept = environment(&all).without_additions(&caller);
            kept.0.into_iter().map(|(name, _)| name.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(kept(Caller::Kubectl(b"HOME=/other\0AWS_CONFIG_FILE=/mine\0".to_vec())), ["HOME"]);
        assert_eq!(kept(Caller::Kubectl(b"AWS_CONFIG_FILE=/theirs\0".to_vec())), ["HOME", files]);
        assert_eq!(kept(Caller::UnknownKubectl), ["HOME", files]);
        assert_eq!(kept(Caller::User), ["HOME", files, bus, "AWS_CONTAINER_CREDENTIALS_FULL_URI"]);
    }

    #[test]
    fn variables_of_a_kubeconfig_are_noticed() {
        let has_additions = |pairs: &[(&str, &str)]| {
            environment(pairs).has_additions(&Caller::Kubectl(b"PATH=/usr/bin\0DISPLAY=:0\0".to_vec()))
        };
        let own =
            [("PATH", "/usr/bin"), ("DISPLAY", ":0"), ("KUBERNETES_EXEC_INFO", "{}"), ("ROLECALL_ENTRY_KEY", "k")];
        assert!(!has_additions(&own) && !has_additions(&own[..1]));
        assert!(has_additions(&[("PATH", "/repo:/usr/bin")]) && has_additions(&[("BROWSER", "/repo/x")]));
        assert!(environment(&[]).has_additions(&Caller::UnknownKubectl));
        assert!(!environment(&own).has_additions(&Caller::User));
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
        assert_eq!(shell.without_additions(&Caller::User).get("ROLECALL_CONFIG"), None);
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

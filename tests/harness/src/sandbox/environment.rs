//! The sandbox: folders of its own, a cleared environment, and the programs that run in it.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::aws_files::AwsFiles;
use super::aws_profile::AwsProfile;
use super::daemon::Daemon;
use super::output::{self, Output};
use super::secret_scan::SecretScanner;
use super::terminal::Terminal;
use super::{leftovers, programs, sampler};
use crate::aws::{AccessKey, Sso};

/// Nothing that a test runs takes as long; what does is a hang.
const PATIENCE: Duration = Duration::from_mins(1);

/// A folder of mode 0700 that is somebody's whole world. Dropping it kills every process that still lives in it and
/// deletes it; with `ROLECALL_TEST_KEEP` set it stays, to be looked at.
///
/// Secrets have no business in here: dropping it panics if one that an embedded AWS has made was seen in the arguments or
/// the environment of a process, on its standard error, or in a file, but for AWS's own files, the keyring's, and what
/// the test itself has written. See [`Sandbox::leaks`].
///
/// The path is short (`/tmp/rc-XXXXXX`), since a Unix socket's may have 107 bytes on Linux and 103 on macOS.
#[derive(Debug)]
pub struct Sandbox {
    /// Taken when the folder is to stay.
    root: Option<TempDir>,
    aws_files: Mutex<AwsFiles>,
    scanner: Arc<SecretScanner>,
}

impl Sandbox {
    /// A new one, empty but for its folders.
    pub fn new() -> Self {
        let private = Permissions::from_mode(0o700);
        // Not TMPDIR: on macOS it is so long that no socket fits below it.
        let root =
            tempfile::Builder::new().prefix("rc-").permissions(private).tempdir_in("/tmp").expect("/tmp is writable");
        let scanner = Arc::new(SecretScanner::new(root.path()));
        sampler::register(&scanner);
        let sandbox = Self { root: Some(root), aws_files: Mutex::default(), scanner };
        for (_, folder) in sandbox.folders() {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).expect("a folder can be made in our own");
        }
        sandbox
    }

    /// The folder that all the others are in.
    pub fn root(&self) -> &Path {
        self.root.as_ref().expect("it is taken only when dropped").path()
    }

    /// `HOME`
    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// `XDG_CONFIG_HOME`
    pub fn config_home(&self) -> PathBuf {
        self.home().join(".config")
    }

    /// `XDG_RUNTIME_DIR`, mode 0700
    pub fn runtime_dir(&self) -> PathBuf {
        self.root().join("run")
    }

    /// `XDG_STATE_HOME`
    pub fn state_home(&self) -> PathBuf {
        self.home().join(".local/state")
    }

    /// The kubeconfig that kubectl uses, since `KUBECONFIG` is not set. It is not there at first.
    pub fn kubeconfig(&self) -> PathBuf {
        self.home().join(".kube/config")
    }

    /// Variables that name a folder.
    pub(super) fn folders(&self) -> [(&'static str, PathBuf); 7] {
        [
            ("HOME", self.home()),
            ("XDG_CONFIG_HOME", self.config_home()),
            ("XDG_CACHE_HOME", self.home().join(".cache")),
            ("XDG_DATA_HOME", self.home().join(".local/share")),
            ("XDG_STATE_HOME", self.state_home()),
            ("XDG_RUNTIME_DIR", self.runtime_dir()),
            ("TMPDIR", self.root().join("tmp")),
        ]
    }

    /// The whole environment of a program in here.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let mut environment = self.folders().to_vec();
        let path = std::env::join_paths([programs::folder(), "/usr/bin".into(), "/bin".into()])
            .expect("no colon in the target folder");
        environment.push(("PATH", path.into()));
        environment.push(("LANG", "C.UTF-8".into()));
        environment.push(("USER", "dev".into()));
        environment.push(("TZ", "UTC".into()));
        // The most that a daemon says, so that every test looks for secrets in it.
        environment.push(("ROLECALL_LOG_LEVEL", "trace".into()));
        environment
    }

    /// Writes a file below the sandbox's root, mode 0600, with the folders above it; returns its path.
    pub fn write(&self, path: impl AsRef<Path>, text: &str) -> PathBuf {
        let path = self.root().join(path);
        let folder = path.parent().expect("a file is in a folder");
        DirBuilder::new().recursive(true).mode(0o700).create(folder).expect("a folder can be made in our own");
        fs::write(&path, text).expect("a file can be written in our own folder");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("the file is ours");
        self.scanner.wrote(&path, text.as_bytes());
        path
    }
}

/// AWS's own files.
impl Sandbox {
    /// Writes an AWS profile with these keys into `~/.aws/credentials`, and into `~/.aws/config` that its services are
    /// at `endpoint`. A second call of the same name replaces it.
    pub fn write_aws_profile(&self, name: &str, key: &AccessKey, endpoint: &str) {
        self.put_aws_profile(name, Some(key), &AwsProfile::default(), endpoint);
    }

    /// Writes an AWS profile of another kind into `~/.aws/config`, whose services are at `endpoint`. A second call of
    /// the same name replaces it.
    pub fn write_aws_config(&self, name: &str, profile: &AwsProfile, endpoint: &str) {
        self.put_aws_profile(name, None, profile, endpoint);
    }

    fn put_aws_profile(&self, name: &str, key: Option<&AccessKey>, profile: &AwsProfile, endpoint: &str) {
        let mut files = self.aws_files.lock().expect("no test panics in here");
        files.put(name, key, profile, endpoint);
        self.write("home/.aws/config", &files.config());
        self.write("home/.aws/credentials", &files.credentials());
    }

    /// Adds text to `~/.aws/config`: what [`AwsProfile`] has no word for (`sso-session`).
    pub fn append_aws_config(&self, text: &str) {
        let mut files = self.aws_files.lock().expect("no test panics in here");
        files.append(text);
        self.write("home/.aws/config", &files.config());
    }

    /// Adds an AWS profile that has a role by IAM Identity Center: of the `[sso-session]` of that name, which is written with
    /// the first such profile, or, with `None`, by the legacy keys. Its services are at the embedded AWS.
    pub fn write_sso_profile(&self, name: &str, session: Option<&str>, sso: &Sso, account: &str, role: &str) {
        let is_new = session.is_some_and(|session| {
            let files = self.aws_files.lock().expect("no test panics in here");
            !files.config().contains(&format!("[sso-session {session}]"))
        });
        self.append_aws_config(&sso.config(name, session, account, role, is_new));
    }
}

/// Programs.
impl Sandbox {
    /// A program with the sandbox's environment and nothing else. A bare name is looked for among the binaries of this
    /// build, then in /usr/bin and /bin.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(programs::find(program.as_ref()));
        command.env_clear().envs(self.environment()).current_dir(self.home());
        command
    }

    /// The client of this build.
    pub fn rolecall(&self) -> Command {
        self.command("rolecall")
    }

    /// The daemon of this build.
    pub fn rolecalld(&self) -> Command {
        self.command("rolecalld")
    }

    /// The real kubectl: `ROLECALL_TEST_KUBECTL`, else the one on the test's own PATH, if there is one.
    pub fn kubectl(&self) -> Option<Command> {
        programs::kubectl().map(|path| self.command(path))
    }

    /// Runs a program to its end, stdin empty. Panics, with what it has said, if that takes a minute.
    #[track_caller]
    pub fn run(&self, command: &mut Command) -> Output {
        self.run_within(PATIENCE, command)
    }

    /// As [`Sandbox::run`], with another limit of real time.
    #[track_caller]
    pub fn run_within(&self, limit: Duration, command: &mut Command) -> Output {
        self.heard(output::run(command, None, limit))
    }

    /// As [`Sandbox::run`], with something on stdin.
    #[track_caller]
    pub fn run_with_input(&self, command: &mut Command, input: &[u8]) -> Output {
        self.heard(output::run(command, Some(input.to_vec()), PATIENCE))
    }

    /// Starts a program on a terminal of its own, as a person would: see [`Terminal`].
    #[track_caller]
    pub fn terminal(&self, command: &mut Command) -> Terminal {
        Terminal::spawn(command)
    }

    /// Starts the daemon of this build in the foreground and waits until it is ready.
    #[track_caller]
    pub fn start_daemon(&self) -> Daemon {
        let daemon = self.spawn_daemon(&mut self.rolecalld());
        daemon.wait_ready(Duration::from_secs(20));
        daemon
    }

    /// Starts a daemon as the command says, and does not wait.
    #[track_caller]
    pub fn spawn_daemon(&self, command: &mut Command) -> Daemon {
        Daemon::spawn(command, Arc::clone(&self.scanner))
    }

    /// Kills every process that lives in this sandbox, such as a daemon that the client started. Returns their ids.
    pub fn kill_leftovers(&self) -> Vec<u32> {
        leftovers::kill(self.root(), |pid| sampler::look_once(&self.scanner, pid))
    }

    fn heard(&self, said: Output) -> Output {
        self.scanner.look(said.stderr.as_bytes(), || "what a program said on standard error".to_owned());
        said
    }
}

/// Secrets.
impl Sandbox {
    /// Something that the test types or hands over and that must not turn up in here, such as a passphrase. What an
    /// embedded AWS makes need not be said.
    pub fn secret(&self, kind: &'static str, secret: &str) {
        self.scanner.add(kind, secret);
    }

    /// The test itself puts this secret where it has no business: it is no leak in this sandbox.
    pub fn show_on_purpose(&self, secret: &str) {
        self.scanner.show(secret);
    }

    /// The secrets that are in a text, by kind, each as often as there are different ones of it.
    pub fn secrets_in(&self, text: &[u8]) -> Vec<&'static str> {
        self.scanner.search(text).into_iter().map(|(_, found)| found.kind).collect()
    }

    /// The secrets that were seen where they have no business, by kind and place, since this was asked last. Dropping
    /// the sandbox asks, and panics unless there are none.
    pub fn leaks(&self) -> Vec<String> {
        for pid in leftovers::living_in(self.root()) {
            sampler::look_once(&self.scanner, pid);
        }
        self.scanner.take_leaks()
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.kill_leftovers();
        let leaks = self.scanner.take_leaks();
        if programs::keep_sandboxes()
            && let Some(root) = self.root.take()
        {
            let _ = root.keep();
        }
        assert!(leaks.is_empty() || std::thread::panicking(), "secrets where they have no business: {leaks:#?}");
    }
}

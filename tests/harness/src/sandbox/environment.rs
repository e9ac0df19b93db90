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
use super::test_limit::TestLimit;
use super::{leftovers, programs, sampler};
use crate::aws::{AccessKey, Sso};

/// Programs that tests run end long before this.
const RUN_TIMEOUT: Duration = Duration::from_mins(1);

/// A folder of mode 0700 with the environment of a user. Dropping it kills every process that runs in it and deletes
/// the folder; `ROLECALL_TEST_KEEP` keeps the folder for inspection.
///
/// Dropping it panics if a secret that an embedded AWS created was seen in the arguments or the environment of a
/// process, on its standard error, or in a file. AWS's own files, the keyring's files and what the test itself wrote
/// are exempt. See [`Sandbox::leaks`].
///
/// The path is short (`/tmp/rc-XXXXXX`): the path of a Unix socket has at most 107 bytes on Linux and 103 on macOS.
#[derive(Debug)]
pub struct Sandbox {
    /// `None` once the folder is to be kept.
    root: Option<TempDir>,
    aws_files: Mutex<AwsFiles>,
    scanner: Arc<SecretScanner>,
    _limit: TestLimit,
}

impl Sandbox {
    /// Creates a sandbox with empty folders.
    pub fn new() -> Self {
        let sandbox = Self::without_process_sampler();
        sampler::register(&sandbox.scanner);
        sandbox
    }

    /// Creates a sandbox whose processes are not searched for secrets while they run. The search would slow down processes
    /// that are measured.
    pub fn without_process_sampler() -> Self {
        let private = Permissions::from_mode(0o700);
        // TMPDIR on macOS is so long that the path of a socket in it exceeds the limit.
        let root =
            tempfile::Builder::new().prefix("rc-").permissions(private).tempdir_in("/tmp").expect("/tmp is writable");
        let scanner = Arc::new(SecretScanner::new(root.path()));
        let limit = TestLimit::of_this_thread();
        let sandbox = Self { root: Some(root), aws_files: Mutex::default(), scanner, _limit: limit };
        for (_, folder) in sandbox.folders() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .expect("a folder can be created in the sandbox");
        }
        sandbox
    }

    /// Returns the folder that contains all others.
    pub fn root(&self) -> &Path {
        self.root.as_ref().expect("the root is taken only by Drop").path()
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

    /// Returns the path of the kubeconfig that kubectl uses, since `KUBECONFIG` is not set. The file does not exist at
    /// first.
    pub fn kubeconfig(&self) -> PathBuf {
        self.home().join(".kube/config")
    }

    /// Returns the variables that name a folder.
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

    /// Returns the complete environment of programs in this sandbox.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let mut environment = self.folders().to_vec();
        let path = std::env::join_paths([programs::folder(), "/usr/bin".into(), "/bin".into()])
            .expect("the target folder has no colon");
        environment.push(("PATH", path.into()));
        environment.push(("LANG", "C.UTF-8".into()));
        environment.push(("USER", "dev".into()));
        environment.push(("TZ", "UTC".into()));
        // The most verbose level, so that every test scans all log events for secrets.
        environment.push(("ROLECALL_LOG_LEVEL", "trace".into()));
        environment
    }

    /// Writes a file below the root with mode 0600, and creates its parent folders. Returns its path.
    pub fn write(&self, path: impl AsRef<Path>, text: &str) -> PathBuf {
        let path = self.root().join(path);
        let folder = path.parent().expect("a file is in a folder");
        DirBuilder::new().recursive(true).mode(0o700).create(folder).expect("a folder can be created in the sandbox");
        fs::write(&path, text).expect("a file can be written in the sandbox");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("this process owns the file");
        self.scanner.record_written(&path, text.as_bytes());
        path
    }
}

/// AWS's own files.
impl Sandbox {
    /// Writes an AWS profile with this access key into `~/.aws/credentials`, and into `~/.aws/config` the endpoint of
    /// its services. Replaces a profile of the same name.
    pub fn write_aws_profile(&self, name: &str, key: &AccessKey, endpoint: &str) {
        self.put_aws_profile(name, Some(key), &AwsProfile::default(), endpoint);
    }

    /// Writes an AWS profile of another kind into `~/.aws/config`, with `endpoint` for its services. Replaces a
    /// profile of the same name.
    pub fn write_aws_config(&self, name: &str, profile: &AwsProfile, endpoint: &str) {
        self.put_aws_profile(name, None, profile, endpoint);
    }

    fn put_aws_profile(&self, name: &str, key: Option<&AccessKey>, profile: &AwsProfile, endpoint: &str) {
        let mut files = self.aws_files.lock().expect("no panic happens under this lock");
        files.put(name, key, profile, endpoint);
        self.write("home/.aws/config", &files.config());
        self.write("home/.aws/credentials", &files.credentials());
    }

    /// Appends text to `~/.aws/config`: sections that [`AwsProfile`] does not cover (`sso-session`).
    pub fn append_aws_config(&self, text: &str) {
        let mut files = self.aws_files.lock().expect("no panic happens under this lock");
        files.append(text);
        self.write("home/.aws/config", &files.config());
    }

    /// Adds an AWS profile of IAM Identity Center. With `session`, it refers to the `[sso-session]` of that name,
    /// which is written with the first such profile; with `None` it has the legacy keys. Its services have the
    /// endpoint of the embedded AWS.
    pub fn write_sso_profile(&self, name: &str, session: Option<&str>, sso: &Sso, account: &str, role: &str) {
        let is_new = session.is_some_and(|session| {
            let files = self.aws_files.lock().expect("no panic happens under this lock");
            !files.config().contains(&format!("[sso-session {session}]"))
        });
        self.append_aws_config(&sso.config(name, session, account, role, is_new));
    }
}

/// Programs.
impl Sandbox {
    /// Returns a command with the environment of the sandbox only. A bare name is searched among the binaries of this
    /// build, then in /usr/bin and /bin.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(programs::find(program.as_ref()));
        command.env_clear().envs(self.environment()).current_dir(self.home());
        command
    }

    /// Returns a command for the client of this build.
    pub fn rolecall(&self) -> Command {
        self.command("rolecall")
    }

    /// Returns a command for the daemon of this build.
    pub fn rolecalld(&self) -> Command {
        self.command("rolecalld")
    }

    /// Returns a command for the real kubectl: `ROLECALL_TEST_KUBECTL`, else the first on the PATH of the test. `None`
    /// if there is none.
    pub fn kubectl(&self) -> Option<Command> {
        programs::kubectl().map(|path| self.command(path))
    }

    /// Runs a program to its end, with empty stdin. Panics with its output after a minute. A command line that ends with
    /// `token NAME` gets the entry key of the profile, as from its kubeconfig entry.
    #[track_caller]
    pub fn run(&self, command: &mut Command) -> Output {
        self.run_within(RUN_TIMEOUT, command)
    }

    /// As [`Sandbox::run`], with another limit of real time.
    #[track_caller]
    pub fn run_within(&self, limit: Duration, command: &mut Command) -> Output {
        self.pass_entry_key_to_plugin(command);
        self.scanned(output::run(command, None, limit))
    }

    /// As [`Sandbox::run`], without an entry key that the test has not set.
    #[track_caller]
    pub fn run_as_given(&self, command: &mut Command) -> Output {
        self.scanned(output::run(command, None, RUN_TIMEOUT))
    }

    /// As [`Sandbox::run`], with `input` on stdin.
    #[track_caller]
    pub fn run_with_input(&self, command: &mut Command, input: &[u8]) -> Output {
        self.pass_entry_key_to_plugin(command);
        self.scanned(output::run(command, Some(input.to_vec()), RUN_TIMEOUT))
    }

    /// Starts a program on a terminal of its own. See [`Terminal`].
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

    /// Starts a daemon with this command and does not wait.
    #[track_caller]
    pub fn spawn_daemon(&self, command: &mut Command) -> Daemon {
        Daemon::spawn(command, Arc::clone(&self.scanner))
    }

    /// Kills every process that runs in this sandbox, such as a daemon that the client started. Returns their ids.
    pub fn kill_leftovers(&self) -> Vec<u32> {
        leftovers::kill(self.root(), |pid| sampler::scan_process(&self.scanner, pid))
    }

    fn scanned(&self, output: Output) -> Output {
        self.scanner.scan(output.stderr.as_bytes(), || "standard error of a program".to_owned());
        output
    }
}

/// Secrets.
impl Sandbox {
    /// Registers a secret that the test types or passes, such as a passphrase. The secrets of an embedded AWS are
    /// registered already.
    pub fn register_secret(&self, kind: &'static str, secret: &str) {
        self.scanner.add(kind, secret);
    }

    /// Exempts a secret that the test itself exposes in this sandbox.
    pub fn allow_secret(&self, secret: &str) {
        self.scanner.allow(secret);
    }

    /// Returns the kinds of the secrets in a text, one entry for each different secret.
    pub fn secrets_in(&self, text: &[u8]) -> Vec<&'static str> {
        self.scanner.search(text).into_iter().map(|(_, found)| found.kind).collect()
    }

    /// Returns the secrets found since the last call, by kind and place. Dropping the sandbox calls it too, and panics
    /// unless the list is empty.
    pub fn leaks(&self) -> Vec<String> {
        for pid in leftovers::living_in(self.root()) {
            sampler::scan_process(&self.scanner, pid);
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
        assert!(leaks.is_empty() || std::thread::panicking(), "leaked secrets: {leaks:#?}");
    }
}

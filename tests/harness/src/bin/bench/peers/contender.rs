//! A program that prints tokens for kubectl, with its settings and its caches in a sandbox of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rolecall_harness::{Daemon, Sandbox};
use serde_json::{Value, json};

use super::world::{CLUSTER, World};
use crate::fixture::EXEC_INFO;

/// Start timeout of Rolecall's daemon.
const START_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) struct Contender {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) sandbox: Sandbox,
    /// The program and its arguments, as in a kubeconfig.
    pub(super) command_line: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    /// Files and folders below the home folder that hold sessions and tokens.
    pub(super) caches: Vec<&'static str>,
    /// Only Rolecall has a daemon.
    pub(super) daemon: Option<RunningDaemon>,
}

pub(super) struct RunningDaemon {
    pub(super) program: PathBuf,
    pub(super) process: Daemon,
}

impl Contender {
    /// Returns the program as kubectl runs it.
    pub(super) fn command(&self) -> Command {
        let (program, arguments) = self.command_line.split_first().expect("a command line has a program");
        let mut command = self.in_environment(program);
        command.args(arguments).env("KUBERNETES_EXEC_INFO", EXEC_INFO.replace("/v1\"", "/v1beta1\""));
        if self.daemon.is_some() {
            command.env("KUBERNETES_EXEC_INFO", EXEC_INFO);
            self.sandbox.pass_entry_key(&mut command, CLUSTER);
        }
        command
    }

    /// Returns a command with the environment of the user.
    pub(super) fn in_environment(&self, program: impl AsRef<Path>) -> Command {
        let mut command = self.sandbox.command(program);
        // The harness sets the most verbose level, for its tests.
        command.env_remove("ROLECALL_LOG_LEVEL").envs(self.environment.iter().cloned());
        command
    }

    /// Deletes the caches. Rolecall's daemon is replaced by one without a session.
    pub(super) fn forget(&mut self) {
        for cache in &self.caches {
            let path = self.sandbox.home().join(cache);
            // It may not exist yet.
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        if let Some(program) = self.daemon.take().map(|daemon| daemon.program) {
            self.daemon = Some(RunningDaemon { process: start_daemon(&self.sandbox, &program), program });
        }
    }

    /// Runs the program once. Errors with its message unless it prints a token.
    pub(super) fn check(&self) -> Result<(), String> {
        let said = self.sandbox.run(&mut self.command());
        let token = serde_json::from_str::<Value>(&said.stdout).ok();
        let has_token = token.is_some_and(|token| token["status"]["token"].is_string());
        let problem = || said.stderr.lines().rfind(|line| !line.is_empty()).unwrap_or("no token").to_owned();
        (said.status.success() && has_token).then_some(()).ok_or_else(problem)
    }

    /// Writes the kubeconfig. Rolecall has written its own.
    pub(super) fn write_kubeconfig(&self, world: &World) {
        if self.daemon.is_some() {
            return;
        }
        let (program, arguments) = self.command_line.split_first().expect("a command line has a program");
        let exec = json!({
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": program,
            "args": arguments,
        });
        let cluster = json!({ "server": world.api.url(), "certificate-authority-data": world.api.ca_base64() });
        // JSON is YAML.
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": CLUSTER,
            "clusters": [{ "name": CLUSTER, "cluster": cluster }],
            "users": [{ "name": CLUSTER, "user": { "exec": exec } }],
            "contexts": [{ "name": CLUSTER, "context": { "cluster": CLUSTER, "user": CLUSTER } }],
        });
        self.sandbox.write("home/.kube/config", &kubeconfig.to_string());
    }
}

/// Programs other than Rolecall leave secrets in their caches and in the environment of other programs, which the sandbox
/// would report.
impl Drop for Contender {
    fn drop(&mut self) {
        self.daemon = None;
        self.forget();
        drop(self.sandbox.leaks());
    }
}

/// Starts Rolecall's daemon and waits until it is ready.
pub(super) fn start_daemon(sandbox: &Sandbox, program: &Path) -> Daemon {
    let daemon = sandbox.spawn_daemon(sandbox.command(program).env_remove("ROLECALL_LOG_LEVEL"));
    daemon.wait_ready(START_TIMEOUT);
    daemon
}

#[cfg(test)]
mod tests {
    use super::super::process::at_once;
    use super::*;

    fn shell(script: &str) -> Contender {
        Contender {
            name: "shell".to_owned(),
            version: String::new(),
            sandbox: Sandbox::without_process_sampler(),
            command_line: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            environment: Vec::new(),
            caches: vec!["cache"],
            daemon: None,
        }
    }

    #[test]
    fn failures_at_once_are_counted_and_caches_are_forgotten() {
        let mut first_succeeds = shell("mkdir $HOME/cache");
        // `sh launch PROGRAM …` in place of the load generator: a script of that name in the home folder.
        first_succeeds.sandbox.write("home/launch", "exec \"$@\"\n");
        let failures = |contender: &Contender| at_once(Path::new("/bin/sh"), 5, contender).1;
        assert_eq!(failures(&first_succeeds), 4);
        assert_eq!(failures(&first_succeeds), 5);
        first_succeeds.forget();
        assert_eq!(failures(&first_succeeds), 4);
    }

    #[test]
    fn program_without_a_token_is_refused() {
        assert_eq!(shell("echo '{\"status\":{\"token\":\"x\"}}'").check(), Ok(()));
        assert_eq!(shell("echo '{\"status\":{}}'").check(), Err("no token".to_owned()));
        assert_eq!(shell("echo trouble >&2; exit 1").check(), Err("trouble".to_owned()));
    }
}

//! What a soak runs in: an embedded AWS behind a relay, an API server for each cluster, and a sandbox.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::SoakOptions;
use super::profiles::{self, ACCOUNT, CLUSTERS, PROFILES, ROLES};
use crate::aws::{Aws, Role};
use crate::clock::Clock;
use crate::kube::ApiServer;
use crate::sandbox::{FakeTime, Sandbox, TcpRelay, listener_of, with_entry_keys};

/// The place of a soak.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) sandbox: Sandbox,
    pub(super) relay: TcpRelay,
    pub(super) aws: Aws,
    /// In the order of [`CLUSTERS`].
    pub(super) clusters: Vec<ApiServer>,
    /// `None` without libfaketime.
    pub(super) machine_clock: Option<FakeTime>,
    /// The client, and beside it the daemon that the client starts.
    programs: TempDir,
}

impl Setup {
    pub(super) fn new(options: &SoakOptions) -> Self {
        let clock = Clock::system();
        let aws = Aws::start(clock.clone());
        let users = [("work", aws.add_user(ACCOUNT, "dev")), ("ops", aws.add_user(ACCOUNT, "ops"))];
        for role in &ROLES {
            // Short session tokens keep the search for secrets small.
            aws.add_role(Role::new(&role.arn()).trusts("*").session_token_length(200));
        }
        let start = |(name, region): &(&str, &str)| {
            let api = ApiServer::start(clock.clone(), &aws, name, region);
            aws.add_cluster(api.cluster());
            api
        };
        let clusters = CLUSTERS.iter().map(start).collect();
        for profile in &PROFILES {
            let ((cluster, region), role) = (CLUSTERS[profile.cluster], profile.role_arn());
            aws.grant(cluster, region, &role, &profiles::username(&role), &["view"]);
        }
        let (sandbox, relay) = (Sandbox::new(), TcpRelay::to(aws.addr()));
        for (name, user) in &users {
            sandbox.write_aws_profile(name, user, &relay.endpoint());
        }
        sandbox.write("home/.config/rolecall/config.toml", &with_entry_keys(&profiles::config()));
        let machine_clock = FakeTime::new(&sandbox);
        let programs = install(options, machine_clock.as_ref());
        Self { sandbox, relay, aws, clusters, machine_clock, programs }
    }

    /// Returns a command for the client.
    pub(super) fn rolecall(&self) -> Command {
        self.sandbox.command(self.programs.path().join("rolecall"))
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.sandbox.runtime_dir().join("rolecall/agent.sock")
    }

    /// Returns the process that listens on the socket.
    pub(super) fn daemon_pid(&self) -> Option<u32> {
        let pid = listener_of(&self.socket())?;
        if let Some(clock) = &self.machine_clock {
            clock.record_process(pid);
        }
        Some(pid)
    }
}

/// Puts both programs into one folder. With a clock, the daemon's is a script that starts it with that clock: the client
/// does not pass these variables on.
fn install(options: &SoakOptions, clock: Option<&FakeTime>) -> TempDir {
    let folder = tempfile::Builder::new().prefix("rolecall-soak-").tempdir_in("/tmp").expect("/tmp is writable");
    let (client, daemon) = (folder.path().join("rolecall"), folder.path().join("rolecalld"));
    // The client finds the daemon beside its own file, so a link would lead it elsewhere.
    fs::copy(&options.client, client).expect("the client's program can be copied");
    let program = options.daemon.canonicalize().expect("the daemon's program exists");
    match clock {
        None => symlink(program, daemon).expect("a link can be made in a new folder"),
        Some(clock) => write_script(&daemon, &script(&program, clock)),
    }
    folder
}

fn script(program: &Path, clock: &FakeTime) -> String {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let variables = clock.variables().map(|(name, value)| format!("{name}={}", quoted(&value)));
    format!("#!/bin/sh\nexport {}\nexec {} \"$@\"\n", variables.join(" "), quoted(program))
}

fn write_script(path: &Path, text: &str) {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a file can be written in a new folder");
}

//! A sandbox with a given number of profiles, and a release daemon in it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rolecall_harness::{ApiServer, Aws, Clock, Daemon, Role, Sandbox, with_entry_keys};

use crate::build::Programs;
use crate::socket;

/// The large number of profiles of the design.
pub(crate) const MANY: usize = 10_000;
/// A profile that always exists, with a role.
pub(crate) const PROFILE: &str = "prod";
/// The input that kubectl sends, without a cluster.
pub(crate) const EXEC_INFO: &str =
    r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#;

const ACCOUNT: &str = "111122223333";
const CLUSTERS: usize = 2_000;
/// Start timeout of the daemon.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// An AWS, and a sandbox whose configuration has this number of profiles. No daemon runs at first.
pub(crate) struct Fixture {
    pub(crate) aws: Aws,
    pub(crate) sandbox: Sandbox,
    _api: ApiServer,
}

impl Fixture {
    pub(crate) fn new(profiles: usize) -> Self {
        let clock = Clock::system();
        let aws = Aws::start(clock.clone());
        let user = aws.add_user(ACCOUNT, "dev");
        aws.add_role(Role::new(&role(0)).trusts(&user.arn));
        let api = ApiServer::start(clock, &aws, PROFILE, "eu-west-1");
        aws.add_cluster(api.cluster());
        let sandbox = Sandbox::without_process_sampler();
        sandbox.write_aws_profile("work", &user, &aws.endpoint());
        let fixture = Self { aws, sandbox, _api: api };
        fixture.configure(profiles, "");
        fixture
    }

    /// Writes a configuration of `profiles` profiles in total, including those in `others`.
    pub(crate) fn configure(&self, profiles: usize, others: &str) {
        let count = others.matches("[profiles.").count();
        let mut text = format!("[sources.work]\naws_profile = \"work\"\n{others}");
        for number in 0..profiles.saturating_sub(count) {
            text.push_str(&profile(number));
        }
        self.sandbox.write("home/.config/rolecall/config.toml", &with_entry_keys(&text));
    }

    /// Starts a daemon and waits until it is ready.
    pub(crate) fn start(&self, programs: &Programs) -> Daemon {
        let mut command = self.sandbox.command(&programs.daemon);
        command.env_remove("ROLECALL_LOG_LEVEL"); // sandboxes log everything, users do not
        let daemon = self.sandbox.spawn_daemon(&mut command);
        daemon.wait_ready(START_TIMEOUT);
        daemon
    }

    /// Requests a token from the daemon, on a new connection. Returns the response.
    pub(crate) fn request_token(&self, profile: &str) -> String {
        socket::exchange(&self.socket(), &socket::token_request(profile, true))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.sandbox.runtime_dir().join("rolecall/agent.sock")
    }

    /// `rolecall token`, as kubectl runs it.
    pub(crate) fn token_command(&self, programs: &Programs) -> Command {
        let mut command = self.sandbox.command(&programs.client);
        command.args(["token", PROFILE]).env("KUBERNETES_EXEC_INFO", EXEC_INFO);
        self.sandbox.pass_entry_key(&mut command, PROFILE);
        command
    }
}

/// Returns a profile as `rolecall add` writes it. Number 0 is [`PROFILE`].
fn profile(number: usize) -> String {
    let name = if number == 0 { PROFILE.to_owned() } else { format!("team-{number:05}") };
    let mut text = entry(&name, number % CLUSTERS, "eu-west-1");
    writeln!(text, "role_arn = \"{}\"", role(number)).expect("writing to a String cannot fail");
    text
}

/// Returns the section of a profile, without a role.
pub(crate) fn entry(name: &str, cluster: usize, region: &str) -> String {
    format!(
        "\n[profiles.{name}]\ncluster = \"cluster-{cluster:04}\"\nregion = \"{region}\"\nsource = \"work\"\n\
         server = \"https://{cluster:032X}.gr7.{region}.eks.amazonaws.com\"\nca_sha256 = \"{cluster:064x}\"\n"
    )
}

/// Returns the ARN of the role of a profile.
pub(crate) fn role(number: usize) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/teams/developers-{number:05}")
}

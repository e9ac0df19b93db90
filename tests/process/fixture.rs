//! An embedded AWS with a user, a role and a cluster, and a sandbox with the AWS profile `work`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rolecall_harness::{AccessKey, ApiServer, Aws, Clock, Output, Role, Sandbox};

pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/developers";
pub(crate) const REGION: &str = "eu-west-1";
/// Fails a test that hangs. No assertion depends on its length.
pub(crate) const HANG_GUARD: Duration = Duration::from_mins(1);

pub(crate) struct Fixture {
    pub(crate) aws: Aws,
    pub(crate) api: ApiServer,
    pub(crate) user: AccessKey,
    pub(crate) sandbox: Sandbox,
}

impl Fixture {
    /// Only AWS's own files exist.
    pub(crate) fn bare() -> Self {
        let clock = Clock::system();
        let aws = Aws::start(clock.clone());
        let user = aws.add_user("111122223333", "dev");
        aws.add_role(Role::new(ROLE).trusts(&user.arn));
        let api = ApiServer::start(clock, &aws, "prod", REGION);
        aws.add_cluster(api.cluster());
        aws.grant("prod", REGION, ROLE, "dev:{{SessionName}}", &["system:masters"]);
        let sandbox = Sandbox::new();
        sandbox.write_aws_profile("work", &user, &aws.endpoint());
        Self { aws, api, user, sandbox }
    }

    /// The profile `prod` is in the configuration file; no daemon runs.
    pub(crate) fn configured() -> Self {
        let fixture = Self::bare();
        fixture.write_config(&format!(
            "[sources.work]\naws_profile = \"work\"\n\n[profiles.prod]\ncluster = \"prod\"\nregion = \"{REGION}\"\n\
             source = \"work\"\nrole_arn = \"{ROLE}\"\n"
        ));
        fixture
    }

    /// The profile `prod` was added with `rolecall add`, and the daemon runs.
    pub(crate) fn added() -> Self {
        let fixture = Self::bare();
        fixture.rolecall(&ADD).assert_ok();
        fixture
    }

    pub(crate) fn write_config(&self, text: &str) {
        self.sandbox.write(self.config_path().strip_prefix(self.sandbox.root()).unwrap(), text);
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.sandbox.config_home().join("rolecall/config.toml")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.sandbox.runtime_dir().join("rolecall/agent.sock")
    }

    pub(crate) fn rolecall(&self, arguments: &[&str]) -> Output {
        self.sandbox.run(self.sandbox.rolecall().args(arguments))
    }

    pub(crate) fn token(&self) -> Output {
        self.rolecall(&["token", "prod"])
    }

    /// Returns the pid of the daemon.
    pub(crate) fn daemon_pid(&self) -> u32 {
        let said = self.rolecall(&["status", "--json"]);
        said.assert_ok();
        said.json()["daemon"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap()
    }

    pub(crate) fn assume_role_calls(&self) -> usize {
        self.aws.calls(rolecall_harness::Op::AssumeRole)
    }
}

/// The command for a first cluster.
pub(crate) const ADD: [&str; 8] = ["add", "prod", "--region", REGION, "--role-arn", ROLE, "--aws-profile", "work"];

pub(crate) fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success());
}

/// Asserts this exit code and an empty standard output, and returns the one line on standard error.
#[track_caller]
pub(crate) fn error_line(said: &Output, code: i32) -> String {
    said.assert_code(code).assert_stdout_empty();
    let line = said.stderr.strip_suffix('\n').expect("a line");
    assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    assert!(line.starts_with("rolecall: "), "{line}");
    line.to_owned()
}

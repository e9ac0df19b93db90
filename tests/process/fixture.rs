//! An embedded AWS with a user, a role and a cluster, and a sandbox with the AWS profile `work`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rolecall_harness::{AccessKey, ApiServer, Aws, Clock, Output, Role, Sandbox, Sso, with_entry_keys};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const ADMINS: &str = "arn:aws:iam::111122223333:role/admins";
pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/developers";
pub(crate) const REGION: &str = "eu-west-1";
/// The variable that kubectl sets for a plugin with an interactive user.
pub(crate) const EXEC_INFO: &str =
    r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":true}}"#;
/// Fails a test that hangs. No assertion depends on its length.
pub(crate) const HANG_GUARD: Duration = Duration::from_mins(1);

/// The source `work` in the configuration file.
const SOURCE: &str = "[sources.work]\naws_profile = \"work\"\n\n";

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
        fixture.write_config(&format!("{SOURCE}{}", profile("prod", "work", ROLE)));
        fixture
    }

    /// The profiles `p0` to `p{count - 1}`, each with its own role, so that no two share a call; no daemon runs.
    pub(crate) fn with_profiles(count: usize) -> Self {
        let fixture = Self::bare();
        let mut config = SOURCE.to_owned();
        for n in 0..count {
            let role = format!("arn:aws:iam::{ACCOUNT}:role/r{n}");
            fixture.aws.add_role(Role::new(&role).trusts(&fixture.user.arn));
            config.push_str(&profile(&format!("p{n}"), "work", &role));
        }
        fixture.write_config(&config);
        fixture
    }

    /// The AWS profile `corp` signs in to IAM Identity Center; nothing is configured.
    pub(crate) fn with_sso_profile() -> (Self, Sso) {
        let fixture = Self::bare();
        let center = fixture.aws.sso();
        let assigned = center.assign("dev", ACCOUNT, "developers");
        // The tests approve immediately, so the daemon polls as often as possible.
        center.interval(Duration::from_secs(1));
        fixture.aws.update_role(ROLE, |role| role.trusts(&assigned));
        fixture.sandbox.write_sso_profile("corp", Some("corp"), &center, ACCOUNT, "developers");
        (fixture, center)
    }

    /// The profile `prod` was added with `rolecall add`, and the daemon runs.
    pub(crate) fn added() -> Self {
        let fixture = Self::bare();
        fixture.rolecall(&ADD).assert_ok();
        fixture
    }

    /// Writes the configuration. Profiles without an entry key get one.
    pub(crate) fn write_config(&self, text: &str) {
        self.sandbox.write(self.config_path().strip_prefix(self.sandbox.root()).unwrap(), &with_entry_keys(text));
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

/// Returns a profile of the cluster `prod` for the configuration file.
pub(crate) fn profile(name: &str, source: &str, role: &str) -> String {
    format!(
        "[profiles.{name}]\ncluster = \"prod\"\nregion = \"{REGION}\"\nsource = \"{source}\"\nrole_arn = \"{role}\"\n"
    )
}

/// Returns a command that runs the client without a controlling terminal.
pub(crate) fn without_terminal(sandbox: &Sandbox) -> Command {
    let mut command = sandbox.command("setsid");
    command.arg("-w").arg(sandbox.rolecall().get_program());
    command
}

/// Returns a command that runs the client with these arguments, in the words of a shell, at a terminal of this width.
pub(crate) fn at_width(sandbox: &Sandbox, width: u16, is_colored: bool, arguments: &str) -> Command {
    let mut command = sandbox.command("sh");
    command.args(["-c", &format!("stty cols {width}; exec rolecall {arguments}")]);
    if !is_colored {
        command.env("NO_COLOR", "1");
    }
    command
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

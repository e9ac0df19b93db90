//! The fixture: an AWS with one user and one role, a configuration, a daemon in process, and the real client.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rolecall_aws::client::{Aws as AwsClients, AwsFiles};
use rolecall_core::clock::{Clock as DaemonClock, ClockSource};
use rolecall_core::profile::LocalUser;
use rolecall_harness::{AccessKey, ApiServer, Aws, Clock, Output, Role, Sandbox, with_entry_keys};
use rolecalld::agent::Agent;
use rolecalld::renew::Renewer;
use rolecalld::server::serve;
use rolecalld::server::socket::{self, SocketClaim};
use rolecalld::services::access::{AccessSettings, Pace};
use rolecalld::services::status::About;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/developers";
pub(crate) const REGION: &str = "eu-west-1";

/// KUBERNETES_EXEC_INFO of kubectl, without a cluster.
pub(crate) const EXEC_INFO: &str =
    r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#;

/// A working profile `prod`, on a clock that moves only when the test advances it.
pub(crate) struct Fixture {
    /// AWS's time.
    pub(crate) clock: Clock,
    pub(crate) aws: Aws,
    pub(crate) api: ApiServer,
    pub(crate) user: AccessKey,
    pub(crate) sandbox: Sandbox,
    pub(crate) agent: Arc<Agent>,
    pub(crate) renewer: Renewer,
    stop: CancellationToken,
    runtime: Option<Runtime>,
    _claim: SocketClaim,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)); // 2026-01-02T03:04:05Z
        let aws = Aws::start(clock.clone());
        let user = aws.add_user(ACCOUNT, "dev");
        aws.add_role(Role::new(ROLE).trusts(&user.arn));
        let api = ApiServer::start(clock.clone(), &aws, "prod", REGION);
        aws.add_cluster(api.cluster());
        aws.grant("prod", REGION, ROLE, "dev:{{SessionName}}", &["system:masters"]);
        let sandbox = Sandbox::new();
        sandbox.write_aws_profile("work", &user, &aws.endpoint());
        write_config(&sandbox, PROD);
        Self::serve(clock, aws, api, user, sandbox)
    }

    fn serve(clock: Clock, aws: Aws, api: ApiServer, user: AccessKey, sandbox: Sandbox) -> Self {
        let time = DaemonClock::new(Laptop { start: clock.now(), truth: clock.clone() });
        let logins = sandbox.home().join(".aws");
        let files = AwsFiles { config: logins.join("config"), credentials: logins.join("credentials"), logins };
        let path = sandbox.runtime_dir().join("rolecall/agent.sock");
        let about = About { socket: path.display().to_string(), log: None, restarts: 0 };
        let person = LocalUser { user: "dev".to_owned(), host: "laptop".to_owned() };
        let agent = Agent::new(config_path(&sandbox), AwsClients::new(files, time), person, about);
        let pace = Pace { update: Duration::ZERO, check: Duration::ZERO };
        agent.access.configure(AccessSettings { backups: Some(sandbox.home().join("backups")), pace });

        let bound = socket::bind(&path).unwrap();
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        {
            let _inside = runtime.enter();
            let listener = tokio::net::UnixListener::from_std(bound.listener).unwrap();
            let follower = Arc::clone(&agent);
            let following = stop.clone();
            runtime.spawn(async move { follower.follow(following).await });
            runtime.spawn(serve(listener, Arc::clone(&agent), stop.clone()));
            agent.renewer.start(stop.clone());
        }
        let renewer = agent.renewer.clone();
        Self { clock, aws, api, user, sandbox, agent, renewer, stop, runtime: Some(runtime), _claim: bound.claim }
    }

    /// Creates a fixture without background renewal, for tests of requests late in a session's life.
    pub(crate) fn unkept() -> Self {
        let fixture = Self::new();
        fixture.configure(&format!("{PROD}keep_warm = \"0s\"\n"));
        fixture
    }

    /// Replaces the configuration, and reloads it. Profiles without an entry key get one.
    pub(crate) fn configure(&self, text: &str) {
        write_config(&self.sandbox, text);
        self.agent.config.reload();
    }

    /// Returns the command `rolecall token NAME`, run by a process that ends after it, as kubectl does.
    pub(crate) fn token_command(&self, name: &str) -> Command {
        let mut command = self.sandbox.command("/bin/sh");
        command.args(["-c", "rolecall token \"$0\"; exit $?", name]).env("KUBERNETES_EXEC_INFO", EXEC_INFO);
        self.sandbox.pass_entry_key(&mut command, name);
        command
    }

    /// Runs `rolecall token NAME` as a child of this process, which therefore counts as one client process.
    pub(crate) fn token_again(&self, name: &str) -> Credential {
        let said = self.token_again_output(name);
        said.assert_ok();
        Credential(said.json())
    }

    /// Runs the same, which may fail.
    pub(crate) fn token_again_output(&self, name: &str) -> Output {
        let mut command = self.sandbox.rolecall();
        self.sandbox.run(command.args(["token", name]).env("KUBERNETES_EXEC_INFO", EXEC_INFO))
    }

    pub(crate) fn token(&self, name: &str) -> Output {
        self.sandbox.run(&mut self.token_command(name))
    }

    /// Runs `rolecall token NAME`, which has to succeed.
    pub(crate) fn good_token(&self, name: &str) -> Credential {
        let said = self.token(name);
        said.assert_ok();
        Credential(said.json())
    }

    /// Runs `rolecall token NAME`, which has to fail with this exit code. Returns its one line of standard error.
    #[track_caller]
    pub(crate) fn token_error(&self, name: &str, code: i32) -> String {
        one_line(&self.token(name), code)
    }

    /// Enters the daemon's runtime, so that this thread can spawn its tasks.
    pub(crate) fn runtime(&self) -> tokio::runtime::EnterGuard<'_> {
        self.runtime.as_ref().unwrap().enter()
    }

    /// Runs a future on the daemon's runtime.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.as_ref().unwrap().block_on(future)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The clocks of the daemon's machine, which show AWS's time. The simulation has clocks that differ.
#[derive(Debug)]
pub(crate) struct Laptop {
    pub(crate) truth: Clock,
    pub(crate) start: SystemTime,
}

impl ClockSource for Laptop {
    fn wall(&self) -> SystemTime {
        self.truth.now()
    }

    fn elapsed(&self) -> Duration {
        self.truth.now().duration_since(self.start).unwrap_or_default()
    }

    fn awake(&self) -> Duration {
        self.elapsed()
    }
}

/// A parsed ExecCredential.
pub(crate) struct Credential(Value);

impl Credential {
    pub(crate) fn token(&self) -> &str {
        self.0["status"]["token"].as_str().unwrap()
    }

    pub(crate) fn api_version(&self) -> &str {
        self.0["apiVersion"].as_str().unwrap()
    }

    /// Returns the time from `now` to its expiry.
    pub(crate) fn life(&self, now: SystemTime) -> Duration {
        let text = self.0["status"]["expirationTimestamp"].as_str().unwrap();
        let end: SystemTime = text.parse::<jiff::Timestamp>().unwrap().into();
        end.duration_since(now).unwrap()
    }
}

/// Checks that a run failed with this exit code and one line of standard error. Returns the line.
#[track_caller]
pub(crate) fn one_line(said: &Output, code: i32) -> String {
    said.assert_code(code).assert_stdout_empty();
    let line = said.stderr.strip_suffix('\n').expect("one line");
    assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    assert!(line.starts_with("rolecall: "), "{line}");
    line.to_owned()
}

pub(crate) fn config_path(sandbox: &Sandbox) -> PathBuf {
    sandbox.config_home().join("rolecall/config.toml")
}

fn write_config(sandbox: &Sandbox, text: &str) {
    let path = config_path(sandbox);
    sandbox.write(path.strip_prefix(sandbox.root()).unwrap(), &with_entry_keys(text));
}

pub(crate) const PROD: &str = r#"
[sources.work]
aws_profile = "work"

[profiles.prod]
cluster  = "prod"
region   = "eu-west-1"
source   = "work"
role_arn = "arn:aws:iam::111122223333:role/developers"
"#;

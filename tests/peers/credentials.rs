//! AWS's programs with the session of a profile: `credential_process`, the environment, and the endpoint of `exec --server`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aws_credential_types::provider::ProvideCredentials as _;
use rolecall_harness::{Fault, Op};

use crate::fixture::Fixture;
use crate::peer;

/// The lifetime of a short session. The daemon renews it in the middle of its life.
const SHORT: Duration = Duration::from_secs(14);

impl Fixture {
    /// Runs a command with `rolecall exec --server prod`.
    fn with_server(&self, arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Command {
        let mut command = self.sandbox.rolecall();
        command.args(["exec", "prod", "--server", "--"]).args(arguments);
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// Returns the session name of the role, which ends its ARN.
    fn session_name(&self) -> String {
        let said = self.rolecall(&["show", "prod", "-o", "json"]);
        said.assert_ok();
        said.json()["session_name"].as_str().unwrap().to_owned()
    }

    fn python(&self, python: &Path, arguments: &[&str]) -> Command {
        let program = peer::program(&python.to_owned(), "sts_sessions.py");
        let mut all = vec![python.as_os_str().to_owned()];
        all.extend(program.get_args().map(std::ffi::OsStr::to_owned));
        all.extend(arguments.iter().map(std::ffi::OsString::from));
        self.with_server(all)
    }

    /// How many times a session was handed out.
    fn hand_outs(&self) -> usize {
        self.rolecall(&["agent", "stop"]).assert_ok();
        let said = self.rolecall(&["audit", "-o", "json"]);
        let records = said.json();
        records.as_array().unwrap().iter().filter(|record| record["operation"] == "credentials").count()
    }
}

/// Fault matrix row 103.
#[test]
fn boto3_outlives_its_sessions() {
    let (Some(python), Some(fixture)) = (peer::python(), Fixture::new()) else { return };
    fixture.aws.fault(Op::AssumeRole, Fault::ExpiresIn(SHORT).forever());
    fixture.rolecall(&["refresh", "prod"]).assert_ok();
    let name = fixture.session_name();
    let said = fixture.sandbox.run(&mut fixture.python(&python, &[&fixture.aws.endpoint(), "3", "0.2", &name]));
    said.assert_ok();
    assert!(said.stdout.trim().parse::<u32>().unwrap() >= 3, "{said}");
}

/// Fault matrix row 103.
#[test]
fn boto3_reads_a_long_session_once() {
    let (Some(python), Some(fixture)) = (peer::python(), Fixture::new()) else { return };
    let name = fixture.session_name();
    let code = format!(
        "import boto3\ns = boto3.Session()\nc = s.client('sts', endpoint_url='{}')\n\
         for i in range(20):\n  assert c.get_caller_identity()['Arn'].endswith('/{name}')\n",
        fixture.aws.endpoint()
    );
    let arguments = [python.to_str().unwrap(), "-c", &code];
    fixture.sandbox.run(&mut fixture.with_server(arguments)).assert_ok();
    assert!(fixture.hand_outs() <= 2, "once for exec, and once for boto3");
}

#[test]
fn aws_cli_uses_each_way_to_a_session() {
    let (Some(python), Some(fixture)) = (peer::python(), Fixture::new()) else { return };
    let (python, url, name) = (python.to_str().unwrap().to_owned(), fixture.aws.endpoint(), fixture.session_name());
    let aws = [&python, "-m", "awscli", "sts", "get-caller-identity", "--endpoint-url", &url];
    fixture.rolecall(&["credentials", "prod", "--install", "prod-aws"]).assert_ok();
    let mut by_process = fixture.sandbox.command(&python);
    by_process.args(&aws[1..]).args(["--profile", "prod-aws"]);
    let mut by_environment = fixture.sandbox.rolecall();
    by_environment.args(["exec", "prod", "--"]).args(aws);
    for mut command in [by_process, by_environment, fixture.with_server(aws)] {
        let said = fixture.sandbox.run(&mut command);
        said.assert_ok();
        let arn = said.json()["Arn"].as_str().unwrap().to_owned();
        assert!(arn.ends_with(&format!(":assumed-role/developers/{name}")), "{arn}");
    }
    let leaks = fixture.sandbox.leaks();
    assert!(leaks.iter().all(|leak| leak.contains(" in the environment of ")), "{leaks:?}");
}

/// Fault matrix row 103. The test runs itself as a program of the SDK.
#[test]
#[allow(clippy::disallowed_methods)] // the program has an environment of its own
fn rust_sdk_outlives_its_sessions() {
    const STS_URL: &str = "ROLECALL_TEST_STS_URL";
    if let Ok(url) = std::env::var(STS_URL) {
        return rust_sdk_program(&url);
    }
    let Some(fixture) = Fixture::new() else { return };
    fixture.aws.fault(Op::AssumeRole, Fault::ExpiresIn(SHORT).forever());
    fixture.rolecall(&["refresh", "prod"]).assert_ok();
    let program = std::env::current_exe().unwrap();
    let mut command = fixture.with_server([program.as_os_str()]);
    command.args(["--exact", "credentials::rust_sdk_outlives_its_sessions"]).env(STS_URL, fixture.aws.endpoint());
    let said = fixture.sandbox.run(&mut command);
    said.assert_ok();
    assert!(said.stdout.contains("1 passed"), "{said}");
    assert!(fixture.hand_outs() >= 3, "{said}");
}

/// Calls STS with the credentials that the SDK finds, until it has used three sessions.
#[tokio::main(flavor = "current_thread")]
async fn rust_sdk_program(url: &str) {
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).load().await;
    let settings = aws_sdk_sts::config::Builder::from(&config).endpoint_url(url).build();
    let sts = aws_sdk_sts::Client::from_conf(settings);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 3 {
        let credentials = config.credentials_provider().unwrap().provide_credentials().await.unwrap();
        seen.insert(credentials.access_key_id().to_owned());
        let identity = sts.get_caller_identity().send().await.unwrap();
        assert!(identity.arn().unwrap().contains(":assumed-role/developers/"), "{identity:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

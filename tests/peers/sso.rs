//! Rolecall and the AWS CLI share one login: each uses the token file that the other wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rolecall_aws::client::{Aws as AwsClients, AwsFiles};
use rolecall_aws::sso::{Sso, SsoSession, SsoStep};
use rolecall_core::clock::Clock as DaemonClock;
use rolecall_harness::{Aws, Clock, Op, Output, Sandbox, Sso as Center};
use rolecall_protocol::LoginFlow;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::peer;

const ACCOUNT: &str = "111122223333";
const ROLE: &str = "developers";

struct Fixture {
    aws: Aws,
    center: Center,
    sandbox: Sandbox,
    session: SsoSession,
    runtime: Runtime,
}

impl Fixture {
    fn new(name: Option<&str>) -> Self {
        let aws = Aws::start(Clock::system());
        let center = aws.sso();
        center.assign("dev", ACCOUNT, ROLE);
        let sandbox = Sandbox::new();
        sandbox.write_sso_profile("corp-dev", name, &center, ACCOUNT, ROLE);
        let session = SsoSession {
            profile: "corp-dev".to_owned(),
            name: name.map(str::to_owned),
            start_url: center.start_url(),
            region: "eu-west-1".parse().unwrap(),
            scopes: vec![],
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { aws, center, sandbox, session, runtime }
    }

    /// A client as after a restart, which knows only the file.
    fn sso(&self) -> Sso {
        let logins = self.sandbox.home().join(".aws");
        let files = AwsFiles { config: logins.join("config"), credentials: logins.join("credentials"), logins };
        Sso::new(AwsClients::new(files, DaemonClock::machine()))
    }

    fn log_in(&self) {
        self.center.approve_all();
        self.runtime.block_on(async {
            let mut login = self.sso().login(&self.session, LoginFlow::Device, false);
            loop {
                match login.next().await.unwrap() {
                    SsoStep::Open { .. } => {}
                    step => break assert_eq!(step, SsoStep::Done),
                }
            }
        });
    }

    fn file(&self) -> PathBuf {
        let mut files = fs::read_dir(self.sandbox.home().join(".aws/sso/cache")).unwrap();
        files.find_map(|file| Some(file.unwrap().path()).filter(|path| path.extension().is_some())).unwrap()
    }

    fn token(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file()).unwrap()).unwrap()
    }

    /// Returns the identity of the AWS CLI.
    fn cli_identity(&self, aws: &[&Path]) -> String {
        let said = self.cli(aws, &["sts", "get-caller-identity", "--output", "json"]);
        said.json()["Arn"].as_str().unwrap().to_owned()
    }

    fn cli(&self, aws: &[&Path], arguments: &[&str]) -> Output {
        let mut command = self.sandbox.command(aws[0]);
        command.args(&aws[1..]).args(arguments).args(["--profile", "corp-dev"]);
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_PAGER", "").env("AWS_DATA_PATH", self.data_path());
        let said = self.sandbox.run(&mut command);
        said.assert_ok();
        said
    }

    /// Endpoint rules for an AWS CLI before 2.13, which does not know `services`.
    fn data_path(&self) -> PathBuf {
        let rules = json!({
            "version": "1.0",
            "parameters": { "Region": { "builtIn": "AWS::Region", "required": false, "type": "String" } },
            "rules": [{
                "conditions": [],
                "endpoint": { "url": self.aws.endpoint(), "properties": {}, "headers": {} },
                "type": "endpoint",
            }],
        });
        for service in ["sso/2019-06-10", "sso-oidc/2019-06-10", "sts/2011-06-15"] {
            self.sandbox.write(format!("data/{service}/endpoint-rule-set-1.json"), &rules.to_string());
        }
        self.sandbox.root().join("data")
    }

    fn request_role_credentials(&self) {
        let (sso, session) = (self.sso(), self.session.clone());
        self.runtime.block_on(async move { sso.role_credentials(&session, ACCOUNT, ROLE).await.map(drop) }).unwrap();
    }
}

#[test]
fn sso_login_of_daemon_is_used_by_aws_cli() {
    let Some(python) = peer::python() else { return };
    let aws = [python.as_path(), Path::new("-m"), Path::new("awscli")];
    for name in [Some("corp"), None] {
        let fixture = Fixture::new(name);
        fixture.log_in();
        assert_eq!(fixture.cli_identity(&aws), Center::session_arn("dev", ACCOUNT, ROLE));
        assert_eq!(fixture.aws.calls(Op::StartDeviceAuthorization), 1);
    }
}

#[test]
fn sso_token_renewed_by_aws_cli_is_used_by_daemon() {
    let Some(python) = peer::python() else { return };
    let aws = [python.as_path(), Path::new("-m"), Path::new("awscli")];
    let fixture = Fixture::new(Some("corp"));
    // The AWS CLI renews a token that expires in less than 15 min, and then writes the file.
    fixture.center.token_life(Duration::from_mins(10));
    fixture.log_in();
    let ours = fixture.token();
    fixture.center.token_life(Duration::from_hours(1));
    fixture.cli_identity(&aws);
    let theirs = fixture.token();
    for key in ["accessToken", "refreshToken", "expiresAt"] {
        assert_ne!(theirs[key], ours[key], "{key}");
    }
    for key in ["clientId", "clientSecret", "registrationExpiresAt", "startUrl", "region"] {
        assert_eq!(theirs[key], ours[key], "{key}");
    }
    let calls = fixture.aws.calls(Op::CreateToken);
    fixture.request_role_credentials();
    assert_eq!(fixture.aws.calls(Op::CreateToken), calls, "the token of the AWS CLI is used unchanged");

    // Rolecall renews the token with the AWS CLI's refresh token, and the AWS CLI uses the result.
    fixture.center.revoke_access();
    fixture.request_role_credentials();
    assert_eq!(fixture.aws.calls(Op::CreateToken), calls + 1);
    assert_ne!(fixture.token()["accessToken"], theirs["accessToken"]);
    fs::remove_dir_all(fixture.sandbox.home().join(".aws/cli")).unwrap_or_default();
    assert_eq!(fixture.cli_identity(&aws), Center::session_arn("dev", ACCOUNT, ROLE));
    assert_eq!(fixture.aws.calls(Op::CreateToken), calls + 1);
}

#[test]
fn sso_login_and_logout_of_aws_cli_are_shared() {
    let Some(aws) = peer::aws_cli() else { return };
    let aws = [aws.as_path()];
    let fixture = Fixture::new(Some("corp"));
    fixture.center.approve_all();
    // Later versions use a loopback browser flow by default; earlier ones do not know this flag.
    let help =
        fixture.sandbox.run(fixture.sandbox.command(aws[0]).args(["sso", "login", "help"]).env("AWS_PAGER", "cat"));
    let flag = Some("--use-device-code").filter(|flag| help.stdout.contains(flag));
    let mut arguments = vec!["sso", "login", "--no-browser"];
    arguments.extend(flag);
    fixture.cli(&aws, &arguments);
    let theirs = fixture.token();
    fixture.request_role_credentials();
    assert_eq!(fixture.aws.calls(Op::StartDeviceAuthorization), 1);

    // Both files have the same keys, except those that only the AWS CLI uses.
    fs::remove_file(fixture.file()).unwrap();
    fixture.log_in();
    let ours = fixture.token();
    for key in ours.as_object().unwrap().keys() {
        assert_eq!(ours[key].is_string(), theirs[key].is_string(), "{key}: {theirs:#}");
    }
    assert_eq!((&ours["startUrl"], &ours["region"]), (&theirs["startUrl"], &theirs["region"]));
    assert_eq!(fixture.cli_identity(&aws), Center::session_arn("dev", ACCOUNT, ROLE));

    // A logout of the AWS CLI logs out Rolecall.
    assert!(fixture.sso().status(&fixture.session).is_some());
    fixture.cli(&aws, &["sso", "logout"]);
    assert!(fixture.sso().status(&fixture.session).is_none());
    assert_eq!(fixture.aws.calls(Op::Logout), 1);
}

//! One login for us and for the AWS CLI: it uses the token that we wrote, and we use the one that it wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rolecall_harness::{Aws, Clock, Op, Output, Sandbox, Sso as Center};
use rolecall_protocol::LoginFlow;
use rolecalld::aws::{Aws as AwsClients, AwsFiles};
use rolecalld::clock::Clock as DaemonClock;
use rolecalld::sso::{Sso, SsoSession, SsoStep};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::peer;

const ACCOUNT: &str = "111122223333";
const ROLE: &str = "developers";

struct Rig {
    aws: Aws,
    center: Center,
    sandbox: Sandbox,
    session: SsoSession,
    runtime: Runtime,
}

impl Rig {
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

    /// As after a restart: nothing is known but the file.
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

    /// Who the AWS CLI says that it is.
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

    /// Where the services are, for an AWS CLI that does not know `services` yet (before 2.13).
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

    fn our_role(&self) {
        let (sso, session) = (self.sso(), self.session.clone());
        self.runtime.block_on(async move { sso.role_credentials(&session, ACCOUNT, ROLE).await.map(drop) }).unwrap();
    }
}

#[test]
fn sso_login_of_daemon_is_used_by_aws_cli() {
    let Some(python) = peer::python() else { return };
    let aws = [python.as_path(), Path::new("-m"), Path::new("awscli")];
    for name in [Some("corp"), None] {
        let rig = Rig::new(name);
        rig.log_in();
        assert_eq!(rig.cli_identity(&aws), Center::session_arn("dev", ACCOUNT, ROLE));
        assert_eq!(rig.aws.calls(Op::StartDeviceAuthorization), 1);
    }
}

#[test]
fn sso_token_renewed_by_aws_cli_is_used_by_daemon() {
    let Some(python) = peer::python() else { return };
    let aws = [python.as_path(), Path::new("-m"), Path::new("awscli")];
    let rig = Rig::new(Some("corp"));
    // The AWS CLI renews what has less than a quarter of an hour left, and so writes the file anew.
    rig.center.token_life(Duration::from_mins(10));
    rig.log_in();
    let ours = rig.token();
    rig.center.token_life(Duration::from_hours(1));
    rig.cli_identity(&aws);
    let theirs = rig.token();
    for key in ["accessToken", "refreshToken", "expiresAt"] {
        assert_ne!(theirs[key], ours[key], "{key}");
    }
    for key in ["clientId", "clientSecret", "registrationExpiresAt", "startUrl", "region"] {
        assert_eq!(theirs[key], ours[key], "{key}");
    }
    let calls = rig.aws.calls(Op::CreateToken);
    rig.our_role();
    assert_eq!(rig.aws.calls(Op::CreateToken), calls, "what it wrote is good as it is");

    // And by its refresh token we have one of our own, which it uses in its turn.
    rig.center.revoke_access();
    rig.our_role();
    assert_eq!(rig.aws.calls(Op::CreateToken), calls + 1);
    assert_ne!(rig.token()["accessToken"], theirs["accessToken"]);
    fs::remove_dir_all(rig.sandbox.home().join(".aws/cli")).unwrap_or_default();
    assert_eq!(rig.cli_identity(&aws), Center::session_arn("dev", ACCOUNT, ROLE));
    assert_eq!(rig.aws.calls(Op::CreateToken), calls + 1);
}

#[test]
fn sso_login_and_logout_of_aws_cli_are_shared() {
    let Some(aws) = peer::aws_cli() else { return };
    let aws = [aws.as_path()];
    let rig = Rig::new(Some("corp"));
    rig.center.approve_all();
    // Later versions go by a browser that comes back unless they are told otherwise; earlier ones do not know the flag.
    let help = rig.sandbox.run(rig.sandbox.command(aws[0]).args(["sso", "login", "help"]).env("AWS_PAGER", "cat"));
    let flag = Some("--use-device-code").filter(|flag| help.stdout.contains(flag));
    let mut arguments = vec!["sso", "login", "--no-browser"];
    arguments.extend(flag);
    rig.cli(&aws, &arguments);
    let theirs = rig.token();
    rig.our_role();
    assert_eq!(rig.aws.calls(Op::StartDeviceAuthorization), 1);

    // What it wrote and what we write have the same keys, but for what it keeps to itself.
    fs::remove_file(rig.file()).unwrap();
    rig.log_in();
    let ours = rig.token();
    for key in ours.as_object().unwrap().keys() {
        assert_eq!(ours[key].is_string(), theirs[key].is_string(), "{key}: {theirs:#}");
    }
    assert_eq!((&ours["startUrl"], &ours["region"]), (&theirs["startUrl"], &theirs["region"]));
    assert_eq!(rig.cli_identity(&aws), Center::session_arn("dev", ACCOUNT, ROLE));

    // It logs out, and so are we.
    assert!(rig.sso().status(&rig.session).is_some());
    rig.cli(&aws, &["sso", "logout"]);
    assert!(rig.sso().status(&rig.session).is_none());
    assert_eq!(rig.aws.calls(Op::Logout), 1);
}

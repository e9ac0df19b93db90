//! Other programs read the credentials in a sandbox: the AWS SDK for Rust, and boto3.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials as _;

use super::*;
use crate::aws::{AccessKey, Aws, Op, Role};
use crate::clock::Clock;

const ACCOUNT: &str = "111122223333";
const BASE: &str = "arn:aws:iam::111122223333:role/base";
const HUB: &str = "arn:aws:iam::111122223333:role/hub";

/// Returns an AWS with a user `dev`, a role `base` for machines, and a role `hub` that both may assume.
fn fixture() -> (Aws, AccessKey, Sandbox) {
    let aws = Aws::start(Clock::system());
    let dev = aws.add_user(ACCOUNT, "dev");
    aws.add_role(Role::new(BASE).trusts_web_identity("ci"));
    aws.add_role(Role::new(HUB).trusts(&dev.arn).trusts(BASE));
    (aws, dev, Sandbox::new())
}

/// Set in the process that the tests below start.
const INSIDE: &str = "ROLECALL_TEST_INSIDE";

/// Program: prints the access key that the SDK finds for `AWS_PROFILE`. The SDK reads the environment and the files of
/// its own process, so the tests below run this in a sandbox. Without [`INSIDE`] it does nothing.
#[test]
#[allow(clippy::print_stdout, clippy::disallowed_methods, reason = "the test is a program")]
fn sdk_program_prints_access_key() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let provided = runtime.block_on(async {
        let config = ProviderConfig::with_default_region().await;
        ProfileFileCredentialsProvider::builder().configure(&config).build().provide_credentials().await
    });
    match provided {
        Ok(key) => println!("key {}", key.access_key_id()),
        Err(error) => println!("error {error:?}"),
    }
}

/// Returns the ARN of the principal whose access key the SDK finds for an AWS profile.
fn sdk(aws: &Aws, sandbox: &Sandbox, profile: &str, environment: &[(&str, &str)]) -> Result<String, String> {
    let program = std::env::current_exe().unwrap();
    let name = "sandbox::peer_tests::sdk_program_prints_access_key";
    let mut command = sandbox.command(program);
    command.args(["--exact", name, "--nocapture"]).env("AWS_PROFILE", profile).env(INSIDE, "1");
    let output = sandbox.run(command.envs(environment.iter().copied()));
    let line = |prefix: &str| output.stdout.lines().find_map(|text| text.strip_prefix(prefix)).map(str::to_owned);
    let key = line("key ").ok_or_else(|| line("error ").unwrap_or_else(|| panic!("{output:?}")))?;
    Ok(aws.owner_of(&key).unwrap_or_else(|| panic!("no principal has {key}")))
}

#[test]
fn sdk_every_profile_kind_accepted() {
    let (aws, dev, sandbox) = fixture();
    let endpoint = aws.endpoint();
    let assumed = |role: &str| format!("arn:aws:sts::111122223333:assumed-role/{role}/");
    sandbox.write_aws_profile("work", &dev, &endpoint);
    sandbox.write_aws_config("role", &AwsProfile::role(HUB, "work").with("role_session_name", "me"), &endpoint);
    assert_eq!(sdk(&aws, &sandbox, "role", &[]).unwrap(), assumed("hub") + "me");

    sandbox.write_web_identity("ci", BASE, &aws.web_identity_token("ci"), &endpoint);
    assert!(sdk(&aws, &sandbox, "ci", &[]).unwrap().starts_with(&assumed("base")));

    let instance = aws.instance_metadata(BASE);
    sandbox.write_instance_profile("ec2", HUB, &instance, &endpoint);
    assert!(sdk(&aws, &sandbox, "ec2", &[]).unwrap().starts_with(&assumed("hub")));
    let assuming = aws.log_of(Op::AssumeRole).pop().and_then(|call| call.caller_arn).unwrap();
    assert!(assuming.starts_with(&(assumed("base") + "i-0")) && instance.fetched() == 1, "{assuming}");

    let container = aws.container_credentials(BASE);
    sandbox.write_aws_config("ecs", &AwsProfile::role_of(HUB, "EcsContainer"), &endpoint);
    let uri = container.uri();
    sandbox.allow_secret(container.token());
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", container.token()),
    ];
    assert!(sdk(&aws, &sandbox, "ecs", &environment).unwrap().starts_with(&assumed("hub")));
}

#[test]
fn sdk_aws_login_session_renewed() {
    let (aws, dev, sandbox) = fixture();
    let login = aws.login(&dev.arn);
    let file = sandbox.write_login_session("console", &login, &aws.endpoint());
    assert_eq!(sdk(&aws, &sandbox, "console", &[]).unwrap(), dev.arn);
    assert_eq!(aws.calls(Op::CreateOAuth2Token), 0);

    let written = |file: &Path| fs::read_to_string(file).unwrap();
    let before = written(&file);
    let expiring = crate::time::rfc3339(aws.clock().now() + Duration::from_mins(1));
    sandbox.write(&file, &before.replace(&crate::time::rfc3339(login.expires), &expiring));
    assert_eq!(sdk(&aws, &sandbox, "console", &[]).unwrap(), dev.arn);
    assert_eq!(aws.calls(Op::CreateOAuth2Token), 1);
    let renewed: serde_json::Value = serde_json::from_str(&written(&file)).unwrap();
    assert_ne!(renewed["refreshToken"], login.refresh_token);
    let key = renewed["accessToken"]["accessKeyId"].as_str().unwrap().to_owned();
    assert!(key != login.key.id && aws.owner_of(&key).unwrap() == dev.arn);

    // Sign-In rejects a used refresh token and one of an ended login.
    let old = before.replace(&crate::time::rfc3339(login.expires), &expiring);
    sandbox.write(&file, &old);
    assert!(sdk(&aws, &sandbox, "console", &[]).unwrap_err().contains("TokenExpired"));
    let hub_login = aws.login(HUB);
    let file = sandbox.write_login_session("hub", &hub_login, &aws.endpoint());
    sandbox.write(&file, &written(&file).replace(&crate::time::rfc3339(hub_login.expires), &expiring));
    aws.revoke_login(&hub_login.session_arn);
    assert!(sdk(&aws, &sandbox, "hub", &[]).unwrap_err().contains("TokenExpired"));
}

/// The calls of boto3: `aws sts` commands and `credential_source` profiles.
const BOTO3: &str = r#"
import os, boto3
serial, code, next_code, hub, base, token = (os.environ[n] for n in ("SERIAL", "CODE", "NEXT", "HUB", "BASE", "TOKEN"))
def arn(session):
    return session.client("sts").get_caller_identity()["Arn"]
def of(given):
    keys = given["Credentials"]
    return arn(boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], profile_name="work"))
sts = boto3.Session(profile_name="work").client("sts")
print(of(sts.get_session_token(SerialNumber=serial, TokenCode=code)))
print(of(sts.assume_role(RoleArn=hub, RoleSessionName="me", SerialNumber=serial, TokenCode=next_code)))
print(of(sts.assume_role_with_web_identity(RoleArn=base, RoleSessionName="ci", WebIdentityToken=token)))
for profile in ("process", "ci", "ec2", "ecs"):
    print(arn(boto3.Session(profile_name=profile)))
"#;

#[test]
#[allow(clippy::disallowed_methods, reason = "the test reads its own environment")]
fn boto3_every_profile_kind_accepted() {
    let Some(python) = std::env::var_os("ROLECALL_TEST_PYTHON") else {
        writeln!(std::io::stderr(), "SKIPPED: boto3: ROLECALL_TEST_PYTHON does not name a Python that has it").unwrap();
        return;
    };
    let (aws, dev, sandbox) = fixture();
    let endpoint = aws.endpoint();
    aws.update_role(HUB, |role| role.trusts(BASE));
    let (instance, container) = (aws.instance_metadata(BASE), aws.container_credentials(BASE));
    sandbox.write_aws_profile("work", &dev, &endpoint);
    let session = aws.session(BASE, "vault", Duration::from_hours(1));
    let ends = aws.clock().now() + Duration::from_hours(1);
    sandbox.write_credential_process("process", &session, Some(ends), &endpoint);
    sandbox.write_web_identity("ci", BASE, &aws.web_identity_token("ci"), &endpoint);
    sandbox.write_instance_profile("ec2", HUB, &instance, &endpoint);
    sandbox.write_aws_config("ecs", &AwsProfile::role_of(HUB, "EcsContainer"), &endpoint);
    let serial = aws.mfa_device(&dev.arn).serial;
    let next = aws.clock().now() + Duration::from_secs(30);
    let mut command = sandbox.command(python);
    let token = aws.web_identity_token("ci");
    sandbox.allow_secret(&token);
    sandbox.allow_secret(container.token());
    command.args(["-c", BOTO3]).envs([
        ("CODE", aws.mfa_code(&serial)),
        ("NEXT", aws.mfa_code_at(&serial, next)),
        ("SERIAL", serial),
        ("HUB", HUB.to_owned()),
        ("BASE", BASE.to_owned()),
        ("TOKEN", token),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.uri()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", container.token().to_owned()),
        // Without it, botocore asks the metadata service of the machine, for every AWS profile.
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", instance.url()),
    ]);
    let output = sandbox.run(&mut command);
    let arns: Vec<&str> = output.assert_ok().stdout.lines().collect();
    let assumed = |role: &str| format!("arn:aws:sts::111122223333:assumed-role/{role}/");
    assert_eq!(arns[..3], [dev.arn.clone(), assumed("hub") + "me", assumed("base") + "ci"]);
    assert_eq!(arns[3], assumed("base") + "vault");
    for (line, role) in arns[4..].iter().zip(["base", "hub", "hub"]) {
        assert!(line.starts_with(&assumed(role)), "{line}");
    }
    assert_eq!((arns.len(), instance.fetched(), container.fetched()), (7, 1, 1));
}

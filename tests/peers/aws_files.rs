//! AWS's own files have the same meaning for Rolecall and for the AWS CLI: generated files are read by both.
//!
//! The AWS CLI's own code for configuration and credentials (botocore) runs once over all files, in both versions. What it
//! would do is compared: the AWS profiles, their settings, the URLs of services, and whose credentials are used.

mod generate;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rolecall_aws::client::{Aws, AwsFiles};
use rolecall_aws::http::http_client;
use rolecall_aws::shared_config::{Profile, SharedConfig};
use rolecall_aws::source::{Plan, plan};
use rolecall_core::clock::Clock;
use rolecall_core::config::network::{NetworkPath, Service};
use rolecall_core::config::{SourceConfig, SourceKind};
use rolecall_harness::Sandbox;
use rolecall_protocol::aws_config::ini::Value as Setting;
use serde_json::{Map, Value, json};

use crate::peer;

/// How many files are generated. `ROLECALL_TEST_AWS_FILES` sets another number.
const FILES: u64 = 2000;
/// A number of files for the AWS CLI itself, which takes half a second for each.
const FILES_OF_CLI: u64 = 12;

/// How long the AWS CLI's code may take for all files.
const CLI_TIMEOUT: Duration = Duration::from_mins(5);

/// What Rolecall refuses although the AWS CLI accepts it, by the text of the error, with the reason.
const REFUSED: [(&str, &str); 11] = [
    ("is a temporary key", "AWS refuses every call that such a key signs"),
    ("continues in the next lines", "the AWS CLI sends the settings of the next lines as a part of the value"),
    ("has both credential_source and an access key", "a profile that is itself a source would mean two identities"),
    ("environment variables are not read", "the variables of a shell do not choose the identity of the daemon"),
    ("more than 5 roles", "a longer chain is a mistake, and each role is a call"),
    ("duration_seconds", "the AWS CLI ignores a value that is no number, and STS refuses one out of range"),
    ("region in line", "the AWS CLI refuses such a region with each call"),
    ("role_arn in line", "STS refuses the value"),
    ("role_session_name in line", "STS refuses the value"),
    ("external_id in line", "STS refuses the value"),
    ("mfa_serial in line", "STS refuses the value"),
];

#[test]
fn generated_files_mean_the_same_for_aws_cli_1() {
    let Some(python) = peer::python() else { return };
    compare(&python, "botocore", true);
}

#[test]
fn generated_files_mean_the_same_for_aws_cli_2() {
    let Some(python) = peer::aws_cli_python() else { return };
    compare(&python, "awscli.botocore", false);
}

/// The programs themselves, as a check of the comparison.
#[test]
fn generated_files_list_the_same_profiles_in_aws_cli() {
    let Some(aws) = peer::aws_cli() else { return };
    let sandbox = Sandbox::new();
    for seed in 0..FILES_OF_CLI {
        let files = write_case(&sandbox.root().join(format!("cli/{seed}")), seed);
        let mut command = sandbox.command(&aws);
        command.env("AWS_CONFIG_FILE", &files.config).env("AWS_SHARED_CREDENTIALS_FILE", &files.credentials);
        let said = sandbox.run(command.args(["configure", "list-profiles"]));
        let ours = SharedConfig::read(&files).ok().map(|config| config.profile_names().map(str::to_owned).collect());
        let theirs = said.status.success().then(|| {
            let mut names: Vec<String> = said.stdout.lines().map(str::to_owned).collect();
            names.sort();
            names
        });
        assert_eq!(ours, theirs, "seed {seed}: {}", said.stderr);
    }
}

/// Compares Rolecall with a version of the AWS CLI. The AWS CLI 2.9 has neither `aws login` nor URLs of services.
fn compare(python: &Path, package: &str, is_recent: bool) {
    let sandbox = Sandbox::new();
    let root = sandbox.root().join("cases");
    let files: Vec<AwsFiles> = (0..count()).map(|seed| write_case(&root.join(format!("{seed:08}")), seed)).collect();
    let said = sandbox.run_within(
        CLI_TIMEOUT,
        peer::program(&python.to_owned(), "aws_files.py")
            .arg(package)
            .arg(&root)
            .env_clear()
            .env("HOME", sandbox.home()),
    );
    said.assert_ok();
    let theirs: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(theirs.len(), files.len());
    let clock = Clock::machine();
    let http = http_client(clock.clone(), &NetworkPath::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut differences, mut readable, mut usable) = (String::new(), 0, 0);
    for (seed, (files, theirs)) in files.iter().zip(&theirs).enumerate() {
        let difference = match (SharedConfig::read(files), theirs.get("profiles")) {
            (Ok(config), Some(theirs)) => {
                readable += 1;
                let aws = Aws::with_client(files.clone(), clock.clone(), http.clone());
                runtime.block_on(profile_difference(&aws, &config, theirs, is_recent, &mut usable))
            }
            (Err(_), None) => None,
            (Err(ours), Some(_)) => Some(format!("only Rolecall refuses the files: {ours}")),
            (Ok(_), None) => Some(format!("only the AWS CLI refuses the files: {}", theirs["error"])),
        };
        if let Some(difference) = difference {
            writeln!(differences, "seed {seed}: {difference}").unwrap();
        }
    }
    assert!(differences.is_empty(), "{differences}");
    // The comparison is worth little if most files are mistakes.
    let total = files.len();
    assert!(readable * 4 > total * 3 && usable > total, "{readable} of {total} files, {usable} AWS profiles");
}

#[allow(clippy::disallowed_methods)] // the suite's own look at the environment
fn count() -> u64 {
    std::env::var("ROLECALL_TEST_AWS_FILES").ok().and_then(|count| count.parse().ok()).unwrap_or(FILES)
}

fn write_case(folder: &PathBuf, seed: u64) -> AwsFiles {
    std::fs::create_dir_all(folder).unwrap();
    let files = AwsFiles {
        config: folder.join("config"),
        credentials: folder.join("credentials"),
        logins: folder.join("logins"),
    };
    let content = generate::files(seed);
    std::fs::write(&files.config, content.config).unwrap();
    std::fs::write(&files.credentials, content.credentials).unwrap();
    files
}

/// The first difference between the AWS profiles of both readers.
async fn profile_difference(
    aws: &Aws,
    config: &SharedConfig,
    theirs: &Value,
    is_recent: bool,
    usable: &mut usize,
) -> Option<String> {
    let theirs = theirs.as_object().unwrap();
    let (ours, mut names): (Vec<&str>, Vec<&str>) =
        (config.profile_names().collect(), theirs.keys().map(String::as_str).collect());
    names.sort_unstable();
    if ours != names {
        return Some(format!("AWS profiles {ours:?}, AWS CLI {names:?}"));
    }
    for (name, theirs) in theirs {
        let settings = settings(config.profile(name)?);
        if settings != theirs["settings"] {
            return Some(format!("settings of {name:?}: {settings}, AWS CLI {}", theirs["settings"]));
        }
        let source = SourceKind::AwsProfile(name.clone());
        let identity = identity(config, &source);
        if identity.is_ok() {
            *usable += 1;
        }
        if let Some(difference) = identity_difference(identity, &theirs["identity"], is_recent) {
            return Some(format!("{name:?}: {difference}"));
        }
        if !theirs["endpoints"].is_null() {
            let endpoints = endpoints(aws, &SourceConfig::plain(source)).await;
            if let Some(difference) = endpoint_difference(endpoints, &theirs["endpoints"]) {
                return Some(format!("{name:?}: {difference}"));
            }
        }
    }
    None
}

fn settings(profile: &Profile) -> Value {
    let value = |setting: &Setting| match setting {
        Setting::Text(text) => json!(text),
        Setting::Nested(settings) => json!(settings),
    };
    profile.settings().map(|(key, setting)| (key.to_owned(), value(setting))).collect::<Map<_, _>>().into()
}

/// Whose credentials Rolecall uses, in the form of `aws_files.py`.
fn identity(config: &SharedConfig, source: &SourceKind) -> Result<Value, String> {
    Ok(match plan(config, source).map_err(|error| error.message)? {
        Plan::Keys(keys) => json!({
            "kind": "keys", "id": keys.access_key_id(), "secret": keys.secret_access_key(), "token": keys.session_token(),
        }),
        Plan::Role(role) => json!({
            "kind": "role", "role": role.role.as_str(), "base": identity(config, &role.base)?,
            "mfa": role.mfa.map(|mfa| mfa.serial.to_string()),
            "external_id": role.external_id.map(|id| id.to_string()),
            "name": role.session_name.map(|name| name.to_string()),
            "duration": if role.duration.as_secs() == 3600 { Value::Null } else { json!(role.duration.as_secs()) },
        }),
        Plan::Sso(sso) => json!({
            "kind": "sso", "session": sso.session.name, "start_url": sso.session.start_url,
            "region": sso.session.region.as_str(), "account": sso.account, "role": sso.role,
        }),
        Plan::Process(words) => json!({"kind": "process", "words": words}),
        Plan::WebIdentity(web) => json!({
            "kind": "web identity", "role": web.role.as_str(), "file": web.token_file,
            "name": web.session_name.map(|name| name.to_string()),
        }),
        Plan::AwsLogin(session) => json!({"kind": "login", "session": session}),
        Plan::Instance(_) => json!({"kind": "machine", "name": "Ec2InstanceMetadata"}),
        Plan::Container => json!({"kind": "machine", "name": "EcsContainer"}),
    })
}

fn identity_difference(ours: Result<Value, String>, theirs: &Value, is_recent: bool) -> Option<String> {
    let is_refused = matches!(theirs["kind"].as_str(), Some("error" | "none"));
    match ours {
        Err(_) if is_refused => None,
        Err(error) if REFUSED.iter().any(|(text, _)| error.contains(text)) => None,
        Err(error) => Some(format!("Rolecall refuses it: {error}; AWS CLI {theirs}")),
        Ok(ours) if ours == *theirs => None,
        // The AWS CLI tries the container and the instance as the last, with or without the setting. Rolecall wants it named.
        Ok(ours) if ours["kind"] == "machine" && is_refused => None,
        Ok(ours) if !is_recent && has_kind(&ours, "login") => None,
        Ok(ours) => Some(format!("{ours}, AWS CLI {theirs}")),
    }
}

/// Whether an identity, or the base of a role, is of a kind.
fn has_kind(identity: &Value, kind: &str) -> bool {
    identity["kind"] == kind || identity.get("base").is_some_and(|base| has_kind(base, kind))
}

async fn endpoints(aws: &Aws, source: &SourceConfig) -> Result<Value, String> {
    let region = "eu-west-1".parse().unwrap();
    let config = aws.client_config(source, &region, None).await.map_err(|error| error.message)?;
    let url = |service| Aws::endpoint_url_of(&config, service);
    Ok(json!({"sts": url(Service::Sts), "eks": url(Service::Eks), "sso-oidc": url(Service::SsoOidc)}))
}

fn endpoint_difference(ours: Result<Value, String>, theirs: &Value) -> Option<String> {
    let is_refused = theirs.as_object().unwrap().values().any(Value::is_object);
    match ours {
        Err(_) if is_refused => None,
        Err(error) if REFUSED.iter().any(|(text, _)| error.contains(text)) => None,
        Err(error) => Some(format!("Rolecall refuses the URLs: {error}; AWS CLI {theirs}")),
        Ok(ours) => (ours != *theirs).then(|| format!("URLs {ours}, AWS CLI {theirs}")),
    }
}

//! Tokens equal those of `aws eks get-token` for the same key, region, cluster and second.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rolecall_aws::token;
use rolecall_core::config::inputs::EndpointVariant;
use rolecall_core::session::Session;
use rolecall_harness::Sandbox;
use serde_json::Value;

use crate::peer;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// A long session token that contains every kind of base64 character.
fn session_token() -> String {
    "IQoJb3JpZ2luX2VjE+/w==AbC".repeat(28)
}

#[test]
fn token_equals_aws_cli_token_byte_for_byte() {
    let Some(python) = peer::python() else { return };
    let sandbox = Sandbox::new();
    let regions = ["us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1", "ap-southeast-2", "us-iso-east-1"];
    for region in regions {
        for session_token in [None, Some(session_token())] {
            let theirs = reference(&sandbox, &python, region, session_token.as_deref());
            let ours = ours(region, session_token, signed_at(&theirs));
            assert_eq!(decoded(&ours), decoded(&theirs), "{region}");
            assert_eq!(ours, theirs, "{region}");
        }
    }
}

/// Returns the token that `aws eks get-token` prints.
fn reference(sandbox: &Sandbox, python: &std::path::Path, region: &str, session_token: Option<&str>) -> String {
    let mut command = sandbox.command(python);
    command.args(["-m", "awscli", "eks", "get-token", "--cluster-name", "prod", "--region", region]);
    command.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_EC2_METADATA_DISABLED", "true");
    if let Some(token) = session_token {
        command.env("AWS_SESSION_TOKEN", token);
    }
    let said = sandbox.run(&mut command);
    said.assert_ok();
    let credential: Value = said.json();
    credential["status"]["token"].as_str().unwrap().to_owned()
}

fn ours(region: &str, session_token: Option<String>, at: SystemTime) -> String {
    let credentials = Credentials::new(KEY, SECRET, session_token, None, "test");
    let session = Session { credentials, arn: None, issued: at, is_clamped: false };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (region, cluster) = (region.parse().unwrap(), "prod".parse().unwrap());
    runtime
        .block_on(token::mint(&session, &region, EndpointVariant::default(), &cluster, at))
        .unwrap()
        .token
        .expose()
        .clone()
}

fn decoded(token: &str) -> String {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token.strip_prefix("k8s-aws-v1.").unwrap()).unwrap()).unwrap()
}

/// Returns the second in which a token was signed.
fn signed_at(token: &str) -> SystemTime {
    let url = decoded(token);
    let (_, rest) = url.split_once("&X-Amz-Date=").unwrap();
    let date = &rest[..16];
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).unwrap();
    civil.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().into()
}

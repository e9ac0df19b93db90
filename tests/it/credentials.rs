//! The session of a profile for programs that call AWS: `rolecall credentials` and `rolecall env`.

use std::time::Duration;

use rolecall_harness::{AwsProfile, Fault, Op, Output};
use serde_json::Value;

use crate::fixture::{Fixture, PROD, one_line};

const MINUTE: Duration = Duration::from_mins(1);

impl Fixture {
    fn run(&self, arguments: &[&str]) -> Output {
        self.sandbox.run(self.sandbox.rolecall().args(arguments))
    }

    /// Runs `rolecall credentials prod`, which has to succeed. Returns its output and the minutes to its expiry.
    #[track_caller]
    fn credentials(&self) -> (Value, u64) {
        let said = self.run(&["credentials", "prod"]);
        said.assert_ok();
        let json = said.json();
        let end: std::time::SystemTime =
            json["Expiration"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().into();
        let left = end.duration_since(self.clock.now()).unwrap();
        (json, left.as_secs() / 60)
    }
}

#[test]
fn credentials_are_the_session_of_the_role() {
    let fixture = Fixture::new();
    let (json, left) = fixture.credentials();
    assert_eq!((json["Version"].as_u64(), left), (Some(1), 60));
    let id = json["AccessKeyId"].as_str().unwrap();
    assert!(id.starts_with("ASIA") && id != fixture.user.id, "{id}");
    assert!(
        !json["SecretAccessKey"].as_str().unwrap().is_empty() && !json["SessionToken"].as_str().unwrap().is_empty()
    );
    fixture.good_token("prod");
    assert_eq!(fixture.credentials().0, json);
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 1, "tokens and credentials share the session");
    let env = fixture.run(&["env", "prod", "--shell", "json"]);
    env.assert_ok();
    assert_eq!(env.json()["AWS_ACCESS_KEY_ID"].as_str(), Some(id));
    assert_eq!(env.json()["AWS_REGION"], "eu-west-1");
}

/// Fault matrix row 103.
#[test]
fn credentials_have_16_minutes_left() {
    let fixture = Fixture::unkept();
    let (first, _) = fixture.credentials();
    fixture.clock.advance(44 * MINUTE);
    assert_eq!(fixture.credentials(), (first.clone(), 16));
    fixture.clock.advance(MINUTE);
    let (second, left) = fixture.credentials();
    assert!(second["AccessKeyId"] != first["AccessKeyId"] && left == 60, "{left}");
    // While AWS fails, the session is used to its end.
    fixture.clock.advance(50 * MINUTE);
    fixture.aws.outage(&Fault::Status(503));
    assert_eq!(fixture.credentials(), (second, 10));
}

#[test]
fn long_lived_access_key_is_never_handed_out() {
    let fixture = Fixture::new();
    let without_role = PROD.lines().filter(|line| !line.starts_with("role_arn")).collect::<Vec<_>>().join("\n");
    fixture.configure(&without_role);
    for arguments in [&["credentials", "prod"][..], &["env", "prod"]] {
        let line = one_line(&fixture.run(arguments), 1);
        assert!(
            line.contains("prod: source \"work\" has a long-lived access key, which is never handed out"),
            "{line}"
        );
    }
}

#[test]
fn credentials_setting_allows_tokens_only() {
    let fixture = Fixture::new();
    for config in [format!("{PROD}credentials = false\n"), format!("[defaults]\ncredentials = false\n{PROD}")] {
        fixture.configure(&config);
        let line = one_line(&fixture.run(&["credentials", "prod"]), 1);
        assert!(line.contains("prod: its setting credentials = false allows tokens only"), "{line}");
        fixture.good_token("prod");
        let shown = fixture.run(&["show", "prod"]).stdout;
        assert!(shown.contains("tokens only (credentials = false)"), "{shown}");
    }
    fixture.configure(&format!("[defaults]\ncredentials = false\n{PROD}credentials = true\n"));
    fixture.credentials();
}

#[test]
fn constraints_hold_for_credentials() {
    let fixture = Fixture::new();
    fixture.configure(&format!("{PROD}max_lifetime = \"1h\"\n"));
    let line = one_line(&fixture.run(&["credentials", "prod"]), 5);
    assert!(line.ends_with("Run: rolecall refresh prod"), "{line}");
    fixture.run(&["refresh", "prod"]).assert_ok();
    fixture.credentials();
    fixture.configure(&format!("{PROD}allowed_programs = [\"/usr/bin/true\"]\n"));
    let line = one_line(&fixture.run(&["credentials", "prod"]), 1);
    assert!(line.contains("is none of its allowed_programs"), "{line}");
}

/// A source whose credentials come from its own profile fails at once, and does not wait for itself.
#[test]
fn source_from_its_own_profile_is_refused() {
    let fixture = Fixture::new();
    let endpoint = fixture.aws.endpoint();
    let program = fixture.sandbox.rolecall().get_program().to_str().unwrap().to_owned();
    fixture.sandbox.write_aws_config("direct", &AwsProfile::process(&format!("{program} credentials prod")), &endpoint);
    let wrapped = format!("/bin/sh -c \"exec {program} credentials prod\"");
    fixture.sandbox.write_aws_config("wrapped", &AwsProfile::process(&wrapped), &endpoint);
    for (profile, expected) in [
        ("direct", "AWS profile \"direct\": its credential_process is rolecall credentials"),
        ("wrapped", "the agent runs this command for a source, and would wait for itself"),
    ] {
        fixture.configure(&PROD.replace("aws_profile = \"work\"", &format!("aws_profile = \"{profile}\"")));
        let line = fixture.token_error("prod", 1);
        assert!(line.contains(expected), "{line}");
    }
}

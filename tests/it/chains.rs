//! Role chains with no step, one step and several: what they share, their limits, and their sources.

use std::time::Duration;

use rolecall_harness::{Fault, Op, Role};

use crate::fixture::{ACCOUNT, Fixture, PROD, ROLE};

const HUB: &str = "arn:aws:iam::999988887777:role/hub";
const OTHER: &str = "arn:aws:iam::111122223333:role/team/operators";

fn through_the_hub(name: &str, role: &str) -> String {
    format!(
        "[profiles.{name}]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\nrole_arn = \"{role}\"\n\
         via = [\"{HUB}\"]\nduration = \"8h\"\n"
    )
}

#[test]
fn role_chain_shares_hub_and_lasts_one_hour() {
    let fixture = Fixture::new();
    fixture.aws.add_role(Role::new(HUB).trusts(&fixture.user.arn));
    fixture.aws.update_role(ROLE, |role| role.trusts(HUB));
    fixture.aws.add_role(Role::new(OTHER).trusts(HUB));
    let source = "[sources.work]\naws_profile = \"work\"\n";
    fixture.configure(&format!("{source}{}{}", through_the_hub("a", ROLE), through_the_hub("b", OTHER)));
    fixture.good_token("a");
    fixture.good_token("b");
    let roles: Vec<_> = fixture.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.role_arn).collect();
    assert_eq!(roles, [HUB, ROLE, OTHER]);
    for call in fixture.aws.log_of(Op::AssumeRole) {
        assert_eq!(call.params.get("DurationSeconds").map(String::as_str), Some("3600"));
    }
}

#[test]
fn token_without_role_is_signed_by_the_source() {
    let fixture = Fixture::new();
    fixture.aws.grant("prod", "eu-west-1", &fixture.user.arn, "someone", &["system:masters"]);
    fixture.configure(&PROD.replace(&format!("role_arn = \"{ROLE}\""), ""));
    let credential = fixture.good_token("prod");
    assert_eq!(credential.life(fixture.clock.now()), Duration::from_mins(14));
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 0);
    // AWS's files are read again. The same access key gives the same token, another one gives another.
    fixture.clock.advance(Duration::from_mins(2));
    assert_eq!(fixture.good_token("prod").token(), credential.token());
    let other = fixture.aws.add_user_key(&fixture.user.arn);
    fixture.sandbox.write_aws_profile("work", &other, &fixture.aws.endpoint());
    fixture.clock.advance(Duration::from_mins(1));
    assert_ne!(fixture.good_token("prod").token(), credential.token());
    // A deleted access key gives no token.
    std::fs::remove_file(fixture.sandbox.home().join(".aws/credentials")).unwrap();
    fixture.clock.advance(Duration::from_mins(1));
    fixture.token_error("prod", 1);
    assert!(fixture.agent.status.status().profiles[0].role_arn.is_none());
}

#[test]
fn session_longer_than_role_maximum_lasts_one_hour() {
    let fixture = Fixture::new();
    fixture.configure(&format!("{PROD}duration = \"8h\"\n"));
    fixture.good_token("prod");
    let asked: Vec<_> = fixture
        .aws
        .log_of(Op::AssumeRole)
        .iter()
        .filter_map(|call| call.params.get("DurationSeconds").cloned())
        .collect();
    assert_eq!(asked, ["28800", "3600"]);
}

#[test]
fn access_key_replaced_in_aws_files_is_used_immediately() {
    let fixture = Fixture::new();
    fixture.good_token("prod");
    let new = fixture.aws.add_user(ACCOUNT, "dev2");
    fixture.aws.update_role(ROLE, |role| role.trusts(&new.arn));
    fixture.aws.remove_key(&fixture.user.id);
    fixture.sandbox.write_aws_profile("work", &new, &fixture.aws.endpoint());
    // After 30 s the daemon still has the old access key. STS rejects it, and the daemon reads the files again.
    fixture.clock.advance(Duration::from_secs(30));
    fixture.block_on(fixture.agent.profiles.refresh(&"prod".parse().unwrap())).unwrap();
    assert_eq!(fixture.aws.log_of(Op::AssumeRole).last().unwrap().caller_arn.as_deref(), Some(new.arn.as_str()));
}

#[test]
fn external_id_is_sent_for_the_last_role() {
    let fixture = Fixture::new();
    fixture.aws.update_role(ROLE, |role| role.external_id("hand/shake"));
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("sts:AssumeRole"), "{line}");
    fixture.configure(&format!("{PROD}external_id = \"hand/shake\"\n"));
    fixture.good_token("prod");
}

#[test]
fn role_chain_of_aws_files_is_followed() {
    let fixture = Fixture::new();
    fixture.aws.add_role(Role::new(HUB).trusts(&fixture.user.arn));
    fixture.aws.update_role(ROLE, |role| role.trusts(HUB));
    let endpoint = fixture.aws.endpoint();
    fixture.sandbox.append_aws_config(&format!(
        "[profile hub]\nrole_arn = {HUB}\nsource_profile = work\nregion = eu-west-1\nendpoint_url = {endpoint}\n"
    ));
    fixture.configure(&PROD.replace("aws_profile = \"work\"", "aws_profile = \"hub\""));
    fixture.good_token("prod");
}

#[test]
fn credential_process_is_a_source() {
    let fixture = Fixture::new();
    let script = fixture.sandbox.write(
        "home/credentials.sh",
        &format!(
            "#!/bin/sh\nprintf '{{\"Version\":1,\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{}\"}}'\n",
            fixture.user.id, fixture.user.secret
        ),
    );
    let endpoint = fixture.aws.endpoint();
    fixture.sandbox.append_aws_config(&format!(
        "[profile process]\ncredential_process = sh {}\nregion = eu-west-1\nendpoint_url = {endpoint}\n",
        script.display()
    ));
    fixture.configure(&PROD.replace("aws_profile = \"work\"", "aws_profile = \"process\""));
    fixture.good_token("prod");
}

/// Fault matrix row 99.
/// Fault matrix row 65.
#[test]
fn credential_process_unusable_credentials_are_named() {
    let fixture = Fixture::new();
    let (id, secret) = (fixture.user.id.clone(), fixture.user.secret.clone());
    let script = fixture.sandbox.home().join("helper");
    fixture.sandbox.append_aws_config(&format!(
        "[profile process]\ncredential_process = sh {}\nendpoint_url = {}\n",
        script.display(),
        fixture.aws.endpoint()
    ));
    // With and without a role: each signs with the credentials itself.
    let config = PROD.replace("aws_profile = \"work\"", "aws_profile = \"process\"");
    let direct = config.replace(&format!("role_arn = \"{ROLE}\"\n"), "");
    let long = "x".repeat(61_000);
    for (id, secret, token, expected) in [
        ("AKIA\\nX: y", secret.as_str(), "", "the access key id has a character that is not allowed in it: U+000A"),
        ("AKIA\\u0000", &secret, "", "the access key id has a character that is not allowed in it: U+0000"),
        (&id, "s\\n", "", "the secret access key ends with a line break"),
        (&id, &secret, "token\\n", "the session token ends with a line break"),
        (&id, &secret, &long, "the session token has 61000 bytes, the limit is 16384"),
        (&id, "", "", "the secret access key is empty"),
    ] {
        let output = format!(
            r#"{{"Version":1,"AccessKeyId":"{id}","SecretAccessKey":"{secret}","SessionToken":"{token}","Expiration":"9999-12-31T23:59:59Z"}}"#
        );
        fixture.sandbox.write("home/helper", &format!("cat <<'END'\n{output}\nEND\n"));
        for config in [&config, &direct] {
            fixture.configure("# nothing\n");
            fixture.configure(config);
            let line = fixture.token_error("prod", 1);
            assert!(line.contains(expected), "{line}");
        }
    }
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 0);
}

#[test]
fn credential_process_stderr_and_expired_keys_are_rejected() {
    let fixture = Fixture::new();
    let script = fixture.sandbox.home().join("credentials.sh");
    fixture.sandbox.append_aws_config(&format!("[profile process]\ncredential_process = sh {}\n", script.display()));
    let ask = |script: &str| {
        fixture.sandbox.write("home/credentials.sh", script);
        fixture.configure("# nothing\n");
        let direct = PROD.replace(&format!("role_arn = \"{ROLE}\""), "");
        fixture.configure(&direct.replace("aws_profile = \"work\"", "aws_profile = \"process\""));
        fixture.token_error("prod", 1)
    };
    let line = ask("echo No backend. secret=CANARY >&2; exit 3\n");
    assert!(
        line.contains(
            "the credential_process of AWS profile \"process\": the command failed (exit status: 3); it printed: No backend. secret=(hidden)"
        )
            && !line.contains("CANARY"),
        "{line}"
    );
    let over = r#"{"Version":1,"AccessKeyId":"AKIAX","SecretAccessKey":"s","SessionToken":"t","Expiration":"2020-01-01T00:00:00Z"}"#;
    let line = ask(&format!("echo '{over}'\n"));
    assert!(line.contains("gave expired credentials"), "{line}");
}

#[test]
fn changed_profile_gets_a_new_session() {
    let fixture = Fixture::new();
    fixture.good_token("prod");
    fixture.aws.add_role(Role::new(OTHER).trusts(&fixture.user.arn));
    fixture.configure(&PROD.replace(ROLE, OTHER));
    fixture.good_token("prod");
    let roles: Vec<_> = fixture.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.role_arn).collect();
    assert_eq!(roles, [ROLE, OTHER]);
    // With the old configuration again, the dropped session is loaded again.
    fixture.configure(PROD);
    fixture.good_token("prod");
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 3);
}

#[test]
fn plain_http_endpoint_is_loopback_only() {
    let fixture = Fixture::new();
    fixture.sandbox.write_aws_profile("work", &fixture.user, "http://sts.example.com");
    let line = fixture.token_error("prod", 1);
    assert!(
        line.contains("is not an https URL (http is allowed for this machine only); the request was not sent"),
        "{line}"
    );
    fixture.sandbox.write_aws_profile("work", &fixture.user, &fixture.aws.endpoint());
    fixture.block_on(fixture.agent.profiles.refresh(&"prod".parse().unwrap())).unwrap();
    // This also holds for roles in AWS's own files.
    fixture.sandbox.append_aws_config(&format!(
        "[profile hub]\nrole_arn = {HUB}\nsource_profile = work\nregion = eu-west-1\nendpoint_url = http://sts.example.com\n"
    ));
    fixture.configure(&PROD.replace("aws_profile = \"work\"", "aws_profile = \"hub\""));
    let line = fixture.token_error("prod", 1);
    assert!(line.contains("not an https URL"), "{line}");
}

#[test]
fn refresh_failure_keeps_the_valid_session() {
    let fixture = Fixture::new();
    fixture.good_token("prod");
    fixture.aws.outage(&Fault::Status(500));
    assert!(fixture.block_on(fixture.agent.profiles.refresh(&"prod".parse().unwrap())).is_err());
    fixture.good_token("prod");
}

#[test]
fn config_change_affects_only_what_it_changes() {
    let fixture = Fixture::new();
    fixture.aws.add_role(Role::new(OTHER).trusts(&fixture.user.arn));
    let two = |session_name: &str| {
        let other = PROD.split("[profiles.prod]").nth(1).unwrap().replace(ROLE, OTHER);
        format!("{PROD}\n[profiles.other]{other}session_name = \"{session_name}\"\n")
    };
    fixture.configure(&two("first"));
    let (kept, changed) = (fixture.good_token("prod"), fixture.good_token("other"));
    fixture.configure(&two("second"));
    assert_eq!(fixture.good_token("prod").token(), kept.token());
    assert_ne!(fixture.good_token("other").token(), changed.token());
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 3);
    // An invalid configuration changes nothing, and status shows the reason and since when.
    fixture.clock.advance(Duration::from_secs(1));
    fixture.configure(&two("second").replace("region", "regoin"));
    assert_eq!(fixture.good_token("prod").token(), kept.token());
    let problem = fixture.agent.status.status().config.problem.unwrap();
    assert_eq!(problem.since.to_string(), "2026-01-02T03:04:06Z");
    assert!(problem.error.message.contains("regoin"), "{problem:?}");
}

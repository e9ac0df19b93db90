//! Chains: no step, one, several; what is shared and what is limited; where the base comes from.

use std::time::Duration;

use rolecall_harness::{Fault, Op, Role};

use crate::world::{ACCOUNT, PROD, ROLE, World};

const HUB: &str = "arn:aws:iam::999988887777:role/hub";
const OTHER: &str = "arn:aws:iam::111122223333:role/team/operators";

fn through_the_hub(name: &str, role: &str) -> String {
    format!(
        "[profiles.{name}]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\nrole_arn = \"{role}\"\n\
         via = [\"{HUB}\"]\nduration = \"8h\"\n"
    )
}

#[test]
fn a_hub_is_assumed_once_for_all_behind_it_and_chains_last_an_hour() {
    let world = World::new();
    world.aws.add_role(Role::new(HUB).trusts(&world.user.arn));
    world.aws.update_role(ROLE, |role| role.trusts(HUB));
    world.aws.add_role(Role::new(OTHER).trusts(HUB));
    let source = "[sources.work]\naws_profile = \"work\"\n";
    world.configure(&format!("{source}{}{}", through_the_hub("a", ROLE), through_the_hub("b", OTHER)));
    world.good_token("a");
    world.good_token("b");
    let roles: Vec<_> = world.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.role_arn).collect();
    assert_eq!(roles, [HUB, ROLE, OTHER]);
    for call in world.aws.log_of(Op::AssumeRole) {
        assert_eq!(call.params.get("DurationSeconds").map(String::as_str), Some("3600"));
    }
}

#[test]
fn without_a_role_the_source_itself_signs() {
    let world = World::new();
    world.aws.grant("prod", "eu-west-1", &world.user.arn, "someone", &["system:masters"]);
    world.configure(&PROD.replace(&format!("role_arn = \"{ROLE}\""), ""));
    let credential = world.good_token("prod");
    assert_eq!(credential.life(world.clock.now()), Duration::from_mins(14));
    assert_eq!(world.aws.calls(Op::AssumeRole), 0);
    // AWS's files are read again now and then; the same keys are the same token, other keys another.
    world.clock.advance(Duration::from_mins(2));
    assert_eq!(world.good_token("prod").token(), credential.token());
    let other = world.aws.add_user_key(&world.user.arn);
    world.sandbox.write_aws_profile("work", &other, &world.aws.endpoint());
    world.clock.advance(Duration::from_mins(1));
    assert_ne!(world.good_token("prod").token(), credential.token());
    // And keys that are gone are gone.
    std::fs::remove_file(world.sandbox.home().join(".aws/credentials")).unwrap();
    world.clock.advance(Duration::from_mins(1));
    world.token_error("prod", 1);
    assert!(world.agent.status.status().profiles[0].role_arn.is_none());
}

#[test]
fn a_session_longer_than_the_role_allows_becomes_an_hour() {
    let world = World::new();
    world.configure(&format!("{PROD}duration = \"8h\"\n"));
    world.good_token("prod");
    let asked: Vec<_> = world
        .aws
        .log_of(Op::AssumeRole)
        .iter()
        .filter_map(|call| call.params.get("DurationSeconds").cloned())
        .collect();
    assert_eq!(asked, ["28800", "3600"]);
}

#[test]
fn keys_that_were_replaced_in_awss_files_are_found_at_once() {
    let world = World::new();
    world.good_token("prod");
    let new = world.aws.add_user(ACCOUNT, "dev2");
    world.aws.update_role(ROLE, |role| role.trusts(&new.arn));
    world.aws.remove_key(&world.user.id);
    world.sandbox.write_aws_profile("work", &new, &world.aws.endpoint());
    // Thirty seconds later the daemon still holds the old keys, and learns from STS that they are gone.
    world.clock.advance(Duration::from_secs(30));
    world.block_on(world.agent.refresh.refresh(&"prod".parse().unwrap())).unwrap();
    assert_eq!(world.aws.log_of(Op::AssumeRole).last().unwrap().caller_arn.as_deref(), Some(new.arn.as_str()));
}

#[test]
fn an_external_id_reaches_the_last_role() {
    let world = World::new();
    world.aws.update_role(ROLE, |role| role.external_id("hand/shake"));
    let line = world.token_error("prod", 1);
    assert!(line.contains("sts:AssumeRole"), "{line}");
    world.configure(&format!("{PROD}external_id = \"hand/shake\"\n"));
    world.good_token("prod");
}

#[test]
fn a_role_chain_of_awss_own_files_is_followed() {
    let world = World::new();
    world.aws.add_role(Role::new(HUB).trusts(&world.user.arn));
    world.aws.update_role(ROLE, |role| role.trusts(HUB));
    let endpoint = world.aws.endpoint();
    world.sandbox.append_aws_config(&format!(
        "[profile hub]\nrole_arn = {HUB}\nsource_profile = work\nregion = eu-west-1\nendpoint_url = {endpoint}\n"
    ));
    world.configure(&PROD.replace("aws_profile = \"work\"", "aws_profile = \"hub\""));
    world.good_token("prod");
}

#[test]
fn a_credential_process_is_a_source() {
    let world = World::new();
    let script = world.sandbox.write(
        "home/credentials.sh",
        &format!(
            "#!/bin/sh\nprintf '{{\"Version\":1,\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{}\"}}'\n",
            world.user.id, world.user.secret
        ),
    );
    let endpoint = world.aws.endpoint();
    world.sandbox.append_aws_config(&format!(
        "[profile process]\ncredential_process = sh {}\nregion = eu-west-1\nendpoint_url = {endpoint}\n",
        script.display()
    ));
    world.configure(&PROD.replace("aws_profile = \"work\"", "aws_profile = \"process\""));
    world.good_token("prod");
}

#[test]
fn row_99_what_a_credential_process_writes_elsewhere_stays_there_and_what_is_over_makes_no_token() {
    let world = World::new();
    let ask = |script: &str| {
        let script = world.sandbox.write("home/credentials.sh", script);
        world.sandbox.append_aws_config(&format!("[profile process]\ncredential_process = sh {}\n", script.display()));
        world.configure("# nothing\n");
        let direct = PROD.replace(&format!("role_arn = \"{ROLE}\""), "");
        world.configure(&direct.replace("aws_profile = \"work\"", "aws_profile = \"process\""));
        world.token_error("prod", 1)
    };
    let line = ask("echo secret=CANARY >&2; exit 3\n");
    assert!(
        line.contains("the credential_process of AWS profile \"process\": the command failed (exit status: 3)")
            && !line.contains("CANARY"),
        "{line}"
    );
    let over = r#"{"Version":1,"AccessKeyId":"AKIAX","SecretAccessKey":"s","SessionToken":"t","Expiration":"2020-01-01T00:00:00Z"}"#;
    let line = ask(&format!("echo '{over}'\n"));
    assert!(line.contains("gave credentials that are over already"), "{line}");
}

#[test]
fn a_changed_profile_is_never_served_the_old_session() {
    let world = World::new();
    world.good_token("prod");
    world.aws.add_role(Role::new(OTHER).trusts(&world.user.arn));
    world.configure(&PROD.replace(ROLE, OTHER));
    world.good_token("prod");
    let roles: Vec<_> = world.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.role_arn).collect();
    assert_eq!(roles, [ROLE, OTHER]);
    // And back: what was forgotten is assumed anew.
    world.configure(PROD);
    world.good_token("prod");
    assert_eq!(world.aws.calls(Op::AssumeRole), 3);
}

#[test]
fn plain_http_leaves_this_machine_for_nobody() {
    let world = World::new();
    world.sandbox.write_aws_profile("work", &world.user, "http://sts.example.com");
    let line = world.token_error("prod", 1);
    assert!(line.contains("plain http on another machine; nothing was sent"), "{line}");
    world.sandbox.write_aws_profile("work", &world.user, &world.aws.endpoint());
    world.block_on(world.agent.refresh.refresh(&"prod".parse().unwrap())).unwrap();
    // Nor where AWS's own files chain roles.
    world.sandbox.append_aws_config(&format!(
        "[profile hub]\nrole_arn = {HUB}\nsource_profile = work\nregion = eu-west-1\nendpoint_url = http://sts.example.com\n"
    ));
    world.configure(&PROD.replace("aws_profile = \"work\"", "aws_profile = \"hub\""));
    let line = world.token_error("prod", 1);
    assert!(line.contains("plain http on another machine"), "{line}");
}

#[test]
fn a_forced_refresh_that_fails_leaves_the_good_session() {
    let world = World::new();
    world.good_token("prod");
    world.aws.outage(&Fault::Status(500));
    assert!(world.block_on(world.agent.refresh.refresh(&"prod".parse().unwrap())).is_err());
    world.good_token("prod");
}

#[test]
fn a_change_touches_what_it_changes_and_nothing_else() {
    let world = World::new();
    world.aws.add_role(Role::new(OTHER).trusts(&world.user.arn));
    let two = |session_name: &str| {
        let other = PROD.split("[profiles.prod]").nth(1).unwrap().replace(ROLE, OTHER);
        format!("{PROD}\n[profiles.other]{other}session_name = \"{session_name}\"\n")
    };
    world.configure(&two("first"));
    let (kept, changed) = (world.good_token("prod"), world.good_token("other"));
    world.configure(&two("second"));
    assert_eq!(world.good_token("prod").token(), kept.token());
    assert_ne!(world.good_token("other").token(), changed.token());
    assert_eq!(world.aws.calls(Op::AssumeRole), 3);
    // An invalid one changes nothing, and status says since when and why.
    world.clock.advance(Duration::from_secs(1));
    world.configure(&two("second").replace("region", "regoin"));
    assert_eq!(world.good_token("prod").token(), kept.token());
    let problem = world.agent.status.status().config.problem.unwrap();
    assert_eq!(problem.since.to_string(), "2026-01-02T03:04:06Z");
    assert!(problem.error.message.contains("regoin"), "{problem:?}");
}

//! Sources that depend on the daemon's own surroundings: its HOME, its environment, its children.

use std::time::Duration;

use rolecall_harness::{AwsProfile, Role, within};

use crate::world::{ROLE, World, one_line};

const SOON: Duration = Duration::from_secs(20);

fn goes_by(world: &World, profile: &str) {
    world.write_config(&format!(
        "[sources.work]\naws_profile = \"{profile}\"\n\n[profiles.prod]\ncluster = \"prod\"\nregion = \"eu-west-1\"\n\
         source = \"work\"\nrole_arn = \"{ROLE}\"\n"
    ));
}

#[test]
fn what_aws_login_left_is_a_source_and_when_it_ends_the_message_says_what_to_run() {
    let world = World::bare();
    let login = world.aws.login(&world.user.arn);
    let file = world.sandbox.write_login_session("console", &login, &world.aws.endpoint());
    goes_by(&world, "console");
    let _daemon = world.sandbox.start_daemon();
    let token = world.token();
    token.assert_ok();
    world.api.username(token.json()["status"]["token"].as_str().unwrap()).unwrap();
    // Logged out elsewhere; what is there serves on, and nothing else can be had.
    std::fs::remove_file(&file).unwrap();
    let line = one_line(&world.rolecall(&["refresh", "prod"]), 5);
    assert!(line.starts_with(
        "rolecall: prod: the login of source \"work\" has expired. The current session stays valid until "
    ));
    assert!(line.ends_with(" Run: rolecall login work"), "{line}");
    // What `aws login` writes is found where it writes it, without anybody saying so.
    let again = world.aws.login(&world.user.arn);
    world.sandbox.write_login_session("console", &again, &world.aws.endpoint());
    let found = within(SOON, || (world.rolecall(&["refresh", "prod"]).code() == Some(0)).then_some(()));
    assert!(found.is_some(), "the new login is not found");
}

#[test]
fn a_container_is_a_source() {
    let world = World::bare();
    let own = "arn:aws:iam::111122223333:role/task";
    world.aws.add_role(Role::new(own));
    let other = "arn:aws:iam::111122223333:role/team/operators";
    world.aws.add_role(Role::new(other).trusts(own));
    world.aws.update_role(ROLE, |role| role.trusts(other));
    let container = world.aws.container_credentials(own);
    world.sandbox.write_aws_config("task", &AwsProfile::role_of(other, "EcsContainer"), &world.aws.endpoint());
    goes_by(&world, "task");
    let file = world.sandbox.write("container-token", container.token());
    let mut command = world.sandbox.rolecalld();
    command
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.uri())
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file)
        .env("AWS_ACCESS_KEY_ID", "AKIAOFTHESHELL00000");
    let daemon = world.sandbox.spawn_daemon(&mut command);
    daemon.wait_ready(SOON);
    world.token().assert_ok();
    assert_eq!(container.fetched(), 1);
}

//! Sources that depend on the daemon's environment: HOME, variables, child processes.

use rolecall_harness::{AwsProfile, Role, within};

use crate::fixture::{Fixture, HANG_GUARD, ROLE, error_line, profile};

fn use_aws_profile(fixture: &Fixture, aws_profile: &str) {
    fixture
        .write_config(&format!("[sources.work]\naws_profile = \"{aws_profile}\"\n\n{}", profile("prod", "work", ROLE)));
}

#[test]
fn source_of_aws_login_works_until_logout_then_hints() {
    let fixture = Fixture::bare();
    let login = fixture.aws.login(&fixture.user.arn);
    let file = fixture.sandbox.write_login_session("console", &login, &fixture.aws.endpoint());
    use_aws_profile(&fixture, "console");
    let _daemon = fixture.sandbox.start_daemon();
    let token = fixture.token();
    token.assert_ok();
    fixture.api.username(token.json()["status"]["token"].as_str().unwrap()).unwrap();
    // After a logout elsewhere, the cached session is still served, but it cannot be renewed.
    std::fs::remove_file(&file).unwrap();
    let line = error_line(&fixture.rolecall(&["refresh", "prod"]), 5);
    assert!(line.starts_with(
        "rolecall: prod: the login of source \"work\" has expired. The current session stays valid until "
    ));
    assert!(line.ends_with(" Run: rolecall login work"), "{line}");
    // The daemon reads the new login from the file that `aws login` writes.
    let again = fixture.aws.login(&fixture.user.arn);
    fixture.sandbox.write_login_session("console", &again, &fixture.aws.endpoint());
    let found = within(HANG_GUARD, || (fixture.rolecall(&["refresh", "prod"]).code() == Some(0)).then_some(()));
    assert!(found.is_some(), "the new login is not found");
}

#[test]
fn source_of_container_credentials_works() {
    let fixture = Fixture::bare();
    let own = "arn:aws:iam::111122223333:role/task";
    fixture.aws.add_role(Role::new(own));
    let other = "arn:aws:iam::111122223333:role/team/operators";
    fixture.aws.add_role(Role::new(other).trusts(own));
    fixture.aws.update_role(ROLE, |role| role.trusts(other));
    let container = fixture.aws.container_credentials(own);
    fixture.sandbox.write_aws_config("task", &AwsProfile::role_of(other, "EcsContainer"), &fixture.aws.endpoint());
    use_aws_profile(&fixture, "task");
    let file = fixture.sandbox.write("container-token", container.token());
    let mut command = fixture.sandbox.rolecalld();
    command
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.uri())
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file)
        .env("AWS_ACCESS_KEY_ID", "AKIAOFTHESHELL00000");
    let daemon = fixture.sandbox.spawn_daemon(&mut command);
    daemon.wait_ready(HANG_GUARD);
    fixture.token().assert_ok();
    assert_eq!(container.fetched(), 1);
}

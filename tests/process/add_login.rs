//! `rolecall add` where the source needs a login: the person does it on the way, and nothing is written before.

use std::time::Duration;

use rolecall_harness::{Op, Role, Sso, Terminal};

use crate::world::{ADD, REGION, ROLE, World, one_line};

const ACCOUNT: &str = "111122223333";
const SOON: Duration = Duration::from_secs(20);
const CORP: [&str; 8] = ["add", "prod", "--region", REGION, "--role-arn", ROLE, "--aws-profile", "corp"];

/// A world with an AWS profile that signs in to IAM Identity Center, and nothing configured but where STS is.
fn central() -> (World, Sso) {
    let world = World::bare();
    let center = world.aws.sso();
    let assigned = center.assign("dev", ACCOUNT, "developers");
    center.interval(Duration::from_secs(1));
    world.aws.update_role(ROLE, |role| role.trusts(&assigned));
    world.sandbox.write_sso_profile("corp", Some("corp"), &center, ACCOUNT, "developers");
    let endpoint = world.aws.endpoint();
    world.write_config(&format!("[endpoints]\nsts = \"{endpoint}\"\neks = \"{endpoint}\"\n"));
    (world, center)
}

fn terminal(world: &World, arguments: &[&str]) -> Terminal {
    world.sandbox.terminal(world.sandbox.rolecall().args(arguments))
}

/// Runs it with no terminal at all, whoever runs the test.
fn without_terminal(world: &World, arguments: &[&str]) -> rolecall_harness::Output {
    let mut command = world.sandbox.command("setsid");
    world.sandbox.run(command.arg("-w").arg(world.sandbox.rolecall().get_program()).args(arguments))
}

/// What kubectl gets is taken by the cluster.
#[track_caller]
fn is_let_in(world: &World) {
    let said = world.token();
    said.assert_ok();
    let who = world.api.username(said.json()["status"]["token"].as_str().unwrap());
    assert!(who.as_ref().is_ok_and(|who| who.starts_with("dev:")), "{who:?}");
}

fn config(world: &World) -> String {
    std::fs::read_to_string(world.config_path()).unwrap_or_default()
}

#[test]
fn from_nothing_to_a_context_with_a_login_on_the_way() {
    let (world, center) = central();
    let before = config(&world);
    let terminal = terminal(&world, &CORP);
    terminal.wait_for("rolecall: prod: source \"corp\" needs a login. Log in now? [Y/n] ", SOON);
    terminal.type_text("\n");
    terminal.wait_for("open this page in a browser, and confirm the code ", SOON);
    terminal.wait_screen(SOON, |screen| screen.contains("waiting for the browser, "));
    assert_eq!(config(&world), before, "nothing is written before everything was checked");
    center.approve(&center.pending_user_codes()[0]);
    terminal.assert_exit(0, SOON);
    let said = terminal.text();
    for line in
        ["✓ source corp: logged in as arn:aws:", "✓ assumed arn:aws:", "✓ found cluster prod", "✓ added context prod"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(config(&world).contains("[sources.corp]\naws_profile = \"corp\"\n"), "{}", config(&world));
    is_let_in(&world);
    assert_eq!(world.aws.calls(Op::StartDeviceAuthorization), 1);
    let status = world.rolecall(&["status"]).stdout;
    let line = status.lines().last().unwrap();
    assert!(line.starts_with("● corp    AWS profile corp  signed in until "), "{status}");
    let shown = world.rolecall(&["show", "prod"]).stdout;
    assert!(shown.contains("  login         signed in until "), "{shown}");
    // A login that was given back is said at the source.
    world.rolecall(&["logout", "corp"]).assert_ok();
    assert!(one_line(&world.token(), 5).ends_with("source \"corp\" needs a login. Run: rolecall login corp"));
    let status = world.rolecall(&["status"]).stdout;
    assert!(status.contains("login needed: source corp"), "{status}");
    assert_eq!(status.matches("rolecall login corp").count(), 1, "{status}");
}

#[test]
fn whoever_is_not_there_or_does_not_want_to_is_told_what_helps() {
    let (world, _center) = central();
    let before = config(&world);
    let line = one_line(&without_terminal(&world, &CORP), 5);
    assert_eq!(
        line,
        "rolecall: prod: source \"corp\" needs a login. Nothing was written. Run the command in a terminal, and log in when it asks"
    );
    let terminal = terminal(&world, &CORP);
    terminal.wait_for("Log in now? [Y/n] ", SOON);
    terminal.type_text("n\n");
    terminal.assert_exit(5, SOON);
    assert!(
        terminal.text().contains("Nothing was written. Run the command again, and log in when it asks"),
        "{}",
        terminal.text()
    );
    assert_eq!(config(&world), before);
    assert_eq!(world.aws.calls(Op::StartDeviceAuthorization), 0);
    // Where the source is configured, another command can log in to it.
    world.write_config(&format!("{before}\n[sources.corp]\naws_profile = \"corp\"\n"));
    world.rolecall(&["agent", "restart"]).assert_ok();
    assert!(one_line(&without_terminal(&world, &CORP), 5).ends_with("Run: rolecall login corp"));
}

#[test]
fn one_code_is_asked_for_and_a_second_profile_of_the_source_needs_none() {
    let world = World::bare();
    let serial = world.aws.mfa_device(&world.user.arn).serial;
    world.aws.update_role(ROLE, Role::requires_mfa);
    let adding: Vec<&str> = ADD.into_iter().chain(["--mfa-serial", &serial]).collect();
    let adding = terminal(&world, &adding);
    adding.wait_for(&format!("source \"work\" needs a code of the MFA device {serial}. Log in now? [Y/n] "), SOON);
    adding.type_text("y\n");
    adding.wait_for(&format!("MFA code of {serial}: "), SOON);
    adding.type_text(&format!("{}\n", world.aws.mfa_code(&serial)));
    adding.assert_exit(0, SOON);
    let made = format!("[sources.work]\naws_profile = \"work\"\nmfa = {{ serial = \"{serial}\" }}\n");
    assert!(config(&world).contains(&made), "{}", config(&world));
    is_let_in(&world);
    let again = ["add", "audit", "--cluster", "prod", "--region", REGION, "--role-arn", ROLE, "--source", "work"];
    without_terminal(&world, &again).assert_ok();
    assert_eq!(world.aws.calls(Op::GetSessionToken), 1);
    let shown = world.rolecall(&["show", "prod"]).stdout;
    let mfa = format!("{serial}: one code is valid for 12 h, for all roles of source work (GetSessionToken)\n");
    assert!(shown.contains(&mfa), "{shown}");
    let status = world.rolecall(&["status"]).stdout;
    assert!(status.contains("● work    AWS profile work  MFA session valid for "), "{status}");
}

#[test]
fn a_role_that_takes_the_code_itself_is_added_with_one() {
    let world = World::bare();
    let serial = world.aws.mfa_device(&world.user.arn).serial;
    world.aws.update_role(ROLE, |role| role.requires_mfa().max_session_duration(Duration::from_hours(12)));
    let adding: Vec<&str> = ADD.into_iter().chain(["--mfa-serial", &serial, "--duration", "8h"]).collect();
    let adding = terminal(&world, &adding);
    adding.wait_for("Log in now? [Y/n] ", SOON);
    adding.type_text("y\n");
    adding.wait_for(&format!("MFA code of {serial}: "), SOON);
    adding.type_text(&format!("{}\n", world.aws.mfa_code(&serial)));
    adding.assert_exit(0, SOON);
    is_let_in(&world);
    assert_eq!((world.assume_role_calls(), world.aws.calls(Op::GetSessionToken)), (1, 0));
    let shown = world.rolecall(&["show", "prod"]).stdout;
    assert!(shown.contains(&format!("{serial}: a code in AssumeRole for each session of 8 h: ")), "{shown}");
}

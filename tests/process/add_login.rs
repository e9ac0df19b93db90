//! `rolecall add` with a source that needs a login: the user logs in during the command, and nothing is written before
//! that.

use std::time::Duration;

use rolecall_harness::{Op, Output, Role, Sso, Terminal};

use crate::fixture::{ADD, Fixture, HANG_GUARD, REGION, ROLE, error_line, without_terminal};

const CORP: [&str; 8] = ["add", "prod", "--region", REGION, "--role-arn", ROLE, "--aws-profile", "corp"];

/// An AWS profile that signs in to IAM Identity Center; the configuration has only AWS endpoints.
fn with_sso() -> (Fixture, Sso) {
    let (fixture, center) = Fixture::with_sso_profile();
    let endpoint = fixture.aws.endpoint();
    fixture.write_config(&format!("[endpoints]\nsts = \"{endpoint}\"\neks = \"{endpoint}\"\n"));
    (fixture, center)
}

fn terminal(fixture: &Fixture, arguments: &[&str]) -> Terminal {
    fixture.sandbox.terminal(fixture.sandbox.rolecall().args(arguments))
}

/// Runs the command without a controlling terminal.
fn run_without_terminal(fixture: &Fixture, arguments: &[&str]) -> Output {
    fixture.sandbox.run(without_terminal(&fixture.sandbox).args(arguments))
}

/// Asserts that the cluster accepts the token.
#[track_caller]
fn assert_cluster_accepts_token(fixture: &Fixture) {
    let said = fixture.token();
    said.assert_ok();
    let who = fixture.api.username(said.json()["status"]["token"].as_str().unwrap());
    assert!(who.as_ref().is_ok_and(|who| who.starts_with("dev:")), "{who:?}");
}

fn config(fixture: &Fixture) -> String {
    std::fs::read_to_string(fixture.config_path()).unwrap_or_default()
}

#[test]
fn add_logs_in_to_new_sso_source_then_writes_context() {
    let (fixture, center) = with_sso();
    let before = config(&fixture);
    let terminal = terminal(&fixture, &CORP);
    terminal.wait_for("rolecall: prod: source \"corp\" needs a login. Log in now? [Y/n] ", HANG_GUARD);
    terminal.type_text("\n");
    terminal.wait_for("open this page in a browser, and confirm the code ", HANG_GUARD);
    terminal.wait_screen(HANG_GUARD, |screen| screen.contains("waiting for the browser, "));
    assert_eq!(config(&fixture), before, "nothing is written before all checks pass");
    center.approve(&center.pending_user_codes()[0]);
    terminal.assert_exit(0, HANG_GUARD);
    let said = terminal.unwrapped();
    for line in
        ["✓ source corp: logged in as arn:aws:", "✓ assumed arn:aws:", "✓ found cluster prod", "✓ added context prod"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(config(&fixture).contains("[sources.corp]\naws_profile = \"corp\"\n"), "{}", config(&fixture));
    assert_cluster_accepts_token(&fixture);
    assert_eq!(fixture.aws.calls(Op::StartDeviceAuthorization), 1);
    let status = fixture.rolecall(&["status"]).stdout;
    let line = status.lines().last().unwrap();
    assert!(line.starts_with("● corp    AWS profile corp  signed in until "), "{status}");
    let shown = fixture.rolecall(&["show", "prod"]).stdout;
    assert!(shown.contains("  login         signed in until "), "{shown}");
    // After a logout, the status names the source that needs a login.
    fixture.rolecall(&["logout", "corp"]).assert_ok();
    assert!(error_line(&fixture.token(), 5).ends_with("source \"corp\" needs a login. Run: rolecall login corp"));
    let status = fixture.rolecall(&["status"]).stdout;
    assert!(status.contains("login needed: source corp"), "{status}");
    assert_eq!(status.matches("rolecall login corp").count(), 1, "{status}");
}

#[test]
fn add_without_login_writes_nothing_and_gives_hint() {
    let (fixture, _center) = with_sso();
    let before = config(&fixture);
    let line = error_line(&run_without_terminal(&fixture, &CORP), 5);
    assert_eq!(
        line,
        "rolecall: prod: source \"corp\" needs a login. Nothing was written. Run the command in a terminal, and log in when it asks"
    );
    let terminal = terminal(&fixture, &CORP);
    terminal.wait_for("Log in now? [Y/n] ", HANG_GUARD);
    terminal.type_text("n\n");
    terminal.assert_exit(5, HANG_GUARD);
    assert!(
        terminal.text().contains("Nothing was written. Run the command again, and log in when it asks"),
        "{}",
        terminal.text()
    );
    assert_eq!(config(&fixture), before);
    assert_eq!(fixture.aws.calls(Op::StartDeviceAuthorization), 0);
    // The source is configured now, so `rolecall login` can log in to it.
    fixture.write_config(&format!("{before}\n[sources.corp]\naws_profile = \"corp\"\n"));
    fixture.rolecall(&["agent", "restart"]).assert_ok();
    assert!(error_line(&run_without_terminal(&fixture, &CORP), 5).ends_with("Run: rolecall login corp"));
}

#[test]
fn add_second_profile_reuses_mfa_session() {
    let fixture = Fixture::bare();
    let serial = fixture.aws.mfa_device(&fixture.user.arn).serial;
    fixture.aws.update_role(ROLE, Role::requires_mfa);
    let adding: Vec<&str> = ADD.into_iter().chain(["--mfa-serial", &serial]).collect();
    let adding = terminal(&fixture, &adding);
    adding.wait_for(&format!("source \"work\" needs an MFA code of {serial}. Log in now? [Y/n] "), HANG_GUARD);
    adding.type_text("y\n");
    adding.wait_for(&format!("MFA code of {serial}: "), HANG_GUARD);
    adding.type_text(&format!("{}\n", fixture.aws.mfa_code(&serial)));
    adding.assert_exit(0, HANG_GUARD);
    let made = format!("[sources.work]\naws_profile = \"work\"\nmfa = {{ serial = \"{serial}\" }}\n");
    assert!(config(&fixture).contains(&made), "{}", config(&fixture));
    assert_cluster_accepts_token(&fixture);
    let again = ["add", "audit", "--cluster", "prod", "--region", REGION, "--role-arn", ROLE, "--source", "work"];
    run_without_terminal(&fixture, &again).assert_ok();
    assert_eq!(fixture.aws.calls(Op::GetSessionToken), 1);
    let shown = fixture.rolecall(&["show", "prod"]).stdout;
    let mfa = format!("{serial}: one code is valid for 12 h, for all roles of source work (GetSessionToken)\n");
    assert!(shown.contains(&mfa), "{shown}");
    let status = fixture.rolecall(&["status"]).stdout;
    assert!(status.contains("● work    AWS profile work  MFA session valid for "), "{status}");
}

#[test]
fn add_long_session_sends_mfa_code_in_assume_role() {
    let fixture = Fixture::bare();
    let serial = fixture.aws.mfa_device(&fixture.user.arn).serial;
    fixture.aws.update_role(ROLE, |role| role.requires_mfa().max_session_duration(Duration::from_hours(12)));
    let adding: Vec<&str> = ADD.into_iter().chain(["--mfa-serial", &serial, "--duration", "8h"]).collect();
    let adding = terminal(&fixture, &adding);
    adding.wait_for("Log in now? [Y/n] ", HANG_GUARD);
    adding.type_text("y\n");
    adding.wait_for(&format!("MFA code of {serial}: "), HANG_GUARD);
    adding.type_text(&format!("{}\n", fixture.aws.mfa_code(&serial)));
    adding.assert_exit(0, HANG_GUARD);
    assert_cluster_accepts_token(&fixture);
    assert_eq!((fixture.assume_role_calls(), fixture.aws.calls(Op::GetSessionToken)), (1, 0));
    let shown = fixture.rolecall(&["show", "prod"]).stdout;
    assert!(shown.contains(&format!("{serial}: a code in AssumeRole for each session of 8 h: ")), "{shown}");
}

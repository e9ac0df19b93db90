//! Complete logins at a terminal: the real client and daemon, the embedded AWS, and a token that the embedded API
//! server accepts.

use std::os::unix::fs::PermissionsExt as _;

use rolecall_harness::{Op, Sso, Terminal, within};

use crate::fixture::{ACCOUNT, EXEC_INFO, Fixture, HANG_GUARD, ROLE, error_line, profile};

/// A role that requires MFA, and the serial number of the device.
fn with_mfa() -> (Fixture, String) {
    let fixture = Fixture::configured();
    let serial = fixture.aws.mfa_device(&fixture.user.arn).serial;
    fixture.aws.update_role(ROLE, rolecall_harness::Role::requires_mfa);
    let config = std::fs::read_to_string(fixture.config_path()).unwrap();
    fixture
        .write_config(&config.replace("\n\n[profiles", &format!("\nmfa = {{ serial = \"{serial}\" }}\n\n[profiles")));
    (fixture, serial)
}

/// An AWS profile that signs in to IAM Identity Center.
fn with_sso() -> (Fixture, Sso) {
    let (fixture, center) = Fixture::with_sso_profile();
    fixture.write_config(&format!(
        "[sources.corp]\naws_profile = \"corp\"\n\n{}\n[endpoints]\nsts = \"{}\"\n",
        profile("prod", "corp", ROLE),
        fixture.aws.endpoint()
    ));
    (fixture, center)
}

/// Runs the plugin at a terminal.
fn plugin(fixture: &Fixture) -> Terminal {
    let script = "exec rolecall token prod >out.json";
    shell(fixture, script)
}

fn shell(fixture: &Fixture, script: &str) -> Terminal {
    let mut command = fixture.sandbox.command("sh");
    fixture.sandbox.pass_entry_key(&mut command, "prod");
    fixture.sandbox.terminal(command.args(["-c", script]).env("KUBERNETES_EXEC_INFO", EXEC_INFO))
}

/// Asserts that the cluster accepts the token that kubectl got.
#[track_caller]
fn assert_cluster_accepts_token(fixture: &Fixture) {
    let text = std::fs::read_to_string(fixture.sandbox.home().join("out.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let who = fixture.api.username(json["status"]["token"].as_str().unwrap());
    assert!(who.as_ref().is_ok_and(|who| who.starts_with("dev:")), "{who:?}");
}

#[test]
fn mfa_code_typed_in_plugin_serves_later_tokens() {
    let (fixture, serial) = with_mfa();
    let terminal = plugin(&fixture);
    terminal.wait_for(&format!("source \"work\" needs an MFA code of {serial}. Log in now? [Y/n] "), HANG_GUARD);
    terminal.type_text("y\n");
    let question = format!("MFA code of {serial}: ");
    terminal.wait_for(&question, HANG_GUARD);
    let code = fixture.aws.mfa_code(&serial);
    terminal.type_text(if code == "000000" { "000001\n" } else { "000000\n" });
    // The error is printed above the second question.
    terminal.wait_for_times(&question, 2, HANG_GUARD);
    assert_eq!(terminal.text().matches("rolecall: ").count(), 2, "{}", terminal.text());
    terminal.type_text(&format!("{}\n", fixture.aws.mfa_code(&serial)));
    terminal.assert_exit(0, HANG_GUARD);
    assert!(terminal.text().contains("rolecall: prod: logged in"), "{}", terminal.text());
    assert_cluster_accepts_token(&fixture);
    fixture.token().assert_ok();
    let said = fixture.rolecall(&["login", "work"]);
    said.assert_ok();
    assert!(said.stdout.starts_with("✓ source work: nothing to do: logged in as arn:aws:"), "{said}");
    fixture.rolecall(&["logout", "work"]).assert_ok();
    assert!(error_line(&fixture.token(), 5).ends_with("Run: rolecall login work"));
}

#[test]
fn device_login_approved_while_plugin_waits_returns_token() {
    let (fixture, center) = with_sso();
    let terminal = plugin(&fixture);
    terminal.wait_for("prod: source \"corp\" needs a login. Log in now? [Y/n] ", HANG_GUARD);
    terminal.type_text("\n");
    terminal.wait_for("open this page in a browser, and confirm the code ", HANG_GUARD);
    terminal.wait_screen(HANG_GUARD, |screen| screen.contains("waiting for the browser, "));
    let waiting = center.pending_user_codes();
    assert!(matches!(waiting.as_slice(), [code] if terminal.text().contains(code)), "{}", terminal.text());
    center.approve(&waiting[0]);
    terminal.assert_exit(0, HANG_GUARD);
    assert!(!terminal.screen().contains("waiting"), "{}", terminal.screen());
    assert_cluster_accepts_token(&fixture);
}

/// Fault matrix row 71.
#[test]
fn plugin_500_runs_at_one_terminal_ask_once() {
    const CALLERS: usize = 500;
    let (fixture, center) = with_sso();
    fixture.rolecall(&["agent", "start"]).assert_ok();
    let script = format!("for n in $(seq {CALLERS}); do rolecall token prod >out.$n & done; wait; echo all ended");
    let terminal = shell(&fixture, &script);
    terminal.wait_for("Log in now? [Y/n] ", HANG_GUARD);
    // The prompt waits for an answer; all other clients have ended by then.
    terminal.wait_for_times("needs a login. Run: rolecall login corp", CALLERS - 1, HANG_GUARD);
    assert_eq!(fixture.aws.calls(Op::StartDeviceAuthorization), 0);
    terminal.type_text("y\n");
    terminal.wait_for("and confirm the code ", HANG_GUARD);
    center.approve(&center.pending_user_codes()[0]);
    terminal.wait_for("all ended", HANG_GUARD);
    assert_eq!(terminal.text().matches("Log in now?").count(), 1);
    assert_eq!(fixture.aws.calls(Op::StartDeviceAuthorization), 1);
    let is_full = |n: &usize| fixture.sandbox.home().join(format!("out.{n}")).metadata().unwrap().len() > 0;
    assert_eq!((1..=CALLERS).filter(is_full).count(), 1);
}

/// Fault matrix row 111.
#[test]
fn login_interrupted_in_one_client_continues_in_other() {
    let (fixture, center) = with_sso();
    let login = || fixture.sandbox.terminal(fixture.sandbox.rolecall().args(["login", "corp"]));
    let (first, second) = (login(), login());
    for terminal in [&first, &second] {
        terminal.wait_screen(HANG_GUARD, |screen| screen.contains("waiting for the browser, "));
    }
    let joined = "this login was started earlier";
    assert_eq!([&first, &second].iter().filter(|terminal| terminal.text().contains(joined)).count(), 1);
    let (begun, other) = if first.text().contains(joined) { (second, first) } else { (first, second) };
    begun.interrupt();
    begun.wait_exit(HANG_GUARD);
    let waiting = center.pending_user_codes();
    assert_eq!(waiting.len(), 1);
    center.approve(&waiting[0]);
    other.assert_exit(0, HANG_GUARD);
    assert!(other.unwrapped().contains("✓ source corp: logged in as arn:aws:"), "{}", other.text());
}

#[test]
fn login_interrupted_resumes_or_switches_to_device_flow() {
    let (fixture, center) = with_sso();
    let opened = fixture.sandbox.root().join("opened");
    let script = format!("#!/bin/sh\necho \"$1\" >>{}\n", opened.display());
    let browser = fixture.sandbox.write("bin/xdg-open", &script);
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:/usr/bin:/bin", browser.parent().unwrap().display());
    let login = |arguments: &[&str]| {
        let mut command = fixture.sandbox.rolecall();
        command.args(["login", "corp"]).args(arguments).env("DISPLAY", ":0").env("PATH", &path);
        fixture.sandbox.terminal(&mut command)
    };
    let pages = |count: usize| {
        let all = || std::fs::read_to_string(&opened).ok().filter(|text| text.matches('\n').count() == count);
        within(HANG_GUARD, all).unwrap()
    };
    for count in 1..=2 {
        let terminal = login(&[]);
        terminal.wait_for("sign in on the page that your browser opens:", HANG_GUARD);
        let opened = pages(count);
        let mut addresses = opened.lines();
        assert!(addresses.next().is_some_and(|first| addresses.all(|other| other == first)), "{opened}");
        // This is the last output before the client waits.
        terminal.wait_screen(HANG_GUARD, |screen| screen.contains("waiting for the browser, "));
        assert_eq!(terminal.text().contains("this login was started earlier"), count == 2, "{}", terminal.text());
        terminal.interrupt();
        terminal.wait_exit(HANG_GUARD);
    }
    let terminal = login(&["--device"]);
    terminal.wait_for("your browser opens this page; confirm the code ", HANG_GUARD);
    terminal.wait_screen(HANG_GUARD, |screen| screen.contains("waiting for the browser, "));
    assert!(!terminal.text().contains("begun before"), "{}", terminal.text());
    center.approve(&center.pending_user_codes()[0]);
    terminal.assert_exit(0, HANG_GUARD);
}

#[test]
fn login_of_another_user_drops_restored_sessions() {
    let (fixture, center) = with_sso();
    center.approve_all();
    let login = |source: &str| {
        fixture.rolecall(&["login", source, "--renew", "--device", "--no-browser"]).assert_ok();
    };
    fixture.sandbox.write_sso_profile("shared", Some("corp"), &center, ACCOUNT, "developers");
    let config = std::fs::read_to_string(fixture.config_path()).unwrap();
    fixture.write_config(&format!("[sources.shared]\naws_profile = \"shared\"\n\n{config}"));
    login("corp");
    fixture.token().assert_ok();
    fixture.rolecall(&["agent", "restart"]).assert_ok();
    fixture.token().assert_ok();
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 1, "the session was passed on");
    center.assign("eve", ACCOUNT, "developers");
    center.set_browser_user("eve");
    login("shared");
    fixture.token().assert_ok();
    let callers: Vec<_> = fixture.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.caller_arn).collect();
    assert_eq!(callers, ["dev", "eve"].map(|user| Sso::session_arn(user, ACCOUNT, "developers")));
}

#[test]
fn browser_login_succeeds_and_logout_revokes_it() {
    let (fixture, center) = with_sso();
    center.approve_all();
    let opened = fixture.sandbox.root().join("opened");
    let script = format!("#!/bin/sh\necho \"$1\" >{}\n", opened.display());
    let browser = fixture.sandbox.write("bin/xdg-open", &script);
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = fixture.sandbox.rolecall();
    let path = format!("{}:/usr/bin:/bin", browser.parent().unwrap().display());
    let terminal = fixture.sandbox.terminal(command.arg("login").env("DISPLAY", ":0").env("PATH", path).arg("corp"));
    terminal.wait_for("sign in on the page that your browser opens:", HANG_GUARD);
    let url = within(HANG_GUARD, || std::fs::read_to_string(&opened).ok().filter(|text| text.ends_with('\n'))).unwrap();
    Sso::browse(url.trim());
    terminal.assert_exit(0, HANG_GUARD);
    let said = terminal.unwrapped();
    assert!(said.contains("✓ source corp: logged in as arn:aws:"), "{said}");
    fixture.token().assert_ok();
    let said = fixture.rolecall(&["logout", "corp"]);
    said.assert_ok();
    assert!(said.stdout.contains("AWS revoked the login"), "{said}");
    let status = fixture.rolecall(&["status"]).assert_ok().stdout.clone();
    assert!(status.contains("no session; needs a login"), "{status}");
    assert!(status.contains("not logged in → rolecall login corp"), "{status}");
    assert!(error_line(&fixture.token(), 5).ends_with("Run: rolecall login corp"));
    assert!(fixture.rolecall(&["logout", "corp"]).assert_ok().stdout.contains("there was no login and no session"));
}

//! Logins from end to end, as a person at a terminal makes them: the real client, the real daemon, the embedded AWS, and
//! a token that the embedded API server takes.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rolecall_harness::{Op, Sso, Terminal, within};

use crate::world::{REGION, ROLE, World, one_line};

const ACCOUNT: &str = "111122223333";
const SOON: Duration = Duration::from_secs(20);
const INFO: &str =
    r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":true}}"#;

/// A world whose role wants a code, and the device's serial number.
fn guarded() -> (World, String) {
    let world = World::configured();
    let serial = world.aws.mfa_device(&world.user.arn).serial;
    world.aws.update_role(ROLE, rolecall_harness::Role::requires_mfa);
    let config = std::fs::read_to_string(world.config_path()).unwrap();
    world.write_config(&config.replace("\n\n[profiles", &format!("\nmfa = {{ serial = \"{serial}\" }}\n\n[profiles")));
    (world, serial)
}

/// A world whose AWS profile signs in to IAM Identity Center.
fn central() -> (World, Sso) {
    let world = World::bare();
    let center = world.aws.sso();
    let assigned = center.assign("dev", ACCOUNT, "developers");
    // A person approves within a second, and is asked for as often.
    center.interval(Duration::from_secs(1));
    world.aws.update_role(ROLE, |role| role.trusts(&assigned));
    world.sandbox.write_sso_profile("corp", Some("corp"), &center, ACCOUNT, "developers");
    world.write_config(&format!(
        "[sources.corp]\naws_profile = \"corp\"\n\n[profiles.prod]\ncluster = \"prod\"\nregion = \"{REGION}\"\n\
         source = \"corp\"\nrole_arn = \"{ROLE}\"\n\n[endpoints]\nsts = \"{}\"\n",
        world.aws.endpoint()
    ));
    (world, center)
}

/// What kubectl runs, with a person at the terminal.
fn plugin(world: &World) -> Terminal {
    let script = "exec rolecall token prod >out.json";
    world.sandbox.terminal(world.sandbox.command("sh").args(["-c", script]).env("KUBERNETES_EXEC_INFO", INFO))
}

/// What kubectl got is taken by the cluster.
#[track_caller]
fn is_let_in(world: &World) {
    let text = std::fs::read_to_string(world.sandbox.home().join("out.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let who = world.api.username(json["status"]["token"].as_str().unwrap());
    assert!(who.as_ref().is_ok_and(|who| who.starts_with("dev:")), "{who:?}");
}

#[test]
fn a_code_that_is_typed_at_kubectl_s_terminal_is_good_for_everything_after() {
    let (world, serial) = guarded();
    let terminal = plugin(&world);
    terminal.wait_for(&format!("source \"work\" needs a code of the MFA device {serial}. Log in now? [Y/n] "), SOON);
    terminal.type_text("y\n");
    let question = format!("MFA code of {serial}: ");
    terminal.wait_for(&question, SOON);
    let code = world.aws.mfa_code(&serial);
    terminal.type_text(if code == "000000" { "000001\n" } else { "000000\n" });
    // Why it was refused stands above the question.
    terminal.wait_for_times(&question, 2, SOON);
    assert_eq!(terminal.text().matches("rolecall: ").count(), 2, "{}", terminal.text());
    terminal.type_text(&format!("{}\n", world.aws.mfa_code(&serial)));
    terminal.assert_exit(0, SOON);
    assert!(terminal.text().contains("rolecall: prod: logged in"), "{}", terminal.text());
    is_let_in(&world);
    world.token().assert_ok();
    let said = world.rolecall(&["login", "work"]);
    said.assert_ok();
    assert!(said.stdout.starts_with("✓ source work: nothing to do: logged in as arn:aws:"), "{said}");
    world.rolecall(&["logout", "work"]).assert_ok();
    assert!(one_line(&world.token(), 5).ends_with("Run: rolecall login work"));
}

#[test]
fn a_device_is_approved_elsewhere_while_kubectl_waits() {
    let (world, center) = central();
    let terminal = plugin(&world);
    terminal.wait_for("prod: source \"corp\" needs a login. Log in now? [Y/n] ", SOON);
    terminal.type_text("\n");
    terminal.wait_for("open this page in a browser, and confirm the code ", SOON);
    terminal.wait_screen(SOON, |screen| screen.contains("waiting for the browser, "));
    let waiting = center.pending_user_codes();
    assert!(matches!(waiting.as_slice(), [code] if terminal.text().contains(code)), "{}", terminal.text());
    center.approve(&waiting[0]);
    terminal.assert_exit(0, SOON);
    assert!(!terminal.screen().contains("waiting"), "{}", terminal.screen());
    is_let_in(&world);
}

#[test]
fn row_71_of_five_hundred_at_one_terminal_one_asks_and_one_device_is_approved() {
    const CALLERS: usize = 500;
    let (world, center) = central();
    world.rolecall(&["agent", "start"]).assert_ok();
    let script = format!("for n in $(seq {CALLERS}); do rolecall token prod >out.$n & done; wait; echo everybody");
    let terminal =
        world.sandbox.terminal(world.sandbox.command("sh").args(["-c", &script]).env("KUBERNETES_EXEC_INFO", INFO));
    terminal.wait_for("Log in now? [Y/n] ", SOON);
    // The question stands until somebody answers; all the others have had their answer by then.
    terminal.wait_for_times("needs a login. Run: rolecall login corp", CALLERS - 1, SOON * 3);
    assert_eq!(world.aws.calls(Op::StartDeviceAuthorization), 0);
    terminal.type_text("y\n");
    terminal.wait_for("and confirm the code ", SOON);
    center.approve(&center.pending_user_codes()[0]);
    terminal.wait_for("everybody", SOON);
    assert_eq!(terminal.text().matches("Log in now?").count(), 1);
    assert_eq!(world.aws.calls(Op::StartDeviceAuthorization), 1);
    let is_full = |n: &usize| world.sandbox.home().join(format!("out.{n}")).metadata().unwrap().len() > 0;
    assert_eq!((1..=CALLERS).filter(is_full).count(), 1);
}

#[test]
fn row_111_who_presses_ctrl_c_leaves_the_login_to_the_others() {
    let (world, center) = central();
    let login = || world.sandbox.terminal(world.sandbox.rolecall().args(["login", "corp"]));
    let (first, second) = (login(), login());
    for terminal in [&first, &second] {
        terminal.wait_screen(SOON, |screen| screen.contains("waiting for the browser, "));
    }
    let joined = "this login was started earlier";
    assert_eq!([&first, &second].iter().filter(|terminal| terminal.text().contains(joined)).count(), 1);
    let (begun, other) = if first.text().contains(joined) { (second, first) } else { (first, second) };
    begun.interrupt();
    begun.wait_exit(SOON);
    let waiting = center.pending_user_codes();
    assert_eq!(waiting.len(), 1);
    center.approve(&waiting[0]);
    other.assert_exit(0, SOON);
    assert!(other.text().contains("✓ source corp: logged in as arn:aws:"), "{}", other.text());
}

#[test]
fn whoever_left_a_login_is_shown_its_page_again_or_goes_another_way() {
    let (world, center) = central();
    let opened = world.sandbox.root().join("opened");
    let script = format!("#!/bin/sh\necho \"$1\" >>{}\n", opened.display());
    let browser = world.sandbox.write("bin/xdg-open", &script);
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:/usr/bin:/bin", browser.parent().unwrap().display());
    let login = |arguments: &[&str]| {
        let mut command = world.sandbox.rolecall();
        command.args(["login", "corp"]).args(arguments).env("DISPLAY", ":0").env("PATH", &path);
        world.sandbox.terminal(&mut command)
    };
    let pages = |count: usize| {
        let all = || std::fs::read_to_string(&opened).ok().filter(|text| text.matches('\n').count() == count);
        within(SOON, all).unwrap()
    };
    for count in 1..=2 {
        let terminal = login(&[]);
        terminal.wait_for("sign in on the page that your browser opens:", SOON);
        let opened = pages(count);
        let mut addresses = opened.lines();
        assert!(addresses.next().is_some_and(|first| addresses.all(|other| other == first)), "{opened}");
        // The last that is said of it, after all of that.
        terminal.wait_screen(SOON, |screen| screen.contains("waiting for the browser, "));
        assert_eq!(terminal.text().contains("this login was started earlier"), count == 2, "{}", terminal.text());
        terminal.interrupt();
        terminal.wait_exit(SOON);
    }
    let terminal = login(&["--device"]);
    terminal.wait_for("your browser opens this page; confirm the code ", SOON);
    terminal.wait_screen(SOON, |screen| screen.contains("waiting for the browser, "));
    assert!(!terminal.text().contains("begun before"), "{}", terminal.text());
    center.approve(&center.pending_user_codes()[0]);
    terminal.assert_exit(0, SOON);
}

#[test]
fn what_one_person_left_in_an_agent_before_is_not_served_to_the_next() {
    let (world, center) = central();
    center.approve_all();
    let login = |source: &str| {
        world.rolecall(&["login", source, "--renew", "--device", "--no-browser"]).assert_ok();
    };
    world.sandbox.write_sso_profile("shared", Some("corp"), &center, ACCOUNT, "developers");
    let config = std::fs::read_to_string(world.config_path()).unwrap();
    world.write_config(&format!("[sources.shared]\naws_profile = \"shared\"\n\n{config}"));
    login("corp");
    world.token().assert_ok();
    world.rolecall(&["agent", "restart"]).assert_ok();
    world.token().assert_ok();
    assert_eq!(world.aws.calls(Op::AssumeRole), 1, "the session was passed on");
    center.assign("eve", ACCOUNT, "developers");
    center.set_browser_user("eve");
    login("shared");
    world.token().assert_ok();
    let callers: Vec<_> = world.aws.log_of(Op::AssumeRole).into_iter().filter_map(|call| call.caller_arn).collect();
    assert_eq!(callers, ["dev", "eve"].map(|user| Sso::session_arn(user, ACCOUNT, "developers")));
}

#[test]
fn a_browser_on_this_machine_comes_back_and_a_logout_gives_it_back() {
    let (world, center) = central();
    center.approve_all();
    let opened = world.sandbox.root().join("opened");
    let script = format!("#!/bin/sh\necho \"$1\" >{}\n", opened.display());
    let browser = world.sandbox.write("bin/xdg-open", &script);
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = world.sandbox.rolecall();
    let path = format!("{}:/usr/bin:/bin", browser.parent().unwrap().display());
    let terminal = world.sandbox.terminal(command.arg("login").env("DISPLAY", ":0").env("PATH", path).arg("corp"));
    terminal.wait_for("sign in on the page that your browser opens:", SOON);
    let url = within(SOON, || std::fs::read_to_string(&opened).ok().filter(|text| text.ends_with('\n'))).unwrap();
    Sso::browse(url.trim());
    terminal.assert_exit(0, SOON);
    let said = terminal.text();
    assert!(said.contains("✓ source corp: logged in as arn:aws:"), "{said}");
    world.token().assert_ok();
    let said = world.rolecall(&["logout", "corp"]);
    said.assert_ok();
    assert!(said.stdout.contains("AWS revoked the login"), "{said}");
    let status = world.rolecall(&["status"]).assert_ok().stdout.clone();
    assert!(status.contains("no session; needs a login"), "{status}");
    assert!(status.contains("not logged in → rolecall login corp"), "{status}");
    assert!(one_line(&world.token(), 5).ends_with("Run: rolecall login corp"));
    assert!(world.rolecall(&["logout", "corp"]).assert_ok().stdout.contains("nothing to forget"));
}

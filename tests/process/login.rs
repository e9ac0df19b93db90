//! `rolecall login` and `rolecall logout` at a terminal.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use rolecall_harness::{Output, Sandbox, Terminal, within};
use serde_json::{Value, json};

use crate::fake_daemon::{ARN, FakeDaemon, SERIAL, Steps};
use crate::fixture::{HANG_GUARD, error_line, without_terminal};

const SIGINT: i32 = 2;
const PAGE: &str = "https://device.sso.eu-west-1.amazonaws.com/?user_code=ABCD-EFGH";

fn terminal(sandbox: &Sandbox, arguments: &[&str], variables: &[(&str, &str)]) -> Terminal {
    sandbox.terminal(sandbox.rolecall().args(arguments).envs(variables.iter().copied()))
}

/// Runs the command without a controlling terminal.
fn run_without_terminal(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    sandbox.run(without_terminal(sandbox).args(arguments))
}

/// Puts a program first in PATH and returns that PATH.
fn program(sandbox: &Sandbox, name: &str, script: &str) -> String {
    let path = sandbox.write(format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let folder = path.parent().unwrap().display().to_string();
    let (_, rest) = sandbox.environment().into_iter().find(|(name, _)| *name == "PATH").unwrap();
    format!("{folder}:{}", rest.display())
}

/// Requests a code, accepts `654321`, and rejects all others as used.
fn mfa(request: &Value, steps: &mut Steps<'_>) {
    match request["code"].as_str() {
        None => steps.code(None),
        Some("654321") => steps.done(),
        Some(_) => steps.code(Some("that code was used already")),
    }
}

/// Sends a verification page and waits until the browser step is completed.
fn browser(_: &Value, steps: &mut Steps<'_>) {
    steps.page(PAGE, Some("ABCD-EFGH"));
    if steps.wait_opened() {
        steps.done();
    }
}

#[test]
fn login_prompts_until_mfa_code_is_accepted() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, mfa);
    let terminal = terminal(&sandbox, &["login", "work"], &[]);
    let question = format!("MFA code of {SERIAL}: ");
    terminal.wait_for(&question, HANG_GUARD);
    terminal.type_text("12345\n");
    terminal.wait_for("source \"work\": an MFA code has 6 digits", HANG_GUARD);
    terminal.wait_for_times(&question, 2, HANG_GUARD);
    terminal.type_text("111111\n");
    terminal.wait_for("rolecall: that code was used already. Wait for the next code on the device\r\n", HANG_GUARD);
    terminal.wait_for_times(&question, 3, HANG_GUARD);
    terminal.type_text("654 321\n");
    terminal.assert_exit(0, HANG_GUARD);
    let said = terminal.unwrapped();
    assert!(said.contains(&format!("✓ source work: logged in as {ARN} (renewed automatically)")), "{said}");
    let codes: Vec<_> = fake.logins().iter().map(|body| body["code"].clone()).collect();
    assert_eq!(codes, [Value::Null, json!("111111"), json!("654321")]);
}

#[test]
fn login_gives_up_after_three_rejected_codes() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, mfa);
    let terminal = terminal(&sandbox, &["login", "work"], &[]);
    for turn in 1..=3 {
        terminal.wait_for_times("mfa/dev: ", turn, HANG_GUARD);
        terminal.type_text("000000\n");
    }
    terminal.assert_exit(1, HANG_GUARD);
    assert!(terminal.text().ends_with("rolecall: that code was used already\r\n"), "{}", terminal.text());
    assert_eq!(fake.logins().len(), 4);
}

#[test]
fn login_without_terminal_reads_code_from_stdin_only() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, mfa);
    let line = error_line(&run_without_terminal(&sandbox, &["login", "work"]), 5);
    assert!(line.contains(SERIAL) && line.ends_with("rolecall login work --code-stdin"), "{line}");
    let with = |code: &str| {
        sandbox.run_with_input(without_terminal(&sandbox).args(["login", "work", "--code-stdin"]), code.as_bytes())
    };
    let line = error_line(&with("nonsense\n"), 1);
    assert!(line.contains("not an MFA code of 6 digits") && !line.contains("nonsense"), "{line}");
    assert_eq!(error_line(&with("111111\n"), 1), "rolecall: that code was used already");
    let said = with("654321\n");
    said.assert_ok();
    assert!(said.stdout.starts_with("✓ source work: logged in as"), "{said}");
    assert_eq!(fake.logins().len(), 6);
}

/// Fault matrix row 111.
#[test]
fn login_interrupted_at_prompt_ends_the_line() {
    let sandbox = Sandbox::new();
    let _fake = FakeDaemon::start(&sandbox, mfa);
    let terminal = terminal(&sandbox, &["login", "work"], &[]);
    terminal.wait_for("mfa/dev: ", HANG_GUARD);
    terminal.type_text("123");
    terminal.interrupt();
    // A shell reports this signal as exit code 130.
    assert_eq!(terminal.wait_exit(HANG_GUARD).signal(), Some(SIGINT));
    // The kernel sends the signal before it echoes ^C, so that may stand before or behind the end of the line.
    let after_question = terminal.raw().rsplit("mfa/dev: ").next().map(str::to_owned);
    assert!(after_question.is_some_and(|text| text.contains('\n')), "{:?}", terminal.raw());
}

#[test]
fn login_opens_browser_and_waits() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, browser);
    let opened = sandbox.root().join("opened");
    let path = program(&sandbox, "xdg-open", &format!("echo noise; echo noise >&2; echo \"$1\" >{}", opened.display()));
    let terminal = terminal(&sandbox, &["login", "work"], &[("PATH", &path), ("DISPLAY", ":0")]);
    terminal.wait_for("confirm the code ABCD-EFGH there:", HANG_GUARD);
    terminal.wait_screen(HANG_GUARD, |screen| screen.contains("waiting for the browser, "));
    let address = within(HANG_GUARD, || std::fs::read_to_string(&opened).ok().filter(|text| text.ends_with('\n')));
    assert_eq!(address.as_deref(), Some(format!("{PAGE}\n").as_str()));
    fake.open();
    terminal.assert_exit(0, HANG_GUARD);
    let screen = terminal.screen();
    assert!(!screen.contains("waiting") && !terminal.text().contains("noise"), "{screen}");
    assert!(screen.contains(PAGE) && screen.contains("✓ source work: logged in"), "{screen}");
    assert_eq!(fake.logins()[0], json!({"flow": "browser", "renew": false}));
}

#[test]
fn login_without_browser_prints_the_page() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, browser);
    fake.open();
    let path = program(&sandbox, "xdg-open", "echo opened >/dev/tty 2>/dev/null; exit 0");
    let display = ("DISPLAY", ":0");
    for (arguments, variables) in [
        (&["login", "work", "--no-browser", "--renew"][..], &[display][..]),
        (&["login", "work"], &[display, ("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")]),
        (&["login", "work"], &[]),
    ] {
        let variables: Vec<_> = variables.iter().copied().chain([("PATH", path.as_str())]).collect();
        let terminal = terminal(&sandbox, arguments, &variables);
        terminal.assert_exit(0, HANG_GUARD);
        let said = terminal.unwrapped();
        assert!(said.contains("open this page in a browser, and confirm the code ABCD-EFGH there:"), "{said}");
        assert!(said.contains(PAGE) && !said.contains("opened"), "{said}");
    }
    let asked = fake.logins();
    assert!(asked.iter().all(|body| body["flow"] == "device"), "{asked:?}");
    assert_eq!(asked[0]["renew"], true);

    // A browser is available, and the flow uses a code: the client opens the page.
    let terminal = terminal(&sandbox, &["login", "work", "--device"], &[("PATH", &path), display]);
    terminal.assert_exit(0, HANG_GUARD);
    assert!(terminal.text().contains("your browser opens this page"), "{}", terminal.text());
    assert_eq!(fake.logins()[3]["flow"], "device");
}

#[test]
fn login_interrupted_while_waiting_removes_status_line() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, browser);
    let terminal = terminal(&sandbox, &["login", "work"], &[]);
    terminal.wait_screen(HANG_GUARD, |screen| screen.contains("waiting for the browser, "));
    terminal.interrupt();
    assert_eq!(terminal.wait_exit(HANG_GUARD).signal(), Some(SIGINT));
    // The kernel may echo ^C after the client has cleared its line.
    let screen = terminal.screen();
    assert!(screen.trim_end_matches("^C").trim_end().ends_with(PAGE), "{screen}");
    fake.wait_disconnected();
}

#[test]
fn login_without_terminal_prints_page_and_json() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, browser);
    fake.open();
    let said = run_without_terminal(&sandbox, &["login", "prod", "--json"]);
    said.assert_ok();
    assert_eq!((&said.json()["step"], &said.json()["arn"]), (&json!("done"), &json!(ARN)));
    for part in ["rolecall: prod is a profile; its source is work\n", PAGE, "waiting for that, until 2099-01-01"] {
        assert!(said.stderr.contains(part), "{part}: {said}");
    }
    assert!(!said.stderr.contains('\u{1b}') && !said.stderr.contains("Ctrl-C"), "{said}");
    let line = error_line(&run_without_terminal(&sandbox, &["login", "wrok"]), 1);
    assert_eq!(line, "rolecall: there is no source \"wrok\". Did you mean work?");
}

#[test]
fn login_without_name_picks_source_that_needs_it() {
    let sandbox = Sandbox::new();
    let _fake = FakeDaemon::start(&sandbox, |_, steps| steps.done());
    let said = run_without_terminal(&sandbox, &["login"]);
    said.assert_ok();
    assert!(said.stdout.starts_with("✓ source work: logged in as"), "{said}");
}

/// Requests `aws login`, and accepts its result.
fn aws_login(request: &Value, steps: &mut Steps<'_>, home: &Path) {
    assert_eq!(request["code"], Value::Null);
    if home.join("logged-in").exists() {
        steps.done();
    } else {
        steps.send(&json!({"step": "command", "argv": ["aws", "login", "--profile", "work"]}));
    }
}

#[test]
fn login_lends_the_terminal_to_aws_login() {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    let _fake = FakeDaemon::start(&sandbox, move |request, steps| aws_login(request, steps, &home));
    let line = error_line(&run_without_terminal(&sandbox, &["login", "work"]), 5);
    assert!(line.contains("aws login --profile work"), "{line}");
    let script = r#"echo "aws $*"; printf "Region: "; read -r region; echo "<$region>"; [ "$region" = none ] && exit 3
        stty -echo; [ "$region" = eu ] && touch "$HOME/logged-in""#;
    let path = program(&sandbox, "aws", script);
    let run = || {
        let terminal = terminal(&sandbox, &["login", "work"], &[("PATH", &path)]);
        terminal.wait_for(
            "rolecall: source \"work\": running aws login --profile work\r\naws login --profile work",
            HANG_GUARD,
        );
        terminal.wait_for("Region: ", HANG_GUARD);
        terminal
    };
    let terminal = run();
    terminal.type_text("none\n");
    terminal.assert_exit(1, HANG_GUARD);
    assert!(terminal.text().contains("aws login --profile work failed (exit status: 3)"), "{}", terminal.text());

    // Ctrl-C reaches the child program, and the client ends with the child's signal.
    let terminal = run();
    terminal.interrupt();
    assert_eq!(terminal.wait_exit(HANG_GUARD).signal(), Some(SIGINT));

    let terminal = run();
    terminal.type_text("eu\n");
    terminal.assert_exit(0, HANG_GUARD);
    assert!(terminal.text().contains("<eu>") && terminal.text().contains("✓ source work"), "{}", terminal.text());
}

#[test]
fn logout_prints_dropped_sessions_and_revocation() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, mfa);
    fake.log_in();
    let out = |arguments: &[&str]| run_without_terminal(&sandbox, arguments);
    let said = out(&["logout", "work"]);
    said.assert_ok();
    assert_eq!(said.stdout, "✓ source work: logged out; 2 sessions dropped, AWS revoked the login\n");
    let said = out(&["logout", "--all"]);
    said.assert_ok();
    assert_eq!(said.stdout, "✓ source work: there was no login and no session\n");
    assert!(error_line(&out(&["logout", "else"]), 1).contains("there is no source \"else\""));
}

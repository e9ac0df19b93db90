//! `rolecall login` and `rolecall logout`, as a person sees them at a terminal.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rolecall_harness::{Output, Sandbox, Terminal, within};
use serde_json::{Value, json};

use crate::fake::{ARN, Fake, SERIAL, Steps};
use crate::world::one_line;

const SOON: Duration = Duration::from_secs(10);
const SIGINT: i32 = 2;
const PAGE: &str = "https://device.sso.eu-west-1.amazonaws.com/?user_code=ABCD-EFGH";

fn terminal(sandbox: &Sandbox, arguments: &[&str], variables: &[(&str, &str)]) -> Terminal {
    sandbox.terminal(sandbox.rolecall().args(arguments).envs(variables.iter().copied()))
}

/// Runs it with no terminal at all, whoever runs the test.
fn without_terminal(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    sandbox.run(without(sandbox).args(arguments))
}

fn without(sandbox: &Sandbox) -> Command {
    let mut command = sandbox.command("setsid");
    command.arg("-w").arg(sandbox.rolecall().get_program());
    command
}

/// Puts a program before all others on the path; returns that path.
fn program(sandbox: &Sandbox, name: &str, script: &str) -> String {
    let path = sandbox.write(format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let folder = path.parent().unwrap().display().to_string();
    let (_, rest) = sandbox.environment().into_iter().find(|(name, _)| *name == "PATH").unwrap();
    format!("{folder}:{}", rest.display())
}

/// Asks for a code, takes `654321`, and says of the others that they were used.
fn mfa(request: &Value, steps: &mut Steps<'_>) {
    match request["code"].as_str() {
        None => steps.code(None),
        Some("654321") => steps.done(),
        Some(_) => steps.code(Some("that code was used already")),
    }
}

/// Shows a page and waits until somebody has been there.
fn browser(_: &Value, steps: &mut Steps<'_>) {
    steps.page(PAGE, Some("ABCD-EFGH"));
    if steps.wait_opened() {
        steps.done();
    }
}

#[test]
fn a_code_is_asked_for_until_one_is_taken() {
    let sandbox = Sandbox::new();
    let fake = Fake::start(&sandbox, mfa);
    let terminal = terminal(&sandbox, &["login", "work"], &[]);
    let question = format!("MFA code of {SERIAL}: ");
    terminal.wait_for(&question, SOON);
    terminal.type_text("12345\n");
    terminal.wait_for("source \"work\": an MFA code has 6 digits", SOON);
    terminal.wait_for_times(&question, 2, SOON);
    terminal.type_text("111111\n");
    terminal.wait_for("rolecall: that code was used already. Wait for the next code on the device\r\n", SOON);
    terminal.wait_for_times(&question, 3, SOON);
    terminal.type_text("654 321\n");
    terminal.assert_exit(0, SOON);
    let screen = terminal.screen();
    assert!(
        screen.replace('\n', "").contains(&format!("✓ source work: logged in as {ARN} (renewed automatically)")),
        "{screen}"
    );
    let codes: Vec<_> = fake.logins().iter().map(|body| body["code"].clone()).collect();
    assert_eq!(codes, [Value::Null, json!("111111"), json!("654321")]);
}

#[test]
fn three_codes_that_are_refused_are_enough() {
    let sandbox = Sandbox::new();
    let fake = Fake::start(&sandbox, mfa);
    let terminal = terminal(&sandbox, &["login", "work"], &[]);
    for turn in 1..=3 {
        terminal.wait_for_times("mfa/dev: ", turn, SOON);
        terminal.type_text("000000\n");
    }
    terminal.assert_exit(1, SOON);
    assert!(terminal.text().ends_with("rolecall: that code was used already\r\n"), "{}", terminal.text());
    assert_eq!(fake.logins().len(), 4);
}

#[test]
fn without_a_terminal_a_code_comes_from_a_program_or_not_at_all() {
    let sandbox = Sandbox::new();
    let fake = Fake::start(&sandbox, mfa);
    let line = one_line(&without_terminal(&sandbox, &["login", "work"]), 5);
    assert!(line.contains(SERIAL) && line.ends_with("rolecall login work --code-stdin"), "{line}");
    let with =
        |code: &str| sandbox.run_with_input(without(&sandbox).args(["login", "work", "--code-stdin"]), code.as_bytes());
    let line = one_line(&with("nonsense\n"), 1);
    assert!(line.contains("not an MFA code of 6 digits") && !line.contains("nonsense"), "{line}");
    assert_eq!(one_line(&with("111111\n"), 1), "rolecall: that code was used already");
    let said = with("654321\n");
    said.assert_ok();
    assert!(said.stdout.starts_with("✓ source work: logged in as"), "{said}");
    assert_eq!(fake.logins().len(), 6);
}

#[test]
fn row_111_ctrl_c_at_the_prompt_leaves_a_clean_line() {
    let sandbox = Sandbox::new();
    let _fake = Fake::start(&sandbox, mfa);
    let terminal = terminal(&sandbox, &["login", "work"], &[]);
    terminal.wait_for("mfa/dev: ", SOON);
    terminal.type_text("123");
    terminal.interrupt();
    // What a shell tells as 130.
    assert_eq!(terminal.wait_exit(SOON).signal(), Some(SIGINT));
    assert!(terminal.raw().ends_with('\n'), "{:?}", terminal.raw());
}

#[test]
fn a_browser_is_opened_and_waited_for() {
    let sandbox = Sandbox::new();
    let fake = Fake::start(&sandbox, browser);
    let opened = sandbox.root().join("opened");
    let path = program(&sandbox, "xdg-open", &format!("echo noise; echo noise >&2; echo \"$1\" >{}", opened.display()));
    let terminal = terminal(&sandbox, &["login", "work"], &[("PATH", &path), ("DISPLAY", ":0")]);
    terminal.wait_for("confirm the code ABCD-EFGH there:", SOON);
    terminal.wait_screen(SOON, |screen| screen.contains("waiting for the browser, "));
    let address = within(SOON, || std::fs::read_to_string(&opened).ok().filter(|text| text.ends_with('\n')));
    assert_eq!(address.as_deref(), Some(format!("{PAGE}\n").as_str()));
    fake.open();
    terminal.assert_exit(0, SOON);
    let screen = terminal.screen();
    assert!(!screen.contains("waiting") && !terminal.text().contains("noise"), "{screen}");
    assert!(screen.contains(PAGE) && screen.contains("✓ source work: logged in"), "{screen}");
    assert_eq!(fake.logins()[0], json!({"flow": "browser", "renew": false}));
}

#[test]
fn where_no_browser_is_to_be_opened_the_address_is_shown() {
    let sandbox = Sandbox::new();
    let fake = Fake::start(&sandbox, browser);
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
        terminal.assert_exit(0, SOON);
        let said = terminal.text();
        assert!(said.contains("open this page in a browser, and confirm the code ABCD-EFGH there:"), "{said}");
        assert!(said.contains(PAGE) && !said.contains("opened"), "{said}");
    }
    let asked = fake.logins();
    assert!(asked.iter().all(|body| body["flow"] == "device"), "{asked:?}");
    assert_eq!(asked[0]["renew"], true);

    // With a browser, but for a code: it is opened all the same.
    let terminal = terminal(&sandbox, &["login", "work", "--device"], &[("PATH", &path), display]);
    terminal.assert_exit(0, SOON);
    assert!(terminal.text().contains("your browser opens this page"), "{}", terminal.text());
    assert_eq!(fake.logins()[3]["flow"], "device");
}

#[test]
fn ctrl_c_while_a_browser_is_waited_for_takes_the_spinner_away() {
    let sandbox = Sandbox::new();
    let fake = Fake::start(&sandbox, browser);
    let terminal = terminal(&sandbox, &["login", "work"], &[]);
    terminal.wait_screen(SOON, |screen| screen.contains("waiting for the browser, "));
    terminal.interrupt();
    assert_eq!(terminal.wait_exit(SOON).signal(), Some(SIGINT));
    assert!(terminal.screen().ends_with(PAGE), "{}", terminal.screen());
    fake.wait_gone();
}

#[test]
fn without_a_terminal_the_address_is_a_line_and_the_result_is_json_if_wanted() {
    let sandbox = Sandbox::new();
    let fake = Fake::start(&sandbox, browser);
    fake.open();
    let said = without_terminal(&sandbox, &["login", "prod", "--json"]);
    said.assert_ok();
    assert_eq!((&said.json()["step"], &said.json()["arn"]), (&json!("done"), &json!(ARN)));
    for part in ["rolecall: prod is a profile; its source is work\n", PAGE, "waiting for that, until 2099-01-01"] {
        assert!(said.stderr.contains(part), "{part}: {said}");
    }
    assert!(!said.stderr.contains('\u{1b}') && !said.stderr.contains("Ctrl-C"), "{said}");
    let line = one_line(&without_terminal(&sandbox, &["login", "wrok"]), 1);
    assert_eq!(line, "rolecall: there is no source \"wrok\". Did you mean work?");
}

#[test]
fn the_source_that_needs_it_is_found() {
    let sandbox = Sandbox::new();
    let _fake = Fake::start(&sandbox, |_, steps| steps.done());
    let said = without_terminal(&sandbox, &["login"]);
    said.assert_ok();
    assert!(said.stdout.starts_with("✓ source work: logged in as"), "{said}");
}

/// Has `aws login` run, and is content afterwards.
fn aws_login(request: &Value, steps: &mut Steps<'_>, home: &Path) {
    assert_eq!(request["code"], Value::Null);
    if home.join("logged-in").exists() {
        steps.done();
    } else {
        steps.tell(&json!({"step": "command", "argv": ["aws", "login", "--profile", "work"]}));
    }
}

#[test]
fn another_program_has_the_terminal_while_it_logs_in() {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    let _fake = Fake::start(&sandbox, move |request, steps| aws_login(request, steps, &home));
    let line = one_line(&without_terminal(&sandbox, &["login", "work"]), 5);
    assert!(line.contains("aws login --profile work"), "{line}");
    let script = r#"echo "aws $*"; printf "Region: "; read -r region; echo "<$region>"; [ "$region" = none ] && exit 3
        stty -echo; [ "$region" = eu ] && touch "$HOME/logged-in""#;
    let path = program(&sandbox, "aws", script);
    let run = || {
        let terminal = terminal(&sandbox, &["login", "work"], &[("PATH", &path)]);
        terminal
            .wait_for("rolecall: source \"work\": running aws login --profile work\r\naws login --profile work", SOON);
        terminal.wait_for("Region: ", SOON);
        terminal
    };
    let terminal = run();
    terminal.type_text("none\n");
    terminal.assert_exit(1, SOON);
    assert!(terminal.text().contains("aws login --profile work has failed (exit status: 3)"), "{}", terminal.text());

    // Ctrl-C is for that program, and what it ends with is what we end with.
    let terminal = run();
    terminal.interrupt();
    assert_eq!(terminal.wait_exit(SOON).signal(), Some(SIGINT));

    let terminal = run();
    terminal.type_text("eu\n");
    terminal.assert_exit(0, SOON);
    assert!(terminal.text().contains("<eu>") && terminal.text().contains("✓ source work"), "{}", terminal.text());
}

#[test]
fn logging_out_says_what_was_forgotten() {
    let sandbox = Sandbox::new();
    let fake = Fake::start(&sandbox, mfa);
    fake.log_in();
    let out = |arguments: &[&str]| without_terminal(&sandbox, arguments);
    let said = out(&["logout", "work"]);
    said.assert_ok();
    assert_eq!(said.stdout, "✓ source work: logged out; 2 sessions dropped, AWS revoked the login\n");
    let said = out(&["logout", "--all"]);
    said.assert_ok();
    assert_eq!(said.stdout, "✓ source work: there was no login and no session\n");
    assert!(one_line(&out(&["logout", "else"]), 1).contains("there is no source \"else\""));
}

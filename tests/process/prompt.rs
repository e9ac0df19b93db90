//! `rolecall prompt`: what it prints, that it calls nothing, and the documented lines for each shell.

use std::fs;
use std::path::Path;

use rolecall_harness::within;

use crate::files::skipped;
use crate::fixture::{Fixture, HANG_GUARD, kill};
use crate::shell::{protect, two_profiles};

fn prompt(fixture: &Fixture) -> String {
    let said = fixture.rolecall(&["prompt"]);
    said.assert_ok();
    assert_eq!(said.stderr, "");
    said.stdout
}

/// Waits until the daemon has written the state, and the prompt starts so.
#[track_caller]
fn wait_prompt(fixture: &Fixture, wanted: &str) {
    let found = within(HANG_GUARD, || Some(prompt(fixture)).filter(|text| text.starts_with(wanted)));
    assert!(found.is_some(), "{wanted:?}, not {:?}", prompt(fixture));
}

#[test]
fn prompt_shows_the_current_profile_and_the_time_left() {
    let fixture = Fixture::added();
    assert_eq!(prompt(&fixture), "", "there is no current context");
    fixture.rolecall(&["use", "prod"]).assert_ok();
    fixture.token().assert_ok();
    wait_prompt(&fixture, "prod 59m\n");
    let data: serde_json::Value = fixture.rolecall(&["prompt", "--format", "json"]).json();
    assert_eq!(
        (&data["profile"], &data["session"], &data["protected"]),
        (&"prod".into(), &"valid".into(), &false.into())
    );
    assert!(data["seconds_left"].as_i64().unwrap() > 3500);
    let state = fs::read_to_string(fixture.socket().with_extension("state")).unwrap();
    assert!(!state.contains("key") && !state.contains("arn"), "{state}");
    // A daemon that does not answer does not delay it.
    let pid = fixture.daemon_pid();
    kill("STOP", pid);
    assert_eq!(prompt(&fixture), "prod 59m\n");
    kill("CONT", pid);
    let lock = fixture.sandbox.run_with_input(fixture.sandbox.rolecall().args(["lock", "--stdin"]), b"correct horse\n");
    lock.assert_ok();
    wait_prompt(&fixture, "prod locked\n");
    // The file of a daemon that was killed is out of date.
    kill("KILL", pid);
    wait_prompt(&fixture, "prod\n");
    assert!(fixture.socket().with_extension("state").exists());
}

#[test]
fn prompt_state_is_removed_when_the_daemon_stops() {
    let fixture = two_profiles();
    fixture.token().assert_ok();
    wait_prompt(&fixture, "prod 59m\n");
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    assert!(within(HANG_GUARD, || (!fixture.socket().with_extension("state").exists()).then_some(())).is_some());
    assert_eq!(prompt(&fixture), "prod\n");
}

#[test]
fn prompt_follows_the_context_the_shell_and_protection() {
    let fixture = two_profiles();
    // Without a daemon there is no session.
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    assert_eq!(prompt(&fixture), "prod\n");
    fixture.rolecall(&["use", "staging"]).assert_ok();
    assert_eq!(prompt(&fixture), "staging\n");
    let mut command = fixture.sandbox.rolecall();
    command.args(["shell", "prod"]).env("SHELL", "/bin/sh");
    let inside =
        fixture.sandbox.run_with_input(&mut command, b"rolecall prompt --format fish; KUBECONFIG= rolecall prompt");
    assert_eq!(inside.assert_ok().stdout, "prod\nstaging\n");
    protect(&fixture, "staging");
    let colored = fixture.rolecall(&["prompt", "--format", "fish"]).stdout;
    assert_eq!(colored, "\u{1b}[31mstaging\u{1b}[0m\n");
    let plain =
        fixture.sandbox.run(fixture.sandbox.rolecall().args(["prompt", "--format", "fish"]).env("NO_COLOR", "1"));
    assert_eq!(plain.stdout, "staging\n");
    fs::write(fixture.sandbox.kubeconfig(), "current-context: [").unwrap();
    assert_eq!(prompt(&fixture), "", "a broken kubeconfig is no error");
}

/// Returns the documented line of a shell, from the help of the command.
fn documented(fixture: &Fixture, shell: &str) -> String {
    let help = fixture.rolecall(&["prompt", "--help"]).stdout;
    let line = help.lines().find_map(|line| line.trim().strip_prefix(&format!("{shell}:"))).expect("a documented line");
    line.trim().to_owned()
}

#[test]
fn prompt_documented_lines_work_in_each_shell() {
    let fixture = two_profiles();
    protect(&fixture, "prod");
    fixture.token().assert_ok();
    wait_prompt(&fixture, "prod 59m\n");
    for (shell, options) in [("bash", &["--norc", "-i"][..]), ("zsh", &["-f", "-i"]), ("fish", &["--no-config", "-i"])]
    {
        let program = Path::new("/usr/bin").join(shell);
        if !program.exists() {
            skipped(&format!("prompt of {shell}: it is not installed"));
            continue;
        }
        let mut command = fixture.sandbox.command(&program);
        command.args(options);
        let terminal = fixture.sandbox.terminal(&mut command);
        terminal.type_text(&format!("{}\r", documented(&fixture, shell)));
        terminal.wait_for("\u{1b}[31mprod\u{1b}[0m 59m", HANG_GUARD);
        terminal.type_text("exit\r");
        terminal.assert_exit(0, HANG_GUARD);
        let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
        assert!(readme.contains(&documented(&fixture, shell)), "{shell}: the README has the line too");
    }
}

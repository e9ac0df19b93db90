//! The constraints of a profile, on a clock that the test advances.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rolecall_harness::Op;

use crate::fixture::{Fixture, PROD, one_line};

/// The program that asks the user: it writes the question to the file `asked` and answers with the exit code in `answer`.
fn askpass(fixture: &Fixture) -> PathBuf {
    let (program, home) = (fixture.sandbox.home().join("askpass"), fixture.sandbox.home());
    let script = format!("#!/bin/sh\ncd '{}'\necho \"$1\" >> asked\nexit \"$(cat answer)\"\n", home.display());
    // By a child: a file that this process has open for writing cannot be executed.
    let mut write = fixture.sandbox.command("/bin/sh");
    write.args(["-c", "cat > \"$0\" && chmod 700 \"$0\""]).arg(&program);
    fixture.sandbox.run_with_input(&mut write, script.as_bytes()).assert_ok();
    program
}

/// A profile whose use is confirmed.
fn confirmed(mode: &str) -> Fixture {
    let fixture = Fixture::new();
    let program = askpass(&fixture);
    fixture.configure(&format!("{PROD}confirm = \"{mode}\"\n[confirm]\nprogram = \"{}\"\n", program.display()));
    fixture
}

fn answer(fixture: &Fixture, code: u8) {
    fs::write(fixture.sandbox.home().join("answer"), code.to_string()).unwrap();
}

/// How often the user was asked.
fn questions(fixture: &Fixture) -> usize {
    let text = fs::read_to_string(fixture.sandbox.home().join("asked")).unwrap_or_default();
    text.matches("asks to use the profile prod").count()
}

/// Fault matrix row 105.
#[test]
fn each_use_is_confirmed() {
    let fixture = confirmed("always");
    answer(&fixture, 0);
    fixture.good_token("prod");
    fixture.good_token("prod");
    assert_eq!(questions(&fixture), 1, "both come within two seconds");
    fixture.clock.advance(Duration::from_secs(2));
    answer(&fixture, 1);
    let line = fixture.token_error("prod", 1);
    assert!(line.starts_with("rolecall: prod: its use was not confirmed."), "{line}");
    assert_eq!(questions(&fixture), 2);
    answer(&fixture, 0);
    fixture.token_error("prod", 1);
    assert_eq!(questions(&fixture), 2, "kubectl runs its plugin six times");
    fixture.clock.advance(Duration::from_secs(10));
    fixture.good_token("prod");
    assert_eq!(questions(&fixture), 3);
    let text = fs::read_to_string(fixture.sandbox.home().join("asked")).unwrap();
    assert!(text.contains("Cluster: prod in eu-west-1\nRole: arn:aws:iam::111122223333:role/developers\n"), "{text}");
}

#[test]
fn confirmation_of_one_program_is_none_of_another() {
    let fixture = confirmed("always");
    answer(&fixture, 0);
    fixture.good_token("prod"); // run by a shell
    answer(&fixture, 1);
    let said = fixture.token_again_output("prod"); // run by this program
    assert!(one_line(&said, 1).starts_with("rolecall: prod: its use was not confirmed."), "{said}");
    assert_eq!(questions(&fixture), 2);
}

#[test]
fn first_use_is_confirmed_until_the_agent_is_locked() {
    let fixture = confirmed("first");
    answer(&fixture, 0);
    fixture.good_token("prod");
    fixture.clock.advance(Duration::from_hours(10));
    fixture.good_token("prod");
    assert_eq!(questions(&fixture), 1);
    let lock = |arguments: &[&str]| {
        fixture.sandbox.run_with_input(fixture.sandbox.rolecall().args(arguments), b"correct horse").assert_ok();
    };
    lock(&["lock", "--passphrase", "--stdin"]);
    lock(&["lock"]);
    lock(&["unlock", "--stdin"]);
    fixture.good_token("prod");
    assert_eq!(questions(&fixture), 2);
}

#[test]
fn lifetime_begins_with_a_refresh_and_ends() {
    let fixture = Fixture::new();
    fixture.configure(&format!("{PROD}max_lifetime = \"4h\"\n"));
    let refused = || {
        let line = fixture.token_error("prod", 5);
        assert!(line.ends_with("may be used for 240 min after rolecall refresh. Run: rolecall refresh prod"), "{line}");
    };
    refused();
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 0);
    let status = || fixture.sandbox.run(fixture.sandbox.rolecall().args(["status"])).stdout;
    assert!(status().contains("rolecall refresh prod"), "{}", status());
    fixture.sandbox.run(fixture.sandbox.rolecall().args(["refresh", "prod"])).assert_ok();
    assert!(!status().contains("rolecall refresh prod"), "{}", status());
    fixture.good_token("prod");
    fixture.clock.advance(Duration::from_mins(239));
    fixture.good_token("prod");
    fixture.clock.advance(Duration::from_mins(1));
    refused();
}

#[test]
fn hours_are_those_of_the_local_week() {
    // It is a Friday in UTC, and in every time zone a Thursday or a Friday.
    let fixture = Fixture::new();
    fixture.configure(&format!("{PROD}allowed_hours = \"Sa-We 00:00-24:00\"\n"));
    let line = fixture.token_error("prod", 1);
    assert!(line.starts_with("rolecall: prod: it may be used Sa-We 00:00-24:00 only."), "{line}");
    assert_eq!(fixture.aws.calls(Op::AssumeRole), 0);
    fixture.configure(&format!("{PROD}allowed_hours = [\"Th 00:00-24:00\", \"Fr 00:00-24:00\"]\n"));
    fixture.good_token("prod");
}

#[test]
fn constraint_of_the_defaults_holds_for_each_profile() {
    let fixture = Fixture::new();
    fixture.configure(&format!("[defaults]\nallowed_hours = \"Sa-We 00:00-24:00\"\n{PROD}"));
    fixture.token_error("prod", 1);
    fixture.configure(&format!(
        "[defaults]\nallowed_hours = \"Sa-We 00:00-24:00\"\n{PROD}allowed_hours = \"00:00-24:00\"\n"
    ));
    fixture.good_token("prod");
}

/// The constraints of a profile hold for the requests about its cluster's access too.
#[test]
fn cluster_access_is_constrained() {
    let fixture = Fixture::new();
    fixture.configure(&format!("{PROD}max_lifetime = \"1h\"\n"));
    let list = || fixture.sandbox.run(fixture.sandbox.rolecall().args(["access", "list", "prod"]));
    let line = one_line(&list(), 5);
    assert!(line.contains("Run: rolecall refresh prod"), "{line}");
    fixture.sandbox.run(fixture.sandbox.rolecall().args(["refresh", "prod"])).assert_ok();
    list().assert_ok();
    let grant = ["access", "grant", "prod", "--role", "x", "--policy", "AmazonEKSViewPolicy", "--yes"];
    fixture.clock.advance(Duration::from_hours(1));
    let line = one_line(&fixture.sandbox.run(fixture.sandbox.rolecall().args(grant)), 5);
    assert!(line.contains("Run: rolecall refresh prod"), "{line}");
}

//! The constraints of a profile, with the real programs.

use std::fs;
use std::path::PathBuf;
use std::thread;

use rolecall_harness::{Output, within};

use crate::fixture::{EXEC_INFO, Fixture, HANG_GUARD, ROLE, error_line, profile};

impl Fixture {
    /// The profile `prod` with these lines, and the tables `more`.
    fn constrained(lines: &str, more: &str) -> Self {
        let fixture = Self::bare();
        let prod = profile("prod", "work", ROLE);
        fixture.write_config(&format!("[sources.work]\naws_profile = \"work\"\n\n{prod}{lines}\n{more}"));
        fixture
    }

    /// Runs `rolecall token prod` in a shell, which writes its standard error to a file too.
    fn token_with_note(&self) -> Output {
        let mut command = self.sandbox.command("/bin/sh");
        let script = "rolecall token prod 2>\"$0\"; code=$?; cat \"$0\" >&2; exit $code";
        command.args(["-c", script]).arg(self.note_file()).env("KUBERNETES_EXEC_INFO", EXEC_INFO);
        self.sandbox.pass_entry_key(&mut command, "prod");
        self.sandbox.run(&mut command)
    }

    fn note_file(&self) -> PathBuf {
        self.sandbox.root().join("note")
    }

    fn token_reasons(&self) -> Vec<String> {
        self.rolecall(&["agent", "stop"]).assert_ok();
        let said = self.rolecall(&["audit", "--profile", "prod", "-o", "json"]);
        let reason = |record: &serde_json::Value| record["reason"].as_str().unwrap_or("allowed").to_owned();
        said.json().as_array().unwrap().iter().map(reason).collect()
    }
}

/// Fault matrix row 105.
#[test]
fn token_waits_for_the_answer_of_the_user() {
    let fixture = Fixture::bare();
    let home = fixture.sandbox.home();
    let script = format!(
        "#!/bin/sh\ncd '{}'\nwhile ! [ -e answer ]; do sleep 0.05; done\nexit \"$(cat answer)\"\n",
        home.display()
    );
    let program = home.join("ssh-askpass");
    // By a child: a file that this process has open for writing cannot be executed.
    let mut write = fixture.sandbox.command("/bin/sh");
    write.args(["-c", "cat > \"$0\" && chmod 700 \"$0\""]).arg(&program);
    fixture.sandbox.run_with_input(&mut write, script.as_bytes()).assert_ok();
    let prod = profile("prod", "work", ROLE);
    fixture.write_config(&format!(
        "[sources.work]\naws_profile = \"work\"\n\n{prod}confirm = \"first\"\n[confirm]\nprogram = \"{}\"\n",
        program.display()
    ));
    let said = thread::scope(|scope| {
        let waiting = scope.spawn(|| fixture.token_with_note());
        let is_waiting =
            || fs::read_to_string(fixture.note_file()).ok().filter(|note| note.contains("waiting for your answer"));
        let note = within(HANG_GUARD, is_waiting).expect("a note");
        assert_eq!(note, "rolecall: prod: waiting for your answer to a question on your desktop\n");
        fs::write(home.join("answer"), "0").unwrap();
        waiting.join().unwrap()
    });
    said.assert_ok();
    fixture.token_with_note().assert_ok();
    let reasons = fixture.token_reasons();
    assert_eq!(
        (reasons.first().unwrap().as_str(), reasons.last().unwrap().as_str()),
        ("confirmation_pending", "allowed")
    );
}

#[test]
fn profile_that_cannot_be_confirmed_gives_no_token() {
    let fixture = Fixture::constrained("confirm = \"always\"", "[confirm]\nprogram = \"/nonexistent/pinentry\"\n");
    let line = error_line(&fixture.token(), 1);
    assert!(line.starts_with("rolecall: prod: its use cannot be confirmed: /nonexistent/pinentry: "), "{line}");
    assert_eq!(fixture.assume_role_calls(), 0);
    assert_eq!(fixture.token_reasons(), ["constraint_unenforceable"]);
}

#[test]
fn only_an_allowed_program_gets_a_token() {
    let fixture = Fixture::constrained("allowed_programs = [\"/nonexistent\", \"/bin/sh\"]", "");
    fixture.token_with_note().assert_ok();
    let line = error_line(&fixture.token(), 1);
    let test = std::env::current_exe().unwrap();
    assert!(
        line.starts_with(&format!("rolecall: prod: {} is none of its allowed_programs.", test.display())),
        "{line}"
    );
    let shown = fixture.rolecall(&["show", "prod"]);
    assert!(shown.stdout.contains("/nonexistent /bin/sh"), "{}", shown.stdout);
    assert_eq!(fixture.token_reasons(), ["allowed", "not_allowed"]);
}

#[test]
fn lifetime_goes_on_after_a_restart_and_ends_with_a_stop() {
    let fixture = Fixture::constrained("max_lifetime = \"8h\"", "");
    assert!(error_line(&fixture.token(), 5).ends_with("Run: rolecall refresh prod"));
    fixture.rolecall(&["refresh", "prod"]).assert_ok();
    fixture.token().assert_ok();
    fixture.rolecall(&["agent", "restart"]).assert_ok();
    fixture.token().assert_ok();
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    error_line(&fixture.token(), 5);
    let reasons = fixture.token_reasons();
    let tokens = ["refresh_needed", "allowed", "allowed", "allowed", "refresh_needed"];
    assert_eq!(reasons, tokens);
}

/// The state of a constraint is in the daemon.
#[test]
fn token_without_the_daemon_ignores_no_constraint() {
    let fixture = Fixture::constrained("allowed_hours = \"00:00-24:00\"", "");
    let mut command = fixture.sandbox.rolecalld();
    command.args(["--once", "token", "prod"]);
    let said = fixture.sandbox.run(&mut command);
    let line = error_line(&said, 1);
    assert!(line.contains("it has constraints, which need the daemon"), "{line}");
}

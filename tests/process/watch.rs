//! `rolecall status --watch` during other commands.

use rolecall_harness::{Fault, Op, Terminal};
use serde_json::Value;

use crate::fixture::{Fixture, HANG_GUARD, ROLE, profile};

#[test]
fn status_watch_prints_changes_and_survives_restart() {
    let fixture = Fixture::added();
    let mut command = fixture.sandbox.rolecall();
    let watch = fixture.sandbox.spawn_daemon(command.args(["status", "--watch", "--json"]));
    watch.wait_stdout("\"state\":\"ready\"", HANG_GUARD);

    // Break the configuration, then fix it.
    let valid = std::fs::read_to_string(fixture.config_path()).unwrap();
    fixture.write_config(&valid.replace("[sources", "[sauces"));
    watch.wait_stdout("sauces", HANG_GUARD);
    let other = profile("later", "work", ROLE);
    fixture.write_config(&format!("{valid}keep_warm = \"1h\"\n\n{other}"));
    // Changing a profile drops its failures, so the change is awaited before a call fails.
    watch.wait_stdout("\"name\":\"later\"", HANG_GUARD);
    fixture.token().assert_ok();
    watch.wait_stdout("\"next_renewal\":\"", HANG_GUARD);

    // A renewal fails in the background.
    fixture.aws.fault(Op::AssumeRole, Fault::error(403, "AccessDenied", "not today").forever());
    fixture.rolecall(&["refresh", "prod"]).assert_code(1);
    watch.wait_stdout("not today", HANG_GUARD);

    fixture.rolecall(&["agent", "restart"]).assert_ok();
    watch.wait_stdout("\"restarts\":1", HANG_GUARD);
    for line in watch.stdout().lines() {
        let said: Value = serde_json::from_str(line).unwrap();
        // A restart may show up as a short gap.
        assert!(said["daemon"]["pid"].is_u64() || said["running"] == false, "{line}");
    }

    // The stop and the start of the daemon are each printed once.
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    watch.wait_stdout("{\"running\":false}\n", HANG_GUARD);
    watch.wait_stderr("Any kubectl starts it, or: rolecall agent start", HANG_GUARD);
    fixture.rolecall(&["agent", "start"]).assert_ok();
    watch.wait_stdout("{\"running\":false}\n{\"config\":", HANG_GUARD);
    assert!(watch.is_running());
}

/// Runs `status --watch` from a shell that then prints whether the terminal echoes, and the exit code.
fn watch_on_terminal(fixture: &Fixture) -> Terminal {
    let client = fixture.sandbox.rolecall().get_program().to_str().unwrap().to_owned();
    let script = format!("{client} status --watch; echo \"exit $?\"; stty -a | grep -o ' echo '");
    let terminal = fixture.sandbox.terminal(fixture.sandbox.command("sh").args(["-c", &script]));
    terminal.wait_screen(HANG_GUARD, |screen| screen.contains("● prod") && screen.contains("q to exit"));
    terminal
}

#[test]
fn status_watch_q_exits_and_restores_terminal() {
    let fixture = Fixture::added();
    let terminal = watch_on_terminal(&fixture);
    terminal.type_text("xq");
    terminal.assert_exit(0, HANG_GUARD);
    let screen = terminal.screen();
    assert!(screen.contains("● prod") && screen.contains("exit 0\n echo"), "{screen}");
    assert!(!screen.contains("to exit"), "{screen}");
}

#[test]
fn status_watch_of_stopped_agent_shows_no_session() {
    let fixture = Fixture::added();
    let terminal = watch_on_terminal(&fixture);
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    let is_shown = |screen: &str| screen.contains("the agent is not running") && !screen.contains("prod eu-west-1");
    terminal.wait_screen(HANG_GUARD, is_shown);
    terminal.type_text("q");
    terminal.assert_exit(0, HANG_GUARD);
    let screen = terminal.screen();
    assert!(screen.contains("exit 3\n echo") && !screen.contains('●'), "{screen}");
}

#[test]
fn status_watch_without_terminal_ends_with_the_outage() {
    let fixture = Fixture::added();
    let mut command = fixture.sandbox.rolecall();
    let watch = fixture.sandbox.spawn_daemon(command.args(["status", "--watch"]));
    watch.wait_stdout("● prod", HANG_GUARD);
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    watch.wait_stdout("! the agent is not running", HANG_GUARD);
    assert!(watch.is_running());
}

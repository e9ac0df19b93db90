//! The login that kubectl's plugin offers: to somebody who is certainly there, once, and on the terminal alone.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use rolecall_harness::{Sandbox, Terminal};
use serde_json::Value;

use crate::fake::{ARN, Fake, Steps, TOKEN};
use crate::files::skipped;

const SOON: Duration = Duration::from_secs(10);
const SIGINT: i32 = 2;
const QUESTION: &str = "rolecall: prod: the login of source \"work\" has expired. Log in now? [Y/n] ";
const LINE: &str = "rolecall: prod: the login of source \"work\" has expired. Run: rolecall login work";
const INFO: &str =
    r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":true}}"#;

/// Takes any code.
fn mfa(request: &Value, steps: &mut Steps<'_>) {
    match request["code"].as_str() {
        None => steps.code(None),
        Some(_) => steps.done(),
    }
}

/// A shell at a terminal, with what kubectl tells a plugin where somebody is there.
fn shell(sandbox: &Sandbox, script: &str) -> Terminal {
    let mut command = sandbox.command("bash");
    // The lines of a job's start and end are not for the tests.
    sandbox.terminal(command.args(["-c", script]).env("KUBERNETES_EXEC_INFO", INFO))
}

/// As kubectl runs it: standard output is its own.
fn plugin(sandbox: &Sandbox) -> Terminal {
    shell(sandbox, "exec rolecall token prod >out.json")
}

fn got(sandbox: &Sandbox) -> String {
    std::fs::read_to_string(sandbox.home().join("out.json")).unwrap()
}

/// Nobody was asked, and the answer came at once: the line, and exit 5.
#[track_caller]
fn was_refused(terminal: &Terminal) {
    terminal.assert_exit(5, SOON);
    let said = terminal.text();
    assert!(said.contains(LINE) && !said.contains("Log in now?"), "{said}");
}

#[test]
fn a_yes_leads_to_a_login_and_then_to_the_token() {
    let sandbox = Sandbox::new();
    let fake = Fake::start(&sandbox, mfa);
    let terminal = plugin(&sandbox);
    terminal.wait_for(QUESTION, SOON);
    terminal.type_text("\n");
    terminal.wait_for("MFA code of ", SOON);
    terminal.type_text("123456\n");
    terminal.assert_exit(0, SOON);
    let json: Value = serde_json::from_str(&got(&sandbox)).unwrap();
    assert_eq!(json["status"]["token"], TOKEN);
    assert!(
        terminal.text().contains(&format!("rolecall: prod: logged in as {ARN} (renewed automatically)")),
        "{}",
        terminal.text()
    );
    // When it is needed again, it is asked again.
    assert_eq!(fake.logins().len(), 2);
    let left = std::fs::read_dir(sandbox.runtime_dir().join("rolecall")).unwrap();
    assert!(left.flatten().all(|entry| !entry.file_name().to_string_lossy().contains("declined")));
}

#[test]
fn a_no_is_remembered() {
    let sandbox = Sandbox::new();
    let fake = Fake::start(&sandbox, mfa);
    let terminal = plugin(&sandbox);
    terminal.wait_for(QUESTION, SOON);
    terminal.type_text("n\n");
    terminal.assert_exit(5, SOON);
    assert!(terminal.text().ends_with(&format!("{LINE}\r\n")), "{}", terminal.text());
    for _ in 0..5 {
        was_refused(&plugin(&sandbox));
    }
    assert_eq!((got(&sandbox).as_str(), fake.logins().len()), ("", 0));
}

#[test]
fn row_111_ctrl_c_at_the_question_is_a_no_and_leaves_the_terminal_as_it_was() {
    let sandbox = Sandbox::new();
    let _fake = Fake::start(&sandbox, mfa);
    let modes = "stty -a >before; trap : INT; rolecall token prod >out.json; echo \"exit $?\"; stty -a | diff before - && echo same";
    let terminal = shell(&sandbox, modes);
    terminal.wait_for(QUESTION, SOON);
    terminal.interrupt();
    terminal.wait_for("exit 130\r\nsame", SOON);
    was_refused(&plugin(&sandbox));
    // The same where the code is asked for.
    let sandbox = Sandbox::new();
    let _fake = Fake::start(&sandbox, mfa);
    let terminal = plugin(&sandbox);
    terminal.wait_for(QUESTION, SOON);
    terminal.type_text("yes\n");
    terminal.wait_for("mfa/dev: ", SOON);
    terminal.interrupt();
    assert_eq!(terminal.wait_exit(SOON).signal(), Some(SIGINT));
    assert_eq!(got(&sandbox), "");
}

#[test]
fn where_nobody_can_answer_nobody_is_asked() {
    let sandbox = Sandbox::new();
    let fake = Fake::start(&sandbox, mfa);
    let token = "rolecall token prod >out.json";
    for script in [
        // kubectl says that nobody is there, or nothing.
        format!("unset KUBERNETES_EXEC_INFO; {token}"),
        format!("export KUBERNETES_EXEC_INFO=\"${{KUBERNETES_EXEC_INFO/true/false}}\"; {token}"),
        // Somebody does not want to be asked.
        format!("export ROLECALL_NO_PROMPT=1; {token}"),
        // What is said is not seen.
        format!("{token} 2>err; code=$?; cat err; exit $code"),
        // There is no terminal.
        format!("setsid -w {token} 2>err; code=$?; cat err; exit $code"),
        // Another program draws on all of it.
        format!("stty -icanon -echo; {token}; code=$?; stty sane; exit $code"),
        // It is somebody else's turn at the terminal.
        format!("set -m; {token} & wait $!"),
    ] {
        let terminal = shell(&sandbox, &script);
        terminal.assert_exit(5, SOON);
        let said = terminal.text();
        assert!(said.contains(LINE) && !said.contains("Log in now?"), "{script}: {said}");
    }
    assert_eq!(fake.logins().len(), 0);
}

#[test]
fn standard_input_is_kubectl_s_and_stays_unread() {
    let sandbox = Sandbox::new();
    let _fake = Fake::start(&sandbox, mfa);
    let terminal =
        shell(&sandbox, "printf 'y\\nmanifest\\n' | { rolecall token prod >out.json; echo \"exit $?\"; cat; }");
    terminal.wait_for(QUESTION, SOON);
    terminal.type_text("n\n");
    terminal.wait_exit(SOON);
    assert!(terminal.text().ends_with("exit 5\r\ny\r\nmanifest\r\n"), "{}", terminal.text());
}

#[test]
fn who_has_logged_in_meanwhile_is_not_asked() {
    let sandbox = Sandbox::new();
    let fake = Fake::start(&sandbox, mfa);
    fake.log_in_after_next();
    let terminal = plugin(&sandbox);
    terminal.assert_exit(0, SOON);
    assert!(got(&sandbox).contains(TOKEN) && terminal.text().is_empty(), "{}", terminal.text());
    assert_eq!(fake.tokens(), 2, "it was refused, and asked again in its turn");
    // Nobody has said no.
    drop(fake);
    std::fs::remove_file(sandbox.runtime_dir().join("rolecall/agent.sock")).unwrap();
    let _fake = Fake::start(&sandbox, mfa);
    plugin(&sandbox).wait_for(QUESTION, SOON);
}

#[test]
fn of_twenty_at_once_one_asks_and_the_others_are_answered_at_once() {
    let sandbox = Sandbox::new();
    let fake = Fake::start(&sandbox, mfa);
    let script = "for n in $(seq 20); do rolecall token prod >out.$n & done; wait; echo all";
    let terminal = shell(&sandbox, script);
    terminal.wait_for(QUESTION, SOON);
    // The question stands for as long as nobody answers; all the others have gone by then.
    terminal.wait_for_times(LINE, 19, SOON);
    assert!(!terminal.text().contains("all\r\n"));
    terminal.type_text("y\n");
    terminal.wait_for("mfa/dev: ", SOON);
    terminal.type_text("123456\n");
    terminal.wait_for("all\r\n", SOON);
    let said = terminal.text();
    assert_eq!((said.matches("Log in now?").count(), said.matches(LINE).count()), (1, 19), "{said}");
    let full =
        (1..=20).filter(|n| std::fs::metadata(sandbox.home().join(format!("out.{n}"))).unwrap().len() > 0).count();
    assert_eq!((full, fake.logins().len()), (1, 2));
}

#[test]
fn all_of_kubectl_s_runs_ask_once() {
    let sandbox = Sandbox::new();
    let Some(mut kubectl) = sandbox.kubectl() else { return skipped("kubectl is not installed") };
    let fake = Fake::start(&sandbox, mfa);
    let program = sandbox.rolecall().get_program().to_owned();
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "prod",
        "clusters": [{"name": "prod", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "prod"}}],
        "users": [{"name": "prod", "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": program.to_str().unwrap(),
            "args": ["token", "prod"], "interactiveMode": "IfAvailable", "provideClusterInfo": true}}}],
    });
    sandbox.write("home/.kube/config", &config.to_string());
    let terminal = sandbox.terminal(kubectl.args(["get", "pods"]));
    terminal.wait_for(QUESTION, SOON);
    terminal.type_text("n\n");
    assert!(!terminal.wait_exit(SOON).success());
    let said = terminal.text();
    assert_eq!(said.matches("Log in now?").count(), 1, "{said}");
    assert!(said.contains(LINE) && fake.tokens() > 2, "{} runs: {said}", fake.tokens());
}

//! The login prompt of the exec plugin: only with an interactive user, once, and only on the terminal.

use std::os::unix::process::ExitStatusExt as _;

use rolecall_harness::{Sandbox, Terminal};
use serde_json::Value;

use crate::fake_daemon::{ARN, FakeDaemon, Steps, TOKEN};
use crate::files::skipped;
use crate::fixture::{EXEC_INFO, HANG_GUARD};

const SIGINT: i32 = 2;
const QUESTION: &str = "rolecall: prod: the login of source \"work\" has expired. Log in now? [Y/n] ";
const LINE: &str = "rolecall: prod: the login of source \"work\" has expired. Run: rolecall login work";

/// Accepts every code.
fn mfa(request: &Value, steps: &mut Steps<'_>) {
    match request["code"].as_str() {
        None => steps.code(None),
        Some(_) => steps.done(),
    }
}

/// Runs a script at a terminal, with the variable that kubectl sets for an interactive user.
fn shell(sandbox: &Sandbox, script: &str) -> Terminal {
    let mut command = sandbox.command("bash");
    // A shell that is not interactive prints no job messages.
    sandbox.terminal(command.args(["-c", script]).env("KUBERNETES_EXEC_INFO", EXEC_INFO))
}

/// Runs the plugin as kubectl does, with standard output redirected.
fn plugin(sandbox: &Sandbox) -> Terminal {
    shell(sandbox, "exec rolecall token prod >out.json")
}

fn plugin_output(sandbox: &Sandbox) -> String {
    std::fs::read_to_string(sandbox.home().join("out.json")).unwrap()
}

/// Asserts an immediate error without a prompt: the error line and exit code 5.
#[track_caller]
fn assert_no_prompt(terminal: &Terminal) {
    terminal.assert_exit(5, HANG_GUARD);
    let said = terminal.text();
    assert!(said.contains(LINE) && !said.contains("Log in now?"), "{said}");
}

/// Fault matrix row 43. A kubeconfig's variables choose the program of the browser (`PATH`, `BROWSER`), so the login needs no
/// browser on this machine.
#[test]
fn plugin_opens_no_browser_if_the_kubeconfig_sets_variables() {
    for (added, flow) in [("", "browser"), ("PATH=\"$PWD:$PATH\"", "device"), ("BROWSER=./x", "device")] {
        let sandbox = Sandbox::new();
        let fake = FakeDaemon::start(&sandbox, mfa);
        // timeout(1) has what kubectl has, and env(1) adds what the kubeconfig sets. A shell would change its own environment.
        let script =
            format!("export DISPLAY=:0; exec timeout --foreground 600 env {added} rolecall token prod >out.json");
        let terminal = shell(&sandbox, &script);
        terminal.wait_for(QUESTION, HANG_GUARD);
        terminal.type_text("\n");
        terminal.wait_for("MFA code of ", HANG_GUARD);
        terminal.type_text("123456\n");
        terminal.assert_exit(0, HANG_GUARD);
        assert_eq!(fake.logins()[0]["flow"], flow, "{added}");
    }
}

#[test]
fn plugin_yes_logs_in_and_prints_the_token() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, mfa);
    let terminal = plugin(&sandbox);
    terminal.wait_for(QUESTION, HANG_GUARD);
    terminal.type_text("\n");
    terminal.wait_for("MFA code of ", HANG_GUARD);
    terminal.type_text("123456\n");
    terminal.assert_exit(0, HANG_GUARD);
    let json: Value = serde_json::from_str(&plugin_output(&sandbox)).unwrap();
    assert_eq!(json["status"]["token"], TOKEN);
    assert!(
        terminal.unwrapped().contains(&format!("rolecall: prod: logged in as {ARN} (renewed automatically)")),
        "{}",
        terminal.text()
    );
    // The "no" marker is gone, so the next expired login prompts again.
    assert_eq!(fake.logins().len(), 2);
    let left = std::fs::read_dir(sandbox.runtime_dir().join("rolecall")).unwrap();
    assert!(left.flatten().all(|entry| !entry.file_name().to_string_lossy().contains("declined")));
}

/// A user who sees an MFA device in the message types the code at once.
#[test]
fn plugin_code_as_the_answer_is_the_code() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, mfa);
    let terminal = plugin(&sandbox);
    terminal.wait_for(QUESTION, HANG_GUARD);
    terminal.type_text("123456\n");
    terminal.assert_exit(0, HANG_GUARD);
    assert!(!terminal.text().contains("MFA code of "), "{}", terminal.text());
    assert_eq!(fake.logins().len(), 2);
    assert_eq!(serde_json::from_str::<Value>(&plugin_output(&sandbox)).unwrap()["status"]["token"], TOKEN);
}

#[test]
fn plugin_no_suppresses_later_prompts() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, mfa);
    let terminal = plugin(&sandbox);
    terminal.wait_for(QUESTION, HANG_GUARD);
    terminal.type_text("n\n");
    terminal.assert_exit(5, HANG_GUARD);
    assert!(terminal.text().ends_with(&format!("{LINE}\r\n")), "{}", terminal.text());
    for _ in 0..5 {
        assert_no_prompt(&plugin(&sandbox));
    }
    assert_eq!((plugin_output(&sandbox).as_str(), fake.logins().len()), ("", 0));
}

#[test]
fn plugin_unclear_answer_is_asked_once_more() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, mfa);
    let terminal = plugin(&sandbox);
    terminal.wait_for(QUESTION, HANG_GUARD);
    terminal.type_text("abc\n");
    terminal.wait_for(&format!("abc\r\n{QUESTION}"), HANG_GUARD);
    terminal.type_text("123456\n");
    terminal.assert_exit(0, HANG_GUARD);
    assert_eq!(fake.logins().len(), 2);
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, mfa);
    let terminal = plugin(&sandbox);
    terminal.wait_for(QUESTION, HANG_GUARD);
    terminal.type_text("abc\n");
    terminal.wait_for(&format!("abc\r\n{QUESTION}"), HANG_GUARD);
    terminal.type_text("xyz\n");
    terminal.assert_exit(5, HANG_GUARD);
    assert!(fake.logins().is_empty());
}

/// Fault matrix row 111.
#[test]
fn plugin_prompt_interrupted_restores_the_terminal() {
    let sandbox = Sandbox::new();
    let _fake = FakeDaemon::start(&sandbox, mfa);
    let modes = "stty -a >before; trap : INT; rolecall token prod >out.json; echo \"exit $?\"; stty -a | diff before - && echo same";
    let terminal = shell(&sandbox, modes);
    terminal.wait_for(QUESTION, HANG_GUARD);
    terminal.interrupt();
    terminal.wait_for("exit 130\r\nsame", HANG_GUARD);
    assert_no_prompt(&plugin(&sandbox));
    // Interrupt the code prompt, too.
    let sandbox = Sandbox::new();
    let _fake = FakeDaemon::start(&sandbox, mfa);
    let terminal = plugin(&sandbox);
    terminal.wait_for(QUESTION, HANG_GUARD);
    terminal.type_text("yes\n");
    terminal.wait_for("mfa/dev: ", HANG_GUARD);
    terminal.interrupt();
    assert_eq!(terminal.wait_exit(HANG_GUARD).signal(), Some(SIGINT));
    assert_eq!(plugin_output(&sandbox), "");
}

#[test]
fn plugin_without_interactive_user_does_not_prompt() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, mfa);
    let token = "rolecall token prod >out.json";
    for script in [
        // kubectl reports no interactive user, or sets no variable.
        format!("unset KUBERNETES_EXEC_INFO; {token}"),
        format!("export KUBERNETES_EXEC_INFO=\"${{KUBERNETES_EXEC_INFO/true/false}}\"; {token}"),
        // The user disabled the prompt.
        format!("export ROLECALL_NO_PROMPT=1; {token}"),
        // Standard error is redirected.
        format!("{token} 2>err; code=$?; cat err; exit $code"),
        // There is no terminal.
        format!("setsid -w {token} 2>err; code=$?; cat err; exit $code"),
        // Another program uses the terminal in raw mode.
        format!("stty -icanon -echo; {token}; code=$?; stty sane; exit $code"),
        // The plugin runs in a background job.
        format!("set -m; {token} & wait $!"),
    ] {
        let terminal = shell(&sandbox, &script);
        terminal.assert_exit(5, HANG_GUARD);
        let said = terminal.text();
        assert!(said.contains(LINE) && !said.contains("Log in now?"), "{script}: {said}");
    }
    assert_eq!(fake.logins().len(), 0);
}

#[test]
fn plugin_prompt_leaves_stdin_unread() {
    let sandbox = Sandbox::new();
    let _fake = FakeDaemon::start(&sandbox, mfa);
    let terminal =
        shell(&sandbox, "printf 'y\\nmanifest\\n' | { rolecall token prod >out.json; echo \"exit $?\"; cat; }");
    terminal.wait_for(QUESTION, HANG_GUARD);
    terminal.type_text("n\n");
    terminal.wait_exit(HANG_GUARD);
    assert!(terminal.text().ends_with("exit 5\r\ny\r\nmanifest\r\n"), "{}", terminal.text());
}

#[test]
fn plugin_rechecks_login_before_prompting() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, mfa);
    fake.log_in_after_next();
    let terminal = plugin(&sandbox);
    terminal.assert_exit(0, HANG_GUARD);
    assert!(plugin_output(&sandbox).contains(TOKEN) && terminal.text().is_empty(), "{}", terminal.text());
    assert_eq!(fake.tokens(), 2, "the plugin requests the token again before it prompts");
    // No "no" was recorded, so the next expired login prompts.
    drop(fake);
    std::fs::remove_file(sandbox.runtime_dir().join("rolecall/agent.sock")).unwrap();
    let _fake = FakeDaemon::start(&sandbox, mfa);
    plugin(&sandbox).wait_for(QUESTION, HANG_GUARD);
}

#[test]
fn plugin_twenty_runs_prompt_once_and_do_not_wait() {
    let sandbox = Sandbox::new();
    let fake = FakeDaemon::start(&sandbox, mfa);
    let script = "for n in $(seq 20); do rolecall token prod >out.$n & done; wait; echo all";
    let terminal = shell(&sandbox, script);
    terminal.wait_for(QUESTION, HANG_GUARD);
    // The prompt waits for an answer; all other runs have ended by then.
    terminal.wait_for_times(LINE, 19, HANG_GUARD);
    assert!(!terminal.text().contains("all\r\n"));
    terminal.type_text("y\n");
    terminal.wait_for("mfa/dev: ", HANG_GUARD);
    terminal.type_text("123456\n");
    terminal.wait_for("all\r\n", HANG_GUARD);
    let said = terminal.text();
    assert_eq!((said.matches("Log in now?").count(), said.matches(LINE).count()), (1, 19), "{said}");
    let full =
        (1..=20).filter(|n| std::fs::metadata(sandbox.home().join(format!("out.{n}"))).unwrap().len() > 0).count();
    assert_eq!((full, fake.logins().len()), (1, 2));
}

#[test]
fn plugin_runs_of_one_kubectl_prompt_once() {
    let sandbox = Sandbox::new();
    let Some(mut kubectl) = sandbox.kubectl() else { return skipped("kubectl is not installed") };
    let fake = FakeDaemon::start(&sandbox, mfa);
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
    terminal.wait_for(QUESTION, HANG_GUARD);
    terminal.type_text("n\n");
    assert!(!terminal.wait_exit(HANG_GUARD).success());
    let said = terminal.text();
    assert_eq!(said.matches("Log in now?").count(), 1, "{said}");
    assert!(said.contains(LINE) && fake.tokens() > 2, "{} runs: {said}", fake.tokens());
}

//! Access keys in a real GNOME Keyring: put, list, rotate, forget, and prompts at a terminal.

use std::time::Duration;

use rolecall_harness::{AccessKey, Fault, Gate, Op, SessionBus};

use crate::desktop::{Desktop, item};
use crate::fixture::{HANG_GUARD, ROLE, error_line};

#[test]
fn keys_put_list_rotate_forget_succeed() {
    let Some(desktop) = Desktop::at(SessionBus::start) else { return };
    let key = &desktop.key;

    let said = desktop.put("glass", key, &["--source"]);
    said.assert_ok();
    assert!(said.stdout.contains(&key.id[key.id.len() - 4..]) && said.stdout.contains(&key.arn), "{said}");
    let config = std::fs::read_to_string(desktop.fixture.config_path()).unwrap();
    assert!(config.contains("[sources.glass]\nkeyring = \"glass\"\n"), "{config}");
    let kept = desktop.bus.lookup(&item("glass")).unwrap();
    assert!(kept.contains(&key.id) && kept.contains("\"format\":1"), "{kept}");
    let listed = desktop.list();
    assert_eq!((listed[0]["name"].as_str(), listed[0]["arn"].as_str()), (Some("glass"), Some(key.arn.as_str())));
    let line = error_line(&desktop.put("glass", key, &[]), 1);
    assert!(line.contains("already") && line.contains("--replace"), "{line}");

    desktop.fixture.aws.delay_new_keys(3);
    let said = desktop.keys(&["rotate", "glass"]);
    said.assert_ok();
    let new = desktop.fixture.aws.access_key_ids(&key.arn);
    assert!(new.len() == 1 && new[0] != key.id, "{new:?}");
    assert!(said.stdout.contains(&new[0][new[0].len() - 4..]), "{said}");
    let kept = desktop.bus.lookup(&item("glass")).unwrap();
    assert!(kept.contains(&new[0]) && !kept.contains(&key.id), "{kept}");

    let line = error_line(&desktop.keys(&["forget", "glass"]), 2);
    assert!(line.contains("--yes"), "{line}");
    let said = desktop.keys(&["forget", "glass", "--yes"]);
    said.assert_ok();
    assert!(said.stderr.contains("source glass uses them"), "{said}");
    assert_eq!(desktop.bus.lookup(&item("glass")), None);
    desktop.assert_fails(&["forget", "glass", "--yes"], "the OS keyring has no access key of that name");
}

#[test]
fn keys_put_rejected_by_aws_stores_nothing() {
    let Some(desktop) = Desktop::at(SessionBus::start) else { return };
    let key = &desktop.key;
    let wrong = AccessKey { secret: "x".repeat(40), ..key.clone() };
    let line = error_line(&desktop.put("glass", &wrong, &[]), 1);
    assert!(line.contains("AWS rejects it") && line.contains("Nothing was stored"), "{line}");
    let session = desktop.fixture.aws.session(ROLE, "dev", Duration::from_hours(1));
    let line = error_line(&desktop.put("glass", &session, &[]), 1);
    assert!(line.contains("temporary"), "{line}");
    let line = error_line(&desktop.run(&["keys", "put", "glass", "--stdin"], "AKIA\n"), 1);
    assert!(line.contains("no access key was given"), "{line}");
    let line = error_line(&desktop.keys(&["put", "glass"]), 2);
    assert!(line.contains("--stdin"), "{line}");
    assert_eq!(desktop.list().as_array().unwrap().len(), 0);
    let before = desktop.fixture.aws.calls(Op::GetCallerIdentity);
    desktop.fixture.aws.fault(Op::GetCallerIdentity, Fault::Html.forever());
    let line = error_line(&desktop.put("glass", key, &[]), 1);
    assert!(line.contains("invalid response from STS"), "{line}");
    assert_eq!(desktop.fixture.aws.calls(Op::GetCallerIdentity), before + 1);
}

#[test]
fn keys_rotate_failure_leaves_usable_keys() {
    let Some(desktop) = Desktop::at(SessionBus::start) else { return };
    let key = &desktop.key;
    desktop.put("glass", key, &[]).assert_ok();
    let stays = || {
        assert!(desktop.bus.lookup(&item("glass")).unwrap().contains(&key.id));
        assert!(desktop.fixture.aws.access_key_ids(&key.arn).contains(&key.id));
    };

    desktop.fixture.aws.deny(&key.arn, "iam:CreateAccessKey");
    desktop.assert_fails(&["rotate", "glass"], "iam:CreateAccessKey");
    stays();
    desktop.fixture.aws.allow(&key.arn, "iam:CreateAccessKey");

    let second = desktop.fixture.aws.add_user("111122223333", "break-glass");
    desktop.assert_fails(&["rotate", "glass"], "two access keys already");
    stays();
    desktop.fixture.aws.remove_key(&second.id);

    // IAM keeps the old key: Rolecall uses the new one and reports that.
    desktop.fixture.aws.deny(&key.arn, "iam:DeleteAccessKey");
    let said = desktop.keys(&["rotate", "glass"]);
    said.assert_code(1);
    assert!(said.stdout.contains("is still there at AWS"), "{said}");
    assert!(
        said.stderr.contains("was not deleted at AWS") && said.stderr.contains("Delete the old one in IAM"),
        "{said}"
    );
    let both = desktop.fixture.aws.access_key_ids(&key.arn);
    assert_eq!(both.len(), 2);
    let kept = desktop.bus.lookup(&item("glass")).unwrap();
    assert!(kept.contains(&both[1]) && both[0] == key.id, "{kept}");
}

#[test]
fn keys_rotate_with_locked_keyring_deletes_the_new_key() {
    let Some(desktop) = Desktop::at(SessionBus::start) else { return };
    let key = &desktop.key;
    desktop.put("glass", key, &[]).assert_ok();
    // Lock the keyring after IAM has created the new key.
    let gate = Gate::new();
    desktop.fixture.aws.fault(Op::CreateAccessKey, Fault::Hold(gate.clone()));
    std::thread::scope(|scope| {
        let rotation = scope.spawn(|| desktop.keys(&["rotate", "glass"]));
        desktop.fixture.aws.wait_for_calls(Op::CreateAccessKey, 1, HANG_GUARD);
        desktop.bus.lock();
        gate.open();
        let line = error_line(&rotation.join().unwrap(), 1);
        assert!(line.contains("locked") && line.contains("the new one was deleted"), "{line}");
    });
    assert_eq!(desktop.fixture.aws.access_key_ids(&key.arn), [key.id.as_str()]);
}

#[test]
fn keys_rotate_blocks_restart_and_warns_on_stop() {
    let Some(desktop) = Desktop::at(SessionBus::start) else { return };
    let (key, sandbox) = (&desktop.key, &desktop.fixture.sandbox);
    let mut command = sandbox.rolecalld();
    desktop.bus.set_address(&mut command);
    let daemon = sandbox.spawn_daemon(&mut command);
    daemon.wait_ready(HANG_GUARD);
    desktop.put("glass", key, &[]).assert_ok();
    let gate = Gate::new();
    desktop.fixture.aws.fault(Op::CreateAccessKey, Fault::Hold(gate.clone()).times(1));
    std::thread::scope(|scope| {
        let rotation = scope.spawn(|| desktop.keys(&["rotate", "glass"]));
        desktop.fixture.aws.wait_for_calls(Op::CreateAccessKey, 1, HANG_GUARD);
        let line = error_line(&desktop.run(&["agent", "restart"], ""), 1);
        assert!(line.contains("access key \"glass\" is being changed"), "{line}");
        gate.open();
        rotation.join().unwrap().assert_ok();
    });
    let new = desktop.fixture.aws.access_key_ids(&key.arn);
    assert!(new.len() == 1 && new[0] != key.id, "{new:?}");
    desktop.run(&["agent", "restart"], "").assert_ok();

    // STS does not accept the new key for longer than `stop` waits.
    desktop.fixture.aws.delay_new_keys(1000);
    std::thread::scope(|scope| {
        let asked = desktop.fixture.aws.calls(Op::GetCallerIdentity);
        let rotation = scope.spawn(|| desktop.keys(&["rotate", "glass"]));
        desktop.fixture.aws.wait_for_calls(Op::GetCallerIdentity, asked + 1, HANG_GUARD);
        desktop.run(&["agent", "stop"], "").assert_ok();
        daemon.wait_stderr("agent stopped during a change of an access key", HANG_GUARD);
        daemon.wait_stderr("key=glass", HANG_GUARD);
        assert!(rotation.join().unwrap().stdout.is_empty());
    });
    assert!(desktop.bus.lookup(&item("glass")).unwrap().contains(&new[0]));
}

/// Runs the command in a shell, which then prints the exit code and whether the terminal echoes.
fn in_shell(arguments: &str) -> [String; 2] {
    ["-c".to_owned(), format!("rolecall {arguments}; echo \"code $?\"; stty -a | grep -o -- '-*echo ' | head -n 1")]
}

#[test]
fn keys_put_at_terminal_hides_the_secret() {
    let Some(desktop) = Desktop::at(SessionBus::start) else { return };
    let key = &desktop.key;
    let mut shell = desktop.fixture.sandbox.command("sh");
    desktop.bus.set_address(shell.args(in_shell("keys put glass")));
    let terminal = desktop.fixture.sandbox.terminal(&mut shell);
    terminal.wait_for("Access key id: ", HANG_GUARD);
    terminal.type_text(&format!("{}\r", key.id));
    terminal.wait_for("Secret access key (not shown): ", HANG_GUARD);
    terminal.type_text(&format!("{}\r", key.secret));
    terminal.wait_for("code 0", HANG_GUARD);
    terminal.assert_exit(0, HANG_GUARD);
    let said = terminal.text();
    assert!(!said.contains(&key.secret) && said.contains("[sources.glass]"), "{said}");
    assert!(!said.contains("-echo"), "{said}");

    let mut shell = desktop.fixture.sandbox.command("sh");
    desktop.bus.set_address(shell.args(in_shell("keys forget glass")));
    let terminal = desktop.fixture.sandbox.terminal(&mut shell);
    terminal.wait_for("Remove access key \"glass\" from the keyring? [y/N] ", HANG_GUARD);
    terminal.type_text("\r");
    terminal.wait_for("code 1", HANG_GUARD);
    assert_eq!(desktop.list()[0]["name"], "glass");
}

#[test]
fn keys_put_interrupted_restores_the_terminal() {
    let Some(desktop) = Desktop::at(SessionBus::start) else { return };
    for (question, keys) in [("Access key id: ", ""), ("Secret access key (not shown): ", "AKIAIOSFODNN7EXAMPLE\r")] {
        let mut shell = desktop.fixture.sandbox.command("bash");
        // Like an interactive shell, this one survives Ctrl-C.
        let script = format!("trap : INT; {}", in_shell("keys put glass")[1]);
        desktop.bus.set_address(shell.args(["-c", &script]));
        let terminal = desktop.fixture.sandbox.terminal(&mut shell);
        terminal.wait_for("Access key id: ", HANG_GUARD);
        terminal.type_text(keys);
        terminal.wait_for(question, HANG_GUARD);
        terminal.interrupt();
        terminal.wait_for("code 130", HANG_GUARD);
        terminal.assert_exit(0, HANG_GUARD);
        assert!(!terminal.text().contains("-echo"), "{}", terminal.text());
    }
    assert_eq!(desktop.list().as_array().unwrap().len(), 0);
}

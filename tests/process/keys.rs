//! Long-lived keys in a real GNOME Keyring: put, listed, rotated, forgotten; asked for on a terminal.

use std::time::Duration;

use rolecall_harness::{AccessKey, Fault, Gate, Op, SessionBus};

use crate::desk::{Desk, item};
use crate::world::{ROLE, one_line};

/// What a terminal takes, on a busy machine, at most.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn keys_are_put_listed_rotated_and_forgotten() {
    let Some(desk) = Desk::at(SessionBus::start) else { return };
    let key = &desk.key;

    let said = desk.put("glass", key, &["--source"]);
    said.assert_ok();
    assert!(said.stdout.contains(&key.id[key.id.len() - 4..]) && said.stdout.contains(&key.arn), "{said}");
    let config = std::fs::read_to_string(desk.world.config_path()).unwrap();
    assert!(config.contains("[sources.glass]\nkeyring = \"glass\"\n"), "{config}");
    let kept = desk.bus.lookup(&item("glass")).unwrap();
    assert!(kept.contains(&key.id) && kept.contains("\"format\":1"), "{kept}");
    let listed = desk.list();
    assert_eq!((listed[0]["name"].as_str(), listed[0]["arn"].as_str()), (Some("glass"), Some(key.arn.as_str())));
    let line = one_line(&desk.put("glass", key, &[]), 1);
    assert!(line.contains("already") && line.contains("--replace"), "{line}");

    desk.world.aws.delay_new_keys(3);
    let said = desk.keys(&["rotate", "glass"]);
    said.assert_ok();
    let new = desk.world.aws.access_key_ids(&key.arn);
    assert!(new.len() == 1 && new[0] != key.id, "{new:?}");
    assert!(said.stdout.contains(&new[0][new[0].len() - 4..]), "{said}");
    let kept = desk.bus.lookup(&item("glass")).unwrap();
    assert!(kept.contains(&new[0]) && !kept.contains(&key.id), "{kept}");

    let line = one_line(&desk.keys(&["forget", "glass"]), 2);
    assert!(line.contains("--yes"), "{line}");
    let said = desk.keys(&["forget", "glass", "--yes"]);
    said.assert_ok();
    assert!(said.stderr.contains("source glass uses them"), "{said}");
    assert_eq!(desk.bus.lookup(&item("glass")), None);
    desk.refuses(&["forget", "glass", "--yes"], "there are no keys of that name");
}

#[test]
fn keys_that_aws_does_not_take_are_not_kept() {
    let Some(desk) = Desk::at(SessionBus::start) else { return };
    let key = &desk.key;
    let wrong = AccessKey { secret: "x".repeat(40), ..key.clone() };
    let line = one_line(&desk.put("glass", &wrong, &[]), 1);
    assert!(line.contains("AWS rejects it") && line.contains("Nothing was stored"), "{line}");
    let session = desk.world.aws.session(ROLE, "dev", Duration::from_hours(1));
    let line = one_line(&desk.put("glass", &session, &[]), 1);
    assert!(line.contains("temporary"), "{line}");
    let line = one_line(&desk.run(&["keys", "put", "glass", "--stdin"], "AKIA\n"), 1);
    assert!(line.contains("no keys were given"), "{line}");
    let line = one_line(&desk.keys(&["put", "glass"]), 2);
    assert!(line.contains("--stdin"), "{line}");
    assert_eq!(desk.list().as_array().unwrap().len(), 0);
    let before = desk.world.aws.calls(Op::GetCallerIdentity);
    desk.world.aws.fault(Op::GetCallerIdentity, Fault::Html.forever());
    let line = one_line(&desk.put("glass", key, &[]), 1);
    assert!(line.contains("is not STS"), "{line}");
    assert_eq!(desk.world.aws.calls(Op::GetCallerIdentity), before + 1);
}

#[test]
fn a_rotation_that_fails_leaves_keys_that_work() {
    let Some(desk) = Desk::at(SessionBus::start) else { return };
    let key = &desk.key;
    desk.put("glass", key, &[]).assert_ok();
    let stays = || {
        assert!(desk.bus.lookup(&item("glass")).unwrap().contains(&key.id));
        assert!(desk.world.aws.access_key_ids(&key.arn).contains(&key.id));
    };

    desk.world.aws.deny(&key.arn, "iam:CreateAccessKey");
    desk.refuses(&["rotate", "glass"], "iam:CreateAccessKey");
    stays();
    desk.world.aws.allow(&key.arn, "iam:CreateAccessKey");

    let second = desk.world.aws.add_user("111122223333", "break-glass");
    desk.refuses(&["rotate", "glass"], "two access keys already");
    stays();
    desk.world.aws.remove_key(&second.id);

    // The old one stays at AWS: the new one is used, and that is said.
    desk.world.aws.deny(&key.arn, "iam:DeleteAccessKey");
    let said = desk.keys(&["rotate", "glass"]);
    said.assert_code(1);
    assert!(said.stdout.contains("is still there at AWS"), "{said}");
    assert!(
        said.stderr.contains("was not deleted at AWS") && said.stderr.contains("delete the old one in IAM"),
        "{said}"
    );
    let both = desk.world.aws.access_key_ids(&key.arn);
    assert_eq!(both.len(), 2);
    let kept = desk.bus.lookup(&item("glass")).unwrap();
    assert!(kept.contains(&both[1]) && both[0] == key.id, "{kept}");
}

#[test]
fn new_keys_that_cannot_be_kept_are_deleted_again() {
    let Some(desk) = Desk::at(SessionBus::start) else { return };
    let key = &desk.key;
    desk.put("glass", key, &[]).assert_ok();
    // In the moment when AWS has made them, the keyring is locked.
    let gate = Gate::new();
    desk.world.aws.fault(Op::CreateAccessKey, Fault::Hold(gate.clone()));
    std::thread::scope(|scope| {
        let rotation = scope.spawn(|| desk.keys(&["rotate", "glass"]));
        desk.world.aws.wait_for_calls(Op::CreateAccessKey, 1, Duration::from_secs(20));
        desk.bus.lock();
        gate.open();
        let line = one_line(&rotation.join().unwrap(), 1);
        assert!(line.contains("locked") && line.contains("the new one was deleted"), "{line}");
    });
    assert_eq!(desk.world.aws.access_key_ids(&key.arn), [key.id.as_str()]);
}

#[test]
fn a_rotation_is_not_cut_off_by_a_restart_and_one_that_is_by_a_stop_is_told() {
    let Some(desk) = Desk::at(SessionBus::start) else { return };
    let (key, sandbox) = (&desk.key, &desk.world.sandbox);
    let mut command = sandbox.rolecalld();
    desk.bus.set_address(&mut command);
    let daemon = sandbox.spawn_daemon(&mut command);
    daemon.wait_ready(SOON);
    desk.put("glass", key, &[]).assert_ok();
    let gate = Gate::new();
    desk.world.aws.fault(Op::CreateAccessKey, Fault::Hold(gate.clone()).times(1));
    std::thread::scope(|scope| {
        let rotation = scope.spawn(|| desk.keys(&["rotate", "glass"]));
        desk.world.aws.wait_for_calls(Op::CreateAccessKey, 1, SOON);
        let line = one_line(&desk.run(&["agent", "restart"], ""), 1);
        assert!(line.contains("access key \"glass\" is being changed"), "{line}");
        gate.open();
        rotation.join().unwrap().assert_ok();
    });
    let new = desk.world.aws.access_key_ids(&key.arn);
    assert!(new.len() == 1 && new[0] != key.id, "{new:?}");
    desk.run(&["agent", "restart"], "").assert_ok();

    // There are new ones, and STS does not know them for longer than a stop waits.
    desk.world.aws.delay_new_keys(1000);
    std::thread::scope(|scope| {
        let asked = desk.world.aws.calls(Op::GetCallerIdentity);
        let rotation = scope.spawn(|| desk.keys(&["rotate", "glass"]));
        desk.world.aws.wait_for_calls(Op::GetCallerIdentity, asked + 1, SOON);
        desk.run(&["agent", "stop"], "").assert_ok();
        daemon.wait_stderr("agent stopped during a change of an access key", SOON);
        daemon.wait_stderr("key=glass", SOON);
        assert!(rotation.join().unwrap().stdout.is_empty());
    });
    assert!(desk.bus.lookup(&item("glass")).unwrap().contains(&new[0]));
}

/// The command in a shell, which tells afterwards how it ended and whether the terminal shows what is typed.
fn in_shell(arguments: &str) -> [String; 2] {
    ["-c".to_owned(), format!("rolecall {arguments}; echo \"code $?\"; stty -a | grep -o -- '-*echo ' | head -n 1")]
}

#[test]
fn a_person_types_the_keys_and_the_secret_is_not_shown() {
    let Some(desk) = Desk::at(SessionBus::start) else { return };
    let key = &desk.key;
    let mut shell = desk.world.sandbox.command("sh");
    desk.bus.set_address(shell.args(in_shell("keys put glass")));
    let terminal = desk.world.sandbox.terminal(&mut shell);
    terminal.wait_for("Access key id: ", SOON);
    terminal.type_text(&format!("{}\r", key.id));
    terminal.wait_for("Secret access key (not shown): ", SOON);
    terminal.type_text(&format!("{}\r", key.secret));
    terminal.wait_for("code 0", SOON);
    terminal.assert_exit(0, SOON);
    let said = terminal.text();
    assert!(!said.contains(&key.secret) && said.contains("[sources.glass]"), "{said}");
    assert!(!said.contains("-echo"), "{said}");

    let mut shell = desk.world.sandbox.command("sh");
    desk.bus.set_address(shell.args(in_shell("keys forget glass")));
    let terminal = desk.world.sandbox.terminal(&mut shell);
    terminal.wait_for("Remove the keys glass from the keyring? [y/N] ", SOON);
    terminal.type_text("\r");
    terminal.wait_for("code 1", SOON);
    assert_eq!(desk.list()[0]["name"], "glass");
}

#[test]
fn ctrl_c_at_the_question_gives_the_terminal_back() {
    let Some(desk) = Desk::at(SessionBus::start) else { return };
    for (question, keys) in [("Access key id: ", ""), ("Secret access key (not shown): ", "AKIAIOSFODNN7EXAMPLE\r")] {
        let mut shell = desk.world.sandbox.command("bash");
        // An interactive shell's children have a group of their own, and it does not die with them.
        let script = format!("trap : INT; {}", in_shell("keys put glass")[1]);
        desk.bus.set_address(shell.args(["-c", &script]));
        let terminal = desk.world.sandbox.terminal(&mut shell);
        terminal.wait_for("Access key id: ", SOON);
        terminal.type_text(keys);
        terminal.wait_for(question, SOON);
        terminal.interrupt();
        terminal.wait_for("code 130", SOON);
        terminal.assert_exit(0, SOON);
        assert!(!terminal.text().contains("-echo"), "{}", terminal.text());
    }
    assert_eq!(desk.list().as_array().unwrap().len(), 0);
}

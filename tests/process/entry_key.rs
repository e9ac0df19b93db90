//! The entry key, and what else a kubeconfig chooses for the plugin: the environment and the arguments.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rolecall_harness::Output;

use crate::fixture::{ADD, EXEC_INFO, Fixture, HANG_GUARD, error_line};

const VARIABLE: &str = "ROLECALL_ENTRY_KEY";

/// Runs the plugin as a kubeconfig entry without an entry key does.
fn without_key(fixture: &Fixture, change: impl FnOnce(&mut Command) -> &mut Command) -> Output {
    let mut command = fixture.sandbox.rolecall();
    command.args(["token", "prod"]).env("KUBERNETES_EXEC_INFO", EXEC_INFO);
    change(&mut command);
    fixture.sandbox.run_as_given(&mut command)
}

fn kubeconfig(fixture: &Fixture) -> String {
    fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap()
}

/// A configuration of another author: the profile `prod` without pin and key.
fn write_open_config(fixture: &Fixture) -> PathBuf {
    let own = fs::read_to_string(fixture.config_path()).unwrap();
    let is_pin = |line: &&str| !["server", "ca_sha256", "entry_key"].iter().any(|key| line.starts_with(key));
    let text: String = own.lines().filter(is_pin).flat_map(|line| [line, "\n"]).collect();
    fixture.sandbox.write("home/repository/open.toml", &format!("{text}pin = \"off\"\n"))
}

#[test]
fn add_writes_one_key_into_configuration_and_entry() {
    let fixture = Fixture::bare();
    fixture.write_config("# mine\n");
    fs::set_permissions(fixture.config_path(), fs::Permissions::from_mode(0o640)).unwrap();
    fixture.rolecall(&ADD).assert_ok();
    let key = fixture.sandbox.entry_key("prod").unwrap();
    let (config, entry) = (fs::read_to_string(fixture.config_path()).unwrap(), kubeconfig(&fixture));
    assert!(config.starts_with("# mine\n") && config.matches(&key).count() == 1, "{config}");
    assert_eq!(fs::metadata(fixture.config_path()).unwrap().permissions().mode() & 0o777, 0o640);
    // In quotes if it looks like a number.
    let value = |key: &str| format!("- name: {VARIABLE}\n        value: {key}\n");
    assert!(entry.contains(&value(&key)) || entry.contains(&value(&format!("\"{key}\""))), "{entry}");
    for arguments in [&["kubeconfig", "prod"][..], &["kubeconfig", "--all"], &ADD] {
        fixture.rolecall(arguments).assert_ok();
        assert_eq!(
            (fs::read_to_string(fixture.config_path()).unwrap(), kubeconfig(&fixture)),
            (config.clone(), entry.clone())
        );
    }
    assert!(fixture.rolecall(&["kubeconfig", "prod", "--print"]).assert_ok().stdout.contains(&key));
    // A change of the profile keeps the key.
    let mut replace = ADD.to_vec();
    replace.extend(["--duration", "30min", "--replace"]);
    fixture.rolecall(&replace).assert_ok();
    assert_eq!(fixture.sandbox.entry_key("prod"), Some(key));
}

/// Fault matrix row 42.
#[test]
fn token_without_cluster_needs_the_entry_key() {
    let fixture = Fixture::added();
    fixture.token().assert_ok();
    for info in [None, Some(""), Some(" "), Some(EXEC_INFO)] {
        let said = without_key(&fixture, |command| match info {
            Some(info) => command.env("KUBERNETES_EXEC_INFO", info),
            None => command.env_remove("KUBERNETES_EXEC_INFO"),
        });
        let line = error_line(&said, 1);
        assert!(line.starts_with("rolecall: prod: the call has no entry key"), "{line}");
        let hint = match info {
            None | Some("") => "In a script, set ROLECALL_ENTRY_KEY; see WHO GETS A TOKEN in: man rolecall",
            Some(_) => "rolecall kubeconfig prod",
        };
        assert!(line.contains(hint), "{line}");
    }
    let other = "00".repeat(32);
    let line = error_line(&without_key(&fixture, |command| command.env(VARIABLE, &other)), 1);
    assert!(line.starts_with("rolecall: prod: the call has another entry key than the profile"), "{line}");
    assert_eq!(fixture.assume_role_calls(), 1, "the one of add");
    let shown = fixture.rolecall(&["show", "prod"]).assert_ok().stdout.clone();
    assert!(
        shown.contains("pin           entry: a call that names no server")
            && shown.contains("problem       the call has another"),
        "{shown}"
    );
    let json = fixture.rolecall(&["show", "prod", "--json"]).json();
    assert_eq!((json["pin"].as_str(), json["has_entry_key"].as_bool()), (Some("entry"), Some(true)));
    assert_eq!(json["problem"]["code"], "entry_key_mismatch");
}

/// Standard output of a plugin is a pipe: only a user can make it a terminal.
#[test]
fn token_at_a_terminal_needs_no_key() {
    let fixture = Fixture::added();
    let mut command = fixture.sandbox.rolecall();
    let terminal = fixture.sandbox.terminal(command.args(["token", "prod"]));
    terminal.wait_for("\"token\":\"k8s-aws-v1.", HANG_GUARD);
    terminal.assert_exit(0, HANG_GUARD);
    // Without a folder for the socket, the daemon answers once, with the same rule.
    let mut command = fixture.sandbox.rolecall();
    no_folder(command.args(["token", "prod"]));
    let terminal = fixture.sandbox.terminal(&mut command);
    terminal.wait_for("\"token\":\"k8s-aws-v1.", HANG_GUARD);
    terminal.assert_exit(0, HANG_GUARD);
    let said = without_key(&fixture, no_folder);
    said.assert_code(1).assert_stdout_empty();
    assert!(said.stderr.contains("the call has no entry key"), "{said}");
    let mut command = fixture.sandbox.rolecall();
    no_folder(command.args(["token", "prod"]));
    fixture.sandbox.run(&mut command).assert_ok();
}

#[test]
fn kubeconfig_gives_a_key_to_an_existing_profile() {
    let fixture = Fixture::added();
    let key = fixture.sandbox.entry_key("prod").unwrap();
    let text = fs::read_to_string(fixture.config_path()).unwrap();
    let old =
        text.lines().filter(|line| !line.starts_with("entry_key")).fold(String::new(), |all, line| all + line + "\n");
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    // Not by the fixture, which adds keys.
    fixture.sandbox.write(fixture.config_path().strip_prefix(fixture.sandbox.root()).unwrap(), &old);
    let shown = fixture.rolecall(&["show", "prod"]).assert_ok().stdout.clone();
    assert!(shown.contains("entry, without an entry key. Run: rolecall kubeconfig prod"), "{shown}");
    error_line(&without_key(&fixture, |command| command.env(VARIABLE, &key)), 1);
    fixture.rolecall(&["kubeconfig", "prod"]).assert_ok();
    let new = fixture.sandbox.entry_key("prod").unwrap();
    assert_ne!(new, key);
    assert!(kubeconfig(&fixture).contains(&new) && !kubeconfig(&fixture).contains(&key));
    fixture.token().assert_ok();
}

/// Fault matrix row 54.
#[test]
fn entry_key_is_in_no_log_and_no_status() {
    let fixture = Fixture::added();
    let key = fixture.sandbox.entry_key("prod").unwrap();
    fixture.token().assert_ok();
    without_key(&fixture, |command| command.env(VARIABLE, "11".repeat(32))).assert_code(1);
    for arguments in [&["show", "prod", "--json"][..], &["show", "prod"], &["status", "--json"], &["list", "--json"]] {
        let said = fixture.rolecall(arguments);
        said.assert_ok();
        assert!(!said.stdout.contains(&key) && !said.stderr.contains(&key), "{said}");
    }
    let log = fs::read_to_string(fixture.sandbox.state_home().join("rolecall/daemon.log")).unwrap();
    assert!(
        log.contains("token refused by the pin") && !log.contains(&key) && !log.contains(&"11".repeat(32)),
        "{log}"
    );
    // The daemon that this client starts does not inherit the key.
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    fixture.token().assert_ok();
    let environment = fs::read(format!("/proc/{}/environ", fixture.daemon_pid()));
    assert!(environment.is_err() || !String::from_utf8_lossy(&environment.unwrap()).contains(&key));
}

/// Fault matrix row 43.
#[test]
fn token_ignores_a_configuration_of_the_kubeconfig() {
    let fixture = Fixture::added();
    let open = write_open_config(&fixture);
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    let socket = fixture.sandbox.runtime_dir().join("other.sock");
    for socket in [None, Some(socket)] {
        let said = without_key(&fixture, |command| {
            command.env("ROLECALL_CONFIG", &open).envs(socket.iter().map(|path| ("ROLECALL_SOCKET", path)))
        });
        let line = error_line(&said, 1);
        assert!(line.contains("no entry key"), "{line}");
        let mut status = fixture.sandbox.rolecall();
        status.args(["status", "--json"]).envs(socket.iter().map(|path| ("ROLECALL_SOCKET", path)));
        let path = fixture.sandbox.run(&mut status).json()["config"]["path"].as_str().unwrap().to_owned();
        assert_eq!(Path::new(&path), fixture.config_path(), "the daemon that the plugin started");
    }
}

/// Fault matrix row 43.
#[test]
fn token_of_a_daemon_with_another_configuration_is_refused() {
    let fixture = Fixture::added();
    let open = write_open_config(&fixture);
    let socket = fixture.sandbox.runtime_dir().join("other.sock");
    let daemon = fixture
        .sandbox
        .spawn_daemon(fixture.sandbox.rolecalld().arg("--config").arg(&open).arg("--socket").arg(&socket));
    daemon.wait_ready(HANG_GUARD);
    let token = || without_key(&fixture, |command| command.env("ROLECALL_SOCKET", &socket));
    let line = error_line(&token(), 1);
    assert!(line.contains(open.to_str().unwrap()) && line.contains("trusted_configs under [client]"), "{line}");
    let own = fs::read_to_string(fixture.config_path()).unwrap();
    fixture.write_config(&format!("{own}\n[client]\ntrusted_configs = [\"{}\"]\n", open.display()));
    token().assert_ok();
    // The path of the own daemon is as good as none.
    fixture
        .sandbox
        .run(fixture.sandbox.rolecall().args(["token", "prod"]).env("ROLECALL_SOCKET", fixture.socket()))
        .assert_ok();
}

/// Fault matrix row 43.
#[test]
fn other_commands_are_no_plugins() {
    let fixture = Fixture::added();
    let before = fs::read_to_string(fixture.config_path()).unwrap();
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    let open = write_open_config(&fixture);
    let ca = fixture.sandbox.write("home/ca.pem", fixture.api.ca_pem());
    let repin = ["--no-verify", "--replace", "--server", "https://evil.example.com", "--certificate-authority"];
    for arguments in [&ADD[..], &["agent", "start"], &["remove", "prod"], &["kubeconfig", "prod", "--repin"]] {
        let mut command = fixture.sandbox.rolecall();
        command.args(arguments).env("KUBERNETES_EXEC_INFO", EXEC_INFO).env("ROLECALL_CONFIG", &open);
        if arguments == ADD {
            command.args(repin).arg(&ca);
        }
        let line = error_line(&fixture.sandbox.run(&mut command), 2);
        assert!(line.contains("as its plugin"), "{line}");
    }
    assert_eq!(fs::read_to_string(fixture.config_path()).unwrap(), before);
    assert!(!fixture.socket().exists(), "no daemon was started");
}

#[test]
fn repin_says_what_changed() {
    let fixture = Fixture::added();
    let url = fixture.api.url();
    let text = fs::read_to_string(fixture.config_path()).unwrap();
    // The next agent reads the changed file.
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    fixture.write_config(&text.replace(&url, "https://old.example.com"));
    let line = error_line(&fixture.rolecall(&["kubeconfig", "prod"]), 1);
    assert!(line.contains(&format!("server is {url}, and https://old.example.com is pinned")), "{line}");
    let said = fixture.rolecall(&["kubeconfig", "prod", "--repin"]);
    said.assert_ok();
    let expected = format!("rolecall: prod: the pinned server was https://old.example.com and is now {url}\n");
    assert_eq!(said.stderr, expected);
}

/// Makes every folder for the socket unusable.
fn no_folder(command: &mut Command) -> &mut Command {
    command.env("XDG_RUNTIME_DIR", "/proc").env("XDG_STATE_HOME", "/proc")
}

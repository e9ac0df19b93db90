//! Limits of the process: files that may not grow, few file descriptors, a standard output without room.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use crate::fixture::{ADD, Fixture, error_line};

/// A command that runs `rolecall` after a shell has set a limit, which the daemon inherits.
fn limited(fixture: &Fixture, limit: &str, arguments: &[&str]) -> Command {
    let mut command = fixture.sandbox.command("sh");
    command.args(["-c", &format!("{limit} && exec \"$@\""), "sh", "rolecall"]).args(arguments);
    fixture.sandbox.pass_entry_key(&mut command, "prod");
    command
}

/// Fault matrix row 93. The kernel sends SIGXFSZ, which ends a process that does not handle it.
#[test]
fn token_is_served_while_no_file_may_grow() {
    let fixture = Fixture::configured();
    fixture.sandbox.run(&mut limited(&fixture, "ulimit -f 0", &["token", "prod"])).assert_ok();
    let pid = fixture.daemon_pid();
    fixture.sandbox.run(&mut limited(&fixture, "ulimit -f 0", &["refresh", "prod"])).assert_ok();
    assert_eq!(fixture.daemon_pid(), pid);
    let said = fixture.rolecall(&["status"]);
    let line = said.assert_ok().stdout.lines().find(|line| line.contains("the audit log")).unwrap();
    assert!(line.contains(" cannot be written: File too large") && line.contains("Run: rolecall doctor"), "{line}");
}

/// Fault matrix row 93.
#[test]
fn client_that_may_write_no_file_reports_it() {
    let fixture = Fixture::bare();
    fixture.rolecall(&["agent", "start"]).assert_ok();
    let said = fixture.sandbox.run(&mut limited(&fixture, "ulimit -f 0", &ADD));
    said.assert_code(1);
    assert!(said.stderr.contains("File too large") && said.stderr.lines().count() == 1, "{said}");
    assert!(!fixture.config_path().exists() && !fixture.sandbox.kubeconfig().exists());
}

/// The signal is the default again in a program that the client runs.
#[test]
fn program_that_may_write_no_file_is_ended_as_by_its_shell() {
    let fixture = Fixture::added();
    let program = ["sh", "-c", "exec head -c 100000 /dev/zero >large"];
    let arguments = [&["exec", "prod", "--"][..], &program].concat();
    let said = fixture.sandbox.run(&mut limited(&fixture, "cd && ulimit -f 16", &arguments));
    drop(fixture.sandbox.leaks()); // the program has the session in its environment
    assert_eq!((said.status.signal(), said.stdout.as_str()), (Some(nix::libc::SIGXFSZ), ""), "{said}");
}

/// Fault matrix row 27.
#[test]
fn daemon_with_too_few_descriptors_does_not_start() {
    let fixture = Fixture::configured();
    for count in [10, 12, 16, 20, 47] {
        let said = fixture.sandbox.run(&mut limited(&fixture, &format!("ulimit -n {count}"), &["status"]));
        let line = error_line(&said, 3);
        let expected = format!(
            "rolecall: the agent cannot start: the limit of open files is {count}, and the agent needs 48: raise it where it \
             is set (ulimit -n, LimitNOFILE)."
        );
        assert!(line.starts_with(&expected), "{line}");
    }
    fixture.sandbox.run(&mut limited(&fixture, "ulimit -n 48", &["token", "prod"])).assert_ok();
    fixture.sandbox.run(&mut limited(&fixture, "ulimit -n 48", &["status"])).assert_ok();
}

/// Fault matrix row 110.
#[test]
fn full_stdout_is_an_error_of_every_command() {
    let fixture = Fixture::configured();
    fixture.token().assert_ok();
    let run = |program: &str, arguments: &str| {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = fixture.sandbox.command(program);
        command.args(arguments.split_whitespace()).stdin(Stdio::null()).stdout(full).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = format!("{program}: cannot write to standard output: No space left on device");
        assert!(said.starts_with(&expected) && said.lines().count() == 1, "{program} {arguments}: {said}");
        assert_eq!(output.status.code(), Some(1), "{program} {arguments}");
    };
    for arguments in [
        "--help",
        "-h",
        "--version",
        "help",
        "help add",
        "add --help",
        "token -h",
        "config --help",
        "config path",
        "config check",
        "completions bash",
        "list",
        "list -o json",
        "status",
        "status -o yaml",
        "show prod",
        "agent status",
        "audit -o json",
        "env prod",
        "credentials prod",
        "kubeconfig prod --print",
        "doctor -o json",
    ] {
        run("rolecall", arguments);
    }
    run("rolecalld", "--help");
    run("rolecalld", "--version");
}

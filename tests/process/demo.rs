//! `cargo demo`: an interrupt removes its files and processes, and `--shell` gives a user's files to try.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use rolecall_harness::Sandbox;

use crate::files::skipped;
use crate::fixture::{HANG_GUARD, kill};

#[test]
fn demo_interrupted_leaves_no_files_or_processes() {
    let sandbox = Sandbox::new();
    // The demo runs cargo, so it inherits the whole environment of the test.
    let program = sandbox.command("demo").get_program().to_owned();
    let mut demo = std::process::Command::new(program).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let folder = lines.find_map(|line| {
        line.strip_prefix("   (all files are in ")
            .and_then(|rest| rest.split_once(','))
            .map(|(folder, _)| folder.to_owned())
    });
    let folder = folder.expect("the demo says where it lives");
    assert!(Path::new(&folder).is_dir());
    // The second profile exists, so a daemon runs.
    assert!(lines.any(|line| line.starts_with("✓ added context staging")));
    kill("INT", demo.id());
    for _ in lines {}
    assert_eq!(demo.wait().unwrap().code(), Some(130));
    assert!(!Path::new(&folder).exists());
    assert_eq!(processes_in(&folder), Vec::<String>::new());
}

#[test]
fn demo_shell_has_contexts_to_import() {
    let sandbox = Sandbox::new();
    let Some(kubectl) = sandbox.kubectl() else { return skipped("kubectl") };
    let kubectl = kubectl.get_program().to_str().unwrap().to_owned();
    let terminal = sandbox.terminal(sandbox.command("demo").arg("--shell"));
    terminal.wait_for("demo:~", HANG_GUARD);
    terminal.type_text("echo at $HOME.\n");
    terminal.wait_for("at /tmp/rc-", HANG_GUARD);
    let folder = terminal.raw().rsplit_once("at /tmp/").unwrap().1.split_once("/home.").unwrap().0.to_owned();
    terminal.type_text(&format!("rolecall import --yes && {kubectl} --context staging get pods\n"));
    terminal.wait_for("staging-web-", HANG_GUARD);
    // Ctrl-C ends the line that the user types, and not the demo.
    terminal.type_text("false\x03");
    terminal.type_text("rolecall add corp --cluster prod --region eu-west-1 --aws-profile corp\n");
    terminal.wait_for("Log in now? [Y/n] ", HANG_GUARD);
    terminal.type_text("y\n");
    terminal.wait_for("the cluster knows you as dev:dev", HANG_GUARD);
    terminal.type_text("exit\n");
    terminal.assert_exit(0, HANG_GUARD);
    assert!(!Path::new("/tmp").join(&folder).exists());
    assert_eq!(processes_in(&folder), Vec::<String>::new());
}

/// Returns the command lines that contain the folder.
fn processes_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).filter(|line| line.contains(folder)).collect()
}

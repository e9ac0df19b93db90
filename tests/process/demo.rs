//! An interrupted `cargo demo` removes its files and processes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use rolecall_harness::Sandbox;

use crate::fixture::kill;

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

/// Returns the command lines that contain the folder.
fn processes_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).filter(|line| line.contains(folder)).collect()
}

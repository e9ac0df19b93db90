//! A short soak. A long one is `cargo measure soak --for 24h`.

use std::path::PathBuf;

use rolecall_harness::Sandbox;
use rolecall_harness::soak::{self, FaultKind, SoakLength, SoakOptions};

use crate::files::skipped;

/// Fault matrix row 114.
#[test]
fn soak_with_each_fault_once_has_no_violation() {
    let sandbox = Sandbox::new();
    let program = |command: std::process::Command| PathBuf::from(command.get_program());
    let options = SoakOptions {
        client: program(sandbox.rolecall()),
        daemon: program(sandbox.rolecalld()),
        seed: 114,
        length: SoakLength::EachFaultOnce,
        callers: 6,
    };
    let report = soak::run(&options, |_| ());
    assert!(report.is_ok(), "{report}");
    for text in &report.off {
        skipped(text);
    }
    let is_possible = |kind: &&FaultKind| report.off.is_empty() || !kind.needs_clock();
    assert_eq!(report.faults.len(), FaultKind::ALL.iter().filter(is_possible).count(), "{report}");
    assert!(report.tokens > 300 && report.by_process > 20 && report.sessions > 8, "{report}");
}

//! The real kubectl when AWS denies the role or the API server answers 401. kubectl runs the plugin several times for
//! one command, and each run has to be cheap.

use std::fs;
use std::path::PathBuf;

use rolecall_harness::Output;

use crate::fixture::{Fixture, ROLE};

struct CountedRuns {
    fixture: Fixture,
    /// One line per run of the plugin.
    runs: PathBuf,
}

impl CountedRuns {
    /// Returns `None`, and reports the test as skipped, without kubectl.
    fn new() -> Option<Self> {
        let fixture = Fixture::new()?;
        let runs = fixture.sandbox.root().join("runs");
        let counted = Self { fixture, runs };
        counted.count_runs();
        Some(counted)
    }

    /// Replaces the plugin by a script that counts the run and then executes the plugin, so that process and parent are
    /// the usual ones.
    fn count_runs(&self) {
        let rolecall = self.fixture.sandbox.rolecall().get_program().to_str().unwrap().to_owned();
        let script = format!("#!/bin/sh\necho run >>'{}'\nexec '{rolecall}' \"$@\"\n", self.runs.display());
        let path = self.fixture.sandbox.root().join("plugin");
        // A shell writes it: Linux cannot execute a file that another thread's child still has open for writing.
        let mut install = self.fixture.sandbox.command("sh");
        install.args(["-c", "cat >\"$1\" && chmod +x \"$1\"", "sh"]).arg(&path);
        self.fixture.sandbox.run_with_input(&mut install, script.as_bytes()).assert_ok();
        let kubeconfig = self.fixture.sandbox.kubeconfig();
        let text = fs::read_to_string(&kubeconfig).unwrap();
        assert!(text.contains(&rolecall), "{text}");
        fs::write(&kubeconfig, text.replace(&rolecall, path.to_str().unwrap())).unwrap();
    }

    fn runs(&self) -> usize {
        fs::read_to_string(&self.runs).unwrap_or_default().lines().count()
    }

    fn get_pods(&self) -> Output {
        self.fixture.kubectl(&["--context", "prod", "get", "pods"])
    }
}

/// Fault matrix row 68.
#[test]
fn kubectl_with_denied_role_makes_one_assume_role_call() {
    let Some(counted) = CountedRuns::new() else { return };
    // Stop the daemon, so that it forgets the session of `add`.
    counted.fixture.rolecall(&["agent", "stop"]).assert_ok();
    counted.fixture.aws.remove_role(ROLE);
    let before = counted.fixture.assume_role_calls();
    let said = counted.get_pods();
    said.assert_code(1);
    assert!(counted.runs() > 1, "{said}");
    assert_eq!(counted.fixture.assume_role_calls() - before, 1, "of {} runs: {said}", counted.runs());
    let ours: Vec<_> = said.stderr.lines().filter(|line| line.starts_with("rolecall: ")).collect();
    assert!(ours.len() == counted.runs() && ours.iter().all(|line| *line == ours[0]), "{said}");
    assert!(ours[0].starts_with("rolecall: prod: AWS denied AssumeRole") && ours[0].contains(ROLE), "{said}");
}

/// Runs one rejected kubectl, and returns the number of plugin runs and of new tokens. `rejected` counts the rejections that the
/// daemon sees. From the third one on, the user sees one line of the plugin beside kubectl's own.
fn run_rejected_kubectl(counted: &CountedRuns, rejected: &mut usize) -> (usize, usize) {
    let (runs, tokens) = (counted.runs(), counted.fixture.api.tokens().len());
    let said = counted.get_pods();
    said.assert_code(1);
    let runs = counted.runs() - runs;
    // With cached discovery, kubectl runs the plugin twice.
    *rejected += runs - 1;
    let ours: Vec<&str> = said.stderr.lines().filter(|line| line.starts_with("rolecall: ")).collect();
    let line = "rolecall: prod: the cluster rejects this role (401). Run: rolecall doctor prod";
    let expected = if *rejected < 3 { vec![] } else { vec![line] };
    assert_eq!(ours, expected, "{rejected} rejections: {said}");
    assert!(said.stderr.contains("Unauthorized") || said.stderr.contains("provide credentials"), "{said}");
    (runs, counted.fixture.api.tokens().len() - tokens)
}

/// Fault matrix row 83.
#[test]
fn kubectl_always_401_causes_one_assume_role_call() {
    let Some(counted) = CountedRuns::new() else { return };
    counted.get_pods().assert_ok();
    let before = counted.fixture.assume_role_calls();
    counted.fixture.api.reject_next(usize::MAX);
    let mut rejected = 0;
    let (runs, tokens) = run_rejected_kubectl(&counted, &mut rejected);
    assert!(runs > 1, "kubectl runs the plugin again after a 401");
    assert!(tokens <= runs, "{tokens} tokens in {runs} runs");
    assert!(tokens >= 1, "a rejected plugin gets a new token: {runs} runs");
    // The user runs kubectl again.
    for _ in 0..2 {
        let (runs, tokens) = run_rejected_kubectl(&counted, &mut rejected);
        assert!(tokens <= runs, "{tokens} tokens in {runs} runs");
    }
    let status = counted.fixture.rolecall(&["status"]).stdout;
    assert!(
        status.contains("! prod") && status.contains("the cluster rejects this role (401): rolecall doctor "),
        "{status}"
    );
    // The daemon bypasses the cached session at most once in this time.
    assert_eq!(counted.fixture.assume_role_calls() - before, 1, "of {} runs", counted.runs());
    counted.fixture.api.reject_next(0);
    counted.get_pods().assert_ok();
    assert_eq!(counted.fixture.assume_role_calls() - before, 1);
    // A later kubectl shows that the one before it was not rejected.
    for _ in 0..3 {
        counted.get_pods().assert_ok();
    }
    let status = counted.fixture.rolecall(&["status"]).stdout;
    assert!(!status.contains("the cluster rejects"), "{status}");
}

/// Fault matrix row 83.
#[test]
fn kubectl_replaces_session_revoked_by_aws() {
    let Some(counted) = CountedRuns::new() else { return };
    counted.get_pods().assert_ok();
    let before = counted.fixture.assume_role_calls();
    counted.fixture.aws.expire_sessions(ROLE);
    // An API server caches a token review for two minutes.
    counted.fixture.api.clear_token_cache();
    let said: Vec<Output> = (0..3).map(|_| counted.get_pods()).collect();
    assert!(said.iter().all(|said| !said.stderr.contains("rolecall: ")), "the cluster maps the role: {said:#?}");
    assert!(said.iter().any(|said| said.code() == Some(0)), "{said:#?}");
    counted.get_pods().assert_ok();
    assert_eq!(counted.fixture.assume_role_calls() - before, 1);
}

//! The audit log, and `rolecall audit`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::fixture::{EXEC_INFO, Fixture, ROLE, error_line};

impl Fixture {
    fn audit_log(&self) -> PathBuf {
        self.sandbox.state_home().join("rolecall/audit.jsonl")
    }

    /// Runs `rolecall token prod` in a shell, as kubectl runs it.
    fn token_of_shell(&self, shell: &str) {
        let mut command = self.sandbox.command(shell);
        command.args(["-c", "rolecall token prod; exit $?"]).env("KUBERNETES_EXEC_INFO", EXEC_INFO);
        self.sandbox.pass_entry_key(&mut command, "prod");
        self.sandbox.run(&mut command).assert_ok();
    }

    /// Stops the daemon, which writes every decision first, and returns the decisions.
    fn decisions(&self, arguments: &[&str]) -> Vec<Value> {
        self.rolecall(&["agent", "stop"]).assert_ok();
        let mut all = vec!["audit", "-o", "json"];
        all.extend(arguments);
        let said = self.rolecall(&all);
        said.assert_ok();
        said.json().as_array().unwrap().clone()
    }
}

fn results(decisions: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let result = |record: &Value| [&record["operation"], &record["decision"], &record["reason"]].map(text).join(" ");
    decisions.iter().map(result).collect()
}

#[test]
fn token_is_recorded_with_its_programs() {
    let fixture = Fixture::configured();
    fixture.token_of_shell("/bin/sh");
    fixture.token_of_shell("/bin/sh");
    // Without the entry key.
    let said = fixture.sandbox.run_as_given(fixture.sandbox.rolecall().args(["token", "prod"]));
    error_line(&said, 1);
    let decisions = fixture.decisions(&["--profile", "prod"]);
    let refused = "token refused entry_key_mismatch";
    assert_eq!(results(&decisions), ["token allowed -", "token allowed -", refused]);
    let [first, second, refused] = decisions.try_into().unwrap();
    for (record, is_cached) in [(&first, false), (&second, true)] {
        assert_eq!(
            (&record["profile"], &record["cluster"], &record["role"]),
            (&"prod".into(), &"prod".into(), &ROLE.into())
        );
        assert_eq!((&record["cached"], record["key_id"].as_str().unwrap().len()), (&is_cached.into(), 4));
        assert_eq!(record["uid"], rustix::process::geteuid().as_raw());
        assert_eq!(record["command"], "rolecall");
        assert!(record["pid"].is_u64() && record["started"].is_u64() && record["latency_us"].is_u64(), "{record}");
        let shell = fs::canonicalize("/bin/sh").unwrap();
        let parents = record["parents"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(parents.len() <= 3, "{record}");
        // The shell has ended, or ends, when the daemon looks.
        if let Some(parent) = parents.first() {
            assert!(parent["executable"].is_null() || parent["executable"] == shell.to_str().unwrap(), "{record}");
        }
    }
    assert_eq!((&refused["cached"], &refused["key_id"]), (&Value::Null, &Value::Null));
    let test = std::env::current_exe().unwrap();
    assert_eq!(refused["parents"][0]["executable"], test.to_str().unwrap(), "{refused}");
    let mode = fixture.audit_log().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn every_operation_on_secrets_is_recorded() {
    let fixture = Fixture::configured();
    let with_input = |arguments: &[&str]| {
        fixture.sandbox.run_with_input(fixture.sandbox.rolecall().args(arguments), b"correct horse")
    };
    fixture.rolecall(&["refresh", "prod"]).assert_ok();
    fixture.rolecall(&["login", "work"]).assert_ok();
    with_input(&["lock", "--passphrase", "--stdin"]).assert_ok();
    fixture.rolecall(&["lock"]).assert_ok();
    fixture.token().assert_code(5);
    fixture.sandbox.run_with_input(fixture.sandbox.rolecall().args(["unlock", "--stdin"]), b"wrong").assert_code(1);
    with_input(&["unlock", "--stdin"]).assert_ok();
    fixture.rolecall(&["agent", "restart"]).assert_ok();
    fixture.rolecall(&["logout", "work"]).assert_ok();
    fixture.rolecall(&["keys", "forget", "none", "-y"]);
    let decisions = fixture.decisions(&[]);
    let mut results = results(&decisions);
    let forget = results.iter().position(|result| result.starts_with("forget_key refused ")).expect("a refusal");
    results.remove(forget);
    assert_eq!(
        results,
        [
            "refresh allowed -",
            "login allowed -",
            "lock allowed -",
            "lock allowed -",
            "token refused locked",
            "unlock refused wrong_passphrase",
            "unlock allowed -",
            "restart allowed -",
            "logout allowed -",
            "stop allowed -"
        ]
    );
    let of = |operation: &str| decisions.iter().find(|record| record["operation"] == operation).unwrap();
    assert_eq!((&of("login")["source"], &of("forget_key")["key"]), (&"work".into(), &"none".into()));
    assert_eq!(of("refresh")["role"], ROLE);
}

#[test]
fn table_shows_the_last_decisions() {
    let fixture = Fixture::configured();
    fixture.token().assert_ok();
    fixture.rolecall(&["refresh", "prod"]).assert_ok();
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    let said = fixture.rolecall(&["audit", "--since", "1h", "--wide"]);
    said.assert_ok();
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", said.stdout);
    assert!(lines[0].contains("OPERATION") && lines[0].contains("TOOK"));
    assert!(lines[1].contains("token") && lines[1].contains("prod") && lines[1].contains("allowed"), "{}", lines[1]);
    assert!(lines[2].contains("refresh") && lines[3].contains("stop"));
    let said = fixture.rolecall(&["audit", "--refused"]);
    said.assert_ok().assert_stdout_empty();
    assert!(said.stderr.contains("no such decision is in "), "{}", said.stderr);
    fs::remove_file(fixture.audit_log()).unwrap();
    let line = error_line(&fixture.rolecall(&["audit"]), 1);
    assert!(line.contains("cannot read ") && line.contains("audit.jsonl"), "{line}");
}

/// Fault matrix row 107.
#[test]
fn tokens_are_served_while_the_audit_log_cannot_be_written() {
    let fixture = Fixture::configured();
    // A folder in the place of the file.
    fs::create_dir_all(fixture.audit_log()).unwrap();
    fixture.token().assert_ok();
    fixture.token().assert_ok();
    let audit = || fixture.rolecall(&["agent", "status", "--json"]).json()["daemon"]["audit"].clone();
    while audit()["problem"].is_null() {
        std::thread::yield_now();
    }
    let shown = fixture.rolecall(&["agent", "status"]);
    assert!(shown.stdout.contains("cannot be written"), "{}", shown.stdout);
    fs::remove_dir(fixture.audit_log()).unwrap();
    fixture.token().assert_ok();
    while !audit()["problem"].is_null() {
        std::thread::yield_now();
    }
    assert_eq!(results(&fixture.decisions(&["--profile", "prod"])), ["token allowed -"; 3]);
}

/// Fault matrix row 107. Before the first decision.
#[test]
fn status_names_an_audit_log_that_cannot_be_opened() {
    let fixture = Fixture::configured();
    fs::create_dir_all(fixture.audit_log()).unwrap();
    fixture.rolecall(&["agent", "start"]).assert_ok();
    let line = || {
        let said = fixture.rolecall(&["status"]);
        said.assert_ok().stdout.lines().find(|line| line.contains("audit log")).map(str::to_owned)
    };
    let shown = loop {
        match line() {
            Some(line) => break line,
            None => std::thread::yield_now(),
        }
    };
    let expected = format!(
        "! the audit log {} cannot be written: Is a directory (os error 21). Run: rolecall doctor",
        fixture.audit_log().display()
    );
    assert_eq!(shown, expected);
    fixture.token().assert_ok();
    while fixture.rolecall(&["status", "--json"]).json()["daemon"]["audit"]["waiting"] != 1 {
        std::thread::yield_now();
    }
    let shown = line().unwrap();
    assert!(shown.contains("; 1 decision not written yet. Run: "), "{shown}");
    let doctor = fixture.rolecall(&["doctor", "-o", "json"]);
    assert!(doctor.stdout.contains("\"audit_log_failed\""), "{}", doctor.stdout);
}

/// Fault matrix row 108.
#[test]
fn program_name_with_a_line_break_stays_in_one_line() {
    let fixture = Fixture::configured();
    let shell = fixture.sandbox.home().join("sh\n{\"decision\":\"forged\"}\u{1b}[2J");
    // By a child: a file that this process has open for writing cannot be executed.
    fixture.sandbox.run(fixture.sandbox.command("cp").arg("/bin/sh").arg(&shell)).assert_ok();
    let mut command = fixture.sandbox.command(shell.to_str().unwrap());
    // It runs on after the client, until the daemon has looked at it.
    let script = "rolecall token prod && while ! grep -q decision \"$0\"; do sleep 0.05; done";
    command.args(["-c", script]).arg(fixture.audit_log()).env("KUBERNETES_EXEC_INFO", EXEC_INFO);
    fixture.sandbox.pass_entry_key(&mut command, "prod");
    fixture.sandbox.run(&mut command).assert_ok();
    let text = fs::read_to_string(fixture.audit_log()).unwrap();
    assert!(text.lines().count() == 1 && text.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&record["decision"], &record["parents"][0]["executable"]),
        (&"allowed".into(), &shell.to_str().unwrap().into())
    );
    let shown = fixture.rolecall(&["audit", "--wide"]);
    assert!(!shown.stdout.contains('\u{1b}') && shown.stdout.lines().count() == 2, "{:?}", shown.stdout);
}

#[test]
fn cluster_access_is_recorded_with_its_result() {
    let fixture = Fixture::added();
    fixture.rolecall(&["access", "list", "prod"]).assert_ok();
    let grant = ["access", "grant", "prod", "--role", "developers", "--policy", "AmazonEKSViewPolicy", "--dry-run"];
    fixture.rolecall(&grant).assert_ok();
    error_line(&fixture.rolecall(&["access", "restore", "prod", "--yes"]), 1);
    let decisions = fixture.decisions(&["--profile", "prod"]);
    let results = results(&decisions);
    let access: Vec<_> = results.iter().filter(|result| result.starts_with("access_")).collect();
    assert_eq!(access, ["access_list allowed -", "access_grant allowed -", "access_restore refused access_refused"]);
    let of_access = decisions.iter().filter(|record| record["operation"].as_str().unwrap().starts_with("access_"));
    assert!(of_access.into_iter().all(|record| record["cluster"] == "prod"), "{decisions:?}");
}

//! `rolecall access` as its user sees it: tables, plans, questions and reports, with a daemon of scripted answers.

use rolecall_harness::{Output, Sandbox, Terminal};
use serde_json::{Value, json};

use crate::fake_access::{Answer, FakeAccess};
use crate::fixture::{HANG_GUARD, at_width, error_line, without_terminal};

const IAM: &str = "arn:aws:iam::111122223333";

fn entry(principal: &str, policy: &str) -> Value {
    json!({"principal": format!("{IAM}:{principal}"), "kind": principal.split('/').next(), "source": "access_entry",
        "entry_type": "STANDARD", "policies": [{"policy": policy, "namespaces": ["web"]}], "applies": true})
}

fn list() -> Value {
    json!({"cluster": "prod", "mode": "API_AND_CONFIG_MAP", "rows": [
        entry("role/developers", "AmazonEKSEditPolicy"),
        {"principal": format!("{IAM}:role/platform/admin"), "kind": "role", "source": "aws_auth", "username": "admin",
         "groups": ["system:masters"], "applies": false, "findings": [{"severity": "error", "code": "path_in_arn",
            "message": "the ARN has a path", "hint": "Remove /platform", "key": "mapRoles", "line": 4}]}],
        "unread": [{"what": "IAM", "error": {"code": "access_denied", "message": "iam:GetRole is denied"}}]})
}

/// Alice gets access, and IAM has no user typo.
fn grant(body: &Value) -> Answer {
    if body["apply"].is_null() {
        let refused = json!([{"severity": "error", "code": "missing_in_iam", "message": "IAM has no user typo"}]);
        return Answer::Steps(vec![
            json!({"step": "progress", "done": 1, "total": 2}),
            json!({"step": "plan", "id": "3f2a", "cluster": "prod", "changes": [
                {"target": format!("{IAM}:user/alice"), "action": "create",
                 "after": entry("user/alice", "AmazonEKSViewPolicy")},
                {"target": format!("{IAM}:user/typo"), "action": "refuse", "findings": refused}]}),
        ]);
    }
    Answer::Steps(vec![json!({"step": "report", "results": [
        {"target": format!("{IAM}:user/alice"), "action": "create"},
        {"target": format!("{IAM}:user/typo"), "action": "refuse",
         "error": {"code": "access_refused", "message": "IAM has no user typo"}}]})])
}

fn answer(word: &str, body: &Value) -> Answer {
    match word {
        "list" => Answer::Json(200, list()),
        "grant" => grant(body),
        "revoke" => Answer::Steps(vec![json!({"step": "failed", "error": {"code": "access_refused",
            "message": "prod: the change removes your own last way into the cluster", "hint": "Nothing was changed."}})]),
        "restore" => Answer::Steps(vec![json!({"step": "plan", "id": "1", "cluster": "prod", "changes": []})]),
        "lint" => Answer::Json(
            200,
            json!({"rows": [], "findings": [{"severity": "error", "code": "invalid_yaml",
            "message": "is not YAML, so every role is locked out", "key": "mapRoles", "line": 3}]}),
        ),
        "policies" => Answer::Json(
            200,
            json!({"policies": [{"name": "AmazonEKSViewPolicy", "arn": "arn:x",
            "allows": "reads most objects"}]}),
        ),
        other => panic!("unexpected request: {other}"),
    }
}

fn rolecall(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    sandbox.run(sandbox.rolecall().args(arguments))
}

fn in_terminal(sandbox: &Sandbox, width: u16, is_colored: bool, command: &str) -> Terminal {
    sandbox.terminal(&mut at_width(sandbox, width, is_colored, command))
}

#[track_caller]
fn assert_fits(text: &str, width: u16) {
    for line in text.lines() {
        let is_one_word = line.split_whitespace().count() == 1;
        assert!(line.chars().count() <= usize::from(width) || is_one_word, "{width}: {line:?} in\n{text}");
    }
}

#[test]
fn tables_of_access_fit_40_80_and_200_columns() {
    let sandbox = Sandbox::new();
    let _daemon = FakeAccess::start(&sandbox, answer);
    for is_colored in [true, false] {
        for width in [40, 80, 200] {
            for (command, code) in [
                ("access list prod", 0),
                ("access lint prod", 1),
                ("access policies prod", 0),
                ("access grant prod --user alice typo --policy AmazonEKSViewPolicy --dry-run", 1),
            ] {
                let terminal = in_terminal(&sandbox, width, is_colored, command);
                terminal.assert_exit(code, HANG_GUARD);
                assert_eq!(terminal.raw().contains("\u{1b}[3"), is_colored && command != "access policies prod");
                let text = terminal.text().replace("\r\n", "\n");
                // Notes on standard error are one line each.
                let table: Vec<&str> = text.lines().filter(|line| !line.starts_with("rolecall: ")).collect();
                assert_fits(&table.join("\n"), width);
            }
        }
    }
    let said = rolecall(&sandbox, &["access", "list", "prod"]);
    said.assert_ok();
    assert_eq!(said.stderr, "rolecall: IAM could not be read: iam:GetRole is denied\n");
    assert!(said.stdout.contains("\n✗ role/platform/admin  role"), "{said}");
    assert!(said.stdout.contains("\n  (path in ARN: never matches)\n"), "{said}");
    assert!(
        said.stdout.ends_with("✗ mapRoles line 4: role/platform/admin: the ARN has a path. Remove /platform\n"),
        "{said}"
    );
}

#[test]
fn grant_from_a_file_reports_every_principal() {
    let sandbox = Sandbox::new();
    let daemon = FakeAccess::start(&sandbox, answer);
    let users = sandbox.write("users.txt", "\u{feff}# team\r\nalice\r\ntypo # ?\r\nalice\r\n");
    let users = users.to_str().unwrap().to_owned();
    let arguments = ["access", "grant", "prod", "--user", "--from", &users, "--policy", "AmazonEKSViewPolicy"];
    let dry_run = rolecall(&sandbox, &[&arguments[..], &["--dry-run"]].concat());
    dry_run.assert_code(1);
    assert!(
        dry_run.stdout.contains("    user/alice") && dry_run.stdout.ends_with("nothing was changed.\n"),
        "{dry_run}"
    );
    assert_eq!(daemon.requests("grant").len(), 1, "a dry run applies nothing");

    let said = rolecall(&sandbox, &[&arguments[..], &["--yes"]].concat());
    said.assert_code(1);
    assert!(said.stdout.contains("✓ user/alice has access\nMade 1 change, 1 refused.\n"), "{said}");
    assert!(said.stderr.contains("1 repeated line ignored\n"), "{said}");
    assert!(said.stderr.ends_with(&format!("rolecall: user/typo ({users}:3): IAM has no user typo\n")), "{said}");
    let requests = daemon.requests("grant");
    assert_eq!((&requests[1]["apply"], &requests[2]["apply"]), (&Value::Null, &json!("3f2a")));
    assert_eq!(requests[2]["principals"], json!([{"kind": "user", "name": "alice"}, {"kind": "user", "name": "typo"}]));
    assert_eq!(requests[2]["policies"], json!(["AmazonEKSViewPolicy"]));

    let data = rolecall(&sandbox, &[&arguments[..], &["--yes", "-o", "json"]].concat());
    data.assert_code(1);
    assert_eq!(data.json()["results"].as_array().map(Vec::len), Some(2));
    let data = rolecall(&sandbox, &[&arguments[..], &["--dry-run", "-o", "json"]].concat());
    assert_eq!(data.json()["id"], "3f2a");
}

#[test]
fn question_is_answered_on_the_terminal() {
    let sandbox = Sandbox::new();
    let daemon = FakeAccess::start(&sandbox, answer);
    let command = "access grant prod --user alice typo --policy AmazonEKSViewPolicy";
    let question = "Make 1 change to the access of cluster prod? [y/N] ";

    let terminal = in_terminal(&sandbox, 80, true, command);
    terminal.wait_for(question, HANG_GUARD);
    terminal.interrupt();
    assert!(!terminal.wait_exit(HANG_GUARD).success());
    assert_eq!(daemon.requests("grant").len(), 1, "Ctrl-C applies nothing");

    let terminal = in_terminal(&sandbox, 80, true, command);
    terminal.wait_for(question, HANG_GUARD);
    terminal.type_text("\r");
    terminal.assert_exit(1, HANG_GUARD);
    assert!(terminal.text().contains("the access of cluster prod was not changed. Nothing was changed."));
    assert_eq!(daemon.requests("grant").len(), 2, "an empty answer applies nothing");

    let terminal = in_terminal(&sandbox, 80, true, command);
    terminal.wait_for(question, HANG_GUARD);
    terminal.type_text("y\r");
    terminal.assert_exit(1, HANG_GUARD);
    assert!(terminal.text().contains("✓ user/alice has access"), "{}", terminal.text());
    assert_eq!(daemon.requests("grant").last().unwrap()["apply"], "3f2a");
}

#[test]
fn without_a_terminal_yes_is_needed() {
    let sandbox = Sandbox::new();
    let daemon = FakeAccess::start(&sandbox, answer);
    let arguments = ["access", "grant", "prod", "--user", "alice", "--group", "dev"];
    let line = error_line(&sandbox.run(without_terminal(&sandbox).args(arguments)), 2);
    assert!(line.ends_with("See the plan with --dry-run, and make the change with --yes"), "{line}");
    let line = error_line(&rolecall(&sandbox, &[&arguments[..], &["-o", "json"]].concat()), 2);
    assert!(line.contains("data for programs leaves no place for a question"), "{line}");
    assert!(daemon.requests("grant").is_empty());
}

#[test]
fn refused_change_and_empty_plan_change_nothing() {
    let sandbox = Sandbox::new();
    let daemon = FakeAccess::start(&sandbox, answer);
    let line = error_line(&rolecall(&sandbox, &["access", "revoke", "prod", "--role", "developers", "--yes"]), 1);
    assert_eq!(line, "rolecall: prod: the change removes your own last way into the cluster. Nothing was changed.");
    let said = rolecall(&sandbox, &["access", "restore", "prod", "--yes"]);
    said.assert_ok();
    assert_eq!(said.stdout, "Plan for cluster prod:\nNothing to change.\n");
    assert_eq!(daemon.requests("restore").len(), 1);
    let said = rolecall(&sandbox, &["access", "restore", "prod", "--yes", "-o", "json"]);
    assert_eq!(said.json(), json!({"results": []}));
}

#[test]
fn lint_reads_a_file_standard_input_or_a_profile() {
    let sandbox = Sandbox::new();
    let daemon = FakeAccess::start(&sandbox, answer);
    let file = sandbox.write("aws-auth.yaml", "data:\n  mapRoles: '['\n");
    let said = rolecall(&sandbox, &["access", "lint", file.to_str().unwrap()]);
    said.assert_code(1);
    assert_eq!(
        said.stdout,
        "✗ mapRoles line 3: is not YAML, so every role is locked out\n✗ 0 mappings; 1 mistake to fix\n"
    );
    assert_eq!(daemon.requests("lint")[0]["text"], "data:\n  mapRoles: '['\n");
    let said = rolecall(&sandbox, &["access", "lint", "prod"]);
    said.assert_code(1);
    assert!(said.stdout.ends_with("✗ 1 mapping; 1 mistake to fix\n"), "{said}");
    let line = error_line(&rolecall(&sandbox, &["access", "lint", "no/such/file"]), 2);
    assert!(line.starts_with("rolecall: there is no file no/such/file"), "{line}");
}

#[test]
fn older_agent_is_named() {
    let sandbox = Sandbox::new();
    let unknown = json!({"error": {"code": "bad_request", "message": "no such endpoint"}});
    let _daemon = FakeAccess::start(&sandbox, move |_, _| Answer::Json(404, unknown.clone()));
    for arguments in [&["list", "prod"][..], &["explain", "prod"], &["revoke", "prod", "--role", "x", "--yes"]] {
        let line = error_line(&rolecall(&sandbox, &[&["access"], arguments].concat()), 4);
        assert!(line.contains("does not support access. Run: rolecall agent restart"), "{line}");
    }
}

//! `rolecall discover`, and `rolecall add` without a name: the search, the questions, and what they write.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use rolecall_harness::{ApiServer, Clock, Terminal, within};

use crate::fixture::{ACCOUNT, Fixture, HANG_GUARD, REGION, ROLE, at_width, error_line, kill, without_terminal};

/// A cluster of the user itself, beside `prod`, which accepts a role only.
fn with_lab() -> (Fixture, ApiServer) {
    let fixture = Fixture::bare();
    let lab = ApiServer::start(Clock::system(), &fixture.aws, "lab", REGION);
    fixture.aws.add_cluster(lab.cluster());
    fixture.aws.grant("lab", REGION, &fixture.user.arn, "dev", &["system:masters"]);
    set_region(&fixture);
    (fixture, lab)
}

/// Gives the AWS profiles the region of the clusters.
fn set_region(fixture: &Fixture) {
    let path = fixture.sandbox.home().join(".aws/config");
    let text = fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(|line| if line.starts_with("region") { "region = eu-west-1" } else { line });
    fs::write(&path, lines.flat_map(|line| [line, "\n"]).collect::<String>()).unwrap();
}

/// The bytes of the user's files, or nothing for one that does not exist.
fn files(fixture: &Fixture) -> [Vec<u8>; 3] {
    let aws = fixture.sandbox.home().join(".aws/config");
    [fixture.config_path(), fixture.sandbox.kubeconfig(), aws].map(|path| fs::read(path).unwrap_or_default())
}

/// Runs `rolecall` at a terminal of this width.
fn at_terminal(fixture: &Fixture, arguments: &str, width: u16) -> Terminal {
    let terminal = fixture.sandbox.terminal(&mut at_width(&fixture.sandbox, width, true, arguments));
    terminal.resize(24, width);
    terminal
}

#[test]
fn discover_adds_what_accepts_the_user_and_then_only_what_is_new() {
    let (fixture, _lab) = with_lab();
    let before = files(&fixture);
    let said = fixture.rolecall(&["discover", "--dry-run"]);
    let text = &said.assert_ok().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("  PROFILE  CLUSTER  REGION     ACCOUNT       BY                ACCESS"), "{text}");
    assert!(lines[1].starts_with("✓ lab      lab      eu-west-1  111122223333  AWS profile work  as dev"), "{text}");
    assert!(
        lines[2].starts_with("✗ prod     prod     eu-west-1  111122223333  AWS profile work  not mapped (401)"),
        "{text}"
    );
    assert_eq!(files(&fixture), before);
    let line = error_line(&fixture.sandbox.run(without_terminal(&fixture.sandbox).arg("discover")), 2);
    assert!(line.contains("no terminal to choose clusters on"), "{line}");

    let said = fixture.rolecall(&["discover", "--yes"]);
    assert!(said.assert_ok().stdout.contains("✓ added lab (lab in eu-west-1, AWS profile work)"), "{said}");
    fixture.rolecall(&["token", "lab"]).assert_ok();
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    assert!(config.contains("[profiles.lab]") && config.contains("ca_sha256") && !config.contains("[profiles.prod]"));

    let said = fixture.rolecall(&["discover", "--yes"]);
    let text = &said.assert_ok().stdout;
    assert!(text.contains("✗ prod ") && !text.contains("\n✓ lab"), "{text}");
    assert!(text.contains("- clusters that have a profile: 1 (lab)") && text.contains("nothing was added"), "{text}");
    fixture.aws.remove_cluster("lab", REGION);
    let said = fixture.rolecall(&["discover", "--dry-run"]);
    assert!(said.assert_ok().stdout.contains("the cluster of lab was not found"), "{said}");
    let data = fixture.rolecall(&["discover", "-o", "json"]).assert_ok().json();
    assert_eq!((data["new"][0]["profile"].as_str(), data["gone"][0].as_str()), (Some("prod"), Some("lab")));
}

/// A client that watches signals starts the daemon.
#[test]
fn daemon_that_discover_starts_ends_at_sigterm() {
    let (fixture, _lab) = with_lab();
    fixture.rolecall(&["discover", "--dry-run"]).assert_ok();
    let pid = fixture.daemon_pid();
    kill("TERM", pid);
    let process = std::path::PathBuf::from(format!("/proc/{pid}/exe"));
    within(HANG_GUARD, || (!process.exists()).then_some(())).expect("the daemon ends");
}

#[test]
fn discover_list_marks_what_accepts_the_user() {
    for width in [80, 40] {
        let (fixture, _lab) = with_lab();
        let terminal = at_terminal(&fixture, "discover", width);
        terminal.wait_screen(HANG_GUARD, |screen| screen.contains("[x] ") && screen.contains("[ ] "));
        let screen = terminal.screen();
        let line = |mark: &str| screen.lines().find(|line| line.contains(mark)).unwrap().to_owned();
        assert!(line("[x]").contains("lab") && line("[ ]").contains("prod"), "{screen}");
        terminal.type_text("\r");
        terminal.assert_exit(0, HANG_GUARD);
        assert!(terminal.text().contains("✓ added lab"), "{}", terminal.text());
        fixture.rolecall(&["token", "lab"]).assert_ok();
    }
}

#[test]
fn discover_list_left_changes_nothing() {
    let (fixture, _lab) = with_lab();
    let before = files(&fixture);
    let open = || {
        let terminal = at_terminal(&fixture, "discover", 80);
        terminal.wait_screen(HANG_GUARD, |screen| screen.contains("[x] "));
        terminal
    };
    let terminal = open();
    terminal.interrupt();
    assert_eq!(terminal.wait_exit(HANG_GUARD).signal(), Some(2), "a shell shows 130");
    let terminal = open();
    terminal.type_text("\u{1b}");
    terminal.assert_exit(1, HANG_GUARD);
    let terminal = open();
    terminal.type_text(" \r");
    terminal.assert_exit(0, HANG_GUARD);
    assert!(terminal.text().contains("nothing was added"), "{}", terminal.text());
    assert_eq!(files(&fixture), before);
}

#[test]
fn discover_permission_set_gets_an_aws_profile() {
    let (fixture, center) = Fixture::with_sso_profile();
    let auditors = center.assign("dev", ACCOUNT, "Auditors");
    fixture.aws.grant("prod", REGION, &auditors, "auditor", &["view"]);
    center.approve_all();
    // A new AWS profile has no endpoints of its own.
    let endpoints: String = ["sso", "sso_oidc", "sts", "eks"]
        .map(|service| format!("{service} = \"{}\"\n", fixture.aws.endpoint()))
        .concat();
    fixture.write_config(&format!("[endpoints]\n{endpoints}[sources.corp]\naws_profile = \"corp\"\n"));
    fixture.rolecall(&["login", "corp", "--device", "--no-browser"]).assert_ok();
    let aws = fixture.sandbox.home().join(".aws/config");
    set_region(&fixture);
    let before = fs::read_to_string(&aws).unwrap();
    let all = ["discover", "--source", "corp", "--permission-sets", "--role-name", "Auditors", "--yes"];
    let said = fixture.rolecall(&all);
    assert!(
        said.assert_ok().stdout.contains("✓ added prod (prod in eu-west-1, Auditors in account 111122223333)"),
        "{said}"
    );
    let after = fs::read_to_string(&aws).unwrap();
    let added = after.strip_prefix(&before).unwrap();
    assert!(
        added.contains("[profile account-111122223333-Auditors]\nsso_session = corp\nsso_account_id = 111122223333\n"),
        "{added}"
    );
    fixture.token().assert_ok();
    // The next search finds the AWS profile that it wrote.
    let said = fixture.rolecall(&["discover", "--permission-sets", "--dry-run"]);
    assert!(said.assert_ok().stdout.contains("clusters that have a profile: 1 (prod)"), "{said}");
}

#[test]
fn add_without_name_asks_for_the_rest() {
    for width in [80, 40] {
        let (fixture, _lab) = with_lab();
        let before = files(&fixture);
        let terminal = at_terminal(&fixture, "add", width);
        // There is one AWS profile, and it has a region.
        terminal.wait_screen(HANG_GUARD, |screen| screen.contains("Region of the cluster [eu-west-1]:"));
        terminal.type_text("nowhere\r");
        terminal.wait_screen(HANG_GUARD, |screen| screen.matches("Region of the cluster").count() == 2);
        terminal.type_text("\r");
        terminal.wait_screen(HANG_GUARD, |screen| screen.contains("lab") && screen.contains("Esc leaves"));
        terminal.type_text("prod\r");
        terminal.wait_screen(HANG_GUARD, |screen| screen.contains("Role to assume"));
        assert!(terminal.text().contains("does not map these credentials"), "{}", terminal.text());
        assert_eq!(files(&fixture), before);
        terminal.type_text(&format!("{ROLE}\r"));
        terminal.wait_screen(HANG_GUARD, |screen| screen.contains("[prod]:"));
        terminal.type_text("production\r");
        terminal.assert_exit(0, HANG_GUARD);
        assert!(terminal.text().contains("kubectl --context production get pods"), "{}", terminal.text());
        fixture.rolecall(&["token", "production"]).assert_ok();
    }
}

#[test]
fn add_questions_left_change_nothing() {
    let (fixture, _lab) = with_lab();
    let before = files(&fixture);
    let steps: [(&str, &str); 4] =
        [("[eu-west-1]:", "\r"), ("Esc leaves", "lab\r"), ("Role to assume", "\r"), ("[lab]:", "")];
    for last in 0..steps.len() {
        let terminal = at_terminal(&fixture, "add", 80);
        for (question, answer) in &steps[..last] {
            terminal.wait_screen(HANG_GUARD, |screen| screen.contains(question));
            terminal.type_text(answer);
        }
        terminal.wait_screen(HANG_GUARD, |screen| screen.contains(steps[last].0));
        terminal.interrupt();
        assert_eq!(terminal.wait_exit(HANG_GUARD).signal(), Some(2), "{}", terminal.text());
    }
    assert_eq!(files(&fixture), before);
}

#[test]
fn add_without_region_uses_that_of_the_aws_profile() {
    let fixture = Fixture::bare();
    set_region(&fixture);
    fixture.rolecall(&["add", "prod", "--role-arn", ROLE, "--aws-profile", "work"]).assert_ok();
    let line = error_line(&fixture.rolecall(&["add", "other", "--role-arn", ROLE]), 2);
    assert!(line.contains("the region is missing, and the AWS profile default has none"), "{line}");
    let line = error_line(&fixture.sandbox.run(without_terminal(&fixture.sandbox).arg("add")), 2);
    assert!(line.contains("the name of the profile is missing"), "{line}");
}

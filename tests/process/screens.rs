//! The tables on terminals of 40, 80 and 200 columns, with and without colours.

use rolecall_harness::{Fault, Op};

use crate::fixture::{Fixture, HANG_GUARD, ROLE, at_width, profile};

/// Two profiles with sessions, and one whose role AWS denies.
fn fixture() -> Fixture {
    let fixture = Fixture::added();
    let config = std::fs::read_to_string(fixture.config_path()).unwrap();
    let denied = profile("audit", "work", "arn:aws:iam::111122223333:role/auditor");
    fixture.write_config(&format!("{config}\n{}\n{denied}", profile("production-eu", "work", ROLE)));
    fixture.rolecall(&["token", "production-eu"]).assert_ok();
    fixture.aws.fault(Op::AssumeRole, Fault::error(403, "AccessDenied", "not today").forever());
    fixture.rolecall(&["token", "audit"]).assert_code(1);
    fixture
}

/// The output of a command on a terminal of this width.
fn on_terminal(fixture: &Fixture, width: u16, is_colored: bool, command: &str) -> String {
    let terminal = fixture.sandbox.terminal(&mut at_width(&fixture.sandbox, width, is_colored, command));
    terminal.assert_exit(0, HANG_GUARD);
    let has_color = terminal.raw().contains("\u{1b}[");
    assert_eq!(has_color, is_colored, "{command}: {:?}", terminal.raw());
    terminal.text().replace("\r\n", "\n")
}

/// Asserts that every line fits, except for one that is a single word, such as an ARN.
#[track_caller]
fn assert_fits(text: &str, width: u16) {
    for line in text.lines() {
        let is_one_word = line.split_whitespace().count() == 1;
        assert!(line.chars().count() <= usize::from(width) || is_one_word, "{width}: {line:?} in\n{text}");
    }
}

#[test]
fn tables_fit_40_80_and_200_columns() {
    let fixture = fixture();
    for is_colored in [true, false] {
        for (width, headings) in [
            (40, "  PROFILE        SESSION"),
            (80, "  PROFILE        CLUSTER         ROLE        SESSION"),
            (
                200,
                "  PROFILE        CLUSTER         ROLE        SESSION                        NEXT RENEWAL  LAST USED",
            ),
        ] {
            let text = on_terminal(&fixture, width, is_colored, "status");
            assert_fits(&text, width);
            assert!(text.lines().next().unwrap().starts_with(headings), "{width}:\n{text}");
            assert_eq!(text.contains("hidden: "), width < 200, "{width}:\n{text}");
            assert_eq!(text.contains('█'), width >= 80, "{width}: the bar goes before the number:\n{text}");
            assert!(
                text.contains("  59 min left") && text.contains("! audit  ") && text.contains("  failing"),
                "{width}:\n{text}"
            );

            let text = on_terminal(&fixture, width, is_colored, "show --all");
            assert_fits(&text, width);
            assert_eq!(text.lines().filter(|line| line.starts_with(|c: char| c.is_alphabetic())).count(), 3, "{text}");
        }
        for width in [40, 80, 200] {
            let text = on_terminal(&fixture, width, is_colored, "list");
            assert_fits(&text, width);
            assert!(text.contains("  production-eu  prod"), "{text}");
            assert_eq!(text.contains("ROLE  "), width > 40, "{text}");
            assert_fits(&on_terminal(&fixture, width, is_colored, "agent status"), width);
            let sources = on_terminal(&fixture, width, is_colored, "source list");
            assert_fits(&sources, width);
            assert!(sources.contains("SOURCE") && sources.contains("work"), "{sources}");
        }
    }
    let wide = on_terminal(&fixture, 40, false, "status -o wide");
    assert!(wide.contains("LAST USED") && wide.contains('█') && !wide.contains("hidden"), "{wide}");
    let named = on_terminal(&fixture, 80, false, "status prod");
    assert!(named.contains("● prod  ") && !named.contains("audit"), "{named}");
}

#[test]
fn list_marks_the_current_context() {
    let fixture = fixture();
    assert!(!fixture.rolecall(&["list"]).stdout.contains('*'));
    fixture.rolecall(&["use", "prod"]).assert_ok();
    let listed = fixture.rolecall(&["list"]).assert_ok().stdout.clone();
    let marked: Vec<&str> = listed.lines().filter(|line| line.starts_with('*')).collect();
    assert!(matches!(marked[..], [line] if line.starts_with("* prod  ")), "{listed}");
    let data = fixture.rolecall(&["list", "-o", "json"]).json();
    assert_eq!(
        (&data[0]["current"], &data[1]["name"], &data[1]["current"]),
        (&false.into(), &"prod".into(), &true.into())
    );
}

#[test]
fn data_formats_of_every_table() {
    let fixture = fixture();
    for command in [&["status"][..], &["list"], &["show", "prod"], &["agent", "status"]] {
        let json = fixture.rolecall(&[command, &["-o", "json"]].concat()).assert_ok().json();
        assert!(json.is_object() || json.is_array(), "{command:?}");
        let yaml = fixture.rolecall(&[command, &["--output", "yaml"]].concat()).assert_ok().stdout.clone();
        assert!(yaml.contains(": ") && !yaml.contains('{'), "{command:?}: {yaml}");
    }
    let all = fixture.rolecall(&["show", "--all", "--json"]).json();
    assert_eq!(all.as_array().map(Vec::len), Some(3));
    // The profiles that exist are shown, and the others are errors.
    let said = fixture.rolecall(&["show", "nope", "prod", "never"]);
    said.assert_code(1);
    assert!(said.stdout.starts_with("prod\n") && said.stderr.lines().count() == 2, "{said}");
    assert!(said.stderr.contains("\"nope\"") && said.stderr.contains("\"never\""), "{said}");
    fixture.rolecall(&["status", "nope"]).assert_code(1);
    let verbose = fixture.rolecall(&["status", "-v"]).assert_ok().stderr.clone();
    assert!(verbose.contains("GET /v1/status: 200 after "), "{verbose}");
}

#[test]
fn denied_role_names_the_next_try() {
    let fixture = fixture();
    let status = fixture.rolecall(&["status", "audit"]).stdout;
    let is_next_try = status.contains("next try on a use in ") || status.contains("next try on the next use");
    assert!(is_next_try, "{status}");
    let problem = &fixture.rolecall(&["status", "-o", "json"]).json()["profiles"][0]["problem"];
    assert_eq!(problem["code"], "access_denied", "{problem}");
}

#[test]
fn refused_pin_is_shown_until_the_next_token() {
    let fixture = Fixture::added();
    let info = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1",
        "spec":{"cluster":{"server":"https://evil.example.com"}}}"#;
    let refused =
        fixture.sandbox.run(fixture.sandbox.rolecall().args(["token", "prod"]).env("KUBERNETES_EXEC_INFO", info));
    refused.assert_code(1);
    for command in [&["status"][..], &["show", "prod"]] {
        let text = fixture.rolecall(command).stdout;
        assert!(text.contains("names server https://evil.example.com"), "{text}");
    }
    fixture.token().assert_ok();
    assert!(!fixture.rolecall(&["status"]).stdout.contains("evil"));
}

#[test]
fn locked_agent_is_shown_in_each_row() {
    let fixture = fixture();
    let lock = fixture.sandbox.run_with_input(fixture.sandbox.rolecall().args(["lock", "--stdin"]), b"correct horse\n");
    lock.assert_ok();
    let status = fixture.rolecall(&["status"]).stdout;
    assert!(status.starts_with("! locked since ") && status.matches("  locked").count() == 3, "{status}");
    let shown = fixture.rolecall(&["show", "prod"]).stdout;
    assert!(shown.contains("locked. Run: rolecall unlock"), "{shown}");
}

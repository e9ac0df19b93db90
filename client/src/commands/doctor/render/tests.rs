use rolecall_protocol::FindingArea::{Access, ApiServer, Computer, Role, Source};
use rolecall_protocol::Hint;

use super::*;

const ARN: &str = "arn:aws:iam::111122223333:role/auditor";

fn view(width: Option<usize>, unicode: bool) -> View {
    View { screen: Screen { unicode, width, is_wide: false }, is_verbose: false }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn healthy() -> Vec<Finding> {
    vec![
        Finding::ok(Source, "source", "arn:aws:iam::111122223333:user/dev (AWS profile work)"),
        Finding::ok(Source, "clock", "clock within 1 s of AWS"),
        Finding::ok(Role, "assume role", ARN),
        Finding::ok(ApiServer, "token", "token of 1,204 of 4,096 bytes"),
        Finding::ok(ApiServer, "API server", "API server reachable"),
        Finding::ok(ApiServer, "API server", "certificate matches the pin"),
        Finding::ok(Access, "cluster access", "user dev"),
    ]
}

fn not_mapped() -> Finding {
    Finding::problem(Access, "cluster access", "not_mapped", "cluster prod has no access entry for this role")
        .consequence("kubectl: error: You must be logged in to the server (Unauthorized)")
        .administrator(AdministratorRequest {
            to: "an administrator of the cluster prod".to_owned(),
            request: "Grant read access to the role.".to_owned(),
            commands: vec![format!("rolecall access grant prod --role {ARN} --policy AmazonEKSViewPolicy")],
            statement: None,
        })
}

fn profile(name: &str, findings: Vec<Finding>) -> ProfileReport {
    ProfileReport::new(name.to_owned(), findings, vec![format!("context {name}")])
}

fn report(profiles: Vec<ProfileReport>) -> Report {
    Report {
        computer_shown: vec![Finding::ok(Computer, "agent", "process 7 of this user (uid 1)")],
        computer_briefs: vec!["rolecall 0.1.0".to_owned(), "agent (process 7)".to_owned()],
        profiles,
        ..Report::default()
    }
}

#[test]
fn healthy_profile_takes_five_lines() {
    let mut report = report(vec![profile("prod", healthy())]);
    report.security_warnings = 1;
    let text = plain(&view(None, true).report(&report));
    assert_eq!(
        text,
        "✓ computer        rolecall 0.1.0, agent (process 7), context prod, 1 warning of rolecall doctor --security
✓ source          arn:aws:iam::111122223333:user/dev (AWS profile work), clock within 1 s of AWS
✓ assume role     arn:aws:iam::111122223333:role/auditor
✓ API server      token of 1,204 of 4,096 bytes, API server reachable, certificate matches the pin
✓ cluster access  user dev
"
    );
    let verbose = View { is_verbose: true, ..view(None, true) };
    assert!(plain(&verbose.report(&report)).contains("\n✓ clock           clock within 1 s of AWS\n"));
}

#[test]
fn problem_has_consequence_and_request() {
    let mut findings = healthy();
    findings.pop();
    findings.push(not_mapped());
    let text = plain(&view(Some(80), true).report(&report(vec![profile("prod", findings.clone())])));
    let end = "✗ cluster access  cluster prod has no access entry for this role
  kubectl: error: You must be logged in to the server (Unauthorized)
  Ask an administrator of the cluster prod: Grant read access to the role.
      rolecall access grant prod --role arn:aws:iam::111122223333:role/auditor --policy AmazonEKSViewPolicy
";
    assert!(text.ends_with(end), "{text}");
    let ascii = plain(&view(Some(40), false).report(&report(vec![profile("prod", findings)])));
    assert!(ascii.is_ascii(), "{ascii}");
    let end = "x cluster access  cluster prod has no
                  access entry for this
                  role
  kubectl: error: You must be logged in
  to the server (Unauthorized)
  Ask an administrator of the cluster
  prod: Grant read access to the role.
      rolecall access grant prod --role arn:aws:iam::111122223333:role/auditor --policy AmazonEKSViewPolicy
";
    assert!(ascii.ends_with(end), "{ascii}");
    let is_whole = |line: &&str| line.trim_start().starts_with("rolecall ") || line.contains("arn:");
    assert!(ascii.lines().filter(|line| !is_whole(line)).all(|line| line.chars().count() <= 40), "{ascii}");
}

#[test]
fn several_profiles_list_the_healthy_ones_last() {
    let unknown = vec![Finding::not_checked(Access, "RBAC", "denied", "EKS does not say")];
    let warning = Finding::warning(Computer, "kubeconfig", "no_context", "no context runs it")
        .fix(Hint::command("rolecall kubeconfig b"));
    let missing = Finding::not_checked(ApiServer, "API server", "no_entry", "not called")
        .fix(Hint::command("rolecall kubeconfig b"));
    let profiles = vec![
        profile("a", vec![not_mapped()]),
        profile("b", vec![warning, missing]),
        profile("c", unknown),
        profile("d", healthy()),
        profile("e", healthy()),
    ];
    let report = report(profiles);
    let text = plain(&view(Some(80), true).report(&report));
    let (start, rest) = text.split_once("\na:\n").unwrap();
    assert_eq!(start, "✓ computer  rolecall 0.1.0, agent (process 7)\n");
    assert!(rest.starts_with("✗ cluster access  "), "{rest}");
    let end = "
b:
! kubeconfig  no context runs it
  Fix: rolecall kubeconfig b
? API server  not called

? 1 profile was not checked completely: c
✓ 2 profiles are healthy: d, e
";
    assert!(text.ends_with(end), "{text}");
    let wide = View { screen: Screen { is_wide: true, ..view(None, true).screen }, is_verbose: false };
    assert!(plain(&wide.report(&report)).ends_with("✓ 2 profiles are healthy:\n  d\n  e\n"));
}

#[test]
fn names_of_many_profiles_are_wrapped() {
    let profiles = (0..200).map(|n| profile(&format!("profile-{n}"), healthy())).collect();
    let text = plain(&view(Some(40), true).report(&report(profiles)));
    assert!(text.contains("\n✓ 200 profiles are healthy: profile-0,\n  profile-1, "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
}

#[test]
fn fix_command_is_not_wrapped_and_a_sentence_is() {
    let view = view(Some(40), true);
    let command = "rolecall kubeconfig a-profile-with-a-long-name";
    assert_eq!(view.fix(&Hint::command("rolecall login work")), ["  Fix: rolecall login work"]);
    assert_eq!(view.fix(&Hint::command(command)), ["  Fix:".to_owned(), format!("      {command}")]);
    assert_eq!(
        view.fix(&Hint::text("Set idle or max under [lock] in the file")),
        ["  Fix: Set idle or max under [lock] in", "  the file"]
    );
}

#[test]
fn request_shows_commands_and_statement() {
    let request = AdministratorRequest {
        to: "an administrator of x".to_owned(),
        request: "Allow it.".to_owned(),
        commands: vec!["one".to_owned(), "two\u{1b}[2J".to_owned()],
        statement: Some(serde_json::json!({"Effect": "Allow"})),
    };
    let lines = view(Some(80), true).request(&request);
    assert_eq!(
        lines,
        [
            "  Ask an administrator of x: Allow it.",
            "  One of these commands is enough:",
            "      one",
            "      two\\u{1b}[2J",
            "  The statement to add to the policy:",
            "      {",
            "        \"Effect\": \"Allow\"",
            "      }",
        ]
    );
}

#[test]
fn all_shows_every_finding_with_its_fix() {
    let findings = [
        Finding::ok(Computer, "socket", "/run/user/1000/rolecall/agent.sock is private"),
        Finding::warning(Computer, "lock", "no_passphrase", "there is no passphrase\u{1b}[2J")
            .consequence("The agent stays open.")
            .fix(Hint::command("rolecall lock --passphrase")),
    ];
    assert_eq!(
        plain(&view(None, true).all(&findings)),
        "✓ socket  /run/user/1000/rolecall/agent.sock is private\n! lock    there is no passphrase\\u{1b}[2J\n  \
         The agent stays open.\n  Fix: rolecall lock --passphrase\n"
    );
    let narrow = plain(&view(Some(36), true).all(&findings));
    assert!(
        narrow.starts_with("✓ socket\n    /run/user/1000/rolecall/agent.sock\n    is private\n! lock "),
        "{narrow}"
    );
}

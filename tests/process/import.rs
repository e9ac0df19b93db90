//! `rolecall import` with the real client, daemon and kubectl: the plan, the question, a token through a converted entry, and undo.

use std::fs;
use std::time::Duration;

use rolecall_harness::{Output, Terminal};

use crate::fixture::{Fixture, HANG_GUARD, REGION, ROLE, at_width, error_line, without_terminal};

const ARN: &str = "arn:aws:eks:eu-west-1:111122223333:cluster/prod";

/// A kubeconfig as `aws eks update-kubeconfig` writes it, beside entries of another tool and a comment.
fn kubeconfig(fixture: &Fixture) -> String {
    format!(
        "# mine
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {ca}
    server: {url}
  name: {ARN}
- cluster:
    server: https://192.168.49.2:8443
  name: minikube
contexts:
- context:
    cluster: {ARN}
    user: {ARN}
  name: {ARN}
- context:
    cluster: {ARN}
    namespace: web
    user: {ARN}
  name: web
- context:
    cluster: minikube
    user: minikube
  name: minikube
current-context: {ARN}
kind: Config
users:
- name: {ARN}
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args:
      - --region
      - {REGION}
      - eks
      - get-token
      - --cluster-name
      - prod
      - --output
      - json
      - --role
      - {ROLE}
      command: aws
      env:
      - name: AWS_PROFILE
        value: work
# the end
- name: minikube
  user:
    token: sesame
",
        ca = fixture.api.ca_base64(),
        url = fixture.api.url(),
    )
}

/// AWS's own files, and that kubeconfig.
fn fixture() -> (Fixture, String) {
    let fixture = Fixture::bare();
    let text = kubeconfig(&fixture);
    fixture.sandbox.write(fixture.sandbox.kubeconfig().strip_prefix(fixture.sandbox.root()).unwrap(), &text);
    (fixture, text)
}

fn read(fixture: &Fixture) -> String {
    fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap()
}

fn config(fixture: &Fixture) -> String {
    fs::read_to_string(fixture.config_path()).unwrap_or_default()
}

fn import(fixture: &Fixture, arguments: &[&str]) -> Output {
    let mut command = without_terminal(&fixture.sandbox);
    fixture.sandbox.run(command.arg("import").args(arguments))
}

#[test]
fn import_converts_and_kubectl_gets_a_token() {
    let (fixture, before) = fixture();
    let said = import(&fixture, &["--yes"]);
    said.assert_ok();
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(
        lines[1].split_whitespace().collect::<Vec<_>>().join(" "),
        format!("{ARN} prod eu-west-1 aws eks get-token --role-arn … profile prod (role developers, AWS profile work)")
    );
    assert!(lines[3].ends_with("token                           unchanged"), "{said}");
    assert_eq!(lines[4], format!("✓ {ARN}, web now use Rolecall; undo with: rolecall import --undo"));
    assert_eq!(lines[5], "  check them with: rolecall doctor");

    let after = read(&fixture);
    let (start, end) = (before.find("      apiVersion").unwrap(), before.find("# the end").unwrap());
    assert!(after.starts_with(&before[..start]) && after.ends_with(&before[end..]), "{after}");
    assert!(after.contains("      - token\n      - prod\n") && !after.contains("AWS_PROFILE"), "{after}");
    assert_eq!(fixture.assume_role_calls(), 0, "AWS is not called");
    if let Some(mut kubectl) = fixture.sandbox.kubectl() {
        fixture.sandbox.run(kubectl.args(["get", "pods", "-A"])).assert_ok();
        assert_eq!(fixture.assume_role_calls(), 1);
    }
    fixture.token().assert_ok();
    // The other commands find the context, whatever its name.
    let shown = fixture.rolecall(&["show", "prod"]);
    assert!(shown.stdout.contains(&format!("{ARN} in ")), "{shown}");
    fixture.rolecall(&["kubeconfig", "prod"]).assert_ok();
    assert_eq!(read(&fixture), after);
    assert!(fixture.rolecall(&["list"]).stdout.contains("* prod"));
    // Nothing is left to convert.
    let again = import(&fixture, &["--yes"]);
    assert!(again.assert_ok().stderr.contains("no context to convert"), "{again}");
    assert_eq!(read(&fixture), after);
}

#[test]
fn undo_restores_the_bytes_and_removes_the_profile() {
    let (fixture, before) = fixture();
    import(&fixture, &["--yes"]).assert_ok();
    let said = import(&fixture, &["--undo"]);
    said.assert_ok();
    assert_eq!(
        said.stdout,
        format!("✓ restored {ARN}, web\n✓ removed the profile prod from ~/.config/rolecall/config.toml\n")
    );
    assert_eq!(read(&fixture), before);
    assert!(!config(&fixture).contains("[profiles") && !config(&fixture).contains("[sources"), "{}", config(&fixture));
    let line = error_line(&import(&fixture, &["--undo"]), 1);
    assert!(line.starts_with("rolecall: there is no import to undo"), "{line}");
}

#[test]
fn undo_keeps_the_record_of_an_absent_kubeconfig() {
    let (fixture, before) = fixture();
    import(&fixture, &["--yes"]).assert_ok();
    let (path, away) = (fixture.sandbox.kubeconfig(), fixture.sandbox.kubeconfig().with_extension("away"));
    fs::rename(&path, &away).unwrap();
    let said = import(&fixture, &["--undo"]);
    assert!(said.assert_code(1).stderr.contains("config is absent; when it is there again"), "{said}");
    assert!(config(&fixture).contains("[profiles.prod]"));
    fs::rename(&away, &path).unwrap();
    import(&fixture, &["--undo"]).assert_ok();
    assert_eq!(read(&fixture), before);
}

#[test]
fn undo_goes_back_one_import_at_a_time_and_keeps_what_was_changed() {
    let (fixture, before) = fixture();
    let second = before.split_once("users:\n").unwrap().1.split_once("# the end").unwrap().0.replace(ARN, "edge");
    let before = before.replace(
        "- context:\n    cluster: minikube",
        &format!("- context:\n    cluster: {ARN}\n    user: edge\n  name: edge\n- context:\n    cluster: minikube"),
    );
    let before = before.replace(
        "# the end",
        &format!("{}# the end", second.replace("AWS_PROFILE\n        value: work", "AWS_REGION\n        value: x")),
    );
    fs::write(fixture.sandbox.kubeconfig(), &before).unwrap();
    import(&fixture, &["--yes", "--only", "web"]).assert_ok();
    let between = read(&fixture);
    import(&fixture, &["--yes", "--aws-profile", "work"]).assert_ok();
    assert_eq!(
        config(&fixture).matches("[profiles.").count(),
        1,
        "the same identity and cluster: {}",
        config(&fixture)
    );
    // Someone edits another entry.
    fs::write(fixture.sandbox.kubeconfig(), read(&fixture).replace("sesame", "changed")).unwrap();
    import(&fixture, &["--undo"]).assert_ok();
    assert_eq!(read(&fixture), between.replace("sesame", "changed"));
    assert!(config(&fixture).contains("[profiles."), "the first import still uses it");
    // A changed profile stays.
    fs::write(fixture.config_path(), config(&fixture).replace("region = ", "duration = \"2h\"\nregion = ")).unwrap();
    let said = import(&fixture, &["--undo"]);
    said.assert_ok();
    assert!(said.stderr.contains("the profile prod stays: it was changed since the import"), "{said}");
    assert_eq!(read(&fixture), before.replace("sesame", "changed"));
    assert!(config(&fixture).contains("[profiles.prod]"));
}

#[test]
fn dry_run_and_no_terminal_change_nothing() {
    let (fixture, before) = fixture();
    let said = import(&fixture, &["--dry-run"]);
    assert!(said.assert_ok().stderr.contains("dry run"), "{said}");
    let line = error_line(&import(&fixture, &[]), 2);
    assert!(line.contains("no terminal") && line.contains("--yes"), "{line}");
    let said = import(&fixture, &["--dry-run", "-o", "json"]);
    said.assert_ok();
    let rows = said.json();
    assert_eq!(rows[0]["becomes"]["profile"], "prod");
    assert_eq!(rows[2]["becomes"], serde_json::Value::Null);
    let line = error_line(&import(&fixture, &["--only", "we", "--dry-run"]), 2);
    assert!(line.contains("Did you mean web or "), "{line}");
    assert_eq!(read(&fixture), before);
    assert!(!fixture.config_path().exists());
}

#[test]
fn unwritable_kubeconfig_leaves_everything_as_it_was() {
    let (fixture, before) = fixture();
    let file = fixture.sandbox.kubeconfig();
    let mut permissions = fs::metadata(&file).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o400);
    fs::set_permissions(&file, permissions).unwrap();
    let said = import(&fixture, &["--yes"]);
    said.assert_code(1);
    assert!(said.stderr.contains("write-protected") && said.stderr.contains("Nothing was changed."), "{said}");
    assert_eq!(read(&fixture), before);
    assert!(!fixture.config_path().exists(), "{}", config(&fixture));
    assert!(error_line(&import(&fixture, &["--undo"]), 1).contains("no import to undo"));
}

#[test]
fn secret_in_an_entry_is_refused_and_not_printed() {
    let (fixture, before) = fixture();
    let secret = "wJalrXUtnFEMI0K7MDENG0bPxRfiCYEXAMPLEKEY";
    let text =
        before.replace("AWS_PROFILE\n        value: work", &format!("AWS_SECRET_ACCESS_KEY\n        value: {secret}"));
    fs::write(fixture.sandbox.kubeconfig(), &text).unwrap();
    let said = import(&fixture, &["--yes"]);
    said.assert_ok();
    assert!(said.stdout.contains("rolecall keys put NAME") && !format!("{said}").contains(secret), "{said}");
    assert_eq!(read(&fixture), text);
    fs::write(fixture.sandbox.kubeconfig(), before).unwrap();
}

/// Runs the command on a terminal of this width.
fn on_terminal(fixture: &Fixture, width: u16, is_colored: bool, arguments: &str) -> Terminal {
    let mut command = at_width(&fixture.sandbox, width, is_colored, &format!("import {arguments}"));
    fixture.sandbox.terminal(&mut command)
}

#[test]
fn question_on_terminals_of_40_and_80_columns() {
    let (fixture, before) = fixture();
    for (width, is_colored) in [(40, true), (40, false), (80, true), (80, false)] {
        let terminal = on_terminal(&fixture, width, is_colored, "");
        terminal.wait_for("Convert 2 contexts? [Y/n] ", HANG_GUARD);
        terminal.interrupt();
        terminal.wait_exit(HANG_GUARD);
        assert_eq!(read(&fixture), before);
        assert!(!fixture.config_path().exists());
        let text = terminal.text().replace("\r\n", "\n");
        let table: Vec<&str> = text.lines().take_while(|line| !line.starts_with("Convert")).collect();
        assert!(table.iter().all(|line| line.chars().count() <= usize::from(width)), "{width}:\n{text}");
        assert!(table[1].contains("…/prod") && table[1].contains("profile prod"), "{width}:\n{text}");
        assert_eq!(terminal.raw().contains("\u{1b}["), is_colored, "{:?}", terminal.raw());
    }
    let terminal = on_terminal(&fixture, 80, true, "");
    terminal.wait_for("[Y/n] ", HANG_GUARD);
    terminal.type_text("n\r");
    terminal.assert_exit(1, HANG_GUARD);
    assert!(terminal.text().contains("no context was converted. Nothing was changed."), "{}", terminal.text());
    assert_eq!(read(&fixture), before);
    // What was confirmed is what is done: a configuration that was changed since stays.
    let terminal = on_terminal(&fixture, 80, true, "");
    terminal.wait_for("[Y/n] ", HANG_GUARD);
    fs::create_dir_all(fixture.config_path().parent().unwrap()).unwrap();
    fs::write(fixture.config_path(), "# mine\n").unwrap();
    terminal.type_text("\r");
    terminal.assert_exit(1, HANG_GUARD);
    assert_eq!((read(&fixture), config(&fixture)), (before.clone(), "# mine\n".to_owned()));
    fs::remove_file(fixture.config_path()).unwrap();
    let line = error_line(&import(&fixture, &["--undo"]), 1);
    assert!(line.contains("there is no import to undo"), "{line}");
    let terminal = on_terminal(&fixture, 80, true, "");
    terminal.wait_for("[Y/n] ", HANG_GUARD);
    terminal.type_text("\r");
    terminal.assert_exit(0, HANG_GUARD);
    assert!(read(&fixture).contains("- token"));
    assert!(
        rolecall_harness::within(Duration::from_secs(10), || fixture.token().code().filter(|code| *code == 0))
            .is_some()
    );
}

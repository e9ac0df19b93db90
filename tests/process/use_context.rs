//! `rolecall use`: the list on a terminal, the context before, and namespaces.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use rolecall_harness::Terminal;

use crate::fixture::{Fixture, HANG_GUARD, at_width, error_line, without_terminal};
use crate::shell::{protect, two_profiles};

/// The profiles `prod`, which is current, and `staging`, and the context `minikube` of another tool in front of them.
fn three_contexts() -> Fixture {
    let fixture = two_profiles();
    let path = fixture.sandbox.kubeconfig();
    let theirs = "contexts:\n- context: {cluster: minikube, user: minikube}\n  name: minikube\n";
    let text = fs::read_to_string(&path).unwrap().replacen("contexts:\n", theirs, 1);
    fs::write(&path, text).unwrap();
    fixture
}

fn current(fixture: &Fixture) -> String {
    let text = fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap();
    let line = text.lines().find(|line| line.starts_with("current-context: ")).unwrap().to_owned();
    line["current-context: ".len()..].to_owned()
}

#[test]
fn use_dash_returns_to_the_context_before() {
    let fixture = three_contexts();
    fs::remove_file(fixture.sandbox.state_home().join("rolecall/previous-context")).ok();
    let line = error_line(&fixture.rolecall(&["use", "-"]), 1);
    assert!(line.contains("there is no previous context"), "{line}");
    fixture.rolecall(&["use", "staging"]).assert_ok();
    assert!(fixture.rolecall(&["use", "-"]).assert_ok().stdout.contains("prod is now your current context"));
    fixture.rolecall(&["use", "-"]).assert_ok();
    assert_eq!(current(&fixture), "staging");
    // A context that is current already does not become the one before.
    fixture.rolecall(&["use", "staging"]).assert_ok();
    fixture.rolecall(&["use", "-"]).assert_ok();
    assert_eq!(current(&fixture), "prod");
    fixture.rolecall(&["use", "minikube"]).assert_ok();
    fixture.rolecall(&["remove", "prod"]).assert_ok();
    let line = error_line(&fixture.rolecall(&["use", "-"]), 1);
    assert!(line.contains("there is no context \"prod\""), "{line}");
    assert_eq!(current(&fixture), "minikube");
}

#[test]
fn use_namespace_sets_that_of_the_context() {
    let fixture = three_contexts();
    let said = fixture.rolecall(&["use", "staging", "--namespace", "web"]);
    assert_eq!(
        said.assert_ok().stdout,
        "✓ staging is now your current context in ~/.kube/config (it was prod), namespace web\n"
    );
    let said = fixture.rolecall(&["use", "-n", "api"]);
    assert_eq!(said.assert_ok().stdout, "✓ staging is your current context (~/.kube/config), namespace api\n");
    let text = fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap();
    assert!(text.contains("namespace: api") && !text.contains("namespace: web"), "{text}");
    fixture.rolecall(&["use", "-n", "Not_Valid"]).assert_code(2);
    // The namespace stays when the entries are written again, and a shell has it.
    fixture.rolecall(&["kubeconfig", "--all"]).assert_ok();
    let mut command = fixture.sandbox.rolecall();
    command.args(["shell", "staging"]).env("SHELL", "/bin/sh");
    let said = fixture.sandbox.run_with_input(&mut command, b"cat $KUBECONFIG");
    assert!(said.assert_ok().stdout.contains("namespace: api"), "{said}");
}

#[test]
fn use_without_terminal_or_name_is_a_usage_error() {
    let fixture = three_contexts();
    let line = error_line(&fixture.sandbox.run(without_terminal(&fixture.sandbox).arg("use")), 2);
    assert_eq!(
        line,
        "rolecall: there is no terminal to choose on. Run: rolecall use NAME; see the names with: rolecall list"
    );
}

/// Starts `rolecall use` with its result in a file, at a terminal of this width.
fn list(fixture: &Fixture, width: u16, is_colored: bool) -> Terminal {
    let terminal = fixture.sandbox.terminal(&mut at_width(&fixture.sandbox, width, is_colored, "use >~/result"));
    terminal.resize(24, width);
    terminal.wait_screen(HANG_GUARD, |screen| screen.contains("minikube") && screen.contains("Esc leaves"));
    terminal
}

#[test]
fn use_list_filters_and_chooses() {
    let fixture = three_contexts();
    protect(&fixture, "prod");
    for (width, is_colored) in [(80, true), (80, false), (40, true), (40, false)] {
        fixture.rolecall(&["use", "prod"]).assert_ok();
        let terminal = list(&fixture, width, is_colored);
        let screen = terminal.screen();
        let shown: Vec<usize> = ["* prod", "staging", "minikube"].map(|name| screen.find(name).unwrap()).to_vec();
        assert!(shown.is_sorted(), "Rolecall's contexts come first:\n{screen}");
        assert_eq!(screen.lines().filter(|line| line.contains("prod in eu-west-1")).count(), 2, "{screen}");
        assert_eq!(terminal.raw().contains("\u{1b}[31mprod"), is_colored, "{:?}", terminal.raw());
        assert_eq!(terminal.raw().contains("\u{1b}[38;5"), is_colored, "{:?}", terminal.raw());
        terminal.type_text("stg");
        terminal.wait_screen(HANG_GUARD, |screen| screen.contains("staging") && !screen.contains("minikube"));
        terminal.type_text("\r");
        terminal.assert_exit(0, HANG_GUARD);
        assert_eq!(current(&fixture), "staging");
        let result = fs::read_to_string(fixture.sandbox.home().join("result")).unwrap();
        assert!(result.contains("staging is now your current context") && !result.contains("minikube"), "{result}");
    }
}

#[test]
fn use_list_left_changes_nothing() {
    let fixture = three_contexts();
    let before = fs::read(fixture.sandbox.kubeconfig()).unwrap();
    let terminal = list(&fixture, 80, true);
    terminal.interrupt();
    assert_eq!(terminal.wait_exit(HANG_GUARD).signal(), Some(2), "a shell shows 130");
    let terminal = list(&fixture, 80, true);
    terminal.type_text("\u{1b}");
    terminal.assert_exit(1, HANG_GUARD);
    assert!(terminal.text().contains("nothing was chosen. Nothing was written."), "{}", terminal.text());
    let terminal = list(&fixture, 80, true);
    terminal.terminate();
    assert_eq!(terminal.wait_exit(HANG_GUARD).signal(), Some(15));
    assert_eq!(fs::read(fixture.sandbox.kubeconfig()).unwrap(), before);
}

/// kubectl runs programs named `kubectl-rolecall` on `PATH`.
#[test]
fn kubectl_plugin_names_kubectl_in_its_usage() {
    let fixture = three_contexts();
    let folder = fixture.sandbox.home().join("bin");
    fs::create_dir(&folder).unwrap();
    let client = fixture.sandbox.rolecall().get_program().to_owned();
    std::os::unix::fs::symlink(client, folder.join("kubectl-rolecall")).unwrap();
    let Some(mut kubectl) = fixture.sandbox.kubectl() else {
        return crate::files::skipped("kubectl rolecall: kubectl is not installed");
    };
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let said = fixture.sandbox.run(kubectl.args(["rolecall", "use", "--help"]).env("PATH", &path));
    assert!(said.assert_ok().stdout.contains("Usage: kubectl rolecall use "), "{said}");
    let mut kubectl = fixture.sandbox.kubectl().unwrap();
    fixture.sandbox.run(kubectl.args(["rolecall", "use", "staging"]).env("PATH", &path)).assert_ok();
    assert_eq!(current(&fixture), "staging");
}

//! `rolecall shell`: its own kubeconfig, exit status, signals and job control, nested and protected shells.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use rolecall_harness::{Output, within};

use crate::fixture::{Fixture, HANG_GUARD, ROLE, at_width, error_line, profile, without_terminal};

/// `prod` with a context and `staging` with another; the current context is `prod`.
pub(crate) fn two_profiles() -> Fixture {
    let fixture = Fixture::added();
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    fixture.write_config(&format!("{config}\n{}", profile("staging", "work", ROLE)));
    fixture.rolecall(&["kubeconfig", "staging"]).assert_ok();
    fixture.rolecall(&["use", "prod"]).assert_ok();
    fixture
}

/// Marks a profile as protected.
pub(crate) fn protect(fixture: &Fixture, name: &str) {
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    let header = format!("[profiles.{name}]\n");
    assert!(config.contains(&header), "{config}");
    fixture.write_config(&config.replace(&header, &format!("{header}protected = true\n")));
}

/// Runs `rolecall shell …` with `/bin/sh`, which reads this script.
fn shell(fixture: &Fixture, arguments: &[&str], script: &str) -> Output {
    let mut command = fixture.sandbox.rolecall();
    command.arg("shell").args(arguments).env("SHELL", "/bin/sh");
    fixture.sandbox.run_with_input(&mut command, script.as_bytes())
}

fn kubeconfigs(fixture: &Fixture) -> Vec<PathBuf> {
    let folder = fixture.sandbox.runtime_dir().join("rolecall/kubeconfigs");
    fs::read_dir(folder).map(|found| found.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
}

#[test]
fn shell_has_a_kubeconfig_of_its_own() {
    let fixture = two_profiles();
    let before = fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap();
    let said = shell(
        &fixture,
        &["staging", "-n", "web"],
        "echo \"$ROLECALL_PROFILE $ROLECALL_SHELL\"; echo \"$KUBECONFIG\"; cat \"$KUBECONFIG\"; exit 7",
    );
    said.assert_code(7);
    assert_eq!(said.stderr, "rolecall: shell of staging, namespace web; leave it with: exit\n");
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines[0], "staging 1");
    let path = PathBuf::from(lines[1]);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    for part in ["current-context: staging", "namespace: web", "ROLECALL_ENTRY_KEY", "- name: rolecall-staging"] {
        assert!(said.stdout.contains(part), "{part}: {said}");
    }
    assert!(!said.stdout.contains("prod-") && !said.stdout.contains("name: prod\n"), "{said}");
    assert_eq!(fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap(), before);
    // The next start removes what an ended shell left.
    assert_eq!(kubeconfigs(&fixture).len(), 1);
    shell(&fixture, &["prod"], "exit").assert_ok();
    assert!(!path.exists() && kubeconfigs(&fixture).len() == 1);
}

#[test]
fn shell_kubectl_reaches_the_cluster_of_the_profile() {
    let fixture = two_profiles();
    if fixture.sandbox.kubectl().is_none() {
        return crate::files::skipped("kubectl in a shell: kubectl is not installed");
    }
    let said = shell(&fixture, &["staging"], "kubectl config get-contexts -o name; kubectl get pods; exit $?");
    said.assert_ok();
    assert!(said.stdout.starts_with("staging\n"), "{said}");
    // Commands of Rolecall in the shell edit the files of the user.
    shell(&fixture, &["staging"], "rolecall kubeconfig --all && rolecall list").assert_ok();
}

#[test]
fn shell_ended_by_a_signal_passes_it_on() {
    let fixture = two_profiles();
    let mut command = fixture.sandbox.command("sh");
    command.args(["-c", "echo 'kill -TERM $$' | SHELL=/bin/sh rolecall shell prod; echo $?"]);
    let said = fixture.sandbox.run(&mut command);
    assert_eq!(said.stdout, "143\n", "{said}");
    let missing = fixture.sandbox.run(fixture.sandbox.rolecall().args(["shell", "prod"]).env("SHELL", "/no/shell"));
    missing.assert_code(127);
    assert!(missing.stderr.contains("cannot run /no/shell: "), "{missing}");
}

#[test]
fn shell_unknown_profile_or_context_starts_nothing() {
    let fixture = two_profiles();
    let line = error_line(&shell(&fixture, &["stagin"], "exit"), 1);
    assert_eq!(line, "rolecall: there is no profile \"stagin\". Did you mean staging?");
    fs::remove_file(fixture.sandbox.kubeconfig()).unwrap();
    let line = error_line(&shell(&fixture, &["prod"], "exit"), 1);
    assert!(line.contains("prod has no context of Rolecall in ") && line.ends_with("Run: rolecall kubeconfig prod"));
    assert!(kubeconfigs(&fixture).is_empty());
}

#[test]
fn shell_in_a_shell_is_reported() {
    let fixture = two_profiles();
    let said = shell(
        &fixture,
        &["prod"],
        "echo 'echo $ROLECALL_PROFILE $ROLECALL_SHELL; exit 3' | rolecall shell staging; echo \"$? $ROLECALL_PROFILE\"",
    );
    said.assert_ok();
    assert_eq!(said.stdout, "staging 2\n3 prod\n", "{said}");
    assert!(said.stderr.contains("rolecall: you are already in a shell of prod; exit returns to it\n"), "{said}");
}

#[test]
fn use_in_a_shell_changes_that_shell_alone() {
    let fixture = two_profiles();
    let before = fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap();
    let said = shell(&fixture, &["prod"], "rolecall use staging");
    said.assert_code(1);
    assert!(said.stderr.contains("this is a shell of prod, whose kubeconfig has that context alone"), "{said}");
    assert!(said.stderr.ends_with("Leave it with: exit; or open another with: rolecall shell NAME\n"), "{said}");
    for script in ["rolecall use", "rolecall use -"] {
        shell(&fixture, &["prod"], script).assert_code(1);
    }
    let said = shell(&fixture, &["prod"], "rolecall use -n web && grep namespace: $KUBECONFIG");
    said.assert_ok();
    assert_eq!(said.stdout, "✓ prod, namespace web, in this shell alone\n    namespace: web\n");
    assert_eq!(fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap(), before);
}

#[test]
fn shell_startup_files_that_set_kubeconfig_do_not_win() {
    let fixture = two_profiles();
    for (shell, file) in [("bash", ".bashrc"), ("zsh", ".zshrc"), ("fish", ".config/fish/config.fish")] {
        let program = PathBuf::from("/usr/bin").join(shell);
        if !program.exists() {
            crate::files::skipped(&format!("startup files of {shell}: it is not installed"));
            continue;
        }
        fixture.sandbox.write(
            fixture.sandbox.home().join(file).strip_prefix(fixture.sandbox.root()).unwrap(),
            "export KUBECONFIG=/elsewhere\nexport MINE=read\n",
        );
        let mut command = fixture.sandbox.rolecall();
        command.args(["shell", "staging"]).env("SHELL", &program);
        let terminal = fixture.sandbox.terminal(&mut command);
        terminal.wait_for("leave it with: exit", HANG_GUARD);
        terminal.type_text("echo \"<$MINE $KUBECONFIG $ZDOTDIR>\"; exit 4\r");
        let wanted = format!("<read {}", fixture.sandbox.runtime_dir().join("rolecall/kubeconfigs").display());
        terminal.wait_for(&wanted, HANG_GUARD);
        terminal.assert_exit(4, HANG_GUARD);
        assert!(terminal.text().contains("/config >"), "ZDOTDIR is restored: {}", terminal.text());
    }
}

/// Stops a program in the shell, and the shell itself, and continues both.
#[test]
fn shell_job_control_works() {
    let fixture = two_profiles();
    let mut command = fixture.sandbox.command("bash");
    command.args(["--norc", "-i"]).env("SHELL", "/usr/bin/bash").env("PS1", "outer> ");
    let terminal = fixture.sandbox.terminal(&mut command);
    terminal.wait_for("outer> ", HANG_GUARD);
    terminal.type_text("rolecall shell prod\r");
    terminal.wait_for("leave it with: exit", HANG_GUARD);
    terminal.type_text("echo \"in-$ROLECALL_PROFILE\"\r");
    terminal.wait_for("in-prod", HANG_GUARD);
    // Ctrl-Z stops a program of the shell, fg continues it, Ctrl-C ends it.
    // bash, because it starts programs with fork(2). A shell that uses vfork(2), such as dash, cannot stop while a child of it that
    // has not been executed yet is stopped.
    let job = "trap 'echo resumed' CONT; echo started; while :; do sleep 0.1; done\n";
    fs::write(fixture.sandbox.home().join("job.sh"), job).unwrap();
    terminal.type_text("bash job.sh\r");
    terminal.wait_for("started", HANG_GUARD);
    terminal.suspend();
    terminal.wait_for("Stopped", HANG_GUARD);
    terminal.type_text("fg; echo \"code-$?\"\r");
    // The shell continues a job after it has given it the terminal.
    terminal.wait_for("resumed", HANG_GUARD);
    terminal.interrupt();
    terminal.type_text("echo \"after-$ROLECALL_PROFILE\"\r");
    terminal.wait_for("after-prod", HANG_GUARD);
    // The shell itself is a job of the outer shell.
    terminal.type_text("suspend\r");
    terminal.wait_for_times("Stopped", 2, HANG_GUARD);
    terminal.type_text("echo \"outer-${ROLECALL_PROFILE:-none}\"\r");
    terminal.wait_for("outer-none", HANG_GUARD);
    terminal.type_text("fg\r");
    terminal.type_text("echo \"back-$ROLECALL_PROFILE\"; exit 5\r");
    terminal.wait_for("back-prod", HANG_GUARD);
    terminal.type_text("echo \"code-$?-outer\"\r");
    terminal.wait_for("code-5-outer", HANG_GUARD);
    terminal.type_text("exit\r");
    terminal.assert_exit(0, HANG_GUARD);
}

#[test]
fn protected_shell_without_terminal_needs_yes() {
    let fixture = two_profiles();
    protect(&fixture, "prod");
    let mut command = without_terminal(&fixture.sandbox);
    let line = error_line(&fixture.sandbox.run(command.args(["shell", "prod"])), 2);
    assert_eq!(line, "rolecall: prod is protected, and there is no terminal to ask on. Agree with --yes");
    assert!(kubeconfigs(&fixture).is_empty());
    let said = shell(&fixture, &["prod", "--yes"], "exit 6");
    said.assert_code(6);
    assert_eq!(said.stderr, "rolecall: prod is protected\nrolecall: shell of prod; leave it with: exit\n");
    // The daemon reads the changed configuration within a second.
    let listed = within(HANG_GUARD, || {
        Some(fixture.rolecall(&["list", "-o", "json"]).json()).filter(|list| list[0]["protected"] == true)
    });
    assert_eq!(listed.expect("prod is listed as protected")[1]["protected"], false);
    assert_eq!(fixture.rolecall(&["status", "-o", "json"]).json()["profiles"][0]["protected"], true);
    assert!(fixture.rolecall(&["show", "prod"]).stdout.contains("protected     yes: shell and exec ask"));
    let used = fixture.rolecall(&["use", "prod"]);
    assert_eq!(used.stderr, "rolecall: prod is protected\n", "{used}");
}

#[test]
fn add_protected_marks_the_profile() {
    let fixture = Fixture::bare();
    fixture.rolecall(&[&crate::fixture::ADD[..], &["--protected"]].concat()).assert_ok();
    assert!(fs::read_to_string(fixture.config_path()).unwrap().contains("protected = true"));
    assert!(fixture.rolecall(&["status", "-o", "json"]).json()["profiles"][0]["protected"] == true);
}

/// Starts `rolecall shell prod` of a protected profile at a terminal of this width.
fn asked(fixture: &Fixture, width: u16, is_colored: bool) -> rolecall_harness::Terminal {
    let mut command = at_width(&fixture.sandbox, width, is_colored, "shell prod");
    let terminal = fixture.sandbox.terminal(command.env("SHELL", "/bin/sh"));
    terminal.wait_for("Continue? [y/N] ", HANG_GUARD);
    terminal
}

#[test]
fn protected_shell_asks_on_a_terminal() {
    let fixture = two_profiles();
    protect(&fixture, "prod");
    for width in [40, 80] {
        for is_colored in [true, false] {
            let terminal = asked(&fixture, width, is_colored);
            assert_eq!(terminal.raw().contains("\u{1b}[31m"), is_colored, "{}", terminal.raw());
            assert!(terminal.text().lines().all(|line| line.chars().count() <= usize::from(width)));
            terminal.type_text("n\r");
            terminal.assert_exit(1, HANG_GUARD);
            assert!(terminal.text().contains("prod was not used"), "{}", terminal.text());
        }
    }
    let terminal = asked(&fixture, 80, false);
    terminal.interrupt();
    assert_eq!(terminal.wait_exit(HANG_GUARD).signal(), Some(2));
    assert!(kubeconfigs(&fixture).is_empty(), "nothing was written");
    let terminal = asked(&fixture, 80, false);
    terminal.type_text("y\r");
    terminal.wait_for("leave it with: exit", HANG_GUARD);
    terminal.type_text("exit 8\r");
    terminal.assert_exit(8, HANG_GUARD);
}

//! Completions in real shells: names from the user's files, without a daemon.

use std::path::Path;
use std::process::Command;

use crate::fixture::{Fixture, HANG_GUARD, ROLE, profile};

/// Two profiles and a source are configured, with AWS profiles and a context of another tool; no daemon runs.
fn fixture() -> Fixture {
    let fixture = Fixture::configured();
    let config = std::fs::read_to_string(fixture.config_path()).unwrap();
    fixture.write_config(&(config + "\n" + &profile("production-eu", "work", ROLE)));
    let context = "contexts:\n- {name: minikube, context: {cluster: c, user: u}}\n";
    write_kubeconfig(&fixture, context);
    fixture
}

fn write_kubeconfig(fixture: &Fixture, text: &str) {
    let path = fixture.sandbox.kubeconfig();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A shell with the client on its PATH; `None`, after a note, if it is not installed.
fn shell(fixture: &Fixture, name: &str) -> Option<Command> {
    let path = Path::new("/usr/bin").join(name);
    if !path.exists() {
        eprintln!("SKIPPED: {name} is not installed");
        return None;
    }
    let mut command = fixture.sandbox.command(path.to_str().unwrap());
    let programs = fixture.sandbox.rolecall();
    let folder = Path::new(programs.get_program()).parent().unwrap();
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
    Some(command)
}

/// The candidates of bash for the last of these words.
fn bash(fixture: &Fixture, words: &[&str]) -> Vec<String> {
    let script = "source <(rolecall completions bash) && COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)) COMP_TYPE=9 &&
        _clap_complete_rolecall rolecall \"${COMP_WORDS[COMP_CWORD]}\" && printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut command = shell(fixture, "bash").expect("bash is installed");
    let said = fixture.sandbox.run(command.args(["-c", script, "bash"]).args(words));
    said.assert_ok().stdout.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_names_without_a_daemon() {
    let fixture = fixture();
    assert_eq!(bash(&fixture, &["rolecall", "show", "pr"]), ["prod", "production-eu"]);
    assert_eq!(bash(&fixture, &["rolecall", "token", "produ"]), ["production-eu"]);
    assert_eq!(bash(&fixture, &["rolecall", "kubeconfig", "prod", "produ"]), ["production-eu"]);
    assert_eq!(bash(&fixture, &["rolecall", "login", "w"]), ["work"]);
    assert_eq!(bash(&fixture, &["rolecall", "use", "mini"]), ["minikube"]);
    assert_eq!(bash(&fixture, &["rolecall", "add", "x", "--aws-profile", "wo"]), ["work"]);
    assert_eq!(bash(&fixture, &["rolecall", "add", "x", "--region", "eu-w"]), ["eu-west-1", "eu-west-2", "eu-west-3"]);
    assert_eq!(bash(&fixture, &["rolecall", "status", "-o", ""]), ["json", "yaml", "wide"]);
    assert_eq!(bash(&fixture, &["rolecall", "stat"]), ["status"]);
    assert!(!fixture.socket().exists(), "a completion starts no daemon");
}

#[test]
fn completions_of_unknown_shell_are_refused() {
    Fixture::bare().rolecall(&["completions", "dosbox"]).assert_code(2);
}

#[test]
fn completion_with_invalid_files_gives_no_names() {
    let fixture = fixture();
    fixture.write_config("[profiles.prod");
    write_kubeconfig(&fixture, ": [");
    assert_eq!(bash(&fixture, &["rolecall", "use", "mini"]), [""]);
    assert_eq!(bash(&fixture, &["rolecall", "token", "p"]), [""]);
    // A pipe without a writer would block a reader.
    std::fs::remove_file(fixture.config_path()).unwrap();
    fixture.sandbox.run(fixture.sandbox.command("mkfifo").arg(fixture.config_path())).assert_ok();
    assert_eq!(bash(&fixture, &["rolecall", "token", "p"]), [""]);
}

#[test]
fn fish_completes_names() {
    let fixture = fixture();
    let Some(mut fish) = shell(&fixture, "fish") else { return };
    let script = "rolecall completions fish | source; complete -C 'rolecall show pr'; complete -C 'rolecall login w'";
    let said = fixture.sandbox.run(fish.args(["--no-config", "-c", script]));
    assert_eq!(said.assert_ok().stdout, "prod\nproduction-eu\nwork\n");
}

#[test]
fn zsh_completes_names_from_fpath_at_the_first_tab() {
    let fixture = fixture();
    let Some(mut zsh) = shell(&fixture, "zsh") else { return };
    let script = fixture.rolecall(&["completions", "zsh"]).assert_ok().stdout.clone();
    fixture.sandbox.write("functions/_rolecall", &script);
    let terminal = fixture.sandbox.terminal(zsh.args(["-f", "-i"]).env("PS1", "ready> "));
    terminal.wait_for("ready> ", HANG_GUARD);
    let folder = fixture.sandbox.root().join("functions");
    terminal.type_text(&format!(
        "fpath=({} $fpath); autoload -Uz compinit; compinit -u -D; echo load''ed\n",
        folder.display()
    ));
    terminal.wait_for("loaded", HANG_GUARD);
    terminal.type_text("rolecall show produ\t");
    terminal.wait_for("rolecall show production-eu", HANG_GUARD);
    // A second time, with the function that the first completion defined.
    terminal.type_text("--al\t\x15rolecall login w\t");
    terminal.wait_for("rolecall login work", HANG_GUARD);
    terminal.type_text("\x15exit\n");
    terminal.assert_exit(0, HANG_GUARD);
}

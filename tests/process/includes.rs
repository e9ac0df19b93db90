//! `include` in the configuration: a team's file, from a new colleague's first commands to its faults.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::fixture::{ADD, Fixture, ROLE, error_line, profile};

const FILE: &str = "home/work/platform/rolecall.toml";
const SHOWN: &str = "~/work/platform/rolecall.toml";

fn team() -> String {
    format!("# The platform team's.\n[sources.work]\naws_profile = \"work\"\n\n{}", profile("prod", "work", ROLE))
}

fn write_team(fixture: &Fixture, text: &str) -> PathBuf {
    fixture.sandbox.write(FILE, text)
}

fn config(fixture: &Fixture) -> String {
    fs::read_to_string(fixture.config_path()).unwrap()
}

/// A fixture that includes the team's file.
fn including() -> (Fixture, PathBuf) {
    let fixture = Fixture::bare();
    let path = write_team(&fixture, &team());
    fixture.write_config(&format!("include = [\"{SHOWN}\"]\n"));
    (fixture, path)
}

#[test]
fn new_colleague_needs_three_commands() {
    let fixture = Fixture::bare();
    let path = write_team(&fixture, &team());
    let said = fixture.rolecall(&["config", "include", path.to_str().unwrap()]);
    assert_eq!(
        said.assert_ok().stdout,
        format!("✓ {SHOWN} is included (1 profile)\n  write their contexts: rolecall kubeconfig --all\n")
    );
    assert!(config(&fixture).ends_with(&format!("\n\ninclude = [\"{SHOWN}\"]\n")), "{}", config(&fixture));
    let said = fixture.rolecall(&["kubeconfig", "--all"]);
    assert_eq!(said.assert_ok().stdout, "✓ added context prod to ~/.kube/config\n");
    let text = config(&fixture);
    let section = text.split_once("[included.prod]\n").unwrap().1;
    for key in ["server = \"https://", "ca_sha256 = \"", "entry_key = \""] {
        assert!(section.contains(key), "{text}");
    }
    let token = fixture.token();
    let token = token.assert_ok().json();
    fixture.api.username(token["status"]["token"].as_str().unwrap()).unwrap();
    // Without the entry key, a kubeconfig of another author gets none.
    let line = error_line(&fixture.sandbox.run_as_given(fixture.sandbox.rolecall().args(["token", "prod"])), 1);
    assert!(line.contains("the call has no entry key"), "{line}");

    // Again: the same bytes everywhere, and the team's file as the team wrote it.
    let kubeconfig = fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap();
    fixture.rolecall(&["kubeconfig", "--all"]).assert_ok();
    let said = fixture.rolecall(&["config", "include", path.to_str().unwrap()]);
    assert!(said.assert_ok().stderr.contains("is included already"), "{said}");
    assert_eq!(config(&fixture), text);
    assert_eq!(fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap(), kubeconfig);
    assert_eq!(fs::read_to_string(&path).unwrap(), team());
    assert_eq!(
        fixture.rolecall(&["config", "check"]).assert_ok().stdout,
        format!("✓ ~/.config/rolecall/config.toml is valid (0 profiles)\n✓ {SHOWN} is included (1 profile)\n")
    );
    let said = fixture.rolecall(&["config", "include", "--remove", path.to_str().unwrap()]);
    assert_eq!(
        said.assert_ok().stdout,
        format!("✓ {SHOWN} is no longer included; the contexts of its profiles stay\n")
    );
    assert_eq!(fixture.rolecall(&["list", "--json"]).json(), serde_json::json!([]));
    let line = error_line(&fixture.rolecall(&["config", "include", "--remove", path.to_str().unwrap()]), 1);
    assert!(line.contains(&format!("{SHOWN} is not included. Nothing was changed.")), "{line}");
}

#[test]
fn config_include_keeps_comments_and_order() {
    let fixture = Fixture::bare();
    let path = write_team(&fixture, &team());
    let other = fixture.sandbox.write("home/work/other.toml", "# nothing yet\n");
    let before = "# mine\n\n# the job\n[sources.own]   # beside\naws_profile = \"own\"\n";
    fixture.write_config(before);
    for path in [&path, &other] {
        fixture.rolecall(&["config", "include", path.to_str().unwrap()]).assert_ok();
    }
    assert_eq!(
        config(&fixture),
        format!("# mine\n\ninclude = [\"{SHOWN}\", \"~/work/other.toml\"]\n\n{}", &before[8..])
    );
    fixture.rolecall(&["config", "include", "--remove", path.to_str().unwrap()]).assert_ok();
    fixture.rolecall(&["config", "include", "--remove", "~/work/other.toml"]).assert_ok();
    assert_eq!(config(&fixture), format!("# mine\n\ninclude = []\n\n{}", &before[8..]));
}

#[test]
fn included_profile_shows_its_file() {
    let (fixture, path) = including();
    let path = path.to_str().unwrap();
    assert!(fixture.rolecall(&["list"]).assert_ok().stdout.contains(&format!("  work    {SHOWN}\n")));
    assert_eq!(fixture.rolecall(&["list", "--json"]).json()[0]["included_from"], path);
    assert_eq!(fixture.rolecall(&["status", "--json"]).json()["profiles"][0]["included_from"], path);
    assert_eq!(fixture.rolecall(&["status", "--json"]).json()["config"]["includes"][0]["profiles"], 1);
    let said = fixture.rolecall(&["show", "prod"]);
    assert!(said.assert_ok().stdout.contains(&format!("  from          {SHOWN}\n")), "{said}");
    assert_eq!(fixture.rolecall(&["source", "list", "--json"]).json()[0]["included_from"], path);
}

#[test]
fn included_profile_is_read_only() {
    let (fixture, path) = including();
    let before = config(&fixture);
    for arguments in [&["remove", "prod"][..], &["rename", "prod", "x"]] {
        let line = error_line(&fixture.rolecall(arguments), 1);
        assert!(
            line.contains(&format!("the profile prod comes from {}", path.display()))
                && line.contains("Rolecall only reads included files. Nothing was")
                && line.ends_with(": rolecall add prod --replace"),
            "{line}"
        );
    }
    let line = error_line(&fixture.rolecall(&["source", "remove", "work"]), 1);
    assert!(line.contains("the source work comes from"), "{line}");
    let line = error_line(&fixture.rolecall(&ADD), 1);
    assert!(line.contains(&format!("comes from {SHOWN}, and a profile of your own would override it")), "{line}");
    assert_eq!(config(&fixture), before);
    assert_eq!(fs::read_to_string(&path).unwrap(), team());

    let said = fixture.rolecall(&[&ADD[..], &["--replace", "--duration", "30min"]].concat());
    assert!(said.assert_ok().stderr.contains(&format!("the profile prod overrides that of {SHOWN}")), "{said}");
    let said = fixture.rolecall(&["show", "prod"]);
    assert!(said.stdout.contains(&format!("your configuration, which overrides {SHOWN}")), "{said}");
    assert!(said.stdout.contains("30 min"), "{said}");
    let said = fixture.rolecall(&["remove", "prod"]);
    assert!(said.assert_ok().stderr.contains(&format!("prod is now the profile of {SHOWN}")), "{said}");
    assert_eq!(fixture.rolecall(&["list", "--json"]).json()[0]["included_from"], path.to_str().unwrap());
}

/// Fault matrix row 90.
#[test]
fn broken_include_is_shown_and_keeps_the_rest() {
    let (fixture, path) = including();
    fixture.rolecall(&["kubeconfig", "--all"]).assert_ok();
    fixture.rolecall(&["add", "mine", "--cluster", "prod", "--region", "eu-west-1", "--aws-profile", "work"]);
    write_team(&fixture, "[profiles.prod]\nclutser = \"prod\"\n");
    let line = error_line_of(&fixture.rolecall(&["config", "check"]));
    assert!(line.contains(&format!("{}:2: profiles.prod.clutser: unknown key", path.display())), "{line}");
    assert!(line.ends_with("Its last valid content stays in force until this is fixed."), "{line}");
    fixture.token().assert_ok();
    assert!(fixture.rolecall(&["status"]).assert_ok().stdout.contains("unknown key \"clutser\""));
    // After a restart it has none.
    fixture.rolecall(&["agent", "stop"]).assert_ok();
    let line = error_line(&fixture.token(), 1);
    assert!(line.contains("there is no profile \"prod\"") && line.contains("clutser"), "{line}");
    write_team(&fixture, &team());
    fixture.rolecall(&["config", "check"]).assert_ok();
    fixture.token().assert_ok();
}

/// Fault matrix row 91.
#[test]
fn include_that_others_can_write_is_refused() {
    let fixture = Fixture::bare();
    let path = write_team(&fixture, &team());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let line = error_line(&fixture.rolecall(&["config", "include", path.to_str().unwrap()]), 1);
    assert!(line.contains(&format!("chmod go-w {}", path.display())), "{line}");
    assert!(line.contains("Nothing was written."), "{line}");
    assert!(!fixture.config_path().exists());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fixture.rolecall(&["config", "include", path.to_str().unwrap()]).assert_ok();
    let line = error_line(&fixture.rolecall(&["config", "include", "~/none.toml"]), 1);
    assert!(line.contains("none.toml: does not exist. Nothing was written."), "{line}");
}

/// The last line of standard error of a command that fails after it has printed something.
fn error_line_of(said: &rolecall_harness::Output) -> String {
    said.assert_code(1);
    said.stderr.lines().last().unwrap().to_owned()
}

//! `rolecall doctor`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::fixture::Fixture;

/// Returns the state and the fix of a finding.
fn finding(data: &Value, name: &str) -> (String, Option<String>) {
    let found = data.as_array().unwrap().iter().find(|finding| finding["name"] == name);
    let found = found.unwrap_or_else(|| panic!("{name} is missing in {data:#}"));
    (found["state"].as_str().unwrap().to_owned(), found["fix"].as_str().map(str::to_owned))
}

fn data_of<'a>(data: &'a Value, name: &str) -> &'a Value {
    data.as_array().unwrap().iter().find(|finding| finding["name"] == name).unwrap()
}

fn is_ok(data: &Value, name: &str) -> bool {
    finding(data, name) == ("ok".to_owned(), None)
}

#[test]
fn doctor_of_a_protected_computer_finds_no_problem() {
    let fixture = Fixture::added();
    let said = fixture.rolecall(&["doctor", "--security", "-o", "json"]);
    let data = said.assert_ok().json();
    for name in ["socket folder", "socket", "agent", "core dumps", "configuration", "AWS config", "AWS credentials"] {
        assert!(is_ok(&data, name), "{name}: {data:#}");
    }
    assert!(is_ok(&data, "kubeconfig"), "{data:#}");
    assert!(is_ok(&data, "profile prod") && is_ok(&data, "keyring") && is_ok(&data, "audit"), "{data:#}");
    // root can read every memory.
    let expected = if rustix::process::geteuid().is_root() { "warning" } else { "ok" };
    assert_eq!(finding(&data, "agent's memory").0, expected);
    assert_eq!(finding(&data, "lock").0, "warning", "there is no passphrase");

    let said = fixture.rolecall(&["doctor", "--security"]);
    let text = &said.assert_ok().stdout;
    assert!(text.starts_with("✓ socket folder "), "{text}");
    assert!(text.contains("Fix: rolecall lock --passphrase\n"), "{text}");
    // The entry key is not shown.
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    let key = config.lines().find_map(|line| line.strip_prefix("entry_key = ")).unwrap().trim_matches('"');
    assert!(!text.contains(key) && !data.to_string().contains(key));
}

#[test]
fn doctor_names_what_others_can_change() {
    let fixture = Fixture::added();
    let set_mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let aws = fixture.sandbox.home().join(".aws");
    let fix = |problem: &str, path: &Path| ("problem".to_owned(), Some(format!("{problem} {}", path.display())));
    // The agent reports a configuration as invalid until it has read the file again.
    let doctor = |code| fixture.rolecall(&["doctor", "--security", "-o", "json"]).assert_code(code).json();

    set_mode(&aws, 0o757);
    let data = doctor(1);
    assert_eq!(finding(&data, "AWS config"), fix("chmod go-w", &aws));
    assert_eq!(finding(&data, "AWS credentials"), fix("chmod go-w", &aws));
    set_mode(&aws, 0o700);
    set_mode(&aws.join("credentials"), 0o644);
    let expected = ("warning".to_owned(), Some(format!("chmod go-r {}", aws.join("credentials").display())));
    assert_eq!(finding(&doctor(0), "AWS credentials"), expected);
    set_mode(&aws.join("credentials"), 0o600);

    set_mode(&fixture.config_path(), 0o646);
    assert_eq!(finding(&doctor(1), "configuration"), fix("chmod go-w", &fixture.config_path()));
    set_mode(&fixture.config_path(), 0o600);

    // A kubeconfig from another author.
    let kubeconfig = fixture.sandbox.kubeconfig();
    let own = fs::read_to_string(&kubeconfig).unwrap();
    let server = own.lines().find_map(|line| line.trim().strip_prefix("server: ")).unwrap();
    fs::write(&kubeconfig, own.replace(server, "https://evil.example")).unwrap();
    assert_eq!(
        finding(&doctor(1), "profile prod"),
        ("problem".to_owned(), Some("rolecall kubeconfig prod".to_owned()))
    );
    fs::write(&kubeconfig, own.replace("ROLECALL_ENTRY_KEY", "OTHER")).unwrap();
    assert_eq!(
        finding(&doctor(0), "profile prod"),
        ("warning".to_owned(), Some("rolecall kubeconfig prod".to_owned()))
    );
    let write = |state: &str| (state.to_owned(), Some("rolecall kubeconfig prod".to_owned()));
    fs::write(&kubeconfig, own.replace("provideClusterInfo: true", "provideClusterInfo: false")).unwrap();
    assert_eq!(finding(&doctor(0), "profile prod"), write("warning"));
    assert_eq!(data_of(&doctor(0), "profile prod")["code"], "no_cluster_info");
    fs::write(&kubeconfig, own.replace("command: ", "command: /nowhere")).unwrap();
    assert_eq!(finding(&doctor(1), "profile prod"), write("problem"));
    fs::write(&kubeconfig, own.replace("/rolecall\n", "/evil\n")).unwrap();
    let again =
        "kubectl config delete-user rolecall-prod && kubectl config delete-context prod && rolecall kubeconfig prod";
    assert_eq!(finding(&doctor(1), "profile prod"), ("problem".to_owned(), Some(again.to_owned())));
    fs::write(&kubeconfig, own).unwrap();
    assert!(is_ok(&doctor(0), "profile prod"));

    set_mode(&kubeconfig, 0o646);
    assert_eq!(finding(&doctor(1), "kubeconfig"), fix("chmod go-w", &kubeconfig));
    set_mode(&kubeconfig, 0o600);
    assert!(is_ok(&doctor(0), "kubeconfig"));
}

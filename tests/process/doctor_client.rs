//! `rolecall doctor` of profiles: what it prints, fixes and sends to an administrator.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rolecall_harness::{Output, Role, Sandbox, Terminal};
use serde_json::{Value, json};

use crate::fake_access::{Answer, FakeAccess};
use crate::fixture::{Fixture, HANG_GUARD, REGION, at_width, error_line, kill, profile};

const AUDITOR: &str = "arn:aws:iam::111122223333:role/auditor";

/// The profile `prod`, which is healthy, and `audit`, whose role the cluster does not map.
fn with_unmapped_role() -> Fixture {
    let fixture = Fixture::added();
    fixture.aws.add_role(Role::new(AUDITOR).trusts(&fixture.user.arn));
    let add = ["add", "audit", "--cluster", "prod", "--region", REGION, "--role-arn", AUDITOR, "--aws-profile", "work"];
    let external_id = ["--external-id", "secret-external-id"];
    fixture.rolecall(&[&add[..], &external_id[..]].concat());
    fixture
}

/// Runs the command on a terminal of this width and returns what it shows.
fn on_terminal(sandbox: &Sandbox, width: u16, locale: &str, command: &str) -> Terminal {
    sandbox.terminal(at_width(sandbox, width, false, command).env("LANG", locale))
}

/// Returns the codes of the findings on the computer and of all profiles that are not as they should be.
fn codes(said: &Output) -> Vec<String> {
    let data = said.json();
    let profiles = data["profiles"].as_array().unwrap().iter().flat_map(|one| one["findings"].as_array().unwrap());
    let all = data["computer"].as_array().unwrap().iter().chain(profiles);
    let codes = all.filter(|found| found["state"] != "ok").map(|found| found["code"].as_str().unwrap().to_owned());
    // Warnings about the machine on which the test runs.
    codes.filter(|code| !["runs_as_root", "no_passphrase", "several_installations"].contains(&code.as_str())).collect()
}

#[test]
fn doctor_healthy_profile_is_five_lines() {
    let fixture = Fixture::added();
    let said = fixture.rolecall(&["doctor", "prod"]);
    let text = &said.assert_ok().stdout;
    assert_eq!(said.stderr, "");
    let names: Vec<&str> = text.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(names.len(), 5, "{text}");
    assert!(names.iter().all(|name| name.starts_with("✓ ")) && names[0] == "✓ computer", "{text}");
    assert!(text.contains("arn:aws:iam::111122223333:user/dev (AWS profile work)"), "{text}");
    assert!(text.contains("context prod"), "{text}");
    assert_eq!(fixture.rolecall(&["doctor"]).assert_ok().stdout, *text, "it is the only profile");
    let verbose = fixture.rolecall(&["doctor", "-v", "prod"]);
    assert!(verbose.assert_ok().stdout.lines().count() > 15, "{verbose}");

    let said = fixture.rolecall(&["doctor", "-o", "json"]);
    let data = said.assert_ok().json();
    assert_eq!((&data["profiles"][0]["profile"], &data["profiles"][0]["state"]), (&json!("prod"), &json!("ok")));
    assert_eq!(codes(&said), Vec::<String>::new());
    let unknown = error_line(&fixture.rolecall(&["doctor", "prd"]), 1);
    assert_eq!(unknown, "rolecall: there is no profile \"prd\". Did you mean prod?");
}

#[test]
fn doctor_shows_unhealthy_profiles_first() {
    let fixture = with_unmapped_role();
    let said = fixture.rolecall(&["doctor"]);
    let text = &said.assert_code(1).stdout;
    assert!(text.contains("\naudit:\n✗ cluster access"), "{text}");
    assert!(text.contains("You must be logged in to the server (Unauthorized)"), "{text}");
    assert!(text.ends_with("\n\n✓ 1 profile is healthy: prod\n"), "{text}");
    let data = fixture.rolecall(&["doctor", "-o", "json"]).assert_code(1).json();
    assert_eq!(data["profiles"][0]["profile"], "audit");
    assert_eq!(fixture.rolecall(&["doctor", "prod"]).assert_ok().stdout.lines().count(), 5);
}

#[test]
fn doctor_fits_40_and_80_columns_and_ascii() {
    let fixture = with_unmapped_role();
    for (width, locale) in [(40, "C"), (40, "C.UTF-8"), (80, "C"), (80, "C.UTF-8")] {
        let terminal = on_terminal(&fixture.sandbox, width, locale, "doctor");
        terminal.assert_exit(1, HANG_GUARD);
        let text = terminal.text().replace("\r\n", "\n");
        // The status line is cleared.
        let shown = text.rsplit('\r').next().unwrap().trim_start_matches("\u{1b}[K").to_owned();
        assert!(shown.contains("audit:\n") && shown.contains("1 profile is healthy: prod"), "{text:?}");
        assert!(locale != "C" || shown.is_ascii(), "{shown}");
        for line in shown.lines() {
            // A command and an ARN are not split, so that they can be copied.
            let is_command = line.starts_with("      ");
            let is_word = line.split_whitespace().count() == 1;
            assert!(
                line.chars().count() <= usize::from(width) || is_command || is_word,
                "{width}: {line:?} in\n{shown}"
            );
        }
    }
}

#[test]
fn doctor_for_admin_has_no_secret_and_no_path() {
    let fixture = with_unmapped_role();
    let said = fixture.rolecall(&["doctor", "--for-admin"]);
    let text = &said.assert_code(1).stdout;
    for part in [
        "To: an administrator of ",
        "I am: arn:aws:iam::111122223333:user/dev\n",
        "I tried to use: the EKS cluster prod in eu-west-1\n",
        "With the role: arn:aws:iam::111122223333:role/auditor\n",
        "What to do: ",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let data = fixture.rolecall(&["doctor", "--for-admin", "-o", "json"]).assert_code(1).json();
    assert_eq!(data[0]["profile"], "audit");
    for hidden in ["secret-external-id", fixture.sandbox.home().to_str().unwrap(), "✗"] {
        assert!(!text.contains(hidden) && !data.to_string().contains(hidden), "{hidden} is in\n{text}");
    }
    let said = fixture.rolecall(&["doctor", "prod", "--for-admin"]);
    said.assert_ok().assert_stdout_empty();
    assert!(said.stderr.contains("no problem is one that an administrator has to solve"), "{said}");
    assert_eq!(fixture.rolecall(&["doctor", "prod", "--for-admin", "-o", "json"]).assert_ok().json(), json!([]));
}

/// A kubeconfig with a stale context of ours, an incomplete entry of ours and a context of another tool.
fn damage(fixture: &Fixture) {
    let kubeconfig = fixture.sandbox.kubeconfig();
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    let added = config.replace("[profiles.prod]", "[profiles.old]");
    let old = added.split_once("[profiles.old]").unwrap().1;
    fs::write(fixture.config_path(), format!("{config}\n[profiles.old]{old}")).unwrap();
    fixture.rolecall(&["kubeconfig", "old"]).assert_ok();
    fs::write(fixture.config_path(), config).unwrap();
    fixture.rolecall(&["refresh", "prod"]).assert_ok();
    let text = fs::read_to_string(&kubeconfig).unwrap();
    let (before, entry) = text.rsplit_once("- name: rolecall-prod\n").unwrap();
    let entry = entry.replacen("provideClusterInfo: true", "provideClusterInfo: false", 1);
    let entry = entry.replacen("interactiveMode: IfAvailable", "interactiveMode: null", 1);
    let text = format!("{before}- name: rolecall-prod\n{entry}");
    let other =
        "- name: aws\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      command: aws\n";
    fs::write(&kubeconfig, text.replacen("users:\n", &format!("users:\n{other}"), 1)).unwrap();
    fs::set_permissions(fixture.config_path(), fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn doctor_fix_changes_only_what_is_ours_and_safe() {
    let fixture = Fixture::added();
    damage(&fixture);
    let said = fixture.rolecall(&["doctor", "-o", "json"]);
    let found = codes(said.assert_code(1));
    for code in ["stale_context", "exec_entry_invalid", "no_cluster_info", "file_readable"] {
        assert!(found.iter().any(|found| found == code), "{code}: {found:?}");
    }
    let said = fixture.rolecall(&["doctor", "--fix"]);
    let text = &said.assert_ok().stdout;
    for part in [
        "✓ changed the mode of ~/.config/rolecall/config.toml to 0600\n\n✓ computer",
        "✓ removed the context old from ~/.kube/config: there is no profile old\n",
        "✓ wrote the context prod in ~/.kube/config again, with its pinned cluster\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let kubeconfig = fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap();
    assert!(!kubeconfig.contains("old") && kubeconfig.contains("- name: aws\n"), "{kubeconfig}");
    assert!(!kubeconfig.contains("provideClusterInfo: false"), "{kubeconfig}");
    let again = fixture.rolecall(&["doctor", "--fix"]);
    assert!(again.assert_ok().stdout.starts_with("nothing to fix that is safe to change\n\n✓ computer"), "{again}");
    assert_eq!(fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap(), kubeconfig);
    let data = fixture.rolecall(&["doctor", "--fix", "-o", "json"]).assert_ok().json();
    assert_eq!(data["fixed"], json!([]));
}

#[test]
fn doctor_fix_leaves_pins_and_other_tools() {
    let fixture = Fixture::added();
    let kubeconfig = fixture.sandbox.kubeconfig();
    let own = fs::read_to_string(&kubeconfig).unwrap();
    let server = own.lines().find_map(|line| line.trim().strip_prefix("server: ")).unwrap();
    let unfixed = |text: String, code: &str| {
        fs::write(&kubeconfig, &text).unwrap();
        let config = fs::read_to_string(fixture.config_path()).unwrap();
        let said = fixture.rolecall(&["doctor", "--fix", "-o", "json"]);
        assert!(codes(said.assert_code(1)).iter().any(|found| found == code), "{code}: {said}");
        assert_eq!(said.json()["fixed"], json!([]), "{code}");
        assert_eq!(fs::read_to_string(&kubeconfig).unwrap(), text);
        assert_eq!(fs::read_to_string(fixture.config_path()).unwrap(), config);
        said.json()
    };
    unfixed(own.replace(server, "https://evil.example"), "pin_mismatch");
    let evil =
        own.replace(server, "https://evil.example").replace("provideClusterInfo: true", "provideClusterInfo: false");
    unfixed(evil, "pin_mismatch");
    let taken = own.replace("user: rolecall-prod", "user: arn:aws:eks:eu-west-1:111122223333:cluster/prod");
    let data = unfixed(taken, "context_of_other_tool");
    let found = data["profiles"][0]["findings"].as_array().unwrap();
    let found = found.iter().find(|found| found["code"] == "context_of_other_tool").unwrap();
    assert_eq!(found["fix"], "kubectl config rename-context prod prod-other && rolecall kubeconfig prod");
}

/// The agent serves the profiles of the last valid configuration, so the mistake is the only problem.
#[test]
fn doctor_names_a_mistake_in_the_configuration_once() {
    let fixture = Fixture::added();
    let text = fs::read_to_string(fixture.config_path()).unwrap();
    fixture.write_config(&text.replace("\ncluster = ", "\nclster = "));
    let said = fixture.rolecall(&["doctor", "-o", "json"]);
    assert_eq!(codes(said.assert_code(1)), ["config_invalid"], "{said}");
    let kubeconfig = fs::read_to_string(fixture.sandbox.kubeconfig()).unwrap();
    fixture.write_config(&text);
    fs::write(fixture.sandbox.kubeconfig(), kubeconfig.replace(&fixture.api.url(), "https://evil.example")).unwrap();
    let said = fixture.rolecall(&["doctor", "-o", "json"]);
    assert_eq!(codes(said.assert_code(1)), ["pin_mismatch"], "once, and it names both servers");
    let cause = said.json()["profiles"][0]["findings"][0]["cause"].to_string();
    assert!(cause.contains("https://evil.example") && cause.contains(&fixture.api.url()), "{cause}");
}

#[test]
fn doctor_names_what_keeps_kubectl_from_the_plugin() {
    let fixture = Fixture::added();
    let kubeconfig = fixture.sandbox.kubeconfig();
    let own = fs::read_to_string(&kubeconfig).unwrap();
    let found = |text: &str, code: i32| {
        fs::write(&kubeconfig, text).unwrap();
        codes(fixture.rolecall(&["doctor", "-o", "json"]).assert_code(code))
    };
    assert_eq!(found(&own.replace("k8s.io/v1\n", "k8s.io/v1alpha1\n"), 1), ["exec_entry_invalid"]);
    assert_eq!(
        found(&format!("{own}current-context: gone\n").replace("current-context: \"\"\n", ""), 0),
        ["no_current_context"]
    );
    let copy = own.rsplit_once("- name: rolecall-prod\n").unwrap().1;
    assert_eq!(found(&format!("{own}- name: copy\n{copy}"), 0), ["duplicate_user"]);
    assert_eq!(found("contexts: [\n", 1)[..1], ["kubeconfig_invalid"]);
    assert!(found("", 0).contains(&"no_context".to_owned()));
    fs::write(&kubeconfig, &own).unwrap();

    let lock = kubeconfig.with_file_name("config.lock");
    fs::write(&lock, "").unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options().write(true).open(&lock).unwrap().set_modified(old).unwrap();
    assert_eq!(found(&own, 0), ["kubectl_lock"]);
    fs::remove_file(&lock).unwrap();

    let kuberc = fixture.sandbox.home().join(".kube/kuberc");
    let policy =
        |text: &str| fs::write(&kuberc, format!("apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n{text}"));
    policy("credentialPluginPolicy: DenyAll\n").unwrap();
    assert_eq!(found(&own, 1), ["plugin_policy"]);
    let program = fixture.sandbox.rolecall().get_program().to_str().unwrap().to_owned();
    policy(&format!("credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- name: {program}\n")).unwrap();
    assert_eq!(found(&own, 0), Vec::<String>::new());
}

#[test]
fn doctor_of_a_hung_agent_names_the_process() {
    let fixture = Fixture::added();
    let pid = fixture.daemon_pid();
    kill("STOP", pid);
    let said = fixture.rolecall(&["doctor", "prod"]);
    kill("CONT", pid);
    let text = &said.assert_code(3).stdout;
    assert!(text.contains(&format!("process {pid} accepts connections and does not answer")), "{text}");
    assert!(text.contains("  Fix: rolecall agent restart\n") && text.contains("? connection"), "{text}");
}

#[test]
fn doctor_without_a_login_exits_with_5() {
    let (fixture, center) = Fixture::with_sso_profile();
    let config =
        "[sources.corp]\naws_profile = \"corp\"\n\n".to_owned() + &profile("prod", "corp", crate::fixture::ROLE);
    fixture.write_config(&config);
    let said = fixture.rolecall(&["doctor", "prod"]);
    let text = &said.assert_code(5).stdout;
    assert!(text.contains("  Fix: rolecall login corp\n"), "{text}");
    drop(center);
}

/// A status as the daemon sends it, with this version and lock.
fn status(sandbox: &Sandbox, version: &str, is_locked: bool) -> Value {
    let config = sandbox.config_home().join("rolecall/config.toml");
    json!({
        "daemon": {"version": version, "protocol": 1, "pid": 1, "started": "2026-01-02T03:04:05Z", "socket": "/s",
            "lock": {"locked": is_locked}},
        "config": {"path": config},
        "profiles": [{"name": "prod", "cluster": "prod", "region": "eu-west-1", "source": "work", "state": "unused"}],
        "sources": [{"name": "work", "kind": "AWS profile work"}],
    })
}

/// Runs doctor against a daemon with these steps.
fn with_steps(version: &str, is_locked: bool, steps: Option<Vec<Value>>, arguments: &[&str]) -> Output {
    let sandbox = Sandbox::new();
    let status = status(&sandbox, version, is_locked);
    let _daemon = FakeAccess::start(&sandbox, move |word, _| match (word, &steps) {
        ("status", _) => Answer::Json(200, status.clone()),
        ("doctor", Some(steps)) => Answer::Steps(steps.clone()),
        _ => Answer::Json(404, json!({"error": {"code": "bad_request", "message": "no such endpoint"}})),
    });
    sandbox.run(sandbox.rolecall().arg("doctor").args(arguments))
}

#[test]
fn doctor_of_an_older_agent_asks_for_a_restart() {
    let said = with_steps("0.0.1", false, None, &["prod"]);
    let text = &said.assert_code(1).stdout;
    assert!(text.contains("the agent is older than rolecall and cannot check profiles"), "{text}");
    assert!(text.contains("  Fix: rolecall agent restart\n") && text.contains("? connection"), "{text}");
}

#[test]
fn doctor_of_a_locked_agent_asks_for_an_unlock() {
    let said = with_steps("0.1.0", true, None, &["prod"]);
    let text = &said.assert_code(5).stdout;
    assert!(text.contains("the agent is locked\n") && text.contains("  Fix: rolecall unlock\n"), "{text}");
}

#[test]
fn doctor_reads_unknown_and_broken_steps() {
    let found = json!({"step": "found", "finding": {"area": "moon", "name": "phase", "state": "full", "code": "x",
        "cause": "it is\u{1b}[2J full", "fix": "wait\u{7}"}});
    let failed = json!({"step": "failed", "error": {"code": "locked", "message": "prod: the agent is locked",
        "hint": "Run: rolecall unlock", "command": "rolecall unlock"}});
    let said = with_steps("0.1.0", false, Some(vec![json!({"step": "dance"}), found.clone(), failed]), &["prod"]);
    let text = &said.assert_code(1).stdout;
    assert!(text.contains("phase") && text.contains("it is\\u{1b}[2J full") && text.contains("wait\\u{7}"), "{text}");
    assert!(text.contains("  Fix: rolecall unlock\n"), "{text}");
    // The daemon ended before the last step.
    let said = with_steps("0.1.0", false, Some(vec![found]), &["prod", "-o", "json"]);
    let data = said.assert_code(1).json();
    let last = data["profiles"][0]["findings"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["code"], "agent_did_not_answer", "{data:#}");
}

#[test]
fn doctor_fix_makes_the_socket_folder_private() {
    let fixture = Fixture::added();
    let folder = fixture.socket().parent().unwrap().to_owned();
    let set_mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(&folder, 0o755);
    let said = fixture.rolecall(&["doctor"]);
    let text = &said.assert_code(3).stdout;
    assert!(text.contains(&format!("Fix: chmod 700 {}", folder.display())), "{text}");
    let said = fixture.rolecall(&["doctor", "--fix"]);
    assert!(said.assert_ok().stdout.contains(" to 0700\n"), "{said}");
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn doctor_without_profiles_names_the_next_step() {
    let fixture = Fixture::bare();
    let said = fixture.rolecall(&["doctor"]);
    assert!(said.assert_ok().stdout.starts_with("✓ computer"), "{said}");
    assert_eq!(
        said.stderr,
        "rolecall: there are no profiles yet. Begin with: rolecall import, rolecall discover or rolecall add\n"
    );
}

//! Checks the result with kubectl. Without kubectl the tests print SKIPPED and pass; `tests/run` counts that.

use std::io::Write;
use std::process::Command;

use super::*;

/// Runs kubectl on a file and returns its stdout, or `None` without kubectl.
fn kubectl(config: &Path, args: &[&str]) -> Option<String> {
    let mut command = Command::new("kubectl");
    command.env("HOME", config.parent().unwrap()).env("KUBECONFIG", config).args(args);
    let Ok(output) = command.output() else {
        writeln!(std::io::stderr(), "SKIPPED: kubectl: not on PATH").unwrap(); // past the test runner's capture
        return None;
    };
    assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

fn view(config: &Path) -> Option<serde_json::Value> {
    kubectl(config, &["config", "view", "--raw", "-o", "json"]).map(|json| serde_json::from_str(&json).unwrap())
}

#[test]
fn kubectl_reads_entries_in_files_of_any_layout() {
    for before in [
        "",
        "# only a comment\n",
        "clusters: null\ncontexts: []\nusers:\n",
        "{\"apiVersion\": \"v1\", \"kind\": \"Config\", \"clusters\": [{\"name\": \"a\", \"cluster\": {\"server\": \"https://a\"}}]}\n",
        "{kind: Config, apiVersion: v1, contexts: [{name: a, context: {cluster: a, user: a}}]}\n",
        "x: &x {server: 'https://a'}\r\nclusters:\r\n- name: a\r\n  cluster: *x\r\n",
    ] {
        let fixture = Fixture::with(before);
        // As long as a real certificate, since YAML parsers treat very long lines differently.
        let real = |profile| Entry { certificate_authority_data: "LS0t".repeat(500), ..entry(profile) };
        upsert(&fixture.files(), &[real("yes"), real("1e3"), real("prod")], Some("1e3")).unwrap();
        let Some(view) = view(&fixture.path("config")) else { return };
        let names = |list: &str| -> Vec<String> {
            let items = view[list].as_array().unwrap();
            items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).filter(|name| name != "a").collect()
        };
        assert_eq!(names("contexts"), ["1e3", "prod", "yes"], "{before}");
        assert_eq!(names("users"), ["rolecall-1e3", "rolecall-prod", "rolecall-yes"]);
        assert_eq!(view["current-context"], "1e3");
        let user = view["users"].as_array().unwrap().iter().find(|user| user["name"] == "rolecall-yes").unwrap();
        let exec = &user["user"]["exec"];
        assert_eq!(exec["args"], serde_json::json!(["token", "yes"]));
        assert_eq!((&exec["interactiveMode"], &exec["provideClusterInfo"]), (&"IfAvailable".into(), &true.into()));
    }
}

#[test]
fn kubectl_reads_every_ambiguous_name_as_a_string() {
    let words = "n Y yes No on OFF true False null Null nan inf 7 007 0x1f 0b1 0o17 1e3 1E-3 1.0 1. 1_000 190_0.5 \
                 2024-01-01 2024-01-01.5 1-2-3 e5 a.b a_b a-";
    let words: Vec<&str> = words.split_whitespace().collect();
    let fixture = Fixture::new();
    upsert(&fixture.files(), &words.iter().map(|word| entry(word)).collect::<Vec<_>>(), None).unwrap();
    let Some(view) = view(&fixture.path("config")) else { return };
    let names: Vec<&str> = view["contexts"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    let mut sorted = words.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted);
    let users = view["users"].as_array().unwrap();
    assert!(users.iter().all(|user| words.contains(&user["user"]["exec"]["args"][1].as_str().unwrap())));
}

/// Fault matrix row 96.
#[test]
fn kubectl_and_rolecall_alternate_edits() {
    let fixture = Fixture::new();
    let config = fixture.path("config");
    add(&fixture.files(), "prod");
    if kubectl(&config, &["config", "set", "contexts.prod.namespace", "web"]).is_none() {
        return;
    }
    // kubectl rewrote the file in its own style, and the entry still needs no change.
    assert_eq!(add(&fixture.files(), "prod").entries[0].change, Change::Unchanged);
    add(&fixture.files(), "staging");
    kubectl(&config, &["config", "use-context", "staging"]);
    assert_eq!(current_context(&fixture.files()).as_deref(), Some("staging"));
    use_context(&fixture.files(), "prod", None).unwrap();
    assert_eq!(kubectl(&config, &["config", "current-context"]).unwrap(), "prod\n");
    kubectl(&config, &["config", "delete-context", "prod"]);
    assert_eq!(add(&fixture.files(), "prod").entries[0].change, Change::Added);
    assert_eq!(remove(&fixture.files(), &["prod", "staging"]).unwrap().unset_current.as_deref(), Some("prod"));
    let view = view(&config).unwrap();
    assert!(["clusters", "contexts", "users"].iter().all(|list| view[list].is_null()), "{view}");
    assert_eq!(view["current-context"], "");
}

/// Fault matrix row 96.
#[test]
fn concurrent_kubectl_loses_no_entry() {
    let fixture = Fixture::new();
    let config = fixture.path("config");
    add(&fixture.files(), "first");
    if kubectl(&config, &["version", "--client"]).is_none() {
        return;
    }
    let set = std::thread::scope(|scope| {
        for number in 0..10 {
            let fixture = &fixture;
            scope.spawn(move || add(&fixture.files(), &format!("p{number}")));
        }
        // One kubectl after the other: kubectl compares with what it read before it took its lock (client-go,
        // tools/clientcmd/config.go, `ModifyConfig`), so kubectl itself can lose concurrent changes. Rolecall must not
        // lose what kubectl wrote.
        let setting = scope.spawn(|| {
            let names = (0..10).map(|number| format!("k{number}"));
            // kubectl does not wait for a lock either: it fails if the file is locked.
            let set = |name: &String| {
                let mut command = Command::new("kubectl");
                command.env("KUBECONFIG", &config).args(["config", "set-cluster", name, "--server", "https://k"]);
                command.output().is_ok_and(|output| output.status.success())
            };
            names.filter(set).collect::<Vec<_>>()
        });
        setting.join().unwrap()
    });
    let text = fs::read_to_string(&config).unwrap();
    for name in &set {
        assert!(text.contains(&format!("name: {name}\n")), "{name} of {set:?}: {text}");
    }
    assert!(view(&config).is_some());
    // Entries that kubectl lost come back with the next run.
    for number in 0..10 {
        add(&fixture.files(), &format!("p{number}"));
    }
    assert!((0..10).all(|number| find(&fixture.files(), &format!("p{number}")).unwrap().is_some()));
    assert_eq!(fixture.names().iter().filter(|name| name.starts_with("config")).count(), 1);
}

//! What kubectl itself thinks of the result. Says so and passes where there is no kubectl; `tests/run` counts the peers.

use std::io::Write;
use std::process::Command;

use super::*;

/// Runs kubectl on a file. `None` without kubectl.
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
fn kubectl_reads_what_we_wrote_into_any_shape() {
    for before in [
        "",
        "# only a comment\n",
        "clusters: null\ncontexts: []\nusers:\n",
        "{\"apiVersion\": \"v1\", \"kind\": \"Config\", \"clusters\": [{\"name\": \"a\", \"cluster\": {\"server\": \"https://a\"}}]}\n",
        "{kind: Config, apiVersion: v1, contexts: [{name: a, context: {cluster: a, user: a}}]}\n",
        "x: &x {server: 'https://a'}\r\nclusters:\r\n- name: a\r\n  cluster: *x\r\n",
    ] {
        let home = Home::with(before);
        // As long as a real one, so that lines pass the lengths at which parsers change their mind.
        let real = |profile| Entry { certificate_authority_data: "LS0t".repeat(500), ..entry(profile) };
        upsert(&home.files(), &[real("yes"), real("1e3"), real("prod")], Some("1e3")).unwrap();
        let Some(view) = view(&home.path("config")) else { return };
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
fn every_word_that_looks_like_something_else_is_a_name_for_kubectl() {
    let words = "n Y yes No on OFF true False null Null nan inf 7 007 0x1f 0b1 0o17 1e3 1E-3 1.0 1. 1_000 190_0.5 \
                 2024-01-01 2024-01-01.5 1-2-3 e5 a.b a_b a-";
    let words: Vec<&str> = words.split_whitespace().collect();
    let home = Home::new();
    upsert(&home.files(), &words.iter().map(|word| entry(word)).collect::<Vec<_>>(), None).unwrap();
    let Some(view) = view(&home.path("config")) else { return };
    let names: Vec<&str> = view["contexts"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    let mut sorted = words.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted);
    let users = view["users"].as_array().unwrap();
    assert!(users.iter().all(|user| words.contains(&user["user"]["exec"]["args"][1].as_str().unwrap())));
}

#[test]
fn row_96_kubectl_and_we_can_take_turns() {
    let home = Home::new();
    let config = home.path("config");
    add(&home.files(), "prod");
    if kubectl(&config, &["config", "set", "contexts.prod.namespace", "web"]).is_none() {
        return;
    }
    // kubectl rewrote the file in its own words, and there is nothing left for us to do.
    assert_eq!(add(&home.files(), "prod").entries[0].change, Change::Unchanged);
    add(&home.files(), "staging");
    kubectl(&config, &["config", "use-context", "staging"]);
    assert_eq!(current_context(&home.files()).as_deref(), Some("staging"));
    use_context(&home.files(), "prod").unwrap();
    assert_eq!(kubectl(&config, &["config", "current-context"]).unwrap(), "prod\n");
    kubectl(&config, &["config", "delete-context", "prod"]);
    assert_eq!(add(&home.files(), "prod").entries[0].change, Change::Added);
    assert_eq!(remove(&home.files(), &["prod", "staging"]).unwrap().unset_current.as_deref(), Some("prod"));
    let view = view(&config).unwrap();
    assert!(["clusters", "contexts", "users"].iter().all(|list| view[list].is_null()), "{view}");
    assert_eq!(view["current-context"], "");
}

#[test]
fn row_96_in_parallel_with_kubectl_we_lose_nothing_of_its() {
    let home = Home::new();
    let config = home.path("config");
    add(&home.files(), "first");
    if kubectl(&config, &["version", "--client"]).is_none() {
        return;
    }
    let set = std::thread::scope(|scope| {
        for number in 0..10 {
            let home = &home;
            scope.spawn(move || add(&home.files(), &format!("p{number}")));
        }
        // One after the other: kubectl compares with what it read before it took its lock (ModifyConfig of client-go's
        // clientcmd/config.go), so two of them, or one of them and one of us, can lose what was added in between. That is
        // kubectl's to mend; what is ours is never to lose what it has written.
        let setting = scope.spawn(|| {
            let names = (0..10).map(|number| format!("k{number}"));
            // It does not wait for a lock either: a failure is its answer to "locked".
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
    // What kubectl lost of ours is there again after the next run, with the rest.
    for number in 0..10 {
        add(&home.files(), &format!("p{number}"));
    }
    assert!((0..10).all(|number| find(&home.files(), &format!("p{number}")).unwrap().is_some()));
    assert_eq!(home.names().iter().filter(|name| name.starts_with("config")).count(), 1);
}

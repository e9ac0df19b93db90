//! Files of many layouts, with their text after `add prod` and after `remove prod`.

use super::*;

/// Returns the lines of `after` that are not in `before`. Panics if a line of `before` is missing or changed.
fn new_lines<'a>(before: &str, after: &'a str) -> Vec<&'a str> {
    let mut old = before.split_inclusive('\n').peekable();
    let new: Vec<&str> = after.split_inclusive('\n').filter(|line| old.next_if_eq(line).is_none()).collect();
    assert_eq!(old.next(), None, "a line was lost or changed:\n{after}");
    new
}

/// Adds a profile to a file and removes it again, and checks at each step what must hold for any file. Returns the text
/// after adding.
fn round_trip(before: &str) -> String {
    let fixture = Fixture::with(before);
    let files = fixture.files();
    let old = parsed(before);

    assert_eq!(add(&files, "prod").entries[0].change, Change::Added);
    let added = fixture.read("config");
    let found = find(&files, "prod").unwrap().unwrap();
    assert_eq!(found.server.as_deref(), Some("https://prod.eks.amazonaws.com"));
    assert_eq!(found.certificate_authority_data.as_deref(), Some("LS0tLS1CRUdJTg=="));
    assert_eq!(found.command, Path::new("/usr/local/bin/rolecall"));
    assert!(found.provides_cluster_info);

    // A second add does not even touch the file.
    let time = fs::metadata(fixture.path("config")).unwrap().modified().unwrap();
    let again = add(&files, "prod");
    assert_eq!(again.entries[0].change, Change::Unchanged);
    assert!(again.written.files.is_empty() && again.written.backups.is_empty());
    assert_eq!(fs::metadata(fixture.path("config")).unwrap().modified().unwrap(), time);

    let outcome = remove(&files, &["prod"]).unwrap();
    assert_eq!(outcome.profiles, [("prod".to_owned(), Removal::Removed)]);
    let after = parsed(&fixture.read("config"));
    for kind in EntryKind::ALL {
        let items = |value: &Value| value.get(kind.list_key()).map(|list| list.items().to_vec()).unwrap_or_default();
        assert_eq!(items(&after), items(&old));
    }
    assert_eq!(fixture.names(), ["config"]);
    added
}

const KUBECTL: &str = "\
apiVersion: v1
clusters:
- cluster:
    certificate-authority: /home/dev/.minikube/ca.crt
    server: https://192.168.49.2:8443
  name: minikube
contexts:
- context:
    cluster: minikube
    namespace: default
    user: minikube
  name: minikube
current-context: minikube
kind: Config
preferences: {}
users:
- name: minikube
  user:
    client-certificate: /home/dev/.minikube/client.crt
    client-key: /home/dev/.minikube/client.key
";

#[test]
fn upsert_into_a_kubectl_file_uses_its_style() {
    let added = round_trip(KUBECTL);
    assert_eq!(
        new_lines(KUBECTL, &added).concat(),
        "\
- cluster:
    certificate-authority-data: LS0tLS1CRUdJTg==
    server: https://prod.eks.amazonaws.com
  name: rolecall-prod
- context:
    cluster: rolecall-prod
    user: rolecall-prod
  name: prod
- name: rolecall-prod
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      args:
      - token
      - prod
      command: /usr/local/bin/rolecall
      env: null
      installHint: \"rolecall is not installed: see https://example.com/rolecall\"
      interactiveMode: IfAvailable
      provideClusterInfo: true
"
    );
}

/// Fault matrix row 97.
#[test]
fn upsert_keeps_comments_and_style() {
    let before = "\
# my clusters, by hand
apiVersion: v1
kind: Config

current-context: 'home'   # the one in the cellar

clusters:
  # the cellar
  - name: home      # k3s
    cluster: {server: \"https://10.0.0.2:6443\", insecure-skip-tls-verify: true}
    # below the item

# who
users:
  - name: home
    user:
      token: |
        abc

contexts:
  - {name: home, context: {cluster: home, user: home}}   # the only one
# the end
";
    let added = round_trip(before);
    let ours = new_lines(before, &added);
    assert!(ours.iter().all(|line| line.starts_with("  ")), "{ours:?}");
    assert_eq!(ours.len(), 4 + 4 + 12);
}

#[test]
fn upsert_without_final_line_break_keeps_all_lines() {
    let before = KUBECTL.trim_end();
    new_lines(KUBECTL, &round_trip(before));
}

#[test]
fn upsert_keeps_crlf_line_breaks() {
    let before = KUBECTL.replace('\n', "\r\n");
    let added = round_trip(&before);
    assert_eq!(added.matches('\n').count(), added.matches("\r\n").count());
    new_lines(&before, &added);
}

#[test]
fn upsert_creates_null_empty_or_missing_lists() {
    for before in [
        "apiVersion: v1\nclusters: null\ncontexts: null\ncurrent-context: \"\"\nkind: Config\nusers: null\n",
        "apiVersion: v1\nclusters: []\ncontexts: []   # none yet\nkind: Config\nusers: ~\n",
        "clusters:\ncontexts:\nusers:\n",
        "apiVersion: v1\nkind: Config\n",
        "kind: Config",
        "{}\n",
    ] {
        let added = round_trip(before);
        assert!(!added.contains('[') || added.starts_with('{'), "a block list is written in block style:\n{added}");
    }
    assert!(round_trip("contexts: [] # none yet\n").contains("contexts: # none yet\n"));
}

#[test]
fn upsert_turns_an_empty_file_into_a_kubeconfig() {
    for before in ["", "\n", "# mine\n", "---\n", "---\n# mine\n", "# mine", "# mine\r\n"] {
        let added = round_trip(before);
        assert!(added.starts_with(before), "{added}");
        assert!(added.contains("apiVersion: v1"));
    }
}

#[test]
fn upsert_creates_a_missing_file_with_mode_0600() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    let files = fixture.list("new/folder/config");
    let outcome = add(&files, "prod");
    assert_eq!(outcome.written.files, [fixture.path("new/folder/config")]);
    assert!(outcome.written.backups.is_empty() && outcome.current_context.is_none());
    let mode = |name| fs::metadata(fixture.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("new"), mode("new/folder"), mode("new/folder/config")), (0o700, 0o700, 0o600));
}

#[test]
fn upsert_keeps_json_as_json() {
    let before = "{
  \"apiVersion\": \"v1\",
  \"clusters\": [
    {
      \"name\": \"a\",
      \"cluster\": {\"server\": \"https://a\"}
    }
  ],
  \"contexts\": [],
  \"current-context\": \"\"
}
";
    let added = round_trip(before);
    let json: serde_json::Value = serde_json::from_str(&added).unwrap();
    assert_eq!(json["users"][0]["user"]["exec"]["args"][1], "prod");
    let fixture = Fixture::with(&added);
    use_context(&fixture.files(), "prod", None).unwrap();
    upsert(&fixture.files(), &[Entry { server: "https://b".to_owned(), ..entry("prod") }], None).unwrap();
    let json: serde_json::Value = serde_json::from_str(&fixture.read("config")).unwrap();
    assert_eq!(json["current-context"], "prod");
    assert_eq!(json["clusters"][1]["cluster"]["server"], "https://b");
}

#[test]
fn upsert_keeps_flow_style_anchors_merge_keys_and_tags() {
    round_trip("{apiVersion: v1, clusters: [{name: a, cluster: {server: 'https://a'}}], contexts: []}\n");
    let before = "\
%YAML 1.2
---
x-defaults: &defaults
  insecure-skip-tls-verify: true
clusters: &all
- name: a
  cluster: &a
    <<: *defaults
    server: https://a
- name: b
  cluster: *a
contexts: !!seq
- name: !!str a
  context: {cluster: a, user: a, namespace: !!str 007}
users:
- &user
  name: a
  user: {token: !secret abc}
...
";
    let added = round_trip(before);
    new_lines(before, &added);
}

#[test]
fn name_that_yaml_reads_as_another_type_is_quoted() {
    for name in ["yes", "on", "No", "y", "null", "true", "1e3", "0x1f", "007", "1.5", "12", "1_000", "0o7", "1-2-3"] {
        let fixture = Fixture::with(KUBECTL);
        add(&fixture.files(), name);
        let text = fixture.read("config");
        assert!(text.contains(&format!("name: \"{name}\"")), "{text}");
        use_context(&fixture.files(), name, None).unwrap();
        assert!(fixture.read("config").contains(&format!("current-context: \"{name}\"")));
        assert_eq!(find(&fixture.files(), name).unwrap().map(|found| found.is_current), Some(true));
    }
}

#[test]
fn upsert_keeps_unknown_keys_and_extensions() {
    let before = KUBECTL.replace(
        "kind: Config\n",
        "extensions:\n- extension:\n    last-update: Mon, 10 Feb 2025 10:00:00 CET\n    version: v1.35.0\n  name: context_info\nkind: Config\nx-mine: {a: [1, 0x2, ~], b: 1.50}\n",
    );
    new_lines(&before, &round_trip(&before));
}

#[test]
fn upsert_keeps_the_byte_order_mark() {
    let before = format!("\u{feff}{KUBECTL}");
    new_lines(&before, &round_trip(&before));
}

#[test]
fn use_context_changes_one_line() {
    let before = KUBECTL.replace("current-context: minikube", "current-context: 'other'   # today");
    let fixture = Fixture::with(&before);
    let outcome = use_context(&fixture.files(), "minikube", None).unwrap();
    assert_eq!(outcome.previous.as_deref(), Some("other"));
    assert_eq!(fixture.read("config"), before.replace("'other'", "minikube"));
    assert!(use_context(&fixture.files(), "minikube", None).unwrap().written.files.is_empty());
    let message = error_text(use_context(&fixture.files(), "minikub", None));
    assert!(
        message.contains("there is no context \"minikub\"") && message.contains("Did you mean minikube?"),
        "{message}"
    );
}

#[test]
fn render_is_a_complete_kubeconfig() {
    let printed = render(&[entry("prod")], Some("prod")).unwrap();
    let fixture = Fixture::with(&printed);
    assert_eq!(current_context(&fixture.files()).as_deref(), Some("prod"));
    assert_eq!(add(&fixture.files(), "prod").entries[0].change, Change::Unchanged);
    let two = render(&[entry("prod"), entry("yes")], None).unwrap();
    assert_eq!(parsed(&two).get("contexts").unwrap().items().len(), 2);
    assert_eq!(parsed(&two).get("current-context"), Some(&Value::str("")));
    assert_eq!(render(&[], None).unwrap().lines().count(), 6);
}

#[test]
fn upsert_preserves_every_kind_of_string() {
    for hint in
        ["", " ", "a\nb\r\n\tc", "\u{7f}\u{85}\u{2028}\u{feff}\u{1f600}\0", "'\"\\", "- a: b # c", "|", "%a", "@"]
    {
        let entry = Entry {
            install_hint: hint.to_owned(),
            env: vec![("A".to_owned(), hint.to_owned())],
            command: PathBuf::from(format!("/opt/my tools/{}/rolecall", hint.replace('\0', "").trim())),
            ..entry("prod")
        };
        for before in [KUBECTL, "", "{\"clusters\": []}"] {
            let fixture = Fixture::with(before);
            upsert(&fixture.files(), std::slice::from_ref(&entry), None).unwrap();
            let again = upsert(&fixture.files(), std::slice::from_ref(&entry), None).unwrap();
            assert_eq!(again.entries[0].change, Change::Unchanged, "{hint:?}");
        }
    }
}

#[test]
fn upsert_of_a_repeated_key_changes_the_last_one() {
    let twice = "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\nkind: Config\n";
    assert!(round_trip(twice).ends_with("provideClusterInfo: true\nkind: Config\n"));
    // As kubectl reads it: two kubeconfigs in one file.
    let before = format!("{KUBECTL}{}", KUBECTL.replace("minikube", "other"));
    let added = round_trip(&before);
    let ours = new_lines(&before, &added).concat();
    assert!(ours.starts_with("- cluster:\n") && added.starts_with(KUBECTL), "{added}");
    let fixture = Fixture::with(&before);
    let names = |fixture: &Fixture| {
        contexts(&fixture.files()).unwrap().into_iter().map(|context| context.name).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(&fixture), current_context(&fixture.files()).as_deref()),
        (vec!["other".to_owned()], Some("other"))
    );
    upsert(&fixture.files(), &[entry("prod")], Some("prod")).unwrap();
    assert_eq!(names(&fixture), ["other", "prod"]);
    assert!(fixture.read("config").starts_with(KUBECTL));
    assert_eq!(current_context(&fixture.files()).as_deref(), Some("prod"));
    // The key of an entry, too.
    let inner = KUBECTL.replace("    namespace: default\n", "    namespace: default\n    namespace: web\n");
    new_lines(&inner, &round_trip(&inner));
}

#[test]
fn upsert_edits_the_first_document_only() {
    for rest in [
        "---\n",
        "---\n# nothing\n---\n",
        "...\n",
        "---\nkind: Other\nusers: 7\n",
        "--- {a: b}\n",
        "---\ngarbage: [\n",
        "...\n]",
    ] {
        let before = format!("---\n{KUBECTL}{rest}");
        let added = round_trip(&before);
        assert!(added.ends_with(&format!("true\n{rest}")), "{added}");
        new_lines(&before, &added);
    }
    let text = "a: |\n  ---\nb: \"x\n  --- y\"\n# ---\n----\n---\nc";
    assert_eq!(model::split_first_document(text).1, "---\nc");
    assert_eq!(model::split_first_document("%YAML 1.1\n# a\n---\nb\n").1, "");
    assert_eq!(model::split_first_document("---\n---\nb\n").1, "---\nb\n");
}

#[test]
fn change_of_the_current_context_makes_no_backup() {
    let fixture = Fixture::with(KUBECTL);
    upsert(&fixture.files(), &[entry("prod")], None).unwrap();
    assert!(use_context(&fixture.files(), "prod", None).unwrap().written.backups.is_empty());
    assert_eq!(remove(&fixture.files(), &["prod"]).unwrap().written.backups.len(), 1);
}

#[test]
fn rename_keeps_the_entries_below() {
    let fixture = Fixture::new();
    add(&fixture.files(), "prod");
    let text = fixture.read("config").replace(
        "  name: prod\n",
        "  name: prod\n# theirs\n- context: {cluster: a, user: b} # mine\n  name: 'other'\n",
    );
    fs::write(fixture.path("config"), &text).unwrap();
    rename(&fixture.files(), "prod", "new").unwrap();
    let expected = text
        .replace("rolecall-prod", "rolecall-new")
        .replace("name: prod\n", "name: new\n")
        .replace("- prod\n", "- new\n");
    assert_eq!(fixture.read("config"), expected);
}

//! Entries of Rolecall are changed, entries of other tools are not.

use super::*;

#[test]
fn upsert_keeps_user_additions_to_rolecall_entries() {
    let fixture = Fixture::new();
    let files = fixture.files();
    add(&files, "prod");
    let text = fixture
        .read("config")
        .replace("    user: rolecall-prod\n", "    user: rolecall-prod # me\n    namespace: web\n")
        .replace("    server: ", "    proxy-url: socks5://localhost:1080\n    tls-server-name: x\n    server: ")
        .replace("      env: null\n", "      env:\n      # debugging\n      - name: MINE\n        value: \"1\"\n");
    fs::write(fixture.path("config"), &text).unwrap();
    assert_eq!(add(&files, "prod").entries[0].change, Change::Unchanged);
    assert_eq!(fixture.read("config"), text);

    let moved = Entry {
        server: "https://moved.eks.amazonaws.com".to_owned(),
        command: PathBuf::from("/opt/rolecall/bin/rolecall"),
        env: vec![("ROLECALL_SOCKET".to_owned(), "/run/x".to_owned())],
        ..entry("prod")
    };
    let outcome = upsert(&files, &[moved], None).unwrap();
    assert_eq!(outcome.entries[0].change, Change::Updated);
    let wanted = text
        .replace("https://prod.", "https://moved.")
        .replace("/usr/local/bin/rolecall", "/opt/rolecall/bin/rolecall")
        .replace(
            "        value: \"1\"\n",
            "        value: \"1\"\n      - name: ROLECALL_SOCKET\n        value: /run/x\n",
        );
    assert_eq!(fixture.read("config"), wanted);
}

#[test]
fn upsert_updates_an_environment_variable_in_place() {
    let fixture = Fixture::new();
    let with = |value: &str| Entry { env: vec![("A".to_owned(), value.to_owned())], ..entry("prod") };
    upsert(&fixture.files(), &[with("1")], None).unwrap();
    upsert(&fixture.files(), &[with("2")], None).unwrap();
    let text = fixture.read("config");
    assert!(text.contains("value: \"2\"") && text.matches("name: A").count() == 1, "{text}");
}

#[test]
fn upsert_sets_the_entry_key_once() {
    let fixture = Fixture::new();
    let key = "ab".repeat(32);
    let keyed = Entry { key: Some(key.parse().unwrap()), ..entry("prod") };
    assert!(!format!("{keyed:?}").contains(&key));
    for expected in [Change::Added, Change::Unchanged] {
        let outcome = upsert(&fixture.files(), std::slice::from_ref(&keyed), None).unwrap();
        assert_eq!(outcome.entries[0].change, expected);
    }
    let text = fixture.read("config");
    assert!(text.contains(&format!("- name: ROLECALL_ENTRY_KEY\n        value: {key}\n")), "{text}");
    // An entry without a key keeps the present one.
    add(&fixture.files(), "prod");
    assert_eq!(fixture.read("config"), text);
}

#[test]
fn upsert_removes_insecure_skip_tls_verify() {
    let fixture = Fixture::new();
    add(&fixture.files(), "prod");
    let text = fixture.read("config").replace("    server: ", "    insecure-skip-tls-verify: true\n    server: ");
    fs::write(fixture.path("config"), &text).unwrap();
    assert_eq!(add(&fixture.files(), "prod").entries[0].change, Change::Updated);
    assert!(!fixture.read("config").contains("insecure"));
}

#[test]
fn foreign_entry_of_the_same_name_is_unchanged() {
    let context = "contexts:\n- name: prod\n  context: {cluster: c1, user: u1}\n";
    let user = "users:\n- name: rolecall-prod\n  user: {token: sesame}\n";
    let other_args = "users:\n- name: rolecall-prod\n  user: {exec: {command: /x/rolecall, args: [token, staging]}}\n";
    let cluster = "clusters:\n- name: rolecall-prod\n  cluster: {server: 'https://else.where'}\n";
    for (before, words) in [
        (
            context,
            &["the context \"prod\"", "cluster \"c1\" and user \"u1\"", "kubectl config rename-context prod prod-old"]
                [..],
        ),
        (user, &["the user \"rolecall-prod\"", "kubectl config delete-user rolecall-prod"]),
        (other_args, &["the user \"rolecall-prod\""]),
        (cluster, &["the cluster \"rolecall-prod\"", "kubectl config delete-cluster rolecall-prod"]),
    ] {
        let fixture = Fixture::with(before);
        let message = error_text(upsert(&fixture.files(), &[entry("ok"), entry("prod")], Some("prod")));
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(
            message.contains(&fixture.path("config").display().to_string()) && !message.contains("sesame"),
            "{message}"
        );
        assert_eq!(fixture.read("config"), before);
        assert_eq!(fixture.names(), ["config"]);
        let removed = remove(&fixture.files(), &["prod"]).unwrap().profiles[0].1;
        assert!(removed == Removal::NotOurs || removed == Removal::NotFound);
        assert_eq!(fixture.read("config"), before);
        assert_eq!(find(&fixture.files(), "prod").unwrap(), None);
    }
}

#[test]
fn upsert_restores_a_missing_entry() {
    let fixture = Fixture::new();
    let files = fixture.files();
    add(&files, "prod");
    let whole = parsed(&fixture.read("config"));
    for kind in EntryKind::ALL {
        let mut part = whole.clone();
        part.set(kind.list_key(), Value::Null);
        fs::write(fixture.path("config"), emit::block(&part)).unwrap();
        let change = add(&files, "prod").entries[0].change;
        assert_eq!(change, if kind == EntryKind::Context { Change::Added } else { Change::Updated });
        assert_eq!(parsed(&fixture.read("config")), whole);
    }
}

#[test]
fn remove_reports_current_context_and_dangling_contexts() {
    let fixture = Fixture::new();
    let files = fixture.files();
    upsert(&files, &[entry("prod"), entry("staging")], Some("prod")).unwrap();
    let text = fixture.read("config").replace(
        "contexts:\n",
        "contexts:\n- context: {cluster: rolecall-prod, user: rolecall-prod, namespace: web}\n  name: prod-web\n",
    );
    fs::write(fixture.path("config"), text).unwrap();

    let outcome = remove(&files, &["prod", "missing"]).unwrap();
    let expected = [("prod".to_owned(), Removal::Removed), ("missing".to_owned(), Removal::NotFound)];
    assert_eq!(outcome.profiles, expected);
    assert_eq!(outcome.unset_current.as_deref(), Some("prod"));
    assert_eq!(outcome.left_dangling, ["prod-web"]);
    assert!(fixture.read("config").contains("current-context: \"\"\n"));
    assert_eq!(current_context(&files), None);
    let left: Vec<String> = contexts(&files).unwrap().into_iter().map(|context| context.name).collect();
    assert_eq!(left, ["prod-web", "staging"]);
    assert!(remove(&files, &["prod"]).unwrap().written.files.is_empty());
}

#[test]
fn contexts_have_their_user_and_profile() {
    let fixture = Fixture::with("contexts:\n- {name: home, context: {cluster: c, user: u, namespace: web}}\n");
    let files = fixture.files();
    upsert(&files, &[entry("prod")], Some("prod")).unwrap();
    let contexts = contexts(&files).unwrap();
    assert_eq!((contexts[0].user.as_deref(), contexts[0].profile.as_deref()), (Some("u"), None));
    assert_eq!((contexts[1].user.as_deref(), contexts[1].profile.as_deref()), (Some("rolecall-prod"), Some("prod")));
    assert_eq!([contexts[0].is_current, contexts[1].is_current], [false, true]);
    assert_eq!(current_context(&files).as_deref(), Some("prod"));
}

#[test]
fn remove_keeps_a_context_that_another_tool_has_changed() {
    let fixture = Fixture::new();
    let files = fixture.files();
    upsert(&files, &[entry("prod")], Some("prod")).unwrap();
    let text = fixture.read("config");
    let taken =
        text.replace("    cluster: rolecall-prod\n    user: rolecall-prod\n", "    cluster: other\n    user: other\n");
    fs::write(fixture.path("config"), taken).unwrap();
    let outcome = remove(&files, &["prod"]).unwrap();
    assert_eq!(outcome.profiles, [("prod".to_owned(), Removal::ContextStays)]);
    assert_eq!((outcome.unset_current, outcome.current_context.as_deref()), (None, Some("prod")));
    assert!(!fixture.read("config").contains("rolecall-prod"));
    assert_eq!(contexts(&files).unwrap().len(), 1);

    // The context is gone, the cluster and the user are not.
    fs::write(fixture.path("config"), text.replace("  name: prod\n", "  name: mine\n")).unwrap();
    let outcome = remove(&files, &["prod"]).unwrap();
    assert_eq!(outcome.profiles, [("prod".to_owned(), Removal::OnlyClusterAndUser)]);
    assert_eq!(outcome.left_dangling, ["mine"]);
    assert_eq!(remove(&files, &["prod"]).unwrap().profiles, [("prod".to_owned(), Removal::NotFound)]);
}

#[test]
fn relative_command_is_rejected() {
    let fixture = Fixture::new();
    let relative = Entry { command: PathBuf::from("rolecall"), ..entry("prod") };
    assert!(error_text(upsert(&fixture.files(), std::slice::from_ref(&relative), None)).contains("absolute"));
    assert!(render(&[relative], None).is_err());
    assert!(fixture.names().is_empty());
}

#[test]
fn alias_to_a_rolecall_entry_is_not_changed_silently() {
    let fixture = Fixture::new();
    add(&fixture.files(), "prod");
    // The user reuses the server through an anchor, so updating it would also change the user's cluster.
    let text = fixture
        .read("config")
        .replace("server: https", "server: &s https")
        .replace("contexts:\n", "- cluster:\n    server: *s\n  name: mine\ncontexts:\n");
    fs::write(fixture.path("config"), &text).unwrap();
    let moved = Entry { server: "https://moved".to_owned(), ..entry("prod") };
    match upsert(&fixture.files(), &[moved], None) {
        Ok(_) => {
            let after = parsed(&fixture.read("config"));
            let mine = after.get("clusters").unwrap().items()[1].at_path(&["cluster", "server"]).cloned();
            assert_eq!(mine, Some(Value::str("https://prod.eks.amazonaws.com")));
        }
        Err(error) => {
            assert!(error.to_string().contains("cannot be edited safely") && error.hint().contains("--print"));
            assert_eq!(fixture.read("config"), text);
        }
    }
}

//! Ours is changed, everybody else's is not.

use super::*;

#[test]
fn what_a_person_added_to_our_entries_stays_when_they_are_refreshed() {
    let home = Home::new();
    let files = home.files();
    add(&files, "prod");
    let text = home
        .read("config")
        .replace("    user: rolecall-prod\n", "    user: rolecall-prod # me\n    namespace: web\n")
        .replace("    server: ", "    proxy-url: socks5://localhost:1080\n    tls-server-name: x\n    server: ")
        .replace("      env: null\n", "      env:\n      # debugging\n      - name: MINE\n        value: \"1\"\n");
    fs::write(home.path("config"), &text).unwrap();
    assert_eq!(add(&files, "prod").entries[0].change, Change::Unchanged);
    assert_eq!(home.read("config"), text);

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
    assert_eq!(home.read("config"), wanted);
}

#[test]
fn a_variable_of_ours_is_brought_up_to_date_in_its_place() {
    let home = Home::new();
    let with = |value: &str| Entry { env: vec![("A".to_owned(), value.to_owned())], ..entry("prod") };
    upsert(&home.files(), &[with("1")], None).unwrap();
    upsert(&home.files(), &[with("2")], None).unwrap();
    let text = home.read("config");
    assert!(text.contains("value: \"2\"") && text.matches("name: A").count() == 1, "{text}");
}

#[test]
fn a_pinned_server_is_not_left_unverified() {
    let home = Home::new();
    add(&home.files(), "prod");
    let text = home.read("config").replace("    server: ", "    insecure-skip-tls-verify: true\n    server: ");
    fs::write(home.path("config"), &text).unwrap();
    assert_eq!(add(&home.files(), "prod").entries[0].change, Change::Updated);
    assert!(!home.read("config").contains("insecure"));
}

#[test]
fn somebody_elses_context_user_or_cluster_of_that_name_is_never_touched() {
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
        let home = Home::with(before);
        let told = told(upsert(&home.files(), &[entry("ok"), entry("prod")], Some("prod")));
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
        assert!(told.contains(&home.path("config").display().to_string()) && !told.contains("sesame"), "{told}");
        assert_eq!(home.read("config"), before);
        assert_eq!(home.names(), ["config"]);
        let removed = remove(&home.files(), &["prod"]).unwrap().profiles[0].1;
        assert!(removed == Removal::NotOurs || removed == Removal::NotFound);
        assert_eq!(home.read("config"), before);
        assert_eq!(find(&home.files(), "prod").unwrap(), None);
    }
}

#[test]
fn entries_that_lost_a_part_are_mended() {
    let home = Home::new();
    let files = home.files();
    add(&files, "prod");
    let whole = meaning(&home.read("config"));
    for kind in Kind::ALL {
        let mut part = whole.clone();
        part.set(kind.list(), Value::Null);
        fs::write(home.path("config"), emit::block(&part)).unwrap();
        let change = add(&files, "prod").entries[0].change;
        assert_eq!(change, if kind == Kind::Context { Change::Added } else { Change::Updated });
        assert_eq!(meaning(&home.read("config")), whole);
    }
}

#[test]
fn removing_says_what_else_it_means() {
    let home = Home::new();
    let files = home.files();
    upsert(&files, &[entry("prod"), entry("staging")], Some("prod")).unwrap();
    let text = home.read("config").replace(
        "contexts:\n",
        "contexts:\n- context: {cluster: rolecall-prod, user: rolecall-prod, namespace: web}\n  name: prod-web\n",
    );
    fs::write(home.path("config"), text).unwrap();

    let outcome = remove(&files, &["prod", "nobody"]).unwrap();
    let expected = [("prod".to_owned(), Removal::Removed), ("nobody".to_owned(), Removal::NotFound)];
    assert_eq!(outcome.profiles, expected);
    assert_eq!(outcome.unset_current.as_deref(), Some("prod"));
    assert_eq!(outcome.left_dangling, ["prod-web"]);
    assert!(home.read("config").contains("current-context: \"\"\n"));
    assert_eq!(current_context(&files), None);
    let left: Vec<String> = contexts(&files).unwrap().into_iter().map(|context| context.name).collect();
    assert_eq!(left, ["prod-web", "staging"]);
    assert!(remove(&files, &["prod"]).unwrap().written.files.is_empty());
}

#[test]
fn contexts_are_told_with_the_profile_they_use() {
    let home = Home::with("contexts:\n- {name: home, context: {cluster: c, user: u, namespace: web}}\n");
    let files = home.files();
    upsert(&files, &[entry("prod")], Some("prod")).unwrap();
    let contexts = contexts(&files).unwrap();
    assert_eq!(contexts[0].namespace.as_deref(), Some("web"));
    assert_eq!((contexts[0].profile.as_deref(), contexts[0].is_current), (None, false));
    assert_eq!((contexts[1].profile.as_deref(), contexts[1].is_current), (Some("prod"), true));
    assert_eq!(contexts[1].cluster.as_deref(), Some("rolecall-prod"));
}

#[test]
fn a_name_twice_is_an_error_only_if_it_is_ours_to_change() {
    let before =
        "contexts:\n- {name: a, context: {cluster: x, user: x}}\n- {name: a, context: {cluster: y, user: y}}\n";
    let home = Home::with(before);
    add(&home.files(), "prod");
    remove(&home.files(), &["prod"]).unwrap();
    assert_eq!(meaning(&home.read("config")).get("contexts"), meaning(before).get("contexts"));
    assert!(told(upsert(&home.files(), &[entry("a")], None)).contains("is there twice"));
}

#[test]
fn a_command_that_would_not_run_is_refused() {
    let home = Home::new();
    let relative = Entry { command: PathBuf::from("rolecall"), ..entry("prod") };
    assert!(told(upsert(&home.files(), std::slice::from_ref(&relative), None)).contains("absolute"));
    assert!(render(&[relative]).is_err());
    assert!(home.names().is_empty());
}

#[test]
fn an_alias_to_our_own_entry_cannot_be_broken_unseen() {
    let home = Home::new();
    add(&home.files(), "prod");
    // Somebody reuses our server by an anchor: refreshing it would change theirs.
    let text = home
        .read("config")
        .replace("server: https", "server: &s https")
        .replace("contexts:\n", "- cluster:\n    server: *s\n  name: mine\ncontexts:\n");
    fs::write(home.path("config"), &text).unwrap();
    let moved = Entry { server: "https://moved".to_owned(), ..entry("prod") };
    match upsert(&home.files(), &[moved], None) {
        Ok(_) => {
            let after = meaning(&home.read("config"));
            let mine = after.get("clusters").unwrap().items()[1].at(&["cluster", "server"]).cloned();
            assert_eq!(mine, Some(Value::str("https://prod.eks.amazonaws.com")));
        }
        Err(error) => {
            assert!(error.to_string().contains("cannot be edited safely") && error.hint().contains("--print"));
            assert_eq!(home.read("config"), text);
        }
    }
}

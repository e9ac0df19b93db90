//! Entries of a profile that keep the names of the tool that made them.

use super::*;

/// A kubeconfig in which the users of other tools run `rolecall token prod`.
const RENAMED: &str = "\
apiVersion: v1
kind: Config
clusters:
- cluster: {server: 'https://prod.eks.amazonaws.com', certificate-authority: ca.pem}
  name: arn:aws:eks:eu-west-1:111122223333:cluster/prod
contexts:
- context:
    cluster: arn:aws:eks:eu-west-1:111122223333:cluster/prod
    user: arn:aws:eks:eu-west-1:111122223333:cluster/prod
  name: arn:aws:eks:eu-west-1:111122223333:cluster/prod
- context:
    cluster: arn:aws:eks:eu-west-1:111122223333:cluster/prod
    namespace: web
    user: other
  name: web
current-context: arn:aws:eks:eu-west-1:111122223333:cluster/prod
users:
- name: arn:aws:eks:eu-west-1:111122223333:cluster/prod
  user:
    exec: {apiVersion: v1, command: /old/rolecall, args: [token, prod]}
- name: other
  user:
    exec: {apiVersion: v1, command: /old/rolecall, args: [token, prod]}
";
const ARN: &str = "arn:aws:eks:eu-west-1:111122223333:cluster/prod";

#[test]
fn find_recognizes_a_profile_by_what_its_user_runs() {
    let fixture = Fixture::with(RENAMED);
    let found = find(&fixture.files(), "prod").unwrap().unwrap();
    assert_eq!((found.context.as_str(), found.is_current), (ARN, true));
    assert_eq!(found.server.as_deref(), Some("https://prod.eks.amazonaws.com"));
    assert_eq!(find(&fixture.files(), "web").unwrap(), None);
    // A context with the name of the profile comes first.
    let fixture =
        Fixture::with(&RENAMED.replace("  name: web\n", "  name: prod\n").replace("user: other\n", "user: b\n"));
    assert_eq!(find(&fixture.files(), "prod").unwrap().unwrap().context, ARN, "its user runs nothing");
    let fixture =
        Fixture::with(&RENAMED.replace("  name: web\n", "  name: prod\n").replace(": other\n", &format!(": {ARN}\n")));
    assert_eq!(error_text(find(&fixture.files(), "prod")).matches("earlier user").count(), 1);
}

#[test]
fn upsert_updates_users_of_other_names_in_place() {
    let fixture = Fixture::with(RENAMED);
    let outcome = add(&fixture.files(), "prod");
    assert_eq!(outcome.entries[0].change, Change::Updated);
    let text = fixture.read("config");
    assert!(!text.contains("rolecall-prod") && !text.contains("/old/rolecall"), "{text}");
    assert_eq!(text.matches("/usr/local/bin/rolecall").count(), 2, "{text}");
    let (before, _) = RENAMED.split_once("users:").unwrap();
    assert_eq!(text.split_once("users:").unwrap().0, before);
    assert_eq!(add(&fixture.files(), "prod").entries[0].change, Change::Unchanged);
    // Another server is that of the context's cluster.
    let moved = Entry { server: "https://moved.example".to_owned(), ..entry("prod") };
    upsert(&fixture.files(), &[moved], None).unwrap();
    assert!(fixture.read("config").contains("https://moved.example"));
}

#[test]
fn upsert_refuses_to_move_the_cluster_of_another_tool() {
    let text = "apiVersion: v1\nkind: Config\nclusters:\n- {name: shared, cluster: {server: https://theirs.example}}\n\
        contexts:\n- {name: theirs, context: {cluster: shared, user: admin}}\n\
        - {name: mine, context: {cluster: shared, user: rc}}\nusers:\n- {name: admin, user: {token: secret}}\n\
        - {name: rc, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: rolecall, args: [token, prod]}}}\n";
    let fixture = Fixture::with(text);
    let error = upsert(&fixture.files(), &[entry("prod")], None).unwrap_err();
    assert!(matches!(&error, KubeconfigError::ClusterShared { context, .. } if context == "theirs"), "{error}");
    assert_eq!(fixture.read("config"), text);
}

#[test]
fn use_context_finds_the_context_of_a_profile() {
    let fixture = Fixture::with(&RENAMED.replace(&format!("current-context: {ARN}"), "current-context: web"));
    use_context(&fixture.files(), "prod", None).unwrap();
    assert_eq!(current_context(&fixture.files()).as_deref(), Some(ARN));
}

#[test]
fn remove_keeps_a_cluster_that_another_context_uses() {
    let fixture = Fixture::with(RENAMED);
    let outcome = remove(&fixture.files(), &["prod"]).unwrap();
    assert_eq!(outcome.profiles, [("prod".to_owned(), Removal::Removed)]);
    assert_eq!(outcome.unset_current.as_deref(), Some(ARN));
    assert_eq!(outcome.left_dangling, [] as [&str; 0]);
    assert!(fixture.read("config").contains("- cluster:"));
    assert_eq!(remove(&fixture.files(), &["prod"]).unwrap().profiles[0].1, Removal::Removed, "the context web");
    assert!(!fixture.read("config").contains(ARN));
}

#[test]
fn rename_keeps_names_of_other_tools() {
    let fixture = Fixture::with(RENAMED);
    let outcome = rename(&fixture.files(), "prod", "live").unwrap();
    assert!(matches!(outcome.renaming, Renaming::Renamed { is_current: true, .. }));
    assert_eq!(fixture.read("config"), RENAMED.replace("[token, prod]", "[token, \"live\"]"));
}

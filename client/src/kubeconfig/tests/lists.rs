//! `KUBECONFIG` with several files: which file has an entry, and which file is written.

use super::*;

const ONE: &str = "contexts:\n- {name: a, context: {cluster: a, user: a}}\ncurrent-context: a\n";

#[test]
fn kubeconfig_variable_is_split_as_client_go_does() {
    let paths = |list: &str| Files::from_env(Some(list.as_ref()), None).unwrap().paths().to_vec();
    assert_eq!(paths("/a::/b:/a:"), [PathBuf::from("/a"), PathBuf::from("/b")]);
    let here = std::env::current_dir().unwrap();
    assert_eq!(paths("x/y"), [here.join("x/y")]);
    let default = |list: Option<&str>| Files::from_env(list.map(AsRef::as_ref), Some(Path::new("/home/dev")));
    assert_eq!(default(None).unwrap().paths(), [PathBuf::from("/home/dev/.kube/config")]);
    assert_eq!(default(Some("")).unwrap().paths(), [PathBuf::from("/home/dev/.kube/config")]);
    assert!(error_text(default(Some("::"))).contains("names no file"));
    assert!(error_text(Files::from_env(None, None)).contains("no home folder"));
    assert_eq!(Files::one(Path::new("/a:b")).unwrap().paths(), [PathBuf::from("/a:b")]);
}

/// Fault matrix row 97.
#[test]
fn new_entry_goes_to_first_existing_file_or_the_last() {
    let fixture = Fixture::new();
    fs::write(fixture.path("b"), ONE).unwrap();
    fs::write(fixture.path("c"), ONE).unwrap();
    let outcome = add(&fixture.list("a:b:c"), "prod");
    assert_eq!(outcome.entries[0].file, fixture.path("b"));
    assert_eq!(outcome.written.files, [fixture.path("b")]);
    assert_eq!(fixture.names(), ["b", "c"]);
    assert_eq!(fixture.read("c"), ONE);

    let fixture = Fixture::new();
    assert_eq!(add(&fixture.list("x:y"), "prod").written.files, [fixture.path("y")]);
    assert_eq!(fixture.names(), ["y"]);
}

/// Fault matrix row 97.
#[test]
fn existing_entry_is_updated_in_its_file() {
    let fixture = Fixture::new();
    fs::write(fixture.path("a"), ONE).unwrap();
    add(&fixture.list("b"), "prod");
    let moved = Entry { server: "https://moved".to_owned(), ..entry("prod") };
    let outcome = upsert(&fixture.list("a:b"), &[moved], None).unwrap();
    assert_eq!((outcome.entries[0].change, &outcome.entries[0].file), (Change::Updated, &fixture.path("b")));
    assert_eq!(outcome.current_context.as_deref(), Some("a"));
    assert_eq!(fixture.read("a"), ONE);

    // A missing entry is added to the file of the other two.
    let text = fixture.read("b").replace("users:\n- name: rolecall-prod", "users:\n- name: someone");
    fs::write(fixture.path("b"), text).unwrap();
    assert_eq!(add(&fixture.list("a:b"), "prod").written.files, [fixture.path("b")]);
}

#[test]
fn current_context_is_set_in_default_file_and_cleared() {
    let fixture = Fixture::new();
    fs::write(fixture.path("a"), "kind: Config\n").unwrap();
    add(&fixture.list("b"), "prod");
    let files = fixture.list("a:b");
    let outcome = use_context(&files, "prod", None).unwrap();
    assert_eq!(outcome.file, fixture.path("a"));
    assert_eq!(fixture.read("a"), "kind: Config\ncurrent-context: prod\n");
    assert_eq!(current_context(&files).as_deref(), Some("prod"));

    let outcome = remove(&files, &["prod"]).unwrap();
    assert_eq!(outcome.unset_current.as_deref(), Some("prod"));
    assert_eq!(outcome.written.files, [fixture.path("a"), fixture.path("b")]);
    assert_eq!(fixture.read("a"), "kind: Config\ncurrent-context: \"\"\n");
}

#[test]
fn first_file_with_a_name_wins() {
    let fixture = Fixture::new();
    fs::write(fixture.path("a"), "contexts:\n- {name: prod, context: {cluster: mine, user: mine}}\n").unwrap();
    add(&fixture.list("b"), "prod");
    assert!(
        error_text(upsert(&fixture.list("a:b"), &[entry("prod")], None)).contains("cluster \"mine\" and user \"mine\"")
    );
    assert_eq!(add(&fixture.list("b:a"), "prod").entries[0].change, Change::Unchanged);
}

#[test]
fn unlockable_file_is_skipped_unless_written() {
    let fixture = Fixture::new();
    let outcome = add(&fixture.list("missing/folder/x:here"), "prod");
    assert_eq!(outcome.written.files, [fixture.path("here")]);
    assert_eq!(fixture.names(), ["here"]);
}

#[test]
fn invalid_file_in_the_list_is_named_in_the_error() {
    let fixture = Fixture::new();
    fs::write(fixture.path("a"), "kind: Config\n").unwrap();
    fs::write(fixture.path("b"), "users: [\n").unwrap();
    let message = error_text(upsert(&fixture.list("a:b"), &[entry("prod")], None));
    assert!(message.contains(&format!("{}:", fixture.path("b").display())), "{message}");
    assert_eq!(fixture.read("a"), "kind: Config\n");
}

/// Fault matrix row 97.
#[test]
fn folder_with_two_names_is_locked_once() {
    use std::os::unix::fs::symlink;
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.path("dotfiles/kube")).unwrap();
    for name in ["main", "work"] {
        fs::write(fixture.path(&format!("dotfiles/kube/{name}")), "kind: Config\n").unwrap();
    }
    fs::create_dir(fixture.path("home")).unwrap();
    symlink("../dotfiles/kube/main", fixture.path("home/config")).unwrap();
    symlink("dotfiles", fixture.path("files")).unwrap();
    for list in
        ["home/config:dotfiles/kube/work", "files/kube/main:dotfiles/kube/work", "dotfiles/kube/main:files/kube/main"]
    {
        let files = without_waiting(fixture.list(list));
        assert_eq!(add(&files, "prod").written.files.len(), 1, "{list}");
        assert_eq!(remove(&files, &["prod"]).unwrap().profiles[0].1, Removal::Removed, "{list}");
    }
    assert_eq!(fixture.read("dotfiles/kube/work"), "kind: Config\n");
    assert!(!fixture.path("dotfiles/kube/main.lock").exists());
}

/// Fault matrix row 97.
#[test]
fn file_with_two_names_is_edited_once() {
    let fixture = Fixture::with(ONE);
    std::os::unix::fs::symlink("config", fixture.path("link")).unwrap();
    let files = without_waiting(fixture.list("config:link"));
    upsert(&files, &[entry("prod")], Some("prod")).unwrap();
    let outcome = remove(&files, &["prod"]).unwrap();
    assert_eq!(outcome.written.files, [fixture.path("config")]);
    assert_eq!(contexts(&files).unwrap().len(), 1);
    assert_eq!(fixture.names(), ["config", "link"]);
}

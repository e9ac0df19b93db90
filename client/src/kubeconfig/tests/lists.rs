//! KUBECONFIG with several files: who is in which, and which one is written.

use super::*;

const ONE: &str = "contexts:\n- {name: a, context: {cluster: a, user: a}}\ncurrent-context: a\n";

#[test]
fn the_list_is_read_as_client_go_reads_it() {
    let paths = |list: &str| Files::from_env(Some(list.as_ref()), None).unwrap().paths().to_vec();
    assert_eq!(paths("/a::/b:/a:"), [PathBuf::from("/a"), PathBuf::from("/b")]);
    let here = std::env::current_dir().unwrap();
    assert_eq!(paths("x/y"), [here.join("x/y")]);
    let default = |list: Option<&str>| Files::from_env(list.map(AsRef::as_ref), Some(Path::new("/home/dev")));
    assert_eq!(default(None).unwrap().paths(), [PathBuf::from("/home/dev/.kube/config")]);
    assert_eq!(default(Some("")).unwrap().paths(), [PathBuf::from("/home/dev/.kube/config")]);
    assert!(told(default(Some("::"))).contains("names no file"));
    assert!(told(Files::from_env(None, None)).contains("no home folder"));
    assert_eq!(Files::one(Path::new("/a:b")).unwrap().paths(), [PathBuf::from("/a:b")]);
}

#[test]
fn row_97_a_new_entry_goes_to_the_first_file_that_exists_or_else_to_the_last() {
    let home = Home::new();
    fs::write(home.path("b"), ONE).unwrap();
    fs::write(home.path("c"), ONE).unwrap();
    let outcome = add(&home.list("a:b:c"), "prod");
    assert_eq!(outcome.entries[0].file, home.path("b"));
    assert_eq!(outcome.written.files, [home.path("b")]);
    assert_eq!(home.names(), ["b", "c"]);
    assert_eq!(home.read("c"), ONE);

    let home = Home::new();
    assert_eq!(add(&home.list("x:y"), "prod").written.files, [home.path("y")]);
    assert_eq!(home.names(), ["y"]);
}

#[test]
fn row_97_an_entry_is_changed_in_the_file_that_has_it() {
    let home = Home::new();
    fs::write(home.path("a"), ONE).unwrap();
    add(&home.list("b"), "prod");
    let moved = Entry { server: "https://moved".to_owned(), ..entry("prod") };
    let outcome = upsert(&home.list("a:b"), &[moved], None).unwrap();
    assert_eq!((outcome.entries[0].change, &outcome.entries[0].file), (Change::Updated, &home.path("b")));
    assert_eq!(outcome.current_context.as_deref(), Some("a"));
    assert_eq!(home.read("a"), ONE);

    // A part that got lost comes back beside the others.
    let text = home.read("b").replace("users:\n- name: rolecall-prod", "users:\n- name: someone");
    fs::write(home.path("b"), text).unwrap();
    assert_eq!(add(&home.list("a:b"), "prod").written.files, [home.path("b")]);
}

#[test]
fn the_current_context_is_set_in_the_default_file_and_cleared_where_it_is() {
    let home = Home::new();
    fs::write(home.path("a"), "kind: Config\n").unwrap();
    add(&home.list("b"), "prod");
    let files = home.list("a:b");
    let outcome = use_context(&files, "prod").unwrap();
    assert_eq!(outcome.file, home.path("a"));
    assert_eq!(home.read("a"), "kind: Config\ncurrent-context: prod\n");
    assert_eq!(current_context(&files).as_deref(), Some("prod"));

    let outcome = remove(&files, &["prod"]).unwrap();
    assert_eq!(outcome.unset_current.as_deref(), Some("prod"));
    assert_eq!(outcome.written.files, [home.path("a"), home.path("b")]);
    assert_eq!(home.read("a"), "kind: Config\ncurrent-context: \"\"\n");
}

#[test]
fn the_first_file_that_has_a_name_wins() {
    let home = Home::new();
    fs::write(home.path("a"), "contexts:\n- {name: prod, context: {cluster: mine, user: mine}}\n").unwrap();
    add(&home.list("b"), "prod");
    assert!(told(upsert(&home.list("a:b"), &[entry("prod")], None)).contains("cluster \"mine\" and user \"mine\""));
    assert_eq!(add(&home.list("b:a"), "prod").entries[0].change, Change::Unchanged);
}

#[test]
fn a_file_of_the_list_that_cannot_be_locked_is_no_trouble_unless_it_is_written() {
    let home = Home::new();
    let outcome = add(&home.list("missing/folder/x:here"), "prod");
    assert_eq!(outcome.written.files, [home.path("here")]);
    assert_eq!(home.names(), ["here"]);
}

#[test]
fn a_broken_file_anywhere_in_the_list_is_told_with_its_name() {
    let home = Home::new();
    fs::write(home.path("a"), "kind: Config\n").unwrap();
    fs::write(home.path("b"), "users: [\n").unwrap();
    let told = told(upsert(&home.list("a:b"), &[entry("prod")], None));
    assert!(told.contains(&format!("{}:", home.path("b").display())), "{told}");
    assert_eq!(home.read("a"), "kind: Config\n");
}

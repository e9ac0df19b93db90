//! Files that are not what they should be: refused in words, and left as they were.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

#[test]
fn row_97_a_link_stays_a_link_and_its_target_keeps_its_mode() {
    let home = Home::new();
    fs::create_dir(home.path("dotfiles")).unwrap();
    fs::write(home.path("dotfiles/kube"), "kind: Config\n").unwrap();
    fs::set_permissions(home.path("dotfiles/kube"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("dotfiles/kube", home.path("config")).unwrap();
    let outcome = add(&home.files(), "prod");
    assert_eq!(outcome.written.files, [home.path("dotfiles/kube")]);
    assert_eq!(outcome.entries[0].file, home.path("config"));
    assert_eq!(fs::read_link(home.path("config")).unwrap(), Path::new("dotfiles/kube"));
    assert_eq!(fs::metadata(home.path("config")).unwrap().mode() & 0o777, 0o640);
    assert!(find(&home.files(), "prod").unwrap().is_some());
}

#[test]
fn row_97_a_link_to_nowhere_is_followed() {
    let home = Home::new();
    std::os::unix::fs::symlink("dotfiles/kube", home.path("config")).unwrap();
    add(&home.files(), "prod");
    assert!(home.path("dotfiles/kube").is_file() && home.path("config").is_symlink());
}

#[test]
fn row_97_a_hard_link_keeps_the_old_text_and_that_is_told() {
    let home = Home::with("kind: Config\n");
    fs::hard_link(home.path("config"), home.path("other")).unwrap();
    let outcome = add(&home.files(), "prod");
    assert_eq!(home.read("other"), "kind: Config\n");
    assert_eq!(outcome.written.notes, [Note::OtherNameKeepsOldText { file: home.path("config") }]);
}

#[test]
fn a_backup_holds_the_old_text_for_us_alone() {
    let home = Home::with("kind: Config\n");
    fs::set_permissions(home.path("config"), fs::Permissions::from_mode(0o644)).unwrap();
    let outcome = add(&home.files(), "prod");
    let [backup] = &outcome.written.backups[..] else { panic!("one backup") };
    assert_eq!(fs::read_to_string(backup).unwrap(), "kind: Config\n");
    assert_eq!(fs::metadata(backup).unwrap().mode() & 0o777, 0o600);
    assert!(backup.file_name().unwrap().to_str().unwrap().starts_with("config.rolecall-backup-2"));
}

#[test]
fn what_is_no_kubeconfig_is_refused_by_place_and_never_quoted() {
    for (text, words) in [
        ("a: [sesame\n", ":1:4: this is not valid YAML"),
        ("sesame: 1\nsesame: 2\n", ":2:1: a key is there twice"),
        ("a: b\nsesame\n", ": this is not valid YAML"),
        ("a:\n\tsesame: 1\n", ": this is not valid YAML"),
        ("a: *sesame\n", ": an alias names an anchor"),
        ("kind: Config\n---\nsesame: 1\n", "more than one YAML document"),
        ("- sesame\n", "its top level is not a mapping"),
        ("sesame\n", "its top level is not a mapping"),
        ("clusters: {sesame: 1}\n", "its `clusters` is not a list"),
        ("contexts: sesame\n", "its `contexts` is not a list"),
        ("users: 7\n", "its `users` is not a list"),
    ] {
        let home = Home::with(text);
        let told = told(upsert(&home.files(), &[entry("prod")], None));
        assert!(told.contains(words) && told.contains("config"), "{text:?}: {told}");
        assert!(!told.contains("sesame"), "{told}");
        assert_eq!(home.read("config"), text);
        assert_eq!(home.names(), ["config"]);
    }
    let deep = format!("a: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    assert!(upsert(&Home::with(&deep).files(), &[entry("prod")], None).is_err());
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    assert!(upsert(&Home::with(laughs).files(), &[entry("prod")], None).is_err());
}

#[test]
fn row_91_what_is_no_plain_file_of_ours_is_refused_at_once() {
    let home = Home::new();
    fs::create_dir(home.path("folder")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, home.path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    std::os::unix::fs::symlink("/dev/zero", home.path("zero")).unwrap();
    std::os::unix::fs::symlink("loop", home.path("loop")).unwrap();
    fs::File::create(home.path("huge")).unwrap().set_len(17 << 20).unwrap();
    fs::write(home.path("binary"), b"\xff\xfe\0").unwrap();
    for (name, words) in [
        ("folder", "is a folder, not a regular file"),
        ("fifo", "is a device, socket or pipe"),
        ("zero", "/dev/zero is a device"),
        ("loop", "cannot find"),
        ("huge", "is larger than 16777216 bytes"),
        ("binary", "is not UTF-8"),
        ("binary/x", "cannot look at"),
    ] {
        let told = told(upsert(&home.list(name), &[entry("prod")], None));
        assert!(told.contains(words), "{name}: {told}");
    }
    assert_eq!(home.names().len(), 6);
}

/// Runs itself again under a limit on the size of files, which the kernel enforces as it does a full disk.
#[test]
fn row_93_a_disk_that_fills_up_leaves_every_file_as_it_was() {
    use rustix::process::{Resource, getrlimit};
    if getrlimit(Resource::Fsize).current.is_none() {
        let own = std::env::current_exe().unwrap();
        let name = std::thread::current().name().unwrap().to_owned();
        let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" --exact \"$1\"";
        let child = std::process::Command::new("sh").args(["-c", script]).arg(own).arg(name).output().unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        return;
    }
    let home = Home::with("kind: Config\n");
    let entries: Vec<Entry> = ["a", "b", "c"].map(entry).to_vec();
    let told = told(upsert(&home.files(), &entries, None));
    assert!(told.contains("cannot write") && told.contains("Nothing was changed"), "{told}");
    assert_eq!(home.read("config"), "kind: Config\n");
    assert_eq!(home.names(), ["config"]);
}

#[test]
fn row_94_a_write_protected_file_is_left_alone() {
    let home = Home::with("kind: Config\n");
    fs::set_permissions(home.path("config"), fs::Permissions::from_mode(0o444)).unwrap();
    let told = told(upsert(&home.files(), &[entry("prod")], None));
    assert!(told.contains("write-protected") && told.contains("chmod u+w"), "{told}");
    assert_eq!(home.read("config"), "kind: Config\n");
    assert_eq!(home.names(), ["config"]);
}

#[test]
fn row_94_a_folder_that_cannot_be_written_to_is_told() {
    let home = Home::new();
    let told = told(upsert(&Files::one(Path::new("/proc/self/config")).unwrap(), &[entry("prod")], None));
    assert!(told.contains("/proc/self") && told.contains("Nothing was changed"), "{told}");
    drop(home);
}

#[test]
fn names_from_the_file_cannot_drive_a_terminal() {
    let home = Home::with("contexts:\n- {name: prod, context: {cluster: \"a\\e]0;x\\a\", user: \"b\\nc\"}}\n");
    let told = told(upsert(&home.files(), &[entry("prod")], None));
    assert!(!told.chars().any(char::is_control), "{told:?}");
}

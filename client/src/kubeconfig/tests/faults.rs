//! Files that cannot be edited: the error names the cause, and the file is unchanged.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

/// Fault matrix row 97.
#[test]
fn upsert_through_a_symlink_keeps_link_and_mode() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("dotfiles")).unwrap();
    fs::write(fixture.path("dotfiles/kube"), "kind: Config\n").unwrap();
    fs::set_permissions(fixture.path("dotfiles/kube"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("dotfiles/kube", fixture.path("config")).unwrap();
    let outcome = add(&fixture.files(), "prod");
    assert_eq!(outcome.written.files, [fixture.path("dotfiles/kube")]);
    assert_eq!(outcome.entries[0].file, fixture.path("config"));
    assert_eq!(fs::read_link(fixture.path("config")).unwrap(), Path::new("dotfiles/kube"));
    assert_eq!(fs::metadata(fixture.path("config")).unwrap().mode() & 0o777, 0o640);
    assert!(find(&fixture.files(), "prod").unwrap().is_some());
}

/// Fault matrix row 97.
#[test]
fn upsert_through_a_dangling_symlink_creates_its_target() {
    let fixture = Fixture::new();
    std::os::unix::fs::symlink("dotfiles/kube", fixture.path("config")).unwrap();
    add(&fixture.files(), "prod");
    assert!(fixture.path("dotfiles/kube").is_file() && fixture.path("config").is_symlink());
}

/// Fault matrix row 97.
#[test]
fn upsert_of_a_hard_link_leaves_the_other_name_and_notes_it() {
    let fixture = Fixture::with("kind: Config\n");
    fs::hard_link(fixture.path("config"), fixture.path("other")).unwrap();
    let outcome = add(&fixture.files(), "prod");
    assert_eq!(fixture.read("other"), "kind: Config\n");
    assert_eq!(outcome.written.notes, [Note::OtherNameKeepsOldText { file: fixture.path("config") }]);
}

#[test]
fn backup_has_the_old_text_and_mode_0600() {
    let fixture = Fixture::with("kind: Config\n");
    fs::set_permissions(fixture.path("config"), fs::Permissions::from_mode(0o644)).unwrap();
    let outcome = add(&fixture.files(), "prod");
    let [backup] = &outcome.written.backups[..] else { panic!("one backup") };
    assert_eq!(fs::read_to_string(backup).unwrap(), "kind: Config\n");
    assert_eq!(fs::metadata(backup).unwrap().mode() & 0o777, 0o600);
    assert!(backup.file_name().unwrap().to_str().unwrap().starts_with("config.rolecall-backup-2"));
}

#[test]
fn invalid_kubeconfig_is_rejected_by_position_unquoted() {
    for (text, words) in [
        ("a: [sesame\n", ":1:4: this is not valid YAML"),
        ("a: b\nsesame\n", ": this is not valid YAML"),
        ("a:\n\tsesame: 1\n", ": this is not valid YAML"),
        ("a: *sesame\n", ": an alias names an anchor"),
        ("- sesame\n", "its top level is not a mapping"),
        ("sesame\n", "its top level is not a mapping"),
        ("clusters: {sesame: 1}\n", "`clusters` is not a list"),
        ("contexts: sesame\n", "`contexts` is not a list"),
        ("users: 7\n", "`users` is not a list"),
        ("kind: sesame\n", "its `kind` is not Config"),
        ("contexts:\n- {name: a}\n- {name: yes}\n", "`contexts[1].name` is not a string"),
        ("users:\n- {name: a, user: {token: 007}}\n", "`users[0].user.token` is not a string"),
        ("users:\n- {name: a, user: {exec: {args: [a, 1]}}}\n", "`users[0].user.exec.args[1]` is not a string"),
        ("clusters:\n- {name: a, cluster: {certificate-authority-data: sesame}}\n", "data` is not base64"),
        ("contexts:\n- {name: sesame}\n- {name: sesame}\n", "`contexts[1]` has the name of an earlier context"),
        ("x-mine: .inf\n", "a number is infinite"),
    ] {
        let fixture = Fixture::with(text);
        let message = error_text(upsert(&fixture.files(), &[entry("prod")], None));
        assert!(message.contains(words) && message.contains("config"), "{text:?}: {message}");
        assert!(!message.contains("sesame"), "{message}");
        assert_eq!(fixture.read("config"), text);
        assert_eq!(fixture.names(), ["config"]);
    }
    let deep = format!("a: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    assert!(upsert(&Fixture::with(&deep).files(), &[entry("prod")], None).is_err());
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    assert!(upsert(&Fixture::with(laughs).files(), &[entry("prod")], None).is_err());
}

/// Fault matrix row 91.
#[test]
fn special_or_foreign_file_is_rejected() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("folder")).unwrap();
    nix::unistd::mkfifo(&fixture.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("/dev/zero", fixture.path("zero")).unwrap();
    std::os::unix::fs::symlink("loop", fixture.path("loop")).unwrap();
    fs::File::create(fixture.path("huge")).unwrap().set_len(17 << 20).unwrap();
    fs::write(fixture.path("binary"), b"\xff\xfe\0").unwrap();
    for (name, words) in [
        ("folder", "is a folder, not a regular file"),
        ("fifo", "is a device, socket or pipe"),
        ("zero", "/dev/zero is a device"),
        ("loop", "cannot find"),
        ("huge", "is larger than 16777216 bytes"),
        ("binary", "is not UTF-8"),
        ("binary/x", "cannot look at"),
    ] {
        let message = error_text(upsert(&fixture.list(name), &[entry("prod")], None));
        assert!(message.contains(words), "{name}: {message}");
    }
    assert_eq!(fixture.names().len(), 6);
}

/// Runs itself again under a limit of the file size, which the kernel enforces like a full disk.
///
/// Fault matrix row 93.
#[test]
fn full_disk_leaves_every_file_unchanged() {
    use rustix::process::{Resource, getrlimit};
    if getrlimit(Resource::Fsize).current.is_none() {
        let own = std::env::current_exe().unwrap();
        let name = std::thread::current().name().unwrap().to_owned();
        let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" --exact \"$1\"";
        let child = std::process::Command::new("sh").args(["-c", script]).arg(own).arg(name).output().unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        return;
    }
    let fixture = Fixture::with("kind: Config\n");
    let entries: Vec<Entry> = ["a", "b", "c"].map(entry).to_vec();
    let message = error_text(upsert(&fixture.files(), &entries, None));
    assert!(message.contains("cannot write") && message.contains("Nothing was changed"), "{message}");
    assert_eq!(fixture.read("config"), "kind: Config\n");
    assert_eq!(fixture.names(), ["config"]);
}

/// Fault matrix row 94.
#[test]
fn write_protected_file_is_unchanged() {
    let fixture = Fixture::with("kind: Config\n");
    fs::set_permissions(fixture.path("config"), fs::Permissions::from_mode(0o444)).unwrap();
    let message = error_text(upsert(&fixture.files(), &[entry("prod")], None));
    assert!(message.contains("write-protected") && message.contains("chmod u+w"), "{message}");
    assert_eq!(fixture.read("config"), "kind: Config\n");
    assert_eq!(fixture.names(), ["config"]);
}

/// Fault matrix row 94.
#[test]
fn read_only_folder_is_named_in_the_error() {
    let fixture = Fixture::new();
    let message = error_text(upsert(&Files::one(Path::new("/proc/self/config")).unwrap(), &[entry("prod")], None));
    assert!(message.contains("/proc/self") && message.contains("Nothing was changed"), "{message}");
    drop(fixture);
}

#[test]
fn error_has_no_control_characters_from_the_file() {
    let fixture = Fixture::with("contexts:\n- {name: prod, context: {cluster: \"a\\e]0;x\\a\", user: \"b\\nc\"}}\n");
    let message = error_text(upsert(&fixture.files(), &[entry("prod")], None));
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

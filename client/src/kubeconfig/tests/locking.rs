//! Locks and concurrent edits.

use std::time::SystemTime;

use super::super::lock::Locks;
use super::*;

fn make_lock(fixture: &Fixture, age: Duration) {
    let lock = fs::File::create(fixture.path("config.lock")).unwrap();
    lock.set_modified(SystemTime::from(crate::clock::now()) - age).unwrap();
}

/// Fault matrix row 98.
#[test]
fn fresh_kubectl_lock_is_respected_and_named() {
    let fixture = Fixture::with("kind: Config\n");
    make_lock(&fixture, Duration::from_secs(12));
    let message = error_text(upsert(&without_waiting(fixture.files()), &[entry("prod")], None));
    let lock = fixture.path("config.lock");
    assert!(message.contains("is locked") && message.contains("for 12 s"), "{message}");
    assert!(
        message.contains("pgrep -a kubectl") && message.contains(&format!("rm -f {}", lock.display())),
        "{message}"
    );
    assert_eq!(fixture.read("config"), "kind: Config\n");
    assert!(lock.exists());
}

/// Fault matrix row 98.
#[test]
fn stale_kubectl_lock_is_removed_and_noted() {
    let fixture = Fixture::with("kind: Config\n");
    make_lock(&fixture, Duration::from_hours(1));
    let outcome = upsert(&without_waiting(fixture.files()), &[entry("prod")], None).unwrap();
    assert!(matches!(&outcome.written.notes[..], [Note::StaleLockRemoved { age, .. }] if age.as_secs() >= 3600));
    assert!(outcome.written.notes[0].to_string().contains("config.lock"));
    assert_eq!(fixture.names(), ["config"]);
}

/// Fault matrix row 98.
#[test]
fn released_kubectl_lock_lets_the_upsert_continue() {
    let fixture = Fixture::with("kind: Config\n");
    make_lock(&fixture, Duration::ZERO);
    let lock = fixture.path("config.lock");
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| add(&fixture.files(), "prod"));
        fs::remove_file(&lock).unwrap();
        assert_eq!(adding.join().unwrap().entries[0].change, Change::Added);
    });
    assert!(!lock.exists());
}

#[test]
fn unchanged_upsert_takes_no_lock() {
    let fixture = Fixture::new();
    add(&fixture.files(), "prod");
    make_lock(&fixture, Duration::ZERO);
    let files = without_waiting(fixture.files());
    assert_eq!(add(&files, "prod").entries[0].change, Change::Unchanged);
    assert!(remove(&files, &["missing"]).is_ok());
}

#[test]
fn kubectl_lock_is_removed_after_success_and_error() {
    let fixture = Fixture::with("contexts:\n- {name: prod, context: {cluster: a, user: b}}\n");
    assert!(upsert(&fixture.files(), &[entry("prod")], None).is_err());
    assert!(use_context(&fixture.files(), "missing", None).is_err());
    add(&fixture.files(), "ok");
    assert_eq!(fixture.names(), ["config"]);
}

#[test]
fn symlink_is_locked_under_its_own_name() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("dotfiles")).unwrap();
    fs::write(fixture.path("dotfiles/kube"), "kind: Config\n").unwrap();
    std::os::unix::fs::symlink("dotfiles/kube", fixture.path("config")).unwrap();
    make_lock(&fixture, Duration::ZERO);
    assert!(upsert(&without_waiting(fixture.files()), &[entry("prod")], None).is_err());
}

/// Fault matrix row 96.
#[test]
fn fifty_concurrent_upserts_lose_nothing() {
    let fixture = Fixture::with("# mine\nkind: Config\n");
    let files = fixture.files();
    std::thread::scope(|scope| {
        for number in 0..50 {
            let files = &files;
            scope.spawn(move || add(files, &format!("p{number}")));
        }
    });
    assert_eq!(contexts(&files).unwrap().len(), 50);
    for number in 0..50 {
        assert!(find(&files, &format!("p{number}")).unwrap().is_some());
    }
    assert!(fixture.read("config").starts_with("# mine\n"));
    assert_eq!(fixture.names(), ["config"]);
    let backups = fs::read_dir(fixture.folder.path()).unwrap().count() - 1;
    assert_eq!(backups, 5);
}

/// Fault matrix row 96.
#[test]
fn edit_without_lock_by_another_program_is_kept() {
    let fixture = Fixture::with("kind: Config\n");
    let files = fixture.files();
    let first = std::cell::Cell::new(true);
    let (_, written) = edit_files(&files, |draft| {
        // Another program writes between reading and writing.
        if first.replace(false) {
            fs::write(fixture.path("config"), "kind: Config\nx-theirs: 1\n").unwrap();
        }
        draft.upsert(&entry("prod"))
    })
    .unwrap();
    assert_eq!(written.files.len(), 1);
    assert!(fixture.read("config").starts_with("kind: Config\nx-theirs: 1\n"));
    assert!(find(&files, "prod").unwrap().is_some());
}

/// Fault matrix row 96.
#[test]
fn entry_that_another_program_overwrites_is_written_again() {
    let fixture = Fixture::with("kind: Config\n");
    let files = fixture.files();
    let calls = std::cell::Cell::new(0);
    // As kubectl does beside others: it writes what it read before the entry was added.
    let (_, written) = edit_files_and_verify(&files, |draft| {
        calls.set(calls.get() + 1);
        if calls.get() == 1 {
            let file = fs::File::options().write(true).open(fixture.path("config")).unwrap();
            let created = file.metadata().unwrap().created();
            // The file counts as written in place if it is older than its content.
            file.set_modified(
                created.map_or_else(|_| SystemTime::from(crate::clock::now()), |made| made + Duration::from_secs(1)),
            )
            .unwrap();
        }
        if calls.get() == 3 {
            fs::write(fixture.path("config"), "kind: Config\nx-theirs: 1\n").unwrap();
        }
        draft.upsert(&entry("prod"))
    })
    .unwrap();
    assert!(find(&files, "prod").unwrap().is_some());
    assert!(fixture.read("config").starts_with("kind: Config\nx-theirs: 1\n"));
    assert!(written.backups.len() >= 2 && written.notes.is_empty(), "{written:?}");
}

#[test]
fn signals_are_deferred_while_a_kubectl_lock_is_held() {
    use crate::terminal::signals::are_deferred;
    let fixture = Fixture::with("kind: Config\n");
    let files = fixture.files();
    let locks = Locks::take(files.paths(), &[], files.timeouts).unwrap();
    assert!(fixture.path("config.lock").exists());
    assert_eq!(are_deferred(), Some(true));
    drop(locks);
    assert!(!fixture.path("config.lock").exists());
    assert_eq!(are_deferred(), Some(false));
    // A lock that cannot be taken leaves nothing behind either.
    make_lock(&fixture, Duration::ZERO);
    assert!(Locks::take(files.paths(), &[], without_waiting(files.clone()).timeouts).is_err());
    assert_eq!(are_deferred(), Some(false));
}

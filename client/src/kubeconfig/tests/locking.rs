//! Locks, and many who write at once.

use std::time::SystemTime;

use super::*;

fn make_lock(home: &Home, age: Duration) {
    let lock = fs::File::create(home.path("config.lock")).unwrap();
    lock.set_modified(SystemTime::from(crate::clock::now()) - age).unwrap();
}

#[test]
fn row_98_a_fresh_lock_of_kubectl_is_respected_and_named() {
    let home = Home::with("kind: Config\n");
    make_lock(&home, Duration::from_secs(12));
    let told = told(upsert(&impatient(home.files()), &[entry("prod")], None));
    let lock = home.path("config.lock");
    assert!(told.contains("is locked") && told.contains("for 12 s"), "{told}");
    assert!(told.contains("pgrep -a kubectl") && told.contains(&format!("rm -f {}", lock.display())), "{told}");
    assert_eq!(home.read("config"), "kind: Config\n");
    assert!(lock.exists());
}

#[test]
fn row_98_a_lock_that_a_crash_left_is_removed_and_told() {
    let home = Home::with("kind: Config\n");
    make_lock(&home, Duration::from_hours(1));
    let outcome = upsert(&impatient(home.files()), &[entry("prod")], None).unwrap();
    assert!(matches!(&outcome.written.notes[..], [Note::StaleLockRemoved { age, .. }] if age.as_secs() >= 3600));
    assert!(outcome.written.notes[0].to_string().contains("config.lock"));
    assert_eq!(home.names(), ["config"]);
}

#[test]
fn row_98_a_lock_that_goes_away_is_waited_for() {
    let home = Home::with("kind: Config\n");
    make_lock(&home, Duration::ZERO);
    let lock = home.path("config.lock");
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| add(&home.files(), "prod"));
        fs::remove_file(&lock).unwrap();
        assert_eq!(adding.join().unwrap().entries[0].change, Change::Added);
    });
    assert!(!lock.exists());
}

#[test]
fn what_would_change_nothing_needs_no_lock() {
    let home = Home::new();
    add(&home.files(), "prod");
    make_lock(&home, Duration::ZERO);
    let files = impatient(home.files());
    assert_eq!(add(&files, "prod").entries[0].change, Change::Unchanged);
    assert!(remove(&files, &["nobody"]).is_ok());
}

#[test]
fn the_lock_is_let_go_of_on_every_way_out() {
    let home = Home::with("contexts:\n- {name: prod, context: {cluster: a, user: b}}\n");
    assert!(upsert(&home.files(), &[entry("prod")], None).is_err());
    assert!(use_context(&home.files(), "nobody").is_err());
    add(&home.files(), "ok");
    assert_eq!(home.names(), ["config"]);
}

#[test]
fn a_link_is_locked_under_the_name_that_kubectl_locks() {
    let home = Home::new();
    fs::create_dir(home.path("dotfiles")).unwrap();
    fs::write(home.path("dotfiles/kube"), "kind: Config\n").unwrap();
    std::os::unix::fs::symlink("dotfiles/kube", home.path("config")).unwrap();
    make_lock(&home, Duration::ZERO);
    assert!(upsert(&impatient(home.files()), &[entry("prod")], None).is_err());
}

#[test]
fn row_96_fifty_at_once_lose_nothing() {
    let home = Home::with("# mine\nkind: Config\n");
    let files = home.files();
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
    assert!(home.read("config").starts_with("# mine\n"));
    assert_eq!(home.names(), ["config"]);
    let backups = fs::read_dir(home.folder.path()).unwrap().count() - 1;
    assert_eq!(backups, 5);
}

#[test]
fn row_96_a_program_that_takes_no_lock_loses_nothing_either() {
    let home = Home::with("kind: Config\n");
    let files = home.files();
    let first = std::cell::Cell::new(true);
    let (_, written) = change(&files, |draft| {
        // Between our reading and our writing.
        if first.replace(false) {
            fs::write(home.path("config"), "kind: Config\nx-theirs: 1\n").unwrap();
        }
        draft.upsert(&entry("prod"))
    })
    .unwrap();
    assert_eq!(written.files.len(), 1);
    assert!(home.read("config").starts_with("kind: Config\nx-theirs: 1\n"));
    assert!(find(&files, "prod").unwrap().is_some());
}

#[test]
fn signals_wait_while_a_lock_of_kubectl_is_ours() {
    use crate::terminal::signals::are_deferred;
    let home = Home::with("kind: Config\n");
    let files = home.files();
    let locks = Locks::take(files.paths(), &[], files.waits).unwrap();
    assert!(home.path("config.lock").exists());
    assert_eq!(are_deferred(), Some(true));
    drop(locks);
    assert!(!home.path("config.lock").exists());
    assert_eq!(are_deferred(), Some(false));
    // One that cannot be had leaves nothing behind either.
    make_lock(&home, Duration::ZERO);
    assert!(Locks::take(files.paths(), &[], impatient(files.clone()).waits).is_err());
    assert_eq!(are_deferred(), Some(false));
}

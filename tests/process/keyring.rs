//! A real GNOME Keyring in every state that a keyring can be in: locked, asking, hanging, dead, absent, not ours.

use std::time::Duration;

use rolecall_harness::{Sandbox, SessionBus, within};

use crate::desk::{self, BOUND, Desk, item};
use crate::world::one_line;

#[test]
fn row_86_a_locked_keyring_is_told_soon_and_holds_up_nobody() {
    let Some(desk) = Desk::at(SessionBus::start) else { return };
    let key = &desk.key;
    desk.put("glass", key, &[]).assert_ok();
    desk.bus.lock();
    // Nobody can be shown a prompt here.
    desk.refuses(&["list"], "it is locked, and its prompt was dismissed or could not be shown");
    desk.refuses(&["rotate", "glass"], "it is locked");
    // The keyring's process ends and the person logs in again: it is open.
    desk.bus.kill_keyring();
    desk.bus.start_keyring();
    assert_eq!(desk.list()[0]["name"], "glass");
}

#[test]
fn row_86_a_prompt_that_nobody_answers_is_told_and_shown_once() {
    let Some(desk) = Desk::at(SessionBus::with_unanswered_prompt) else { return };
    let key = &desk.key;
    desk.put("glass", key, &[]).assert_ok();
    assert!(!desk.bus.was_prompted());
    desk.bus.lock();
    desk.refuses(&["list"], "waits for its password");
    assert!(desk.bus.was_prompted());
    let said = desk.keys(&["list"]);
    assert!(one_line(&said, 1).contains("waits for its password") && said.elapsed < Duration::from_secs(2), "{said}");
}

#[test]
fn row_87_a_keyring_that_hangs_is_told_soon_and_is_used_again_when_it_goes_on() {
    let Some(desk) = Desk::at(SessionBus::start) else { return };
    let key = &desk.key;
    desk.put("glass", key, &[]).assert_ok();
    desk.bus.pause_keyring();
    for _ in 0..5 {
        desk.refuses(&["list"], "does not answer");
    }
    desk.bus.resume_keyring();
    let listed = within(Duration::from_secs(10), || {
        let said = desk.keys(&["list", "--json"]);
        (said.code() == Some(0)).then(|| said.json())
    });
    assert_eq!(listed.unwrap()[0]["name"], "glass");
}

#[test]
fn row_87_a_keyring_is_asked_over_connections_that_are_kept() {
    // GNOME Keyring dies of clients that come and go, see the module `secret_service`.
    let Some(desk) = Desk::at(SessionBus::start) else { return };
    let key = &desk.key;
    desk.put("glass", key, &[]).assert_ok();
    let before = desk.bus.connection_count();
    for _ in 0..5 {
        desk.list();
    }
    desk.keys(&["forget", "glass", "--yes"]).assert_ok();
    assert_eq!(desk.bus.connection_count() - before, 1, "connections beside the test's own look");
}

#[test]
fn row_88_a_keyring_that_dies_in_the_middle_is_told_and_used_again() {
    let Some(desk) = Desk::at(SessionBus::start) else { return };
    let key = &desk.key;
    desk.put("glass", key, &[]).assert_ok();
    desk.bus.pause_keyring();
    std::thread::scope(|scope| {
        let listing = scope.spawn(|| desk.keys(&["list"]));
        // Whether it has been asked by then or not: it dies.
        desk.serves_others();
        desk.bus.kill_keyring();
        let said = listing.join().unwrap();
        let line = one_line(&said, 1);
        assert!(line.contains("does not answer") || line.contains("no OS keyring"), "{line}");
    });
    desk.refuses(&["list"], "no OS keyring is available: no Secret Service on the session bus");
    desk.bus.start_keyring();
    assert_eq!(desk.list()[0]["name"], "glass");
}

#[test]
fn row_88_without_a_session_bus_everything_else_is_served() {
    let world = desk::world();
    let key = world.aws.add_user("111122223333", "break-glass");
    world.token().assert_ok();
    let said = world.rolecall(&["keys", "list"]);
    let line = one_line(&said, 1);
    assert!(line.contains("no OS keyring is available") && said.elapsed < BOUND, "{line}");
    let put = ["keys", "put", "glass", "--stdin"];
    let input = format!("{}\n{}\n", key.id, key.secret);
    let said = world.sandbox.run_with_input(world.sandbox.rolecall().args(put), input.as_bytes());
    assert!(one_line(&said, 1).contains("no OS keyring is available"), "{said}");
    world.token().assert_ok();
    assert!(!is_written_below(&world.sandbox, &key.secret));
}

#[test]
fn row_88_a_bus_that_denies_is_told_as_that() {
    let Some(desk) = Desk::at(SessionBus::denying_keyring) else { return };
    desk.refuses(&["list"], "the OS keyring refuses");
}

#[test]
fn row_88_what_is_not_ours_is_left_alone() {
    let Some(desk) = Desk::at(SessionBus::start) else { return };
    let key = &desk.key;
    desk.put("glass", key, &[]).assert_ok();
    let kept = desk.bus.lookup(&item("glass")).unwrap();
    let cut = &kept[..kept.len() / 2];
    let others: [(&str, &[u8]); 4] =
        [("text", b"hunter2"), ("binary", &[0xff, 0x00, 0xfe]), ("cut", cut.as_bytes()), ("empty", b"{}")];
    for (name, secret) in others {
        desk.bus.store("Another application's", &item(name), secret);
    }
    desk.bus.store("Elsewhere", &["service", "browser", "username", "glass"], b"hunter2");
    assert_eq!(desk.list().as_array().unwrap().len(), 1);
    for (name, secret) in others {
        desk.refuses(&["forget", name, "--yes"], "is not of Rolecall's making, or broken");
        let said = desk.put(name, key, &["--replace"]);
        assert!(one_line(&said, 1).contains("It is left alone"), "{said}");
        let there = desk.bus.lookup(&item(name)).unwrap();
        assert!(std::str::from_utf8(secret).map_or(true, |secret| there == secret), "{name}: {there}");
    }
    assert_eq!(desk.bus.lookup(&["service", "browser", "username", "glass"]).as_deref(), Some("hunter2"));
    // Beside one of ours, one that is not is no hindrance, and stays.
    desk.bus.store("Another", &["service", "rolecall", "username", "glass", "more", "yes"], b"hunter2");
    assert_eq!(desk.list()[0]["name"], "glass");
    desk.keys(&["forget", "glass", "--yes"]).assert_ok();
    assert_eq!(desk.bus.lookup(&["service", "rolecall", "more", "yes"]).as_deref(), Some("hunter2"));
}

#[test]
fn row_89_keys_of_a_newer_rolecall_are_left_alone() {
    let Some(desk) = Desk::at(SessionBus::start) else { return };
    let newer = "{\"format\":2,\"keys\":[{\"id\":\"AKIAIOSFODNN7EXAMPLE\"}]}";
    desk.bus.store("AWS access key of Rolecall", &item("glass"), newer.as_bytes());
    assert_eq!(desk.list().as_array().unwrap().len(), 0);
    desk.refuses(&["forget", "glass", "--yes"], "written by a newer Rolecall (format 2)");
    desk.refuses(&["rotate", "glass"], "upgrade this Rolecall");
    let key = desk.world.aws.add_user("111122223333", "break-glass");
    let said = desk.put("glass", &key, &["--replace"]);
    assert!(one_line(&said, 1).contains("newer Rolecall"), "{said}");
    assert_eq!(desk.bus.lookup(&item("glass")).as_deref(), Some(newer));
}

/// Whether a file of the sandbox holds the text.
fn is_written_below(sandbox: &Sandbox, text: &str) -> bool {
    let mut folders = vec![sandbox.root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => {
                    let bytes = std::fs::read(entry.path()).unwrap_or_default();
                    if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
                        return true;
                    }
                }
                _ => {}
            }
        }
    }
    false
}

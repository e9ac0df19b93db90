//! A real GNOME Keyring in every state: locked, prompting, hanging, dead, absent, and with other programs' items.

use rolecall_harness::{Sandbox, SessionBus, within};

use crate::desktop::{self, Desktop, item};
use crate::fixture::{HANG_GUARD, error_line};

/// Fault matrix row 86.
#[test]
fn keyring_locked_fails_without_blocking_tokens() {
    let Some(desktop) = Desktop::at(SessionBus::start) else { return };
    let key = &desktop.key;
    desktop.put("glass", key, &[]).assert_ok();
    desktop.bus.lock();
    // Without a desktop, the keyring cannot show a prompt.
    desktop.assert_fails(&["list"], "it is locked, and its prompt was dismissed or not shown");
    desktop.assert_fails(&["rotate", "glass"], "it is locked");
    // The keyring restarts and the user logs in, which unlocks it.
    desktop.bus.kill_keyring();
    desktop.bus.start_keyring();
    assert_eq!(desktop.list()[0]["name"], "glass");
}

/// Fault matrix row 86.
#[test]
fn keyring_prompt_unanswered_is_shown_once() {
    let Some(desktop) = Desktop::at(SessionBus::with_unanswered_prompt) else { return };
    let key = &desktop.key;
    desktop.put("glass", key, &[]).assert_ok();
    assert!(!desktop.bus.was_prompted());
    desktop.bus.lock();
    desktop.assert_fails(&["list"], "waits for its password");
    assert!(desktop.bus.was_prompted());
    let said = desktop.keys(&["list"]);
    assert!(error_line(&said, 1).contains("waits for its password"), "{said}");
}

/// Fault matrix row 87.
#[test]
fn keyring_hanging_fails_then_recovers() {
    let Some(desktop) = Desktop::at(SessionBus::start) else { return };
    let key = &desktop.key;
    desktop.put("glass", key, &[]).assert_ok();
    desktop.bus.pause_keyring();
    for _ in 0..5 {
        desktop.assert_fails(&["list"], "does not answer");
    }
    desktop.bus.resume_keyring();
    let listed = within(HANG_GUARD, || {
        let said = desktop.keys(&["list", "--json"]);
        (said.code() == Some(0)).then(|| said.json())
    });
    assert_eq!(listed.unwrap()[0]["name"], "glass");
}

/// Fault matrix row 87.
#[test]
fn keyring_requests_share_one_connection() {
    // GNOME Keyring crashes when clients connect and disconnect often, see the module `secret_service`.
    let Some(desktop) = Desktop::at(SessionBus::start) else { return };
    let key = &desktop.key;
    desktop.put("glass", key, &[]).assert_ok();
    let before = desktop.bus.connection_count();
    for _ in 0..5 {
        desktop.list();
    }
    desktop.keys(&["forget", "glass", "--yes"]).assert_ok();
    assert_eq!(desktop.bus.connection_count() - before, 1, "connections beside the test's own look");
}

/// Fault matrix row 88.
#[test]
fn keyring_killed_during_request_fails_then_recovers() {
    let Some(desktop) = Desktop::at(SessionBus::start) else { return };
    let key = &desktop.key;
    desktop.put("glass", key, &[]).assert_ok();
    desktop.bus.pause_keyring();
    std::thread::scope(|scope| {
        let listing = scope.spawn(|| desktop.keys(&["list"]));
        // The keyring dies before or during the request; both give an error.
        desktop.assert_token_served();
        desktop.bus.kill_keyring();
        let said = listing.join().unwrap();
        let line = error_line(&said, 1);
        assert!(line.contains("does not answer") || line.contains("no OS keyring"), "{line}");
    });
    desktop.assert_fails(&["list"], "no OS keyring is available: no Secret Service on the session bus");
    desktop.bus.start_keyring();
    assert_eq!(desktop.list()[0]["name"], "glass");
}

/// Fault matrix row 88.
#[test]
fn keyring_without_session_bus_does_not_affect_tokens() {
    let fixture = desktop::fixture();
    let key = fixture.aws.add_user("111122223333", "break-glass");
    fixture.token().assert_ok();
    let said = fixture.rolecall(&["keys", "list"]);
    let line = error_line(&said, 1);
    assert!(line.contains("no OS keyring is available"), "{line}");
    let put = ["keys", "put", "glass", "--stdin"];
    let input = format!("{}\n{}\n", key.id, key.secret);
    let said = fixture.sandbox.run_with_input(fixture.sandbox.rolecall().args(put), input.as_bytes());
    assert!(error_line(&said, 1).contains("no OS keyring is available"), "{said}");
    fixture.token().assert_ok();
    assert!(!is_written_below(&fixture.sandbox, &key.secret));
}

/// Fault matrix row 88.
#[test]
fn keyring_denied_by_bus_reports_refusal() {
    let Some(desktop) = Desktop::at(SessionBus::denying_keyring) else { return };
    desktop.assert_fails(&["list"], "the OS keyring refuses");
}

/// Fault matrix row 88.
#[test]
fn keyring_items_of_other_programs_are_not_changed() {
    let Some(desktop) = Desktop::at(SessionBus::start) else { return };
    let key = &desktop.key;
    desktop.put("glass", key, &[]).assert_ok();
    let kept = desktop.bus.lookup(&item("glass")).unwrap();
    let cut = &kept[..kept.len() / 2];
    let others: [(&str, &[u8]); 4] =
        [("text", b"hunter2"), ("binary", &[0xff, 0x00, 0xfe]), ("cut", cut.as_bytes()), ("empty", b"{}")];
    for (name, secret) in others {
        desktop.bus.store("Another application's", &item(name), secret);
    }
    desktop.bus.store("Elsewhere", &["service", "browser", "username", "glass"], b"hunter2");
    assert_eq!(desktop.list().as_array().unwrap().len(), 1);
    for (name, secret) in others {
        desktop.assert_fails(&["forget", name, "--yes"], "was not written by Rolecall or is damaged");
        let said = desktop.put(name, key, &["--replace"]);
        assert!(error_line(&said, 1).contains("Check the item with service rolecall"), "{said}");
        let there = desktop.bus.lookup(&item(name)).unwrap();
        assert!(std::str::from_utf8(secret).map_or(true, |secret| there == secret), "{name}: {there}");
    }
    assert_eq!(desktop.bus.lookup(&["service", "browser", "username", "glass"]).as_deref(), Some("hunter2"));
    // An item of another program with more attributes does not disturb, and stays.
    desktop.bus.store("Another", &["service", "rolecall", "username", "glass", "more", "yes"], b"hunter2");
    assert_eq!(desktop.list()[0]["name"], "glass");
    desktop.keys(&["forget", "glass", "--yes"]).assert_ok();
    assert_eq!(desktop.bus.lookup(&["service", "rolecall", "more", "yes"]).as_deref(), Some("hunter2"));
}

/// Fault matrix row 89.
#[test]
fn keyring_item_of_newer_format_is_not_changed() {
    let Some(desktop) = Desktop::at(SessionBus::start) else { return };
    let newer = "{\"format\":2,\"keys\":[{\"id\":\"AKIAIOSFODNN7EXAMPLE\"}]}";
    desktop.bus.store("AWS access key of Rolecall", &item("glass"), newer.as_bytes());
    assert_eq!(desktop.list().as_array().unwrap().len(), 0);
    desktop.assert_fails(
        &["forget", "glass", "--yes"],
        "a newer Rolecall wrote the OS keyring item of that name (format 2)",
    );
    desktop.assert_fails(&["rotate", "glass"], "Upgrade Rolecall");
    let key = desktop.fixture.aws.add_user("111122223333", "break-glass");
    let said = desktop.put("glass", &key, &["--replace"]);
    assert!(error_line(&said, 1).contains("newer Rolecall"), "{said}");
    assert_eq!(desktop.bus.lookup(&item("glass")).as_deref(), Some(newer));
}

/// Returns whether a file of the sandbox contains the text.
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

//! Long-lived keys in a real GNOME Keyring on a session bus of its own, through every state that a keyring can be in.

use std::io::Write as _;
use std::time::Duration;

use rolecall_harness::{AccessKey, Fault, Op, Output, Sandbox, SessionBus};

use crate::world::{ROLE, World, one_line};

/// What nobody waits longer for: three seconds for the keyring, the daemon's start on a busy machine, and a reserve.
const BOUND: Duration = Duration::from_secs(7);

/// A world whose AWS is reached without an AWS profile, since keys have none, and its daemon's session bus.
struct Desk<'a> {
    world: &'a World,
    bus: &'a SessionBus<'a>,
}

/// A world with a second user, whose keys go into the keyring, and the profile `prod` that has nothing to do with it.
fn world() -> World {
    let world = World::configured();
    let endpoint = world.aws.endpoint();
    let config = std::fs::read_to_string(world.config_path()).unwrap();
    world.write_config(&format!("{config}\n[endpoints]\nsts = \"{endpoint}\"\niam = \"{endpoint}\"\n"));
    world
}

/// Says that this machine cannot run a test, where it cannot.
#[allow(clippy::explicit_write)] // what eprintln writes, the test runner keeps to itself
fn is_possible() -> bool {
    let Some(missing) = SessionBus::missing() else { return true };
    writeln!(std::io::stderr(), "SKIPPED: keyring: no {missing}").unwrap();
    false
}

impl<'a> Desk<'a> {
    fn new(world: &'a World, bus: &'a SessionBus<'a>) -> Self {
        Self { world, bus }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.world.sandbox.rolecall();
        self.bus.put_into(&mut command);
        self.world.sandbox.run_with_input(command.args(arguments), input.as_bytes())
    }

    fn keys(&self, arguments: &[&str]) -> Output {
        self.run(&[&["keys"], arguments].concat(), "")
    }

    fn put(&self, name: &str, key: &AccessKey, more: &[&str]) -> Output {
        self.run(&[&["keys", "put", name, "--stdin"], more].concat(), &format!("{}\n{}\n", key.id, key.secret))
    }

    fn list(&self) -> serde_json::Value {
        let said = self.keys(&["list", "--json"]);
        said.assert_ok();
        said.json()
    }

    /// It fails, soon, in these words; and whoever does not need the keyring is served meanwhile.
    #[track_caller]
    fn refuses(&self, arguments: &[&str], words: &str) {
        let said = self.keys(arguments);
        assert!(said.elapsed < BOUND, "{said}");
        let line = one_line(&said, 1);
        assert!(line.contains(words), "{line}");
        self.serves_others();
    }

    #[track_caller]
    fn serves_others(&self) {
        let said = self.world.token();
        said.assert_ok();
        assert!(said.elapsed < Duration::from_secs(2), "{said}");
    }
}

/// What the keyring has under a name, as any program of the desktop sees it.
fn item(name: &str) -> [&str; 4] {
    ["service", "rolecall", "username", name]
}

#[test]
fn keys_are_put_listed_rotated_and_forgotten() {
    if !is_possible() {
        return;
    }
    let world = world();
    let bus = SessionBus::start(&world.sandbox);
    bus.start_keyring();
    let desk = Desk::new(&world, &bus);
    let key = world.aws.add_user("111122223333", "break-glass");

    let said = desk.put("glass", &key, &["--source"]);
    said.assert_ok();
    assert!(said.stdout.contains(&key.id[key.id.len() - 4..]) && said.stdout.contains(&key.arn), "{said}");
    let config = std::fs::read_to_string(world.config_path()).unwrap();
    assert!(config.contains("[sources.glass]\nkeyring = \"glass\"\n"), "{config}");
    let kept = bus.lookup(&item("glass")).unwrap();
    assert!(kept.contains(&key.id) && kept.contains("\"format\":1"), "{kept}");
    let listed = desk.list();
    assert_eq!((listed[0]["name"].as_str(), listed[0]["arn"].as_str()), (Some("glass"), Some(key.arn.as_str())));
    let line = one_line(&desk.put("glass", &key, &[]), 1);
    assert!(line.contains("already") && line.contains("--replace"), "{line}");

    world.aws.spread_new_keys_slowly(3);
    let said = desk.keys(&["rotate", "glass"]);
    said.assert_ok();
    let new = world.aws.keys_of(&key.arn);
    assert!(new.len() == 1 && new[0] != key.id, "{new:?}");
    assert!(said.stdout.contains(&new[0][new[0].len() - 4..]), "{said}");
    let kept = bus.lookup(&item("glass")).unwrap();
    assert!(kept.contains(&new[0]) && !kept.contains(&key.id), "{kept}");

    let line = one_line(&desk.keys(&["forget", "glass"]), 2);
    assert!(line.contains("--yes"), "{line}");
    let said = desk.keys(&["forget", "glass", "--yes"]);
    said.assert_ok();
    assert!(said.stderr.contains("source glass uses them"), "{said}");
    assert_eq!(bus.lookup(&item("glass")), None);
    desk.refuses(&["forget", "glass", "--yes"], "there are no keys of that name");
}

#[test]
fn keys_that_aws_does_not_take_are_not_kept() {
    if !is_possible() {
        return;
    }
    let world = world();
    let bus = SessionBus::start(&world.sandbox);
    bus.start_keyring();
    let desk = Desk::new(&world, &bus);
    let key = world.aws.add_user("111122223333", "break-glass");
    let wrong = AccessKey { secret: "x".repeat(40), ..key.clone() };
    let line = one_line(&desk.put("glass", &wrong, &[]), 1);
    assert!(line.contains("AWS does not take them") && line.contains("Nothing was put into the keyring"), "{line}");
    let session = world.aws.session(ROLE, "dev", Duration::from_hours(1));
    let line = one_line(&desk.put("glass", &session, &[]), 1);
    assert!(line.contains("temporary"), "{line}");
    let line = one_line(&desk.run(&["keys", "put", "glass", "--stdin"], "AKIA\n"), 1);
    assert!(line.contains("no keys were given"), "{line}");
    let line = one_line(&desk.keys(&["put", "glass"]), 2);
    assert!(line.contains("--stdin"), "{line}");
    assert_eq!(desk.list().as_array().unwrap().len(), 0);
    let before = world.aws.calls(Op::GetCallerIdentity);
    world.aws.fault(Op::GetCallerIdentity, Fault::Html.forever());
    let line = one_line(&desk.put("glass", &key, &[]), 1);
    assert!(line.contains("is not STS"), "{line}");
    assert_eq!(world.aws.calls(Op::GetCallerIdentity), before + 1);
}

#[test]
fn a_rotation_that_fails_leaves_keys_that_work() {
    if !is_possible() {
        return;
    }
    let world = world();
    let bus = SessionBus::start(&world.sandbox);
    bus.start_keyring();
    let desk = Desk::new(&world, &bus);
    let key = world.aws.add_user("111122223333", "break-glass");
    desk.put("glass", &key, &[]).assert_ok();
    let stays = || {
        assert!(bus.lookup(&item("glass")).unwrap().contains(&key.id));
        assert!(world.aws.keys_of(&key.arn).contains(&key.id));
    };

    world.aws.deny(&key.arn, "iam:CreateAccessKey");
    desk.refuses(&["rotate", "glass"], "iam:CreateAccessKey");
    stays();
    world.aws.allow(&key.arn, "iam:CreateAccessKey");

    let second = world.aws.add_user("111122223333", "break-glass");
    desk.refuses(&["rotate", "glass"], "two access keys already");
    stays();
    world.aws.remove_key(&second.id);

    // The old one stays at AWS: the new one is used, and that is said.
    world.aws.deny(&key.arn, "iam:DeleteAccessKey");
    let said = desk.keys(&["rotate", "glass"]);
    said.assert_code(1);
    assert!(said.stdout.contains("is still there at AWS"), "{said}");
    assert!(
        said.stderr.contains("was not deleted at AWS") && said.stderr.contains("delete the old one in IAM"),
        "{said}"
    );
    let both = world.aws.keys_of(&key.arn);
    assert_eq!(both.len(), 2);
    let kept = bus.lookup(&item("glass")).unwrap();
    assert!(kept.contains(&both[1]) && both[0] == key.id, "{kept}");
}

#[test]
fn new_keys_that_cannot_be_kept_are_deleted_again() {
    if !is_possible() {
        return;
    }
    let world = world();
    let bus = SessionBus::start(&world.sandbox);
    bus.start_keyring();
    let desk = Desk::new(&world, &bus);
    let key = world.aws.add_user("111122223333", "break-glass");
    desk.put("glass", &key, &[]).assert_ok();
    // In the moment when AWS has made them, the keyring is locked.
    let gate = rolecall_harness::Gate::new();
    world.aws.fault(Op::CreateAccessKey, Fault::Hold(gate.clone()));
    std::thread::scope(|scope| {
        let rotation = scope.spawn(|| desk.keys(&["rotate", "glass"]));
        world.aws.wait_for_calls(Op::CreateAccessKey, 1, Duration::from_secs(20));
        bus.lock();
        gate.open();
        let line = one_line(&rotation.join().unwrap(), 1);
        assert!(line.contains("locked") && line.contains("deleted again"), "{line}");
    });
    assert_eq!(world.aws.keys_of(&key.arn), [key.id.as_str()]);
}

#[test]
fn row_86_a_locked_keyring_is_told_soon_and_holds_up_nobody() {
    if !is_possible() {
        return;
    }
    let world = world();
    let bus = SessionBus::start(&world.sandbox);
    bus.start_keyring();
    let desk = Desk::new(&world, &bus);
    let key = world.aws.add_user("111122223333", "break-glass");
    desk.put("glass", &key, &[]).assert_ok();
    bus.lock();
    // Nobody can be shown a prompt here.
    desk.refuses(&["list"], "it is locked, and its prompt was dismissed or could not be shown");
    desk.refuses(&["rotate", "glass"], "it is locked");
    // The keyring's process ends and the person logs in again: it is open.
    bus.kill();
    bus.start_keyring();
    assert_eq!(desk.list()[0]["name"], "glass");
}

#[test]
fn row_86_a_prompt_that_nobody_answers_is_told_and_shown_once() {
    if !is_possible() {
        return;
    }
    let world = world();
    let bus = SessionBus::with_desktop(&world.sandbox);
    bus.start_keyring();
    let desk = Desk::new(&world, &bus);
    let key = world.aws.add_user("111122223333", "break-glass");
    desk.put("glass", &key, &[]).assert_ok();
    assert!(!bus.was_prompted());
    bus.lock();
    desk.refuses(&["list"], "waits for its password");
    assert!(bus.was_prompted());
    let said = desk.keys(&["list"]);
    assert!(one_line(&said, 1).contains("waits for its password") && said.elapsed < Duration::from_secs(2), "{said}");
}

#[test]
fn row_87_a_keyring_that_hangs_is_told_soon_and_is_used_again_when_it_goes_on() {
    if !is_possible() {
        return;
    }
    let world = world();
    let bus = SessionBus::start(&world.sandbox);
    bus.start_keyring();
    let desk = Desk::new(&world, &bus);
    let key = world.aws.add_user("111122223333", "break-glass");
    desk.put("glass", &key, &[]).assert_ok();
    bus.hang();
    for _ in 0..5 {
        desk.refuses(&["list"], "does not answer");
    }
    bus.go_on();
    let listed = rolecall_harness::within(Duration::from_secs(10), || {
        let said = desk.keys(&["list", "--json"]);
        (said.code() == Some(0)).then(|| said.json())
    });
    assert_eq!(listed.unwrap()[0]["name"], "glass");
}

#[test]
fn row_88_a_keyring_that_dies_in_the_middle_is_told_and_used_again() {
    if !is_possible() {
        return;
    }
    let world = world();
    let bus = SessionBus::start(&world.sandbox);
    bus.start_keyring();
    let desk = Desk::new(&world, &bus);
    let key = world.aws.add_user("111122223333", "break-glass");
    desk.put("glass", &key, &[]).assert_ok();
    bus.hang();
    std::thread::scope(|scope| {
        let listing = scope.spawn(|| desk.keys(&["list"]));
        // Whether it has been asked by then or not: it dies.
        desk.serves_others();
        bus.kill();
        let said = listing.join().unwrap();
        let line = one_line(&said, 1);
        assert!(line.contains("does not answer") || line.contains("no OS keyring"), "{line}");
    });
    desk.refuses(&["list"], "there is no OS keyring here (no Secret Service on the session bus)");
    bus.start_keyring();
    assert_eq!(desk.list()[0]["name"], "glass");
}

#[test]
fn row_88_without_a_session_bus_everything_else_is_served() {
    let world = world();
    let key = world.aws.add_user("111122223333", "break-glass");
    world.token().assert_ok();
    let said = world.rolecall(&["keys", "list"]);
    let line = one_line(&said, 1);
    assert!(line.contains("there is no OS keyring here") && said.elapsed < BOUND, "{line}");
    let put = ["keys", "put", "glass", "--stdin"];
    let input = format!("{}\n{}\n", key.id, key.secret);
    let said = world.sandbox.run_with_input(world.sandbox.rolecall().args(put), input.as_bytes());
    assert!(one_line(&said, 1).contains("there is no OS keyring here"), "{said}");
    world.token().assert_ok();
    assert!(!is_written_below(&world.sandbox, &key.secret));
}

#[test]
fn row_88_a_bus_that_denies_is_told_as_that() {
    if !is_possible() {
        return;
    }
    let world = world();
    let bus = SessionBus::denying(&world.sandbox);
    bus.start_keyring();
    Desk::new(&world, &bus).refuses(&["list"], "the OS keyring refuses");
}

#[test]
fn row_88_what_is_not_ours_is_left_alone() {
    if !is_possible() {
        return;
    }
    let world = world();
    let bus = SessionBus::start(&world.sandbox);
    bus.start_keyring();
    let desk = Desk::new(&world, &bus);
    let key = world.aws.add_user("111122223333", "break-glass");
    desk.put("glass", &key, &[]).assert_ok();
    let kept = bus.lookup(&item("glass")).unwrap();
    let cut = &kept[..kept.len() / 2];
    let others: [(&str, &[u8]); 4] =
        [("text", b"hunter2"), ("binary", &[0xff, 0x00, 0xfe]), ("cut", cut.as_bytes()), ("empty", b"{}")];
    for (name, secret) in others {
        bus.store("Another application's", &item(name), secret);
    }
    bus.store("Elsewhere", &["service", "browser", "username", "glass"], b"hunter2");
    assert_eq!(desk.list().as_array().unwrap().len(), 1);
    for (name, secret) in others {
        desk.refuses(&["forget", name, "--yes"], "is not of Rolecall's making, or broken");
        let said = desk.put(name, &key, &["--replace"]);
        assert!(one_line(&said, 1).contains("It is left alone"), "{said}");
        let there = bus.lookup(&item(name)).unwrap();
        assert!(std::str::from_utf8(secret).map_or(true, |secret| there == secret), "{name}: {there}");
    }
    assert_eq!(bus.lookup(&["service", "browser", "username", "glass"]).as_deref(), Some("hunter2"));
    // Beside one of ours, one that is not is no hindrance, and stays.
    bus.store("Another", &["service", "rolecall", "username", "glass", "more", "yes"], b"hunter2");
    assert_eq!(desk.list()[0]["name"], "glass");
    desk.keys(&["forget", "glass", "--yes"]).assert_ok();
    assert_eq!(bus.lookup(&["service", "rolecall", "more", "yes"]).as_deref(), Some("hunter2"));
}

#[test]
fn row_89_keys_of_a_newer_rolecall_are_left_alone() {
    if !is_possible() {
        return;
    }
    let world = world();
    let bus = SessionBus::start(&world.sandbox);
    bus.start_keyring();
    let desk = Desk::new(&world, &bus);
    let newer = "{\"format\":2,\"keys\":[{\"id\":\"AKIAIOSFODNN7EXAMPLE\"}]}";
    bus.store("AWS access key of Rolecall", &item("glass"), newer.as_bytes());
    assert_eq!(desk.list().as_array().unwrap().len(), 0);
    desk.refuses(&["forget", "glass", "--yes"], "written by a newer Rolecall (format 2)");
    desk.refuses(&["rotate", "glass"], "upgrade this Rolecall");
    let key = world.aws.add_user("111122223333", "break-glass");
    let said = desk.put("glass", &key, &["--replace"]);
    assert!(one_line(&said, 1).contains("newer Rolecall"), "{said}");
    assert_eq!(bus.lookup(&item("glass")).as_deref(), Some(newer));
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

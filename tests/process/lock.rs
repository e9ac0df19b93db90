//! `rolecall lock` and `rolecall unlock`, as a person and as a script run them.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rolecall_harness::Output;

use crate::files::skipped;
use crate::world::{World, one_line};

const SOON: Duration = Duration::from_secs(20);
const PASSPHRASE: &str = "correct horse";

impl World {
    fn with_input(&self, arguments: &[&str], input: &str) -> Output {
        self.sandbox.run_with_input(self.sandbox.rolecall().args(arguments), input.as_bytes())
    }

    fn is_locked(&self) -> bool {
        self.rolecall(&["status", "--json"]).json()["daemon"]["lock"]["locked"] == true
    }

    fn lock_file(&self) -> PathBuf {
        self.sandbox.state_home().join("rolecall/lock.json")
    }

    /// The profile `prod` has a session, and there is a passphrase.
    fn with_passphrase() -> Self {
        let world = Self::configured();
        world.token().assert_ok();
        world.with_input(&["lock", "--passphrase", "--stdin"], PASSPHRASE).assert_ok();
        assert!(!world.is_locked());
        world
    }
}

#[test]
fn a_person_chooses_a_passphrase_locks_and_unlocks() {
    let world = World::configured();
    world.token().assert_ok();
    let terminal = world.sandbox.terminal(world.sandbox.rolecall().arg("lock"));
    let asked = |question: &str, times: usize| terminal.wait_for_times(question, times, SOON);
    asked("New passphrase: ", 1);
    terminal.type_text("short\n");
    asked("New passphrase: ", 2);
    terminal.type_text("correct hoarse\n");
    asked("Confirm passphrase: ", 1);
    terminal.type_text(&format!("{PASSPHRASE}\n"));
    asked("New passphrase: ", 3);
    terminal.type_text(&format!("{PASSPHRASE}\n"));
    asked("Confirm passphrase: ", 2);
    terminal.type_text(&format!("{PASSPHRASE}\n"));
    terminal.assert_exit(0, SOON);
    assert!(terminal.text().contains("✓ locked since "), "{}", terminal.text());
    assert!(!terminal.raw().contains("horse") && !terminal.raw().contains("short"), "{}", terminal.raw());

    let line = one_line(&world.token(), 5);
    assert_eq!(line, "rolecall: prod: the agent is locked. Run: rolecall unlock");
    let status = world.rolecall(&["status"]);
    assert!(status.assert_ok().stdout.starts_with("! locked since "), "{}", status.stdout);

    let terminal = world.sandbox.terminal(world.sandbox.rolecall().arg("unlock"));
    terminal.wait_for("Passphrase: ", SOON);
    terminal.type_text("battery staple\n");
    terminal.wait_for_times("Passphrase: ", 2, SOON);
    terminal.type_text("correct horse\n");
    terminal.assert_exit(0, SOON);
    assert!(terminal.text().contains("wrong passphrase"), "{}", terminal.text());
    assert!(!terminal.raw().contains("horse") && !terminal.raw().contains("staple"), "{}", terminal.raw());
    world.token().assert_ok();
    assert_eq!(world.rolecall(&["unlock"]).assert_ok().stdout, "the agent is not locked\n");
    assert_eq!(world.assume_role_calls(), 2);
}

#[test]
fn ctrl_c_at_the_prompt_leaves_the_terminal_as_it_was() {
    let world = World::with_passphrase();
    world.rolecall(&["lock"]).assert_ok();
    for signal in ["key", "INT", "TERM"] {
        let script = "stty -a >before; rolecall unlock & wait $! ; :";
        let script = if signal == "key" {
            "stty -a >before; rolecall unlock; echo \"ended $?\"; stty -a >after"
        } else {
            script
        };
        if signal == "key" {
            let terminal =
                world.sandbox.terminal(world.sandbox.command("bash").args(["-c", &format!("trap : INT; {script}")]));
            terminal.wait_for("Passphrase: ", SOON);
            terminal.type_text("corr");
            terminal.interrupt();
            terminal.wait_for("ended 130", SOON);
            terminal.wait_exit(SOON);
        } else {
            let script =
                "stty -a >before; (sh -c 'echo $$ >pid; exec rolecall unlock'); echo \"ended $?\"; stty -a >after";
            let terminal = world
                .sandbox
                .terminal(world.sandbox.command("bash").args(["-c", &format!("trap : INT TERM; {script}")]));
            terminal.wait_for("Passphrase: ", SOON);
            let pid = fs::read_to_string(world.sandbox.home().join("pid")).unwrap();
            crate::world::kill(signal, pid.trim().parse().unwrap());
            terminal.wait_for(if signal == "INT" { "ended 130" } else { "ended 143" }, SOON);
            terminal.wait_exit(SOON);
        }
        let settings = |name: &str| fs::read_to_string(world.sandbox.home().join(name)).unwrap();
        assert_eq!(settings("before"), settings("after"), "{signal}");
    }
    assert!(world.is_locked());
}

#[test]
fn a_hotkey_locks_without_a_question_and_a_script_unlocks() {
    let world = World::with_passphrase();
    let said = world.rolecall(&["lock"]);
    assert!(said.assert_ok().stdout.ends_with("no session is left. Unlock it: rolecall unlock\n"), "{}", said.stdout);
    world.rolecall(&["lock"]).assert_ok();
    let line = one_line(&world.with_input(&["unlock", "--stdin"], "wrong"), 1);
    assert_eq!(line, "rolecall: wrong passphrase. Try again: rolecall unlock");
    // Nobody is there to be asked.
    let line = one_line(&world.sandbox.run(world.sandbox.command("setsid").args(["--wait", "rolecall", "unlock"])), 5);
    assert!(line.contains("no terminal to ask"), "{line}");
    world.with_input(&["unlock", "--stdin"], "correct horse\n").assert_ok();
    world.token().assert_ok();
    // Another one.
    let line = one_line(&world.with_input(&["lock", "--passphrase", "--stdin"], "wrong\nbattery staple\n"), 1);
    assert!(line.starts_with("rolecall: wrong passphrase"), "{line}");
    world.with_input(&["lock", "--passphrase", "--stdin"], "correct horse\nbattery staple\n").assert_ok();
    world.rolecall(&["lock"]).assert_ok();
    one_line(&world.with_input(&["unlock", "--stdin"], PASSPHRASE), 1);
    world.with_input(&["unlock", "--stdin"], "battery staple").assert_ok();
    let kept = fs::read_to_string(world.lock_file()).unwrap();
    assert!(!kept.contains("horse") && !kept.contains("staple"), "{kept}");
    let log = fs::read_dir(world.sandbox.state_home().join("rolecall")).unwrap();
    for file in log.filter_map(Result::ok).filter(|file| file.path().is_file()) {
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains("horse") && !text.contains("staple"), "{text}");
    }
}

#[test]
fn a_daemon_that_is_killed_or_restarted_comes_back_locked() {
    let world = World::with_passphrase();
    world.rolecall(&["lock"]).assert_ok();
    let pid = world.daemon_pid();
    world.rolecall(&["agent", "restart"]).assert_ok();
    assert_eq!((world.daemon_pid(), world.is_locked()), (pid, true));
    crate::world::kill("KILL", pid);
    one_line(&world.token(), 5);
    assert!(world.daemon_pid() != pid && world.is_locked());
    // Nor does it help to do without the daemon.
    let once = world.sandbox.run(world.sandbox.rolecalld().args(["--once", "token", "prod"]));
    assert_eq!(one_line(&once, 5), "rolecall: prod: the agent is locked. Run: rolecall unlock");
    world.with_input(&["unlock", "--stdin"], PASSPHRASE).assert_ok();
    world.token().assert_ok();
}

#[test]
#[allow(clippy::disallowed_methods, reason = "how long real processes wait is real time")]
fn row_104_twenty_wrong_passphrases_in_parallel_hold_nobody_up() {
    let world = World::with_passphrase();
    world.rolecall(&["lock"]).assert_ok();
    thread::scope(|scope| {
        let guesses: Vec<_> = (0..20)
            .map(|n| {
                let world = &world;
                // Each run by a shell of its own: another program, as far as the daemon can tell.
                let script = "printf '%s' \"$0\" | rolecall unlock --stdin; exit $?";
                scope.spawn(move || {
                    let mut shell = world.sandbox.command("sh");
                    world.sandbox.run(shell.args(["-c", script, &format!("wrong {n}")]))
                })
            })
            .collect();
        // Everybody else is answered at once, by what they would be anyway.
        for _ in 0..10 {
            let begin = Instant::now();
            one_line(&world.token(), 5);
            assert!(world.is_locked());
            assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        }
        let lines: Vec<_> = guesses.into_iter().map(|guess| one_line(&guess.join().unwrap(), 1)).collect();
        let wrong = lines.iter().filter(|line| line.contains("wrong passphrase")).count();
        let busy = lines.iter().filter(|line| line.contains("too many passphrase attempts")).count();
        assert!(wrong >= 1 && wrong + busy == 20, "{lines:#?}");
    });
    let begin = Instant::now();
    world.with_input(&["unlock", "--stdin"], PASSPHRASE).assert_ok();
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
    world.token().assert_ok();
}

#[test]
fn times_without_a_passphrase_have_no_effect_and_say_so() {
    let world = World::configured();
    let config = fs::read_to_string(world.config_path()).unwrap();
    world.write_config(&format!("{config}\n[lock]\nidle = \"30min\"\n"));
    world.token().assert_ok();
    let status = world.rolecall(&["status"]).stdout;
    assert!(status.starts_with("! [lock] in the configuration has no effect"), "{status}");
    assert!(status.contains("rolecall lock --passphrase"), "{status}");
    world.with_input(&["lock", "--passphrase", "--stdin"], PASSPHRASE).assert_ok();
    assert!(!world.rolecall(&["status"]).stdout.contains("[lock]"));
    assert!(world.rolecall(&["agent", "status"]).stdout.contains("unlocked; locks in "));
}

/// Every byte that the process has, as root sees it. `None` for who may not.
fn memory(pid: u32) -> Option<Vec<u8>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut all = Vec::new();
    for map in maps.lines().filter(|map| map.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw"))) {
        let (from, to) = map.split(' ').next()?.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        let mut bytes = vec![0; usize::try_from(to - from).ok()?];
        if memory.seek(SeekFrom::Start(from)).is_ok() && memory.read_exact(&mut bytes).is_ok() {
            all.append(&mut bytes);
        }
    }
    Some(all)
}

#[test]
fn row_48_after_a_lock_no_secret_is_left_in_memory() {
    let world = World::configured();
    world.sandbox.register_secret("a passphrase", PASSPHRASE);
    world.token().assert_ok();
    world.with_input(&["lock", "--passphrase", "--stdin"], PASSPHRASE).assert_ok();
    for _ in 0..10 {
        world.rolecall(&["refresh", "prod"]).assert_ok();
        world.token().assert_ok();
    }
    let pid = world.daemon_pid();
    let Some(before) = memory(pid) else { return skipped("memory: only root may look at it") };
    let found = world.sandbox.secrets_in(&before);
    assert!(found.contains(&"a secret access key") && found.contains(&"a session token"), "{found:?}");
    world.rolecall(&["lock"]).assert_ok();
    assert_eq!(world.sandbox.secrets_in(&memory(pid).unwrap()), Vec::<&str>::new());
    world.with_input(&["unlock", "--stdin"], PASSPHRASE).assert_ok();
    world.token().assert_ok();
    world.rolecall(&["lock"]).assert_ok();
    assert_eq!(world.sandbox.secrets_in(&memory(pid).unwrap()), Vec::<&str>::new());
}

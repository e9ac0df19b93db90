//! `rolecall lock` and `rolecall unlock`, at a terminal and in scripts.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::thread;

use rolecall_harness::Output;

use crate::files::{SmallDisk, skipped};
use crate::fixture::{Fixture, HANG_GUARD, error_line};

const PASSPHRASE: &str = "correct horse";

impl Fixture {
    fn with_input(&self, arguments: &[&str], input: &str) -> Output {
        self.sandbox.run_with_input(self.sandbox.rolecall().args(arguments), input.as_bytes())
    }

    fn is_locked(&self) -> bool {
        self.rolecall(&["status", "--json"]).json()["daemon"]["lock"]["locked"] == true
    }

    fn lock_file(&self) -> PathBuf {
        self.sandbox.state_home().join("rolecall/lock.json")
    }

    /// The profile `prod` has a session, and a passphrase is set.
    fn with_passphrase() -> Self {
        let fixture = Self::configured();
        fixture.token().assert_ok();
        fixture.with_input(&["lock", "--passphrase", "--stdin"], PASSPHRASE).assert_ok();
        assert!(!fixture.is_locked());
        fixture
    }
}

#[test]
fn lock_and_unlock_at_terminal_succeed() {
    let fixture = Fixture::configured();
    fixture.token().assert_ok();
    let terminal = fixture.sandbox.terminal(fixture.sandbox.rolecall().arg("lock"));
    let asked = |question: &str, times: usize| terminal.wait_for_times(question, times, HANG_GUARD);
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
    terminal.assert_exit(0, HANG_GUARD);
    assert!(terminal.text().contains("✓ locked since "), "{}", terminal.text());
    assert!(!terminal.raw().contains("horse") && !terminal.raw().contains("short"), "{}", terminal.raw());

    let line = error_line(&fixture.token(), 5);
    assert_eq!(line, "rolecall: prod: the agent is locked. Run: rolecall unlock");
    let status = fixture.rolecall(&["status"]);
    assert!(status.assert_ok().stdout.starts_with("! locked since "), "{}", status.stdout);

    let terminal = fixture.sandbox.terminal(fixture.sandbox.rolecall().arg("unlock"));
    terminal.wait_for("Passphrase: ", HANG_GUARD);
    terminal.type_text("battery staple\n");
    terminal.wait_for_times("Passphrase: ", 2, HANG_GUARD);
    terminal.type_text("correct horse\n");
    terminal.assert_exit(0, HANG_GUARD);
    assert!(terminal.text().contains("wrong passphrase"), "{}", terminal.text());
    assert!(!terminal.raw().contains("horse") && !terminal.raw().contains("staple"), "{}", terminal.raw());
    fixture.token().assert_ok();
    assert_eq!(fixture.rolecall(&["unlock"]).assert_ok().stdout, "the agent is not locked\n");
    assert_eq!(fixture.assume_role_calls(), 2);
}

#[test]
fn unlock_interrupted_restores_the_terminal() {
    let fixture = Fixture::with_passphrase();
    fixture.rolecall(&["lock"]).assert_ok();
    for signal in ["key", "INT", "TERM"] {
        let script = "stty -a >before; rolecall unlock & wait $! ; :";
        let script = if signal == "key" {
            "stty -a >before; rolecall unlock; echo \"ended $?\"; stty -a >after"
        } else {
            script
        };
        if signal == "key" {
            let terminal = fixture
                .sandbox
                .terminal(fixture.sandbox.command("bash").args(["-c", &format!("trap : INT; {script}")]));
            terminal.wait_for("Passphrase: ", HANG_GUARD);
            terminal.type_text("corr");
            terminal.interrupt();
            terminal.wait_for("ended 130", HANG_GUARD);
            terminal.wait_exit(HANG_GUARD);
        } else {
            let script =
                "stty -a >before; (sh -c 'echo $$ >pid; exec rolecall unlock'); echo \"ended $?\"; stty -a >after";
            let terminal = fixture
                .sandbox
                .terminal(fixture.sandbox.command("bash").args(["-c", &format!("trap : INT TERM; {script}")]));
            terminal.wait_for("Passphrase: ", HANG_GUARD);
            let pid = fs::read_to_string(fixture.sandbox.home().join("pid")).unwrap();
            crate::fixture::kill(signal, pid.trim().parse().unwrap());
            terminal.wait_for(if signal == "INT" { "ended 130" } else { "ended 143" }, HANG_GUARD);
            terminal.wait_exit(HANG_GUARD);
        }
        let settings = |name: &str| fs::read_to_string(fixture.sandbox.home().join(name)).unwrap();
        assert_eq!(settings("before"), settings("after"), "{signal}");
    }
    assert!(fixture.is_locked());
}

#[test]
fn unlock_stopped_and_continued_asks_again() {
    let fixture = Fixture::with_passphrase();
    fixture.rolecall(&["lock"]).assert_ok();
    // `set -m`: the program has its own process group, which Ctrl-Z stops.
    let script =
        "set -m; rolecall unlock; echo \"stopped $?\"; stty -a | grep -o ' echo '; read -r line; fg; echo \"ended $?\"";
    let terminal = fixture.sandbox.terminal(fixture.sandbox.command("bash").args(["-c", script]));
    terminal.wait_for("Passphrase: ", HANG_GUARD);
    terminal.type_text("corr");
    terminal.suspend();
    terminal.wait_for("stopped 148", HANG_GUARD);
    terminal.wait_for(" echo ", HANG_GUARD);
    terminal.type_text("\n");
    terminal.wait_for_times("Passphrase: ", 2, HANG_GUARD);
    terminal.type_text(&format!("{PASSPHRASE}\n"));
    terminal.wait_for("ended 0", HANG_GUARD);
    terminal.wait_exit(HANG_GUARD);
    assert!(!terminal.raw().contains("corr") && !terminal.raw().contains("horse"), "{}", terminal.raw());
    assert!(!fixture.is_locked());
}

/// SIGSTOP cannot be handled: the shell shows the input, and the prompt hides it again when it continues.
#[test]
fn unlock_after_sigstop_hides_the_input_again() {
    let fixture = Fixture::with_passphrase();
    fixture.rolecall(&["lock"]).assert_ok();
    let script = "set -m; sh -c 'echo $$ >pid; exec rolecall unlock'; echo \"stopped $?\"; stty echo; read -r line; fg; \
                  echo \"ended $?\"";
    let terminal = fixture.sandbox.terminal(fixture.sandbox.command("bash").args(["-c", script]));
    terminal.wait_for("Passphrase: ", HANG_GUARD);
    let pid = fs::read_to_string(fixture.sandbox.home().join("pid")).unwrap();
    crate::fixture::kill("STOP", pid.trim().parse().unwrap());
    terminal.wait_for("stopped 147", HANG_GUARD);
    terminal.type_text("\n");
    terminal.wait_for_times("Passphrase: ", 2, HANG_GUARD);
    terminal.type_text(&format!("{PASSPHRASE}\n"));
    terminal.wait_for("ended 0", HANG_GUARD);
    terminal.wait_exit(HANG_GUARD);
    assert!(!terminal.raw().contains("horse"), "{}", terminal.raw());
}

#[test]
fn lock_without_prompt_and_unlock_from_stdin_succeed() {
    let fixture = Fixture::with_passphrase();
    let said = fixture.rolecall(&["lock"]);
    assert!(said.assert_ok().stdout.ends_with("no session is left. Unlock it: rolecall unlock\n"), "{}", said.stdout);
    fixture.rolecall(&["lock"]).assert_ok();
    let line = error_line(&fixture.with_input(&["unlock", "--stdin"], "wrong"), 1);
    assert_eq!(line, "rolecall: wrong passphrase. Try again: rolecall unlock");
    // Without a terminal, the client cannot prompt.
    let line =
        error_line(&fixture.sandbox.run(fixture.sandbox.command("setsid").args(["--wait", "rolecall", "unlock"])), 5);
    assert!(line.contains("no terminal to ask"), "{line}");
    fixture.with_input(&["unlock", "--stdin"], "correct horse\n").assert_ok();
    fixture.token().assert_ok();
    // Change the passphrase.
    let line = error_line(&fixture.with_input(&["lock", "--passphrase", "--stdin"], "wrong\nbattery staple\n"), 1);
    assert!(line.starts_with("rolecall: wrong passphrase"), "{line}");
    fixture.with_input(&["lock", "--passphrase", "--stdin"], "correct horse\nbattery staple\n").assert_ok();
    fixture.rolecall(&["lock"]).assert_ok();
    error_line(&fixture.with_input(&["unlock", "--stdin"], PASSPHRASE), 1);
    fixture.with_input(&["unlock", "--stdin"], "battery staple").assert_ok();
    let kept = fs::read_to_string(fixture.lock_file()).unwrap();
    assert!(!kept.contains("horse") && !kept.contains("staple"), "{kept}");
    let log = fs::read_dir(fixture.sandbox.state_home().join("rolecall")).unwrap();
    for file in log.filter_map(Result::ok).filter(|file| file.path().is_file()) {
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains("horse") && !text.contains("staple"), "{text}");
    }
}

#[test]
fn lock_survives_daemon_kill_and_restart() {
    let fixture = Fixture::with_passphrase();
    fixture.rolecall(&["lock"]).assert_ok();
    let pid = fixture.daemon_pid();
    fixture.rolecall(&["agent", "restart"]).assert_ok();
    assert_eq!((fixture.daemon_pid(), fixture.is_locked()), (pid, true));
    crate::fixture::kill("KILL", pid);
    error_line(&fixture.token(), 5);
    assert!(fixture.daemon_pid() != pid && fixture.is_locked());
    // `--once` runs without a daemon and respects the lock, too.
    let once = fixture.sandbox.run(fixture.sandbox.rolecalld().args(["--once", "token", "prod"]));
    assert_eq!(error_line(&once, 5), "rolecall: prod: the agent is locked. Run: rolecall unlock");
    fixture.with_input(&["unlock", "--stdin"], PASSPHRASE).assert_ok();
    fixture.token().assert_ok();
}

/// Fault matrix row 93.
#[test]
fn lock_on_full_disk_survives_daemon_kill() {
    let fixture = Fixture::configured();
    let Some(disk) = SmallDisk::over(fixture.lock_file().parent().unwrap()) else {
        return skipped("a full file system under the lock file: no tmpfs can be mounted here");
    };
    fixture.token().assert_ok();
    fixture.with_input(&["lock", "--passphrase", "--stdin"], PASSPHRASE).assert_ok();
    disk.fill();
    let said = fixture.rolecall(&["lock"]);
    said.assert_ok();
    assert_eq!(said.stderr, "");
    crate::fixture::kill("KILL", fixture.daemon_pid());
    error_line(&fixture.token(), 5);
    fixture.with_input(&["unlock", "--stdin"], PASSPHRASE).assert_ok();
    crate::fixture::kill("KILL", fixture.daemon_pid());
    fixture.token().assert_ok();
    fixture.rolecall(&["agent", "stop"]).assert_ok();
}

/// Fault matrix row 104.
#[test]
fn unlock_20_wrong_guesses_do_not_block_others() {
    let fixture = Fixture::with_passphrase();
    fixture.rolecall(&["lock"]).assert_ok();
    thread::scope(|scope| {
        let guesses: Vec<_> = (0..20)
            .map(|n| {
                let fixture = &fixture;
                // Each guess comes from its own shell, so the daemon sees different client processes.
                let script = "printf '%s' \"$0\" | rolecall unlock --stdin; exit $?";
                scope.spawn(move || {
                    let mut shell = fixture.sandbox.command("sh");
                    fixture.sandbox.run(shell.args(["-c", script, &format!("wrong {n}")]))
                })
            })
            .collect();
        // Other requests are answered while the guesses run. A client that waited for its deadline would exit with 3.
        for _ in 0..10 {
            error_line(&fixture.token(), 5);
            assert!(fixture.is_locked());
        }
        let lines: Vec<_> = guesses.into_iter().map(|guess| error_line(&guess.join().unwrap(), 1)).collect();
        let wrong = lines.iter().filter(|line| line.starts_with("rolecall: wrong passphrase")).count();
        let busy = lines.iter().filter(|line| line.contains("too many passphrase attempts")).count();
        assert!(wrong >= 1 && wrong + busy == 20, "{lines:#?}");
    });
    fixture.with_input(&["unlock", "--stdin"], PASSPHRASE).assert_ok();
    fixture.token().assert_ok();
}

#[test]
fn lock_timers_without_passphrase_warn_in_status() {
    let fixture = Fixture::configured();
    let config = fs::read_to_string(fixture.config_path()).unwrap();
    fixture.write_config(&format!("{config}\n[lock]\nidle = \"30min\"\n"));
    fixture.token().assert_ok();
    let status = fixture.rolecall(&["status"]).stdout;
    assert!(status.starts_with("! [lock] in the configuration has no effect"), "{status}");
    assert!(status.contains("rolecall lock --passphrase"), "{status}");
    fixture.with_input(&["lock", "--passphrase", "--stdin"], PASSPHRASE).assert_ok();
    assert!(!fixture.rolecall(&["status"]).stdout.contains("[lock]"));
    assert!(fixture.rolecall(&["agent", "status"]).stdout.contains("unlocked; locks in "));
}

/// Returns all writable memory of the process. `None` without permission to read it.
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

/// Fault matrix row 48.
#[test]
fn lock_wipes_secrets_from_memory() {
    let fixture = Fixture::configured();
    fixture.sandbox.register_secret("a passphrase", PASSPHRASE);
    fixture.token().assert_ok();
    fixture.with_input(&["lock", "--passphrase", "--stdin"], PASSPHRASE).assert_ok();
    for _ in 0..10 {
        fixture.rolecall(&["refresh", "prod"]).assert_ok();
        fixture.token().assert_ok();
    }
    let pid = fixture.daemon_pid();
    let Some(before) = memory(pid) else { return skipped("memory: only root may look at it") };
    let found = fixture.sandbox.secrets_in(&before);
    assert!(found.contains(&"a secret access key") && found.contains(&"a session token"), "{found:?}");
    fixture.rolecall(&["lock"]).assert_ok();
    assert_eq!(fixture.sandbox.secrets_in(&memory(pid).unwrap()), Vec::<&str>::new());
    fixture.with_input(&["unlock", "--stdin"], PASSPHRASE).assert_ok();
    fixture.token().assert_ok();
    fixture.rolecall(&["lock"]).assert_ok();
    assert_eq!(fixture.sandbox.secrets_in(&memory(pid).unwrap()), Vec::<&str>::new());
}

/// Fault matrix row 49.
#[test]
fn removed_profile_leaves_no_secret_in_memory() {
    let fixture = Fixture::configured();
    for _ in 0..10 {
        fixture.token().assert_ok();
        fixture.rolecall(&["refresh", "prod"]).assert_ok();
    }
    let pid = fixture.daemon_pid();
    let Some(before) = memory(pid) else { return skipped("memory: only root may look at it") };
    assert!(fixture.sandbox.secrets_in(&before).contains(&"a session token"));
    fixture.rolecall(&["remove", "prod"]).assert_ok();
    let found = fixture.sandbox.secrets_in(&memory(pid).unwrap());
    assert!(!found.iter().any(|kind| kind.contains("session")), "{found:?}");
}

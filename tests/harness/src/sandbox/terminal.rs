//! A terminal for one program, as a person sits at it: what it shows can be waited for, and keys can be pressed.

use std::io::{self, Read, Write as _};
use std::num::NonZero;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pty_process::Size;
use pty_process::blocking::{Command as PtyCommand, Pty};
use rustix::process::Signal;

use super::output::text;
use super::process::ChildProcess;
use super::signals;

/// Rows and columns at first.
const SIZE: (u16, u16) = (24, 80);

/// What Ctrl-C sends: the terminal turns it into SIGINT for whoever is in the foreground.
const CTRL_C: &[u8] = b"\x03";

/// A program on a pseudo-terminal of its own: it leads a session, and the terminal is its controlling one, so that
/// `/dev/tty` is this terminal and Ctrl-C interrupts it. Dropping this kills it.
///
/// All of stdin, stdout and stderr are the terminal; to have one of them elsewhere, run a shell that redirects it.
#[derive(Debug)]
pub struct Terminal {
    process: ChildProcess,
    pty: Arc<Keyboard>,
    size: Mutex<(u16, u16)>,
    command: String,
}

/// The end of the terminal that the person is at.
struct Keyboard(Pty);

/// The same end, for the thread that reads it.
struct Reader(Arc<Keyboard>);

impl Terminal {
    /// Starts the program. `TERM` is `xterm-256color` unless the command sets it. The command is used up.
    #[track_caller]
    pub(crate) fn spawn(command: &mut Command) -> Self {
        signals::reset_in_children();
        let line = format!("{command:?}");
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm-256color");
        }
        let command = std::mem::replace(command, Command::new("used up"));
        let (pty, inner) = pty_process::blocking::open().expect("the system has a pseudo-terminal left");
        pty.resize(Size::new(SIZE.0, SIZE.1)).expect("a terminal can be resized");
        let child = match PtyCommand::from(command).spawn(inner) {
            Ok(child) => child,
            Err(error) => panic!("cannot start {line}: {error}"),
        };
        let pty = Arc::new(Keyboard(pty));
        let process = ChildProcess::watch(child, Reader(Arc::clone(&pty)), io::empty());
        Self { process, pty, size: Mutex::new(SIZE), command: line }
    }

    /// The program's process id, which is that of its session and of its group as well.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Makes the terminal that large; the program is told by SIGWINCH.
    pub fn resize(&self, rows: u16, columns: u16) {
        self.pty.0.resize(Size::new(rows, columns)).expect("a terminal can be resized");
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = (rows, columns);
    }

    /// Presses keys. Enter is `\r` or `\n`.
    #[track_caller]
    pub fn type_text(&self, keys: &str) {
        self.press(keys.as_bytes());
    }

    /// Presses Ctrl-C.
    #[track_caller]
    pub fn interrupt(&self) {
        self.press(CTRL_C);
    }

    #[track_caller]
    fn press(&self, keys: &[u8]) {
        if let Err(error) = (&self.pty.0).write_all(keys) {
            panic!("nobody is at the terminal ({error}): {}", self.report());
        }
    }

    /// Waits until the terminal has got `wanted`, with the escape sequences or without them. Panics, with what it has got,
    /// if that takes longer than `limit` of real time or cannot come any more.
    #[track_caller]
    pub fn wait_for(&self, wanted: &str, limit: Duration) {
        self.wait_for_times(wanted, 1, limit);
    }

    /// As [`Terminal::wait_for`], until it has come that often.
    #[track_caller]
    pub fn wait_for_times(&self, wanted: &str, times: usize, limit: Duration) {
        let has = |bytes: &[u8]| {
            let raw = text(bytes);
            plain(&raw).matches(wanted).count() >= times || raw.matches(wanted).count() >= times
        };
        self.process.wait_until(limit, |state| has(&state.stdout.bytes) || state.stdout.ended);
        let found = has(&self.process.state().stdout.bytes);
        assert!(found, "{wanted:?} has not come {times} times within {limit:?}: {}", self.report());
    }

    /// Waits until what the terminal shows is as `is_shown` wants it: for what is drawn over. Panics, with what it shows,
    /// if that takes longer than `limit` of real time or cannot come any more.
    #[track_caller]
    pub fn wait_screen(&self, limit: Duration, is_shown: impl Fn(&str) -> bool) {
        let size = self.size();
        let shown = |bytes: &[u8]| is_shown(&draw(bytes, size));
        self.process.wait_until(limit, |state| shown(&state.stdout.bytes) || state.stdout.ended);
        let found = shown(&self.process.state().stdout.bytes);
        assert!(found, "the terminal does not show what it should within {limit:?}: {}", self.report());
    }

    /// Everything that the terminal has got, without escape sequences.
    pub fn said(&self) -> String {
        plain(&self.raw())
    }

    /// Everything that the terminal has got, as it came.
    pub fn raw(&self) -> String {
        text(&self.process.state().stdout.bytes)
    }

    /// What the terminal shows now: its rows, without the blanks at their ends.
    pub fn screen(&self) -> String {
        draw(&self.process.state().stdout.bytes, self.size())
    }

    /// Whether the program has not ended yet.
    pub fn is_running(&self) -> bool {
        self.process.state().status.is_none()
    }

    /// Waits for the program's end. Panics, with what the terminal has got, if that takes longer than `limit` of real
    /// time.
    #[track_caller]
    pub fn wait_exit(&self, limit: Duration) -> ExitStatus {
        let ended = self.process.wait_until(limit, |state| state.status.is_some());
        assert!(ended, "no end within {limit:?}: {}", self.report());
        // Its last words may still be on their way; something that it left behind may hold the terminal for longer.
        self.process.wait_until(Duration::from_secs(2), |state| state.stdout.ended);
        self.process.state().status.expect("it has ended")
    }

    /// As [`Terminal::wait_exit`], and panics unless it has ended with this code.
    #[track_caller]
    pub fn assert_exit(&self, code: i32, limit: Duration) {
        let status = self.wait_exit(limit);
        assert!(status.code() == Some(code), "expected exit {code}, got {}", self.report());
    }

    /// SIGTERM, to the program alone.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    fn size(&self) -> (u16, u16) {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self) -> String {
        let status = self.process.state().status;
        let (command, raw, screen) = (&self.command, self.raw(), self.screen());
        format!("{status:?}: {command}\n--- the terminal got\n{raw:?}\n--- it shows\n{screen}\n---")
    }
}

impl Read for Reader {
    /// On Linux the end is an error (EIO): nobody has the other end open any more.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.0.0).read(buffer)
    }
}

impl std::fmt::Debug for Keyboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyboard")
    }
}

fn plain(raw: &str) -> String {
    anstream::adapter::strip_str(raw).to_string()
}

fn draw(bytes: &[u8], (rows, columns): (u16, u16)) -> String {
    let at_least_one = |count| NonZero::new(count).unwrap_or(NonZero::<u16>::MIN);
    let mut screen = vt100::Parser::new(at_least_one(rows), at_least_one(columns), 0);
    screen.process(bytes);
    let contents = screen.screen().contents();
    contents.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::Sandbox;
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(sandbox: &Sandbox, script: &str) -> Terminal {
        sandbox.terminal(sandbox.command("sh").args(["-c", script]))
    }

    #[test]
    fn it_is_the_controlling_terminal_of_a_session() {
        let sandbox = Sandbox::new();
        let terminal = shell(
            &sandbox,
            r#"[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo "three"; stty size; echo "by tty" >/dev/tty; echo "$TERM $$"
               read -r line </dev/tty && echo "got <$line>""#,
        );
        terminal.wait_for(&format!("three\r\n24 80\r\nby tty\r\nxterm-256color {}\r\n", terminal.pid()), SOON);
        assert!(terminal.is_running());
        terminal.type_text("hello\n");
        terminal.assert_exit(0, SOON);
        // The terminal shows what is typed, and what is said to it.
        assert!(terminal.screen().ends_with("hello\ngot <hello>"), "{}", terminal.screen());
    }

    #[test]
    fn what_is_typed_without_echo_is_not_shown() {
        let sandbox = Sandbox::new();
        let terminal =
            shell(&sandbox, r#"stty -echo; printf "Secret: "; read -r s; stty echo; echo; echo "${#s} characters""#);
        terminal.wait_for("Secret: ", SOON);
        terminal.type_text("hunter2\n");
        terminal.assert_exit(0, SOON);
        assert_eq!(terminal.screen(), "Secret:\n7 characters");
        assert!(!terminal.raw().contains("hunter2"), "{}", terminal.raw());
    }

    #[test]
    fn ctrl_c_interrupts_whoever_is_in_the_foreground() {
        let sandbox = Sandbox::new();
        let terminal = shell(&sandbox, r"trap 'echo interrupted; exit 7' INT; echo ready; while :; do read -r _; done");
        terminal.wait_for("ready", SOON);
        terminal.interrupt();
        terminal.assert_exit(7, SOON);
        assert!(terminal.said().contains("interrupted"), "{}", terminal.said());
    }

    #[test]
    fn what_was_drawn_over_is_gone_from_the_screen_and_colours_are_not_words() {
        let sandbox = Sandbox::new();
        let terminal = shell(
            &sandbox,
            r"printf 'waiting...\r\033[Kd\033[32mone\033[0m\n'; read -r _; stty size; printf '\033[2J\033[Hlast'; read -r _",
        );
        terminal.wait_for("done\r\n", SOON);
        terminal.wait_for("\u{1b}[32mone", SOON);
        assert_eq!((terminal.screen().as_str(), terminal.said().contains("waiting...")), ("done", true));
        terminal.resize(5, 40);
        terminal.type_text("\n");
        terminal.wait_for("5 40", SOON);
        terminal.wait_screen(SOON, |screen| screen == "last");
        assert!(std::panic::catch_unwind(|| terminal.wait_screen(Duration::from_millis(50), str::is_empty)).is_err());
    }

    #[test]
    fn a_program_that_waits_for_ever_is_killed_and_words_that_never_come_are_told() {
        let sandbox = Sandbox::new();
        let terminal = shell(&sandbox, "echo here; cat");
        terminal.wait_for("here", SOON);
        let wait = std::panic::AssertUnwindSafe(|| terminal.wait_for("never", Duration::from_millis(50)));
        assert!(std::panic::catch_unwind(wait).is_err());
        let pid = terminal.pid();
        drop(terminal);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
        // What has ended says nothing any more, and nobody waits for it.
        let terminal = shell(&sandbox, "exit 3");
        terminal.assert_exit(3, SOON);
        let wait = std::panic::AssertUnwindSafe(|| terminal.wait_for("never", Duration::from_mins(1)));
        assert!(std::panic::catch_unwind(wait).is_err());
    }
}

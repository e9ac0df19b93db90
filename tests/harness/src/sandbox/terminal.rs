//! A terminal for one program: a test waits for its output and types input.

use std::io::{self, Read, Write as _};
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pty_process::Size;
use pty_process::blocking::{Command as PtyCommand, Pty};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::output::text;
use super::process::ChildProcess;
use super::signals;

/// Initial rows and columns.
const SIZE: (u16, u16) = (24, 80);

/// The byte of Ctrl-C. The terminal turns it into SIGINT for its foreground process group.
const CTRL_C: &[u8] = b"\x03";

/// The byte of Ctrl-Z. The terminal turns it into SIGTSTP for its foreground process group.
const CTRL_Z: &[u8] = b"\x1a";

/// A program on a pseudo-terminal. It leads a session whose controlling terminal this is, so `/dev/tty` is this
/// terminal and Ctrl-C interrupts the program. Dropping this kills it.
///
/// stdin, stdout and stderr are the terminal. To have one of them elsewhere, run a shell that redirects it.
#[derive(Debug)]
pub struct Terminal {
    process: ChildProcess,
    pty: Arc<ControllingSide>,
    size: Mutex<(u16, u16)>,
    command: String,
}

/// The controlling side of the pseudo-terminal.
struct ControllingSide(Pty);

/// The controlling side, for the thread that reads it.
struct Reader(Arc<ControllingSide>);

impl Terminal {
    /// Starts the program. `TERM` is `xterm-256color` unless the command sets it. Leaves a placeholder in `command`.
    #[track_caller]
    pub(crate) fn spawn(command: &mut Command) -> Self {
        signals::reset_in_children();
        let line = format!("{command:?}");
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm-256color");
        }
        let command = std::mem::replace(command, Command::new("placeholder"));
        let (pty, inner) = pty_process::blocking::open().expect("the system has a pseudo-terminal left");
        pty.resize(Size::new(SIZE.0, SIZE.1)).expect("a terminal can be resized");
        let child = match PtyCommand::from(command).spawn(inner) {
            Ok(child) => child,
            Err(error) => panic!("cannot start {line}: {error}"),
        };
        let pty = Arc::new(ControllingSide(pty));
        let process = ChildProcess::watch(child, Reader(Arc::clone(&pty)));
        Self { process, pty, size: Mutex::new(SIZE), command: line }
    }

    /// Returns the process id of the program, which is also the id of its session and process group.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Resizes the terminal; the program gets SIGWINCH.
    pub fn resize(&self, rows: u16, columns: u16) {
        self.pty.0.resize(Size::new(rows, columns)).expect("a terminal can be resized");
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = (rows, columns);
    }

    /// Types text. Enter is `\r` or `\n`.
    #[track_caller]
    pub fn type_text(&self, input: &str) {
        self.write(input.as_bytes());
    }

    /// Types Ctrl-C.
    #[track_caller]
    pub fn interrupt(&self) {
        self.write(CTRL_C);
    }

    /// Types Ctrl-Z.
    #[track_caller]
    pub fn suspend(&self) {
        self.write(CTRL_Z);
    }

    #[track_caller]
    fn write(&self, keys: &[u8]) {
        if let Err(error) = (&self.pty.0).write_all(keys) {
            panic!("cannot write to the terminal ({error}): {}", self.report());
        }
    }

    /// Waits until the output contains `wanted`, with or without escape sequences, or where the client has wrapped a line.
    /// Panics with the output after `limit` of real time, or as soon as the terminal is closed.
    #[track_caller]
    pub fn wait_for(&self, wanted: &str, limit: Duration) {
        self.wait_for_times(wanted, 1, limit);
    }

    /// As [`Terminal::wait_for`], until the text has occurred `times` times.
    #[track_caller]
    pub fn wait_for_times(&self, wanted: &str, times: usize, limit: Duration) {
        let has = |bytes: &[u8]| {
            let raw = text(bytes);
            let texts = [plain(&raw), unwrapped(&plain(&raw)), raw];
            texts.iter().any(|text| text.matches(wanted).count() >= times)
        };
        self.process.wait_until(limit, |state| has(&state.stdout.bytes) || state.stdout.ended);
        let found = has(&self.process.state().stdout.bytes);
        assert!(found, "{wanted:?} not found {times} times within {limit:?}: {}", self.report());
    }

    /// Waits until `is_shown` accepts the screen, for text that is overwritten later. Panics with the screen after
    /// `limit` of real time, or as soon as the terminal is closed.
    #[track_caller]
    pub fn wait_screen(&self, limit: Duration, is_shown: impl Fn(&str) -> bool) {
        let size = self.size();
        let shown = |bytes: &[u8]| is_shown(&draw(bytes, size));
        self.process.wait_until(limit, |state| shown(&state.stdout.bytes) || state.stdout.ended);
        let found = shown(&self.process.state().stdout.bytes);
        assert!(found, "the expected screen did not appear within {limit:?}: {}", self.report());
    }

    /// Returns the output without escape sequences.
    pub fn text(&self) -> String {
        plain(&self.raw())
    }

    /// Returns the output without escape sequences and without the line breaks that the client adds where a line is full.
    pub fn unwrapped(&self) -> String {
        unwrapped(&self.text())
    }

    /// Returns the output with escape sequences.
    pub fn raw(&self) -> String {
        text(&self.process.state().stdout.bytes)
    }

    /// Returns the rows of the screen, without trailing blanks.
    pub fn screen(&self) -> String {
        draw(&self.process.state().stdout.bytes, self.size())
    }

    /// Returns whether the program is running.
    pub fn is_running(&self) -> bool {
        self.process.state().status.is_none()
    }

    /// Waits for the end of the program and for all that it has written. A process that it left in the background may write
    /// more. Panics with the output after `limit` of real time.
    #[track_caller]
    pub fn wait_exit(&self, limit: Duration) -> ExitStatus {
        let ended = self.process.wait_until(limit, |state| state.status.is_some());
        assert!(ended, "still running after {limit:?}: {}", self.report());
        let is_drained = self.process.wait_until(limit, |state| state.stdout.ended || !self.pty.has_output());
        assert!(is_drained, "output is left in the terminal after {limit:?}: {}", self.report());
        self.process.state().status.expect("the program has ended")
    }

    /// As [`Terminal::wait_exit`], and panics unless the exit code is `code`.
    #[track_caller]
    pub fn assert_exit(&self, code: i32, limit: Duration) {
        let status = self.wait_exit(limit);
        assert!(status.code() == Some(code), "expected exit {code}, got {}", self.report());
    }

    /// Sends SIGTERM to the program only.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    fn size(&self) -> (u16, u16) {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self) -> String {
        let status = self.process.state().status;
        let (command, raw, screen) = (&self.command, self.raw(), self.screen());
        format!("{status:?}: {command}\n--- output\n{raw:?}\n--- screen\n{screen}\n---")
    }
}

impl ControllingSide {
    /// Whether the terminal has output that is not read yet.
    fn has_output(&self) -> bool {
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec::default())).is_ok() && polled[0].revents().contains(PollFlags::IN)
    }
}

impl Read for Reader {
    /// On Linux, EIO marks the end: no process has the terminal open any longer. Linux looks for output first and whether
    /// the terminal is closed afterwards, so output that came in between is found by a second call only.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.0.0).read(buffer).or_else(|_| (&self.0.0).read(buffer))
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl std::fmt::Debug for ControllingSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ControllingSide")
    }
}

/// Joins the lines that the client has wrapped: it indents the rest of a line.
fn unwrapped(text: &str) -> String {
    text.replace("\r\n", "\n").replace("\n  ", " ")
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
    use rustix::process::{Pid, kill_process};

    use super::super::Sandbox;
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(sandbox: &Sandbox, script: &str) -> Terminal {
        sandbox.terminal(sandbox.command("sh").args(["-c", script]))
    }

    #[test]
    fn terminal_started_controls_a_session() {
        let sandbox = Sandbox::new();
        let terminal = shell(
            &sandbox,
            r#"[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo "three"; stty size; echo "by tty" >/dev/tty; echo "$TERM $$"
               read -r line </dev/tty && echo "got <$line>""#,
        );
        terminal.wait_for(&format!("three\r\n24 80\r\nby tty\r\nxterm-256color {}\r\n", terminal.pid()), LIMIT);
        assert!(terminal.is_running());
        terminal.type_text("hello\n");
        terminal.assert_exit(0, LIMIT);
        // The terminal shows typed input too.
        assert!(terminal.screen().ends_with("hello\ngot <hello>"), "{}", terminal.screen());
    }

    #[test]
    fn terminal_echo_off_hides_input() {
        let sandbox = Sandbox::new();
        let terminal =
            shell(&sandbox, r#"stty -echo; printf "Secret: "; read -r s; stty echo; echo; echo "${#s} characters""#);
        terminal.wait_for("Secret: ", LIMIT);
        terminal.type_text("hunter2\n");
        terminal.assert_exit(0, LIMIT);
        assert_eq!(terminal.screen(), "Secret:\n7 characters");
        assert!(!terminal.raw().contains("hunter2"), "{}", terminal.raw());
    }

    /// A process in the background keeps the terminal open.
    #[test]
    fn exit_waits_for_all_that_was_written() {
        let sandbox = Sandbox::new();
        let terminal = shell(&sandbox, "trap '' HUP; sleep 600 & echo $!; seq 2000");
        terminal.assert_exit(0, LIMIT);
        let text = terminal.text();
        assert!(text.ends_with("\r\n2000\r\n"), "{text}");
        assert!(!terminal.process.state().stdout.ended);
        let sleep = text.lines().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?)).expect("the shell names it");
        kill_process(sleep, Signal::KILL).unwrap();
        assert!(terminal.process.wait_until(LIMIT, |state| state.stdout.ended));
    }

    #[test]
    fn ctrl_c_interrupts_the_foreground_group() {
        let sandbox = Sandbox::new();
        let terminal = shell(&sandbox, r"trap 'echo interrupted; exit 7' INT; echo ready; while :; do read -r _; done");
        terminal.wait_for("ready", LIMIT);
        terminal.interrupt();
        terminal.assert_exit(7, LIMIT);
        assert!(terminal.text().contains("interrupted"), "{}", terminal.text());
    }

    /// The test runs itself from a shell that ignores these signals, as `nohup` and a non-interactive shell's `&` do.
    #[test]
    fn signals_ignored_on_entry_reset_in_children() {
        let sandbox = Sandbox::new();
        let program = std::env::current_exe().unwrap();
        let script = "trap '' HUP INT QUIT TERM; exec \"$0\" --exact \"$1\"";
        let test = "sandbox::terminal::tests::ctrl_c_interrupts_the_foreground_group";
        let output =
            sandbox.run(sandbox.command("sh").arg("-c").args([script.as_ref(), program.as_os_str(), test.as_ref()]));
        assert!(output.assert_ok().stdout.contains("1 passed"), "{output}");
    }

    #[test]
    fn screen_overwritten_text_gone_colours_stripped() {
        let sandbox = Sandbox::new();
        let terminal = shell(
            &sandbox,
            r"printf 'waiting...\r\033[Kd\033[32mone\033[0m\n'; read -r _; stty size; printf '\033[2J\033[Hlast'; read -r _",
        );
        terminal.wait_for("done\r\n", LIMIT);
        terminal.wait_for("\u{1b}[32mone", LIMIT);
        assert_eq!((terminal.screen().as_str(), terminal.text().contains("waiting...")), ("done", true));
        terminal.resize(5, 40);
        terminal.type_text("\n");
        terminal.wait_for("5 40", LIMIT);
        terminal.wait_screen(LIMIT, |screen| screen == "last");
        assert!(std::panic::catch_unwind(|| terminal.wait_screen(Duration::from_millis(50), str::is_empty)).is_err());
    }

    #[test]
    fn terminal_missing_text_panics_and_drop_kills() {
        let sandbox = Sandbox::new();
        let terminal = shell(&sandbox, "echo here; cat");
        terminal.wait_for("here", LIMIT);
        let wait = std::panic::AssertUnwindSafe(|| terminal.wait_for("never", Duration::from_millis(50)));
        assert!(std::panic::catch_unwind(wait).is_err());
        let pid = terminal.pid();
        drop(terminal);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
        // After the program has ended, waiting fails immediately.
        let terminal = shell(&sandbox, "exit 3");
        terminal.assert_exit(3, LIMIT);
        let wait = std::panic::AssertUnwindSafe(|| terminal.wait_for("never", Duration::from_mins(1)));
        assert!(std::panic::catch_unwind(wait).is_err());
    }
}

//! The person at this terminal.

use std::io::{BufRead, IsTerminal, Read};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use nix::sys::signal::Signal;
use rolecall_protocol::{ErrorBody, ErrorCode, MfaSerial, Secret, SourceName, join_sentences, sanitize_for_terminal};

use super::browser;
use super::flow::{self, Page, Person};
use crate::clock::{self, Deadline};
use crate::environment::Environment;
use crate::error::CliError;
use crate::format_time;
use crate::run::Context;
use crate::terminal::signals;
use crate::terminal::status_line::{HANDED_OVER, Line, Sink};
use crate::terminal::style;
use crate::terminal::style::Screen;
use crate::terminal::tty::{Tty, Typed};

/// How long somebody may take to answer a question.
const PROMPT: Duration = Duration::from_mins(2);
/// How long a program may take that logs in by itself: it waits for a browser as well.
const PROGRAM: Duration = Duration::from_mins(10);
/// How often somebody may type something that is no code.
const MISTYPED: u32 = 3;
/// The most that is read of standard input, in bytes.
const MAX_INPUT: u64 = 256;
/// The digits of a code.
const DIGITS: usize = 6;

/// Where codes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codes {
    /// Somebody types them.
    Terminal,
    /// One, from another program.
    StandardInput,
}

/// The person at this terminal, as far as there is one.
#[derive(Debug)]
pub(crate) struct Desk {
    /// What it is about, for the beginning of a line.
    about: String,
    source: SourceName,
    environment: Environment,
    screen: Screen,
    line: Line,
    tty: Option<Tty>,
    codes: Codes,
    has_browser: bool,
    /// Until when questions are answered, where they share that time.
    until: Option<Deadline>,
    waiting: Option<Waiting>,
    turns: usize,
    /// Whether a code was given already.
    has_given: bool,
}

/// What is waited for in a browser.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    expires: Timestamp,
}

impl Desk {
    /// The person who runs `rolecall login`.
    pub(crate) fn of_command(
        source: &SourceName,
        context: &Context,
        codes: Codes,
        has_browser: bool,
    ) -> Result<Self, CliError> {
        let environment = context.environment.clone();
        let is_live = std::io::stderr().is_terminal() && style::is_smart(&environment);
        let (tty, about) = (Tty::open(), format!("source \"{source}\""));
        let line = Line::new(Sink::StandardError, is_live, tty.clone())?;
        let screen = context.screen;
        let source = source.clone();
        Ok(Self {
            about,
            source,
            environment,
            screen,
            line,
            tty,
            codes,
            has_browser,
            until: None,
            waiting: None,
            turns: 0,
            has_given: false,
        })
    }

    /// The person who runs what has run us as its plugin: everything is said and asked on the terminal.
    pub(crate) fn of_plugin(
        about: &str,
        source: &SourceName,
        tty: Tty,
        environment: Environment,
    ) -> Result<Self, CliError> {
        let line = Line::new(Sink::Terminal(tty.clone()), style::is_smart(&environment), Some(tty.clone()))?;
        let has_browser = browser::is_there(&environment);
        Ok(Self {
            about: about.to_owned(),
            source: source.clone(),
            screen: Screen::detect(&environment),
            environment,
            line,
            tty: Some(tty),
            codes: Codes::Terminal,
            has_browser,
            until: None,
            waiting: None,
            turns: 0,
            has_given: false,
        })
    }

    /// Whether there is a browser to open.
    pub(crate) const fn has_browser(&self) -> bool {
        self.has_browser
    }

    /// Asks for a yes. `None` where nobody answers.
    pub(crate) fn agrees(&self, question: &str, limit: Duration) -> Option<bool> {
        match self.question(question, Deadline::after(limit)) {
            Typed::Line(line) => {
                let line = line.trim().to_ascii_lowercase();
                Some(["", "y", "yes"].contains(&line.as_str()))
            }
            Typed::End => Some(false),
            Typed::Nothing => None,
        }
    }

    /// From now on, questions are answered within the time that somebody has for one.
    pub(crate) fn hurry(&mut self) {
        self.until = Some(Deadline::after(PROMPT));
    }

    /// Says something in a line.
    pub(crate) fn say(&self, text: &str) {
        self.line.say(&format!("rolecall: {}: {}", self.about, sanitize_for_terminal(text)));
    }

    /// What somebody types after a question. The line ends in any case.
    fn question(&self, question: &str, deadline: Deadline) -> Typed {
        let Some(tty) = &self.tty else { return Typed::End };
        let typed = self.line.ask(tty, question, || tty.read_line(deadline));
        if !matches!(typed, Typed::Line(_)) {
            tty.write("\n");
        }
        typed
    }

    fn typed_code(&self, serial: &MfaSerial) -> Result<Secret<String>, CliError> {
        if self.tty.is_none() {
            return Err(self.needs(
                &format!("a code of the MFA device {serial} is needed, and there is no terminal to ask for it on"),
                &format!(
                    "Run it in a terminal, or have a program give the code: rolecall login {} --code-stdin",
                    self.source
                ),
            ));
        }
        let deadline = self.until.unwrap_or_else(|| Deadline::after(PROMPT));
        for _ in 0..MISTYPED {
            // With what is typed shown: it is good once and for half a minute, and a mistyped one costs more than one that
            // is seen. aws-vault does the same.
            let question = format!("Code of the MFA device {}: ", sanitize_for_terminal(serial.as_str()));
            match self.question(&question, deadline) {
                Typed::Line(line) => match shaped(&line) {
                    Some(code) => return Ok(code),
                    None => self.say(&format!("a code has {DIGITS} digits")),
                },
                Typed::End => return Err(self.needs("no code was given", &self.again())),
                Typed::Nothing => {
                    let waited = format!("no code was given within {} s", deadline.limit().as_secs());
                    return Err(self.needs(&waited, &self.again()));
                }
            }
        }
        Err(self.needs("no code was given that could be one", &self.again()))
    }

    fn given_code(&self) -> Result<Secret<String>, CliError> {
        let mut line = String::new();
        let read = std::io::stdin().lock().take(MAX_INPUT).read_line(&mut line);
        read.ok().and_then(|_| shaped(&line)).ok_or_else(|| {
            CliError::failed(
                format!("{}: what came on standard input is no code of {DIGITS} digits", self.about),
                "Have the program print the code alone, on one line",
            )
        })
    }

    fn again(&self) -> String {
        format!("Try again: rolecall login {}", self.source)
    }

    /// A person is needed, and is not there or has not done it.
    fn needs(&self, what: &str, hint: &str) -> CliError {
        ErrorBody::new(ErrorCode::LoginNeeded, format!("{}: {what}", self.about)).hint(hint).into()
    }

    fn child(&self, argv: &[String], shown: &str) -> Result<ExitStatus, CliError> {
        let instead = format!("Run it in a terminal: {shown}");
        let (program, arguments) =
            argv.split_first().ok_or_else(|| self.needs("there is no program to run", &self.again()))?;
        let Some(path) = self.environment.find_program(program) else {
            let missing = format!("{shown} has to be run, and {program} is not on PATH");
            return Err(self.needs(&missing, &format!("Install it, then: rolecall login {}", self.source)));
        };
        let Some(tty) = &self.tty else {
            return Err(self.needs(&format!("{shown} has to be run, and there is no terminal to run it on"), &instead));
        };
        let cannot = |error| self.needs(&format!("cannot run {shown}: {error}"), &instead);
        let mut command = Command::new(path);
        command.args(arguments);
        let stdio = || tty.stdio().map_err(cannot);
        command.stdin(stdio()?).stdout(stdio()?).stderr(stdio()?);
        self.say(&format!("running {shown}"));
        self.line.lend(|| {
            tty.keep_mode(|| {
                let mut child = signals::let_through(HANDED_OVER, || command.spawn()).map_err(cannot)?;
                let deadline = Deadline::after(PROGRAM);
                loop {
                    match child.try_wait().map_err(cannot)? {
                        Some(status) => return Ok(status),
                        None if deadline.sleep(Duration::from_millis(20)) => {}
                        None => {
                            // It is our own child, so this cannot hit anybody else.
                            let _ = child.kill();
                            let _ = child.wait();
                            let late = format!("{shown} has not ended within {} min", PROGRAM.as_secs() / 60);
                            return Err(self.needs(&late, &instead));
                        }
                    }
                }
            })
        })
    }

    /// How the page is told of, and whether a browser was opened for it.
    fn tell(&self, page: &Page) {
        let is_open = self.has_browser && signals::let_through(HANDED_OVER, || browser::open(&page.url));
        let code = page.code.as_deref().map(sanitize_for_terminal);
        let wanted = match (is_open, &code) {
            (true, Some(code)) => format!("your browser opens this page; confirm the code {code} there:"),
            (true, None) => "sign in on the page that your browser opens:".to_owned(),
            (false, Some(code)) => format!("open this page in a browser, and confirm the code {code} there:"),
            (false, None) => "open this page in a browser on this machine, and sign in:".to_owned(),
        };
        let shown = if browser::is_page(&page.url) { page.url.clone() } else { sanitize_for_terminal(&page.url) };
        self.line.say(&format!("rolecall: {}: {wanted}\n  {shown}", self.about));
        if page.joined {
            self.say("this login was begun before, here or elsewhere; whoever confirms it, it is good for all");
        }
        if !self.line.is_live() {
            let end = format_time::moment(clock::now(), page.expires, &TimeZone::system());
            self.say(&format!("waiting for that, until {end}"));
        }
    }
}

impl Person for Desk {
    fn code(&mut self, serial: &MfaSerial, refused: Option<&ErrorBody>) -> Result<Secret<String>, CliError> {
        match (self.codes, refused) {
            (Codes::StandardInput, Some(refused)) => Err(refused.clone().into()),
            (Codes::StandardInput, None) => self.given_code(),
            (Codes::Terminal, refused) => {
                match refused {
                    // Its own advice is to do what is being done.
                    Some(refused) => {
                        let message = sanitize_for_terminal(&refused.message);
                        let told = join_sentences(&message, Some("Wait for the next that the device shows"));
                        self.line.say(&format!("rolecall: {told}"));
                    }
                    None if self.has_given => {
                        self.say("one more code is needed: wait for the next that the device shows");
                    }
                    None => {}
                }
                self.has_given = true;
                self.typed_code(serial)
            }
        }
    }

    fn browse(&mut self, page: &Page) {
        let limit = clock::now() + flow::BROWSER;
        self.waiting = Some(Waiting { expires: page.expires.min(limit) });
        self.tell(page);
        self.wait();
    }

    fn wait(&mut self) {
        let Some(Waiting { expires }) = self.waiting else { return };
        self.turns = self.turns.wrapping_add(1);
        let wheel = if self.screen.unicode { "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" } else { "|/-\\" };
        let mark = wheel.chars().cycle().nth(self.turns % wheel.chars().count()).unwrap_or('-');
        let left = format_time::left(clock::now(), expires);
        self.line.draw(&format!("{mark} waiting for the browser, {left} (Ctrl-C to leave)"));
    }

    fn run(&mut self, argv: &[String]) -> Result<(), CliError> {
        let shown = sanitize_for_terminal(&argv.join(" "));
        let status = self.child(argv, &shown)?;
        if was_interrupted(status) {
            // Ctrl-C was for both.
            signals::obey(Signal::SIGINT);
        }
        if status.success() {
            return Ok(());
        }
        let failed = ErrorBody::new(ErrorCode::LoginFailed, format!("{}: {shown} has failed ({status})", self.about));
        Err(failed.hint("It has said why above").into())
    }

    fn call<T>(&mut self, call: impl FnOnce() -> T) -> T {
        signals::let_through(HANDED_OVER, call)
    }

    fn settle(&mut self) {
        self.waiting = None;
        self.line.clear();
    }
}

/// A code as somebody types it, with blanks in it or around it.
fn shaped(line: &str) -> Option<Secret<String>> {
    let digits: String = line.chars().filter(|c| !c.is_whitespace()).collect();
    let is_code = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    is_code.then(|| Secret::new(digits))
}

fn was_interrupted(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    const BY_SHELLS: i32 = 128 + Signal::SIGINT as i32;
    status.signal() == Some(Signal::SIGINT as i32) || status.code() == Some(BY_SHELLS)
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::LoginRequest;

    use super::*;

    #[test]
    fn a_code_has_six_digits_however_it_is_typed() {
        for good in ["123456", " 123 456 \r", "123456\t"] {
            let request = LoginRequest { code: shaped(good), ..LoginRequest::default() };
            assert!(serde_json::to_string(&request).unwrap().contains(r#""code":"123456""#), "{good:?}");
        }
        for bad in ["", "12345", "1234567", "12345a", "１２３４５６", "-12345"] {
            assert!(shaped(bad).is_none(), "{bad:?}");
        }
    }
}

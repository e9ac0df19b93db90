//! Asks the user at this terminal for what a login needs.

use std::io::IsTerminal;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::Signal;
use rolecall_protocol::{ErrorBody, ErrorCode, MfaSerial, Secret, SourceName, join_sentences, sanitize_for_terminal};

use super::browser;
use super::flow::{self, LoginUi, VerificationPage};
use crate::clock::{self, Deadline};
use crate::environment::Environment;
use crate::error::CliError;
use crate::format_time;
use crate::terminal::prompt;
use crate::terminal::signals::{self, TERMINATION_SIGNALS};
use crate::terminal::status_line::{Sink, StatusLine};
use crate::terminal::style::{self, Screen};
use crate::terminal::tty::{Tty, TypedLine};

/// How long the user may take to answer a question.
const PROMPT_TIMEOUT: Duration = Duration::from_mins(2);
/// How long the user may take to confirm a login.
const CONFIRM_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a login command such as `aws login` may take. It waits for a browser.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(10);
/// How many lines the user may type that are not an MFA code.
const MAX_MISTYPED_CODES: u32 = 3;
/// How often the user is asked whether to log in, until the answer is clear.
const MAX_CONFIRM_QUESTIONS: u32 = 2;
/// The number of digits of an MFA code.
const CODE_DIGITS: usize = 6;

/// Where MFA codes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodeInput {
    /// The user types them.
    Terminal,
    /// A program writes one code to standard input.
    StandardInput,
}

/// The user interface of a login. Questions need a terminal; notes do not.
#[derive(Debug)]
pub(crate) struct Prompter {
    /// What each line is about: a source, or a profile.
    about: String,
    source: SourceName,
    environment: Environment,
    screen: Screen,
    line: StatusLine,
    tty: Option<Tty>,
    codes: CodeInput,
    has_browser: bool,
    /// The deadline of all questions, if they share one.
    prompt_deadline: Option<Deadline>,
    /// When the page that is shown expires.
    page_expires: Option<Timestamp>,
    frames: usize,
    /// Whether a code was asked for before.
    code_was_asked: bool,
    /// An MFA code that the user typed as the answer to the question whether to log in.
    early_code: Option<Secret<String>>,
}

impl Prompter {
    /// Output goes to `sink`. Questions go to the terminal itself. The exec plugin has [`Sink::Terminal`], because its
    /// standard error belongs to kubectl.
    pub(crate) fn new(
        about: String,
        source: &SourceName,
        environment: &Environment,
        sink: Sink,
        codes: CodeInput,
        has_browser: bool,
    ) -> Result<Self, CliError> {
        let (tty, is_terminal) = match &sink {
            Sink::StandardError => (Tty::open(), std::io::stderr().is_terminal()),
            Sink::Terminal(tty) => (Some(tty.clone()), true),
        };
        let is_live = is_terminal && style::supports_cursor_moves(environment);
        Ok(Self {
            about,
            source: source.clone(),
            environment: environment.clone(),
            screen: Screen::detect(environment),
            line: StatusLine::new(sink, is_live, tty.clone())?,
            tty,
            codes,
            has_browser,
            prompt_deadline: None,
            page_expires: None,
            frames: 0,
            code_was_asked: false,
            early_code: None,
        })
    }

    /// Asks whether to log in now, after the daemon's `refusal`. False for a no, for two answers that are neither, and
    /// without an answer in time. An MFA code is a yes, and answers the question for it.
    pub(crate) fn confirm_login(&mut self, refusal: &ErrorBody) -> bool {
        let message = refusal.clone().sanitized().message;
        let question = format!("rolecall: {} ", join_sentences(&message, Some("Log in now? [Y/n]")));
        let deadline = Deadline::after(CONFIRM_TIMEOUT);
        for _ in 0..MAX_CONFIRM_QUESTIONS {
            let TypedLine::Line(line) = self.ask(&question, deadline) else { return false };
            self.early_code = parse_code(&line);
            if self.early_code.is_some() || prompt::is_yes(&line, true) {
                return true;
            }
            if prompt::is_no(&line) {
                return false;
            }
        }
        false
    }

    /// From now on, all questions together have the time of one.
    pub(crate) fn limit_prompt_time(&mut self) {
        self.prompt_deadline = Some(Deadline::after(PROMPT_TIMEOUT));
    }

    /// Prints a text with its subject.
    pub(crate) fn print(&self, text: &str) {
        self.print_note(&format!("{}: {}", self.about, sanitize_for_terminal(text)));
    }

    /// Prints a text, wrapped between words on a terminal.
    fn print_note(&self, text: &str) {
        const LEAD: &str = "rolecall: ";
        let screen = Screen { width: self.line.columns(), ..self.screen };
        self.line.print_line(&screen.wrap((LEAD, LEAD.len()), 2, text, "").join("\n"));
    }

    /// Asks a question and returns the typed line. The cursor is at the start of a line afterwards.
    fn ask(&self, question: &str, deadline: Deadline) -> TypedLine {
        let Some(tty) = &self.tty else { return TypedLine::End };
        let typed = self.line.ask(tty, question, deadline);
        if !matches!(typed, TypedLine::Line(_)) {
            tty.write("\n");
        }
        typed
    }

    fn read_typed_code(&self, serial: &MfaSerial) -> Result<Secret<String>, CliError> {
        if self.tty.is_none() {
            return Err(self.login_needed(
                &format!("an MFA code of {serial} is needed, and there is no terminal to ask for it"),
                &format!(
                    "Run it in a terminal, or have a program give the code: rolecall login {} --code-stdin",
                    self.source
                ),
            ));
        }
        let deadline = self.prompt_deadline.unwrap_or_else(|| Deadline::after(PROMPT_TIMEOUT));
        for _ in 0..MAX_MISTYPED_CODES {
            // The typed code is visible: it is valid once and for 30 s, and visible typing errors can be corrected.
            // aws-vault shows it too.
            let question = format!("MFA code of {}: ", sanitize_for_terminal(serial.as_str()));
            match self.ask(&question, deadline) {
                TypedLine::Line(line) => match parse_code(&line) {
                    Some(code) => return Ok(code),
                    None => self.print(&format!("an MFA code has {CODE_DIGITS} digits")),
                },
                TypedLine::End => return Err(self.login_needed("no MFA code was given", &self.retry_hint())),
                TypedLine::Timeout => {
                    let waited = format!("no MFA code was given within {} s", deadline.limit().as_secs());
                    return Err(self.login_needed(&waited, &self.retry_hint()));
                }
            }
        }
        Err(self.login_needed("no valid MFA code was given", &self.retry_hint()))
    }

    fn read_piped_code(&self) -> Result<Secret<String>, CliError> {
        let line = prompt::read_stdin_line().ok().flatten();
        line.and_then(|line| parse_code(line.expose())).ok_or_else(|| {
            CliError::failed(
                format!("{}: standard input is not an MFA code of {CODE_DIGITS} digits", self.about),
                "Make the program print only the code, on one line",
            )
        })
    }

    fn retry_hint(&self) -> String {
        format!("Try again: rolecall login {}", self.source)
    }

    /// The error that a login is still needed.
    fn login_needed(&self, what: &str, hint: &str) -> CliError {
        ErrorBody::new(ErrorCode::LoginNeeded, format!("{}: {what}", self.about)).hint(hint).into()
    }

    fn run_child(&self, argv: &[String], shown: &str) -> Result<ExitStatus, CliError> {
        let instead = format!("Run it in a terminal: {shown}");
        let (program, arguments) =
            argv.split_first().ok_or_else(|| self.login_needed("there is no program to run", &self.retry_hint()))?;
        let Some(path) = self.environment.find_program(program) else {
            let missing = format!("cannot run {shown}: {program} is not on PATH");
            return Err(self.login_needed(&missing, &format!("Install it, then: rolecall login {}", self.source)));
        };
        let Some(tty) = &self.tty else {
            return Err(self.login_needed(&format!("cannot run {shown}: there is no terminal"), &instead));
        };
        let cannot = |error| self.login_needed(&format!("cannot run {shown}: {error}"), &instead);
        let mut command = Command::new(path);
        command.args(arguments);
        let stdio = || tty.stdio().map_err(cannot);
        command.stdin(stdio()?).stdout(stdio()?).stderr(stdio()?);
        self.print(&format!("running {shown}"));
        self.line.hand_to_child(|| {
            tty.with_restored_mode(|| {
                let mut child =
                    signals::with_default_action(TERMINATION_SIGNALS, || command.spawn()).map_err(cannot)?;
                let status = Deadline::after(COMMAND_TIMEOUT).wait_for(&mut child).map_err(cannot)?;
                status.ok_or_else(|| {
                    let late = format!("{shown} did not end within {} min", COMMAND_TIMEOUT.as_secs() / 60);
                    self.login_needed(&late, &instead)
                })
            })
        })
    }

    /// Opens the page in a browser if there is one, and prints its address.
    fn print_page(&self, page: &VerificationPage) {
        let is_open =
            self.has_browser && signals::with_default_action(TERMINATION_SIGNALS, || browser::open(&page.url));
        let code = page.code.as_deref().map(sanitize_for_terminal);
        let wanted = match (is_open, &code) {
            (true, Some(code)) => format!("your browser opens this page; confirm the code {code} there:"),
            (true, None) => "sign in on the page that your browser opens:".to_owned(),
            (false, Some(code)) => format!("open this page in a browser, and confirm the code {code} there:"),
            (false, None) => "open this page in a browser on this machine, and sign in:".to_owned(),
        };
        let shown = if browser::is_web_page(&page.url) { page.url.clone() } else { sanitize_for_terminal(&page.url) };
        self.print_note(&format!("{}: {wanted}", self.about));
        // A line of its own, which no wrapping breaks, so that it can be copied.
        self.line.print_line(&format!("  {shown}"));
        if page.joined {
            self.print("this login was started earlier, here or in another terminal; confirm it once for all");
        }
        if !self.line.is_live() {
            let end = format_time::short_time(clock::now(), page.expires, &format_time::local_zone());
            self.print(&format!("waiting for that, until {end}"));
        }
    }
}

impl LoginUi for Prompter {
    fn ask_code(&mut self, serial: &MfaSerial, refused: Option<&ErrorBody>) -> Result<Secret<String>, CliError> {
        match (self.codes, refused) {
            (CodeInput::StandardInput, Some(refused)) => Err(refused.clone().into()),
            (CodeInput::StandardInput, None) => self.read_piped_code(),
            (CodeInput::Terminal, refused) => {
                if let Some(code) = self.early_code.take() {
                    self.code_was_asked = true;
                    return Ok(code);
                }
                match refused {
                    // The daemon's hint is to log in, which is being done. So it is not shown.
                    Some(refused) => {
                        let message = sanitize_for_terminal(&refused.message);
                        let result_text = join_sentences(&message, Some("Wait for the next code on the device"));
                        self.print_note(&result_text);
                    }
                    None if self.code_was_asked => {
                        self.print("another MFA code is needed: wait for the next one on the device");
                    }
                    None => {}
                }
                self.code_was_asked = true;
                self.read_typed_code(serial)
            }
        }
    }

    fn show_page(&mut self, page: &VerificationPage) {
        let limit = clock::now() + flow::BROWSER_TIMEOUT;
        self.page_expires = Some(page.expires.min(limit));
        self.print_page(page);
        self.show_waiting();
    }

    fn show_waiting(&mut self) {
        let Some(expires) = self.page_expires else { return };
        self.frames = self.frames.wrapping_add(1);
        let wheel = if self.screen.unicode { "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" } else { "|/-\\" };
        let mark = wheel.chars().cycle().nth(self.frames % wheel.chars().count()).unwrap_or('-');
        let left = format_time::time_left(clock::now(), expires);
        self.line.draw(&format!("{mark} waiting for the browser, {left} (Ctrl-C to cancel)"));
    }

    fn run_command(&mut self, argv: &[String]) -> Result<(), CliError> {
        let shown = sanitize_for_terminal(&argv.join(" "));
        let status = self.run_child(argv, &shown)?;
        if was_interrupted(status) {
            // Ctrl-C was for both programs.
            signals::raise_default(Signal::SIGINT);
        }
        if status.success() {
            return Ok(());
        }
        let failed = ErrorBody::new(ErrorCode::LoginFailed, format!("{}: {shown} failed ({status})", self.about));
        Err(failed.hint("See its output above").into())
    }

    fn interruptible<T>(&mut self, call: impl FnOnce() -> T) -> T {
        signals::with_default_action(TERMINATION_SIGNALS, call)
    }

    fn clear(&mut self) {
        self.page_expires = None;
        self.line.clear();
    }
}

/// Parses a typed MFA code. Ignores white space.
fn parse_code(line: &str) -> Option<Secret<String>> {
    let digits: String = line.chars().filter(|c| !c.is_whitespace()).collect();
    let is_code = digits.len() == CODE_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    is_code.then(|| Secret::new(digits))
}

fn was_interrupted(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    const SHELL_SIGINT_CODE: i32 = 128 + Signal::SIGINT as i32;
    status.signal() == Some(Signal::SIGINT as i32) || status.code() == Some(SHELL_SIGINT_CODE)
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::LoginRequest;

    use super::*;

    #[test]
    fn parse_code_six_digits_with_blanks() {
        for good in ["123456", " 123 456 \r", "123456\t"] {
            let request = LoginRequest { code: parse_code(good), ..LoginRequest::default() };
            assert!(serde_json::to_string(&request).unwrap().contains(r#""code":"123456""#), "{good:?}");
        }
        for bad in ["", "12345", "1234567", "12345a", "１２３４５６", "-12345"] {
            assert!(parse_code(bad).is_none(), "{bad:?}");
        }
    }
}

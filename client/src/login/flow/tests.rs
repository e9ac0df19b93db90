//! Logins with a fake daemon and a fake user interface.

use super::*;
use crate::daemon::call::tests::FakeServer;

const SERIAL: &str = "arn:aws:iam::111122223333:mfa/dev";

/// A user interface that gives these codes and records the calls.
#[derive(Default)]
struct Scripted {
    codes: Vec<&'static str>,
    happened: Vec<String>,
    program_fails: bool,
}

impl LoginUi for Scripted {
    fn ask_code(&mut self, serial: &MfaSerial, refused: Option<&ErrorBody>) -> Result<Secret<String>, CliError> {
        self.happened.push(format!("code of {serial}, {}", refused.map_or("first", |body| body.message.as_str())));
        let code = self.codes.pop().ok_or_else(|| CliError::silent(5))?;
        Ok(code.to_owned().into())
    }

    fn show_page(&mut self, page: &VerificationPage) {
        self.happened.push(format!("{} {:?} {}", page.url, page.code, page.joined));
    }

    fn show_waiting(&mut self) {}

    fn run_command(&mut self, argv: &[String]) -> Result<(), CliError> {
        self.happened.push(argv.join(" "));
        if self.program_fails { Err(CliError::silent(1)) } else { Ok(()) }
    }

    fn interruptible<T>(&mut self, call: impl FnOnce() -> T) -> T {
        call()
    }

    fn clear(&mut self) {
        self.happened.push("settled".to_owned());
    }
}

const DONE: &str = r#"{"step":"done","source":{"name":"work","kind":"AWS profile work"},"arn":"arn:aws:iam::1:user/dev","changed":true}"#;

fn code_step(refused: Option<&str>) -> String {
    let refused = refused.map(|message| format!(r#","refused":{{"code":"login_failed","message":"{message}"}}"#));
    format!(r#"{{"step":"code","serial":"{SERIAL}"{}}}"#, refused.unwrap_or_default())
}

/// The result of a login; an error has its exit code and its line.
type LoginResult = Result<LoginOutcome, (u8, String)>;

/// Logs in to a daemon that responds to each request with these lines. Returns the result, the calls of the user interface,
/// and the bodies of the requests.
fn run_login(answers: &[&[&str]], mut ui: Scripted, renew: bool) -> (LoginResult, Vec<String>, Vec<String>) {
    let answer = |lines: &&[&str]| format!("HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n{}\n", lines.join("\n"));
    let answers: Vec<String> = answers.iter().map(answer).collect();
    let mut fake = FakeServer::answering(&answers.iter().map(String::as_str).collect::<Vec<_>>());
    let options = LoginOptions { flow: LoginFlow::Browser, renew, draft: None };
    let done = log_in(&fake.daemon, &"work".parse().unwrap(), options, &mut ui);
    let bodies = fake.requests().iter().map(|request| request.split_once("\r\n\r\n").unwrap().1.to_owned()).collect();
    (done.map_err(|error| (error.code(), error.to_string())), ui.happened, bodies)
}

#[test]
fn log_in_valid_login_needs_no_step() {
    let (done, happened, bodies) = run_login(&[&["", DONE]], Scripted::default(), false);
    assert_eq!(done.unwrap().arn.as_deref(), Some("arn:aws:iam::1:user/dev"));
    assert_eq!(
        (happened, bodies),
        (vec!["settled".to_owned()], vec![r#"{"flow":"browser","renew":false}"#.to_owned()])
    );
}

#[test]
fn log_in_three_refused_codes_fail() {
    let ui = || Scripted { codes: vec!["333333", "222222", "111111"], ..Scripted::default() };
    let (first, again) = (code_step(None), code_step(Some("that code was used already")));
    let (done, happened, bodies) = run_login(&[&[&first], &[&again], &[DONE]], ui(), true);
    assert!(done.unwrap().changed);
    assert_eq!(happened[1], format!("code of {SERIAL}, first"));
    assert_eq!(happened[3], format!("code of {SERIAL}, that code was used already"));
    assert_eq!(bodies[2], r#"{"code":"222222","flow":"browser","renew":true}"#);

    let (failed, _, bodies) = run_login(&[&[&first], &[&again], &[&again], &[&again]], ui(), false);
    assert_eq!(failed.unwrap_err(), (1, "that code was used already".to_owned()));
    assert_eq!(bodies.len(), 4, "three codes");
}

#[test]
fn log_in_each_role_may_ask_for_a_code() {
    let ui = || Scripted { codes: vec!["666666"; 20], ..Scripted::default() };
    let (first, again) = (code_step(None), code_step(Some("wait for the next one")));
    let answers: [&[&str]; 6] = [&[&first], &[&again], &[&first], &[&again], &[&first], &[DONE]];
    let (done, _, bodies) = run_login(&answers, ui(), true);
    assert!(done.is_ok());
    let renews: Vec<_> = bodies.iter().map(|body| body.contains(r#""renew":true"#)).collect();
    assert_eq!(renews, [true, true, true, false, false, false]);

    let (failed, _, bodies) = run_login(&[[first.as_str()].as_slice(); 20], ui(), false);
    assert_eq!(failed.unwrap_err().0, 1);
    assert_eq!(bodies.len(), 17, "sixteen codes");
    // A sign-in before the first code is kept as well.
    let page = r#"{"step":"browser","url":"https://x","expires":"2026-01-02T12:00:00Z"}"#;
    let (done, _, bodies) = run_login(&[&[page, &first], &[DONE]], ui(), true);
    assert!(done.is_ok() && bodies[1].contains(r#""renew":false"#), "{bodies:?}");
}

#[test]
fn log_in_each_page_is_shown_once() {
    let page = |code: &str| {
        format!(
            r#"{{"step":"browser","url":"https://x/{code}","code":"{code}","expires":"2026-01-02T12:00:00Z","joined":true}}"#
        )
    };
    let (one, two) = (page("A"), page("B"));
    let (done, happened, _) = run_login(&[&[&one, "", &one, &two, DONE]], Scripted::default(), false);
    assert!(done.is_ok());
    assert_eq!(happened, ["https://x/A Some(\"A\") true", "https://x/B Some(\"B\") true", "settled"]);
}

#[test]
fn log_in_command_runs_once() {
    let command = r#"{"step":"command","argv":["aws","login"]}"#;
    let (done, happened, bodies) = run_login(&[&[command], &[DONE]], Scripted::default(), true);
    assert!(done.is_ok() && happened.contains(&"aws login".to_owned()));
    assert_eq!(bodies, [r#"{"flow":"browser","renew":true}"#, r#"{"flow":"browser","renew":false}"#]);

    let (failed, _, _) = run_login(&[&[command], &[command]], Scripted::default(), false);
    let (code, text) = failed.unwrap_err();
    assert!(code == 1 && text.starts_with("source \"work\": aws login succeeded, but"), "{text}");
    let failing = Scripted { program_fails: true, ..Scripted::default() };
    let (failed, _, bodies) = run_login(&[&[command]], failing, false);
    assert_eq!((failed.unwrap_err().0, bodies.len()), (1, 1));
}

#[test]
fn log_in_failure_keeps_the_daemon_s_message() {
    let failed = |code: &str| {
        let line =
            format!(r#"{{"step":"failed","error":{{"code":"{code}","message":"work: no","hint":"Try again"}}}}"#);
        run_login(&[&[&line]], Scripted::default(), false).0.unwrap_err()
    };
    assert_eq!(failed("login_failed"), (1, "work: no. Try again".to_owned()));
    assert_eq!(failed("login_needed").0, 5);
    assert_eq!(failed("locked").0, 5);
}

#[test]
fn log_in_lost_and_newer_daemon_differ() {
    let (lost, happened, _) = run_login(&[&[""]], Scripted::default(), false);
    let (code, text) = lost.unwrap_err();
    assert!(code == 3 && text.starts_with("source \"work\": the agent ended during the call"), "{text}");
    assert_eq!(happened, ["settled"]);
    let (newer, _, _) = run_login(&[&[r#"{"step":"moon_phase","more":1}"#]], Scripted::default(), false);
    assert_eq!(newer.unwrap_err().0, 4);
    // What it knows besides is enough.
    assert!(run_login(&[&[r#"{"step":"moon_phase"}"#, DONE]], Scripted::default(), false).0.is_ok());
}

//! A login: a call that is answered step by step, while a person does what it takes.

use std::time::Duration;

use rolecall_protocol::{Endpoint, ErrorCode, LoginRequest, LoginStep, SourceName};

use super::CallError;
use super::call::{Agent, MAX_ANSWER, RETRIES, failed, judge};
use crate::clock::{Deadline, patient_pause};
use crate::daemon::http::{self, HttpError, Lines};

/// How long the daemon may say nothing: where nothing happens it sends an empty line every ten seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// The steps of a login, as the daemon tells them.
#[derive(Debug)]
pub(crate) struct Steps {
    lines: Lines,
    /// How long the daemon may go on saying nothing.
    silence: Duration,
    quiet: Deadline,
}

impl Agent {
    /// Asks for a login. A daemon that ends before it has said anything, and one that has too many callers, is asked again,
    /// as in [`Agent::call`].
    pub(crate) fn login(&self, source: &SourceName, request: &LoginRequest) -> Result<Steps, CallError> {
        let deadline = Deadline::after(SILENCE);
        let body = serde_json::to_vec(request)
            .map_err(|error| CallError::Malformed(format!("the request cannot be written ({error})")))?;
        let request = http::request_lines(&Endpoint::Login(source.clone()), &body);
        let mut attempt = 0;
        loop {
            let result = self.try_login(&request, deadline);
            let is_asked_again = match &result {
                Err(CallError::Lost(HttpError::Lost { received: 0, .. })) => attempt < RETRIES,
                Err(CallError::Said(said)) => said.code == ErrorCode::Unavailable,
                _ => false,
            };
            if !is_asked_again || !deadline.sleep(patient_pause(attempt)) {
                return result;
            }
            attempt += 1;
        }
    }

    fn try_login(&self, request: &[u8], deadline: Deadline) -> Result<Steps, CallError> {
        let (stream, _) = self.connect(deadline)?;
        let (answer, lines) =
            http::begin(stream, request, MAX_ANSWER, deadline).map_err(|error| failed(error, deadline))?;
        let is_not_there = answer.status() == 404;
        match judge(answer) {
            Err(CallError::Said(said)) if is_not_there && said.code == ErrorCode::BadRequest => {
                Err(CallError::NoLogins)
            }
            Err(error) => Err(error),
            Ok(_) => Ok(Steps { lines, silence: SILENCE, quiet: Deadline::after(SILENCE) }),
        }
    }
}

impl Steps {
    /// The next step; `None` where there is none within `wait`. A daemon that has not even said that it is there for half a
    /// minute is given up.
    pub(crate) fn next(&mut self, wait: Duration) -> Result<Option<LoginStep>, CallError> {
        // Listened to before it is judged: whoever was stopped (Ctrl-Z) finds in it what was said in that time.
        match self.lines.next(Deadline::after(wait)) {
            Ok(Some(line)) => {
                self.quiet = Deadline::after(self.silence);
                if line.trim_ascii().is_empty() {
                    return Ok(None);
                }
                serde_json::from_slice(&line).map(Some).map_err(|error| {
                    CallError::Malformed(format!("a step of the login is none that it can be ({error})"))
                })
            }
            Ok(None) if self.quiet.remaining().is_none() => Err(CallError::Silent(self.silence)),
            Ok(None) => Ok(None),
            Err(error) => Err(failed(error, self.quiet)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::LoginFlow;

    use super::super::call::tests::{Fake, answer};
    use super::*;
    use crate::error::CliError;

    const SOON: Duration = Duration::from_secs(5);

    fn work() -> SourceName {
        "work".parse().unwrap()
    }

    fn begun(text: &str) -> (Fake, Result<Steps, CallError>) {
        let fake = Fake::answering(&[&format!("HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n{text}")]);
        let steps = fake.agent.login(&work(), &LoginRequest::default());
        (fake, steps)
    }

    #[test]
    fn steps_come_one_by_one_and_empty_lines_are_no_steps() {
        let (mut fake, steps) = begun("\n{\"step\":\"command\",\"argv\":[\"aws\",\"login\"]}\n{\"step\":\"moon\"}\n");
        let mut steps = steps.unwrap();
        assert_eq!(steps.next(SOON).unwrap(), None);
        let argv = vec!["aws".to_owned(), "login".to_owned()];
        assert_eq!(steps.next(SOON).unwrap(), Some(LoginStep::Command { argv }));
        assert_eq!(steps.next(SOON).unwrap(), Some(LoginStep::Unknown));
        assert!(matches!(steps.next(SOON), Err(CallError::Lost(_))), "it has ended before the last step");
        let request = fake.requests().remove(0);
        assert!(request.starts_with("POST /v1/sources/work/login HTTP/1.0\r\n"), "{request}");
        assert!(request.ends_with(r#"{"flow":"device","renew":false}"#), "{request}");
    }

    #[test]
    fn what_a_person_gives_is_in_the_body() {
        let mut fake = Fake::answering(&["HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n"]);
        let code = Some("123456".to_owned().into());
        fake.agent.login(&work(), &LoginRequest { code, flow: LoginFlow::Browser, renew: true, draft: None }).unwrap();
        let request = fake.requests().remove(0);
        assert!(request.ends_with(r#"{"code":"123456","flow":"browser","renew":true}"#), "{request}");
    }

    #[test]
    fn a_daemon_that_ends_or_has_no_time_is_asked_again() {
        let full = answer(503, r#"{"error":{"code":"unavailable","message":"too many callers"}}"#);
        let good = "HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n{\"step\":\"moon\"}\n";
        let mut fake = Fake::answering(&["", &full, good]);
        let mut steps = fake.agent.login(&work(), &LoginRequest::default()).unwrap();
        assert_eq!(steps.next(SOON).unwrap(), Some(LoginStep::Unknown));
        assert_eq!(fake.requests().len(), 3);
    }

    #[test]
    fn what_is_no_login_is_an_error() {
        let told = |text: &str| {
            let error = Fake::answering(&[text]).agent.login(&work(), &LoginRequest::default()).unwrap_err();
            let error = CliError::from(error);
            (error.code(), error.to_string())
        };
        let (code, text) = told(&answer(404, r#"{"error":{"code":"bad_request","message":"no such endpoint"}}"#));
        assert_eq!(code, 4);
        assert_eq!(text, "the agent is older than this client and cannot log in. Run: rolecall agent restart");
        let unknown = answer(404, r#"{"error":{"code":"unknown_source","message":"there is no source \"work\""}}"#);
        assert_eq!(told(&unknown), (1, "there is no source \"work\"".to_owned()));
        assert_eq!(told("HTTP/1.0 200 OK\r\n\r\n{}\n").0, 3);
        let (_fake, steps) = begun("{\"step\":1}\n");
        assert!(matches!(steps.unwrap().next(SOON), Err(CallError::Malformed(_))));
    }

    #[test]
    fn a_daemon_that_says_nothing_is_given_up_and_one_that_says_it_is_there_is_not() {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let ours_again = ours.try_clone().unwrap();
        std::io::Write::write_all(&mut theirs, b"HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n").unwrap();
        let (_, lines) = http::begin(ours, b"", 1024, Deadline::after(SOON)).unwrap();
        drop(ours_again);
        let silence = Duration::from_millis(60);
        let mut steps = Steps { lines, silence, quiet: Deadline::after(Duration::ZERO) };
        std::io::Write::write_all(&mut theirs, b"\n").unwrap();
        assert_eq!(steps.next(SOON).unwrap(), None, "it was heard of in the last moment");
        let begun = Deadline::after(SOON);
        let error = loop {
            match steps.next(Duration::from_millis(1)) {
                Ok(None) if begun.remaining().is_some() => {}
                Ok(step) => panic!("{step:?}"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, CallError::Silent(waited) if waited == silence), "{error:?}");
        assert!(begun.remaining().unwrap() <= SOON.checked_sub(silence).unwrap());
    }
}

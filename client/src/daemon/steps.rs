//! The steps of work that takes longer than a call: a login, a change of who may enter a cluster, or a diagnosis. The daemon
//! streams them.

use std::marker::PhantomData;
use std::time::Duration;

use rolecall_protocol::{
    AccessStep, DoctorRequest, DoctorStep, Endpoint, ErrorCode, LoginRequest, LoginStep, ProfileName, SourceName,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::{Daemon, MAX_RESPONSE_BYTES, MAX_RETRIES, call_error, check_response};
use super::error::CallError;
use super::http::{self, HttpError, LineStream};
use crate::clock::{Deadline, long_backoff};

/// How long the daemon may send nothing. An idle daemon sends an empty line every 10 s.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// The steps of one request, as the daemon sends them.
#[derive(Debug)]
pub(crate) struct Steps<T> {
    lines: LineStream,
    silence_timeout: Duration,
    silence_deadline: Deadline,
    step: PhantomData<fn() -> T>,
}

/// The steps of a login.
pub(crate) type LoginSteps = Steps<LoginStep>;

impl Daemon {
    /// Requests a login. If the daemon ends before its first byte, or has too many callers, the request is repeated, as
    /// in [`Daemon::call`].
    pub(crate) fn login(&self, source: &SourceName, request: &LoginRequest) -> Result<LoginSteps, CallError> {
        self.steps(&Endpoint::Login(source.clone()), request, "login")
    }

    /// Requests the plan of a change of access, or the change itself. The request is repeated as in [`Daemon::login`].
    pub(crate) fn access_change(
        &self,
        endpoint: &Endpoint,
        request: &impl Serialize,
    ) -> Result<Steps<AccessStep>, CallError> {
        self.steps(endpoint, request, "access")
    }

    /// Requests the checks of a profile. The request is repeated as in [`Daemon::login`].
    pub(crate) fn doctor(
        &self,
        profile: &ProfileName,
        request: &DoctorRequest,
    ) -> Result<Steps<DoctorStep>, CallError> {
        self.steps(&Endpoint::Doctor(profile.clone()), request, "doctor")
    }

    /// `command` is the command of the client that an older daemon does not support.
    fn steps<T>(
        &self,
        endpoint: &Endpoint,
        request: &impl Serialize,
        command: &'static str,
    ) -> Result<Steps<T>, CallError> {
        let deadline = Deadline::after(SILENCE_TIMEOUT);
        let body = serde_json::to_vec(request)
            .map_err(|error| CallError::InvalidResponse(format!("the request cannot be written ({error})")))?;
        let request = http::request_lines(endpoint, &body);
        let mut attempt = 0;
        loop {
            let result = self.try_steps(&request, command, deadline);
            let is_asked_again = match &result {
                Err(CallError::Disconnected(HttpError::Disconnected { received: 0, .. })) => attempt < MAX_RETRIES,
                Err(CallError::Rejected(said)) => said.code == ErrorCode::Unavailable,
                _ => false,
            };
            if !is_asked_again || !deadline.sleep(long_backoff(attempt)) {
                return result;
            }
            attempt += 1;
        }
    }

    fn try_steps<T>(&self, request: &[u8], command: &'static str, deadline: Deadline) -> Result<Steps<T>, CallError> {
        let (stream, _) = self.connect(deadline)?;
        let (answer, lines) = http::open_stream(stream, request, MAX_RESPONSE_BYTES, deadline)
            .map_err(|error| call_error(error, deadline))?;
        let is_not_there = answer.status() == 404;
        match check_response(answer) {
            Err(CallError::Rejected(said)) if is_not_there && said.code == ErrorCode::BadRequest => {
                Err(CallError::Unsupported(command))
            }
            Err(error) => Err(error),
            Ok(_) => Ok(Steps {
                lines,
                silence_timeout: SILENCE_TIMEOUT,
                silence_deadline: Deadline::after(SILENCE_TIMEOUT),
                step: PhantomData,
            }),
        }
    }
}

impl<T: DeserializeOwned> Steps<T> {
    /// Returns the next step; `None` if there is none within `wait`. Errors if the daemon has sent nothing for 30 s.
    pub(crate) fn next(&mut self, wait: Duration) -> Result<Option<T>, CallError> {
        // Reads before it checks the silence: after Ctrl-Z and `fg`, the socket holds what the daemon sent meanwhile.
        match self.lines.next(Deadline::after(wait)) {
            Ok(Some(line)) => {
                self.silence_deadline = Deadline::after(self.silence_timeout);
                if line.trim_ascii().is_empty() {
                    return Ok(None);
                }
                serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|error| CallError::InvalidResponse(format!("a step in its answer is invalid ({error})")))
            }
            Ok(None) if self.silence_deadline.remaining().is_none() => Err(CallError::NoResponse(self.silence_timeout)),
            Ok(None) => Ok(None),
            Err(error) => Err(call_error(error, self.silence_deadline)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rolecall_protocol::LoginFlow;

    use super::super::call::tests::{FakeServer, http_response};
    use super::*;
    use crate::error::CliError;

    const HANG_GUARD: Duration = Duration::from_secs(5);

    fn work() -> SourceName {
        "work".parse().unwrap()
    }

    fn begun(text: &str) -> (FakeServer, Result<LoginSteps, CallError>) {
        let fake = FakeServer::answering(&[&format!("HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n{text}")]);
        let steps = fake.daemon.login(&work(), &LoginRequest::default());
        (fake, steps)
    }

    #[test]
    fn login_steps_empty_lines_are_skipped() {
        let (mut fake, steps) = begun("\n{\"step\":\"command\",\"argv\":[\"aws\",\"login\"]}\n{\"step\":\"moon\"}\n");
        let mut steps = steps.unwrap();
        assert_eq!(steps.next(HANG_GUARD).unwrap(), None);
        let argv = vec!["aws".to_owned(), "login".to_owned()];
        assert_eq!(steps.next(HANG_GUARD).unwrap(), Some(LoginStep::Command { argv }));
        assert_eq!(steps.next(HANG_GUARD).unwrap(), Some(LoginStep::Unknown));
        assert!(matches!(steps.next(HANG_GUARD), Err(CallError::Disconnected(_))), "it has ended before the last step");
        let request = fake.requests().remove(0);
        assert!(request.starts_with("POST /v1/sources/work/login HTTP/1.0\r\n"), "{request}");
        assert!(request.ends_with(r#"{"flow":"device","renew":false}"#), "{request}");
    }

    #[test]
    fn login_request_carries_the_input() {
        let mut fake = FakeServer::answering(&["HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n"]);
        let code = Some("123456".to_owned().into());
        fake.daemon.login(&work(), &LoginRequest { code, flow: LoginFlow::Browser, renew: true, draft: None }).unwrap();
        let request = fake.requests().remove(0);
        assert!(request.ends_with(r#"{"code":"123456","flow":"browser","renew":true}"#), "{request}");
    }

    #[test]
    fn login_busy_or_ended_daemon_retries() {
        let full = http_response(503, r#"{"error":{"code":"unavailable","message":"too many callers"}}"#);
        let good = "HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n{\"step\":\"moon\"}\n";
        let mut fake = FakeServer::answering(&["", &full, good]);
        let mut steps = fake.daemon.login(&work(), &LoginRequest::default()).unwrap();
        assert_eq!(steps.next(HANG_GUARD).unwrap(), Some(LoginStep::Unknown));
        assert_eq!(fake.requests().len(), 3);
    }

    #[test]
    fn login_other_responses_are_errors() {
        let result_text = |text: &str| {
            let error = FakeServer::answering(&[text]).daemon.login(&work(), &LoginRequest::default()).unwrap_err();
            let error = CliError::from(error);
            (error.code(), error.to_string())
        };
        let (code, text) =
            result_text(&http_response(404, r#"{"error":{"code":"bad_request","message":"no such endpoint"}}"#));
        assert_eq!(code, 4);
        assert_eq!(text, "the agent is older than this client and does not support login. Run: rolecall agent restart");
        let unknown =
            http_response(404, r#"{"error":{"code":"unknown_source","message":"there is no source \"work\""}}"#);
        assert_eq!(result_text(&unknown), (1, "there is no source \"work\"".to_owned()));
        assert_eq!(result_text("HTTP/1.0 200 OK\r\n\r\n{}\n").0, 3);
        let (_fake, steps) = begun("{\"step\":1}\n");
        assert!(matches!(steps.unwrap().next(HANG_GUARD), Err(CallError::InvalidResponse(_))));
    }

    #[test]
    fn access_steps_of_an_older_daemon_are_unsupported() {
        let endpoint = Endpoint::AccessGrant("prod".parse().unwrap());
        let answer = http_response(404, r#"{"error":{"code":"bad_request","message":"no such endpoint"}}"#);
        let fake = FakeServer::answering(&[&answer]);
        let error = CliError::from(fake.daemon.access_change(&endpoint, &serde_json::json!({})).unwrap_err());
        assert_eq!(error.code(), 4);
        assert!(error.to_string().contains("does not support access"), "{error}");
        let answer = "HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n{\"step\":\"progress\",\"done\":1,\"total\":2}\n";
        let mut fake = FakeServer::answering(&[answer]);
        let mut steps = fake.daemon.access_change(&endpoint, &serde_json::json!({"apply": "id"})).unwrap();
        let step = steps.next(HANG_GUARD).unwrap();
        assert_eq!(step, Some(AccessStep::Progress { done: 1, total: 2, activity: None }));
        let request = fake.requests().remove(0);
        assert!(request.starts_with("POST /v1/profiles/prod/access/grant HTTP/1.0\r\n"), "{request}");
    }

    #[test]
    fn login_steps_silent_daemon_times_out() {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let ours_again = ours.try_clone().unwrap();
        std::io::Write::write_all(&mut theirs, b"HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n").unwrap();
        let (_, lines) = http::open_stream(ours, b"", 1024, Deadline::after(HANG_GUARD)).unwrap();
        drop(ours_again);
        let silence_timeout = Duration::from_millis(60);
        let silence_deadline = Deadline::after(Duration::ZERO);
        let mut steps: LoginSteps = Steps { lines, silence_timeout, silence_deadline, step: PhantomData };
        std::io::Write::write_all(&mut theirs, b"\n").unwrap();
        assert_eq!(steps.next(HANG_GUARD).unwrap(), None, "it was heard of in the last moment");
        let begun = Deadline::after(HANG_GUARD);
        let error = loop {
            match steps.next(Duration::from_millis(1)) {
                Ok(None) if begun.remaining().is_some() => {}
                Ok(step) => panic!("{step:?}"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, CallError::NoResponse(waited) if waited == silence_timeout), "{error:?}");
        assert!(begun.remaining().unwrap() <= HANG_GUARD.checked_sub(silence_timeout).unwrap());
    }
}

//! Calls to the daemon, which user messages call "the agent". Every command uses this module, `token` included.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rolecall_protocol::{
    ConfigStatus, Endpoint, EntryProof, ErrorCode, ErrorResponse, PROTOCOL_VERSION, ProfileCredentials, ProfileName,
    Secret, Status, location,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connect::{CONNECT_TIMEOUT, listener_pid, open, open_after_start};
use super::cooldown;
use super::error::CallError;
use super::http::{self, HttpError, Response};
use super::spawn::{self, SpawnError};
use crate::clock::{Deadline, long_backoff, monotonic_now};
use crate::environment::Environment;
use crate::output;

/// How long a call may take, including the start of the daemon.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a call is repeated if the daemon ends during the call.
pub(super) const MAX_RETRIES: u32 = 8;
/// The size limit of a response, except for the endpoints of [`max_response_bytes`].
pub(super) const MAX_RESPONSE_BYTES: usize = 1024 * 1024;
/// The size limit of a response that lists everything. A status of 10,000 profiles needs about 6 MiB.
const MAX_LIST_BYTES: usize = 32 * 1024 * 1024;

/// What a call does if no daemon listens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum IfAbsent {
    /// Start the daemon with this environment, which is read only then.
    Start(fn() -> Environment),
    /// As `Start`, with the user's own configuration: a kubeconfig may have set `ROLECALL_CONFIG`.
    StartWithOwnConfig(fn() -> Environment),
    /// Return [`CallError::NotRunning`].
    Fail,
}

/// The daemon that belongs to this user.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(super) socket: PathBuf,
    if_absent: IfAbsent,
}

impl Daemon {
    /// Finds the path of the socket. Does not connect yet.
    pub(crate) fn find(if_absent: IfAbsent) -> Result<Self, CallError> {
        Ok(Self { socket: location::socket()?, if_absent })
    }

    /// The daemon at `socket`, for tests. A call does not start it.
    #[cfg(test)]
    pub(crate) const fn at(socket: PathBuf) -> Self {
        Self { socket, if_absent: IfAbsent::Fail }
    }

    /// The path of the socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Starts the daemon if it does not run. True if it was started.
    pub(crate) fn ensure(&self, deadline: Deadline) -> Result<bool, CallError> {
        self.connect(deadline).map(|(_, started)| started)
    }

    /// Makes a call. Errors with [`CallError::Rejected`] if the daemon responds with an error.
    ///
    /// If the daemon ends before the first byte of its response (it was stopped or killed), the call is repeated, at
    /// most [`MAX_RETRIES`] times, since a dying process still accepts connections for a moment. If it has too many
    /// callers, the call is repeated until the deadline.
    pub(crate) fn call(&self, endpoint: &Endpoint, body: &[u8], deadline: Deadline) -> Result<Response, CallError> {
        self.send(endpoint, &http::request(endpoint, body), deadline)
    }

    /// Makes the call for a token, as [`Daemon::call`]. `info` is the text of `KUBERNETES_EXEC_INFO`.
    pub(crate) fn call_token(
        &self,
        name: &ProfileName,
        info: &[u8],
        proof: &EntryProof,
        deadline: Deadline,
    ) -> Result<Response, CallError> {
        let endpoint = Endpoint::Token(name.clone());
        self.send(&endpoint, http::token_request(&endpoint, proof, info).expose(), deadline)
    }

    /// Returns the session of a profile, as [`Daemon::call`]. Wipes the response.
    pub(crate) fn credentials(&self, name: &ProfileName, deadline: Deadline) -> Result<ProfileCredentials, CallError> {
        let body = self.call(&Endpoint::Credentials(name.clone()), b"", deadline)?.into_secret_body();
        serde_json::from_slice(body.expose())
            .map_err(|_| CallError::InvalidResponse("its answer is not what was asked for".to_owned()))
    }

    fn send(&self, endpoint: &Endpoint, request: &[u8], deadline: Deadline) -> Result<Response, CallError> {
        let (mut lost, mut refused) = (0, 0);
        loop {
            let begin = monotonic_now();
            let result = self.try_send(endpoint, request, deadline);
            output::print_detail(|| {
                let took = begin.elapsed().as_millis();
                let outcome = result.as_ref().map_or_else(ToString::to_string, |answer| answer.status().to_string());
                format!("{} {}: {outcome} after {took} ms", endpoint.method().as_str(), endpoint.path())
            });
            let wait = match &result {
                Err(CallError::Disconnected(HttpError::Disconnected { received: 0, .. })) if lost < MAX_RETRIES => {
                    lost += 1;
                    long_backoff(lost - 1)
                }
                Err(CallError::Rejected(said)) if said.code == ErrorCode::Unavailable => {
                    refused += 1;
                    long_backoff(refused - 1)
                }
                _ => return result,
            };
            // The daemon's own error is more useful than a timeout of the next attempt.
            let has_no_time = deadline.remaining().is_none_or(|left| left <= wait);
            if *endpoint == Endpoint::Stop || has_no_time || !deadline.sleep(wait) {
                return result;
            }
        }
    }

    /// Makes a call and parses the JSON of its response.
    pub(crate) fn call_json<T: DeserializeOwned>(&self, endpoint: &Endpoint, body: &[u8]) -> Result<T, CallError> {
        self.call_json_within(endpoint, body, Deadline::after(CALL_TIMEOUT))
    }

    /// Makes a call within a deadline and parses the JSON of its response.
    pub(crate) fn call_json_within<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        body: &[u8],
        deadline: Deadline,
    ) -> Result<T, CallError> {
        let answer = self.call(endpoint, body, deadline)?;
        serde_json::from_slice(answer.body())
            .map_err(|error| CallError::InvalidResponse(format!("its answer is not what was asked for ({error})")))
    }

    /// Like [`Daemon::call_json_within`], with a secret in the request, and as long as the daemon may take for the
    /// endpoint.
    pub(crate) fn call_with_secret<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        request: &impl Serialize,
    ) -> Result<T, CallError> {
        // A buffer that grows leaves copies behind that are not wiped.
        let mut body = Secret::new(Vec::with_capacity(endpoint.max_body_bytes()));
        serde_json::to_writer(body.expose_mut(), request)
            .map_err(|error| CallError::InvalidResponse(error.to_string()))?;
        self.call_json_within(endpoint, body.expose(), patient_deadline(endpoint))
    }

    /// Makes a running daemon read the configuration now instead of after its watch reports the change. Returns what
    /// the daemon says about the file; `None` if no daemon answers, whose watch will report the change.
    pub(crate) fn reload() -> Option<ConfigStatus> {
        let daemon = Self::find(IfAbsent::Fail).ok()?;
        daemon.call_json_within(&Endpoint::ConfigReload, b"", Deadline::after(CONNECT_TIMEOUT)).ok()
    }

    /// Returns the status of a daemon that runs and answers in time.
    pub(crate) fn status_if_running() -> Option<Status> {
        let daemon = Self::find(IfAbsent::Fail).ok()?;
        daemon.call_json_within(&Endpoint::Status, b"", Deadline::after(CONNECT_TIMEOUT)).ok()
    }

    /// The process that listens, from the kernel; `None` if the system does not report it.
    pub(crate) fn listener_pid(&self) -> Result<Option<rustix::process::Pid>, CallError> {
        let stream = open(&self.socket, Deadline::after(CONNECT_TIMEOUT))?;
        Ok(listener_pid(&stream))
    }

    fn try_send(&self, endpoint: &Endpoint, request: &[u8], deadline: Deadline) -> Result<Response, CallError> {
        // `rolecall token` calls both.
        if matches!(endpoint, Endpoint::Token(_) | Endpoint::Config) {
            return self.try_token_call(request, deadline);
        }
        let (stream, _) = self.connect(deadline)?;
        let answer = http::exchange(&stream, request, max_response_bytes(endpoint), deadline);
        let answer = answer.map_err(|error| call_error(error, deadline))?;
        // Only calls that kubectl does not wait for clear the cooldown: it costs a system call.
        cooldown::clear(&self.socket);
        check_response(answer)
    }

    /// Makes a call for kubectl, which repeats it: if the daemon hangs, the first call waits until its deadline, and
    /// the calls of the next seconds do not.
    fn try_token_call(&self, request: &[u8], deadline: Deadline) -> Result<Response, CallError> {
        let result = self.connect_unless_cooling_down(deadline).and_then(|stream| {
            let is_hopeless = || cooldown::is_active(&self.socket);
            http::exchange_unless(&stream, request, MAX_RESPONSE_BYTES, deadline, cooldown::CHECK_AFTER, is_hopeless)
                .map_err(|error| call_error(error, deadline))
        });
        if let Err(CallError::Busy(_) | CallError::NoResponse(_)) = &result {
            cooldown::start(&self.socket);
        }
        check_response(result?)
    }

    /// As [`Daemon::connect`]. If the queue of connections is full and the cooldown is active, errors without waiting.
    fn connect_unless_cooling_down(&self, deadline: Deadline) -> Result<UnixStream, CallError> {
        let patience = deadline.within(CONNECT_TIMEOUT);
        match open(&self.socket, patience.within(cooldown::CHECK_AFTER)) {
            Err(CallError::Busy(_)) if cooldown::is_active(&self.socket) => Err(CallError::Busy(patience.limit())),
            Err(CallError::Busy(_)) => open(&self.socket, patience),
            Err(CallError::NotRunning) => self.connect(deadline).map(|(stream, _)| stream),
            result => result,
        }
    }

    pub(super) fn connect(&self, deadline: Deadline) -> Result<(UnixStream, bool), CallError> {
        let result = open(&self.socket, deadline);
        let environment = match (&result, self.if_absent) {
            (Err(CallError::NotRunning), IfAbsent::Start(read)) => read(),
            (Err(CallError::NotRunning), IfAbsent::StartWithOwnConfig(read)) => read().of_plugin(),
            _ => return Ok((result?, false)),
        };
        match spawn::spawn_daemon(&self.socket, &environment, deadline) {
            // The new daemon was killed before it was ready: at a logout, for example.
            Err(SpawnError::ExitedSilently) => spawn::spawn_daemon(&self.socket, &environment, deadline)?,
            result => result?,
        }
        cooldown::clear(&self.socket);
        Ok((open_after_start(&self.socket, deadline)?, true))
    }
}

/// The size limit of an endpoint's response, in bytes.
const fn max_response_bytes(endpoint: &Endpoint) -> usize {
    match endpoint {
        Endpoint::Status | Endpoint::AccessList(_) | Endpoint::AccessExplain(_) | Endpoint::AccessLint => {
            MAX_LIST_BYTES
        }
        _ => MAX_RESPONSE_BYTES,
    }
}

/// The deadline of a call that may take as long as the daemon's own limit for the endpoint, and 1 s.
pub(crate) fn patient_deadline(endpoint: &Endpoint) -> Deadline {
    Deadline::after(endpoint.response_timeout() + Duration::from_secs(1))
}

/// Turns an error of the connection into an error of the call.
pub(super) fn call_error(error: HttpError, deadline: Deadline) -> CallError {
    match error {
        HttpError::TimedOut => CallError::NoResponse(deadline.limit()),
        HttpError::Disconnected { .. } => CallError::Disconnected(error),
        HttpError::Invalid(why) => CallError::InvalidResponse(why.to_owned()),
    }
}

/// Checks the protocol version of a response, and turns an error response into [`CallError::Rejected`].
pub(super) fn check_response(answer: Response) -> Result<Response, CallError> {
    match answer.protocol() {
        Some(PROTOCOL_VERSION) => {}
        Some(theirs) => return Err(CallError::ProtocolMismatch { theirs: theirs.to_string() }),
        None => return Err(CallError::InvalidResponse("its answer names no version of our protocol".to_owned())),
    }
    if answer.status() == 200 {
        return Ok(answer);
    }
    match serde_json::from_slice::<ErrorResponse>(answer.body()) {
        Ok(said) if said.error.code == ErrorCode::ProtocolMismatch => {
            Err(CallError::ProtocolMismatch { theirs: "?".to_owned() })
        }
        Ok(said) => Err(CallError::Rejected(said.error)),
        Err(_) => {
            Err(CallError::InvalidResponse(format!("it answered {} without an error that we know", answer.status())))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! The daemon ("the agent", to people) as the client sees it: where it listens, whether it may be trusted, one call.
//!
//! Every command goes through here, `token` included, so there is one answer to "what if it is not running".

mod cooldown;
mod events;
mod lock;
mod login;

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rolecall_protocol::location::{self, FolderProblem, LocationError};
use rolecall_protocol::{Endpoint, ErrorAnswer, ErrorBody, ErrorCode, PROTOCOL_VERSION, Status};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use serde::de::DeserializeOwned;

use crate::clock::{Deadline, patient_pause, pause};
use crate::context_entry::for_shell;
use crate::http::{self, Answer, HttpError};
use crate::report::{CliError, Exit};
use crate::start::{self, StartError};

pub(crate) use login::Steps;

/// How long a whole call may take, starting the daemon included.
pub(crate) const CALL: Duration = Duration::from_secs(10);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How often a call is made again that a daemon took with it when it ended.
const RETRIES: u32 = 3;
/// The largest answer that is read, but for the one that lists every profile.
const MAX_ANSWER: usize = 1024 * 1024;
/// The same for [`Endpoint::Status`]: 10,000 profiles take about 6 MiB.
const MAX_STATUS: usize = 32 * 1024 * 1024;

/// Why a call has no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// There is no place for a socket.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// Nobody listens.
    #[error("the agent is not running")]
    NotRunning,
    /// Nobody listened, and it could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// What is at the socket's path may not be ours.
    #[error("refusing the agent's socket: {} is {problem}", path.display())]
    Untrusted {
        /// The folder or the socket.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// Whether it is a folder that Rolecall made for itself, so that nothing else depends on its mode.
        can_close: bool,
    },
    /// Connecting failed.
    #[error("cannot connect to the agent at {}: {cause}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's word.
        cause: io::Error,
    },
    /// It listens but takes no more calls.
    #[error("the agent takes no calls (waited {} s)", .0.as_secs())]
    Busy(Duration),
    /// It took the call and did not answer.
    #[error("the agent did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// It went away.
    #[error("the agent went away during the call: {0}")]
    Lost(HttpError),
    /// What answers is not our daemon.
    #[error("what listens at the agent's socket is not rolecalld: {0}")]
    Malformed(String),
    /// It speaks another protocol.
    #[error("the agent speaks version {theirs} of the protocol and this client version {PROTOCOL_VERSION}")]
    Mismatch {
        /// The daemon's version, or a question mark.
        theirs: String,
    },
    /// It is of a release that had no events yet.
    #[error("the agent is older than this client and has no events to follow")]
    NoEvents,
    /// It is of a release that let nobody log in.
    #[error("the agent is older than this client and cannot log in")]
    NoLogins,
    /// It answered with an error.
    #[error("{0}")]
    Said(ErrorBody),
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        let restart = "Run: rolecall agent restart";
        match error {
            CallError::Said(body) => body.into(),
            CallError::Location(_) => Self::new(
                Exit::Unreachable,
                message,
                "Set XDG_RUNTIME_DIR, or ROLECALL_SOCKET, to a place in a folder of your own with mode 700",
            ),
            CallError::NotRunning => Self::new(Exit::Unreachable, message, "Run: rolecall agent start"),
            CallError::Start(error) => error.into(),
            CallError::Untrusted { path, can_close: true, .. } => Self::new(
                Exit::Unreachable,
                message,
                format!("Rolecall made it for itself alone; close it to others with: chmod 700 {}", for_shell(&path)),
            ),
            CallError::Untrusted { .. } => Self::new(
                Exit::Unreachable,
                message,
                "Somebody else could be listening there: remove it, or set ROLECALL_SOCKET to a path in a folder of your own with mode 700",
            ),
            CallError::Connect { .. } | CallError::Busy(_) | CallError::Silent(_) | CallError::Lost(_) => {
                Self::new(Exit::Unreachable, message, restart)
            }
            CallError::Malformed(_) => Self::new(Exit::Unreachable, message, restart),
            CallError::NoEvents | CallError::NoLogins => Self::new(Exit::Mismatch, message, restart),
            CallError::Mismatch { .. } => {
                Self::new(Exit::Mismatch, message, "Upgrade the older of the two, then run: rolecall agent restart")
            }
        }
    }
}

/// What to do where nobody listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfAbsent {
    /// Start the daemon and go on.
    Start,
    /// Say so.
    Fail,
}

/// The daemon that belongs to this user.
#[derive(Debug)]
pub(crate) struct Agent {
    socket: PathBuf,
    if_absent: IfAbsent,
}

impl Agent {
    /// Looks up where it listens; connects to nothing yet.
    pub(crate) fn find(if_absent: IfAbsent) -> Result<Self, CallError> {
        Ok(Self { socket: location::socket()?, if_absent })
    }

    /// One that listens at `socket`, if anybody does, and is not started: for tests.
    #[cfg(test)]
    pub(crate) const fn at(socket: PathBuf) -> Self {
        Self { socket, if_absent: IfAbsent::Fail }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Makes sure that it runs. True if it had to be started.
    pub(crate) fn ensure(&self, deadline: Deadline) -> Result<bool, CallError> {
        self.connect(deadline).map(|(_, started)| started)
    }

    /// One call. An answer that is an error is [`CallError::Said`].
    ///
    /// A daemon that ends between taking the call and saying its first byte (it was stopped, or killed) has not answered
    /// anybody, so the call is made again, to its successor: a few times, since a process that is being killed still
    /// takes connections for a moment. One that has too many callers has not taken the call either; it is asked until
    /// the deadline, since a crowd passes.
    pub(crate) fn call(&self, endpoint: &Endpoint, body: &[u8], deadline: Deadline) -> Result<Answer, CallError> {
        let (mut lost, mut refused) = (0, 0);
        loop {
            let result = self.attempt(endpoint, body, deadline);
            let wait = match &result {
                Err(CallError::Lost(HttpError::Lost { received: 0, .. })) if lost < RETRIES => {
                    lost += 1;
                    pause(lost - 1)
                }
                Err(CallError::Said(said)) if said.code == ErrorCode::Unavailable => {
                    refused += 1;
                    patient_pause(refused - 1)
                }
                _ => return result,
            };
            // The daemon's own word says more than that the time was up while waiting for another.
            let is_over = deadline.remaining().is_none_or(|left| left <= wait);
            if *endpoint == Endpoint::Stop || is_over || !deadline.sleep(wait) {
                return result;
            }
        }
    }

    /// The same, reading the answer.
    pub(crate) fn call_json<T: DeserializeOwned>(&self, endpoint: &Endpoint, body: &[u8]) -> Result<T, CallError> {
        self.call_json_within(endpoint, body, Deadline::after(CALL))
    }

    /// The same, within a deadline of the caller's.
    pub(crate) fn call_json_within<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        body: &[u8],
        deadline: Deadline,
    ) -> Result<T, CallError> {
        let answer = self.call(endpoint, body, deadline)?;
        serde_json::from_slice(answer.body())
            .map_err(|error| CallError::Malformed(format!("its answer is not what was asked for ({error})")))
    }

    /// Has a daemon that runs read the configuration now, rather than when its watch tells it. Nothing depends on it, so
    /// a daemon that does not run or does not answer is no error.
    pub(crate) fn reload() {
        if let Ok(agent) = Self::find(IfAbsent::Fail) {
            let _ = agent.call(&Endpoint::ConfigReload, b"", Deadline::after(CONNECT));
        }
    }

    /// What a daemon that runs and answers says of itself, for those who can do without one.
    pub(crate) fn status_if_running() -> Option<Status> {
        let agent = Self::find(IfAbsent::Fail).ok()?;
        agent.call_json_within(&Endpoint::Status, b"", Deadline::after(CONNECT)).ok()
    }

    /// The process that listens, as the kernel tells it; `None` where the system does not.
    pub(crate) fn listener(&self) -> Result<Option<rustix::process::Pid>, CallError> {
        let stream = open(&self.socket, Deadline::after(CONNECT))?;
        Ok(listener_of(&stream))
    }

    fn attempt(&self, endpoint: &Endpoint, body: &[u8], deadline: Deadline) -> Result<Answer, CallError> {
        if matches!(endpoint, Endpoint::Token(_)) {
            return self.attempt_token(&http::request(endpoint, body), deadline);
        }
        let (mut stream, _) = self.connect(deadline)?;
        let max = if *endpoint == Endpoint::Status { MAX_STATUS } else { MAX_ANSWER };
        let answer = http::exchange(&mut stream, &http::request(endpoint, body), max, deadline);
        let answer = answer.map_err(|error| failed(error, deadline))?;
        // Nobody waits for these calls as for kubectl's, so they clear up.
        cooldown::end(&self.socket);
        judge(answer)
    }

    /// An attempt that kubectl waits for, and makes again and again: where a daemon hangs, the first waits for it and those
    /// that follow soon do not.
    fn attempt_token(&self, request: &[u8], deadline: Deadline) -> Result<Answer, CallError> {
        let result = self.reach(deadline).and_then(|mut stream| {
            let is_hopeless = || cooldown::is_on(&self.socket);
            http::exchange_unless(&mut stream, request, MAX_ANSWER, deadline, cooldown::MOMENT, is_hopeless)
                .map_err(|error| failed(error, deadline))
        });
        if let Err(CallError::Busy(_) | CallError::Silent(_)) = &result {
            cooldown::begin(&self.socket);
        }
        judge(result?)
    }

    /// The same as [`Agent::connect`], but for a daemon whose queue is full and stays so.
    fn reach(&self, deadline: Deadline) -> Result<UnixStream, CallError> {
        let patience = deadline.within(CONNECT);
        match open(&self.socket, patience.within(cooldown::MOMENT)) {
            Err(CallError::Busy(_)) if cooldown::is_on(&self.socket) => Err(CallError::Busy(patience.limit())),
            Err(CallError::Busy(_)) => open(&self.socket, patience),
            Err(CallError::NotRunning) => self.connect(deadline).map(|(stream, _)| stream),
            result => result,
        }
    }

    fn connect(&self, deadline: Deadline) -> Result<(UnixStream, bool), CallError> {
        match open(&self.socket, deadline) {
            Err(CallError::NotRunning) if self.if_absent == IfAbsent::Start => {
                match start::start(&self.socket, deadline) {
                    // Somebody ended it before it could say anything: a logout, or an impatient `kill`.
                    Err(StartError::Died) => start::start(&self.socket, deadline)?,
                    result => result?,
                }
                cooldown::end(&self.socket);
                Ok((open_soon(&self.socket, deadline)?, true))
            }
            result => Ok((result?, false)),
        }
    }
}

/// Why a call has no answer, in the words of the calls.
fn failed(error: HttpError, deadline: Deadline) -> CallError {
    match error {
        HttpError::TimedOut => CallError::Silent(deadline.limit()),
        HttpError::Lost { .. } => CallError::Lost(error),
        HttpError::Malformed(why) => CallError::Malformed(why.to_owned()),
    }
}

/// Sorts an answer: the right protocol first, then success or the daemon's own error.
fn judge(answer: Answer) -> Result<Answer, CallError> {
    match answer.protocol() {
        Some(PROTOCOL_VERSION) => {}
        Some(theirs) => return Err(CallError::Mismatch { theirs: theirs.to_string() }),
        None => return Err(CallError::Malformed("its answer names no version of our protocol".to_owned())),
    }
    if answer.status() == 200 {
        return Ok(answer);
    }
    match serde_json::from_slice::<ErrorAnswer>(answer.body()) {
        Ok(said) if said.error.code == ErrorCode::ProtocolMismatch => {
            Err(CallError::Mismatch { theirs: "?".to_owned() })
        }
        Ok(said) => Err(CallError::Said(said.error)),
        Err(_) => Err(CallError::Malformed(format!("it answered {} without an error that we know", answer.status()))),
    }
}

/// Connects to a daemon that has just been started, by us or by somebody who was quicker and may not listen yet.
fn open_soon(socket: &Path, deadline: Deadline) -> Result<UnixStream, CallError> {
    let deadline = deadline.within(CONNECT);
    let mut attempt = 0;
    loop {
        match open(socket, deadline) {
            Err(CallError::NotRunning) if deadline.sleep(pause(attempt)) => attempt += 1,
            result => return result,
        }
    }
}

/// Connects, and checks that nobody else can be at the other end: the folder is ours and closed, the socket is ours, and
/// so is the process (P3).
fn open(socket: &Path, deadline: Deadline) -> Result<UnixStream, CallError> {
    let refused =
        |path: &Path, problem: String| CallError::Untrusted { path: path.to_owned(), problem, can_close: false };
    let folder = socket.parent().unwrap_or(socket);
    match location::private_folder(folder) {
        Ok(()) => {}
        Err(FolderProblem::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Err(CallError::NotRunning),
        Err(FolderProblem::Io(error)) => return Err(refused(folder, format!("out of reach ({error})"))),
        Err(problem) => {
            let can_close = matches!(problem, FolderProblem::Mode(_)) && is_made_by_us(folder);
            return Err(CallError::Untrusted { path: folder.to_owned(), problem: problem.to_string(), can_close });
        }
    }
    let own = rustix::process::geteuid().as_raw();
    match socket.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => return Err(refused(socket, "not a socket".to_owned())),
        Ok(found) if found.uid() != own => return Err(refused(socket, format!("owned by uid {}", found.uid()))),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(CallError::NotRunning),
        Err(error) => return Err(refused(socket, format!("out of reach ({error})"))),
    }
    let stream = connect(socket, deadline.within(CONNECT))?;
    match peer_uid(&stream) {
        Ok(uid) if uid == own => Ok(stream),
        Ok(uid) => Err(refused(socket, format!("served by uid {uid}"))),
        Err(error) => Err(refused(socket, format!("served by nobody known ({error})"))),
    }
}

/// Whether a folder, already known to be this user's, is one that Rolecall makes for its socket: of that name in a
/// private folder, or in its own state. Never `/tmp` or a folder that `ROLECALL_SOCKET` shares with others.
fn is_made_by_us(folder: &Path) -> bool {
    let is_in_runtime_folder = folder.file_name().is_some_and(|name| name == "rolecall")
        && folder.parent().is_some_and(|base| location::private_folder(base).is_ok());
    is_in_runtime_folder || location::state_folder().is_ok_and(|state| state.join("run") == folder)
}

/// `connect(2)` with a deadline. std's would wait for ever where the daemon is stopped and its queue full; with a send
/// timeout the kernel wakes us the moment there is room, which polling on `EAGAIN` would not.
fn connect(socket: &Path, deadline: Deadline) -> Result<UnixStream, CallError> {
    let failed = |cause: rustix::io::Errno| CallError::Connect { path: socket.to_owned(), cause: cause.into() };
    let address = SocketAddrUnix::new(socket).map_err(failed)?;
    let fd = new_socket().map_err(failed)?;
    let mut attempt = 0;
    loop {
        let left = deadline.remaining().ok_or(CallError::Busy(deadline.limit()))?;
        rustix::net::sockopt::set_socket_timeout(&fd, rustix::net::sockopt::Timeout::Send, Some(left))
            .map_err(failed)?;
        match rustix::net::connect(&fd, &address) {
            Ok(()) => return Ok(UnixStream::from(fd)),
            Err(rustix::io::Errno::INTR) => {}
            // Where a system does not wait: try again until the deadline.
            Err(rustix::io::Errno::AGAIN) => {
                deadline.sleep(pause(attempt));
                attempt += 1;
            }
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => return Err(CallError::NotRunning),
            Err(error) => return Err(failed(error)),
        }
    }
}

#[cfg(target_os = "linux")]
fn new_socket() -> rustix::io::Result<rustix::fd::OwnedFd> {
    let flags = rustix::net::SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

#[cfg(not(target_os = "linux"))]
fn new_socket() -> rustix::io::Result<rustix::fd::OwnedFd> {
    let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    Ok(fd)
}

#[cfg(target_os = "linux")]
fn peer_uid(stream: &UnixStream) -> rustix::io::Result<u32> {
    rustix::net::sockopt::socket_peercred(stream).map(|peer| peer.uid.as_raw())
}

/// Elsewhere the private folder and the socket's owner have to do: nobody else (but root) can listen in it.
#[cfg(not(target_os = "linux"))]
fn peer_uid(_: &UnixStream) -> rustix::io::Result<u32> {
    Ok(rustix::process::geteuid().as_raw())
}

#[cfg(target_os = "linux")]
fn listener_of(stream: &UnixStream) -> Option<rustix::process::Pid> {
    rustix::net::sockopt::socket_peercred(stream).ok().map(|peer| peer.pid)
}

#[cfg(not(target_os = "linux"))]
fn listener_of(_: &UnixStream) -> Option<rustix::process::Pid> {
    None
}

#[cfg(test)]
pub(crate) mod tests;

//! The process that serves the endpoint.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rolecall_loopback::PeerUser;
use rolecall_protocol::{ErrorBody, ErrorCode, ProfileCredentials, ProfileName, Secret};
use rustix::event::{PollFd, PollFlags};
use serde::Serialize;

use super::request::{Decision, Expected, MAX_HEAD_BYTES};
use crate::clock::{self, Deadline};
use crate::daemon::{CallError, Daemon};
use crate::error::CliError;
use crate::output;

/// How long a connection may take to send its request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one write of an answer may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the daemon may take for an answer. It usually has the session; while it gets a new one, SDKs, which wait for 1 s or
/// longer, are refused for now and ask again.
const DAEMON_TIMEOUT: Duration = Duration::from_millis(900);
/// The most connections at the same time.
const MAX_CONNECTIONS: usize = 64;
/// The pause after a failed accept: a lack of file descriptors lasts a while.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How often the end of the command is looked for, on systems that do not report it.
const PARENT_INTERVAL: Duration = Duration::from_secs(1);
/// When an SDK reads a session again whose expiry is unknown.
const UNKNOWN_LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// The room for an answer: a buffer that grows leaves copies behind that are not wiped.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// What each connection needs.
struct Server {
    name: ProfileName,
    daemon: Daemon,
    expected: Expected,
    connections: AtomicUsize,
}

/// Serves the session of a profile until the parent process has ended. Writes the token into `token_file`, and the port to
/// standard output. Removes the file at the end.
pub(crate) fn serve(name: &ProfileName, token_file: &Path, daemon: Daemon) -> Result<(), CliError> {
    let failed =
        |error: io::Error| CliError::failed(format!("cannot serve credentials: {error}"), "Run it without --server");
    let parent = Parent::find();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let token = new_token().map_err(failed)?;
    write_token(token_file, &token).map_err(failed)?;
    let expected = Expected { host: format!("{}:{port}", Ipv4Addr::LOCALHOST), token };
    let server = Arc::new(Server { name: name.clone(), daemon, expected, connections: AtomicUsize::new(0) });
    let announced = output::print(&format!("{port}\n")).and_then(|()| close_stdout().map_err(failed));
    if announced.is_ok() {
        server.accept_until(&parent, &listener);
    }
    let _ = fs::remove_file(token_file);
    announced
}

/// Returns 256 random bits in hexadecimal digits.
fn new_token() -> io::Result<Secret<String>> {
    use std::fmt::Write as _;
    let mut bytes = Secret::new([0; 32]);
    getrandom::fill(bytes.expose_mut()).map_err(|error| io::Error::other(error.to_string()))?;
    let mut text = Secret::new(String::with_capacity(64));
    for byte in bytes.expose() {
        // Writing to a String cannot fail.
        let _ = write!(text.expose_mut(), "{byte:02x}");
    }
    Ok(text)
}

/// Writes the token without a line break, which SDKs would send.
fn write_token(path: &Path, token: &Secret<String>) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(token.expose().as_bytes())
}

/// Replaces standard output, which the parent process reads to its end.
fn close_stdout() -> io::Result<()> {
    let null = fs::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(null)?)
}

/// The command: the parent of this process.
struct Parent {
    pid: Option<rustix::process::Pid>,
    #[cfg(target_os = "linux")]
    end: Option<rustix::fd::OwnedFd>,
}

impl Parent {
    fn find() -> Self {
        let pid = rustix::process::getppid();
        Self {
            pid,
            #[cfg(target_os = "linux")]
            end: pid.and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()),
        }
    }

    /// Waits for a connection. Returns false once the parent has ended: it is another process then.
    fn wait_for_connection(&self, listener: &TcpListener) -> bool {
        let mut polled = vec![PollFd::new(listener, PollFlags::IN)];
        #[cfg(target_os = "linux")]
        polled.extend(self.end.as_ref().map(|end| PollFd::new(end, PollFlags::IN)));
        let interval = rustix::event::Timespec::try_from(PARENT_INTERVAL).ok();
        let is_reported = polled.len() > 1;
        // An error, such as an interruption, only ends the wait early.
        let _ = rustix::event::poll(&mut polled, interval.as_ref().filter(|_| !is_reported));
        rustix::process::getppid() == self.pid
    }
}

impl Server {
    fn accept_until(self: &Arc<Self>, parent: &Parent, listener: &TcpListener) {
        while parent.wait_for_connection(listener) {
            match listener.accept() {
                Ok((stream, peer)) => self.accept(stream, peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => std::thread::sleep(ACCEPT_RETRY_PAUSE),
            }
        }
    }

    /// Serves a connection in a thread of its own. One of another user is refused before it takes a place.
    fn accept(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let is_own = stream.local_addr().is_ok_and(|own| is_admitted(rolecall_loopback::peer_user(peer, own)));
        let is_busy = self.connections.load(Ordering::Relaxed) >= MAX_CONNECTIONS;
        if !is_own || is_busy {
            let answer = if is_own { busy() } else { refusal() };
            let _ = stream.set_nonblocking(true);
            let _ = (&stream).write_all(answer.expose());
            return;
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        let server = Arc::clone(self);
        let thread = std::thread::Builder::new().name("connection".to_owned());
        let spawned = thread.spawn(move || {
            // A connection that fails is the SDK's to try again.
            let _ = server.answer(stream);
            server.connections.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            self.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let answer = match self.read(&mut stream)? {
            Decision::Allowed => self.session(),
            Decision::Refused | Decision::Incomplete => refusal(),
        };
        stream.write_all(answer.expose())?;
        // Without it, bytes that were not read would reset the connection before the answer is read.
        stream.shutdown(std::net::Shutdown::Write)
    }

    fn read(&self, stream: &mut TcpStream) -> io::Result<Decision> {
        let deadline = Deadline::after(HEAD_TIMEOUT);
        let mut head = Secret::new(Vec::with_capacity(MAX_HEAD_BYTES));
        let mut chunk = Secret::new([0; 1024]);
        loop {
            stream.set_read_timeout(Some(deadline.remaining().ok_or(io::ErrorKind::TimedOut)?))?;
            let count = match stream.read(chunk.expose_mut()) {
                Ok(0) => return Ok(Decision::Refused),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            head.expose_mut().extend_from_slice(chunk.expose().get(..count).unwrap_or_default());
            match self.expected.decide(head.expose()) {
                Decision::Incomplete => {}
                decision => return Ok(decision),
            }
        }
    }

    fn session(&self) -> Secret<Vec<u8>> {
        match self.daemon.credentials(&self.name, Deadline::after(DAEMON_TIMEOUT)) {
            Ok(credentials) => http_answer(200, &ContainerCredentials::of(&credentials, clock::now())),
            Err(CallError::Rejected(body)) => http_answer(body.code.http_status(), &ContainerError::of(body)),
            Err(error) => {
                let body = ErrorBody::new(ErrorCode::Unavailable, error.to_string());
                http_answer(503, &ContainerError::of(body))
            }
        }
    }
}

/// Whether the user of a connection may have the session. Where the system does not report it, the token alone decides.
fn is_admitted(user: PeerUser) -> bool {
    match user {
        PeerUser::User(uid) => uid == rustix::process::geteuid().as_raw(),
        PeerUser::Unknown => false,
        PeerUser::Unsupported => true,
    }
}

/// The session, in the form of the container credentials provider (AWS SDKs and Tools Reference).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerCredentials<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    expiration: Timestamp,
}

impl<'a> ContainerCredentials<'a> {
    /// SDKs require an expiry.
    fn of(credentials: &'a ProfileCredentials, now: Timestamp) -> Self {
        Self {
            access_key_id: credentials.access_key_id.expose(),
            secret_access_key: credentials.secret_access_key.expose(),
            token: credentials.session_token.expose(),
            expiration: credentials.expires.unwrap_or(now + UNKNOWN_LIFETIME),
        }
    }
}

/// An error, in the form that SDKs show.
#[derive(Serialize)]
struct ContainerError {
    code: String,
    message: String,
}

impl ContainerError {
    fn of(body: ErrorBody) -> Self {
        let body = body.sanitized();
        Self { code: body.code.to_string(), message: body.to_string() }
    }
}

/// The answer to every request that gets no session.
fn refusal() -> Secret<Vec<u8>> {
    http_answer(403, &ContainerError { code: "forbidden".to_owned(), message: "forbidden".to_owned() })
}

/// An SDK asks again after this answer.
fn busy() -> Secret<Vec<u8>> {
    http_answer(503, &ContainerError { code: "unavailable".to_owned(), message: "too many connections".to_owned() })
}

fn http_answer(status: u16, body: &impl Serialize) -> Secret<Vec<u8>> {
    let mut json = Secret::new(Vec::with_capacity(MAX_ANSWER_BYTES));
    let written = serde_json::to_writer(json.expose_mut(), body).is_ok();
    let status = if written { status } else { 500 };
    let reason = if status == 200 { "OK" } else { "Error" };
    let mut answer = Secret::new(Vec::with_capacity(MAX_ANSWER_BYTES));
    // Writing to a Vec cannot fail.
    let _ = write!(
        answer.expose_mut(),
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        json.expose().len(),
    );
    answer.expose_mut().extend_from_slice(json.expose());
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws_session::tests::session;

    /// Fault matrix row 102.
    #[test]
    fn only_the_own_user_is_admitted() {
        let own = rustix::process::geteuid().as_raw();
        assert!(is_admitted(PeerUser::User(own)));
        for other in [PeerUser::User(own + 1), PeerUser::Unknown] {
            assert!(!is_admitted(other), "{other:?}");
        }
    }

    #[test]
    fn token_file_is_private_and_has_no_line_break() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let tokens = [new_token().unwrap(), new_token().unwrap()];
        for token in &tokens {
            write_token(&path, token).unwrap();
            assert_eq!(&fs::read_to_string(&path).unwrap(), token.expose());
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            assert!(token.expose().len() == 64 && token.expose().chars().all(|c| c.is_ascii_hexdigit()));
        }
        assert_ne!(tokens[0].expose(), tokens[1].expose());
    }

    #[test]
    fn answers_are_those_of_a_container() {
        let text = |answer: &Secret<Vec<u8>>| String::from_utf8(answer.expose().clone()).unwrap();
        let mut session = session();
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let answer = text(&http_answer(200, &ContainerCredentials::of(&session, now)));
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\nCache-Control: no-store\r\n"),
            "{answer}"
        );
        let json = r#"{"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"it's $ecret","Token":"tok/en+==","Expiration":"2030-01-02T03:04:05Z"}"#;
        assert!(
            answer.ends_with(&format!("\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}", json.len())),
            "{answer}"
        );
        session.expires = None;
        assert_eq!(ContainerCredentials::of(&session, now).expiration.to_string(), "2026-01-02T04:04:05Z");
        let body = ErrorBody::new(ErrorCode::Locked, "prod: the agent is locked").hint("Run: rolecall unlock");
        let answer = text(&http_answer(423, &ContainerError::of(body)));
        assert!(answer.starts_with("HTTP/1.1 423 "), "{answer}");
        assert!(
            answer.ends_with(r#"{"code":"locked","message":"prod: the agent is locked. Run: rolecall unlock"}"#),
            "{answer}"
        );
        assert!(text(&refusal()).starts_with("HTTP/1.1 403 "));
    }
}

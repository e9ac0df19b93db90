//! The conversation against a daemon of a few lines.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use rustix::net::SocketAddrUnix;

use super::super::connect::{connect, new_socket};
use super::*;
use crate::error::CliError;

pub(crate) struct FakeServer {
    folder: tempfile::TempDir,
    pub(crate) daemon: Daemon,
    server: Option<JoinHandle<Vec<String>>>,
}

impl FakeServer {
    /// A daemon that gives one answer per connection, in order, and then ends.
    pub(crate) fn answering(answers: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let socket = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let server = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let Some(mut stream) = accept(&listener) else { break };
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap();
                requests.push(String::from_utf8_lossy(&request[..length]).into_owned());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            requests
        });
        Self { folder, daemon: Daemon::at(socket), server: Some(server) }
    }

    fn call(&self) -> Result<Response, CallError> {
        self.call_within(Duration::from_secs(5))
    }

    fn call_within(&self, limit: Duration) -> Result<Response, CallError> {
        let name = "prod".parse().unwrap();
        self.daemon.call(&Endpoint::Token(name), b"{}", Deadline::after(limit))
    }

    pub(crate) fn requests(&mut self) -> Vec<String> {
        self.server.take().map(|server| server.join().unwrap()).unwrap_or_default()
    }
}

/// The next connection. A test that fails does not make one, and must not hang for it.
fn accept(listener: &UnixListener) -> Option<UnixStream> {
    let deadline = Deadline::after(Duration::from_secs(5));
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            return Some(stream);
        }
        if !deadline.sleep(Duration::from_millis(1)) {
            return None;
        }
    }
}

pub(crate) fn http_response(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} x\r\nrolecall-protocol: 1\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn result_text(error: CallError) -> (u8, String) {
    let error = CliError::from(error);
    (error.code(), error.to_string())
}

#[test]
fn call_one_request_one_response() {
    let mut fake = FakeServer::answering(&[&http_response(200, "{\"a\":1}")]);
    assert_eq!(fake.call().unwrap().body(), b"{\"a\":1}");
    assert!(fake.requests()[0].starts_with("POST /v1/profiles/prod/token HTTP/1.1\r\n"));
}

/// Fault matrix row 34. A daemon that does not know the headers ignores them.
#[test]
fn call_token_sends_the_entry_proof_as_a_header() {
    let key = "ab".repeat(32);
    let [with_key, terminal] = [format!("rolecall-entry-key: {key}\r\n"), "rolecall-terminal: 1\r\n".to_owned()];
    for (proof, header) in [
        (EntryProof::Key(key.parse().unwrap()), with_key.as_str()),
        (EntryProof::Terminal, terminal.as_str()),
        (EntryProof::Absent, ""),
    ] {
        let mut fake = FakeServer::answering(&[&http_response(200, "{}")]);
        let name = "prod".parse().unwrap();
        fake.daemon.call_token(&name, b"{}", &proof, Deadline::after(Duration::from_secs(5))).unwrap();
        assert_eq!(
            fake.requests()[0],
            format!(
                "POST /v1/profiles/prod/token HTTP/1.1\r\nHost: rolecall\r\nrolecall-protocol: 1\r\n{header}Content-Length: 2\r\n\
                 Connection: close\r\n\r\n{{}}"
            )
        );
    }
}

#[test]
fn call_daemon_error_is_unchanged() {
    let body = r#"{"error":{"code":"login_needed","message":"prod: log in","hint":"Run: rolecall login work"}}"#;
    let fake = FakeServer::answering(&[&http_response(401, body)]);
    assert_eq!(result_text(fake.call().unwrap_err()), (5, "prod: log in. Run: rolecall login work".to_owned()));
}

#[test]
fn call_daemon_ends_before_response_retries() {
    let mut fake = FakeServer::answering(&["", &http_response(200, "{}")]);
    assert_eq!(fake.call().unwrap().body(), b"{}");
    assert_eq!(fake.requests().len(), 2);
    let mut fake = FakeServer::answering(&[""; 1 + MAX_RETRIES as usize]);
    let (code, text) = result_text(fake.call().unwrap_err());
    assert_eq!(code, 3);
    assert!(text.contains("ended during the call") && text.ends_with("Run: rolecall agent restart"), "{text}");
    assert_eq!(fake.requests().len(), 1 + MAX_RETRIES as usize);
}

#[test]
fn call_too_many_callers_retries_until_deadline() {
    let full =
        http_response(503, r#"{"error":{"code":"unavailable","message":"too many callers","hint":"Try again."}}"#);
    let mut fake = FakeServer::answering(&[&full, &full, "", &full, &full, &full, &http_response(200, "{}")]);
    assert_eq!(fake.call().unwrap().body(), b"{}");
    assert_eq!(fake.requests().len(), 7);

    let fake = FakeServer::answering(&[full.as_str(); 100]);
    let limit = Duration::from_millis(300);
    let begun = Deadline::after(limit);
    let error = fake.call_within(limit).unwrap_err();
    assert!(matches!(&error, CallError::Rejected(said) if said.code == ErrorCode::Unavailable), "{error:?}");
    // The last pause is not slept through where nothing could come after it; until then it was waited.
    assert!(begun.remaining().is_none_or(|left| left < limit / 2), "{begun:?}");
    assert_eq!(result_text(error), (3, "too many callers. Try again.".to_owned()));
}

#[test]
fn call_daemon_ends_in_response_fails() {
    let mut fake = FakeServer::answering(&["HTTP/1.1 200 OK\r\nconte"]);
    assert_eq!(result_text(fake.call().unwrap_err()).0, 3);
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn call_other_protocol_is_a_mismatch() {
    let newer = "HTTP/1.1 200 OK\r\nrolecall-protocol: 2\r\ncontent-length: 2\r\n\r\n{}";
    let (code, text) = result_text(FakeServer::answering(&[newer]).call().unwrap_err());
    assert_eq!(code, 4);
    assert!(text.starts_with("the agent speaks version 2 of the protocol and this client version 1"), "{text}");
    let refusal = http_response(409, r#"{"error":{"code":"protocol_mismatch","message":"no"}}"#);
    assert_eq!(result_text(FakeServer::answering(&[&refusal]).call().unwrap_err()).0, 4);
    let stranger = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(result_text(FakeServer::answering(&[stranger]).call().unwrap_err()).0, 3);
    assert_eq!(result_text(FakeServer::answering(&[&http_response(500, "<html>")]).call().unwrap_err()).0, 3);
}

#[test]
fn call_without_listener_is_not_running() {
    let mut fake = FakeServer::answering(&[]);
    fake.requests();
    // The listener has gone and its socket lies about, as after a kill -9.
    assert!(matches!(fake.call(), Err(CallError::NotRunning)));
    std::fs::remove_file(&fake.daemon.socket).unwrap();
    assert!(matches!(fake.call(), Err(CallError::NotRunning)));
    fake.daemon.socket = fake.folder.path().join("none/agent.sock");
    assert!(matches!(fake.call(), Err(CallError::NotRunning)));
}

/// Fault matrix row 4.
#[test]
fn connect_foreign_socket_or_folder_is_refused() {
    let fake = FakeServer::answering(&[]);
    std::fs::set_permissions(fake.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, text) = result_text(fake.call().unwrap_err());
    assert_eq!(code, 3);
    assert!(text.contains("open to others (mode 0755"), "{text}");
    assert!(!text.contains("chmod"), "a folder that may have other uses: {text}");

    let fake = FakeServer::answering(&[]);
    std::fs::remove_file(&fake.daemon.socket).unwrap();
    std::fs::write(&fake.daemon.socket, "").unwrap();
    assert!(result_text(fake.call().unwrap_err()).1.contains("agent.sock is not a socket"));

    let mut fake = FakeServer::answering(&[]);
    let link = fake.folder.path().join("link");
    std::os::unix::fs::symlink(fake.folder.path(), &link).unwrap();
    fake.daemon.socket = link.join("agent.sock");
    assert!(result_text(fake.call().unwrap_err()).1.contains("link is not a folder"));
}

#[test]
fn connect_own_open_folder_gets_chmod_hint() {
    let base = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(base.path(), 0o700);
    let folder = base.path().join("rolecall");
    std::fs::create_dir(&folder).unwrap();
    mode(&folder, 0o755);
    let result_text = || result_text(open(&folder.join("agent.sock"), Deadline::after(CONNECT_TIMEOUT)).unwrap_err()).1;
    assert!(
        result_text().ends_with(&format!("Make the folder private: chmod 700 {}", folder.display())),
        "{}",
        result_text()
    );
    // In a folder that other users can enter, the name is not enough.
    mode(base.path(), 0o755);
    assert!(result_text().contains("open to others") && !result_text().contains("chmod"), "{}", result_text());
}

/// Fault matrix row 17.
#[test]
fn connect_full_queue_is_busy_at_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let address = SocketAddrUnix::new(&socket).unwrap();
    let listener = new_socket().unwrap();
    rustix::net::bind(&listener, &address).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let deadline = || Deadline::after(Duration::from_millis(50));
    let _first = connect(&socket, deadline()).unwrap();
    let error = connect(&socket, deadline()).unwrap_err();
    assert!(matches!(error, CallError::Busy(_)), "{error:?}");
}

/// A socket whose listener never responds, with room for so many more callers than one.
fn deaf(room: i32) -> (tempfile::TempDir, Daemon, rustix::fd::OwnedFd) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let socket = folder.path().join("agent.sock");
    let listener = new_socket().unwrap();
    rustix::net::bind(&listener, &SocketAddrUnix::new(&socket).unwrap()).unwrap();
    rustix::net::listen(&listener, room).unwrap();
    (folder, Daemon::at(socket), listener)
}

/// A call of so many milliseconds, and whether it took less than half of that.
fn is_quick(daemon: &Daemon, endpoint: &Endpoint, millis: u64) -> (bool, CallError) {
    let limit = Duration::from_millis(millis);
    let begun = Deadline::after(limit);
    let error = daemon.call(endpoint, b"{}", begun).unwrap_err();
    (begun.remaining().is_some_and(|left| left > limit / 2), error)
}

/// Fault matrix row 18.
#[test]
fn token_call_in_cooldown_gives_up_early() {
    let (_folder, daemon, _listener) = deaf(8);
    let token = Endpoint::Token("prod".parse().unwrap());
    let (quick, error) = is_quick(&daemon, &token, 1000);
    assert!(!quick && matches!(error, CallError::NoResponse(_)), "{error:?}");
    let (quick, error) = is_quick(&daemon, &token, 2000);
    assert!(quick && matches!(error, CallError::NoResponse(waited) if waited.as_secs() == 2), "{error:?}");
    // Calls other than kubectl's ignore the cooldown.
    let (quick, _) = is_quick(&daemon, &Endpoint::Status, 700);
    assert!(!quick);
    std::fs::remove_file(daemon.socket.with_extension("cooldown")).unwrap();
    let (quick, _) = is_quick(&daemon, &token, 700);
    assert!(!quick, "there was no stamp");
}

/// Fault matrix row 17.
#[test]
fn token_call_full_queue_waits_once() {
    let (_folder, daemon, _listener) = deaf(0);
    let _first = connect(&daemon.socket, Deadline::after(CONNECT_TIMEOUT)).unwrap();
    let token = Endpoint::Token("prod".parse().unwrap());
    let (quick, error) = is_quick(&daemon, &token, 1000);
    assert!(!quick && matches!(error, CallError::Busy(_)), "{error:?}");
    let (quick, error) = is_quick(&daemon, &token, 1500);
    assert!(quick && matches!(error, CallError::Busy(waited) if waited.as_millis() == 1500), "{error:?}");
}

/// Fault matrix row 18.
#[test]
fn token_call_in_cooldown_reads_a_response() {
    let fake = FakeServer::answering(&[&http_response(200, "{}")]);
    cooldown::start(&fake.daemon.socket);
    assert_eq!(fake.call().unwrap().body(), b"{}");
    // What is answered but not to kubectl takes it away.
    let fake = FakeServer::answering(&[&http_response(200, "{}")]);
    cooldown::start(&fake.daemon.socket);
    fake.daemon.call(&Endpoint::Restart, b"", Deadline::after(CALL_TIMEOUT)).unwrap();
    assert!(!cooldown::is_active(&fake.daemon.socket));
}

#[test]
fn events_first_line_is_hello() {
    let stream = |body: &str| format!("HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n{body}");
    let hello = "{\"at\":\"2026-01-02T12:00:00Z\",\"event\":\"hello\",\"new\":1}\n";
    let soon = || Deadline::after(Duration::from_secs(5));
    let full = http_response(503, r#"{"error":{"code":"unavailable","message":"too many calls"}}"#);
    // A daemon that has too many callers is asked again.
    let mut fake = FakeServer::answering(&[&full, &stream(&format!("{hello}next\n"))]);
    let mut lines = fake.daemon.events(soon()).unwrap();
    assert_eq!(lines.next(soon()).unwrap().unwrap(), b"next");
    assert!(lines.next(soon()).is_err(), "it has ended");
    assert_eq!(fake.requests()[1], "GET /v1/events HTTP/1.0\r\nHost: rolecall\r\nrolecall-protocol: 1\r\n\r\n");

    let refused = |text: &str| result_text(FakeServer::answering(&[text]).daemon.events(soon()).unwrap_err());
    let (code, text) =
        refused(&http_response(404, r#"{"error":{"code":"bad_request","message":"there is no such endpoint"}}"#));
    assert_eq!(code, 4);
    assert_eq!(
        text,
        "the agent is older than this client and does not support status --watch. Run: rolecall agent restart"
    );
    assert_eq!(refused(&http_response(409, r#"{"error":{"code":"protocol_mismatch","message":"no"}}"#)).0, 4);
    assert_eq!(refused(&http_response(500, r#"{"error":{"code":"internal","message":"no"}}"#)), (70, "no".to_owned()));
    for strange in [
        "HTTP/1.0 200 OK\r\n\r\n".to_owned() + hello,
        stream("{}\n"),
        stream(&hello.replace("hello", "session")),
        stream("\n"),
        stream(""),
    ] {
        assert_eq!(refused(&strange).0, 3, "{strange}");
    }
}

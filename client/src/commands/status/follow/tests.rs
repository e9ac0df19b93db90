//! A fake daemon, and the events that the thread sends.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use super::*;

const HEAD: &str = "HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n";
const EVENT: &str = "{\"at\":\"2026-01-02T12:00:00Z\",\"event\":\"hello\"}\n";

struct FakeDaemon {
    folder: tempfile::TempDir,
    listener: UnixListener,
}

impl FakeDaemon {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let listener = UnixListener::bind(folder.path().join("agent.sock")).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { folder, listener }
    }

    fn daemon(&self) -> Daemon {
        Daemon::at(self.folder.path().join("agent.sock"))
    }

    /// The next call, which is to be for `path`. A test that fails does not make one, and must not hang for it.
    fn called(&self, path: &str) -> UnixStream {
        let deadline = Deadline::after(Duration::from_secs(5));
        let mut stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) => assert!(deadline.sleep(Duration::from_millis(1)), "no request for {path}"),
            }
        };
        stream.set_nonblocking(false).unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        assert!(request.starts_with(&format!("GET {path} HTTP/1.")), "{request}");
        stream
    }

    fn asked_for_events(&self) -> UnixStream {
        let mut stream = self.called("/v1/events");
        stream.write_all(format!("{HEAD}\r\n{EVENT}").as_bytes()).unwrap();
        stream
    }

    fn asked_for_status(&self, body: &str) {
        let answer = format!("HTTP/1.1 200 OK\r\nrolecall-protocol: 1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        self.called("/v1/status").write_all(answer.as_bytes()).unwrap();
    }

    /// Follows this daemon.
    fn follow(&self) -> (UnixStream, Receiver<WatchEvent>, JoinHandle<()>) {
        self.follow_within(SILENCE_TIMEOUT)
    }

    /// Follows this daemon, with another limit of silence.
    fn follow_within(&self, silence: Duration) -> (UnixStream, Receiver<WatchEvent>, JoinHandle<()>) {
        let (sender, watched) = channel();
        let daemon = self.daemon();
        let thread = std::thread::spawn(move || {
            let events = daemon.events(Deadline::after(CALL_TIMEOUT)).unwrap();
            let _ = Follower::new(daemon, sender, Duration::ZERO, silence).follow(events);
        });
        (self.asked_for_events(), watched, thread)
    }
}

/// The next event other than `Heard`.
fn next(watched: &Receiver<WatchEvent>) -> WatchEvent {
    loop {
        match watched.recv_timeout(Duration::from_secs(5)).unwrap() {
            WatchEvent::Heard(_) => {}
            other => return other,
        }
    }
}

#[track_caller]
fn assert_status(watched: &Receiver<WatchEvent>, expected: &str) {
    match next(watched) {
        WatchEvent::Status(body) => assert_eq!(String::from_utf8(body).unwrap(), expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn follow_event_fetches_the_status() {
    let daemon = FakeDaemon::new();
    let (mut stream, watched, thread) = daemon.follow();
    daemon.asked_for_status("one");
    assert_status(&watched, "one");
    // Three events at once cause one fetch, an empty line none.
    stream.write_all(EVENT.repeat(3).as_bytes()).unwrap();
    daemon.asked_for_status("two");
    assert_status(&watched, "two");
    stream.write_all(b"\n").unwrap();
    stream.write_all(b"{\"of\": \"another release\"}\n").unwrap();
    daemon.asked_for_status("three");
    assert_status(&watched, "three");
    drop((watched, stream));
    // Without a receiver the follower ends.
    drop(daemon);
    thread.join().unwrap();
}

#[test]
fn follow_stopped_daemon_is_awaited() {
    let daemon = FakeDaemon::new();
    let (stream, watched, thread) = daemon.follow();
    daemon.asked_for_status("one");
    assert_status(&watched, "one");
    drop(stream);
    assert!(matches!(next(&watched), WatchEvent::Outage(Outage::NotRunning)));
    let stream = daemon.asked_for_events();
    daemon.asked_for_status("two");
    // The outage may be reported more than once.
    let status = std::iter::from_fn(|| watched.recv_timeout(Duration::from_secs(5)).ok())
        .find_map(|event| if let WatchEvent::Status(body) = event { Some(body) } else { None });
    assert_eq!(status.as_deref(), Some(&b"two"[..]));
    // One of an older release, or of another protocol, is not what was followed.
    drop(stream);
    let no = "{\"error\":{\"code\":\"bad_request\",\"message\":\"no\"}}";
    let answer = format!("HTTP/1.0 404 x\r\nrolecall-protocol: 1\r\ncontent-length: {}\r\n\r\n{no}", no.len());
    daemon.called("/v1/events").write_all(answer.as_bytes()).unwrap();
    let ended = std::iter::from_fn(|| watched.recv_timeout(Duration::from_secs(5)).ok())
        .find_map(|event| if let WatchEvent::Ended(failure) = event { Some(failure) } else { None });
    assert!(matches!(ended, Some(CallError::EventsUnsupported)), "{ended:?}");
    thread.join().unwrap();
}

#[test]
fn follow_silent_daemon_is_reported() {
    let daemon = FakeDaemon::new();
    let (mut stream, watched, thread) = daemon.follow_within(Duration::from_millis(30));
    daemon.asked_for_status("one");
    assert_status(&watched, "one");
    assert!(matches!(next(&watched), WatchEvent::Outage(Outage::Silent)));
    // Said once, and over with the next word, be it empty.
    stream.write_all(b"\n").unwrap();
    assert!(matches!(watched.recv_timeout(Duration::from_secs(5)).unwrap(), WatchEvent::Heard(_)));
    assert!(matches!(next(&watched), WatchEvent::Outage(Outage::Silent)));
    drop((watched, stream, daemon));
    thread.join().unwrap();
}

#[test]
fn follow_stopped_daemon_is_not_started() {
    let daemon = FakeDaemon::new();
    let (sender, _news) = channel();
    let mut follower = Follower::new(daemon.daemon(), sender, Duration::ZERO, SILENCE_TIMEOUT);
    follower.held_lock = true;
    assert!(matches!(follower.reconnect(), Err(CallError::NotRunning)));
    let asked = daemon.listener.accept().unwrap_err();
    assert_eq!(asked.kind(), io::ErrorKind::WouldBlock, "a service manager would have started it");
}

#[test]
fn outage_transient_failures_are_named() {
    let said = |code: &str| {
        let body = serde_json::json!({"code": code, "message": "too many\u{1b} calls"});
        CallError::Rejected(serde_json::from_value(body).unwrap())
    };
    assert!(is_transient(&said("unavailable")));
    assert!(!is_transient(&said("internal")));
    let failing = Outage::Failing("too many\\u{1b} calls; trying again".to_owned());
    assert_eq!(outage(&said("unavailable")), failing);
    for silent in [CallError::NoResponse(CALL_TIMEOUT), CallError::Busy(CALL_TIMEOUT)] {
        assert!(is_transient(&silent));
        assert_eq!(outage(&silent), Outage::Silent);
    }
    for failure in [CallError::EventsUnsupported, CallError::ProtocolMismatch { theirs: "2".to_owned() }] {
        assert!(!is_transient(&failure), "{failure:?}");
    }
}

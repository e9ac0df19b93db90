//! A small daemon with scripted answers, for tests of the client's output.

use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::fixture::HANG_GUARD;
use rolecall_harness::Sandbox;
use serde_json::{Value, json};

pub(crate) const SERIAL: &str = "arn:aws:iam::111122223333:mfa/dev";
pub(crate) const ARN: &str = "arn:aws:sts::111122223333:assumed-role/dev/session";
/// The token for kubectl.
pub(crate) const TOKEN: &str = "k8s-aws-v1.token";

/// Serves the source `work`, the profile `prod` that uses it, and a scripted login.
pub(crate) struct FakeDaemon {
    shared: Arc<Shared>,
    socket: PathBuf,
    accepting: Option<JoinHandle<()>>,
}

type Login = dyn Fn(&Value, &mut Steps<'_>) + Send + Sync;

struct Shared {
    login: Box<Login>,
    is_stopped: AtomicBool,
    is_logged_in: AtomicBool,
    /// The login requests, and the number of token requests.
    requests: Mutex<Requests>,
    changed: Condvar,
}

#[derive(Default)]
struct Requests {
    logins: Vec<Value>,
    tokens: usize,
    /// Logs in after this many token requests.
    log_in_after: Option<usize>,
    opened: bool,
    disconnected: bool,
}

/// The response to one login, step by step.
pub(crate) struct Steps<'a> {
    stream: UnixStream,
    shared: &'a Shared,
}

impl FakeDaemon {
    /// Listens at the sandbox's socket path. `login` answers each login; its first argument is the request's body.
    pub(crate) fn start(sandbox: &Sandbox, login: impl Fn(&Value, &mut Steps<'_>) + Send + Sync + 'static) -> Self {
        let socket = sandbox.runtime_dir().join("rolecall/agent.sock");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
        let shared = Arc::new(Shared {
            login: Box::new(login),
            is_stopped: AtomicBool::new(false),
            is_logged_in: AtomicBool::new(false),
            requests: Mutex::default(),
            changed: Condvar::new(),
        });
        let accept = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accept.is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accept);
                std::thread::spawn(move || shared.serve(stream.unwrap()));
            }
        });
        Self { shared, socket, accepting: Some(accepting) }
    }

    /// Returns the bodies of the login requests.
    pub(crate) fn logins(&self) -> Vec<Value> {
        self.shared.requests.lock().unwrap().logins.clone()
    }

    /// Returns the number of token requests.
    pub(crate) fn tokens(&self) -> usize {
        self.shared.requests.lock().unwrap().tokens
    }

    /// Completes the browser step: [`Steps::wait_opened`] returns.
    pub(crate) fn open(&self) {
        self.shared.update(|requests| requests.opened = true);
    }

    /// Logs in, as another client would, when the next but one token request arrives.
    pub(crate) fn log_in_after_next(&self) {
        self.shared.update(|requests| requests.log_in_after = Some(requests.tokens + 1));
    }

    /// Logs in, as another client would.
    pub(crate) fn log_in(&self) {
        self.shared.is_logged_in.store(true, Ordering::SeqCst);
    }

    /// Waits until a client disconnects during a login, as [`Steps::wait_opened`] detects.
    pub(crate) fn wait_disconnected(&self) {
        let requests = self.shared.requests.lock().unwrap();
        let (requests, _) =
            self.shared.changed.wait_timeout_while(requests, HANG_GUARD, |requests| !requests.disconnected).unwrap();
        assert!(requests.disconnected, "no client has disconnected");
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        drop(UnixStream::connect(&self.socket));
        self.accepting.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn update(&self, change: impl FnOnce(&mut Requests)) {
        change(&mut self.requests.lock().unwrap());
        self.changed.notify_all();
    }

    fn serve(&self, mut stream: UnixStream) {
        let Some((line, body)) = read(&mut stream) else { return };
        let mut words = line.split(' ').skip(1);
        match words.next().unwrap() {
            "/v1/status" => reply(&mut stream, 200, &status()),
            "/v1/profiles/prod" => reply(&mut stream, 200, &profile()),
            "/v1/profiles/prod/token" => {
                self.update(|requests| {
                    requests.tokens += 1;
                    if requests.log_in_after.is_some_and(|refused| requests.tokens > refused) {
                        self.is_logged_in.store(true, Ordering::SeqCst);
                    }
                });
                let (status, answer) = if self.is_logged_in.load(Ordering::SeqCst) {
                    (
                        200,
                        json!({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "spec": {},
                        "status": {"token": TOKEN, "expirationTimestamp": "2099-01-01T00:00:00Z"}}),
                    )
                } else {
                    (401, login_needed())
                };
                reply(&mut stream, status, &answer);
            }
            "/v1/sources/work/login" => {
                let body: Value = serde_json::from_str(&body).unwrap();
                self.update(|requests| requests.logins.push(body.clone()));
                stream.write_all(b"HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n").unwrap();
                (self.login)(&body, &mut Steps { stream, shared: self });
            }
            "/v1/sources/work/logout" if self.is_logged_in.swap(false, Ordering::SeqCst) => {
                reply(&mut stream, 200, &json!({"sessions": 2, "revoked": true}));
            }
            "/v1/sources/work/logout" => reply(&mut stream, 200, &json!({"sessions": 0})),
            other => panic!("unexpected request: {other}"),
        }
    }
}

impl Steps<'_> {
    /// Sends a step.
    pub(crate) fn send(&mut self, step: &Value) {
        // The client may have disconnected.
        let _ = self.stream.write_all(format!("{step}\n").as_bytes());
    }

    /// Requests an MFA code.
    pub(crate) fn code(&mut self, refused: Option<&str>) {
        let refused = refused.map(|message| json!({"code": "login_failed", "message": message}));
        self.send(&json!({"step": "code", "serial": SERIAL, "refused": refused}));
    }

    /// Sends a verification page.
    pub(crate) fn page(&mut self, url: &str, code: Option<&str>) {
        self.send(&json!({"step": "browser", "url": url, "code": code, "expires": "2099-01-01T00:00:00Z"}));
    }

    /// Completes the login.
    pub(crate) fn done(&mut self) {
        self.shared.is_logged_in.store(true, Ordering::SeqCst);
        self.send(&json!({"step": "done", "arn": ARN, "changed": true, "source": {
            "name": "work", "kind": "AWS profile work",
            "login": {"kind": "sso", "ends": "2099-01-01T00:00:00Z", "renews": true}}}));
    }

    /// Waits for [`FakeDaemon::open`] and sends keep-alive lines. Returns `false` if the client disconnects first.
    pub(crate) fn wait_opened(&mut self) -> bool {
        loop {
            let requests = self.shared.requests.lock().unwrap();
            let pause = Duration::from_millis(20);
            let (requests, _) =
                self.shared.changed.wait_timeout_while(requests, pause, |requests| !requests.opened).unwrap();
            if requests.opened {
                return true;
            }
            drop(requests);
            if self.shared.is_stopped.load(Ordering::SeqCst) {
                return false;
            }
            if self.stream.write_all(b"\n").is_err() {
                self.shared.update(|requests| requests.disconnected = true);
                return false;
            }
        }
    }
}

/// Returns the request's first line and its body.
pub(crate) fn read(stream: &mut UnixStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return Some((head.lines().next().unwrap().to_owned(), body.to_owned()));
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Sends a response with a JSON body.
pub(crate) fn reply(stream: &mut UnixStream, status: u16, body: &Value) {
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} x\r\nrolecall-protocol: 1\r\ncontent-length: {}\r\n\r\n", body.len());
    // The test may have killed the client.
    let _ = stream.write_all((head + &body).as_bytes());
}

fn login_needed() -> Value {
    json!({"error": {"code": "login_needed", "message": "prod: the login of source \"work\" has expired",
        "hint": "Run: rolecall login work"}})
}

fn profile() -> Value {
    json!({"name": "prod", "cluster": "prod", "region": "eu-west-1", "source": "work", "state": "login_needed",
        "problem": {"since": "2026-01-02T03:04:05Z", "class": "login", "code": "login_needed", "message": "expired"}})
}

fn status() -> Value {
    json!({
        "daemon": {"version": "0.1.0", "protocol": 1, "pid": 1, "started": "2026-01-02T03:04:05Z", "socket": "/s"},
        "config": {"path": "/c"}, "profiles": [profile()],
        "sources": [{"name": "work", "kind": "AWS profile work"}],
    })
}

//! A daemon of a few lines that says what a test wants it to say: for what a person sees, whatever is behind it.

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
/// What kubectl would get.
pub(crate) const TOKEN: &str = "k8s-aws-v1.token";

/// The source `work`, the profile `prod` that uses it, and a login that a test plays.
pub(crate) struct FakeDaemon {
    shared: Arc<Shared>,
    socket: PathBuf,
    accepting: Option<JoinHandle<()>>,
}

type Login = dyn Fn(&Value, &mut Steps<'_>) + Send + Sync;

struct Shared {
    login: Box<Login>,
    is_over: AtomicBool,
    is_logged_in: AtomicBool,
    /// The bodies of the logins, and how often a token was asked for.
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    logins: Vec<Value>,
    tokens: usize,
    /// How many tokens are refused.
    logs_in_after: Option<usize>,
    opened: bool,
    gone: bool,
}

/// The answer to a login, as it goes on.
pub(crate) struct Steps<'a> {
    stream: UnixStream,
    shared: &'a Shared,
}

impl FakeDaemon {
    /// Listens where the sandbox's clients look. Each login is answered by `login`, which is given the request's body.
    pub(crate) fn start(sandbox: &Sandbox, login: impl Fn(&Value, &mut Steps<'_>) + Send + Sync + 'static) -> Self {
        let socket = sandbox.runtime_dir().join("rolecall/agent.sock");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
        let shared = Arc::new(Shared {
            login: Box::new(login),
            is_over: AtomicBool::new(false),
            is_logged_in: AtomicBool::new(false),
            seen: Mutex::default(),
            changed: Condvar::new(),
        });
        let accept = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accept.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accept);
                std::thread::spawn(move || shared.serve(stream.unwrap()));
            }
        });
        Self { shared, socket, accepting: Some(accepting) }
    }

    /// The bodies of the logins that were asked for.
    pub(crate) fn logins(&self) -> Vec<Value> {
        self.shared.seen.lock().unwrap().logins.clone()
    }

    /// How often a token was asked for.
    pub(crate) fn tokens(&self) -> usize {
        self.shared.seen.lock().unwrap().tokens
    }

    /// The browser was used: [`Steps::wait_opened`] returns.
    pub(crate) fn open(&self) {
        self.shared.see(|seen| seen.opened = true);
    }

    /// Somebody else logs in as soon as a token was asked for once more.
    pub(crate) fn log_in_after_next(&self) {
        self.shared.see(|seen| seen.logs_in_after = Some(seen.tokens + 1));
    }

    /// Somebody else has logged in.
    pub(crate) fn log_in(&self) {
        self.shared.is_logged_in.store(true, Ordering::SeqCst);
    }

    /// Waits until a client has left in the middle of a login, as [`Steps::wait_opened`] notices it.
    pub(crate) fn wait_gone(&self) {
        let seen = self.shared.seen.lock().unwrap();
        let (seen, _) = self.shared.changed.wait_timeout_while(seen, HANG_GUARD, |seen| !seen.gone).unwrap();
        assert!(seen.gone, "nobody has left");
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the one that accepts.
        drop(UnixStream::connect(&self.socket));
        self.accepting.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn see(&self, what: impl FnOnce(&mut Seen)) {
        what(&mut self.seen.lock().unwrap());
        self.changed.notify_all();
    }

    fn serve(&self, mut stream: UnixStream) {
        let Some((line, body)) = read(&mut stream) else { return };
        let mut words = line.split(' ').skip(1);
        match words.next().unwrap() {
            "/v1/status" => reply(&mut stream, 200, &status()),
            "/v1/profiles/prod" => reply(&mut stream, 200, &profile()),
            "/v1/profiles/prod/token" => {
                self.see(|seen| {
                    seen.tokens += 1;
                    if seen.logs_in_after.is_some_and(|refused| seen.tokens > refused) {
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
                    (401, needed())
                };
                reply(&mut stream, status, &answer);
            }
            "/v1/sources/work/login" => {
                let body: Value = serde_json::from_str(&body).unwrap();
                self.see(|seen| seen.logins.push(body.clone()));
                stream.write_all(b"HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n").unwrap();
                (self.login)(&body, &mut Steps { stream, shared: self });
            }
            "/v1/sources/work/logout" if self.is_logged_in.swap(false, Ordering::SeqCst) => {
                reply(&mut stream, 200, &json!({"sessions": 2, "revoked": true}));
            }
            "/v1/sources/work/logout" => reply(&mut stream, 200, &json!({"sessions": 0})),
            other => panic!("nobody answers {other}"),
        }
    }
}

impl Steps<'_> {
    /// Tells a step.
    pub(crate) fn tell(&mut self, step: &Value) {
        // Who has left is not told.
        let _ = self.stream.write_all(format!("{step}\n").as_bytes());
    }

    /// Asks for a code.
    pub(crate) fn code(&mut self, refused: Option<&str>) {
        let refused = refused.map(|message| json!({"code": "login_failed", "message": message}));
        self.tell(&json!({"step": "code", "serial": SERIAL, "refused": refused}));
    }

    /// Shows a page.
    pub(crate) fn page(&mut self, url: &str, code: Option<&str>) {
        self.tell(&json!({"step": "browser", "url": url, "code": code, "expires": "2099-01-01T00:00:00Z"}));
    }

    /// The login is there.
    pub(crate) fn done(&mut self) {
        self.shared.is_logged_in.store(true, Ordering::SeqCst);
        self.tell(&json!({"step": "done", "arn": ARN, "changed": true, "source": {
            "name": "work", "kind": "AWS profile work",
            "login": {"kind": "sso", "ends": "2099-01-01T00:00:00Z", "renews": true}}}));
    }

    /// Waits for [`FakeDaemon::open`], telling that the daemon is there; `false` where the client has left by then.
    pub(crate) fn wait_opened(&mut self) -> bool {
        loop {
            let seen = self.shared.seen.lock().unwrap();
            let pause = Duration::from_millis(20);
            let (seen, _) = self.shared.changed.wait_timeout_while(seen, pause, |seen| !seen.opened).unwrap();
            if seen.opened {
                return true;
            }
            drop(seen);
            if self.shared.is_over.load(Ordering::SeqCst) {
                return false;
            }
            if self.stream.write_all(b"\n").is_err() {
                self.shared.see(|seen| seen.gone = true);
                return false;
            }
        }
    }
}

/// The request's first line and its body.
fn read(stream: &mut UnixStream) -> Option<(String, String)> {
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

fn reply(stream: &mut UnixStream, status: u16, body: &Value) {
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} x\r\nrolecall-protocol: 1\r\ncontent-length: {}\r\n\r\n", body.len());
    // Who was killed meanwhile is not answered.
    let _ = stream.write_all((head + &body).as_bytes());
}

fn needed() -> Value {
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

//! A small daemon with scripted answers about a cluster's access, for tests of the client's output.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rolecall_harness::Sandbox;
use serde_json::{Value, json};

use crate::fake_daemon::{read, reply};

/// An answer of the daemon.
pub(crate) enum Answer {
    /// A response with this status.
    Json(u16, Value),
    /// The steps of a change.
    Steps(Vec<Value>),
}

/// Serves the profile `prod` of the account 111122223333, and these answers.
pub(crate) struct FakeAccess {
    requests: Arc<Mutex<Vec<(String, Value)>>>,
    is_stopped: Arc<AtomicBool>,
    socket: PathBuf,
    accepting: Option<JoinHandle<()>>,
}

impl FakeAccess {
    /// Listens at the sandbox's socket path. The arguments of `answer` are the last part of the path and the body.
    pub(crate) fn start(sandbox: &Sandbox, answer: impl Fn(&str, &Value) -> Answer + Send + 'static) -> Self {
        let socket = sandbox.runtime_dir().join("rolecall/agent.sock");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (requests, is_stopped) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (record, stop) = (Arc::clone(&requests), Arc::clone(&is_stopped));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                serve(stream.unwrap(), &record, &answer);
            }
        });
        Self { requests, is_stopped, socket, accepting: Some(accepting) }
    }

    /// Returns the bodies of the requests whose path ends with `/access/` and this word.
    pub(crate) fn requests(&self, word: &str) -> Vec<Value> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|(path, _)| path == word).map(|(_, body)| body.clone()).collect()
    }
}

impl Drop for FakeAccess {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        drop(UnixStream::connect(&self.socket));
        self.accepting.take().map(JoinHandle::join);
    }
}

fn serve(mut stream: UnixStream, requests: &Mutex<Vec<(String, Value)>>, answer: &impl Fn(&str, &Value) -> Answer) {
    let Some((line, body)) = read(&mut stream) else { return };
    let path = line.split(' ').nth(1).unwrap();
    if path == "/v1/profiles/prod" {
        return reply(&mut stream, 200, &profile());
    }
    let word = path.rsplit('/').next().unwrap();
    let body = serde_json::from_str(&body).unwrap_or_default();
    requests.lock().unwrap().push((word.to_owned(), body));
    let body = requests.lock().unwrap().last().unwrap().1.clone();
    match answer(word, &body) {
        Answer::Json(status, value) => reply(&mut stream, status, &value),
        Answer::Steps(steps) => {
            let lines = steps.iter().map(|step| format!("{step}\n")).collect::<Vec<_>>().concat();
            // The test may have killed the client.
            let _ = stream.write_all(format!("HTTP/1.0 200 OK\r\nrolecall-protocol: 1\r\n\r\n{lines}").as_bytes());
        }
    }
}

fn profile() -> Value {
    json!({"name": "prod", "cluster": "prod", "region": "eu-west-1", "source": "work", "state": "unused",
        "role_arn": "arn:aws:iam::111122223333:role/developers", "source_kind": "AWS profile work",
        "hops": ["arn:aws:iam::111122223333:role/developers"], "duration_seconds": 3600, "fips": false})
}

//! The load generator, and the two servers that it compares: a daemon and an empty server on the same kind of socket.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rolecall_harness::Daemon;

use crate::Context;
use crate::fixture::{Fixture, PROFILE, entry, role};
use crate::socket;

/// Profiles that the requests name in turn, all with one session. The daemon remembers the last 1,024 pairs of profile and process,
/// so that no request repeats one that it remembers: each kubectl is a new process, and the daemon takes a second request of a
/// process for a rejection by the cluster.
const PROFILES: usize = 2_000;
const SEPARATOR: &[u8] = b"\0";

/// Programs that end with this value.
pub(crate) struct Killed(Child);

/// A server to send requests to.
pub(crate) struct Server {
    pub(crate) socket: PathBuf,
    pub(crate) pid: u32,
}

/// A warm daemon and an empty server.
pub(crate) struct Servers {
    pub(crate) daemon: Server,
    pub(crate) empty: Server,
    generator: PathBuf,
    requests: PathBuf,
    _running: (Daemon, Killed, Fixture),
}

/// How connections are used.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Connections {
    /// All requests of a client on one connection.
    Reuse,
    /// One connection for each request, as `rolecall token` does.
    PerRequest,
}

impl Servers {
    pub(crate) fn start(context: &Context) -> Self {
        let fixture = Fixture::new(1);
        let profile = |number| format!("{}role_arn = \"{}\"\n", entry(&name(number), number, "eu-west-1"), role(0));
        fixture.configure(1 + PROFILES, &(0..PROFILES).map(profile).collect::<String>());
        let daemon = fixture.start(&context.programs);
        fixture.request_token(PROFILE);
        (0..PROFILES).for_each(|number| drop(fixture.request_token(&name(number))));
        let requests = fixture.sandbox.root().join("requests");
        let response = fixture.request_token(PROFILE);
        let empty_socket = fixture.sandbox.root().join("empty.sock");
        let empty = Killed::start(
            Command::new(&context.programs.load).arg("serve").arg(&empty_socket).arg(response.len().to_string()),
        );
        Self {
            daemon: Server { socket: fixture.socket(), pid: daemon.pid() },
            empty: Server { socket: empty_socket, pid: empty.0.id() },
            generator: context.programs.load.clone(),
            requests,
            _running: (daemon, empty, fixture),
        }
    }

    /// Sends requests from `clients` threads as fast as the server responds. Returns the responses per second.
    pub(crate) fn closed(&self, server: &Server, connections: Connections, clients: usize, time: Duration) -> f64 {
        self.write_requests(connections);
        let mode = match connections {
            Connections::Reuse => "reuse",
            Connections::PerRequest => "connect",
        };
        let mut command = self.generator("closed", server);
        command.args([mode, &clients.to_string(), &time.as_millis().to_string()]);
        let responses = numbers(&mut command);
        responses[0] / time.as_secs_f64()
    }

    /// Sends `rate` requests a second, each on a connection of its own. Returns the time of each from when it was due.
    pub(crate) fn open(&self, server: &Server, rate: usize, time: Duration) -> Vec<Duration> {
        self.write_requests(Connections::PerRequest);
        let mut command = self.generator("open", server);
        durations(command.args([rate.to_string(), time.as_millis().to_string()]))
    }

    fn generator(&self, mode: &str, server: &Server) -> Command {
        let mut command = Command::new(&self.generator);
        command.arg(mode).arg(&server.socket).arg(&self.requests);
        command
    }

    fn write_requests(&self, connections: Connections) {
        let closes = matches!(connections, Connections::PerRequest);
        let requests: Vec<Vec<u8>> = (0..PROFILES).map(|number| socket::token_request(&name(number), closes)).collect();
        fs::write(&self.requests, requests.join(SEPARATOR)).expect("the sandbox is writable");
    }
}

impl Killed {
    /// Starts a program and waits for its first line on stdout.
    fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program can be started");
        let stdout = child.stdout.as_mut().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut String::new()).expect("the program prints");
        Self(child)
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Opens `clients` connections from each of `processes` processes at once, and sends on each the request for a token of
/// [`PROFILE`]. Returns the time until each response.
pub(crate) fn burst(context: &Context, fixture: &Fixture, processes: usize, clients: usize) -> Vec<Duration> {
    let requests = fixture.sandbox.root().join("requests");
    fs::write(&requests, socket::token_request(PROFILE, true)).expect("the sandbox is writable");
    let start = |_| {
        let mut command = Command::new(&context.programs.load);
        command.arg("burst").arg(fixture.socket()).arg(&requests).arg(clients.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the load generator can be started")
    };
    let mut running: Vec<Child> = (0..processes).map(start).collect();
    let mut outputs: Vec<_> = running.iter_mut().map(|child| lines_of(child.stdout.take())).collect();
    for output in &mut outputs {
        output.next().expect("the load generator is ready").expect("its output is text");
    }
    for child in &mut running {
        child.stdin.take().expect("stdin is piped").write_all(b"\n").expect("the load generator reads");
    }
    let served = outputs.into_iter().flatten().map(|line| nanos(number(&line.expect("its output is text")))).collect();
    for mut child in running {
        let status = child.wait().expect("the load generator can be waited for");
        assert!(status.success(), "a caller was not served: {status}");
    }
    served
}

fn lines_of(stdout: Option<ChildStdout>) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(stdout.expect("stdout is piped")).lines()
}

/// Runs a command of the load generator. Returns the numbers that it prints.
fn numbers(command: &mut Command) -> Vec<f64> {
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().expect("the load generator can be started");
    assert!(output.status.success(), "the load generator failed: {}", output.status);
    lines(&output.stdout)
}

pub(crate) fn durations(command: &mut Command) -> Vec<Duration> {
    numbers(command).into_iter().map(nanos).collect()
}

fn lines(output: &[u8]) -> Vec<f64> {
    let text = String::from_utf8_lossy(output);
    text.lines().map(number).collect()
}

fn number(line: &str) -> f64 {
    line.parse().expect("the load generator prints numbers")
}

fn nanos(number: f64) -> Duration {
    Duration::from_secs_f64(number / 1e9)
}

fn name(number: usize) -> String {
    format!("load-{number:04}")
}

/// Wraps a command so that its parent is a new process, which prints how long it ran in ns.
pub(crate) fn launched(generator: &Path, command: &Command) -> Command {
    wrapped(generator, &["launch".as_ref()], command)
}

/// Returns a command that runs `program` with arguments, followed by the words of `command`, in its environment.
pub(crate) fn wrapped(program: &Path, arguments: &[&std::ffi::OsStr], command: &Command) -> Command {
    let mut wrapped = Command::new(program);
    wrapped.args(arguments).arg(command.get_program()).args(command.get_args()).env_clear();
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

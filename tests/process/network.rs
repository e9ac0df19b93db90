//! A network that is not there, or that answers nothing: who asks is told so in time, and what is in memory is served.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rolecall_harness::{Line, Network, Output, within};

use crate::clock_and_sleep::ClockFixture;
use crate::files::skipped;
use crate::fixture::{Fixture, HANG_GUARD, one_line};

/// Asks, and returns the one line of the error that has to come in time.
#[track_caller]
fn refused(fixture: &Fixture) -> String {
    let said = fixture.token();
    let line = one_line(&said, 1);
    line
}

/// Asks, and gets a token of the old session soon.
#[track_caller]
fn served(fixture: &Fixture) {
    let said = fixture.token();
    said.assert_ok();
}

/// Asserts that only the first run waited for AWS and that the others got the remembered failure: together, they took less
/// time than the first. No bound in seconds would hold on every machine.
#[track_caller]
fn assert_later_runs_do_not_wait(runs: &[Output]) {
    let (first, later) = runs.split_first().unwrap();
    let later: Duration = later.iter().map(|said| said.elapsed).sum();
    assert!(later < first.elapsed, "first {:?}, all others {later:?}", first.elapsed);
}

#[track_caller]
fn recovers(fixture: &Fixture) {
    let found = within(HANG_GUARD, || Some(fixture.token()).filter(|said| said.code() == Some(0)));
    assert!(found.is_some(), "still nothing: {}", fixture.token());
}

/// A fixture whose daemon reaches AWS by a line; the daemon is there.
fn by_line() -> (Fixture, Line) {
    let fixture = Fixture::configured();
    let line = Line::to(fixture.aws.addr());
    fixture.sandbox.write_aws_profile("work", &fixture.user, &line.endpoint());
    fixture.rolecall(&["agent", "start"]).assert_ok();
    (fixture, line)
}

/// Fault matrix row 62.
#[test]
fn token_with_unanswered_connection_fails_in_time() {
    let (fixture, line) = by_line();
    line.cut();
    let said = refused(&fixture);
    assert!(said.contains("rolecall: prod: STS cannot be reached: "), "{said}");
    assert_eq!(fixture.assume_role_calls(), 0);
    line.mend();
    recovers(&fixture);
}

/// Fault matrix row 62.
#[test]
fn token_six_runs_without_sts_wait_only_once() {
    let (fixture, line) = by_line();
    line.cut();
    let runs: Vec<Output> = (0..6).map(|_| fixture.token()).collect();
    for said in &runs {
        assert!(one_line(said, 1).contains("STS cannot be reached: "), "{said}");
    }
    assert_later_runs_do_not_wait(&runs);
}

/// Fault matrix row 62.
#[test]
fn token_with_valid_session_needs_no_sts_answer() {
    let Some(machine) = ClockFixture::with_an_old_session() else { return };
    machine.line.cut();
    for _ in 0..3 {
        served(&machine.fixture);
    }
}

/// Runs a test in a network of its own. The test says what it cannot show where there is none.
fn alone(what: &str, body: impl FnOnce(&Network) + Send) {
    if Network::alone(body).is_none() {
        skipped(&format!("{what}: a network namespace needs root and iproute2"));
    }
}

/// The daemon starts without a network, says so to whom asks, and works when it comes.
fn starts_without(network: &Network, lose: impl Fn(&Network)) {
    network.up();
    let fixture = Fixture::configured();
    lose(network);
    // As one kubectl asks, so that whatever is remembered of failures has been.
    for _ in 0..6 {
        let said = refused(&fixture);
        assert!(said.contains("STS cannot be reached: "), "{said}");
    }
    let status = fixture.rolecall(&["status", "--json"]);
    status.assert_ok();
    let profile = &status.json()["profiles"][0];
    assert_eq!(profile["state"], "failed", "{status}");
    assert_eq!(profile["problem"]["code"], "aws_unavailable", "{status}");
    assert!(fixture.rolecall(&["status"]).assert_ok().stdout.contains("STS cannot be reached"));
    network.up();
    recovers(&fixture);
}

/// Fault matrix row 82.
#[test]
fn daemon_started_without_network_recovers() {
    alone("no network at the start", |network| starts_without(network, Network::down));
}

/// Fault matrix row 82.
#[test]
fn daemon_started_without_cable_recovers() {
    alone("no cable at the start", |network| starts_without(network, Network::pull));
}

/// Fault matrix row 82.
#[test]
fn network_loss_keeps_sessions_and_return_renews_them() {
    alone("a network that goes", |network| {
        network.up();
        let Some(machine) = ClockFixture::with_an_old_session() else { return };
        network.pull();
        for _ in 0..3 {
            served(&machine.fixture);
        }
        network.up();
        let calls = machine.fixture.assume_role_calls();
        let renewed = within(HANG_GUARD, || {
            served(&machine.fixture);
            (machine.fixture.assume_role_calls() > calls).then_some(())
        });
        assert!(renewed.is_some(), "the session is as old as before");
    });
}

/// The machine's resolver, as a test has it.
struct Resolver<'a> {
    network: &'a Network,
    hosts: PathBuf,
}

impl<'a> Resolver<'a> {
    /// Asks `server` alone, of whom nothing is known yet; `localhost` is known without it.
    fn new(network: &'a Network, fixture: &Fixture, server: &UdpSocket) -> Self {
        network.up();
        let server = server.local_addr().unwrap().ip();
        let files = [
            ("resolv.conf", format!("nameserver {server}\n")),
            ("nsswitch.conf", "hosts: files dns\n".to_owned()),
            ("hosts", "127.0.0.1 localhost\n".to_owned()),
        ];
        for (name, text) in files {
            network.overlay(&fixture.sandbox.write(name, &text), &format!("/etc/{name}"));
        }
        Self { network, hosts: fixture.sandbox.root().join("hosts") }
    }

    /// From now on the name has to be asked for.
    fn forget_localhost(&self) {
        fs::write(&self.hosts, "").unwrap();
    }
}

impl Drop for Resolver<'_> {
    fn drop(&mut self) {
        for name in ["resolv.conf", "nsswitch.conf", "hosts"] {
            self.network.uncover(&format!("/etc/{name}"));
        }
    }
}

/// The port of name servers, in a network that is the test's alone. Nobody reads from it: it answers nothing.
fn name_server() -> UdpSocket {
    UdpSocket::bind(("127.0.0.53", 53)).unwrap()
}

/// Answers NXDOMAIN to everything while `body` runs.
fn nothing_exists<T>(server: &UdpSocket, body: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut query = [0; 512];
            while !over.load(Ordering::SeqCst) {
                let Ok((length, asker)) = server.recv_from(&mut query) else { continue };
                // The question again, as a response that recursion was available for and that there is no such name.
                query[2] |= 0x80;
                query[3] = 0x83;
                server.send_to(&query[..length], asker).unwrap();
            }
        });
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        over.store(true, Ordering::SeqCst);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// STS has a name that has to be asked for.
fn named(fixture: &Fixture) {
    fixture.sandbox.write_aws_profile("work", &fixture.user, "https://sts.eu-west-1.example.test");
}

/// Fault matrix row 81.
#[test]
fn token_with_silent_resolver_fails_and_waits_once() {
    alone("a resolver that answers nothing", |network| {
        network.up();
        let (fixture, server) = (Fixture::configured(), name_server());
        let _resolver = Resolver::new(network, &fixture, &server);
        named(&fixture);
        let runs: Vec<Output> = (0..6).map(|_| fixture.token()).collect();
        for said in &runs {
            assert!(one_line(said, 1).contains("STS cannot be reached: "), "{said}");
        }
        assert_later_runs_do_not_wait(&runs);
    });
}

/// Fault matrix row 81.
#[test]
fn token_with_nonexistent_sts_name_fails_in_time() {
    alone("a name that does not exist", |network| {
        network.up();
        let (fixture, server) = (Fixture::configured(), name_server());
        let _resolver = Resolver::new(network, &fixture, &server);
        named(&fixture);
        nothing_exists(&server, || {
            let said = fixture.token();
            let line = one_line(&said, 1);
            assert!(line.contains("STS cannot be reached: "), "{line}");
        });
    });
}

/// The old session still signs, and the name of STS leads nowhere any more.
fn loses_its_name(network: &Network, body: impl FnOnce(&UdpSocket, &Fixture)) {
    network.up();
    let server = name_server();
    let Some(machine) = ClockFixture::started_at("localhost") else { return };
    let resolver = Resolver::new(network, &machine.fixture, &server);
    machine.grow_old();
    resolver.forget_localhost();
    // Nor does what is still connected help.
    machine.line.lose();
    body(&server, &machine.fixture);
}

/// Fault matrix row 81.
#[test]
fn token_with_valid_session_needs_no_resolver() {
    alone("an old session without a resolver", |network| {
        loses_its_name(network, |_, fixture| (0..3).for_each(|_| served(fixture)));
    });
}

/// Fault matrix row 81.
#[test]
fn token_with_valid_session_survives_nxdomain() {
    alone("an old session where no name exists", |network| {
        loses_its_name(network, |server, fixture| nothing_exists(server, || (0..3).for_each(|_| served(fixture))));
    });
}

//! Networks that are missing or never answer: requests fail in time, and sessions in memory are served.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rolecall_harness::{Network, Output, StopOnDrop, TcpRelay, within};

use crate::clock_and_sleep::ClockFixture;
use crate::files::skipped;
use crate::fixture::{Fixture, HANG_GUARD, error_line};

/// Requests a token and returns its error line. Exit code 1 is the daemon's answer: a client that reaches its own
/// deadline of 10 s exits with 3.
#[track_caller]
fn token_error(fixture: &Fixture) -> String {
    error_line(&fixture.token(), 1)
}

/// Requests a token and asserts that it is served from the session in memory.
#[track_caller]
fn assert_token_served(fixture: &Fixture) {
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
fn wait_until_served(fixture: &Fixture) {
    let found = within(HANG_GUARD, || Some(fixture.token()).filter(|said| said.code() == Some(0)));
    assert!(found.is_some(), "no token: {}", fixture.token());
}

/// The daemon runs and reaches AWS through a relay.
fn with_relay() -> (Fixture, TcpRelay) {
    let fixture = Fixture::configured();
    let line = TcpRelay::to(fixture.aws.addr());
    fixture.sandbox.write_aws_profile("work", &fixture.user, &line.endpoint());
    fixture.rolecall(&["agent", "start"]).assert_ok();
    (fixture, line)
}

/// Fault matrix row 62.
#[test]
fn token_with_unanswered_connection_fails_in_time() {
    let (fixture, line) = with_relay();
    line.blackhole_all();
    let said = token_error(&fixture);
    assert!(said.contains("rolecall: prod: STS cannot be reached at "), "{said}");
    assert_eq!(fixture.assume_role_calls(), 0);
    line.restore();
    wait_until_served(&fixture);
}

/// Fault matrix row 62.
#[test]
fn token_six_runs_without_sts_wait_only_once() {
    let (fixture, line) = with_relay();
    line.blackhole_all();
    let runs: Vec<Output> = (0..6).map(|_| fixture.token()).collect();
    for said in &runs {
        assert!(error_line(said, 1).contains("STS cannot be reached at "), "{said}");
    }
    assert_later_runs_do_not_wait(&runs);
}

/// Fault matrix row 62.
#[test]
fn token_with_valid_session_needs_no_sts_answer() {
    let Some(machine) = ClockFixture::with_aged_session() else { return };
    machine.line.blackhole_all();
    for _ in 0..3 {
        assert_token_served(&machine.fixture);
    }
}

/// Runs a test in its own network namespace. Reports the test as skipped without root or iproute2.
fn in_own_network(what: &str, body: impl FnOnce(&Network) + Send) {
    if Network::isolated(body).is_none() {
        skipped(&format!("{what}: a network namespace needs root and iproute2"));
    }
}

/// The daemon starts without a network, reports that, and works when the network returns.
fn assert_recovers_after_start_without(network: &Network, lose: impl Fn(&Network)) {
    network.up();
    let fixture = Fixture::configured();
    lose(network);
    // As many runs as one kubectl makes, so the remembered failure is used.
    for _ in 0..6 {
        let said = token_error(&fixture);
        assert!(said.contains("STS cannot be reached at "), "{said}");
    }
    let status = fixture.rolecall(&["status", "--json"]);
    status.assert_ok();
    let profile = &status.json()["profiles"][0];
    assert_eq!(profile["state"], "failed", "{status}");
    assert_eq!(profile["problem"]["code"], "aws_unavailable", "{status}");
    assert!(fixture.rolecall(&["status"]).assert_ok().stdout.contains("STS cannot be reached"));
    network.up();
    wait_until_served(&fixture);
}

/// Fault matrix row 82.
#[test]
fn daemon_started_without_network_recovers() {
    in_own_network("no network at the start", |network| assert_recovers_after_start_without(network, Network::down));
}

/// Fault matrix row 82.
#[test]
fn daemon_started_without_cable_recovers() {
    in_own_network("no cable at the start", |network| {
        assert_recovers_after_start_without(network, Network::lose_carrier);
    });
}

/// Fault matrix row 82.
#[test]
fn network_loss_keeps_sessions_and_return_renews_them() {
    in_own_network("a network that goes", |network| {
        network.up();
        let Some(machine) = ClockFixture::with_aged_session() else { return };
        network.lose_carrier();
        for _ in 0..3 {
            assert_token_served(&machine.fixture);
        }
        network.up();
        let calls = machine.fixture.assume_role_calls();
        let renewed = within(HANG_GUARD, || {
            assert_token_served(&machine.fixture);
            (machine.fixture.assume_role_calls() > calls).then_some(())
        });
        assert!(renewed.is_some(), "the session is not renewed");
    });
}

/// The resolver configuration of this machine, replaced by the test's own.
struct Resolver<'a> {
    network: &'a Network,
    hosts: PathBuf,
}

impl<'a> Resolver<'a> {
    /// Sends queries to `server` only; the hosts file answers for `localhost`.
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

    /// From now on, `localhost` needs a query.
    fn forget_localhost(&self) {
        fs::write(&self.hosts, "").unwrap();
    }
}

impl Drop for Resolver<'_> {
    fn drop(&mut self) {
        for name in ["resolv.conf", "nsswitch.conf", "hosts"] {
            self.network.remove_overlay(&format!("/etc/{name}"));
        }
    }
}

/// The DNS port, in the test's own network namespace. Without a reader, no query is answered.
fn name_server() -> UdpSocket {
    UdpSocket::bind(("127.0.0.53", 53)).unwrap()
}

/// Answers NXDOMAIN to every query while `body` runs.
fn answer_nxdomain<T>(server: &UdpSocket, body: impl FnOnce() -> T) -> T {
    answer(server, None, body)
}

/// Answers 127.0.0.1 to queries for names that contain `known`, and NXDOMAIN to others, while `body` runs.
fn answer<T>(server: &UdpSocket, known: Option<&str>, body: impl FnOnce() -> T) -> T {
    let is_done = AtomicBool::new(false);
    server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut query = [0; 512];
            while !is_done.load(Ordering::SeqCst) {
                let Ok((length, client)) = server.recv_from(&mut query) else { continue };
                let is_known = known.is_some_and(|known| String::from_utf8_lossy(&query[..length]).contains(known));
                let is_ipv4 = query[..length].windows(4).any(|bytes| bytes == [0, 1, 0, 1]);
                // Turns the query into a response: QR and RA set, and RCODE 3 (NXDOMAIN) or 0. Nothing follows the question.
                let mut response = query[..length].to_vec();
                response[2] |= 0x80;
                response[3] = if is_known { 0x80 } else { 0x83 };
                response[10..12].fill(0);
                let question = response[12..].iter().position(|byte| *byte == 0).unwrap() + 12 + 5;
                response.truncate(question);
                if is_known && is_ipv4 {
                    response[7] = 1;
                    // The name of the question, A, IN, 60 s, four bytes.
                    response.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
                }
                server.send_to(&response, client).unwrap();
            }
        });
        let _stop = StopOnDrop(&is_done);
        body()
    })
}

/// Gives STS a name that needs a DNS query.
fn use_dns_name_for_sts(fixture: &Fixture) {
    fixture.sandbox.write_aws_profile("work", &fixture.user, "https://sts.eu-west-1.example.test");
}

/// Fault matrix row 81.
#[test]
fn token_with_silent_resolver_fails_and_waits_once() {
    in_own_network("a resolver that answers nothing", |network| {
        network.up();
        let (fixture, server) = (Fixture::configured(), name_server());
        let _resolver = Resolver::new(network, &fixture, &server);
        use_dns_name_for_sts(&fixture);
        let runs: Vec<Output> = (0..6).map(|_| fixture.token()).collect();
        for said in &runs {
            assert!(error_line(said, 1).contains("STS cannot be reached at "), "{said}");
        }
        assert_later_runs_do_not_wait(&runs);
    });
}

/// Fault matrix row 81.
#[test]
fn token_with_nonexistent_sts_name_fails_in_time() {
    in_own_network("a name that does not exist", |network| {
        network.up();
        let (fixture, server) = (Fixture::configured(), name_server());
        let _resolver = Resolver::new(network, &fixture, &server);
        use_dns_name_for_sts(&fixture);
        answer_nxdomain(&server, || {
            let said = fixture.token();
            let line = error_line(&said, 1);
            assert!(line.contains("STS cannot be reached at "), "{line}");
        });
    });
}

/// Fault matrix row 81.
#[test]
fn token_with_misspelt_region_names_the_region() {
    in_own_network("a region that does not exist", |network| {
        network.up();
        let (fixture, server) = (Fixture::configured(), name_server());
        let _resolver = Resolver::new(network, &fixture, &server);
        fixture.sandbox.write_aws_profile("work", &fixture.user, "https://sts.eu-wset-1.amazonaws.com");
        answer(&server, Some("us-east-1"), || {
            let line = error_line(&fixture.token(), 1);
            assert!(line.contains("there is no host sts.eu-wset-1.amazonaws.com, and other names are found"), "{line}");
            assert!(line.contains("Check the region"), "{line}");
        });
    });
}

/// The session is old but valid, and the name of STS cannot be resolved any more.
fn with_unresolvable_sts(network: &Network, body: impl FnOnce(&UdpSocket, &Fixture)) {
    network.up();
    let server = name_server();
    let Some(machine) = ClockFixture::started_at("localhost") else { return };
    let resolver = Resolver::new(network, &machine.fixture, &server);
    machine.age_session();
    resolver.forget_localhost();
    // The open connections do not answer either.
    machine.line.blackhole_existing();
    body(&server, &machine.fixture);
}

/// Fault matrix row 81.
#[test]
fn token_with_valid_session_needs_no_resolver() {
    in_own_network("an old session without a resolver", |network| {
        with_unresolvable_sts(network, |_, fixture| (0..3).for_each(|_| assert_token_served(fixture)));
    });
}

/// Fault matrix row 81.
#[test]
fn token_with_valid_session_survives_nxdomain() {
    in_own_network("an old session where no name exists", |network| {
        with_unresolvable_sts(network, |server, fixture| {
            answer_nxdomain(server, || (0..3).for_each(|_| assert_token_served(fixture)));
        });
    });
}

/// A system without the package ca-certificates, such as a minimal container. The embedded AWS uses plain HTTP on loopback.
#[test]
fn agent_without_ca_certificates_serves() {
    in_own_network("no CA certificates", |network| {
        network.up();
        let fixture = Fixture::configured();
        let empty = fixture.sandbox.root().join("tmp");
        let places = ["/etc/ssl", "/etc/pki"].into_iter().filter(|place| Path::new(place).is_dir());
        places.for_each(|place| network.overlay(&empty, place));
        assert_token_served(&fixture);
    });
}

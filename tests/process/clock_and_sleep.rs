//! Clock jumps, wrong clocks, system sleep and kills.

use std::cell::Cell;
use std::fs;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rolecall_harness::{Clock, Daemon, FakeTime, Fault, Op, Outcome, Output, SignedDuration, TcpRelay, within};

use crate::files::skipped;
use crate::fixture::{Fixture, HANG_GUARD, kill};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A daemon with its own wall clock that reaches AWS through a relay.
pub(crate) struct ClockFixture {
    pub(crate) daemon: Daemon,
    pub(crate) line: TcpRelay,
    pub(crate) fixture: Fixture,
    clock: FakeTime,
    ahead: Cell<SignedDuration>,
}

impl ClockFixture {
    /// Starts the daemon with a clock that is this much ahead of AWS's. Returns `None`, and reports the test as
    /// skipped, without libfaketime.
    fn started(ahead: SignedDuration) -> Option<Self> {
        Self::start(ahead, "127.0.0.1")
    }

    /// Starts the daemon with a correct clock, and gives AWS this host name.
    pub(crate) fn started_at(host: &str) -> Option<Self> {
        Self::start(SignedDuration::ZERO, host)
    }

    fn start(ahead: SignedDuration, host: &str) -> Option<Self> {
        let fixture = Fixture::configured();
        let Some(clock) = FakeTime::new(&fixture.sandbox) else {
            skipped("a wall clock that jumps: libfaketime is not installed");
            return None;
        };
        clock.set(ahead);
        let line = TcpRelay::to(fixture.aws.addr());
        let endpoint = format!("http://{host}:{}", line.addr().port());
        fixture.sandbox.write_aws_profile("work", &fixture.user, &endpoint);
        let daemon = clock.start_daemon(&fixture.sandbox);
        Some(Self { daemon, line, fixture, clock, ahead: Cell::new(ahead) })
    }

    /// Starts the daemon and calls [`ClockFixture::age_session`].
    pub(crate) fn with_aged_session() -> Option<Self> {
        let machine = Self::started(SignedDuration::ZERO)?;
        machine.age_session();
        Some(machine)
    }

    /// Loads a session and advances the clocks until it is due for renewal but still valid.
    pub(crate) fn age_session(&self) {
        self.assert_token_accepted();
        self.advance(50 * MINUTE);
    }

    /// Sets only the daemon's clock.
    fn set(&self, ahead: SignedDuration) {
        self.clock.set(ahead);
        self.ahead.set(ahead);
    }

    /// Advances the daemon's and AWS's clocks.
    fn advance(&self, time: Duration) {
        self.set(self.ahead.get() + SignedDuration::try_from(time).unwrap());
        self.fixture.aws.clock().advance(time);
    }

    /// Asserts that a token is served, that the cluster accepts it, and that its expiry is 13 to 14 min ahead by the
    /// daemon's clock, which is the clock that kubectl uses.
    #[track_caller]
    fn assert_token_accepted(&self) -> Output {
        let said = self.fixture.token();
        said.assert_ok();
        let token = said.json()["status"]["token"].as_str().unwrap().to_owned();
        // Like an API server without a cached review of this token.
        self.fixture.api.clear_token_cache();
        let who = self.fixture.api.username(&token);
        assert!(
            who.is_ok(),
            "{who:?}: signed {} off AWS's clock; {:#?}",
            self.signing_offset(&token),
            self.fixture.aws.log()
        );
        let lifetime = self.lifetime(&said);
        assert!(
            lifetime > 13 * MINUTE && lifetime <= 14 * MINUTE + Duration::from_secs(1),
            "{lifetime:?} by its own clock"
        );
        said
    }

    /// Asserts at most this many sessions since the first, and at most this many rejected calls. A clock jump looks
    /// like a sleep, so the daemon may need a rejected call to learn the difference.
    #[track_caller]
    fn assert_at_most(&self, granted: usize, refused: usize) {
        let calls = self.fixture.aws.log_of(Op::AssumeRole);
        let succeeded = calls.iter().filter(|call| call.outcome == Outcome::Ok).count();
        assert!(succeeded <= 1 + granted && calls.len() - succeeded <= refused, "{calls:#?}");
    }

    /// Returns the remaining lifetime of the credential by the daemon's clock.
    #[track_caller]
    fn lifetime(&self, said: &Output) -> Duration {
        let json = said.json();
        let text = json["status"]["expirationTimestamp"].as_str().unwrap();
        let end: SystemTime = text.parse::<jiff::Timestamp>().unwrap().into();
        let now = shifted(Clock::system().now(), self.ahead.get());
        end.duration_since(now).unwrap_or_else(|_| panic!("expired at {text}, the clock shows {now:?}"))
    }

    /// Returns the difference between the token's signing time and AWS's clock.
    fn signing_offset(&self, token: &str) -> SignedDuration {
        let url = URL_SAFE_NO_PAD.decode(token.strip_prefix("k8s-aws-v1.").unwrap()).unwrap();
        let url = String::from_utf8(url).unwrap();
        let date = &url.split_once("X-Amz-Date=").unwrap().1[..16];
        let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).unwrap();
        let signed = civil.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
        signed.duration_since(jiff::Timestamp::try_from(self.fixture.aws.clock().now()).unwrap())
    }
}

fn shifted(at: SystemTime, by: SignedDuration) -> SystemTime {
    if by.is_negative() { at - by.unsigned_abs() } else { at + by.unsigned_abs() }
}

/// Suspends the daemon for three hours. The session and the token expire, and connections die.
fn sleep_three_hours(machine: &ClockFixture) {
    machine.assert_token_accepted();
    machine.daemon.stop();
    machine.advance(3 * HOUR);
    machine.line.blackhole_existing();
}

/// Fault matrix row 79.
#[test]
fn token_after_three_hours_of_sleep_is_valid() {
    let Some(machine) = ClockFixture::started(SignedDuration::ZERO) else { return };
    machine.assert_token_accepted();
    machine.daemon.stop();
    machine.advance(3 * HOUR);
    machine.daemon.resume();
    machine.assert_token_accepted();
    machine.assert_at_most(1, 1);
}

/// Fault matrix row 79.
#[test]
fn token_after_sleep_with_dead_connections_is_valid() {
    let Some(machine) = ClockFixture::started(SignedDuration::ZERO) else { return };
    sleep_three_hours(&machine);
    machine.daemon.resume();
    machine.assert_token_accepted();
    machine.assert_at_most(1, 1);
}

/// Fault matrix row 79.
#[test]
fn request_sent_during_sleep_is_answered_after_wake() {
    let Some(machine) = ClockFixture::started(SignedDuration::ZERO) else { return };
    sleep_three_hours(&machine);
    std::thread::scope(|scope| {
        // This client connects while the daemon is stopped.
        let early = scope.spawn(|| machine.fixture.token());
        // /proc/net/unix lists both ends by the path that the socket was bound to, which is in this folder.
        let folder = machine.fixture.socket().parent().unwrap().display().to_string();
        let connected = || fs::read_to_string("/proc/net/unix").unwrap().matches(&folder).count() > 1;
        within(HANG_GUARD, || connected().then_some(())).unwrap();
        machine.daemon.resume();
        let said = early.join().unwrap();
        said.assert_ok();
        assert!(machine.lifetime(&said) > 13 * MINUTE, "{said}");
    });
    machine.assert_token_accepted();
    machine.assert_at_most(1, 1);
}

/// Moves only the daemon's clock, and later moves it back: tokens stay valid, and the number of calls stays small.
fn assert_jump_keeps_tokens_valid(by: SignedDuration) {
    let Some(machine) = ClockFixture::started(SignedDuration::ZERO) else { return };
    machine.assert_token_accepted();
    for (jump, ahead) in [(1, by), (2, SignedDuration::ZERO)] {
        machine.set(ahead);
        for _ in 0..3 {
            machine.assert_token_accepted();
        }
        machine.assert_at_most(jump, jump);
    }
}

/// Fault matrix row 76.
#[test]
fn clock_jump_two_hours_ahead_keeps_tokens_valid() {
    assert_jump_keeps_tokens_valid(SignedDuration::from_hours(2));
}

/// Fault matrix row 76.
#[test]
fn clock_jump_two_hours_back_keeps_tokens_valid() {
    assert_jump_keeps_tokens_valid(SignedDuration::from_hours(-2));
}

/// Fault matrix row 76.
#[test]
fn clock_jump_ten_years_ahead_keeps_tokens_valid() {
    assert_jump_keeps_tokens_valid(SignedDuration::from_hours(24 * 365 * 10));
}

/// Starts the daemon with a wrong clock and an AWS with this tolerance. The daemon learns the time from AWS and signs
/// with it, but gives kubectl expiries by the local clock.
fn assert_wrong_clock_is_corrected(ahead: SignedDuration, tolerance: Duration) {
    let Some(machine) = ClockFixture::started(ahead) else { return };
    machine.fixture.aws.set_clock_tolerance(tolerance);
    for _ in 0..2 {
        let said = machine.assert_token_accepted();
        let off = machine.signing_offset(said.json()["status"]["token"].as_str().unwrap());
        assert!(off.unsigned_abs() < Duration::from_secs(30), "signed {off} off AWS's clock");
    }
    // One rejected call teaches the time; one succeeds.
    machine.assert_at_most(0, 1);
}

/// Fault matrix row 77.
#[test]
fn clock_seven_minutes_slow_at_start_is_corrected() {
    assert_wrong_clock_is_corrected(SignedDuration::from_mins(-7), 5 * MINUTE);
}

/// Fault matrix row 77.
#[test]
fn clock_seven_minutes_fast_at_start_is_corrected() {
    assert_wrong_clock_is_corrected(SignedDuration::from_mins(7), 5 * MINUTE);
}

/// Fault matrix row 77.
#[test]
fn clock_wrong_within_aws_tolerance_is_corrected() {
    for minutes in [-7, 7] {
        assert_wrong_clock_is_corrected(SignedDuration::from_mins(minutes), 15 * MINUTE);
    }
}

/// When to kill the daemon.
#[derive(Clone, Copy, Debug)]
enum KillTime {
    /// Shortly before or after the request.
    Around(Duration),
    /// While the daemon waits for STS.
    Waiting,
    /// After the response of STS.
    Answered,
}

/// Pseudo-random numbers, equal in every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn time(&mut self) -> KillTime {
        match self.below(3) {
            0 => KillTime::Around(Duration::from_millis(self.below(40))),
            1 => KillTime::Waiting,
            _ => KillTime::Answered,
        }
    }
}

/// Kills the daemon during a call. The next client has to get a token within its own deadline.
fn kill_during_call(fixture: &Fixture, time: KillTime, latency: Duration) {
    let pid = fixture.daemon_pid();
    let before = fixture.assume_role_calls();
    fixture.aws.fault(Op::AssumeRole, Fault::Delay(latency).forever());
    std::thread::scope(|scope| {
        // The result of this client does not matter: the next client is checked.
        let caller = scope.spawn(|| fixture.rolecall(&["refresh", "prod"]));
        match time {
            KillTime::Around(pause) => std::thread::park_timeout(pause),
            KillTime::Waiting => fixture.aws.wait_for_calls(Op::AssumeRole, before + 1, HANG_GUARD),
            KillTime::Answered => fixture.aws.wait_for_responses(Op::AssumeRole, before + 1, HANG_GUARD),
        }
        kill("KILL", pid);
        caller.join().unwrap();
    });
    fixture.token().assert_ok();
    fixture.aws.clear_faults();
}

/// Fault matrix row 20.
#[test]
fn daemon_killed_during_calls_leaves_no_stale_files() {
    let fixture = Fixture::added();
    let mut seeded = Seeded(20);
    for _ in 0..40 {
        kill_during_call(&fixture, seeded.time(), Duration::from_millis(seeded.below(100)));
    }
    let mut names: Vec<_> = fs::read_dir(fixture.socket().parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["agent.lock", "agent.sock", "agent.state"]);
    assert_eq!(fixture.sandbox.kill_leftovers().len(), 1, "one daemon is left");
}

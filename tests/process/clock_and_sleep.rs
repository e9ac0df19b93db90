//! What a machine does to a daemon: its clock jumps, it sleeps, it kills.

use std::cell::Cell;
use std::fs;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rolecall_harness::{Clock, Daemon, FakeTime, Fault, Line, Op, Outcome, Output, SignedDuration, within};

use crate::files::skipped;
use crate::fixture::{Fixture, HANG_GUARD, kill};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A fixture whose daemon goes by a wall clock of its own and reaches AWS by a line that can fail.
pub(crate) struct ClockFixture {
    pub(crate) daemon: Daemon,
    pub(crate) line: Line,
    pub(crate) fixture: Fixture,
    clock: FakeTime,
    ahead: Cell<SignedDuration>,
}

impl ClockFixture {
    /// The daemon has started by a clock that is this much ahead of AWS's. `None`, and said so, without libfaketime.
    fn started(ahead: SignedDuration) -> Option<Self> {
        Self::start(ahead, "127.0.0.1")
    }

    /// As [`ClockFixture::started`], by a clock that is right, and with a name for the place where AWS is.
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
        let line = Line::to(fixture.aws.addr());
        let endpoint = format!("http://{host}:{}", line.addr().port());
        fixture.sandbox.write_aws_profile("work", &fixture.user, &endpoint);
        let daemon = clock.start_daemon(&fixture.sandbox);
        Some(Self { daemon, line, fixture, clock, ahead: Cell::new(ahead) })
    }

    /// A machine after [`ClockFixture::grow_old`].
    pub(crate) fn with_an_old_session() -> Option<Self> {
        let machine = Self::started(SignedDuration::ZERO)?;
        machine.grow_old();
        Some(machine)
    }

    /// The daemon gets a session, and time passes until it still signs, but has so little of its hour left that a newer
    /// one is asked for.
    pub(crate) fn grow_old(&self) {
        self.accepted();
        self.pass(50 * MINUTE);
    }

    /// Sets the daemon's clock, and nobody else's.
    fn set(&self, ahead: SignedDuration) {
        self.clock.set(ahead);
        self.ahead.set(ahead);
    }

    /// Time passes, for the daemon and for AWS, while nothing happens.
    fn pass(&self, time: Duration) {
        self.set(self.ahead.get() + SignedDuration::try_from(time).unwrap());
        self.fixture.aws.clock().advance(time);
    }

    /// A token that has to come, that the cluster has to take, and that says truly how long it does, by the clock of this
    /// machine: kubectl compares with no other.
    #[track_caller]
    fn accepted(&self) -> Output {
        let said = self.fixture.token();
        said.assert_ok();
        let token = said.json()["status"]["token"].as_str().unwrap().to_owned();
        // As a server that has never seen it.
        self.fixture.api.forget_tokens();
        let who = self.fixture.api.who(&token);
        assert!(
            who.is_ok(),
            "{who:?}: signed {} off AWS's clock; {:#?}",
            self.signed_off(&token),
            self.fixture.aws.log()
        );
        let life = self.life(&said);
        assert!(life > 13 * MINUTE && life <= 14 * MINUTE + Duration::from_secs(1), "{life:?} by its own clock");
        said
    }

    /// Since the first, AWS has granted that many sessions at most. A jump looks like a sleep from inside, so that the
    /// daemon may have to be refused to learn which it was: that many times at most.
    #[track_caller]
    fn asked_for_no_more_than(&self, granted: usize, refused: usize) {
        let calls = self.fixture.aws.log_of(Op::AssumeRole);
        let good = calls.iter().filter(|call| call.outcome == Outcome::Ok).count();
        assert!(good <= 1 + granted && calls.len() - good <= refused, "{calls:#?}");
    }

    /// How long a credential says that it is good, by the daemon's clock.
    #[track_caller]
    fn life(&self, said: &Output) -> Duration {
        let json = said.json();
        let text = json["status"]["expirationTimestamp"].as_str().unwrap();
        let end: SystemTime = text.parse::<jiff::Timestamp>().unwrap().into();
        let now = shifted(Clock::system().now(), self.ahead.get());
        end.duration_since(now).unwrap_or_else(|_| panic!("over at {text}, by a clock that says {now:?}"))
    }

    /// How far the time of a token's signature is from AWS's clock.
    fn signed_off(&self, token: &str) -> SignedDuration {
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

/// The machine sleeps for three hours, session and token end meanwhile, and somebody is waiting for it to wake.
fn sleeps(machine: &ClockFixture) {
    machine.accepted();
    machine.daemon.stop();
    machine.pass(3 * HOUR);
    machine.line.lose();
}

/// Fault matrix row 79.
#[test]
fn token_after_three_hours_of_sleep_is_valid() {
    let Some(machine) = ClockFixture::started(SignedDuration::ZERO) else { return };
    machine.accepted();
    machine.daemon.stop();
    machine.pass(3 * HOUR);
    machine.daemon.cont();
    machine.accepted();
    machine.asked_for_no_more_than(1, 1);
}

/// Fault matrix row 79.
#[test]
fn token_after_sleep_with_dead_connections_is_valid() {
    let Some(machine) = ClockFixture::started(SignedDuration::ZERO) else { return };
    sleeps(&machine);
    machine.daemon.cont();
    machine.accepted();
    machine.asked_for_no_more_than(1, 1);
}

/// Fault matrix row 79.
#[test]
fn request_sent_during_sleep_is_answered_after_wake() {
    let Some(machine) = ClockFixture::started(SignedDuration::ZERO) else { return };
    sleeps(&machine);
    std::thread::scope(|scope| {
        // It has connected to a daemon that does not answer yet.
        let early = scope.spawn(|| machine.fixture.token());
        // Both ends are listed by the name that the socket was bound to, which is another one in the same folder.
        let folder = machine.fixture.socket().parent().unwrap().display().to_string();
        let connected = || fs::read_to_string("/proc/net/unix").unwrap().matches(&folder).count() > 1;
        within(HANG_GUARD, || connected().then_some(())).unwrap();
        machine.daemon.cont();
        let said = early.join().unwrap();
        said.assert_ok();
        assert!(machine.life(&said) > 13 * MINUTE, "{said}");
    });
    machine.accepted();
    machine.asked_for_no_more_than(1, 1);
}

/// The daemon's clock alone jumps, and later jumps back: tokens stay good, and nobody asks for sessions over and over.
fn jumps(by: SignedDuration) {
    let Some(machine) = ClockFixture::started(SignedDuration::ZERO) else { return };
    machine.accepted();
    for (jump, ahead) in [(1, by), (2, SignedDuration::ZERO)] {
        machine.set(ahead);
        for _ in 0..3 {
            machine.accepted();
        }
        machine.asked_for_no_more_than(jump, jump);
    }
}

/// Fault matrix row 76.
#[test]
fn clock_jump_two_hours_ahead_keeps_tokens_valid() {
    jumps(SignedDuration::from_hours(2));
}

/// Fault matrix row 76.
#[test]
fn clock_jump_two_hours_back_keeps_tokens_valid() {
    jumps(SignedDuration::from_hours(-2));
}

/// Fault matrix row 76.
#[test]
fn clock_jump_ten_years_ahead_keeps_tokens_valid() {
    jumps(SignedDuration::from_hours(24 * 365 * 10));
}

/// The daemon starts by a wrong clock, at an AWS that bears this much: it learns the right time from AWS, signs by it,
/// and speaks to kubectl by its own.
fn starts_off(ahead: SignedDuration, tolerance: Duration) {
    let Some(machine) = ClockFixture::started(ahead) else { return };
    machine.fixture.aws.tolerate(tolerance);
    for _ in 0..2 {
        let said = machine.accepted();
        let off = machine.signed_off(said.json()["status"]["token"].as_str().unwrap());
        assert!(off.unsigned_abs() < Duration::from_secs(30), "signed {off} off AWS's clock");
    }
    // One that AWS refuses teaches the time, one is good.
    machine.asked_for_no_more_than(0, 1);
}

/// Fault matrix row 77.
#[test]
fn clock_seven_minutes_slow_at_start_is_corrected() {
    starts_off(SignedDuration::from_mins(-7), 5 * MINUTE);
}

/// Fault matrix row 77.
#[test]
fn clock_seven_minutes_fast_at_start_is_corrected() {
    starts_off(SignedDuration::from_mins(7), 5 * MINUTE);
}

/// Fault matrix row 77.
#[test]
fn clock_wrong_within_aws_tolerance_is_corrected() {
    for minutes in [-7, 7] {
        starts_off(SignedDuration::from_mins(minutes), 15 * MINUTE);
    }
}

/// A moment to kill a daemon at.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// When somebody is about to ask it for a session, or has just asked.
    Around(Duration),
    /// While it waits for STS.
    Waiting,
    /// When STS has answered.
    Answered,
}

/// Numbers that are the same in every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn moment(&mut self) -> Moment {
        match self.below(3) {
            0 => Moment::Around(Duration::from_millis(self.below(40))),
            1 => Moment::Waiting,
            _ => Moment::Answered,
        }
    }
}

/// Kills the daemon during a call. The next client has to get a token within its own deadline.
fn kill_during_call(fixture: &Fixture, moment: Moment, latency: Duration) {
    let pid = fixture.daemon_pid();
    let before = fixture.assume_role_calls();
    fixture.aws.fault(Op::AssumeRole, Fault::Delay(latency).forever());
    std::thread::scope(|scope| {
        // Whatever becomes of who asked it: they are not the next.
        let caller = scope.spawn(|| fixture.rolecall(&["refresh", "prod"]));
        match moment {
            Moment::Around(pause) => std::thread::park_timeout(pause),
            Moment::Waiting => fixture.aws.wait_for_calls(Op::AssumeRole, before + 1, HANG_GUARD),
            Moment::Answered => fixture.aws.wait_for_answers(Op::AssumeRole, before + 1, HANG_GUARD),
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
        kill_during_call(&fixture, seeded.moment(), Duration::from_millis(seeded.below(100)));
    }
    let mut names: Vec<_> = fs::read_dir(fixture.socket().parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["agent.lock", "agent.sock"]);
    assert_eq!(fixture.sandbox.kill_leftovers().len(), 1, "one daemon is left");
}

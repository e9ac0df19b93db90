//! The faults of a soak, one at a time.

use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use jiff::SignedDuration;
use rustix::process::{Pid, Signal, kill_process};

use super::ledger::Ledger;
use super::setup::Setup;
use super::sts_faults::{StsFaults, StsMode};

/// How long a daemon is stopped, in milliseconds. Its clients wait for 10 s.
const PAUSE: std::ops::Range<u64> = 100..1500;
/// How long the machine sleeps, in seconds. A shorter change looks like a correction of the clock.
const SLEEP: std::ops::Range<u64> = 35..100;
/// How far a wall clock is set ahead, in minutes.
const AHEAD: [i64; 3] = [3, 10, 120];
/// How far a wall clock is set back, in minutes.
const BACK: [i64; 2] = [10, 120];

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// STS throttles every call.
    Throttling,
    /// STS fails every call.
    StsDown,
    /// `rolecall agent restart`.
    Restart,
    /// SIGKILL; the next client starts the daemon.
    Kill,
    /// SIGSTOP, and SIGCONT a moment later.
    Stop,
    /// Packets to AWS are lost.
    NetworkLoss,
    /// The wall clock and AWS's clock move ahead together: the machine slept.
    Sleep,
    /// The machine's wall clock is set ahead, and corrected later.
    ClockAhead,
    /// The machine's wall clock is set back, and corrected later.
    ClockBack,
}

impl FaultKind {
    /// Every fault.
    pub const ALL: [Self; 9] = [
        Self::Throttling,
        Self::StsDown,
        Self::Restart,
        Self::Kill,
        Self::Stop,
        Self::NetworkLoss,
        Self::Sleep,
        Self::ClockAhead,
        Self::ClockBack,
    ];

    /// Returns its name for the user.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throttling => "throttling",
            Self::StsDown => "STS down",
            Self::Restart => "agent restart",
            Self::Kill => "kill -9",
            Self::Stop => "SIGSTOP",
            Self::NetworkLoss => "network loss",
            Self::Sleep => "sleep",
            Self::ClockAhead => "clock ahead",
            Self::ClockBack => "clock back",
        }
    }

    /// Whether the daemon's memory is another one after it.
    pub(super) const fn replaces_program(self) -> bool {
        matches!(self, Self::Restart | Self::Kill)
    }

    /// Whether it needs libfaketime.
    pub const fn needs_clock(self) -> bool {
        matches!(self, Self::Sleep | Self::ClockAhead | Self::ClockBack)
    }
}

/// Begins and ends faults.
#[derive(Debug)]
pub(super) struct Faults<'a> {
    pub(super) setup: &'a Setup,
    pub(super) ledger: &'a Ledger,
    /// How far the daemon's wall clock is ahead of the machine's. Callers hold it, so that no clock jumps during a call.
    pub(super) ahead: &'a RwLock<SignedDuration>,
    pub(super) sts: &'a StsFaults,
    pub(super) random: fastrand::Rng,
    /// Whether the running daemon has the clock of [`Setup::machine_clock`].
    has_clock: bool,
    /// How long the machine has slept in total: AWS's clock is ahead of the machine's by this.
    slept: SignedDuration,
    /// The offset of the current clock fault.
    offset: SignedDuration,
}

impl<'a> Faults<'a> {
    pub(super) fn new(
        setup: &'a Setup,
        ledger: &'a Ledger,
        ahead: &'a RwLock<SignedDuration>,
        sts: &'a StsFaults,
        seed: u64,
    ) -> Self {
        let has_clock = setup.machine_clock.is_some();
        let random = fastrand::Rng::with_seed(seed);
        let (slept, offset) = (SignedDuration::ZERO, SignedDuration::ZERO);
        Self { setup, ledger, ahead, sts, random, has_clock, slept, offset }
    }

    /// Whether a fault of the clock is possible. After a restart it is not: the daemon starts its program again without
    /// LD_PRELOAD, which it does not trust.
    pub(super) const fn has_clock(&self) -> bool {
        self.has_clock
    }

    /// Begins a fault. Errors if a command of Rolecall fails that has to succeed.
    pub(super) fn begin(&mut self, kind: FaultKind) -> Result<(), String> {
        match kind {
            FaultKind::Throttling => self.sts.set(StsMode::Throttling),
            FaultKind::StsDown => self.sts.set(StsMode::Down),
            FaultKind::Restart => return self.restart(),
            FaultKind::Kill => self.kill(),
            FaultKind::Stop => {
                self.signal(Signal::STOP);
                std::thread::park_timeout(Duration::from_millis(self.random.u64(PAUSE)));
                self.signal(Signal::CONT);
            }
            FaultKind::NetworkLoss => self.setup.relay.blackhole_all(),
            FaultKind::Sleep => self.sleep(),
            FaultKind::ClockAhead => {
                self.offset = SignedDuration::from_mins(*self.random.choice(&AHEAD).unwrap_or(&AHEAD[0]));
                self.move_machine_clock(self.offset);
            }
            FaultKind::ClockBack => {
                self.offset = -SignedDuration::from_mins(*self.random.choice(&BACK).unwrap_or(&BACK[0]));
                self.move_machine_clock(self.offset);
            }
        }
        Ok(())
    }

    /// Ends a fault.
    pub(super) fn end(&mut self, kind: FaultKind) {
        match kind {
            FaultKind::Throttling | FaultKind::StsDown => self.sts.set(StsMode::Flaky),
            FaultKind::NetworkLoss => self.setup.relay.restore(),
            FaultKind::ClockAhead | FaultKind::ClockBack => self.move_machine_clock(-self.offset),
            FaultKind::Restart | FaultKind::Kill | FaultKind::Stop | FaultKind::Sleep => {}
        }
    }

    fn restart(&mut self) -> Result<(), String> {
        self.set_machine_clock(SignedDuration::ZERO, &mut self.lock_clock());
        self.has_clock = false;
        let output = self.setup.sandbox.run(self.setup.rolecall().args(["agent", "restart"]));
        if output.status.success() { Ok(()) } else { Err(format!("agent restart failed: {output}")) }
    }

    fn kill(&mut self) {
        self.ledger.lose_all();
        if self.has_clock || self.slept.is_zero() {
            self.signal(Signal::KILL);
        } else {
            // The next daemon has another clock, so no call may be in progress.
            let mut ahead = self.lock_clock();
            self.signal(Signal::KILL);
            self.set_machine_clock(self.slept, &mut ahead);
        }
        self.has_clock = self.setup.machine_clock.is_some();
        // The daemon may have answered a call before the signal.
        self.ledger.lose_all();
    }

    /// Sends a signal to the daemon, if one listens.
    fn signal(&self, signal: Signal) {
        let pid = self.setup.daemon_pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            // The daemon may have ended just now.
            let _ = kill_process(pid, signal);
        }
    }

    fn sleep(&mut self) {
        let time = Duration::from_secs(self.random.u64(SLEEP));
        let signed = SignedDuration::try_from(time).expect("a short time");
        let mut ahead = self.lock_clock();
        let moved = *ahead + signed;
        self.set_machine_clock(moved, &mut ahead);
        self.setup.aws.clock().advance(time);
        drop(ahead);
        self.slept += signed;
    }

    fn move_machine_clock(&self, by: SignedDuration) {
        let mut ahead = self.lock_clock();
        if self.offset == by && by.is_positive() {
            // The daemon does not know what is left of a session until AWS answers.
            self.ledger.lose_all();
        }
        let moved = *ahead + by;
        self.set_machine_clock(moved, &mut ahead);
    }

    /// Waits until no call is in progress.
    fn lock_clock(&self) -> RwLockWriteGuard<'a, SignedDuration> {
        self.ahead.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_machine_clock(&self, to: SignedDuration, ahead: &mut SignedDuration) {
        if let Some(clock) = &self.setup.machine_clock {
            clock.set(to);
            *ahead = to;
        }
    }
}

//! The faults of STS: what it answers to each AssumeRole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::profiles::ROLES;
use crate::aws::{AwsHandle, Cut, Fault, Op};

/// How often STS fails while it is [`StsMode::Flaky`], in percent.
const FAILURES: u8 = 10;
/// A slow answer.
const SLOW: Duration = Duration::from_secs(1);

/// How STS answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StsMode {
    /// Every call succeeds.
    Healthy,
    /// A tenth of the calls fails, in different ways.
    Flaky,
    /// Every call is throttled.
    Throttling,
    /// Every call fails with 503.
    Down,
}

/// Sets the mode of an embedded STS.
#[derive(Debug)]
pub(super) struct StsFaults(Arc<Mutex<StsMode>>);

impl StsFaults {
    /// Makes the sessions of each role as long as the table says, and STS flaky.
    pub(super) fn install(aws: &AwsHandle, seed: u64) -> Self {
        let mode = Arc::new(Mutex::new(StsMode::Flaky));
        let (current, mut random) = (Arc::clone(&mode), fastrand::Rng::with_seed(seed));
        let lifetimes: HashMap<String, Duration> = ROLES.iter().map(|role| (role.arn(), role.lifetime)).collect();
        aws.choose_faults(Op::AssumeRole, move |role| {
            let session = Fault::ExpiresIn(*lifetimes.get(role?)?);
            let mode = *current.lock().unwrap_or_else(PoisonError::into_inner);
            Some(match mode {
                StsMode::Flaky if random.u8(..100) < FAILURES => failure(&mut random, session),
                StsMode::Healthy | StsMode::Flaky => session,
                StsMode::Throttling => Fault::Throttle,
                StsMode::Down => Fault::Status(503),
            })
        });
        Self(mode)
    }

    pub(super) fn set(&self, mode: StsMode) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }
}

fn failure(random: &mut fastrand::Rng, session: Fault) -> Fault {
    match random.u8(..8) {
        0 => Fault::Throttle,
        1 => Fault::Status(500),
        2 => Fault::Status(503),
        3 => Fault::Reset,
        4 => Fault::Html,
        5 => Fault::Empty200,
        6 => Fault::Truncated(Cut::Chunked),
        _ => Fault::All(vec![Fault::Delay(SLOW), session]),
    }
}

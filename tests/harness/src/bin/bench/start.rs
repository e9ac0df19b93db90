//! Start time of the daemon: until `ready`, and until its first token.

use std::time::{Duration, Instant};

use crate::Context;
use crate::build::Programs;
use crate::fixture::{Fixture, MANY, PROFILE};
use crate::report::{Report, Row};
use crate::sample::Sample;

const PART: &str = "start";
const ROUNDS: usize = 15;

/// The start times with one configuration, in ms.
#[derive(Default)]
struct Starts {
    ready: Vec<f64>,
    token: Vec<f64>,
}

pub(crate) fn measure(context: &Context, report: &mut Report) {
    let fixtures = [Fixture::new(1), Fixture::new(MANY)];
    let mut starts = [Starts::default(), Starts::default()];
    for _ in 0..ROUNDS {
        for (fixture, starts) in fixtures.iter().zip(&mut starts) {
            starts.once(fixture, &context.programs);
        }
    }
    let [one, many] = starts;
    let row = |what: &str, times: &[f64]| {
        let Sample { value, spread } = Sample::of_blocks(times);
        Row::new(PART, what, value, "ms").spread(spread)
    };
    // Only the number of profiles differs, and the daemon reads them before it is ready.
    let loading: Vec<f64> = many.ready.iter().zip(&one.ready).map(|(many, one)| many - one).collect();
    report.add(row("daemon, time to load 10,000 profiles", &loading).at_most(150.0).not_compared());
    report.add(row("daemon, spawn to first token, 1 profile", &one.token).at_most(150.0).not_compared());
    report.add(row("daemon, spawn to first token, 10,000 profiles", &many.token).at_most(150.0).not_compared());
    report.add(row("daemon, spawn to ready, 1 profile", &one.ready));
    report.add(row("daemon, spawn to ready, 10,000 profiles", &many.ready));
}

impl Starts {
    /// Measures one start. The first token includes an AssumeRole call; the embedded STS responds in about a
    /// millisecond.
    fn once(&mut self, fixture: &Fixture, programs: &Programs) {
        let begin = Instant::now();
        let _daemon = fixture.start(programs);
        self.ready.push(millis(begin.elapsed()));
        fixture.request_token(PROFILE);
        self.token.push(millis(begin.elapsed()));
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

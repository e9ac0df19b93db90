//! Start time of the daemon: until `ready`, and until its first token.

use std::time::{Duration, Instant};

use crate::build::Programs;
use crate::fixture::{Fixture, MANY, PROFILE};
use crate::report::{Row, median, millis};

const PART: &str = "start";
const ROUNDS: usize = 15;

/// The start times with one configuration.
#[derive(Default)]
struct Starts {
    ready: Vec<Duration>,
    token: Vec<Duration>,
}

pub(crate) fn measure(programs: &Programs) -> Vec<Row> {
    let fixtures = [Fixture::new(1), Fixture::new(MANY)];
    let mut starts = [Starts::default(), Starts::default()];
    for _ in 0..ROUNDS {
        for (fixture, starts) in fixtures.iter().zip(&mut starts) {
            starts.once(fixture, programs);
        }
    }
    let [mut one, mut many] = starts;
    let ready = [millis(median(&mut one.ready)), millis(median(&mut many.ready))];
    vec![
        Row::new(PART, "spawn to ready, 1 profile", ready[0], "ms"),
        Row::new(PART, "spawn to ready, 10,000 profiles", ready[1], "ms"),
        // Only the number of profiles differs, and the daemon reads them before it is ready.
        Row::new(PART, "loading 10,000 profiles: the difference", ready[1] - ready[0], "ms").at_most(150.0),
        Row::new(PART, "spawn to first token, 1 profile", millis(median(&mut one.token)), "ms").at_most(150.0),
        Row::new(PART, "spawn to first token, 10,000 profiles", millis(median(&mut many.token)), "ms").at_most(150.0),
    ]
}

impl Starts {
    /// Measures one start. The first token includes an AssumeRole call; the embedded STS responds in about a
    /// millisecond.
    fn once(&mut self, fixture: &Fixture, programs: &Programs) {
        let begin = Instant::now();
        let _daemon = fixture.start(programs);
        self.ready.push(begin.elapsed());
        fixture.request_token(PROFILE);
        self.token.push(begin.elapsed());
    }
}

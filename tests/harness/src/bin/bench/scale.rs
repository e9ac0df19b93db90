//! Compares `rolecall token` with 1 and with 10,000 profiles.

use crate::build::Programs;
use crate::exec::in_turn;
use crate::fixture::{Fixture, MANY};
use crate::report::{Row, median, micros};

const PART: &str = "scale";

pub(crate) fn measure(programs: &Programs) -> Vec<Row> {
    let fixtures = [Fixture::new(1), Fixture::new(MANY)];
    let _daemons = fixtures.each_ref().map(|fixture| fixture.start(programs));
    let [mut one, mut many] = fixtures.each_ref().map(|fixture| fixture.token_command(programs));
    for (fixture, command) in fixtures.iter().zip([&mut one, &mut many]) {
        fixture.sandbox.run(command).assert_ok();
    }
    let [mut one, mut many] = in_turn([&mut one, &mut many]);
    let (one, many) = (micros(median(&mut one)), micros(median(&mut many)));
    vec![
        Row::new(PART, "rolecall token, median, 1 profile", one, "µs"),
        Row::new(PART, "rolecall token, median, 10,000 profiles", many, "µs"),
        Row::new(PART, "rolecall token, 10,000 profiles", many / one, "× 1 profile").at_most(1.1),
    ]
}

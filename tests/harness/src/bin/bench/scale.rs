//! Compares `rolecall token` with 1 and with 10,000 profiles.

use crate::Context;
use crate::client::{BLOCK, in_turn};
use crate::fixture::{Fixture, MANY};
use crate::report::{Report, Row};
use crate::sample::Sample;

const PART: &str = "scale";

pub(crate) fn measure(context: &Context, report: &mut Report) {
    let fixtures = [Fixture::new(1), Fixture::new(MANY)];
    let _daemons = fixtures.each_ref().map(|fixture| fixture.start(&context.programs));
    let [mut one, mut many] = fixtures.each_ref().map(|fixture| fixture.token_command(&context.programs));
    for (fixture, command) in fixtures.iter().zip([&mut one, &mut many]) {
        fixture.sandbox.run(command).assert_ok();
    }
    let [one, many] = in_turn(&context.programs.load, [&one, &many]);
    let ratio = Sample::ratio(&many, &one, BLOCK);
    report.add(
        Row::new(PART, "rolecall token, 10,000 profiles, median", ratio.value, "× 1 profile")
            .spread(ratio.spread)
            .at_most(1.1),
    );
}

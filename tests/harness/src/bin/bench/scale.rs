//! Whether a token takes longer where there are more profiles.

use crate::build::Programs;
use crate::exec::in_turn;
use crate::report::{Row, median, micros};
use crate::world::{MANY, World};

const PART: &str = "scale";

pub(crate) fn measure(programs: &Programs) -> Vec<Row> {
    let worlds = [World::new(1), World::new(MANY)];
    let _daemons = worlds.each_ref().map(|world| world.start(programs));
    let [mut one, mut many] = worlds.each_ref().map(|world| world.token_command(programs));
    for (world, command) in worlds.iter().zip([&mut one, &mut many]) {
        world.sandbox.run(command).assert_ok();
    }
    let [mut one, mut many] = in_turn([&mut one, &mut many]);
    let (one, many) = (micros(median(&mut one)), micros(median(&mut many)));
    vec![
        Row::new(PART, "rolecall token, median, 1 profile", one, "µs"),
        Row::new(PART, "rolecall token, median, 10,000 profiles", many, "µs"),
        Row::new(PART, "rolecall token, 10,000 profiles", many / one, "× 1 profile").at_most(1.1),
    ]
}

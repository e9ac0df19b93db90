//! Simulates a fleet and prints its STS calls: `rolecall-fleet [--laptops N] [--seed N] [--json]`.

// The program prints its table, and stops with a reason for a wrong argument.
#![allow(clippy::print_stdout, clippy::expect_used, clippy::panic)]

use rolecall_fleet::{Fleet, Report};

fn main() {
    let (mut laptops, mut seed, mut json) = (10_000, 1, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|value| value.parse().ok()).expect("a number follows");
        match argument.as_str() {
            "--laptops" => laptops = usize::try_from(number()).expect("a number of laptops"),
            "--seed" => seed = number(),
            "--json" => json = true,
            _ => panic!("unknown argument {argument}; arguments: --laptops N --seed N --json"),
        }
    }
    let fleet = Fleet::simulate(laptops, seed);
    let report = Report::new(&fleet, fleet.window());
    if json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
}

//! Connections and requests per second of the daemon, against an empty server.

use std::time::Duration;

use crate::Context;
use crate::load::{Connections, Servers};
use crate::report::{Report, Row};
use crate::sample::Sample;

const PART: &str = "throughput";
/// Enough to keep two cores busy.
const CLIENTS: usize = 16;
const BLOCKS: usize = 12;
const BLOCK_TIME: Duration = Duration::from_millis(500);

pub(crate) fn measure(context: &Context, report: &mut Report) {
    let servers = Servers::start(context);
    for (connections, what) in [
        (Connections::PerRequest, "connections a second"),
        (Connections::Reuse, "requests a second on open connections"),
    ] {
        let rate = |server| servers.closed(server, connections, CLIENTS, BLOCK_TIME);
        let blocks: Vec<[f64; 2]> = (0..BLOCKS).map(|_| [rate(&servers.daemon), rate(&servers.empty)]).collect();
        let ratio = Sample::of_blocks(&blocks.iter().map(|[daemon, empty]| daemon / empty).collect::<Vec<_>>());
        report.add(
            Row::new(PART, format!("daemon, {what}"), ratio.value, "× an empty server")
                .spread(ratio.spread)
                .at_least(0.8),
        );
        for (server, index) in [("daemon", 0), ("empty server", 1)] {
            let rate = Sample::of_blocks(&blocks.iter().map(|block| block[index]).collect::<Vec<_>>());
            report.add(Row::new(PART, format!("  {server}, {what}"), rate.value, "").spread(rate.spread));
        }
    }
}

//! Latency and processor time of the daemon under 1,000 requests a second, against an empty server.

use std::time::Duration;

use crate::Context;
use crate::load::{Server, Servers};
use crate::process::cpu_time;
use crate::report::{Report, Row};
use crate::sample::{Sample, micros};

const PART: &str = "latency";
const RATE: usize = 1_000;
const BLOCKS: usize = 7;
const BLOCK_TIME: Duration = Duration::from_secs(2);

/// What one block measured, in µs.
struct Block {
    p50: f64,
    p99: f64,
    cpu: f64,
}

/// Reads one value of a block.
type Value = fn(&Block) -> f64;

/// Blocks of both servers alternate. Each request is a connection, as for a new kubectl.
pub(crate) fn measure(context: &Context, report: &mut Report) {
    let servers = Servers::start(context);
    let block = |server| Block::measure(&servers, server);
    let blocks: Vec<[Block; 2]> = (0..BLOCKS).map(|_| [block(&servers.daemon), block(&servers.empty)]).collect();
    let values: [(&str, Value); 3] =
        [("p50", |block| block.p50), ("p99", |block| block.p99), ("processor time per request", |block| block.cpu)];
    for (name, value) in values {
        let times = |[daemon, _]: &[Block; 2]| value(daemon);
        let ratios = |[daemon, empty]: &[Block; 2]| value(daemon) / value(empty);
        let time = Sample::of_blocks(&blocks.iter().map(times).collect::<Vec<_>>());
        let ratio = Sample::of_blocks(&blocks.iter().map(ratios).collect::<Vec<_>>());
        let what = format!("daemon, {name} at 1,000 requests a second");
        report.add(Row::new(PART, &what, ratio.value, "× an empty server").spread(ratio.spread).lower_is_better());
        report.add(Row::new(PART, format!("  in µs: {name}"), time.value, "µs").spread(time.spread));
    }
}

impl Block {
    #[allow(clippy::cast_precision_loss)] // a few thousand requests
    fn measure(servers: &Servers, server: &Server) -> Self {
        let before = cpu_time(server.pid);
        let latencies = servers.open(server, RATE, BLOCK_TIME);
        let cpu = cpu_time(server.pid).saturating_sub(before);
        Self {
            p50: micros(&latencies, 0.5),
            p99: micros(&latencies, 0.99),
            cpu: cpu.as_secs_f64() * 1e6 / latencies.len() as f64,
        }
    }
}

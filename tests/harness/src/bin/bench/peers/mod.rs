//! Rolecall beside the programs that print tokens for kubectl today: the time of one call, memory, many calls at once, kubectl
//! end to end, and calls of STS.
//!
//! STS responds at once here. Over a network each call of STS takes tens of milliseconds more, for the programs that make it.

mod contender;
mod contenders;
mod kubectl;
mod measurement;
mod process;
mod programs;
mod world;

use self::measurement::Measurement;
use self::programs::Programs;
use self::world::World;
use crate::Context;
use crate::report::peers::Peer;
use crate::report::{Report, Row};

const PART: &str = "peers";

pub(crate) fn measure(context: &Context, report: &mut Report) {
    let (world, installed) = (World::new(), Programs::installed());
    let kubectl = installed.find("kubectl").map_err(|reason| report.missing("kubectl with each program", reason)).ok();
    let (launcher, has_time) = (context.programs.load.as_path(), context.slow_peers);
    let measurement = Measurement { world: &world, launcher, kubectl, has_time };
    let mut rolecall = contenders::rolecall(&world, &context.programs);
    eprintln!("  {}", rolecall.name);
    let ours = measurement.rolecall(&mut rolecall);
    if let Some(kubectl) = &ours.kubectl {
        let ratio = kubectl.against_static_token;
        let row = Row::new(PART, "kubectl get pods with Rolecall, against a static token", ratio.value, "×");
        report.add(row.spread(ratio.spread).at_most(1.05));
    }
    report.peers.push(ours);
    for peer in contenders::peers(&world, &installed) {
        let ready = peer.and_then(|peer| match peer.check() {
            Ok(()) => Ok(peer),
            Err(reason) => Err((peer.name.clone(), reason)),
        });
        match ready {
            Ok(mut peer) => {
                eprintln!("  {}", peer.name);
                let measured = measurement.peer(&mut peer, &rolecall);
                add_bar(report, &measured);
                report.peers.push(measured);
            }
            Err((name, reason)) => report.missing(name, reason),
        }
    }
}

/// Adds the row of a peer for which the design has a bar.
fn add_bar(report: &mut Report, peer: &Peer) {
    let Some(ratio) = peer.against_rolecall.filter(|_| peer.name.ends_with(contenders::ROLE_OPTION)) else { return };
    let row = Row::new(PART, format!("{}, against rolecall token", peer.name), ratio.value, "×");
    report.add(row.spread(ratio.spread).at_least(300.0));
}

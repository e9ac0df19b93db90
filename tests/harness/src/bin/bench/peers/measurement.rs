//! Measures one program.

use std::path::Path;
use std::time::Duration;

use super::contender::Contender;
use super::kubectl;
use super::process;
use super::programs::Program;
use super::world::World;
use crate::report::peers::{Crowd, Kubectl, Peer};
use crate::sample::{Sample, micros};

/// Runs of Rolecall for each run of a peer, which takes much longer.
const RUNS_PER_PEER_RUN: u32 = 10;
/// A program runs for about this many seconds with warm caches, within these numbers of rounds.
const WARM_SECONDS: f64 = 3.0;
const WARM_ROUNDS: (u32, u32) = (3, 50);
const COLD_CALLS: u32 = 2;
/// How many calls at once.
const CROWDS: [u32; 2] = [20, 200];
/// Programs whose small crowd takes longer run in the large one only with `--slow-peers`.
const SLOW_CROWD_SECONDS: f64 = 3.0;
/// Runs of kubectl with Rolecall, and with all programs with `--slow-peers`.
const KUBECTL_RUNS: u32 = 100;
/// kubectl runs with a peer for about this many seconds of its calls, within these numbers of runs.
const KUBECTL_SECONDS: f64 = 3.0;
const KUBECTL_PEER_RUNS: (u32, u32) = (4, 20);
/// Runs of kubectl in one block.
const KUBECTL_BLOCK: usize = 10;

/// How programs are measured.
pub(super) struct Measurement<'a> {
    pub(super) world: &'a World,
    /// The load generator, which starts programs.
    pub(super) launcher: &'a Path,
    pub(super) kubectl: Option<&'a Program>,
    /// `--slow-peers`
    pub(super) has_time: bool,
}

impl Measurement<'_> {
    /// Measures Rolecall.
    pub(super) fn rolecall(&self, rolecall: &mut Contender) -> Peer {
        let mut peer = self.measure(rolecall, None);
        rolecall.forget();
        self.token(rolecall);
        peer.daemon_memory_mb = rolecall.daemon.as_ref().map(|daemon| process::resident(daemon.process.pid()));
        peer
    }

    /// Measures a peer, alternately with Rolecall.
    pub(super) fn peer(&self, peer: &mut Contender, rolecall: &Contender) -> Peer {
        self.measure(peer, Some(rolecall))
    }

    fn measure(&self, contender: &mut Contender, rolecall: Option<&Contender>) -> Peer {
        let (warm, against_rolecall) = self.warm(contender, rolecall);
        let memory_mb = process::peak_memory(contender);
        let runs = if rolecall.is_none() || self.has_time { KUBECTL_RUNS } else { kubectl_runs(warm) };
        let kubectl = self.kubectl.map(|kubectl| self.kubectl(kubectl, contender, runs));
        let before = self.world.sts_calls();
        let cold_millis = self.cold(contender);
        // Many calls at once are a load for STS, or take time.
        let has_load = self.world.sts_calls().since(before).by_programs > 0;
        let crowds = if has_load || self.has_time { self.crowds(contender, memory_mb) } else { Vec::new() };
        Peer {
            name: contender.name.clone(),
            version: contender.version.clone(),
            warm_millis: millis(warm),
            against_rolecall,
            cold_millis,
            memory_mb,
            daemon_memory_mb: None,
            kubectl,
            crowds,
        }
    }

    /// Runs many calls at once, with cold caches: those for which there is time and memory.
    fn crowds(&self, contender: &mut Contender, memory_mb: f64) -> Vec<Crowd> {
        let mut crowds: Vec<Crowd> = Vec::new();
        for count in CROWDS {
            let is_slow = crowds.last().is_some_and(|crowd| crowd.seconds > SLOW_CROWD_SECONDS);
            if (is_slow && !self.has_time) || memory_mb * f64::from(count) > process::available() {
                break;
            }
            contender.forget();
            let before = self.world.sts_calls();
            let (took, failures) = process::at_once(self.launcher, count, contender);
            let sts_calls = self.world.sts_calls().since(before).by_programs;
            crowds.push(Crowd { count, seconds: took.as_secs_f64(), failures, sts_calls });
        }
        crowds
    }

    fn kubectl(&self, kubectl: &Program, contender: &Contender, runs: u32) -> Kubectl {
        let measured = kubectl::alternate(kubectl, contender, self.world, runs);
        let block = KUBECTL_BLOCK.min(measured.with_plugin.len().div_ceil(4));
        Kubectl {
            runs,
            millis: micros(&measured.with_plugin, 0.5) / 1e3,
            static_token_millis: micros(&measured.with_static_token, 0.5) / 1e3,
            against_static_token: Sample::ratio(&measured.with_plugin, &measured.with_static_token, block),
            sts_calls: measured.calls.by_programs,
            sts_calls_of_cluster: measured.calls.by_cluster,
        }
    }
    /// Returns the median time of one call with warm caches and, for a peer, the ratio to Rolecall.
    fn warm(&self, contender: &Contender, rolecall: Option<&Contender>) -> (Duration, Option<Sample>) {
        let seconds = self.token(contender).as_secs_f64();
        let (fewest, most) = WARM_ROUNDS;
        let (mut runs, mut ratios) = (Vec::new(), Vec::new());
        for round in 0..most {
            if round >= fewest && seconds * f64::from(round) > WARM_SECONDS {
                break;
            }
            let run = self.token(contender);
            runs.push(run);
            if let Some(rolecall) = rolecall {
                let ours: Vec<Duration> = (0..RUNS_PER_PEER_RUN).map(|_| self.token(rolecall)).collect();
                ratios.push(run.as_secs_f64() * 1e6 / micros(&ours, 0.5));
            }
        }
        let time = Duration::from_secs_f64(micros(&runs, 0.5) / 1e6);
        (time, rolecall.map(|_| Sample::of_blocks(&ratios)))
    }

    /// Returns the median time of one call without caches, in ms.
    fn cold(&self, contender: &mut Contender) -> f64 {
        let run = |_| {
            contender.forget();
            self.token(contender)
        };
        let runs: Vec<Duration> = (0..COLD_CALLS).map(run).collect();
        micros(&runs, 0.5) / 1e3
    }

    fn token(&self, contender: &Contender) -> Duration {
        process::token(self.launcher, contender)
    }
}

/// Returns how often kubectl runs with a peer that takes this time for a call.
fn kubectl_runs(call: Duration) -> u32 {
    let (fewest, most) = KUBECTL_PEER_RUNS;
    (fewest..most).find(|runs| call.as_secs_f64() * f64::from(*runs) > KUBECTL_SECONDS).unwrap_or(most)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

//! Random histories of the machine, of STS and of the configuration. In each, no expired session and no session of another role is
//! served, no valid session is withheld, STS is not called too often, and in the end every profile gets a token.

use std::time::Duration;

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::simulation::{Issued, Mood, Simulation};

const PROFILES: usize = 3;
/// The margins before a session's expiry (`Session::is_usable`, and one minute of a token).
const MARGIN: Duration = Duration::from_mins(2);
/// How much the daemon's clock may differ from AWS's while the daemon counts it as certain.
const BELIEVED: Duration = Duration::from_mins(5);

#[derive(Debug, Clone)]
enum Step {
    /// Time passes.
    Pass(Duration),
    /// The machine sleeps.
    Sleep(Duration),
    /// The clock is set.
    Set(i64),
    Mood(Mood),
    /// A client requests a token.
    Token(usize),
    /// Many clients request a token.
    Crowd,
    Refresh(usize),
    /// The profile gets another role.
    Configure(usize),
    Login,
    Network,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..60).prop_map(|seconds| Step::Pass(Duration::from_secs(seconds))),
        3 => (1u64..90).prop_map(|minutes| Step::Pass(Duration::from_mins(minutes))),
        1 => (1u64..300).prop_map(|minutes| Step::Sleep(Duration::from_mins(minutes))),
        1 => (-180i64..180).prop_map(Step::Set),
        3 => prop_oneof![
            3 => Just(Mood::Well),
            1 => Just(Mood::Unreachable),
            1 => Just(Mood::Silent),
            1 => Just(Mood::Broken),
            1 => (1u64..30).prop_map(Mood::Busy),
            1 => Just(Mood::Denying),
        ]
        .prop_map(Step::Mood),
        8 => (0..PROFILES).prop_map(Step::Token),
        1 => Just(Step::Crowd),
        1 => (0..PROFILES).prop_map(Step::Refresh),
        1 => (0..PROFILES).prop_map(Step::Configure),
        1 => Just(Step::Login),
        1 => Just(Step::Network),
    ]
}

/// The simulation, with each profile's present role and the last token that it got.
struct Model {
    simulation: Simulation,
    versions: [usize; PROFILES],
    served: [Option<Issued>; PROFILES],
}

impl Model {
    fn new() -> Self {
        let versions = [0; PROFILES];
        Self { simulation: Simulation::new(&configuration(versions)), versions, served: [const { None }; PROFILES] }
    }

    async fn take(&mut self, step: &Step) {
        let simulation = &self.simulation;
        match step {
            Step::Pass(time) => tokio::time::sleep(*time).await,
            Step::Sleep(time) => simulation.laptop.sleep(*time),
            Step::Set(minutes) => simulation.laptop.set(SignedDuration::from_mins(*minutes)),
            Step::Mood(mood) => simulation.sts.set(*mood),
            Step::Token(n) => self.token(*n).await,
            Step::Crowd => {
                for n in 0..PROFILES {
                    let name = name(n);
                    let crowd = (0..20).map(|_| simulation.token(&name));
                    drop(futures_util::future::join_all(crowd).await);
                }
            }
            Step::Refresh(n) => {
                let name = name(*n).parse().unwrap();
                drop(tokio::time::timeout(crate::simulation::CALLER, simulation.agent.profiles.refresh(&name)).await);
            }
            Step::Configure(n) => {
                self.versions[*n] += 1;
                self.served[*n] = None;
                simulation.configure(&configuration(self.versions));
            }
            Step::Login => simulation.agent.recovery.sources_changed(),
            Step::Network => simulation.agent.recovery.system_changed(),
        }
    }

    async fn token(&mut self, n: usize) {
        let simulation = &self.simulation;
        let answer = simulation.token(&name(n)).await;
        let truth = simulation.laptop.truth();
        let now = simulation.clock.now();
        let is_believed = now.duration_since(truth).unwrap_or_else(|error| error.duration()) < BELIEVED;
        match answer {
            Ok(issued) => {
                assert_eq!(issued.role, role(n, self.versions[n]), "a session of another role");
                if is_believed {
                    simulation.good(Ok(issued.clone()));
                }
                self.served[n] = Some(issued);
            }
            Err(error) => {
                let good = self.served[n].as_ref().is_some_and(|last| last.session_ends > truth + MARGIN);
                assert!(!(good && is_believed), "a valid session was withheld: {error}");
            }
        }
    }

    /// STS works and the clock is correct: every caller is served within a minute.
    async fn recover(&mut self) {
        self.simulation.sts.set(Mood::Well);
        tokio::time::sleep(Duration::from_mins(1)).await;
        for n in 0..PROFILES {
            let issued = self.simulation.token(&name(n)).await;
            let issued = self.simulation.good(issued);
            assert_eq!(issued.role, role(n, self.versions[n]));
        }
        assert!(self.simulation.sts.peak() <= 8);
        for seconds in [1, 10, 60] {
            let most = self.simulation.sts.most_within(Duration::from_secs(seconds));
            assert!(most <= 21 + 5 * usize::try_from(seconds).unwrap(), "{most} calls in {seconds} s");
        }
    }
}

fn name(n: usize) -> String {
    format!("p{n}")
}

fn role(n: usize, version: usize) -> String {
    format!("arn:aws:iam::111122223333:role/r{n}-v{version}")
}

fn configuration(versions: [usize; PROFILES]) -> String {
    let durations = ["1h", "12h", "15min"];
    versions.iter().enumerate().fold("[sources.work]\naws_profile = \"work\"\n".to_owned(), |text, (n, version)| {
        let (role, duration) = (role(n, *version), durations[n]);
        text + &format!(
            "[profiles.p{n}]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\n\
             role_arn = \"{role}\"\nduration = \"{duration}\"\n"
        )
    })
}

proptest! {
    #![proptest_config(Config { cases: 48, failure_persistence: None, ..Config::default() })]

    #[test]
    fn engine_invariants_hold_in_random_histories(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new();
            for step in &steps {
                model.take(step).await;
            }
            model.recover().await;
        });
    }
}

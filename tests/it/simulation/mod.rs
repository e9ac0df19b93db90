//! The whole agent without a network: STS is a table in memory that responds to the SDK's own requests, and time is tokio's paused
//! time, which advances when all tasks wait. Hours of sessions take seconds, and the SDK still signs and parses every call.

pub(crate) mod sts;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use jiff::SignedDuration;
use rolecall_aws::client::{Aws, AwsFiles};
use rolecall_aws::http;
use rolecall_core::clock::{Clock, ClockSource};
use rolecall_core::profile::LocalUser;
use rolecall_protocol::{EntryProof, ProfileName};
use rolecalld::agent::Agent;
use rolecalld::services::AgentError;
use rolecalld::services::status::About;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use sts::{Issued, Mood, Sts};

/// How long the daemon works on a request (`Endpoint::response_timeout`).
pub(crate) const CALLER: Duration = Duration::from_secs(9);

/// The machine's clocks, which the test sets.
#[derive(Debug, Clone)]
pub(crate) struct Laptop {
    start: Instant,
    state: Arc<Mutex<(Duration, SignedDuration)>>,
}

/// An agent, its machine and its STS. Dropping it stops the renewal task.
pub(crate) struct Simulation {
    pub(crate) laptop: Laptop,
    pub(crate) sts: Sts,
    pub(crate) agent: Arc<Agent>,
    pub(crate) clock: Clock,
    folder: TempDir,
    stop: CancellationToken,
}

impl Laptop {
    fn new() -> Self {
        Self { start: Instant::now(), state: Arc::default() }
    }

    /// Returns AWS's time, which is the true time.
    pub(crate) fn truth(&self) -> SystemTime {
        // 2026-01-02T03:04:05Z
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045) + self.elapsed()
    }

    /// Lets the machine sleep: time passes, and timers do not advance.
    pub(crate) fn sleep(&self, time: Duration) {
        self.state.lock().unwrap().0 += time;
    }

    /// Sets the wall clock forward or back.
    pub(crate) fn set(&self, by: SignedDuration) {
        self.state.lock().unwrap().1 += by;
    }
}

impl ClockSource for Laptop {
    fn wall(&self) -> SystemTime {
        let ahead = self.state.lock().unwrap().1;
        let truth = self.truth();
        if ahead.is_negative() { truth - ahead.unsigned_abs() } else { truth + ahead.unsigned_abs() }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed() + self.state.lock().unwrap().0
    }

    fn awake(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Simulation {
    /// Starts an agent with a configuration, inside a runtime with paused time.
    pub(crate) fn new(config: &str) -> Self {
        let laptop = Laptop::new();
        let folder = tempfile::tempdir().unwrap();
        let aws = folder.path().join(".aws");
        std::fs::create_dir(&aws).unwrap();
        let files = AwsFiles { config: aws.join("config"), credentials: aws.join("credentials"), logins: aws };
        let keys = "[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = secret\n";
        std::fs::write(&files.credentials, keys).unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, config).unwrap();

        let clock = Clock::new(laptop.clone());
        let sts = Sts::new(laptop.clone());
        let client = http::restrict(sts.client(), clock.clone());
        let person = LocalUser { user: "dev".to_owned(), host: "laptop".to_owned() };
        let about = About { socket: String::new(), log: None, restarts: 0 };
        let agent = Agent::new(path, Aws::with_client(files, clock.clone(), client), person, about);
        let stop = CancellationToken::new();
        agent.renewer.start(stop.clone());
        Self { laptop, sts, agent, clock, folder, stop }
    }

    /// Replaces the configuration.
    pub(crate) fn configure(&self, config: &str) {
        std::fs::write(self.folder.path().join("config.toml"), config).unwrap();
        self.agent.config.reload();
    }

    /// Requests a token as kubectl does. Panics without a response within [`CALLER`].
    pub(crate) async fn token(&self, name: &str) -> Result<Issued, AgentError> {
        let name: ProfileName = name.parse().unwrap();
        let answer =
            tokio::time::timeout(CALLER, self.agent.token.token(&name, b"", &EntryProof::Terminal, None)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{name}: no answer in {CALLER:?}"))?;
        Ok(self.sts.read(answer.credential.expose()))
    }

    /// Checks that a request succeeded and that EKS accepts the token.
    #[track_caller]
    pub(crate) fn good(&self, issued: Result<Issued, AgentError>) -> Issued {
        let issued = issued.unwrap_or_else(|error| panic!("after {:?}: {error}", self.laptop.elapsed()));
        let truth = self.laptop.truth();
        assert!(issued.session_ends > truth, "an expired session");
        let off = truth.duration_since(issued.signed).unwrap_or_else(|error| error.duration());
        assert!(off < Duration::from_mins(15), "the signing time differs by {off:?}");
        issued
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Returns a configuration of `count` profiles, each with its own role.
pub(crate) fn profiles(count: usize, more: &str) -> String {
    (0..count).fold("[sources.work]\naws_profile = \"work\"\n".to_owned(), |config, n| {
        config
            + &format!(
                "[profiles.p{n}]\ncluster = \"prod\"\nregion = \"eu-west-1\"\nsource = \"work\"\n\
                 role_arn = \"arn:aws:iam::111122223333:role/r{n}\"\n{more}\n"
            )
    })
}

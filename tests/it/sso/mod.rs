//! IAM Identity Center: `rolecall_aws::sso` against the embedded server, on a clock that the test advances.

mod login;
mod token;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rolecall_aws::client::{Aws as AwsClients, AwsFiles};
use rolecall_aws::error::AwsErrorKind;
use rolecall_aws::sso::{Sso, SsoError, SsoLogin, SsoSession, SsoStep};
use rolecall_core::clock::Clock as DaemonClock;
use rolecall_core::config::Config;
use rolecall_harness::{Aws, Clock, Fault, Gate, Op, Sandbox, Sso as Center};
use rolecall_protocol::{ErrorClass, LoginFlow, LoginKind};
use serde_json::Value;
use tokio::task::{JoinSet, spawn_blocking};

use crate::fixture::{ACCOUNT, Laptop, REGION};

const ROLE: &str = "developers";
const HANG_GUARD: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_hours(1);

struct Fixture {
    clock: Clock,
    aws: Aws,
    center: Center,
    sandbox: Sandbox,
    sso: Sso,
    session: SsoSession,
}

impl Fixture {
    fn new() -> Self {
        Self::of(Some("corp"))
    }

    fn of(name: Option<&str>) -> Self {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)); // 2026-01-02T03:04:05Z
        let aws = Aws::start(clock.clone());
        let center = aws.sso();
        center.assign("dev", ACCOUNT, ROLE);
        let sandbox = Sandbox::new();
        sandbox.write_sso_profile("corp-dev", name, &center, ACCOUNT, ROLE);
        let session = SsoSession {
            profile: "corp-dev".to_owned(),
            name: name.map(str::to_owned),
            start_url: center.start_url(),
            region: REGION.parse().unwrap(),
            scopes: vec![],
        };
        let sso = another(&clock, &sandbox);
        Self { clock, aws, center, sandbox, sso, session }
    }

    /// Returns a fixture with a valid login.
    async fn logged_in(name: Option<&str>) -> Self {
        let fixture = Self::of(name);
        fixture.center.approve_all();
        assert_eq!(last(fixture.login(LoginFlow::Device)).await, SsoStep::Done);
        fixture.center.leave_pending();
        fixture
    }

    fn login(&self, flow: LoginFlow) -> SsoLogin {
        self.sso.login(&self.session, flow, false)
    }

    async fn role(&self) -> Result<rolecall_core::session::Session, SsoError> {
        self.sso.role_credentials(&self.session, ACCOUNT, ROLE).await
    }

    /// Returns the token file; at most one may exist.
    fn file(&self) -> Option<PathBuf> {
        let folder = self.sandbox.home().join(".aws/sso/cache");
        let files: Vec<PathBuf> = fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() < 2, "{files:?}");
        files.into_iter().next()
    }

    fn token(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file().unwrap()).unwrap()).unwrap()
    }

    /// Returns the number of token refreshes.
    fn renewals(&self) -> usize {
        let calls = self.aws.log_of(Op::CreateToken);
        calls.iter().filter(|call| call.params.get("grantType").is_some_and(|grant| grant == "refresh_token")).count()
    }
}

fn another(clock: &Clock, sandbox: &Sandbox) -> Sso {
    Sso::new(clients(clock, sandbox))
}

fn clients(clock: &Clock, sandbox: &Sandbox) -> AwsClients {
    let time = DaemonClock::new(Laptop { start: clock.now(), truth: clock.clone() });
    let logins = sandbox.home().join(".aws");
    let files = AwsFiles { config: logins.join("config"), credentials: logins.join("credentials"), logins };
    AwsClients::new(files, time)
}

/// Returns the address and the code that the user is shown, and whether the login had already been started.
async fn shown(login: &mut SsoLogin) -> (String, Option<String>, bool) {
    match login.next().await {
        Some(SsoStep::Open { url, code, joined, .. }) => (url, code, joined),
        other => panic!("{other:?}"),
    }
}

async fn last(mut login: SsoLogin) -> SsoStep {
    loop {
        match login.next().await.unwrap() {
            SsoStep::Open { .. } => {}
            step => {
                assert_eq!(login.next().await, None);
                return step;
            }
        }
    }
}

fn why(error: &SsoError) -> &str {
    match error {
        SsoError::LoginNeeded { why } => why,
        SsoError::NotLoggedIn => "not logged in",
        other => panic!("{other:?}"),
    }
}

fn why_failed(step: SsoStep) -> String {
    match step {
        SsoStep::Failed(error) => why(&error).to_owned(),
        other => panic!("{other:?}"),
    }
}

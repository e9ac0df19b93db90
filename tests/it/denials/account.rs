//! An AWS with one user, who assumes one role.

use std::time::Duration;

use aws_credential_types::Credentials;
use rolecall_aws::client::{Aws as AwsClients, AwsFiles};
use rolecall_aws::role_failure::{FailedAssumeRole, RoleFailure, explain};
use rolecall_aws::sts::{self, AssumeRoleInput, MfaCode};
use rolecall_core::clock::Clock as DaemonClock;
use rolecall_core::config::inputs::StsAddress;
use rolecall_core::config::{NameTemplate, SourceConfig, SourceKind};
use rolecall_core::role_chain::{RoleStep, StsEndpoint};
use rolecall_core::session::Session;
use rolecall_core::trust_policy::MfaUse;
use rolecall_harness::{AccessKey, Aws, Clock, Role, Sandbox};
use tokio::runtime::Runtime;

use crate::fixture::{ACCOUNT, REGION, ROLE};

pub(crate) const USER: &str = "arn:aws:iam::111122223333:user/dev";
pub(crate) const SECRET_ID: &str = "a-shared-secret-of-both-sides";

/// An AWS with the user `dev`, and a client with that user's access key.
pub(crate) struct Account {
    pub(crate) aws: Aws,
    pub(crate) user: AccessKey,
    pub(crate) clients: AwsClients,
    pub(crate) step: RoleStep,
    /// The credentials that sign.
    pub(crate) base: AccessKey,
    mfa: MfaUse,
    runtime: Runtime,
    _sandbox: Sandbox,
}

impl Account {
    /// The role `developers` as the test makes it.
    pub(crate) fn new(role: impl FnOnce(Role) -> Role) -> Self {
        let aws = Aws::start(Clock::system());
        let user = aws.add_user(ACCOUNT, "dev");
        aws.add_role(role(Role::new(ROLE)));
        let sandbox = Sandbox::new();
        sandbox.write_aws_profile("work", &user, &aws.endpoint());
        let logins = sandbox.home().join(".aws");
        let files = AwsFiles { config: logins.join("config"), credentials: logins.join("credentials"), logins };
        let clients = AwsClients::new(files, DaemonClock::machine());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (base, mfa) = (user.clone(), MfaUse::Without { is_temporary: false });
        Self { aws, user, clients, step: step(ROLE), base, mfa, runtime, _sandbox: sandbox }
    }

    pub(crate) fn session(&self) -> Session {
        let credentials =
            Credentials::new(&self.base.id, &self.base.secret, self.base.session_token.clone(), None, "test");
        Session { credentials, arn: None, issued: self.clients.now(), is_clamped: false }
    }

    pub(crate) fn run<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }

    /// Calls AssumeRole, which has to fail. Explains the failure.
    #[track_caller]
    pub(crate) fn failure(&self) -> RoleFailure {
        self.failure_with(None)
    }

    #[track_caller]
    pub(crate) fn failure_with(&self, code: Option<MfaCode<'_>>) -> RoleFailure {
        let (endpoint, base) = (endpoint(), self.session());
        let name = "dev@laptop".parse().unwrap();
        let input = AssumeRoleInput {
            endpoint: &endpoint,
            step: &self.step,
            name: &name,
            base: &base,
            code,
            is_clamped: false,
        };
        let Err(error) = self.run(sts::assume_role(&self.clients, input)) else { panic!("AWS allowed the call") };
        let source = "work".parse().unwrap();
        let failed = FailedAssumeRole {
            error: &error,
            endpoint: &endpoint,
            step: &self.step,
            session_name: "dev@laptop",
            source: &source,
            base: &base,
            caller_arn: &self.base.arn,
            caller_role: None,
            mfa: self.mfa,
        };
        let failure = self.run(explain(&self.clients, &failed));
        assert!(!format!("{failure:?} {}", error.body(&source)).contains(SECRET_ID));
        failure
    }

    /// Applies a fix to the role, after which the call succeeds.
    #[track_caller]
    pub(crate) fn assert_fixed_by(&self, change: impl FnOnce(Role) -> Role) {
        self.aws.update_role(ROLE, change);
        let (endpoint, base, name) = (endpoint(), self.session(), "dev@laptop".parse().unwrap());
        let input = AssumeRoleInput {
            endpoint: &endpoint,
            step: &self.step,
            name: &name,
            base: &base,
            code: None,
            is_clamped: false,
        };
        self.run(sts::assume_role(&self.clients, input)).unwrap();
    }
}

pub(crate) fn step(role: &str) -> RoleStep {
    RoleStep {
        role: role.parse().unwrap(),
        session_name: NameTemplate::new("dev@laptop", "", "", ""),
        external_id: None,
        duration: Duration::from_hours(1),
        inputs: None,
    }
}

pub(crate) fn endpoint() -> StsEndpoint {
    let source = SourceConfig::plain(SourceKind::AwsProfile("work".to_owned()));
    StsEndpoint { source, region: REGION.parse().unwrap(), sts: StsAddress::default() }
}

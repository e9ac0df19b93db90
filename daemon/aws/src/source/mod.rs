//! Where base credentials come from: AWS's own files, read as the AWS CLI reads them, and the OS keyring.
//!
//! Neither the shell's `AWS_ACCESS_KEY_ID` nor its `AWS_PROFILE` can decide anything here: the profile is named, and
//! `main` clears those variables before anything else runs.

mod aws_profile;
mod error;
pub mod process;
mod sdk_providers;

use std::sync::Arc;

use aws_config::profile::ProfileSet;
use aws_types::os_shim_internal::{Env, Fs};
use rolecall_protocol::{Region, similar_names};

use aws_profile::{Plan, RolePlan};
pub use error::{Login, SourceError};

use crate::client::Aws;
use crate::error::innermost;
use crate::sso::Sso;
use rolecall_core::config::NameTemplate;
use rolecall_core::config::SourceConfig;
use rolecall_core::config::SourceKind;
use rolecall_core::role_chain::RoleChain;
use rolecall_core::role_chain::RoleStep;
use rolecall_core::session::Session;

/// What a source comes to.
#[derive(Debug)]
pub enum ResolvedSource {
    /// Credentials.
    Session {
        /// The credentials.
        session: Box<Session>,
        /// The login that they depend on.
        login: Option<Login>,
        /// Whose they are.
        owner: Option<Owner>,
    },
    /// A role that its AWS profile names: the session of this chain.
    RoleChain(RoleChain),
}

/// Tells one owner of credentials from another, where something does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Long-lived keys, by their id.
    Keys(String),
    /// Whoever logged in here last, see [`Sso::last_login`].
    Login(u64),
}

/// Gets what sources give.
#[derive(Clone)]
pub struct Sources {
    aws: Aws,
    sso: Sso,
    name: NameTemplate,
}

impl Owner {
    /// The keys themselves, if they are long-lived ones.
    #[must_use]
    pub fn of_keys(session: &Session) -> Option<Self> {
        let credentials = &session.credentials;
        credentials.session_token().is_none().then(|| Self::Keys(credentials.access_key_id().to_owned()))
    }
}

impl Sources {
    /// Sessions of roles that AWS profiles name are called `name` where they do not name them.
    #[must_use]
    pub fn new(aws: Aws, name: NameTemplate) -> Self {
        Self { sso: Sso::new(aws.clone()), aws, name }
    }

    /// The logins to IAM Identity Center.
    #[must_use]
    pub const fn sso(&self) -> &Sso {
        &self.sso
    }

    /// Gets a source's credentials, without regard to MFA. Reads AWS's files anew each time, so that what a person changed
    /// there counts.
    pub async fn resolve(&self, source: &SourceConfig, region: &Region) -> Result<ResolvedSource, SourceError> {
        let profile = match &source.kind {
            SourceKind::AwsProfile(profile) | SourceKind::AwsProfileLeaf(profile) => profile,
            SourceKind::Keyring(name) => return Err(SourceError::no_aws_profile(name)),
        };
        let profiles = self.files(profile).await?;
        let plan = aws_profile::plan(&profiles, &source.kind)?;
        if let Plan::Role(role) = plan {
            return Ok(ResolvedSource::RoleChain(self.chain_for(profile, *role, region)));
        }
        let home = home_region(&profiles, profile, region);
        let login = login(&plan, profile);
        loop {
            let before = self.last_login(login.as_ref());
            let session = self.load_credentials(&plan, &profiles, profile, &home).await?;
            // Somebody may have signed in meanwhile; a person does so now and then.
            if self.last_login(login.as_ref()) == before {
                let owner = before.map(Owner::Login).or_else(|| Owner::of_keys(&session));
                return Ok(ResolvedSource::Session { session: Box::new(session), login, owner });
            }
        }
    }

    fn last_login(&self, login: Option<&Login>) -> Option<u64> {
        match login {
            Some(Login::Sso(session)) => self.sso.last_login(session),
            _ => None,
        }
    }

    /// The region that a source's own calls go to: what its AWS profile says, else another.
    pub async fn home(&self, source: &SourceConfig, region: &Region) -> Region {
        let Some(profile) = source.aws_profile() else { return region.clone() };
        match self.files(profile).await {
            Ok(profiles) => home_region(&profiles, profile, region),
            Err(_) => region.clone(),
        }
    }

    /// What a source's AWS profile leads to and the login that it depends on, as AWS's files say it; nothing is asked of
    /// anybody.
    pub async fn resolve_from_files(&self, chain: &RoleChain) -> (Option<RoleChain>, Option<Login>) {
        let Some(profile) = chain.source.aws_profile() else { return (None, None) };
        let Ok(profiles) = self.files(profile).await else { return (None, None) };
        match aws_profile::plan(&profiles, &chain.source.kind) {
            Ok(Plan::Role(role)) => (Some(self.chain_for(profile, *role, &chain.region)), None),
            Ok(plan) => (None, login(&plan, profile)),
            Err(_) => (None, None),
        }
    }

    /// The login that a source depends on, if there is one.
    pub async fn login_of(&self, source: &SourceConfig) -> Option<Login> {
        let profiles = self.files(source.aws_profile()?).await.ok()?;
        let mut kind = source.kind.clone();
        // A loop is an error of the plan's.
        loop {
            let (SourceKind::AwsProfile(name) | SourceKind::AwsProfileLeaf(name)) = &kind else { return None };
            match aws_profile::plan(&profiles, &kind).ok()? {
                Plan::Role(role) => kind = role.base,
                plan => return login(&plan, name),
            }
        }
    }

    async fn load_credentials(
        &self,
        plan: &Plan,
        profiles: &ProfileSet,
        profile: &str,
        region: &Region,
    ) -> Result<Session, SourceError> {
        let aws = &self.aws;
        let credentials = match plan {
            Plan::Sso(sso) => {
                let got = self.sso.role_credentials(&sso.session, &sso.account, &sso.role).await;
                return got.map_err(|error| SourceError::Sso {
                    profile: profile.to_owned(),
                    session: sso.session.clone(),
                    error,
                });
            }
            Plan::Process(command) => process::credentials(command)
                .await
                .map_err(|error| SourceError::Process { profile: profile.to_owned(), error })?,
            Plan::Instance(address) => {
                sdk_providers::credentials_of_instance(aws, profile, region, address.as_deref()).await?
            }
            Plan::Container => sdk_providers::credentials_of_container(aws, profile, region).await?,
            Plan::Keys => match sdk_providers::keys_from_files(profiles, profile) {
                Some(keys) => keys,
                None => sdk_providers::credentials_from_files(aws, profiles, profile, region).await?,
            },
            Plan::WebIdentity | Plan::AwsLogin | Plan::Role(_) => {
                sdk_providers::credentials_from_files(aws, profiles, profile, region).await?
            }
        };
        Ok(Session { credentials, arn: None, issued: aws.now(), is_clamped: false })
    }

    fn chain_for(&self, profile: &str, role: RolePlan, region: &Region) -> RoleChain {
        let step = RoleStep {
            role: role.role,
            session_name: role.session_name.map_or_else(|| self.name.clone(), NameTemplate::from),
            external_id: role.external_id,
            duration: role.duration,
            inputs: None,
        };
        let source = SourceConfig { kind: role.base, mfa: role.mfa.map(Arc::new) };
        RoleChain::from_aws_profile(profile, source, role.region.unwrap_or_else(|| region.clone()), step)
    }

    /// AWS's files, parsed by the SDK. That profile has to be in them.
    async fn files(&self, profile: &str) -> Result<ProfileSet, SourceError> {
        // An empty environment: only the files that `Aws` names count.
        let environment = Env::from_slice(&[]);
        let profiles = aws_config::profile::load(&Fs::real(), &environment, &self.aws.profile_files(), None)
            .await
            .map_err(|error| SourceError::Files(innermost(&error)))?;
        match profiles.get_profile(profile) {
            Some(_) => Ok(profiles),
            None => Err(self.no_profile(profile, &profiles)),
        }
    }

    fn no_profile(&self, profile: &str, profiles: &ProfileSet) -> SourceError {
        let files = self.aws.files();
        SourceError::NoProfile {
            profile: profile.to_owned(),
            files: format!("{} or {}", files.config.display(), files.credentials.display()),
            advice: advice(profile, profiles),
        }
    }
}

/// The login that such a profile depends on.
fn login(plan: &Plan, profile: &str) -> Option<Login> {
    match plan {
        Plan::Sso(sso) => Some(Login::Sso(sso.session.clone())),
        Plan::AwsLogin => Some(Login::Aws { profile: profile.to_owned() }),
        _ => None,
    }
}

/// The region that the AWS profile names for its own calls, else another.
fn home_region(profiles: &ProfileSet, profile: &str, region: &Region) -> Region {
    let own = profiles.get_profile(profile).and_then(|profile| profile.get("region"));
    own.and_then(|own| own.parse().ok()).unwrap_or_else(|| region.clone())
}

/// What a person who misnamed an AWS profile may have meant.
fn advice(profile: &str, profiles: &ProfileSet) -> String {
    let mut names: Vec<&str> = profiles.profiles().collect();
    names.sort_unstable();
    match (similar_names(profile, names.iter().copied()).first(), names.as_slice()) {
        (Some(near), _) => format!("Did you mean \"{near}\"?"),
        (None, []) => "There is none at all; make one with: aws configure".to_owned(),
        (None, names) => {
            let more = match names.len().saturating_sub(8) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("There are: {}{more}.", names.iter().take(8).copied().collect::<Vec<_>>().join(", "))
        }
    }
}

//! Sources of base credentials: the AWS profiles of AWS's own files, read as the AWS CLI reads them.
//! [`crate::shared_config`] is their only reader.
//!
//! The environment has no effect here: sources name their AWS profile, and `main` clears variables such as
//! `AWS_ACCESS_KEY_ID` and `AWS_PROFILE` first.

mod access_key;
mod aws_login;
mod aws_profile;
mod error;
mod inventory;
pub mod process;
mod sdk_providers;

use std::sync::Arc;

use rolecall_protocol::{Region, similar_names};
use serde::{Deserialize, Serialize};

pub use aws_profile::{Plan, RolePlan, SsoPlan, WebIdentityPlan, plan};
pub use error::{Login, PROGRAM_HINT, SourceError};
pub use inventory::AwsProfileEntry;

use crate::client::Aws;
use crate::credentials;
use crate::shared_config::{AwsFiles, Profile, SharedConfig};
use crate::sso::Sso;
use rolecall_core::config::NameTemplate;
use rolecall_core::config::SourceConfig;
use rolecall_core::config::SourceKind;
use rolecall_core::role_chain::RoleChain;
use rolecall_core::role_chain::RoleStep;
use rolecall_core::session::Session;

/// The result of resolving a source.
#[derive(Debug)]
pub enum ResolvedSource {
    /// The source has credentials.
    Session {
        /// The credentials.
        session: Box<Session>,
        /// The login that the credentials depend on.
        login: Option<Login>,
        /// The owner of the credentials.
        principal: Option<Principal>,
    },
    /// The AWS profile names a role: the credentials are the session of this role chain.
    RoleChain(RoleChain),
}

/// Tells the owner of a source's credentials from another owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Principal {
    /// A long-lived access key, by its id.
    AccessKey(Arc<str>),
    /// The nth login to IAM Identity Center in this process, see [`Sso::last_login`].
    #[serde(skip)]
    Login(u64),
}

/// Loads the credentials of sources.
#[derive(Clone)]
pub struct Sources {
    aws: Aws,
    sso: Sso,
    name: NameTemplate,
}

impl Principal {
    /// Returns the principal of a long-lived access key; `None` for temporary credentials.
    #[must_use]
    pub fn of_access_key(session: &Session) -> Option<Self> {
        let credentials = &session.credentials;
        credentials.session_token().is_none().then(|| Self::AccessKey(credentials.access_key_id().into()))
    }
}

impl Sources {
    /// `name` is the session name of roles for which the AWS profile has none.
    #[must_use]
    pub fn new(aws: Aws, name: NameTemplate) -> Self {
        Self { sso: Sso::new(aws.clone()), aws, name }
    }

    /// The logins to IAM Identity Center.
    #[must_use]
    pub const fn sso(&self) -> &Sso {
        &self.sso
    }

    /// Returns the credentials of a source, without MFA, or the role chain that leads to them. Reads AWS's files at each call,
    /// so that changes apply at once.
    pub async fn resolve(&self, source: &SourceConfig, region: &Region) -> Result<ResolvedSource, SourceError> {
        let profile = match &source.kind {
            SourceKind::AwsProfile(profile) | SourceKind::AwsProfileLeaf(profile) => profile,
            SourceKind::Keyring(name) => return Err(SourceError::no_aws_profile(name)),
        };
        let (kind, name, fallback) = (source.kind.clone(), profile.clone(), region.clone());
        let read =
            move |config: &SharedConfig| plan(config, &kind).map(|plan| (plan, home_region(config, &name, &fallback)));
        let (plan, home) = self.query(profile, read).await??;
        if let Plan::Role(role) = plan {
            return Ok(ResolvedSource::RoleChain(self.chain_for(profile, *role, region)));
        }
        let login = login(&plan, profile);
        loop {
            let before = self.last_login(login.as_ref());
            let session = self.load_credentials(&plan, profile, &home).await?;
            // A login in the meantime may have another owner: load again.
            if self.last_login(login.as_ref()) == before {
                let principal = before.map(Principal::Login).or_else(|| Principal::of_access_key(&session));
                return Ok(ResolvedSource::Session { session: Box::new(session), login, principal });
            }
        }
    }

    fn last_login(&self, login: Option<&Login>) -> Option<u64> {
        match login {
            Some(Login::Sso(session)) => self.sso.last_login(session),
            _ => None,
        }
    }

    /// The region of a source's own calls: that of its AWS profile, else `region`.
    pub async fn home(&self, source: &SourceConfig, region: &Region) -> Region {
        let Some(profile) = source.aws_profile() else { return region.clone() };
        let (name, fallback) = (profile.to_owned(), region.clone());
        let home = self.query(profile, move |config| home_region(config, &name, &fallback)).await;
        home.unwrap_or_else(|_| region.clone())
    }

    /// The role chain that a source's AWS profile leads to and the login that it depends on, by AWS's files alone. Makes no
    /// call to AWS.
    pub async fn resolve_from_files(&self, chain: &RoleChain) -> (Option<RoleChain>, Option<Login>) {
        let Some(profile) = chain.source.aws_profile() else { return (None, None) };
        let kind = chain.source.kind.clone();
        match self.query(profile, move |config| plan(config, &kind)).await {
            Ok(Ok(Plan::Role(role))) => (Some(self.chain_for(profile, *role, &chain.region)), None),
            Ok(Ok(plan)) => (None, login(&plan, profile)),
            Ok(Err(_)) | Err(_) => (None, None),
        }
    }

    /// The login that a source depends on; `None` if it needs none.
    pub async fn login_of(&self, source: &SourceConfig) -> Option<Login> {
        let mut kind = source.kind.clone();
        let read = move |config: &SharedConfig| {
            // `plan` errors for a circle, so this ends.
            loop {
                let (SourceKind::AwsProfile(name) | SourceKind::AwsProfileLeaf(name)) = &kind else { return None };
                match plan(config, &kind).ok()? {
                    Plan::Role(role) => kind = role.base,
                    plan => return login(&plan, name),
                }
            }
        };
        self.query(source.aws_profile()?, read).await.ok()?
    }

    /// What to change if the base of a role has an `mfa_serial`: it applies to no role, because the AWS CLI reads it from the
    /// AWS profile of the role. `None` if the role has an MFA device, or the base has none.
    pub async fn unused_mfa(&self, chain: &RoleChain) -> Option<String> {
        let [_] = chain.steps.as_slice() else { return None };
        let base = chain.source.aws_profile().filter(|_| chain.source.mfa.is_none())?;
        let (name, role) = (base.to_owned(), chain.settings.clone());
        self.query(base, move |config| unused_mfa(config, &name, role.as_deref())).await.ok()?
    }

    async fn load_credentials(&self, plan: &Plan, profile: &str, region: &Region) -> Result<Session, SourceError> {
        let aws = &self.aws;
        let credentials = match plan {
            Plan::Sso(sso) => {
                let outcome = self.sso.role_credentials(&sso.session, &sso.account, &sso.role).await;
                return outcome.map_err(|error| SourceError::Sso {
                    profile: profile.to_owned(),
                    session: sso.session.clone(),
                    error,
                });
            }
            Plan::Process(command) => process::credentials(command, &aws.program_environment())
                .await
                .map_err(|error| SourceError::Process { profile: profile.to_owned(), error })?,
            Plan::Instance(address) => {
                sdk_providers::credentials_of_instance(aws, profile, region, address.as_deref()).await?
            }
            Plan::Container => sdk_providers::credentials_of_container(aws, profile, region).await?,
            Plan::Keys(keys) => keys.clone(),
            Plan::WebIdentity(plan) => sdk_providers::credentials_of_web_identity(aws, profile, region, plan).await?,
            Plan::AwsLogin(session) => aws_login::credentials(aws, profile, region, session).await?,
            // `resolve` returns the chain of a role.
            Plan::Role(_) => {
                let message = "has a role and no credentials of its own".to_owned();
                return Err(SourceError::Invalid { profile: profile.to_owned(), message, hint: None });
            }
        };
        let issued = aws.now();
        let credentials = credentials::check(credentials, issued)
            .map_err(|error| SourceError::Credentials { profile: profile.to_owned(), error })?;
        Ok(Session { credentials, arn: None, issued, is_clamped: false })
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

    /// Reads AWS's files and applies `read` to them. Errors if they lack the profile.
    async fn query<T: Send + 'static>(
        &self,
        profile: &str,
        read: impl FnOnce(&SharedConfig) -> T + Send + 'static,
    ) -> Result<T, SourceError> {
        let (files, name) = (self.aws.files().clone(), profile.to_owned());
        let found = self.aws.shared_config().query(move |config| match config.profile(&name) {
            Some(_) => Ok(read(config)),
            None => Err(Box::new(no_profile(&files, &name, config))),
        });
        found.await?.map_err(|error| *error)
    }
}

/// What to change if `mfa_serial` of the profile `base` does not apply to the role of the profile `role`.
fn unused_mfa(config: &SharedConfig, base: &str, role: Option<&str>) -> Option<String> {
    let profile = config.profile(base)?;
    let (serial, place) = (profile.text("mfa_serial").ok()??, profile.place("mfa_serial")?);
    let role = role.and_then(|role| config.profile(role));
    // A profile that is its own source has its device.
    if role.is_some_and(|role| role.has("mfa_serial")) {
        return None;
    }
    Some(match role.map(Profile::header) {
        Some((header, role)) => format!(
            "The role may need MFA: mfa_serial in {place} does not apply to it. Add mfa_serial = {serial} to the section {header} in {role}."
        ),
        None => format!(
            "The role may need MFA: mfa_serial in {place} does not apply to it. Set mfa = {{ serial = \"{serial}\" }} in the source of Rolecall's configuration."
        ),
    })
}

/// The error for an AWS profile that AWS's files lack.
fn no_profile(files: &AwsFiles, profile: &str, config: &SharedConfig) -> SourceError {
    SourceError::NoProfile {
        profile: profile.to_owned(),
        files: format!("{} or {}", files.config.display(), files.credentials.display()),
        advice: config.misnamed_section(profile).unwrap_or_else(|| advice(profile, config)),
    }
}

/// The login that an AWS profile depends on.
fn login(plan: &Plan, profile: &str) -> Option<Login> {
    match plan {
        Plan::Sso(sso) => Some(Login::Sso(sso.session.clone())),
        Plan::AwsLogin(_) => Some(Login::Aws { profile: profile.to_owned() }),
        _ => None,
    }
}

/// The region of an AWS profile, else `region`.
fn home_region(config: &SharedConfig, profile: &str, region: &Region) -> Region {
    let own = config.profile(profile).and_then(|profile| aws_profile::region(profile).ok().flatten());
    own.unwrap_or_else(|| region.clone())
}

/// The hint for an unknown AWS profile: a similar name, or the existing names.
fn advice(profile: &str, config: &SharedConfig) -> String {
    let names: Vec<&str> = config.profile_names().collect();
    match (similar_names(profile, names.iter().copied()).first(), names.as_slice()) {
        (Some(near), _) => format!("Did you mean \"{near}\"?"),
        (None, []) => format!("There are no AWS profiles. Create it with: aws configure --profile {profile}"),
        (None, names) => {
            let more = match names.len().saturating_sub(8) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("Existing AWS profiles: {}{more}.", names.iter().take(8).copied().collect::<Vec<_>>().join(", "))
        }
    }
}

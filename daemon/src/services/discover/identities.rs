//! Whose credentials a search uses, and how they are loaded.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use rolecall_aws::source::AwsProfileEntry;
use rolecall_aws::sso::{SsoError, SsoSession};
use rolecall_core::config::{SourceConfig, SourceKind, home_region};
use rolecall_core::role_chain::RoleChain;
use rolecall_core::session::Session;
use rolecall_protocol::{
    DiscoverRequest, DiscoveredIdentity, ErrorBody, ErrorCode, Hint, Region, SourceName, sanitize_for_terminal,
};

use super::report::Report;
use super::{DiscoverService, MAX_IDENTITIES};
use crate::services::error::AgentError;
use crate::sessions::{Freshness, SessionFailure};

/// Accounts whose roles are listed at the same time.
const MAX_PARALLEL_ACCOUNTS: usize = 8;

/// One set of credentials to search with.
pub(super) struct Identity {
    /// For the user: `AWS profile work`.
    pub(super) label: String,
    /// For the client.
    pub(super) shown: DiscoveredIdentity,
    /// A region of its partition.
    pub(super) home: Region,
    credentials: CredentialsOf,
}

/// Where the credentials of an identity come from.
enum CredentialsOf {
    Chain(RoleChain),
    PermissionSet { session: SsoSession, account: String, role: String },
}

/// Loaded credentials.
pub(super) struct Credentials {
    pub(super) session: Arc<Session>,
    /// The source whose network settings apply to calls.
    pub(super) source: SourceConfig,
    /// The account, if it is known.
    pub(super) account: Option<String>,
}

/// The identities of a search, and the regions that their files name.
pub(super) struct FoundIdentities {
    pub(super) identities: Vec<Identity>,
    pub(super) regions: Vec<Region>,
}

impl DiscoverService {
    /// Returns the identities of a request. Errors if a source or an AWS profile does not exist.
    pub(super) async fn identities(
        &self,
        request: &DiscoverRequest,
        report: &Report<'_>,
    ) -> Result<FoundIdentities, ErrorBody> {
        let config = self.config.active();
        let entries = self.sessions.sources().aws_profiles().inventory().await;
        let entries = entries.map_err(|error| ErrorBody::new(ErrorCode::ConfigInvalid, error.to_string()))?;
        let mut regions: BTreeSet<Region> = entries.iter().filter_map(|entry| entry.region.clone()).collect();
        regions.extend(config.profiles.values().map(|profile| profile.chain.region.clone()));
        let is_all = request.sources.is_empty() && request.aws_profiles.is_empty();
        let mut identities = Vec::new();
        let region_of = |source: &SourceName| {
            let profile = config.profiles.values().find(|profile| profile.source_name == *source);
            profile.map(|profile| profile.chain.region.clone())
        };
        let named = request.sources.iter().map(|name| match config.sources.get(name) {
            Some(source) => Ok((name, source)),
            None => Err(AgentError::unknown_source(name, config.sources.keys()).0),
        });
        let sources: Vec<_> = if is_all { config.sources.iter().collect() } else { named.collect::<Result<_, _>>()? };
        let taken: HashSet<&str> = sources.iter().filter_map(|(_, source)| source.aws_profile()).collect();
        for (name, source) in &sources {
            let region = region_of(name).or_else(|| region_of_entry(&entries, source.aws_profile()?));
            identities.push(of_source(name, source, region));
        }
        let wanted = |entry: &&AwsProfileEntry| is_all || request.aws_profiles.contains(&entry.name);
        let free = entries.iter().filter(wanted).filter(|entry| !taken.contains(entry.name.as_str()));
        identities.extend(free.map(of_aws_profile));
        if let Some(missing) = request.aws_profiles.iter().find(|name| entries.iter().all(|entry| entry.name != **name))
        {
            // Its own error says why it gives no credentials.
            identities.push(of_aws_profile(&AwsProfileEntry { name: missing.clone(), region: None, sso: None }));
        }
        if request.permission_sets {
            self.add_permission_sets(request, &entries, &mut identities, report).await;
        }
        Ok(FoundIdentities { identities, regions: regions.into_iter().collect() })
    }

    /// Adds the roles that the logins of these AWS profiles list and that no AWS profile names.
    async fn add_permission_sets(
        &self,
        request: &DiscoverRequest,
        entries: &[AwsProfileEntry],
        identities: &mut Vec<Identity>,
        report: &Report<'_>,
    ) {
        let plans = || entries.iter().filter_map(|entry| entry.sso.as_ref());
        let known: HashSet<(&str, &str, &str)> = plans()
            .filter_map(|plan| Some((plan.session.name.as_deref()?, plan.account.as_str(), plan.role.as_str())))
            .collect();
        let mut seen = HashSet::new();
        for session in plans().map(|plan| &plan.session) {
            let Some(name) = session.name.as_deref().filter(|name| seen.insert((*name).to_owned())) else { continue };
            let label = format!("sso-session {}", sanitize_for_terminal(name));
            let accounts = match self.sessions.sources().aws_profiles().sso().accounts(session).await {
                Ok(accounts) => accounts,
                Err(error) => {
                    report.skip(label, sso_error(session, &error)).await;
                    continue;
                }
            };
            let is_wanted = |id: &String| request.accounts.is_empty() || request.accounts.contains(id);
            let lists: Vec<_> = accounts
                .into_iter()
                .filter(|account| is_wanted(&account.id))
                .map(|account| async move {
                    let roles = self.sessions.sources().aws_profiles().sso().roles(session, &account.id).await;
                    (account, roles)
                })
                .map(Box::pin)
                .collect();
            let mut lists = iter(lists).buffered(MAX_PARALLEL_ACCOUNTS);
            while let Some((account, roles)) = lists.next().await {
                let roles = match roles {
                    Ok(roles) => roles,
                    Err(error) => {
                        report.skip(format!("{label}, account {}", account.id), sso_error(session, &error)).await;
                        continue;
                    }
                };
                let is_wanted = |role: &String| request.role_names.is_empty() || request.role_names.contains(role);
                let is_new = |role: &String| !known.contains(&(name, account.id.as_str(), role.as_str()));
                let new = roles.into_iter().filter(is_wanted).filter(is_new);
                identities.extend(new.map(|role| of_permission_set(session, name, (&account.id, &account.name), role)));
                // The search says that these are too many.
                if identities.len() > MAX_IDENTITIES {
                    return;
                }
            }
        }
    }

    /// Loads the credentials of an identity.
    pub(super) async fn credentials(&self, identity: &Identity) -> Result<Credentials, ErrorBody> {
        match &identity.credentials {
            CredentialsOf::Chain(chain) => {
                let loaded = self.sessions.get(chain, Freshness::Cached).await;
                let session = loaded.map_err(|error| session_error(identity, &error))?.session;
                let arn = self.sessions.identify(chain, &session).await;
                let arn = arn.map_err(|error| body(identity, &error, |name| error.body(name)))?;
                let account = arn.split(':').nth(4).map(str::to_owned);
                Ok(Credentials { session, source: chain.source.clone(), account })
            }
            CredentialsOf::PermissionSet { session, account, role } => {
                let sso = self.sessions.sources().aws_profiles().sso();
                let loaded = sso.role_credentials(session, account, role).await;
                let loaded = loaded.map_err(|error| sso_error(session, &error))?;
                // The AWS profile that the login is taken from has the network settings.
                let source = SourceConfig::plain(SourceKind::AwsProfile(session.profile.clone()));
                Ok(Credentials { session: Arc::new(loaded), source, account: Some(account.clone()) })
            }
        }
    }
}

fn of_source(name: &SourceName, source: &SourceConfig, region: Option<Region>) -> Identity {
    let mut chain = RoleChain::from_source(source.clone());
    if let Some(region) = region {
        chain = RoleChain::new(source.clone(), home_region(&region), Vec::new());
    }
    Identity {
        label: format!("source {name}"),
        shown: DiscoveredIdentity::Source { source: name.clone() },
        home: chain.region.clone(),
        credentials: CredentialsOf::Chain(chain),
    }
}

fn of_aws_profile(entry: &AwsProfileEntry) -> Identity {
    let source = SourceConfig::plain(SourceKind::AwsProfile(entry.name.clone()));
    let chain = match &entry.region {
        Some(region) => RoleChain::new(source, region.clone(), Vec::new()),
        None => RoleChain::from_source(source),
    };
    Identity {
        label: format!("AWS profile {}", sanitize_for_terminal(&entry.name)),
        shown: DiscoveredIdentity::AwsProfile { aws_profile: entry.name.clone() },
        home: chain.region.clone(),
        credentials: CredentialsOf::Chain(chain),
    }
}

fn of_permission_set(session: &SsoSession, name: &str, (id, account): (&str, &str), role: String) -> Identity {
    Identity {
        label: format!("{role} in {id}"),
        shown: DiscoveredIdentity::PermissionSet {
            sso_session: name.to_owned(),
            account: id.to_owned(),
            account_name: account.to_owned(),
            role_name: role.clone(),
        },
        home: session.region.clone(),
        credentials: CredentialsOf::PermissionSet { session: session.clone(), account: id.to_owned(), role },
    }
}

fn region_of_entry(entries: &[AwsProfileEntry], profile: &str) -> Option<Region> {
    entries.iter().find(|entry| entry.name == profile)?.region.clone()
}

/// The error of an identity. It names the source; an AWS profile without a source is named like the source that it would get.
fn body(identity: &Identity, error: &impl fmt::Display, body: impl Fn(&SourceName) -> ErrorBody) -> ErrorBody {
    let name = match &identity.shown {
        DiscoveredIdentity::Source { source } => Some(source.clone()),
        DiscoveredIdentity::AwsProfile { aws_profile } => aws_profile.parse().ok(),
        _ => None,
    };
    name.map_or_else(|| ErrorBody::new(ErrorCode::SourceUnavailable, error.to_string()), |name| body(&name))
}

/// The error of loading a session. A login for an AWS profile without a source is made with the AWS CLI, whose token file is
/// shared.
fn session_error(identity: &Identity, error: &SessionFailure) -> ErrorBody {
    let body = body(identity, error, |name| error.body(name));
    match &identity.shown {
        DiscoveredIdentity::AwsProfile { aws_profile } if body.code == ErrorCode::LoginNeeded => {
            body.hint(Hint::command(format!("aws sso login --profile {aws_profile}")))
        }
        _ => body,
    }
}

fn sso_error(session: &SsoSession, error: &SsoError) -> ErrorBody {
    let code = match error {
        SsoError::LoginNeeded { .. } | SsoError::NotLoggedIn => ErrorCode::LoginNeeded,
        SsoError::NoAssignment => ErrorCode::AccessDenied,
        SsoError::Aws(error) => error.kind.code(),
        _ => ErrorCode::SourceUnavailable,
    };
    let body = ErrorBody::new(code, error.to_string());
    match (code, &session.name) {
        (ErrorCode::LoginNeeded, Some(name)) => body.hint(Hint::command(format!("aws sso login --sso-session {name}"))),
        _ => body,
    }
}

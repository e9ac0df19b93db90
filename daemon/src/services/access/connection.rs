//! What one request calls: EKS and IAM with the profile's session, and the API server with a token of it.

use std::sync::Arc;

use rolecall_protocol::{AccessQuery, ErrorBody, ErrorCode, Secret};

use super::backup::Backups;
use super::error::{aws_error, kubernetes_error};
use super::{AccessService, AgentError};
use crate::pin;
use crate::sessions::Freshness;
use rolecall_aws::eks::EksClient;
use rolecall_aws::iam::{IamClient, Lookup};
use rolecall_aws::kubernetes::KubernetesClient;
use rolecall_core::cluster_access::principal::{IamKind, Principal, PrincipalError};
use rolecall_core::config::partition;
use rolecall_core::profile::Profile;
use rolecall_core::session::Session;

/// The clients for one cluster, as the role of its profile.
pub(super) struct ClusterConnection<'a> {
    pub(super) profile: &'a Arc<Profile>,
    pub(super) eks: EksClient<'a>,
    pub(super) iam: IamClient,
    /// The ARN that GetCallerIdentity returns.
    pub(super) caller_arn: String,
    service: &'a AccessService,
    session: Arc<Session>,
    api_server: Option<ApiServer>,
}

/// An API server that the profile's pin names.
pub(super) struct ApiServer {
    url: String,
    ca_pem: Vec<u8>,
}

/// Returns the API server of a request. Errors if it is not that of the profile's pin.
pub(super) fn pinned(profile: &Profile, query: &AccessQuery) -> Result<ApiServer, ErrorBody> {
    Ok(ApiServer { url: query.server.clone(), ca_pem: pin::api_server_ca(profile, query)? })
}

impl AccessService {
    /// Connects to a profile's cluster. Errors if there is no session, or if `api_server` is not that of the profile's pin.
    pub(super) async fn connect<'a>(
        &'a self,
        profile: &'a Arc<Profile>,
        api_server: Option<&AccessQuery>,
    ) -> Result<ClusterConnection<'a>, AgentError> {
        let failed = |body| AgentError::new(&profile.name, body);
        let api_server = match api_server {
            Some(query) => Some(pinned(profile, query).map_err(failed)?),
            None => None,
        };
        // No use of the profile: its session is not kept for an administrator's command.
        let session = self.profiles.get_unused(profile, Freshness::Cached).await?.session;
        self.connect_with(profile, session, api_server).await
    }

    /// Connects to a profile's cluster with a session.
    pub(super) async fn connect_with<'a>(
        &'a self,
        profile: &'a Arc<Profile>,
        session: Arc<Session>,
        api_server: Option<ApiServer>,
    ) -> Result<ClusterConnection<'a>, AgentError> {
        let failed = |body| AgentError::new(&profile.name, body);
        let identified = self.profiles.sessions.identify(&profile.chain, &session).await;
        let caller_arn = identified.map_err(|error| failed(error.body(&profile.source_name)))?;
        let (source, region) = (&profile.chain.source, &profile.chain.region);
        let config = self.aws.client_config(source, region, session.credentials.clone()).await;
        let config = config.map_err(|error| failed(aws_error("EKS", &error)))?;
        let iam = IamClient::new(config.clone(), region);
        let eks = EksClient::new(config, region).await.ok_or_else(|| {
            failed(ErrorBody::new(ErrorCode::ConfigInvalid, format!("EKS has no endpoint in {region}")))
        })?;
        Ok(ClusterConnection { profile, eks, iam, caller_arn, service: self, session, api_server })
    }
}

impl ClusterConnection<'_> {
    /// Returns the name of the cluster.
    pub(super) fn name(&self) -> &str {
        self.profile.cluster.as_str()
    }

    /// Returns the partition of the cluster.
    pub(super) fn partition(&self) -> &'static str {
        partition(&self.profile.chain.region)
    }

    /// Returns the account of the cluster, which is that of the caller.
    pub(super) fn account(&self) -> &str {
        self.caller_arn.split(':').nth(4).unwrap_or_default()
    }

    /// Returns the role or user of the profile's session: with the path that the profile or IAM names.
    pub(super) async fn caller(&self) -> Result<Principal, ErrorBody> {
        if let Some(step) = self.profile.chain.steps.last() {
            return Ok(Principal::from(&step.role));
        }
        let parsed = match self.caller_arn.parse::<Principal>() {
            Err(PrincipalError::Session { role }) => role.parse(),
            parsed => parsed,
        };
        let caller = parsed.map_err(|error| {
            let message = format!("the profile's own identity {} {error}", self.caller_arn);
            ErrorBody::new(ErrorCode::AccessRefused, message)
        })?;
        if caller.kind() == IamKind::Role
            && let Ok(Lookup::Found(found)) = self.iam.get_role(caller.name()).await
            && let Ok(found) = found.arn.parse::<Principal>()
            && found.canonical().is_same(&caller)
        {
            return Ok(found);
        }
        Ok(caller)
    }

    /// Returns the ARN of an access policy.
    pub(super) fn policy_arn(&self, name: &str) -> String {
        format!("arn:{}:eks::aws:cluster-access-policy/{name}", self.partition())
    }

    /// Whether the request names the API server.
    pub(super) const fn has_api_server(&self) -> bool {
        self.api_server.is_some()
    }

    /// Returns a client for the API server. With `is_fresh` its token is one that the API server has not seen, so that no cache
    /// answers for it.
    pub(super) async fn kubernetes(&self, is_fresh: bool) -> Result<KubernetesClient, ErrorBody> {
        let Some(ApiServer { url, ca_pem }) = &self.api_server else {
            let body = ErrorBody::new(ErrorCode::ConfigInvalid, "the API server of the cluster is not known");
            return Err(body.hint(format!("Write the kubeconfig entry: rolecall kubeconfig {}", self.profile.name)));
        };
        let service = self.service;
        let minted = service.token_cache.mint(self.profile, &self.session, service.aws.now(), is_fresh).await;
        let token = minted.map_err(|error| error.body())?;
        let token = Secret::new(token.token.expose().clone());
        let network = service.aws.network();
        KubernetesClient::new(service.aws.clock(), &network.path, url, ca_pem, token)
            .map_err(|error| kubernetes_error(&error))
    }

    /// Returns the backups of aws-auth. Errors if the agent has no folder for them.
    pub(super) fn backups(&self) -> Result<Backups, ErrorBody> {
        let Some(folder) = &self.service.settings().backups else {
            let body = ErrorBody::new(ErrorCode::ConfigInvalid, "the agent has no folder for backups of aws-auth");
            return Err(body.hint("Set HOME or XDG_STATE_HOME to an absolute path."));
        };
        Ok(Backups::of_cluster(folder, self.account(), self.profile.chain.region.as_str(), self.name()))
    }
}

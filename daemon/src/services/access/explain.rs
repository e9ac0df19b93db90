//! The explain endpoint: why a principal can or cannot enter, and what it may do inside.

use std::collections::BTreeMap;

use rolecall_aws::kubernetes::{KubernetesError, UserInfo};
use rolecall_core::cluster_access::change::given_principal;
use rolecall_core::cluster_access::principal::Principal;
use rolecall_protocol::{
    AccessExplainRequest, AccessExplained, AccessRow, AccessSource, ErrorBody, ErrorCode, ProfileName, Severity, Unread,
};

use super::connection::ClusterConnection;
use super::error::{finding, kubernetes_error};
use super::rbac::{self, Rights, Subject};
use super::{AccessService, AgentError, compute, principals, reading};

/// The namespace of the questions if the request names none.
const DEFAULT_NAMESPACE: &str = "default";

impl AccessService {
    /// Explains the access of a principal, or of the profile's own role.
    pub async fn explain(
        &self,
        name: &ProfileName,
        request: AccessExplainRequest,
    ) -> Result<AccessExplained, AgentError> {
        let profile = self.config.profile(name)?;
        let explain = async {
            let cluster = self.connect(&profile, request.api_server.as_ref()).await?;
            explain(&cluster, &request).await.map_err(|body| AgentError::new(name, body))
        };
        self.lock.while_unlocked(name, Box::pin(explain)).await
    }
}

async fn explain(
    cluster: &ClusterConnection<'_>,
    request: &AccessExplainRequest,
) -> Result<AccessExplained, ErrorBody> {
    let own = cluster.caller().await?;
    let principal = match &request.principal {
        None => own.clone(),
        Some(given) => given_principal(given, cluster.partition(), cluster.account())
            .map_err(|error| ErrorBody::new(ErrorCode::AccessRefused, format!("{} {error}", given.name)))?,
    };
    let mut read = reading::read(cluster).await?;
    let answers = principals::look_up(cluster, std::slice::from_ref(&principal)).await;
    let principal = answers.complete(&principal);
    if answers.is_missing(&principal) {
        read.reading.missing.insert(principal.to_string());
    }
    read.unread.extend(answers.unread.clone());
    let is_own = principal.canonical().is_same(&own.canonical());
    let (mode, reading, explained) = (read.reading.mode, read.reading, principal.clone());
    let explanation = compute(move || reading.explain(&explained)).await?;
    let mut explained = AccessExplained {
        principal: principal.to_string(),
        mode,
        rows: explanation.rows,
        can_enter: explanation.can_enter,
        reasons: explanation.reasons,
        bindings: Vec::new(),
        answers: Vec::new(),
        unread: read.unread,
    };
    let namespace = if request.namespace.is_empty() { DEFAULT_NAMESPACE } else { &request.namespace };
    let rights = if is_own {
        own_rights(cluster, &mut explained, namespace).await
    } else {
        rights_of(cluster, &explained, &principal, namespace).await
    };
    match rights {
        Ok(rights) => {
            explained.bindings = rights.bindings;
            explained.answers = rights.answers;
            explained.unread.extend(rights.unread);
        }
        Err(error) => explained.unread.push(Unread { what: "role bindings".to_owned(), error }),
    }
    Ok(explained)
}

/// Reads the rights of the profile's own role. The API server itself says whether it can enter.
async fn own_rights(
    cluster: &ClusterConnection<'_>,
    explained: &mut AccessExplained,
    namespace: &str,
) -> Result<Rights, ErrorBody> {
    let client = cluster.kubernetes(true).await?;
    let user = match client.self_subject_review().await {
        Ok(user) => user,
        Err(KubernetesError::Unauthorized) => {
            if explained.can_enter == Some(true) {
                let message = "the API server rejects the role, although what was read says that it can enter";
                explained.reasons.push(finding(Severity::Error, "rejected", message));
            }
            explained.can_enter = Some(false);
            return Ok(Rights::default());
        }
        Err(error) => return Err(kubernetes_error(&error)),
    };
    if explained.can_enter != Some(true) {
        let message = format!("the API server accepts the role as user {}", user.username);
        explained.reasons.push(finding(Severity::Note, "accepted", message));
        explained.can_enter = Some(true);
    }
    Ok(rbac::read(&client, Subject::Caller(&user), namespace).await)
}

/// Reads the rights of another principal, as the user that its row names.
async fn rights_of(
    cluster: &ClusterConnection<'_>,
    explained: &AccessExplained,
    principal: &Principal,
    namespace: &str,
) -> Result<Rights, ErrorBody> {
    let Some(row) = explained.rows.iter().find(|row| row.applies) else { return Ok(Rights::default()) };
    let client = cluster.kubernetes(false).await?;
    let user = user_of(row, principal);
    Ok(rbac::read(&client, Subject::Other(&user), namespace).await)
}

/// Returns the Kubernetes user of a row. EKS's access policies apply to the canonical ARN.
fn user_of(row: &AccessRow, principal: &Principal) -> UserInfo {
    let canonical = principal.canonical().to_string();
    let extra = BTreeMap::from([
        ("canonicalArn".to_owned(), vec![canonical.clone()]),
        ("arn".to_owned(), vec![canonical.clone()]),
    ]);
    let default = if row.source == AccessSource::AccessEntry { principal.default_username() } else { canonical };
    let username = row.username.clone().unwrap_or(default);
    let mut groups = row.groups.clone();
    groups.push("system:authenticated".to_owned());
    UserInfo { username, groups, extra }
}

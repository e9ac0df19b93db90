//! The grant endpoint.

use std::sync::Arc;

use rolecall_aws::eks::EksErrorReason;
use rolecall_protocol::{
    AccessFinding, AccessGrantRequest, AccessPolicyScope, AccessStep, ChangeOptions, ErrorBody, ErrorCode, ProfileName,
    Severity, similar_names,
};
use tokio::sync::mpsc::Sender;

use super::AccessService;
use super::change::{CallerAccess, ChangeRequest, Planned, Progress};
use super::connection::ClusterConnection;
use super::entry_plan::{self, Granted, finding};
use super::error::{eks_error, plan_error};
use super::{principals, reading};

impl AccessService {
    /// Plans or makes a grant, and sends its steps.
    pub async fn grant(self: Arc<Self>, name: ProfileName, request: AccessGrantRequest, steps: Sender<AccessStep>) {
        self.change(&name, &request, &steps).await;
    }
}

impl ChangeRequest for AccessGrantRequest {
    const VERB: &'static str = "grant";

    fn options(&self) -> &ChangeOptions {
        &self.change
    }

    async fn plan(&self, cluster: &ClusterConnection<'_>, progress: &Progress<'_>) -> Result<Planned, ErrorBody> {
        progress.activity("reading who may enter the cluster");
        let read = reading::read(cluster).await?;
        let policies = known_policies(cluster, &self.policies).await?;
        let namespaces = check_namespaces(cluster, &self.namespaces).await?;
        progress.activity("looking up the principals in IAM");
        let (principals, unread) = principals::resolve(cluster, &self.principals).await;
        let scope = |policy| AccessPolicyScope { policy, namespaces: self.namespaces.clone() };
        let granted = Granted {
            policies: policies.into_iter().map(scope).collect(),
            groups: self.groups.clone(),
            username: self.username.clone(),
        };
        let mut plan = entry_plan::grant(&read.reading, &principals, &granted).map_err(|error| plan_error(&error))?;
        plan.notes.extend(unread);
        plan.notes.extend(namespaces);
        Ok(Planned { plan, aws_auth: read.aws_auth, caller: CallerAccess::Keeps })
    }
}

/// Returns the names of the policies of a request, which may be ARNs. Errors with similar names if EKS has no such policy.
pub(super) async fn known_policies(
    cluster: &ClusterConnection<'_>,
    given: &[String],
) -> Result<Vec<String>, ErrorBody> {
    let named = given.iter().map(|policy| policy.rsplit('/').next().unwrap_or_default().to_owned());
    let mut named: Vec<String> = named.collect();
    if named.is_empty() {
        return Ok(named);
    }
    let known = match cluster.eks.list_access_policies().await {
        Ok(known) => known,
        // EKS checks the names itself.
        Err(error) if matches!(error.reason, EksErrorReason::Denied { .. }) => return Ok(named),
        Err(error) => return Err(eks_error(&error)),
    };
    for name in &mut named {
        match known.iter().find(|policy| policy.name.eq_ignore_ascii_case(name)) {
            Some(policy) => name.clone_from(&policy.name),
            None => {
                let near = similar_names(name, known.iter().map(|policy| policy.name.as_str()));
                let hint = match near.as_slice() {
                    [] => format!("See: rolecall access policies {}", cluster.profile.name),
                    near => format!("Did you mean {}?", near.join(" or ")),
                };
                let message = format!("EKS has no access policy \"{name}\"");
                return Err(ErrorBody::new(ErrorCode::AccessRefused, message).hint(hint));
            }
        }
    }
    Ok(named)
}

/// Errors if a namespace does not exist. Returns a note if the API server did not say it.
async fn check_namespaces(
    cluster: &ClusterConnection<'_>,
    namespaces: &[String],
) -> Result<Option<AccessFinding>, ErrorBody> {
    let mut missing = Vec::new();
    let mut unread = None;
    let named: Vec<&String> = namespaces.iter().filter(|namespace| !namespace.contains('*')).collect();
    if named.is_empty() {
        return Ok(None);
    }
    match cluster.kubernetes(false).await {
        Err(error) => unread = Some(error.message),
        Ok(client) => {
            for namespace in named {
                match client.namespace_exists(namespace).await {
                    Ok(true) => {}
                    Ok(false) => missing.push(namespace.as_str()),
                    Err(error) => {
                        unread = Some(error.to_string());
                        break;
                    }
                }
            }
        }
    }
    if !missing.is_empty() {
        let message = format!("the cluster has no namespace {}", missing.join(", "));
        let hint = "Check the name, or create the namespace first.";
        return Err(ErrorBody::new(ErrorCode::AccessRefused, message).hint(hint));
    }
    Ok(unread.map(|reason| {
        finding(
            Severity::Note,
            "namespaces_not_checked",
            format!("whether the namespaces exist was not checked: {reason}"),
        )
    }))
}

//! Whether the cluster accepts the role, and what the role may do.

use std::time::Duration;

use rolecall_aws::kubernetes::{KubernetesError, UserInfo};
use rolecall_core::cluster_access::principal::{IamKind, Principal};
use rolecall_core::config::partition;
use rolecall_protocol::{AdministratorRequest, AuthenticationMode, Finding, FindingArea, Unread};

use super::cluster::Answer;
use super::diagnosis::{Diagnosis, Fatal, UNAUTHORIZED};
use crate::services::access::rbac::{self, Subject};
use crate::services::access::rejection::Rejection;

/// How long reading who may enter the cluster may take.
const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(8);
/// How long the questions to RBAC may take together.
const RBAC_TIMEOUT: Duration = Duration::from_secs(5);
/// The namespace of the questions if the request names none.
const DEFAULT_NAMESPACE: &str = "default";
/// The policy in the command for an administrator.
const VIEW_POLICY: &str = "AmazonEKSViewPolicy";
/// The rights that the finding lists.
const MAX_SHOWN_RIGHTS: usize = 4;

/// Reports the user of the token and its rights, or why the cluster rejects the role.
pub(super) async fn check(diagnosis: &Diagnosis<'_>, answer: Answer) -> Result<(), Fatal> {
    let user = match &answer.user {
        Ok(user) => user.clone(),
        Err(KubernetesError::Unauthorized) => return Err(rejected(diagnosis).await.into()),
        Err(_) => UserInfo::default(),
    };
    diagnosis.found(Finding::ok(FindingArea::Access, "cluster access", accepted(&user))).await;
    let namespace = match diagnosis.request.namespace.as_str() {
        "" => DEFAULT_NAMESPACE,
        namespace => namespace,
    };
    diagnosis.checking(format!("what {} may do in namespace {namespace}", diagnosis.identity())).await;
    let asking = rbac::answers(&answer.client, Subject::Caller(&user), namespace);
    let finding = match diagnosis.within(RBAC_TIMEOUT, asking).await {
        None => Finding::not_checked(
            FindingArea::Access,
            "RBAC",
            "rbac_not_checked",
            "RBAC was not read: no answer in time",
        ),
        Some((answers, Some(error))) if answers.is_empty() => {
            let cause = format!("RBAC was not read: {error}");
            Finding::not_checked(FindingArea::Access, "RBAC", "rbac_not_checked", cause)
        }
        Some((answers, _)) => {
            let allowed: Vec<String> = answers
                .iter()
                .filter(|answer| answer.allowed == Some(true))
                .map(|answer| format!("{} {}", answer.verb, answer.resource))
                .collect();
            if allowed.is_empty() { forbidden(diagnosis, &user, namespace) } else { rights(&allowed, namespace) }
        }
    };
    diagnosis.found(finding).await;
    Ok(())
}

fn accepted(user: &UserInfo) -> String {
    if user.username.is_empty() {
        return "the cluster accepts the role".to_owned();
    }
    let groups: Vec<&str> =
        user.groups.iter().map(String::as_str).filter(|group| *group != "system:authenticated").collect();
    let groups = if groups.is_empty() { String::new() } else { format!(" (groups {})", groups.join(", ")) };
    format!("user {}{groups}", user.username)
}

fn rights(allowed: &[String], namespace: &str) -> Finding {
    let cause = if allowed.iter().any(|right| right == "* *") {
        format!("may do everything in namespace {namespace}")
    } else {
        let more = if allowed.len() > MAX_SHOWN_RIGHTS { " and more" } else { "" };
        let shown = allowed.iter().take(MAX_SHOWN_RIGHTS).map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("may {shown}{more} in namespace {namespace}")
    };
    Finding::ok(FindingArea::Access, "RBAC", cause)
}

/// Returns the finding of a user without rights.
fn forbidden(diagnosis: &Diagnosis<'_>, user: &UserInfo, namespace: &str) -> Finding {
    let profile = diagnosis.profile;
    let name = if user.username.is_empty() { "USER" } else { user.username.as_str() };
    let bind = format!(
        "kubectl create rolebinding {}-view --clusterrole=view --user={} --namespace={namespace}",
        profile.name,
        quoted(name)
    );
    let mut commands = vec![bind];
    if let Some(grant) = grant_command(diagnosis, diagnosis.principal().as_ref()) {
        commands.push(format!("{grant} --namespace {namespace}"));
    }
    let cause = format!("user {name} has none of the common rights in namespace {namespace}");
    Finding::warning(FindingArea::Access, "RBAC", "forbidden", cause)
        .consequence(format!(
            "kubectl: Error from server (Forbidden): pods is forbidden: User \"{name}\" cannot list resource \"pods\" in API \
             group \"\" in the namespace \"{namespace}\""
        ))
        .administrator(AdministratorRequest {
            to: format!("an administrator of the cluster {}", profile.cluster),
            request: format!("Give the Kubernetes user {name} the rights that it needs in namespace {namespace}."),
            commands,
            statement: None,
        })
}

/// Returns why the cluster rejects the role, as far as it can be read.
async fn rejected(diagnosis: &Diagnosis<'_>) -> Finding {
    let cluster = &diagnosis.profile.cluster;
    diagnosis.checking(format!("who may enter cluster {cluster}")).await;
    let Some(query) = &diagnosis.request.api_server else { return unexplained(diagnosis, "nothing was read") };
    // In a box because the futures of the SDK have many kilobytes.
    let explaining = Box::pin(diagnosis.components.access.explain_rejection(diagnosis.profile, query));
    match diagnosis.within(EXPLAIN_TIMEOUT, explaining).await {
        None => unexplained(diagnosis, "who may enter was not read in time"),
        Some(Err(error)) => unexplained(diagnosis, &error.message),
        Some(Ok(rejection)) => explained(diagnosis, &rejection),
    }
}

fn unexplained(diagnosis: &Diagnosis<'_>, reason: &str) -> Finding {
    let cause = format!(
        "cluster {} does not accept {}; why could not be known: {reason}",
        diagnosis.profile.cluster,
        diagnosis.identity()
    );
    let request = request(diagnosis, diagnosis.principal().as_ref(), None, None);
    problem("not_mapped", cause).administrator(request)
}

fn explained(diagnosis: &Diagnosis<'_>, rejection: &Rejection) -> Finding {
    let Rejection { principal, mode, can_enter, causes, unread } = rejection;
    let cluster = &diagnosis.profile.cluster;
    let parsed: Option<Principal> = principal.parse().ok();
    if *can_enter == Some(true) {
        let cause = format!("cluster {cluster} rejects the token, although it allows {principal}");
        return problem("rejected_although_mapped", cause).fix(
            "If the access was changed a moment ago, wait a minute and run the command again. If the role was deleted and \
             created again, its access entry has to be deleted and created again, too.",
        );
    }
    let unknown = unknown(unread);
    if let Some(first) = causes.first() {
        let place = match (&first.key, first.line) {
            (Some(key), Some(line)) => format!(" ({key}, line {line})"),
            (Some(key), None) => format!(" ({key})"),
            _ => String::new(),
        };
        let cause = format!("cluster {cluster} does not accept {principal}: {}{place}{unknown}", first.message);
        let request = request(diagnosis, parsed.as_ref(), *mode, first.hint.as_deref());
        return problem(&format!("mapping_{}", first.code), cause).administrator(request);
    }
    let cause = match (mode, unread.is_empty()) {
        (_, false) => format!("cluster {cluster} does not accept {principal}{unknown}"),
        (Some(AuthenticationMode::ConfigMap), _) => format!("aws-auth of cluster {cluster} does not map {principal}"),
        (Some(AuthenticationMode::Api), _) => format!("cluster {cluster} has no access entry for {principal}"),
        _ => format!("cluster {cluster} has no access entry for {principal}, and aws-auth does not map it"),
    };
    problem("not_mapped", cause).administrator(request(diagnosis, parsed.as_ref(), *mode, None))
}

fn problem(code: &str, cause: String) -> Finding {
    Finding::problem(FindingArea::Access, "cluster access", code, cause).consequence(UNAUTHORIZED)
}

/// Returns what could not be read, as the rest of a sentence.
fn unknown(unread: &[Unread]) -> String {
    let parts: Vec<&str> = unread.iter().map(|unread| unread.what.as_str()).filter(|what| *what != "IAM").collect();
    if parts.is_empty() { String::new() } else { format!("; what {} say could not be read", parts.join(" and ")) }
}

/// Returns the request to let the principal enter.
fn request(
    diagnosis: &Diagnosis<'_>,
    principal: Option<&Principal>,
    mode: Option<AuthenticationMode>,
    hint: Option<&str>,
) -> AdministratorRequest {
    let profile = diagnosis.profile;
    let name = principal.map_or_else(|| diagnosis.identity(), ToString::to_string);
    let hint = hint.map(|hint| format!(" {hint}")).unwrap_or_default();
    let mut commands = Vec::new();
    if mode == Some(AuthenticationMode::ConfigMap) {
        let flag = flag(principal);
        commands.push(format!("rolecall access grant {} {flag} {name} --group GROUP --via aws-auth", profile.cluster));
    } else if principal.is_some() {
        commands.extend(grant_command(diagnosis, principal));
        let (cluster, region) = (&profile.cluster, &profile.chain.region);
        let target = format!("--cluster-name {cluster} --region {region} --principal-arn {name}");
        let partition = partition(region);
        commands.push(format!(
            "aws eks create-access-entry {target} && aws eks associate-access-policy {target} --policy-arn \
             arn:{partition}:eks::aws:cluster-access-policy/{VIEW_POLICY} --access-scope type=cluster"
        ));
    }
    AdministratorRequest {
        to: format!("an administrator of the cluster {}", profile.cluster),
        request: format!("Let {name} enter the cluster {} in {}.{hint}", profile.cluster, profile.chain.region),
        commands,
        statement: None,
    }
}

/// Returns the command that grants the principal read access.
fn grant_command(diagnosis: &Diagnosis<'_>, principal: Option<&Principal>) -> Option<String> {
    let principal = principal?;
    let (cluster, flag) = (&diagnosis.profile.cluster, flag(Some(principal)));
    Some(format!("rolecall access grant {cluster} {flag} {principal} --policy {VIEW_POLICY}"))
}

fn flag(principal: Option<&Principal>) -> &'static str {
    if principal.is_some_and(|principal| principal.kind() == IamKind::User) { "--user" } else { "--role" }
}

/// Quotes a text for the shell if it has more than letters, digits and `-_.:/@`.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_one_word_of_the_shell() {
        assert_eq!(quoted("dev:jo@laptop"), "dev:jo@laptop");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("a'$(x)"), "'a'\\''$(x)'");
    }
}

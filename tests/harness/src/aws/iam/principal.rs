//! GetRole and GetUser: a role or user of the caller's account, by its name without the path. ListRoles: its roles.

use super::super::context::SignedCall;
use super::super::error::{ApiError, xml_escape};
use super::super::reply::Reply;
use super::super::request::Service;
use super::super::role::Role;
use super::envelope::reply;
use crate::arn::Arn;
use crate::encoding::uri_encode;

pub(crate) fn get_role(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let name = call.request.param("RoleName").unwrap_or_default();
    authorize(call, "iam:GetRole", "role", name)?;
    let state = call.shared.state();
    let found = state.identities.role_named(&call.caller.account(), name);
    let role = found.ok_or_else(|| absent(&format!("The role with name {name} cannot be found.")))?;
    let fields = fields(role);
    drop(state);
    Ok(reply("GetRole", &format!("    <Role>\n{fields}    </Role>\n")))
}

pub(crate) fn list_roles(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    authorize(call, "iam:ListRoles", "role", "*")?;
    let state = call.shared.state();
    let arns = state.identities.role_arns(&call.caller.account());
    let limit = call.request.param("MaxItems").and_then(|text| text.parse().ok()).unwrap_or(100);
    let shown = arns.iter().take(limit).filter_map(|arn| state.identities.role(arn));
    let members: String = shown.map(|role| format!("      <member>\n{}      </member>\n", fields(role))).collect();
    let is_truncated = arns.len() > limit;
    drop(state);
    let result = format!("    <IsTruncated>{is_truncated}</IsTruncated>\n    <Roles>\n{members}    </Roles>\n");
    Ok(reply("ListRoles", &result))
}

/// Returns the elements of a role in the order of the real response. IAM percent-encodes the trust policy.
fn fields(role: &Role) -> String {
    let policy = uri_encode(&role.trust_document().to_string());
    let (id, seconds) = (&role.id, role.max_session.as_secs());
    format!(
        "      <Path>{}</Path>\n      <AssumeRolePolicyDocument>{policy}</AssumeRolePolicyDocument>\n      \
         <MaxSessionDuration>{seconds}</MaxSessionDuration>\n      <RoleId>{id}</RoleId>\n      \
         <RoleLastUsed/>\n      <RoleName>{}</RoleName>\n      <Arn>{}</Arn>\n      \
         <CreateDate>2025-01-01T00:00:00Z</CreateDate>\n",
        xml_escape(&path(&role.arn)),
        xml_escape(role.arn.rsplit('/').next().unwrap_or_default()),
        xml_escape(&role.arn)
    )
}

pub(crate) fn get_user(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let name = call.request.param("UserName").unwrap_or_default();
    authorize(call, "iam:GetUser", "user", name)?;
    let state = call.shared.state();
    let found = state.identities.user_named(&call.caller.account(), name);
    let user = found.ok_or_else(|| absent(&format!("The user with name {name} cannot be found.")))?;
    drop(state);
    let result = format!(
        "    <User>\n      <Path>{}</Path>\n      <UserName>{}</UserName>\n      <UserId>{}</UserId>\n      \
         <Arn>{}</Arn>\n      <CreateDate>2025-01-01T00:00:00Z</CreateDate>\n    </User>\n",
        xml_escape(&path(&user.arn)),
        xml_escape(name),
        user.user_id,
        xml_escape(&user.arn)
    );
    Ok(reply("GetUser", &result))
}

fn authorize(call: &SignedCall<'_>, action: &str, kind: &str, name: &str) -> Result<(), ApiError> {
    if call.shared.state().identities.may(&call.caller, action) {
        return Ok(());
    }
    Err(ApiError::denied(Service::Iam, &call.caller.arn, action, &format!("{kind} {name}")))
}

fn absent(message: &str) -> ApiError {
    ApiError::new(404, "NoSuchEntity", message)
}

/// Returns the path of a principal, such as `/team/`.
fn path(arn: &str) -> String {
    let resource = Arn::parse(arn).expect("the table holds ARNs").resource;
    let (_, rest) = resource.split_once('/').unwrap_or_default();
    let folder = rest.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
    format!("/{folder}")
}

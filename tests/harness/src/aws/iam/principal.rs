//! GetRole and GetUser: a role or user of the caller's account, by its name without the path.

use super::super::context::SignedCall;
use super::super::error::{ApiError, xml_escape};
use super::super::reply::Reply;
use super::super::request::Service;
use super::envelope::reply;
use crate::arn::Arn;

pub(crate) fn get_role(call: &SignedCall<'_>) -> Result<Reply, ApiError> {
    let name = call.request.param("RoleName").unwrap_or_default();
    authorize(call, "iam:GetRole", "role", name)?;
    let state = call.shared.state();
    let found = state.identities.role_named(&call.caller.account(), name);
    let role = found.ok_or_else(|| absent(&format!("The role with name {name} cannot be found.")))?;
    let (arn, id, seconds) = (role.arn.clone(), role.id.clone(), role.max_session.as_secs());
    drop(state);
    // Document order of the real response; the policy is that of a role for EC2.
    let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
    let result = format!(
        "    <Role>\n      <Path>{}</Path>\n      <AssumeRolePolicyDocument>{policy}</AssumeRolePolicyDocument>\n      \
         <MaxSessionDuration>{seconds}</MaxSessionDuration>\n      <RoleId>{id}</RoleId>\n      \
         <RoleLastUsed/>\n      <RoleName>{}</RoleName>\n      <Arn>{}</Arn>\n      \
         <CreateDate>2025-01-01T00:00:00Z</CreateDate>\n    </Role>\n",
        xml_escape(&path(&arn)),
        xml_escape(name),
        xml_escape(&arn)
    );
    Ok(reply("GetRole", &result))
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

//! The portal: for an access token, the assignments of a user and the credentials of a role.

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde_json::json;

use super::super::error::ApiError;
use super::super::identity::NewSession;
use super::super::reply::Reply;
use super::super::request::ParsedRequest;
use super::super::state::{AwsState, SharedAws};
use super::records::role_arn;
use crate::random::request_id;

const TOKEN_HEADER: &str = "x-amz-sso_bearer_token";

/// Returns the number of the login of the access token.
fn login(state: &AwsState, request: &ParsedRequest, now: SystemTime) -> Result<usize, ApiError> {
    let access = request.header(TOKEN_HEADER).and_then(|token| state.sso.access.get(token));
    let access = access.filter(|access| now < access.expires && now < state.sso.logins[access.login].ends);
    let found = access.map(|access| access.login);
    found.ok_or_else(|| ApiError::new(401, "UnauthorizedException", "Session token not found or invalid"))
}

fn param<'a>(request: &'a ParsedRequest, name: &str) -> Result<&'a str, ApiError> {
    let missing = || ApiError::new(400, "InvalidRequestException", format!("{name} is missing"));
    request.param(name).ok_or_else(missing)
}

pub(super) fn credentials(shared: &SharedAws, request: &ParsedRequest) -> Result<Reply, ApiError> {
    let now = shared.clock.now();
    let mut state = shared.state();
    let login = login(&state, request, now)?;
    let (account, role) = (param(request, "account_id")?, param(request, "role_name")?);
    let user = state.sso.logins[login].user.clone();
    if !state.sso.assignments.contains(&(user.clone(), account.to_owned(), role.to_owned())) {
        return Err(ApiError::new(403, "ForbiddenException", "No access"));
    }
    let expires = now + state.sso.role_life;
    let role = state.identities.role(&role_arn(account, role)).cloned().expect("an assignment makes its role");
    let new = NewSession { role: &role, name: &user, expires, source_identity: None, packed: 0 };
    let key = state.identities.add_session(&new);
    let millis = expires.duration_since(SystemTime::UNIX_EPOCH).expect("tests stay after 1970").as_millis();
    Ok(Reply::json(
        200,
        &request_id(),
        &json!({ "roleCredentials": {
            "accessKeyId": key.id, "secretAccessKey": key.secret, "sessionToken": key.session_token,
            "expiration": u64::try_from(millis).expect("tests stay in this era"),
        } }),
    ))
}

pub(super) fn logout(shared: &SharedAws, request: &ParsedRequest) -> Result<Reply, ApiError> {
    let now = shared.clock.now();
    let mut state = shared.state();
    let login = login(&state, request, now)?;
    state.sso.end(login, now);
    Ok(Reply::plain(200, "application/json", ""))
}

pub(super) fn accounts(shared: &SharedAws, request: &ParsedRequest) -> Result<Reply, ApiError> {
    let state = shared.state();
    let user = &state.sso.logins[login(&state, request, shared.clock.now())?].user;
    let assigned = state.sso.assignments.iter().filter(|(who, ..)| who == user);
    let accounts: BTreeSet<&str> = assigned.map(|(_, account, _)| account.as_str()).collect();
    let described = |account: &&str| json!({ "accountId": account, "accountName": format!("account {account}"), "emailAddress": "aws@example.com" });
    let list: Vec<_> = accounts.iter().map(described).collect();
    Ok(Reply::json(200, &request_id(), &json!({ "accountList": list })))
}

pub(super) fn roles(shared: &SharedAws, request: &ParsedRequest) -> Result<Reply, ApiError> {
    let state = shared.state();
    let user = &state.sso.logins[login(&state, request, shared.clock.now())?].user;
    let account = param(request, "account_id")?;
    let assigned = state.sso.assignments.iter().filter(|(who, of, _)| who == user && of == account);
    let list: Vec<_> = assigned.map(|(.., role)| json!({ "accountId": account, "roleName": role })).collect();
    Ok(Reply::json(200, &request_id(), &json!({ "roleList": list })))
}

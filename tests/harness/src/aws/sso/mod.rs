//! IAM Identity Center: OIDC, which gives tokens, the pages that a person approves a login on, and the portal, which gives a
//! role's credentials for a token. Nothing here is signed.

mod authorize;
mod handle;
mod oidc;
mod portal;
mod records;

pub use handle::Sso;

pub(crate) use records::Center;

use serde_json::{Value, json};

use super::error::ApiError;
use super::inbound::Inbound;
use super::op::Op;
use super::reply::Reply;
use super::world::World;
use crate::random::request_id;

/// The operation of a request to one of the services.
pub(crate) fn op_of(method: &str, path: &str) -> Option<Op> {
    match (method, path) {
        ("POST", "/client/register") => Some(Op::RegisterClient),
        ("POST", "/device_authorization") => Some(Op::StartDeviceAuthorization),
        ("POST", "/token") => Some(Op::CreateToken),
        ("GET", "/authorize" | "/device") => Some(Op::Authorize),
        ("GET", "/federation/credentials") => Some(Op::GetRoleCredentials),
        ("POST", "/logout") => Some(Op::Logout),
        ("GET", "/assignment/accounts") => Some(Op::ListAccounts),
        ("GET", "/assignment/roles") => Some(Op::ListAccountRoles),
        _ => None,
    }
}

/// What the log shows of a body: nothing secret.
pub(crate) fn shown(body: &[u8]) -> Vec<(String, String)> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(|value| (name.to_owned(), value.to_owned()));
    let list = |name: &str| {
        let values = body.get(name)?.as_array()?;
        let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        Some((name.to_owned(), values.join(" ")))
    };
    ["grantType", "clientName", "startUrl"]
        .into_iter()
        .filter_map(text)
        .chain(["scopes", "grantTypes"].into_iter().filter_map(list))
        .collect()
}

/// Answers one request.
pub(crate) fn serve(world: &World, request: &Inbound) -> Result<Reply, ApiError> {
    match request.op {
        Op::RegisterClient => oidc::register(world, &body(request)?),
        Op::StartDeviceAuthorization => {
            let host = request.header("host").unwrap_or_default();
            oidc::start_device(world, &body(request)?, host)
        }
        Op::CreateToken => oidc::token(world, &body(request)?),
        Op::Authorize => Ok(authorize::answer(world, request)),
        Op::GetRoleCredentials => portal::credentials(world, request),
        Op::Logout => portal::logout(world, request),
        Op::ListAccounts => portal::accounts(world, request),
        Op::ListAccountRoles => portal::roles(world, request),
        _ => Err(ApiError::new(404, "NotFoundException", "The embedded SSO does not know this operation.")),
    }
}

fn body(request: &Inbound) -> Result<Value, ApiError> {
    serde_json::from_slice(&request.body).map_err(|_| ApiError::new(400, "InvalidRequestException", "no JSON"))
}

/// OIDC has a word of RFC 6749 in the body, the portal a message; both have the code in a header.
pub(crate) fn error_reply(error: &ApiError) -> Reply {
    let word = match error.code.as_str() {
        "AuthorizationPendingException" => "authorization_pending",
        "SlowDownException" => "slow_down",
        "ExpiredTokenException" => "expired_token",
        "AccessDeniedException" => "access_denied",
        "InvalidGrantException" => "invalid_grant",
        "InvalidClientException" => "invalid_client",
        "InvalidScopeException" => "invalid_scope",
        "UnauthorizedClientException" => "unauthorized_client",
        "UnsupportedGrantTypeException" => "unsupported_grant_type",
        "InvalidRedirectUriException" => "invalid_redirect_uri",
        "InvalidRequestException" => "invalid_request",
        _ => "",
    };
    let body = if word.is_empty() {
        json!({ "message": error.message })
    } else {
        json!({ "error": word, "error_description": error.message })
    };
    let mut reply = Reply::json(error.status, &request_id(), &body);
    reply.headers.push(("x-amzn-errortype", error.code.clone()));
    reply
}

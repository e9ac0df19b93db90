//! IAM Identity Center: OIDC issues tokens, pages let the user approve a login, and the portal exchanges a token for
//! role credentials. All calls are unsigned.

mod authorize;
pub(super) mod handle;
mod oidc;
mod portal;
pub(super) mod records;
pub(super) mod route;

use serde_json::Value;

use super::error::ApiError;
use super::op::Op;
use super::reply::Reply;
use super::request::ParsedRequest;
use super::state::SharedAws;

/// Responds to one request.
pub(crate) fn serve(shared: &SharedAws, request: &ParsedRequest) -> Result<Reply, ApiError> {
    match request.op {
        Op::RegisterClient => oidc::register(shared, &body(request)?),
        Op::StartDeviceAuthorization => {
            let host = request.header("host").unwrap_or_default();
            oidc::start_device(shared, &body(request)?, host)
        }
        Op::CreateToken => oidc::token(shared, &body(request)?),
        Op::Authorize => Ok(authorize::respond(shared, request)),
        Op::GetRoleCredentials => portal::credentials(shared, request),
        Op::Logout => portal::logout(shared, request),
        Op::ListAccounts => portal::accounts(shared, request),
        Op::ListAccountRoles => portal::roles(shared, request),
        _ => Err(ApiError::new(404, "NotFoundException", "The embedded SSO does not know this operation.")),
    }
}

fn body(request: &ParsedRequest) -> Result<Value, ApiError> {
    serde_json::from_slice(&request.body)
        .map_err(|_| ApiError::new(400, "InvalidRequestException", "the body is not JSON"))
}

//! CreateOAuth2Token with a refresh token.

use serde_json::{Value, json};

use super::super::context::UnsignedCall;
use super::super::error::ApiError;
use super::super::reply::Reply;
use super::records::{CLIENT, CREDENTIALS_TTL};
use crate::random::request_id;

pub(crate) fn respond(call: &UnsignedCall<'_>) -> Result<Reply, ApiError> {
    let body: Value = serde_json::from_slice(&call.request.body).unwrap_or_default();
    let field = |name: &str| body[name].as_str().unwrap_or_default();
    if (field("clientId"), field("grantType")) != (CLIENT, "refresh_token") {
        return Ok(rejected(400, "ValidationException", "INVALID_REQUEST", "Unknown client or grant"));
    }
    let now = call.shared.clock.now();
    let mut state = call.shared.state();
    let identities = &mut state.identities;
    let expired = || Ok(rejected(403, "AccessDeniedException", "TOKEN_EXPIRED", "The refresh token has expired"));
    let known = identities.logins.0.iter_mut().find(|known| known.refresh_token == field("refreshToken"));
    let Some(session) = known else { return expired() };
    let url = format!("http://{}/v1/token", call.request.header("host").unwrap_or_default());
    let proof = call.request.header("dpop").unwrap_or_default();
    match session.proof.check(proof, &url, now) {
        Some(id) if !session.seen.contains(&id) => session.seen.push(id),
        _ => return Ok(rejected(400, "ValidationException", "INVALID_REQUEST", "Invalid DPoP proof")),
    }
    if session.ends <= now {
        return expired();
    }
    let (arn, principal) = (session.arn.clone(), session.principal.clone());
    let lifetime = call.overrides.expires_in.unwrap_or(CREDENTIALS_TTL);
    let Some(key) = identities.add_console_session(&principal, now + lifetime) else { return expired() };
    let token = identities.new_refresh_token();
    let session = identities.logins.0.iter_mut().find(|known| known.arn == arn);
    session.expect("it was there above").refresh_token.clone_from(&token);
    drop(state);
    let credentials =
        json!({ "accessKeyId": key.id, "secretAccessKey": key.secret, "sessionToken": key.session_token });
    Ok(Reply::json(
        200,
        &request_id(),
        &json!({
            "accessToken": credentials, "tokenType": "aws_sigv4", "expiresIn": lifetime.as_secs(), "refreshToken": token,
        }),
    ))
}

/// An error with an OAuth code besides its type.
fn rejected(status: u16, code: &str, error: &str, message: &str) -> Reply {
    let mut reply = Reply::json(status, &request_id(), &json!({ "error": error, "message": message }));
    reply.headers.push(("x-amzn-errortype", code.to_owned()));
    Reply { error_code: Some(code.to_owned()), ..reply }
}

//! OIDC: clients, device codes and tokens, by the rules of RFC 8628, 6749 and 7636 as AWS applies them.

use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::error::ApiError;
use super::super::reply::Reply;
use super::super::state::SharedAws;
use super::records::{Access, Center, Client, Decision, Device, Login};
use crate::random::{iam_id, request_id};
use crate::secrets;
use crate::time::unix_seconds;

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const GRANTS: [&str; 3] = [DEVICE_CODE, "authorization_code", "refresh_token"];
/// AWS's lifetime of a client registration.
const REGISTRATION_TTL: Duration = Duration::from_hours(90 * 24);
/// Tolerance of the poll interval, for scheduling.
const POLL_TOLERANCE: Duration = Duration::from_millis(100);

fn oauth_error(code: &str, message: &str) -> ApiError {
    let status = if code == "InvalidClientException" { 401 } else { 400 };
    ApiError::new(status, code, message)
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    let missing = || oauth_error("InvalidRequestException", &format!("{name} is missing"));
    body.get(name).and_then(Value::as_str).ok_or_else(missing)
}

fn list(body: &Value, name: &str) -> Vec<String> {
    let values = body.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(super) fn register(shared: &SharedAws, body: &Value) -> Result<Reply, ApiError> {
    if text(body, "clientName")?.is_empty() || text(body, "clientType")? != "public" {
        return Err(oauth_error("InvalidClientMetadataException", "only public clients may register"));
    }
    let (grants, redirects, scopes) = (list(body, "grantTypes"), list(body, "redirectUris"), list(body, "scopes"));
    if let Some(unknown) = grants.iter().find(|grant| !GRANTS.contains(&grant.as_str())) {
        return Err(oauth_error("UnsupportedGrantTypeException", unknown));
    }
    if grants.iter().any(|grant| grant == "authorization_code") {
        text(body, "issuerUrl")?;
        let is_loopback = |uri: &String| uri.starts_with("http://127.0.0.1/");
        if redirects.is_empty() || !redirects.iter().all(is_loopback) {
            return Err(oauth_error("InvalidRedirectUriException", "not a loopback address without a port"));
        }
    }
    if scopes.iter().any(|scope| !scope.contains(':')) {
        return Err(oauth_error("InvalidScopeException", "no such scope"));
    }
    let now = shared.clock.now();
    let mut state = shared.state();
    let (id, secret) = (iam_id("", 22), state.sso.secret(600));
    let expires = now + REGISTRATION_TTL;
    let client = Client { secret: secret.clone(), grants, redirects, scopes, expires };
    state.sso.clients.insert(id.clone(), client);
    Ok(Reply::json(
        200,
        &request_id(),
        &json!({
            "clientId": id, "clientSecret": secret,
            "clientIdIssuedAt": unix_seconds(now), "clientSecretExpiresAt": unix_seconds(expires),
            "authorizationEndpoint": null, "tokenEndpoint": null,
        }),
    ))
}

/// Returns the client of a request if its secret is right and it may use the grant.
fn client(center: &Center, body: &Value, grant: &str, now: SystemTime) -> Result<(String, Client), ApiError> {
    let id = text(body, "clientId")?;
    let known = center.clients.get(id).filter(|client| body.get("clientSecret") == Some(&json!(client.secret)));
    let client = known.filter(|client| now < client.expires);
    let client = client.ok_or_else(|| oauth_error("InvalidClientException", "Invalid client provided"))?;
    // A client without registered grants may use those of a device.
    let is_allowed = match client.grants.as_slice() {
        [] => grant != "authorization_code",
        grants => grants.iter().any(|known| known == grant),
    };
    if !is_allowed {
        return Err(oauth_error("UnauthorizedClientException", "the client is not registered for this grant"));
    }
    Ok((id.to_owned(), client.clone()))
}

pub(super) fn start_device(shared: &SharedAws, body: &Value, host: &str) -> Result<Reply, ApiError> {
    let now = shared.clock.now();
    let mut state = shared.state();
    let center = &mut state.sso;
    let (client, _) = client(center, body, DEVICE_CODE, now)?;
    if text(body, "startUrl")?.trim_end_matches(['/', '#']) != center.start_url {
        return Err(oauth_error("InvalidRequestException", "Invalid start url provided"));
    }
    let (code, letters) = (center.secret(100), iam_id("", 8));
    let user_code = format!("{}-{}", &letters[..4], &letters[4..]);
    let (decision, expires) = (center.decision(), now + center.device_life);
    let device = Device { client, user_code: user_code.clone(), decision, expires, polled: None };
    let (life, interval) = (center.device_life.as_secs(), center.interval.as_secs());
    center.devices.insert(code.clone(), device);
    drop(state);
    shared.notify();
    let page = format!("http://{host}/device");
    Ok(Reply::json(
        200,
        &request_id(),
        &json!({
            "deviceCode": code, "userCode": user_code, "verificationUri": page,
            "verificationUriComplete": format!("{page}?user_code={user_code}"),
            "expiresIn": life, "interval": interval,
        }),
    ))
}

pub(super) fn token(shared: &SharedAws, body: &Value) -> Result<Reply, ApiError> {
    let now = shared.clock.now();
    let mut state = shared.state();
    let center = &mut state.sso;
    let grant = text(body, "grantType")?;
    if !GRANTS.contains(&grant) {
        return Err(oauth_error("UnsupportedGrantTypeException", grant));
    }
    let (id, client) = client(center, body, grant, now)?;
    let login = match grant {
        DEVICE_CODE => approved_device(center, body, &id, now)?,
        "authorization_code" => redeemed_code(center, body, &id, now)?,
        _ => refreshed(center, body, &id, now)?,
    };
    let may_refresh = client.scopes.iter().any(|scope| scope == "sso:account:access")
        && (client.grants.is_empty() || client.grants.iter().any(|grant| grant == "refresh_token"));
    Ok(issue(center, login, may_refresh, now))
}

fn issue(center: &mut Center, login: usize, may_refresh: bool, now: SystemTime) -> Reply {
    let access = center.secret(400);
    let refresh = may_refresh.then(|| center.secret(400));
    let ends = center.logins[login].ends;
    let expires = (now + center.token_life).min(ends);
    center.access.insert(access.clone(), Access { login, expires });
    center.logins[login].refresh.clone_from(&refresh);
    let life = expires.duration_since(now).unwrap_or_default().as_secs();
    let mut response = json!({ "accessToken": access, "tokenType": "Bearer", "expiresIn": life });
    if let Some(refresh) = refresh {
        response["refreshToken"] = json!(refresh);
    }
    Reply::json(200, &request_id(), &response)
}

fn log_in(center: &mut Center, user: String, client: &str, now: SystemTime) -> usize {
    let ends = now + center.login_life;
    center.logins.push(Login { user, client: client.to_owned(), ends, refresh: None });
    center.logins.len() - 1
}

#[allow(clippy::disallowed_methods)] // the pace of polls is real time
fn approved_device(center: &mut Center, body: &Value, client: &str, now: SystemTime) -> Result<usize, ApiError> {
    let code = text(body, "deviceCode")?;
    let interval = center.interval;
    let device = center.devices.get_mut(code).filter(|device| device.client == client);
    let device = device.ok_or_else(|| oauth_error("InvalidGrantException", "Invalid device code provided"))?;
    if device.expires <= now {
        return Err(oauth_error("ExpiredTokenException", "the device code has expired"));
    }
    let last = device.polled.replace(Instant::now());
    if last.is_some_and(|last| last.elapsed() + POLL_TOLERANCE < interval) {
        return Err(oauth_error("SlowDownException", "the client polls too fast"));
    }
    match device.decision.clone() {
        Decision::Pending => Err(oauth_error("AuthorizationPendingException", "")),
        Decision::Denied => Err(oauth_error("AccessDeniedException", "the user denied the request")),
        Decision::Approved(user) => {
            center.devices.remove(code);
            Ok(log_in(center, user, client, now))
        }
    }
}

fn redeemed_code(center: &mut Center, body: &Value, client: &str, now: SystemTime) -> Result<usize, ApiError> {
    // A code is valid once, even if the request fails.
    let code = center.codes.remove(text(body, "code")?);
    let verifier = text(body, "codeVerifier")?;
    if verifier.len() >= 43 {
        secrets::register("a PKCE verifier", verifier);
    }
    let is_long = (43..=128).contains(&verifier.len());
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    let redirect = text(body, "redirectUri")?;
    let valid = code.filter(|code| {
        is_long
            && code.challenge == challenge
            && code.client == client
            && code.redirect == redirect
            && now < code.expires
    });
    let code = valid.ok_or_else(|| oauth_error("InvalidGrantException", "Invalid grant provided"))?;
    Ok(log_in(center, code.user, client, now))
}

fn refreshed(center: &Center, body: &Value, client: &str, now: SystemTime) -> Result<usize, ApiError> {
    let token = text(body, "refreshToken")?;
    let matches = |login: &Login| login.refresh.as_deref() == Some(token) && login.client == client && now < login.ends;
    let found = center.logins.iter().position(matches);
    found.ok_or_else(|| oauth_error("InvalidGrantException", "Invalid refresh token provided"))
}

//! The pages that a user's browser opens. A test scripts how the user responds.

use std::time::Duration;

use super::super::reply::Reply;
use super::super::request::ParsedRequest;
use super::super::state::{AwsState, SharedAws};
use super::records::{Code, Decision};

/// AWS's lifetime of an authorization code.
const CODE_TTL: Duration = Duration::from_mins(10);

pub(super) fn respond(shared: &SharedAws, request: &ParsedRequest) -> Reply {
    let mut state = shared.state();
    if request.path == "/device" {
        return device(&mut state, request);
    }
    match authorize(shared, &mut state, request) {
        Ok(reply) => reply,
        // Without a valid redirect URI, the error is shown on the page.
        Err(wrong) => page(400, &format!("Invalid {wrong}")),
    }
}

fn page(status: u16, text: &str) -> Reply {
    Reply::plain(status, "text/html; charset=utf-8", format!("<!DOCTYPE html>\n<p>{text}</p>\n"))
}

/// The user compares the code and approves or denies the device.
fn device(state: &mut AwsState, request: &ParsedRequest) -> Reply {
    let decision = state.sso.decision();
    let Some(code) = request.param("user_code") else { return page(200, "Enter the code of your device") };
    match state.sso.devices.values_mut().find(|device| device.user_code == code) {
        None => page(404, "Unknown code"),
        Some(device) if device.decision == Decision::Pending => {
            device.decision = decision;
            page(200, "Done")
        }
        Some(_) => page(200, "Already answered"),
    }
}

fn authorize(shared: &SharedAws, state: &mut AwsState, request: &ParsedRequest) -> Result<Reply, &'static str> {
    let param = |name: &'static str| request.param(name).filter(|value| !value.is_empty()).ok_or(name);
    let (id, redirect, sent) = (param("client_id")?, param("redirect_uri")?, param("state")?);
    let client = state.sso.clients.get(id).ok_or("client_id")?;
    if param("response_type")? != "code" || param("code_challenge_method")? != "S256" {
        return Err("response_type or code_challenge_method");
    }
    if !client.redirects.iter().any(|known| *known == without_port(redirect)) {
        return Err("redirect_uri");
    }
    let scopes: Vec<&str> = param("scopes")?.split(' ').collect();
    if scopes != client.scopes {
        return Err("scopes");
    }
    let challenge = param("code_challenge")?.to_owned();
    match state.sso.decision() {
        Decision::Pending => Ok(page(200, "Sign in")),
        Decision::Denied => {
            Ok(redirect_with(redirect, &format!("error=access_denied&error_description=no&state={sent}")))
        }
        Decision::Approved(user) => {
            let expires = shared.clock.now() + CODE_TTL;
            let (client, redirected) = (id.to_owned(), redirect.to_owned());
            let code = state.sso.secret(60).replace(['+', '/'], "x");
            let known = Code { client, redirect: redirected, challenge, user, expires };
            state.sso.codes.insert(code.clone(), known);
            Ok(redirect_with(redirect, &format!("code={code}&state={sent}")))
        }
    }
}

fn redirect_with(redirect: &str, query: &str) -> Reply {
    let mut reply = page(302, "Redirecting");
    reply.headers.push(("location", format!("{redirect}?{query}")));
    reply
}

/// Removes the port: any port is allowed on loopback (RFC 8252, 7.3).
fn without_port(uri: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.split(':').next().unwrap_or_default();
    format!("{scheme}://{host}/{path}")
}

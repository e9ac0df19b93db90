//! Handles a request: authentication, authorization, resource, log.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};

use super::api::response::{ApiResponse, unauthorized};
use super::api::router::{self, ApiRequest};
use super::authenticator::User;
use super::log::Served;
use super::shared::SharedCluster;
use crate::serve::{Broken, ReplyBody, full};

/// Longest request body: a ConfigMap has up to 1 MiB of text, which JSON escapes.
const MAX_BODY: usize = 3 * 1024 * 1024;
/// Paths that EKS serves without a token.
const PUBLIC: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// Responds to one request.
pub(crate) async fn handle(
    shared: Arc<SharedCluster>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Broken> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|_| Broken)?.to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = head.uri.path();
    let user = authenticate(&shared, path, header("authorization")).await;
    let answer = match &user {
        Err(_) => unauthorized(),
        Ok(user) => router::respond(
            &shared,
            user.as_ref(),
            &ApiRequest {
                method: head.method.as_str(),
                path,
                query: head.uri.query().unwrap_or_default(),
                accept: header("accept"),
                body: &body,
            },
        ),
    };
    shared.log.add(Served {
        at: shared.clock.now(),
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or(path, |target| target.as_str()).to_owned(),
        user: user.as_ref().ok().and_then(Option::as_ref).map(|user| user.username.clone()),
        code: answer.code,
        user_agent: header("user-agent").to_owned(),
        denied_because: user.err(),
    });
    Ok(write(answer))
}

/// Returns the user of a request, or `None` for a public path without a token.
async fn authenticate(shared: &SharedCluster, path: &str, authorization: &str) -> Result<Option<User>, String> {
    if authorization.is_empty() && PUBLIC.contains(&path) {
        return Ok(None);
    }
    let bearer = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = bearer.map_or("", |(_, token)| token.trim());
    record_token(shared, token);
    if take_rejection(shared) {
        return Err("the test rejects this request".to_owned());
    }
    if token.is_empty() {
        return Err("no bearer token".to_owned());
    }
    shared.authenticate(token).await.map(Some)
}

fn record_token(shared: &SharedCluster, token: &str) {
    let mut state = shared.state();
    if !token.is_empty() && !state.tokens.iter().any(|known| known == token) {
        state.tokens.push(token.to_owned());
    }
}

fn take_rejection(shared: &SharedCluster) -> bool {
    let mut state = shared.state();
    let rejecting = state.rejecting > 0;
    state.rejecting = state.rejecting.saturating_sub(1);
    rejecting
}

fn write(answer: ApiResponse) -> Response<ReplyBody> {
    Response::builder()
        .status(answer.code)
        .header("content-type", answer.content_type)
        .header("cache-control", "no-cache, private")
        .body(full(answer.body))
        .expect("the headers are constants")
}

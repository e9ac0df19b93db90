//! From a request to its answer: authentication, authorization, object, log.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};

use super::Inside;
use super::kube::{self, Answer, Asked};
use super::log::Served;
use super::webhook::User;
use crate::serve::{Broken, ReplyBody, full};

/// Nothing that kubectl sends here is as big.
const MAX_BODY: usize = 1024 * 1024;
/// What EKS answers without a token.
const PUBLIC: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// Answers one request.
pub(crate) async fn answer(inside: Arc<Inside>, request: Request<Incoming>) -> Result<Response<ReplyBody>, Broken> {
    let (head, body) = request.into_parts();
    // Nothing in a body matters here, but an answer before its end would look like a broken connection.
    Limited::new(body, MAX_BODY).collect().await.map_err(|_| Broken)?;
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = head.uri.path();
    let who = authenticate(&inside, path, header("authorization")).await;
    let answer = match &who {
        Err(_) => kube::unauthorized(),
        Ok(user) => kube::answer(
            &inside,
            user.as_ref(),
            &Asked { method: head.method.as_str(), path, accept: header("accept") },
        ),
    };
    inside.log.add(Served {
        at: inside.clock.now(),
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or(path, |target| target.as_str()).to_owned(),
        user: who.as_ref().ok().and_then(Option::as_ref).map(|user| user.username.clone()),
        code: answer.code,
        user_agent: header("user-agent").to_owned(),
        denied_because: who.err(),
    });
    Ok(write(answer))
}

/// `Ok(None)`: nobody in particular, and nobody in particular may have this.
async fn authenticate(inside: &Inside, path: &str, authorization: &str) -> Result<Option<User>, String> {
    if authorization.is_empty() && PUBLIC.contains(&path) {
        return Ok(None);
    }
    let bearer = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = bearer.map_or("", |(_, token)| token.trim());
    note(inside, token);
    if rejecting(inside) {
        return Err("the test wants this request rejected".to_owned());
    }
    if token.is_empty() {
        return Err("no bearer token".to_owned());
    }
    inside.webhook.authenticate(token).await.map(Some)
}

fn note(inside: &Inside, token: &str) {
    let mut state = inside.state();
    if !token.is_empty() && !state.tokens.iter().any(|known| known == token) {
        state.tokens.push(token.to_owned());
    }
}

fn rejecting(inside: &Inside) -> bool {
    let mut state = inside.state();
    let rejecting = state.rejecting > 0;
    state.rejecting = state.rejecting.saturating_sub(1);
    rejecting
}

fn write(answer: Answer) -> Response<ReplyBody> {
    Response::builder()
        .status(answer.code)
        .header("content-type", answer.content_type)
        .header("cache-control", "no-cache, private")
        .body(full(answer.body))
        .expect("an answer's headers are constants")
}

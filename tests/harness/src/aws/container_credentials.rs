//! The credentials endpoint of a container: of an ECS task, or of EKS Pod Identity.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::json;

use super::handle::AwsHandle;
use super::rotating::RotatingCredentials;
use crate::random::{base64_text, request_id};
use crate::serve::{Broken, ReplyBody, Server, full};

/// A running endpoint. Dropping it stops it.
#[derive(Debug)]
pub struct ContainerCredentials {
    service: Arc<Service>,
    server: Server,
}

impl AwsHandle {
    /// Starts the credentials endpoint of a container with this role.
    pub fn container_credentials(&self, role_arn: &str) -> ContainerCredentials {
        let task = request_id();
        let token = base64_text(64);
        self.shared.state().identities.add_secret("a container's token", &token);
        let role = RotatingCredentials::new(&self.shared, role_arn, &task.replace('-', ""));
        let service = Arc::new(Service { role, path: format!("/v2/credentials/{task}"), token });
        let shared = Arc::clone(&service);
        let server = Server::start("container-credentials", None, move |request| {
            let response = shared.respond(&request);
            async move { Ok::<_, Broken>(response) }
        });
        ContainerCredentials { service, server }
    }
}

impl ContainerCredentials {
    /// Returns the value of `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub fn uri(&self) -> String {
        format!("http://{}{}", self.server.addr(), self.service.path)
    }

    /// Returns the required value of `Authorization`: `AWS_CONTAINER_AUTHORIZATION_TOKEN`, or the content of the token
    /// file.
    pub fn token(&self) -> &str {
        &self.service.token
    }

    /// Issues new credentials with this lifetime from now on; 6 hours at first. Replacements are available 5 minutes
    /// before the expiry.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.service.role.set_lifetime(lifetime);
    }

    /// Returns how often credentials were fetched.
    pub fn fetched(&self) -> usize {
        self.service.role.fetched()
    }
}

#[derive(Debug)]
struct Service {
    role: RotatingCredentials,
    path: String,
    token: String,
}

impl Service {
    fn respond(&self, request: &Request<Incoming>) -> Response<ReplyBody> {
        let rejected = |status, code: &str, message: &str| reply(status, &json!({ "code": code, "message": message }));
        if request.method() != Method::GET || request.uri().path() != self.path {
            return rejected(404, "InvalidIdInRequest", "CredentialsV2Request: ID not found");
        }
        let authorization = request.headers().get("authorization").and_then(|token| token.to_str().ok());
        if authorization != Some(&self.token) {
            return rejected(401, "Unauthorized", "The authorization token is missing or wrong");
        }
        let Some(issued) = self.role.fetch() else {
            return rejected(400, "CredentialsNotFound", "the role cannot be assumed");
        };
        let mut shown = issued.json();
        shown["RoleArn"] = json!(self.role.role_arn());
        reply(200, &shown)
    }
}

fn reply(status: u16, body: &serde_json::Value) -> Response<ReplyBody> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(full(body.to_string())).expect("a status and a header can be written")
}

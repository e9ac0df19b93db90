//! The instance metadata service of an EC2 instance with a role, version 2 only (IMDSv2).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, Response};
use serde_json::json;

use super::handle::AwsHandle;
use super::rotating::RotatingCredentials;
use crate::arn::Arn;
use crate::random::{base64_text, bytes};
use crate::serve::{Broken, ReplyBody, Server, full};

/// Path of the role's name; its credentials are below.
const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials/";
const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aws-ec2-metadata-token";

/// A running instance metadata service. Dropping it stops it.
#[derive(Debug)]
pub struct InstanceMetadata {
    service: Arc<Service>,
    server: Server,
}

impl AwsHandle {
    /// Starts the metadata service of an instance with this role.
    pub fn instance_metadata(&self, role_arn: &str) -> InstanceMetadata {
        let instance = format!("i-0{}", hex::encode(bytes(8)));
        let service =
            Service { role: RotatingCredentials::new(&self.shared, role_arn, &instance), tokens: Mutex::default() };
        let service = Arc::new(service);
        let shared = Arc::clone(&service);
        let server = Server::start("instance-metadata", None, move |request| {
            let response = shared.respond(&request);
            async move { Ok::<_, Broken>(response) }
        });
        InstanceMetadata { service, server }
    }
}

impl InstanceMetadata {
    /// Returns `http://127.0.0.1:PORT`, for `ec2_metadata_service_endpoint`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.addr())
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
    tokens: Mutex<HashMap<String, SystemTime>>,
}

impl Service {
    fn respond(&self, request: &Request<Incoming>) -> Response<ReplyBody> {
        let (path, headers) = (request.uri().path(), request.headers());
        if request.method() == Method::PUT && path == "/latest/api/token" {
            return self.token(headers);
        }
        if request.method() != Method::GET {
            return reply(405, "");
        }
        if !self.has_valid_token(headers) {
            return reply(401, "");
        }
        let name = Arn::parse(self.role.role_arn()).expect("the table holds ARNs").name().to_owned();
        match path.strip_prefix(CREDENTIALS.trim_end_matches('/')) {
            Some("" | "/") => reply(200, &name),
            Some(wanted) if wanted.strip_prefix('/') == Some(&name) => reply(200, &self.credentials()),
            _ => reply(404, ""),
        }
    }

    /// Issues a token with a lifetime of 1 second to 6 hours. Rejects forwarded requests, as the real service does.
    fn token(&self, headers: &HeaderMap) -> Response<ReplyBody> {
        let ttl = headers.get(TTL).and_then(|ttl| ttl.to_str().ok()).and_then(|ttl| ttl.parse().ok());
        let Some(ttl) = ttl.filter(|ttl| (1..=21_600).contains(ttl)) else { return reply(400, "") };
        if headers.contains_key("x-forwarded-for") {
            return reply(403, "");
        }
        let token = base64_text(56);
        let shared = self.role.shared();
        shared.state().identities.add_secret("a token of the instance metadata", &token);
        let expires = shared.clock.now() + Duration::from_secs(ttl);
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), expires);
        let mut response = reply(200, &token);
        response.headers_mut().insert(TTL, ttl.into());
        response
    }

    fn has_valid_token(&self, headers: &HeaderMap) -> bool {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let expires = headers.get(TOKEN).and_then(|token| token.to_str().ok()).and_then(|token| tokens.get(token));
        expires.is_some_and(|expires| *expires > self.role.shared().clock.now())
    }

    /// Returns the credentials. If the role cannot be assumed, the real service also responds with 200.
    fn credentials(&self) -> String {
        let Some(issued) = self.role.fetch() else {
            let message = format!("EC2 cannot assume the role {}.", self.role.role_arn());
            return json!({ "Code": "AssumeRoleUnauthorizedAccess", "Message": message }).to_string();
        };
        let mut shown = issued.json();
        shown["Code"] = json!("Success");
        shown["Type"] = json!("AWS-HMAC");
        shown.to_string()
    }
}

fn reply(status: u16, body: &str) -> Response<ReplyBody> {
    let response = Response::builder().status(status).header("content-type", "text/plain");
    response.body(full(body.to_owned())).expect("a status and a header can be written")
}

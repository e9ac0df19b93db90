//! A parsed request and its operation.

use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::body::Incoming;

use super::eks;
use super::op::Op;
use super::sso::route as sso_route;
use crate::aws::sigv4::SignedRequest;
use crate::encoding::{parse_query, percent_decode};
use crate::serve::Broken;

/// Longest request body; real requests are far shorter.
const MAX_BODY: usize = 1024 * 1024;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Sts,
    Eks,
    Iam,
    Signin,
    /// Unsigned.
    Sso,
}

impl Service {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sts => "sts",
            Self::Eks => "eks",
            Self::Iam => "iam",
            Self::Signin => "signin",
            Self::Sso => "sso",
        }
    }
}

/// A complete request.
#[derive(Debug)]
pub(crate) struct ParsedRequest {
    pub(crate) method: String,
    /// As sent, percent-encoded.
    pub(crate) path: String,
    pub(crate) query: String,
    /// Header names are in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) service: Service,
    pub(crate) op: Op,
    /// Decoded parameters of the query, then of a form body.
    pub(crate) params: Vec<(String, String)>,
}

impl ParsedRequest {
    /// Reads a request. Closes the connection if its body is too long or incomplete.
    pub(crate) async fn read(request: Request<Incoming>) -> Result<Self, Broken> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|_| Broken)?.to_bytes().to_vec();
        let headers: Vec<(String, String)> = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
        let mut params = parse_query(&query);
        let form = headers
            .iter()
            .any(|(name, value)| name == "content-type" && value.starts_with("application/x-www-form-urlencoded"));
        if form {
            // A form encodes a space as a plus.
            params.extend(parse_query(&String::from_utf8_lossy(&body).replace('+', "%20")));
        }
        let method = head.method.as_str().to_owned();
        let (service, op) = route(&method, &path, &params);
        if service == Service::Sso {
            params.extend(sso_route::logged_parameters(&body));
        }
        Ok(Self { method, path, query, headers, body, service, op, params })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the decoded segments of the path.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|segment| !segment.is_empty()).map(percent_decode).collect()
    }

    /// Returns the parts that a signature covers.
    pub(crate) fn signed(&self) -> SignedRequest<'_> {
        SignedRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
        }
    }

    /// Returns whether the caller accepts JSON, as aws-iam-authenticator does.
    pub(crate) fn wants_json(&self) -> bool {
        self.header("accept").is_some_and(|accept| accept.contains("application/json"))
    }

    /// Returns the region of a standard host name. All services listen on one port.
    pub(crate) fn region_in_host(&self) -> Option<&str> {
        let mut labels = self.header("host")?.split('.');
        let service = labels.next()?;
        labels.next().filter(|_| service.starts_with("sts") || service.starts_with("eks"))
    }
}

fn route(method: &str, path: &str, params: &[(String, String)]) -> (Service, Op) {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match (method, &segments[..]) {
        ("POST", ["v1", "token"]) => (Service::Signin, Op::CreateOAuth2Token),
        _ if let Some(op) = eks::operation(method, &segments) => (Service::Eks, op),
        _ if let Some(op) = sso_route::operation(method, path) => (Service::Sso, op),
        _ => {
            let action = params.iter().find(|(name, _)| name == "Action").map_or("", |(_, action)| action);
            let op = Op::of_action(action);
            (if op.is_of_iam() { Service::Iam } else { Service::Sts }, op)
        }
    }
}

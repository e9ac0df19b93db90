//! HTTP client of the harness's own tests: plain and signed calls.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::aws::AwsHandle;
use crate::aws::access_key::AccessKey;
use crate::aws::sigv4::Signer;

/// Region of the clusters and signatures in tests.
pub(crate) const REGION: &str = "eu-west-1";

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the text of the first element of that name.
    pub(crate) fn element(&self, name: &str) -> &str {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let found = self.body.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
        found.unwrap_or_else(|| panic!("no {name} in {self:?}")).0
    }

    /// Returns the credentials of an AssumeRole response.
    pub(crate) fn key(&self) -> AccessKey {
        AccessKey {
            id: self.element("AccessKeyId").to_owned(),
            secret: self.element("SecretAccessKey").to_owned(),
            arn: self.element("Arn").to_owned(),
            session_token: Some(self.element("SessionToken").to_owned()),
        }
    }

    /// Returns the error: `403 AccessDenied: User: … is not authorized …`.
    pub(crate) fn error(&self) -> String {
        format!("{} {}: {}", self.status, self.element("Code"), self.element("Message"))
    }
}

/// Sends one request on a new connection and reads until the server closes it.
pub(crate) fn http(
    addr: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: &str,
) -> io::Result<Response> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "{method} {target} HTTP/1.1\r\n{}content-length: {}\r\nconnection: close\r\n\r\n",
        lines.concat(),
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    let response = String::from_utf8(response).map_err(io::Error::other)?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Response { status, head: head.to_lowercase(), body: body.to_owned() })
}

/// Sends a signed call, as an SDK does.
pub(crate) fn call(
    aws: &AwsHandle,
    key: &AccessKey,
    service: &str,
    method: &str,
    target: &str,
    body: &str,
) -> io::Result<Response> {
    let signer = Signer { key, region: REGION, service, at: aws.clock().now() };
    let host = aws.addr().to_string();
    let mut headers = vec![("host".to_owned(), host)];
    if !body.is_empty() {
        let is_json = body.starts_with('{');
        let content_type = if is_json { "application/json" } else { "application/x-www-form-urlencoded" };
        headers.push(("content-type".to_owned(), content_type.to_owned()));
    }
    let covered: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let added = signer.sign_headers(method, target, &covered, body.as_bytes());
    headers.extend(added);
    http(aws.addr(), method, target, &headers, body)
}

/// Sends a signed call to STS. `parameters` is the rest of the form, encoded.
pub(crate) fn sts(aws: &AwsHandle, key: &AccessKey, action: &str, parameters: &str) -> io::Result<Response> {
    call(aws, key, "sts", "POST", "/", &format!("Action={action}&Version=2011-06-15{parameters}"))
}

/// Calls AssumeRole with the session name `dev`.
pub(crate) fn assume(aws: &AwsHandle, key: &AccessKey, role: &str, parameters: &str) -> Response {
    sts(aws, key, "AssumeRole", &format!("&RoleArn={role}&RoleSessionName=dev{parameters}")).unwrap()
}

/// Sends a signed GET to EKS.
pub(crate) fn eks(aws: &AwsHandle, key: &AccessKey, target: &str) -> Response {
    call(aws, key, "eks", "GET", target, "").unwrap()
}

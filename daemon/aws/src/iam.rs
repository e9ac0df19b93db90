//! Calls to IAM: creating and deleting the access keys of a user; looking up roles and users.

mod principal;

use std::fmt::Debug;
use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_xml::decode::{Document, try_data};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rolecall_protocol::{KeyName, Region};

pub use principal::{IamClient, IamPrincipal, Lookup};

use crate::client::ATTEMPT_TIMEOUT;
use crate::client::Aws;
use crate::credentials;
use crate::error::AwsError;
use crate::signed_call;
use crate::signed_call::Request;
use crate::signed_call::Target;
use crate::signed_call::WireFormat;
use rolecall_core::config::SourceConfig;
use rolecall_core::config::SourceKind;
use rolecall_core::config::home_region;
use rolecall_core::config::inputs::StsAddress;
use rolecall_core::config::network::Service;
use rolecall_core::config::partition;
use rolecall_core::role_chain::StsEndpoint;

/// The version of IAM's API.
const API_VERSION: &str = "2010-05-08";

/// A failed call to IAM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .error.message)]
pub struct IamError {
    /// The error of AWS.
    pub error: AwsError,
    /// The error code of IAM, if the response had one.
    code: Option<String>,
}

impl IamError {
    /// Whether the user has as many access keys as IAM allows (two).
    #[must_use]
    pub fn is_key_limit_reached(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code.starts_with("LimitExceeded"))
    }

    /// Whether the access key does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code.starts_with("NoSuchEntity"))
    }
}

/// CreateAccessKey for the user whose credentials sign.
pub async fn create_access_key(
    aws: &Aws,
    name: &KeyName,
    region: &Region,
    base: &Credentials,
) -> Result<Credentials, IamError> {
    let invalid = |message: String| IamError { error: AwsError::invalid_response(message), code: None };
    match call(aws, name, region, base, "CreateAccessKey", &[], created_key).await? {
        Some(key) => {
            credentials::check(key, aws.now()).map_err(|error| invalid(format!("in the response of IAM, {error}")))
        }
        None => Err(invalid("the response of IAM has no access key".to_owned())),
    }
}

/// DeleteAccessKey of the user whose credentials sign.
pub async fn delete_access_key(
    aws: &Aws,
    name: &KeyName,
    region: &Region,
    base: &Credentials,
    id: &str,
) -> Result<(), IamError> {
    call(aws, name, region, base, "DeleteAccessKey", &[("AccessKeyId", id)], |_| Ok(())).await
}

async fn call<T: Debug + Send + Sync + 'static>(
    aws: &Aws,
    name: &KeyName,
    region: &Region,
    base: &Credentials,
    operation: &'static str,
    parameters: &[(&str, &str)],
    read: fn(&[u8]) -> Result<T, BoxError>,
) -> Result<T, IamError> {
    let source = SourceConfig::plain(SourceKind::Keyring(name.clone()));
    // IAM is in one region of each partition (IAM endpoints and quotas, AWS General Reference).
    let region = home_region(region);
    let config = aws.client_config(&source, &region, base.clone()).await;
    let config = config.map_err(|error| IamError { error, code: None })?;
    let (target, request) = (target(&config, &region), request(operation, parameters));
    let code = OnceLock::new();
    // AwsError keeps the class of the error only, not its code.
    let send =
        async { signed_call::send(&config, target, request, read).await.inspect_err(|error| store_code(error, &code)) };
    let endpoint = StsEndpoint { source, region: region.clone(), sts: StsAddress::default() };
    let outcome = aws.call(&endpoint, ATTEMPT_TIMEOUT, Box::pin(send)).await;
    outcome.map_err(|error| IamError { error, code: code.into_inner() })
}

/// The target of a call; `home` is the home region of the partition.
fn target<'a>(config: &SdkConfig, home: &'a Region) -> Target<'a> {
    let url = Aws::endpoint_url_of(config, Service::Iam).unwrap_or_else(|| home_url(home).to_owned());
    Target { service: Service::Iam, url, region: home, format: WireFormat::Query }
}

fn request(operation: &'static str, parameters: &[(&str, &str)]) -> Request {
    let mut body = format!("Action={operation}&Version={API_VERSION}");
    for (name, value) in parameters {
        body.extend(["&", name, "="].into_iter().chain(utf8_percent_encode(value, NON_ALPHANUMERIC)));
    }
    Request { operation, method: "POST", path: "/".to_owned(), body }
}

/// The address of IAM in the home region of a partition (endpoint rules of IAM in botocore).
fn home_url(home: &Region) -> &'static str {
    match partition(home) {
        "aws" => "https://iam.amazonaws.com",
        "aws-cn" => "https://iam.cn-north-1.amazonaws.com.cn",
        "aws-us-gov" => "https://iam.us-gov.amazonaws.com",
        "aws-eusc" => "https://iam.eusc-de-east-1.amazonaws.eu",
        "aws-iso" => "https://iam.us-iso-east-1.c2s.ic.gov",
        "aws-iso-b" => "https://iam.us-isob-east-1.sc2s.sgov.gov",
        "aws-iso-e" => "https://iam.eu-isoe-west-1.cloud.adc-e.uk",
        _ => "https://iam.us-isof-south-1.csp.hci.ic.gov",
    }
}

/// Reads `<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey>…`. `None` if a part of the key is missing, empty or
/// there twice.
fn created_key(body: &[u8]) -> Result<Option<Credentials>, BoxError> {
    let mut document = Document::try_from(body)?;
    let root = document.next_start_element().ok_or("no XML")?;
    if root.local() != "CreateAccessKeyResponse" {
        return Err("another document".into());
    }
    let (mut ids, mut secrets) = (Vec::new(), Vec::new());
    while let Some(element) = document.next_start_element() {
        let parts = match element.local() {
            "AccessKeyId" => &mut ids,
            "SecretAccessKey" => &mut secrets,
            _ => continue,
        };
        parts.push(try_data(&mut document.scoped_to(element))?);
    }
    let ([id], [secret]) = (ids.as_slice(), secrets.as_slice()) else { return Ok(None) };
    let is_whole = !id.is_empty() && !secret.is_empty();
    Ok(is_whole.then(|| Credentials::new(&**id, &**secret, None, None, "CreateAccessKey")))
}

/// Stores the code of an error.
fn store_code(error: &SdkError<ErrorMetadata, HttpResponse>, code: &OnceLock<String>) {
    if let SdkError::ServiceError(error) = error
        && let Some(text) = error.err().code()
    {
        code.get_or_init(|| text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(key: &str) -> String {
        format!(
            "<CreateAccessKeyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><CreateAccessKeyResult>\
             <AccessKey><UserName>dev</UserName>{key}<Status>Active</Status></AccessKey></CreateAccessKeyResult>\
             <ResponseMetadata><RequestId>x</RequestId></ResponseMetadata></CreateAccessKeyResponse>"
        )
    }

    #[test]
    fn created_key_complete_response_is_read() {
        let body = response("<AccessKeyId>AKIDEXAMPLE</AccessKeyId><SecretAccessKey>a/b+c&amp;d</SecretAccessKey>");
        let key = created_key(body.as_bytes()).unwrap().unwrap();
        assert_eq!((key.access_key_id(), key.secret_access_key()), ("AKIDEXAMPLE", "a/b+c&d"));
    }

    #[test]
    fn created_key_incomplete_answer_is_none() {
        let (id, secret) = ("<AccessKeyId>A</AccessKeyId>", "<SecretAccessKey>s</SecretAccessKey>");
        for key in ["", id, secret, &format!("{id}{secret}{secret}"), &format!("{id}<SecretAccessKey/>")] {
            assert!(created_key(response(key).as_bytes()).unwrap().is_none(), "{key}");
        }
    }

    #[test]
    fn created_key_other_document_is_an_error() {
        let cut = response("<AccessKeyId>A</AccessKeyId><SecretAccessKey>s");
        for body in ["", "{}", "<html><AccessKeyId>A</AccessKeyId></html>", &cut[..20]] {
            assert!(created_key(body.as_bytes()).is_err(), "{body}");
        }
    }
}

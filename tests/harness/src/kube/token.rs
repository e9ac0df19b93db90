//! Verifies a bearer token up to the call to STS, by the rules of aws-iam-authenticator's `pkg/token`.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::sts_hosts;
use crate::encoding::parse_query;
use crate::time::parse_compact;

const MAX_TOKEN: usize = 4 * 1024;
const PREFIX: &str = "k8s-aws-v1.";
const CLUSTER_HEADER: &str = "x-k8s-aws-id";
/// Lifetime of a token, regardless of X-Amz-Expires.
const LIFETIME: Duration = Duration::from_mins(15);
/// Allowed parameters, compared in lower case.
const PARAMETERS: [&str; 9] = [
    "action",
    "version",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];
/// Go's RawURLEncoding: no padding, and the spare bits of the last character are ignored.
const RAW_URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// A presigned URL that passed the checks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Presigned {
    pub(crate) host: String,
    /// The query as in the token: the signature covers it.
    pub(crate) query: String,
    /// The access key that signed it.
    pub(crate) access_key: String,
}

/// Applies every rule in the order of the original. The error is the text of its log.
pub(crate) fn verify(token: &str, cluster_region: &str, now: SystemTime) -> Result<Presigned, String> {
    if token.len() > MAX_TOKEN {
        return Err("token is too large".to_owned());
    }
    let encoded = token.strip_prefix(PREFIX).ok_or("token is missing expected \"k8s-aws-v1.\" prefix")?;
    let decoded = RAW_URL.decode(encoded).map_err(|error| error.to_string())?;
    let url = String::from_utf8(decoded).map_err(|error| error.to_string())?;
    let (host, query) = split(&url)?;
    if !sts_hosts::accepts(cluster_region, &host) {
        return Err(format!("unexpected hostname \"{host}\" in pre-signed URL"));
    }
    let access_key = check_parameters(&query, now)?;
    Ok(Presigned { host, query, access_key })
}

fn split(url: &str) -> Result<(String, String), String> {
    if url.chars().any(char::is_control) {
        return Err("invalid control character in URL".to_owned());
    }
    let (scheme, rest) = url.split_once("://").ok_or("unexpected scheme \"\" in pre-signed URL")?;
    if !scheme.eq_ignore_ascii_case("https") {
        return Err(format!("unexpected scheme \"{scheme}\" in pre-signed URL"));
    }
    // Go removes the fragment and does not send it.
    let rest = rest.split_once('#').map_or(rest, |(rest, _fragment)| rest);
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let slash = place.find('/').unwrap_or(place.len());
    let (authority, path) = place.split_at(slash);
    if path != "/" {
        return Err("unexpected path in pre-signed URL".to_owned());
    }
    // In Go the host excludes user information and includes the port.
    let host = authority.rsplit_once('@').map_or(authority, |(_user, host)| host);
    Ok((host.to_owned(), query.to_owned()))
}

/// Checks the parameters and returns the access key.
fn check_parameters(query: &str, now: SystemTime) -> Result<String, String> {
    if query.contains(';') {
        return Err("malformed query parameter".to_owned());
    }
    let mut parameters: Vec<(String, String)> = Vec::new();
    for (name, value) in parse_query(query) {
        let name = name.to_lowercase();
        if !PARAMETERS.contains(&name.as_str()) {
            return Err(format!("non-whitelisted query parameter \"{name}\""));
        }
        if parameters.iter().any(|(known, _)| *known == name) {
            return Err("query parameter with multiple values not supported".to_owned());
        }
        parameters.push((name, value));
    }
    let value = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value);
    if value("action") != "GetCallerIdentity" {
        return Err("unexpected action parameter in pre-signed URL".to_owned());
    }
    if !value("x-amz-signedheaders").split(';').any(|header| header == CLUSTER_HEADER) {
        return Err(format!("client did not sign the {CLUSTER_HEADER} header in the pre-signed URL"));
    }
    let expires: i64 =
        value("x-amz-expires").parse().map_err(|_| "invalid X-Amz-Expires parameter in pre-signed URL")?;
    if !(0..=900).contains(&expires) {
        return Err("invalid X-Amz-Expires parameter in pre-signed URL".to_owned());
    }
    let signed = value("x-amz-date");
    let at = parse_compact(signed)
        .ok_or_else(|| format!("error parsing X-Amz-Date parameter {signed} into format 20060102T150405Z"))?;
    if now > at + LIFETIME {
        return Err(format!("X-Amz-Date parameter is expired (15 minute expiration) {signed}"));
    }
    Ok(value("x-amz-credential").split('/').next().unwrap_or_default().to_owned())
}

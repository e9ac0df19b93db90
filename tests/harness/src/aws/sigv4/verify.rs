//! The verifying side: which requests AWS accepts.

use std::time::{Duration, SystemTime};

use super::canonical::Canonical;
use super::signature::{ALGORITHM, Scope, signature};
use crate::encoding::{parse_query, sha256_hex};
use crate::time::{compact, parse_compact};

/// How far the time of a signature may differ from AWS's clock, in either direction.
pub(crate) const TOLERANCE: Duration = Duration::from_mins(15);

/// The current time, and how far the time of a request that is signed in its headers may differ from it.
#[derive(Clone, Copy)]
pub(crate) struct VerificationTime {
    pub(crate) now: SystemTime,
    /// The tolerance of a presigned URL is always [`TOLERANCE`]: the lifetime of an EKS token.
    pub(crate) tolerance: Duration,
}

/// The parts of a request that a signature covers.
pub(crate) struct SignedRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// Header names are in lower case.
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: &'a [u8],
}

impl SignedRequest<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// An access key in the identity table.
pub(crate) struct KnownKey {
    pub(crate) secret: String,
    pub(crate) session_token: Option<String>,
    pub(crate) expires: Option<SystemTime>,
}

/// The signer of a verified request.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) key_id: String,
    /// Region of the credential scope.
    pub(crate) region: String,
}

/// Why a request is rejected. The codes differ by service, the texts do not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AuthError {
    /// The request has no signature.
    Missing,
    /// A part of the signature is missing or malformed.
    Incomplete(String),
    /// The access key is unknown, or the session token belongs to another key.
    UnknownKey,
    /// The session has expired.
    SessionExpired,
    /// The key is known; the signature, its time, region or service is wrong.
    Signature(String),
}

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS \
                        Secret Access Key and signing method. Consult the service documentation for details.";

/// Verifies a request. `lookup` finds an access key by its id.
pub(crate) fn verify(
    request: &SignedRequest<'_>,
    service: &str,
    moment: VerificationTime,
    lookup: impl Fn(&str) -> Option<KnownKey>,
) -> Result<Verified, AuthError> {
    let claim = Claim::read(request)?;
    check_scope(&claim, service, request.header("host").unwrap_or_default())?;
    let known = lookup(&claim.key_id).ok_or(AuthError::UnknownKey)?;
    if known.session_token != claim.session_token {
        return Err(AuthError::UnknownKey);
    }
    check_time(&claim, moment)?;
    if known.expires.is_some_and(|expires| expires <= moment.now) {
        return Err(AuthError::SessionExpired);
    }
    let canonical = canonical_request(request, &claim)?;
    if signature(&known.secret, &claim.scope, &claim.timestamp, &canonical) != claim.signature {
        return Err(AuthError::Signature(MISMATCH.to_owned()));
    }
    Ok(Verified { key_id: claim.key_id, region: claim.scope.region })
}

/// Returns the access key and region that a request claims, before verification: for the log.
pub(crate) fn claimed_key(request: &SignedRequest<'_>) -> Option<(String, String)> {
    Claim::read(request).ok().map(|claim| (claim.key_id, claim.scope.region))
}

/// The parsed signature of a request.
struct Claim {
    key_id: String,
    scope: Scope,
    timestamp: String,
    at: SystemTime,
    signed_headers: Vec<String>,
    session_token: Option<String>,
    signature: String,
    presigned: bool,
}

impl Claim {
    fn read(request: &SignedRequest<'_>) -> Result<Self, AuthError> {
        let query = parse_query(request.query);
        let presigned = query.iter().any(|(name, _)| name == "X-Amz-Signature");
        if presigned { Self::from_query(&query) } else { Self::from_headers(request) }
    }

    fn from_query(query: &[(String, String)]) -> Result<Self, AuthError> {
        let optional = |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
        let required = |name: &str| {
            optional(name)
                .ok_or_else(|| AuthError::Incomplete(format!("AWS query-string parameters must include '{name}'.")))
        };
        if required("X-Amz-Algorithm")? != ALGORITHM {
            return Err(AuthError::Incomplete(format!("Unsupported AWS 'algorithm': only {ALGORITHM} is supported.")));
        }
        let timestamp = required("X-Amz-Date")?;
        let (key_id, scope) = read_credential(&required("X-Amz-Credential")?)?;
        Ok(Self {
            key_id,
            scope,
            at: read_timestamp(&timestamp)?,
            timestamp,
            signed_headers: required("X-Amz-SignedHeaders")?.split(';').map(str::to_owned).collect(),
            session_token: optional("X-Amz-Security-Token"),
            signature: required("X-Amz-Signature")?,
            presigned: true,
        })
    }

    fn from_headers(request: &SignedRequest<'_>) -> Result<Self, AuthError> {
        let authorization = request.header("authorization").ok_or(AuthError::Missing)?;
        let fields = authorization.strip_prefix(ALGORITHM).ok_or_else(|| {
            AuthError::Incomplete(format!("Unsupported AWS 'algorithm': only {ALGORITHM} is supported."))
        })?;
        let field = |wanted: &str| {
            let found =
                fields.split(',').filter_map(|field| field.trim().split_once('=')).find(|(name, _)| *name == wanted);
            found
                .map(|(_, value)| value.to_owned())
                .ok_or_else(|| AuthError::Incomplete(format!("Authorization header requires '{wanted}' parameter.")))
        };
        let timestamp = request.header("x-amz-date").map(str::to_owned).ok_or_else(|| {
            AuthError::Incomplete(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.".to_owned(),
            )
        })?;
        let (key_id, scope) = read_credential(&field("Credential")?)?;
        Ok(Self {
            key_id,
            scope,
            at: read_timestamp(&timestamp)?,
            timestamp,
            signed_headers: field("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            session_token: request.header("x-amz-security-token").map(str::to_owned),
            signature: field("Signature")?,
            presigned: false,
        })
    }
}

/// `AKIA…/20150830/eu-west-1/sts/aws4_request`
fn read_credential(text: &str) -> Result<(String, Scope), AuthError> {
    let parts: Vec<&str> = text.split('/').collect();
    let [key_id, date, region, service, "aws4_request"] = parts[..] else {
        let message = format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{text}'"
        );
        return Err(AuthError::Incomplete(message));
    };
    Ok((key_id.to_owned(), Scope { date: date.to_owned(), region: region.to_owned(), service: service.to_owned() }))
}

fn read_timestamp(text: &str) -> Result<SystemTime, AuthError> {
    let message =
        || format!("Date must be in ISO-8601 'basic format'. Got '{text}'. See http://en.wikipedia.org/wiki/ISO_8601");
    parse_compact(text).ok_or_else(|| AuthError::Incomplete(message()))
}

fn check_scope(claim: &Claim, service: &str, host: &str) -> Result<(), AuthError> {
    if claim.scope.service != service {
        return Err(AuthError::Signature(format!("Credential should be scoped to correct service: '{service}'. ")));
    }
    // A standard host name contains the region; a loopback address serves every region.
    let region = match host.split('.').collect::<Vec<_>>()[..] {
        ["sts" | "sts-fips", "amazonaws", "com"] => Some("us-east-1"),
        ["sts" | "sts-fips", region, _, _, ..] => Some(region),
        _ => None,
    };
    if claim.scope.region.is_empty() || region.is_some_and(|region| region != claim.scope.region) {
        return Err(AuthError::Signature("Credential should be scoped to a valid region. ".to_owned()));
    }
    if claim.timestamp[..8] != claim.scope.date {
        return Err(AuthError::Signature(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}', \
             from '{}'.",
            claim.scope.date,
            &claim.timestamp[..8],
            claim.timestamp
        )));
    }
    Ok(())
}

fn check_time(claim: &Claim, VerificationTime { now, tolerance }: VerificationTime) -> Result<(), AuthError> {
    let tolerance = if claim.presigned { TOLERANCE } else { tolerance };
    let (oldest, newest) = (now - tolerance, now + tolerance);
    let (signed, shown, minutes) = (&claim.timestamp, compact(now), tolerance.as_secs() / 60);
    if claim.at < oldest {
        let message =
            format!("Signature expired: {signed} is now earlier than {} ({shown} - {minutes} min.)", compact(oldest));
        return Err(AuthError::Signature(message));
    }
    if claim.at > newest {
        let message = format!(
            "Signature not yet current: {signed} is still later than {} ({shown} + {minutes} min.)",
            compact(newest)
        );
        return Err(AuthError::Signature(message));
    }
    Ok(())
}

fn canonical_request(request: &SignedRequest<'_>, claim: &Claim) -> Result<String, AuthError> {
    if !claim.signed_headers.iter().any(|name| name == "host") {
        let message = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
        return Err(AuthError::Signature(message.to_owned()));
    }
    let headers: Vec<_> =
        request.headers.iter().filter(|(name, _)| claim.signed_headers.contains(name)).cloned().collect();
    if let Some(absent) = claim.signed_headers.iter().find(|wanted| request.header(wanted).is_none()) {
        return Err(AuthError::Signature(format!("The signed header '{absent}' is not in the request. {MISMATCH}")));
    }
    let mut query = parse_query(request.query);
    query.retain(|(name, _)| !(claim.presigned && name == "X-Amz-Signature"));
    let SignedRequest { method, path, .. } = *request;
    Ok(Canonical { method, path, query: &query, headers: &headers, payload_hash: &payload_hash(request)? }.text())
}

/// Returns the hash of the body. If the client sends one, it must match: none of these services accepts an unsigned
/// body.
fn payload_hash(request: &SignedRequest<'_>) -> Result<String, AuthError> {
    let actual = sha256_hex(request.body);
    match request.header("x-amz-content-sha256") {
        Some(claimed) if claimed != actual => Err(AuthError::Signature(MISMATCH.to_owned())),
        _ => Ok(actual),
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;

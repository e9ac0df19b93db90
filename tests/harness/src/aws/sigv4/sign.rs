//! The signing side: what a correct client sends.

use std::time::SystemTime;

use super::canonical::{Canonical, canonical_query, signed_header_names};
use super::signature::{ALGORITHM, Scope, signature};
use crate::aws::access_key::AccessKey;
use crate::encoding::sha256_hex;
use crate::time::compact;

/// Signs requests with one key, for one region and service, at one time.
#[derive(Clone, Debug)]
pub(crate) struct Signer<'a> {
    /// The access key.
    pub(crate) key: &'a AccessKey,
    /// Region of the credential scope.
    pub(crate) region: &'a str,
    /// Service of the credential scope: `sts`, `eks`.
    pub(crate) service: &'a str,
    /// Time of the signature.
    pub(crate) at: SystemTime,
}

impl Signer<'_> {
    /// Returns the headers that sign a request: `x-amz-date`, `authorization` and, with temporary credentials,
    /// `x-amz-security-token`. All of `headers` are signed; they must contain `host`. `target` is the path with its
    /// query.
    #[cfg(test)]
    pub(crate) fn sign_headers(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<(String, String)> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut added = vec![("x-amz-date".to_owned(), compact(self.at))];
        if let Some(token) = &self.key.session_token {
            added.push(("x-amz-security-token".to_owned(), token.clone()));
        }
        let mut signed = owned(headers);
        signed.extend(added.iter().cloned());
        let canonical = Canonical {
            method,
            path,
            query: &crate::encoding::parse_query(query),
            headers: &signed,
            payload_hash: &sha256_hex(body),
        }
        .text();
        let value = format!(
            "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={}",
            self.key.id,
            self.scope().text(),
            signed_header_names(&signed),
            self.signature(&canonical)
        );
        added.push(("authorization".to_owned(), value));
        added
    }

    /// Returns the query of a presigned GET without a body: first `query`, unchanged, then the parameters of SigV4.
    /// `query` and `headers` are signed; `headers` must contain `host`. `expires` is in seconds.
    pub(crate) fn presign(
        &self,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        expires: &str,
    ) -> String {
        self.presign_payload(path, query, headers, expires, &sha256_hex(b""))
    }

    /// As [`Signer::presign`], with a payload hash of the caller's choice (S3 takes `UNSIGNED-PAYLOAD`).
    pub(crate) fn presign_payload(
        &self,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        expires: &str,
        payload_hash: &str,
    ) -> String {
        let headers = owned(headers);
        let mut pairs = owned(query);
        let mut add = |name: &str, value: String| pairs.push((name.to_owned(), value));
        add("X-Amz-Algorithm", ALGORITHM.to_owned());
        add("X-Amz-Credential", format!("{}/{}", self.key.id, self.scope().text()));
        add("X-Amz-Date", compact(self.at));
        add("X-Amz-Expires", expires.to_owned());
        add("X-Amz-SignedHeaders", signed_header_names(&headers));
        if let Some(token) = &self.key.session_token {
            add("X-Amz-Security-Token", token.clone());
        }
        let canonical = Canonical { method: "GET", path, query: &pairs, headers: &headers, payload_hash }.text();
        format!("{}&X-Amz-Signature={}", canonical_query(&pairs), self.signature(&canonical))
    }

    fn signature(&self, canonical_request: &str) -> String {
        signature(&self.key.secret, &self.scope(), &compact(self.at), canonical_request)
    }

    fn scope(&self) -> Scope {
        Scope {
            date: compact(self.at)[..8].to_owned(),
            region: self.region.to_owned(),
            service: self.service.to_owned(),
        }
    }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_compact;

    fn key(id: &str, secret: &str) -> AccessKey {
        AccessKey { id: id.into(), secret: secret.into(), arn: String::new(), session_token: None }
    }

    fn signature_of(headers: &[(String, String)]) -> &str {
        let (_, authorization) = headers.iter().find(|(name, _)| name == "authorization").unwrap();
        authorization.rsplit_once("Signature=").unwrap().1
    }

    /// AWS's own test suite for SigV4: get-vanilla, get-vanilla-query-order-key-case, and the example of the IAM User
    /// Guide.
    #[test]
    fn header_signature_aws_test_vectors_match() {
        let key = key("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let at = parse_compact("20150830T123600Z").unwrap();
        let signer = Signer { key: &key, region: "us-east-1", service: "service", at };
        let host = [("host", "example.amazonaws.com")];
        let vanilla = signer.sign_headers("GET", "/", &host, b"");
        assert_eq!(signature_of(&vanilla), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        let ordered = signer.sign_headers("GET", "/?Param2=value2&Param1=value1", &host, b"");
        assert_eq!(signature_of(&ordered), "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
        let iam = Signer { service: "iam", ..signer };
        let headers =
            [("content-type", "application/x-www-form-urlencoded; charset=utf-8"), ("host", "iam.amazonaws.com")];
        let listed = iam.sign_headers("GET", "/?Action=ListUsers&Version=2010-05-08", &headers, b"");
        assert_eq!(signature_of(&listed), "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
    }

    /// The example of "Authenticating Requests: Using Query Parameters" in the S3 API reference.
    #[test]
    fn presigned_query_s3_reference_matches() {
        let key = key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let at = parse_compact("20130524T000000Z").unwrap();
        let signer = Signer { key: &key, region: "us-east-1", service: "s3", at };
        let query = signer.presign_payload(
            "/test.txt",
            &[],
            &[("host", "examplebucket.s3.amazonaws.com")],
            "86400",
            "UNSIGNED-PAYLOAD",
        );
        assert!(
            query.ends_with("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"),
            "{query}"
        );
    }
}

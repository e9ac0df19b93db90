//! Mints tokens: the presigned GetCallerIdentity URL that EKS takes. Local arithmetic, about 50 µs, no network.
//!
//! The bytes are those of the AWS CLI's `eks get-token` (same keys, region, cluster and second), which botocore orders
//! with the signature last. What the verifier demands is in `pkg/token/token.go` of aws-iam-authenticator.

use std::time::{Duration, SystemTime};

use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rolecall_protocol::{ClusterName, ErrorBody, ErrorCode, Region, Secret};

use rolecall_core::config::inputs::EndpointVariant;
use rolecall_core::session::Session;

/// What a token begins with.
const PREFIX: &str = "k8s-aws-v1.";
/// What the URL claims. EKS goes by X-Amz-Date alone; botocore says 60.
const CLAIMED: Duration = Duration::from_mins(1);
/// What the verifier reads at most, in bytes (`maxTokenLenBytes`).
pub const MAX_TOKEN: usize = 4096;
/// RFC 3986's unreserved characters stay; everything else is encoded, as SigV4 wants it.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A token and when it truly ends.
pub struct Token {
    /// The bearer token.
    pub token: Secret<String>,
    /// When the API server stops taking it.
    pub expires: SystemTime,
}

/// Why no token could be minted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// EKS would refuse it for its size.
    #[error("the token would have {0} bytes, EKS takes {MAX_TOKEN}")]
    TooLarge(usize),
    /// The SDK knows no STS in that region.
    #[error("there is no STS endpoint for region {0}")]
    NoEndpoint(Region),
    /// The SDK refused to sign.
    #[error("the request could not be signed")]
    Signing,
}

/// Mints a token for `cluster`, signed at `now`.
pub async fn mint(
    session: &Session,
    region: &Region,
    variant: EndpointVariant,
    cluster: &ClusterName,
    now: SystemTime,
) -> Result<Token, TokenError> {
    let url = presign(session, (region, sts_url(region, variant).await?), cluster, now)?;
    let length = PREFIX.len() + base64::encoded_len(url.expose().len(), false).unwrap_or(usize::MAX);
    if length > MAX_TOKEN {
        return Err(TokenError::TooLarge(length));
    }
    let mut token = String::with_capacity(length);
    token.push_str(PREFIX);
    // Not encode_string: it works in a buffer on the stack, where a part of the token would stay.
    token.push_str(Secret::new(URL_SAFE_NO_PAD.encode(url.expose())).expose());
    Ok(Token { token: Secret::new(token), expires: session.token_expires(now) })
}

fn presign(
    session: &Session,
    (region, host): (&Region, String),
    cluster: &ClusterName,
    now: SystemTime,
) -> Result<Secret<String>, TokenError> {
    let base = format!("{host}/?Action=GetCallerIdentity&Version=2011-06-15");
    let identity = session.credentials.clone().into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(CLAIMED);
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region.as_str())
        .name("sts")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|_| TokenError::Signing)?;
    let headers = [("x-k8s-aws-id", cluster.as_str())];
    let request = SignableRequest::new("GET", &base, headers.into_iter(), SignableBody::Bytes(&[]))
        .map_err(|_| TokenError::Signing)?;
    let (instructions, _) = sign(request, &params.into()).map_err(|_| TokenError::Signing)?.into_parts();
    Ok(Secret::new(assemble(base, instructions.into_parts().1)))
}

/// Appends the parameters with the signature last, as botocore does. The SDK's own order is as valid, but not the same.
fn assemble(mut url: String, params: Vec<(&'static str, std::borrow::Cow<'static, str>)>) -> String {
    let (last, first): (Vec<_>, Vec<_>) = params.into_iter().partition(|(name, _)| *name == "X-Amz-Signature");
    for (name, value) in first.into_iter().chain(last) {
        url.push('&');
        url.push_str(name);
        url.push('=');
        url.extend(utf8_percent_encode(&value, ENCODED));
    }
    url
}

/// The region's own STS, by the SDK's rules. A configured address does not count: EKS takes standard hosts alone.
async fn sts_url(region: &Region, variant: EndpointVariant) -> Result<String, TokenError> {
    let unknown = || TokenError::NoEndpoint(region.clone());
    let params = Params::builder().region(region.as_str()).use_global_endpoint(false);
    let params = params.use_fips(variant.fips).use_dual_stack(variant.dual_stack).build().map_err(|_| unknown())?;
    let endpoint = DefaultResolver::new().resolve_endpoint(&params).await.map_err(|_| unknown())?;
    Ok(endpoint.url().trim_end_matches('/').to_owned())
}

impl TokenError {
    /// The error as the wire says it.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        match self {
            Self::TooLarge(_) => ErrorBody::new(ErrorCode::TokenTooLarge, self.to_string())
                .hint("Session tags and policies make it large: use fewer or shorter ones."),
            Self::NoEndpoint(_) => {
                ErrorBody::new(ErrorCode::ConfigInvalid, self.to_string()).hint("Check the profile's region.")
            }
            Self::Signing => ErrorBody::new(ErrorCode::Internal, self.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aws_credential_types::Credentials;

    use rolecall_core::config::Config;

    use super::*;

    fn session(token: &str) -> Session {
        let token = (!token.is_empty()).then(|| token.to_owned());
        let credentials =
            Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token, None, "test");
        Session { credentials, arn: None, issued: SystemTime::UNIX_EPOCH, is_clamped: false }
    }

    async fn url(region: &str, token: &str) -> String {
        let at = SystemTime::UNIX_EPOCH + Duration::from_mins(24_015_636); // 2015-08-30T12:36:00Z
        let minted =
            mint(&session(token), &region.parse().unwrap(), EndpointVariant::default(), &"prod".parse().unwrap(), at)
                .await
                .unwrap();
        let encoded = minted.token.expose().strip_prefix(PREFIX).unwrap().to_owned();
        String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_url_is_the_one_that_eks_knows() {
        let url = url("eu-west-1", "a+b/c=").await;
        let (start, signature) = url.rsplit_once("&X-Amz-Signature=").unwrap();
        assert_eq!(
            start,
            "https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15\
             &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Feu-west-1%2Fsts%2Faws4_request\
             &X-Amz-Date=20150830T123600Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id\
             &X-Amz-Security-Token=a%2Bb%2Fc%3D"
        );
        assert_eq!(signature.len(), 64);
    }

    /// Plain, FIPS, dual-stack, both: hosts that EKS takes, for what the configuration lets through.
    #[tokio::test]
    async fn every_partition_has_its_hosts() {
        const NONE: &str = "";
        for (region, hosts) in [
            (
                "us-east-1",
                [
                    "sts.us-east-1.amazonaws.com",
                    "sts-fips.us-east-1.amazonaws.com",
                    "sts.us-east-1.api.aws",
                    "sts-fips.us-east-1.api.aws",
                ],
            ),
            (
                "cn-north-1",
                ["sts.cn-north-1.amazonaws.com.cn", NONE, "sts.cn-north-1.api.amazonwebservices.com.cn", NONE],
            ),
            (
                "us-gov-west-1",
                [
                    "sts.us-gov-west-1.amazonaws.com",
                    "sts.us-gov-west-1.amazonaws.com", // the only one there is, and it is a FIPS one
                    "sts.us-gov-west-1.api.aws",
                    "sts-fips.us-gov-west-1.api.aws",
                ],
            ),
            (
                "eusc-de-east-1",
                ["sts.eusc-de-east-1.amazonaws.eu", NONE, "sts.eusc-de-east-1.api.amazonwebservices.eu", NONE],
            ),
            ("us-iso-east-1", ["sts.us-iso-east-1.c2s.ic.gov", NONE, NONE, NONE]),
            ("us-isob-east-1", ["sts.us-isob-east-1.sc2s.sgov.gov", NONE, NONE, NONE]),
            ("eu-isoe-west-1", ["sts.eu-isoe-west-1.cloud.adc-e.uk", NONE, NONE, NONE]),
            ("us-isof-south-1", ["sts.us-isof-south-1.csp.hci.ic.gov", NONE, NONE, NONE]),
        ] {
            let variants = [(false, false), (true, false), (false, true), (true, true)];
            for ((fips, dual_stack), host) in variants.into_iter().zip(hosts) {
                let config = Config::parse(
                    Path::new("config.toml"),
                    &format!(
                        "[sources.work]\naws_profile = \"work\"\n[profiles.prod]\ncluster = \"prod\"\nsource = \"work\"\n\
                     region = \"{region}\"\nfips = {fips}\ndual_stack = {dual_stack}\n"
                    ),
                );
                assert_eq!(config.is_ok(), host != NONE, "{region} {fips} {dual_stack}");
                if host != NONE {
                    let url = sts_url(&region.parse().unwrap(), EndpointVariant { fips, dual_stack }).await.unwrap();
                    assert_eq!(url, format!("https://{host}"));
                }
            }
        }
    }

    #[tokio::test]
    async fn row_85_a_token_that_eks_would_refuse_is_an_error() {
        let large = session(&"x".repeat(4000));
        let minted = mint(
            &large,
            &"eu-west-1".parse().unwrap(),
            EndpointVariant::default(),
            &"prod".parse().unwrap(),
            SystemTime::UNIX_EPOCH,
        )
        .await;
        let error = minted.err().unwrap();
        assert!(matches!(error, TokenError::TooLarge(length) if length > MAX_TOKEN));
        assert!(error.body().to_string().contains("Session tags and policies"));
    }
}

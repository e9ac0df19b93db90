//! Mints tokens: presigned GetCallerIdentity URLs, which EKS accepts. This needs no network and takes about 50 µs.
//!
//! A token has the same bytes as one of `aws eks get-token` for the same credentials, region, cluster and second: like
//! botocore, it puts the signature last. `pkg/token/token.go` of aws-iam-authenticator has the rules of the verifier.

mod verify;

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
pub use verify::verify;

/// The start of every token.
const TOKEN_PREFIX: &str = "k8s-aws-v1.";
/// The lifetime in the URL, as in botocore. EKS ignores it and uses X-Amz-Date.
const URL_EXPIRES_IN: Duration = Duration::from_mins(1);
/// The largest token that the verifier reads, in bytes (`maxTokenLenBytes`).
pub const MAX_TOKEN_LEN: usize = 4096;
/// SigV4 encodes all characters but the unreserved ones of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A token and the time at which the API server stops accepting it.
pub struct Token {
    /// The bearer token.
    pub token: Secret<String>,
    /// When the token expires.
    pub expires: SystemTime,
}

impl Token {
    /// The length in bytes, at most [`MAX_TOKEN_LEN`].
    #[must_use]
    pub fn length(&self) -> usize {
        self.token.expose().len()
    }
}

/// Why minting a token failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is larger than EKS accepts.
    #[error("the token has {0} bytes; EKS accepts at most {MAX_TOKEN_LEN}")]
    TooLarge(usize),
    /// The SDK has no STS endpoint for the region.
    #[error("there is no STS endpoint for region {0}")]
    NoEndpoint(Region),
    /// The SDK did not sign the request.
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
    let length = TOKEN_PREFIX.len() + base64::encoded_len(url.expose().len(), false).unwrap_or(usize::MAX);
    if length > MAX_TOKEN_LEN {
        return Err(TokenError::TooLarge(length));
    }
    let mut token = String::with_capacity(length);
    token.push_str(TOKEN_PREFIX);
    // `encode_string` would leave a part of the token in a buffer on the stack.
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
    settings.expires_in = Some(URL_EXPIRES_IN);
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

/// Appends the parameters with the signature last, as in botocore.
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

/// The region's own STS endpoint by the SDK's rules. A configured endpoint does not apply: EKS accepts standard hosts only.
async fn sts_url(region: &Region, variant: EndpointVariant) -> Result<String, TokenError> {
    let unknown = || TokenError::NoEndpoint(region.clone());
    let params = Params::builder().region(region.as_str()).use_global_endpoint(false);
    let params = params.use_fips(variant.fips).use_dual_stack(variant.dual_stack).build().map_err(|_| unknown())?;
    let endpoint = DefaultResolver::new().resolve_endpoint(&params).await.map_err(|_| unknown())?;
    Ok(endpoint.url().trim_end_matches('/').to_owned())
}

impl TokenError {
    /// The error in the protocol.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        match self {
            Self::TooLarge(_) => ErrorBody::new(ErrorCode::TokenTooLarge, self.to_string())
                .hint("Use fewer or shorter session tags and policies: they are part of the token."),
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
        let encoded = minted.token.expose().strip_prefix(TOKEN_PREFIX).unwrap().to_owned();
        String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn mint_url_matches_the_aws_cli() {
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

    /// Hosts that EKS accepts for the variants plain, FIPS, dual-stack and both; empty if the configuration rejects one.
    #[tokio::test]
    async fn sts_url_by_partition_and_variant() {
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
                    "sts.us-gov-west-1.amazonaws.com", // the only endpoint; it uses FIPS
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

    /// Fault matrix row 85.
    #[tokio::test]
    async fn mint_oversized_token_is_an_error() {
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
        assert!(matches!(error, TokenError::TooLarge(length) if length > MAX_TOKEN_LEN));
        assert!(error.body().to_string().contains("session tags and policies"));
    }
}

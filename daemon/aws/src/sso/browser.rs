//! The authorization code flow with PKCE (RFC 7636, 8252): AWS redirects a browser on this machine to it with a code.

use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rolecall_protocol::{LoginFlow, Secret};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::callback::{self, ErrorRedirect};
use super::client::{Grant, SsoClient, VerificationPage};
use super::error::SsoError;
use super::session::SsoSession;
use super::token::{GrantedToken, RegisteredClient};
use crate::client::Aws;
use crate::error::{AwsError, AwsErrorKind};

/// How long the user may take.
const APPROVAL_TIMEOUT: Duration = Duration::from_mins(10);
/// Random bytes in the verifier and in the state: 256 bits (RFC 7636, 4.1).
const RANDOM_BYTES: usize = 32;
/// The unreserved characters of RFC 3986, 2.3 are not encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Runs the flow. Calls `show` with the page as soon as the user can approve the login there.
pub(super) async fn run(
    aws: &Aws,
    session: &SsoSession,
    client: &SsoClient<'_>,
    show: impl Fn(VerificationPage),
) -> Result<(RegisteredClient, GrantedToken), SsoError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|cause| no_callback(&cause))?;
    let port = listener.local_addr().map_err(|cause| no_callback(&cause))?.port();
    let redirect = format!("http://{}:{port}{}", Ipv4Addr::LOCALHOST, callback::PATH);
    let (verifier, state) = (random_text()?, random_text()?);
    let base = client.authorize_url().await?;
    let registered = client.register_client(LoginFlow::Browser).await?;
    let scopes = session.registration_scopes();
    let url = authorize_url(&base, &registered.id, &redirect, &state, &challenge(&verifier), &scopes);
    show(VerificationPage { url, code: None, expires: aws.now() + APPROVAL_TIMEOUT });
    let request = timeout(APPROVAL_TIMEOUT, callback::wait(listener, &state)).await.map_err(|_| SsoError::Expired)?;
    let request = request.map_err(|cause| no_callback(&cause))?;
    let outcome = match &request.outcome {
        Ok(code) => {
            let grant = Grant::Browser { code, verifier: &verifier, redirect: &redirect };
            client.create_token(&registered, grant).await.map_err(SsoError::from)
        }
        Err(error) => Err(login_error(error)),
    };
    match &outcome {
        Ok(_) => request.respond("You are logged in", "You can close this tab."),
        Err(error) => request.respond("You are not logged in", &format!("{error}. You can close this tab.")),
    }
    Ok((registered, outcome?))
}

fn login_error(redirect: &ErrorRedirect) -> SsoError {
    match redirect.error.as_str() {
        "access_denied" => SsoError::Denied,
        error => {
            let text = [error, redirect.description.as_str()].join(" ");
            SsoError::Aws(AwsError::new(AwsErrorKind::Rejected, text.trim_end()))
        }
    }
}

fn no_callback(cause: &std::io::Error) -> SsoError {
    SsoError::File(format!("cannot listen for the browser's redirect on 127.0.0.1: {cause}"))
}

/// Returns 256 random bits in base64.
fn random_text() -> Result<Secret<String>, SsoError> {
    let mut bytes = [0; RANDOM_BYTES];
    let filled = aws_lc_rs::rand::fill(&mut bytes);
    let bytes = Secret::new(bytes);
    filled.map_err(|_| SsoError::File("the system returned no random numbers".to_owned()))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes.expose())))
}

/// The code challenge of a verifier (RFC 7636, 4.2).
fn challenge(verifier: &Secret<String>) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()))
}

/// The page to open, with the parameters in the order of the AWS CLI.
fn authorize_url(
    base: &str,
    client: &str,
    redirect: &str,
    state: &Secret<String>,
    challenge: &str,
    scopes: &[String],
) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let (client, redirect, state) = (encoded(client), encoded(redirect), encoded(state.expose()));
    let scopes = encoded(&scopes.join(" "));
    format!(
        "{base}?response_type=code&client_id={client}&redirect_uri={redirect}&state={state}\
         &code_challenge_method=S256&scopes={scopes}&code_challenge={challenge}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenge_is_that_of_rfc_7636_appendix_b() {
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned());
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn authorize_url_is_that_of_the_aws_cli() {
        let (base, redirect) = ("https://oidc.eu-west-1.amazonaws.com/authorize", "http://127.0.0.1:80/oauth/callback");
        let scopes = ["sso:account:access".to_owned(), "x".to_owned()];
        assert_eq!(
            authorize_url(base, "a/b", redirect, &Secret::new("s-_".to_owned()), "c", &scopes),
            "https://oidc.eu-west-1.amazonaws.com/authorize?response_type=code&client_id=a%2Fb\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A80%2Foauth%2Fcallback&state=s-_&code_challenge_method=S256\
             &scopes=sso%3Aaccount%3Aaccess%20x&code_challenge=c"
        );
    }

    #[test]
    fn random_text_is_long_and_differs() {
        let (one, other) = (random_text().unwrap(), random_text().unwrap());
        assert_eq!(one.expose().len(), 43, "RFC 7636 wants 43 to 128 characters");
        assert_ne!(one.expose(), other.expose());
    }

    #[test]
    fn login_error_denied_or_other() {
        let of = |error: &str, description: &str| {
            login_error(&ErrorRedirect { error: error.to_owned(), description: description.to_owned() })
        };
        assert_eq!(of("access_denied", "x"), SsoError::Denied);
        assert!(of("server_error", "later").to_string().ends_with("server_error later"));
    }
}

//! The authorization code flow with PKCE (RFC 7636, 8252): a browser on this machine comes back to it with a code.

use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rolecall_protocol::Secret;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::callback::{self, Refusal};
use super::client::{Grant, Purpose, Wire};
use super::login::Page;
use super::token::{Client, Granted};
use super::{SsoError, SsoSession};
use crate::client::Aws;
use crate::error::{AwsError, AwsErrorKind};

/// How long a person may take.
const LIFE: Duration = Duration::from_mins(10);
/// Random bytes of the verifier and of the state: 256 bits, as RFC 7636, 4.1 asks for.
const RANDOM: usize = 32;
/// What needs no encoding in a query (RFC 3986, 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Runs the flow to its end; `show` has the page before a person can approve it.
pub(super) async fn run(
    aws: &Aws,
    session: &SsoSession,
    wire: &Wire<'_>,
    show: impl Fn(Page),
) -> Result<(Client, Granted), SsoError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|cause| unheard(&cause))?;
    let port = listener.local_addr().map_err(|cause| unheard(&cause))?.port();
    let redirect = format!("http://{}:{port}{}", Ipv4Addr::LOCALHOST, callback::PATH);
    let (verifier, state) = (random()?, random()?);
    let base = wire.authorize_url().await?;
    let client = wire.register(Purpose::Browser).await?;
    let url = url(&base, &client.id, &redirect, &state, &challenge(&verifier), &session.scopes());
    show(Page { url, code: None, expires: aws.now() + LIFE });
    let called = timeout(LIFE, callback::wait(listener, &state)).await.map_err(|_| SsoError::Expired)?;
    let called = called.map_err(|cause| unheard(&cause))?;
    let outcome = match &called.outcome {
        Ok(code) => {
            let grant = Grant::Browser { code, verifier: &verifier, redirect: &redirect };
            wire.token(&client, grant).await.map_err(SsoError::from)
        }
        Err(refusal) => Err(refused(refusal)),
    };
    match &outcome {
        Ok(_) => called.answer("You are logged in", "You can close this tab.").await,
        Err(error) => called.answer("You are not logged in", &format!("{error}. You can close this tab.")).await,
    }
    Ok((client, outcome?))
}

fn refused(refusal: &Refusal) -> SsoError {
    match refusal.error.as_str() {
        "access_denied" => SsoError::Denied,
        error => {
            let words = [error, refusal.description.as_str()].join(" ");
            SsoError::Aws(AwsError::new(AwsErrorKind::Rejected, words.trim_end()))
        }
    }
}

fn unheard(cause: &std::io::Error) -> SsoError {
    SsoError::File(format!("no browser can come back to this machine (127.0.0.1): {cause}"))
}

/// Text that nobody guesses.
fn random() -> Result<Secret<String>, SsoError> {
    let mut bytes = [0; RANDOM];
    let filled = aws_lc_rs::rand::fill(&mut bytes);
    let bytes = Secret::new(bytes);
    filled.map_err(|_| SsoError::File("this machine has no randomness to give".to_owned()))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes.expose())))
}

/// What the verifier is known by until it is shown (RFC 7636, 4.2).
fn challenge(verifier: &Secret<String>) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()))
}

/// The page to open, as the AWS CLI has it.
fn url(base: &str, client: &str, redirect: &str, state: &Secret<String>, challenge: &str, scopes: &[String]) -> String {
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
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned());
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn the_page_is_that_of_the_aws_cli() {
        let (base, redirect) = ("https://oidc.eu-west-1.amazonaws.com/authorize", "http://127.0.0.1:80/oauth/callback");
        let scopes = ["sso:account:access".to_owned(), "x".to_owned()];
        assert_eq!(
            url(base, "a/b", redirect, &Secret::new("s-_".to_owned()), "c", &scopes),
            "https://oidc.eu-west-1.amazonaws.com/authorize?response_type=code&client_id=a%2Fb\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A80%2Foauth%2Fcallback&state=s-_&code_challenge_method=S256\
             &scopes=sso%3Aaccount%3Aaccess%20x&code_challenge=c"
        );
    }

    #[test]
    fn random_text_is_long_and_never_the_same() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_eq!(one.expose().len(), 43, "RFC 7636 wants 43 to 128 characters");
        assert_ne!(one.expose(), other.expose());
    }

    #[test]
    fn a_refusal_is_told_apart_from_trouble() {
        let of = |error: &str, description: &str| {
            refused(&Refusal { error: error.to_owned(), description: description.to_owned() })
        };
        assert_eq!(of("access_denied", "x"), SsoError::Denied);
        assert!(of("server_error", "later").to_string().ends_with("server_error later"));
    }
}

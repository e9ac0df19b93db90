//! Fuzz targets: each is one function that panics if a property does not hold for an input. `tests/fuzz` runs them with
//! libFuzzer, and the tests below run them on the seeds and on mutations.

// A property that does not hold is a panic.
#![allow(clippy::panic, clippy::missing_panics_doc)]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::HttpClient;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::http::HttpConnectorFuture;
use aws_smithy_runtime_api::client::http::HttpConnectorSettings;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use rolecall_core::clock::{Clock, ClockSource};
use rolecall_core::config::{NameTemplate, SourceConfig, SourceKind};
use rolecall_core::role_chain::{RoleStep, StsEndpoint};
use rolecall_core::session::Session;
use rolecall_protocol::{ErrorBody, HttpUrl, MfaSerial, Region, RoleArn, Secret, SessionName, SourceName};

use crate::client::{Aws, AwsFiles};
use crate::cluster;
use crate::credentials;
use crate::http;
use crate::iam;
use crate::shared_config::{NetworkSettings, SharedConfig};
use crate::source;
use crate::sso;
use crate::sts;
use crate::sts::AssumeRoleInput;
use crate::sts::MfaCode;

/// The line between the two files in an input of [`aws_files`].
const SEPARATOR: &[u8] = b"%%\n";
/// The time since 1970 of every response: 2026-01-02T03:04:05Z.
const NOW: Duration = Duration::from_secs(1_767_323_045);
/// The role that responses of AssumeRole are for.
const ROLE: &str = "arn:aws:iam::111122223333:role/developers";
/// The role of [`ROLE`] in the ARN of a session.
const SESSION_OF_ROLE: &str = "arn:aws:sts::111122223333:assumed-role/developers/";

/// AWS's configuration file, a line `%%`, and the credentials file. Every AWS profile is read, with its source and its
/// endpoints. The client finds the same names. No error quotes a secret access key.
pub fn aws_files(input: &[u8]) {
    let Some((config, errors)) = read_aws_files(input) else { return };
    let input = String::from_utf8_lossy(input);
    for name in config.profile_names() {
        let secret =
            config.profile(name).and_then(|profile| profile.lines("aws_secret_access_key")).unwrap_or_default();
        // A text that is elsewhere in the files, too, may be in a message.
        if secret.len() <= 8 || input.matches(secret).count() != 1 {
            continue;
        }
        let quoting: Vec<&String> = errors.iter().filter(|error| error.contains(secret)).collect();
        if !quoting.is_empty() {
            // The words of the message may be those of the secret.
            let with_other = read_aws_files(input.replace(secret, &"x".repeat(secret.len())).as_bytes());
            let errors = with_other.map(|(_, errors)| errors).unwrap_or_default();
            assert!(quoting.iter().all(|error| errors.contains(error)), "{quoting:?}");
        }
    }
}

/// Returns what the files have, and the errors of their AWS profiles. `None` if they cannot be read.
fn read_aws_files(input: &[u8]) -> Option<(SharedConfig, Vec<String>)> {
    let at = input.windows(SEPARATOR.len()).position(|part| part == SEPARATOR);
    let (config, credentials) = at.map_or((input, &[][..]), |at| (&input[..at], &input[at + SEPARATOR.len()..]));
    let files = AwsFiles { config: PathBuf::from("c"), credentials: PathBuf::from("d"), logins: PathBuf::from("e") };
    let names = names_of_client(config, credentials);
    let config = match SharedConfig::of_contents(&files, config, credentials) {
        Ok(config) => config,
        Err(error) => {
            assert!(names.is_none(), "only the daemon: {error}");
            assert_line(&error.to_string());
            return None;
        }
    };
    let found: Vec<String> = config.profile_names().map(str::to_owned).collect();
    assert_eq!(names.as_ref(), Some(&found));
    let mut errors = Vec::new();
    for name in &found {
        errors.extend(source::plan(&config, &SourceKind::AwsProfile(name.clone())).err());
        errors.extend(source::plan(&config, &SourceKind::AwsProfileLeaf(name.clone())).err());
        let profile = config.profile(name);
        errors.extend(profile.and_then(|profile| NetworkSettings::of(&config, profile).err()));
    }
    let texts = errors.into_iter().flat_map(|error| [Some(error.message), error.hint]);
    Some((config, texts.flatten().collect()))
}

fn names_of_client(config: &[u8], credentials: &[u8]) -> Option<Vec<String>> {
    let (config, credentials) = (str::from_utf8(config).ok()?, str::from_utf8(credentials).ok()?);
    rolecall_protocol::aws_config::profile_names(config, credentials).ok()
}

/// The URL of an endpoint. A URL to which a request may be sent has the same host for the HTTP library.
pub fn urls(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Some(url) = HttpUrl::parse(text).ok().filter(|_| http::may_send_to(text)) else { return };
    let Ok(uri) = text.parse::<hyper::Uri>() else { return };
    let host = uri.host().map(|host| host.trim_start_matches('[').trim_end_matches(']'));
    assert_eq!(host, Some(url.host()));
    assert_eq!(uri.port_u16(), url.port());
    assert_eq!(uri.scheme_str(), Some(if url.is_https() { "https" } else { "http" }));
}

/// A response of AWS: a line with the operation, the status and the error type of EKS, and the body. A session is of the
/// requested role, has usable credentials, and expires within the longest time that AWS grants. An error is one line.
pub fn aws_responses(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let head = String::from_utf8_lossy(&input[..at]);
    let mut words = head.split(' ');
    let operation = words.next().unwrap_or_default();
    let status = words.next().and_then(|status| status.parse().ok()).filter(|status| (100..1000).contains(status));
    let error_type = words.next().filter(|text| text.bytes().all(|c| c.is_ascii_graphic())).map(str::to_owned);
    let body = input.get(at + 1..).unwrap_or_default().to_vec();
    let reply = Reply { status: status.unwrap_or(200), error_type, body };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build() else {
        return;
    };
    runtime.block_on(call(operation, reply));
}

async fn call(operation: &str, reply: Reply) {
    let aws = Aws::with_client(FILES.1.clone(), Clock::new(StoppedClock), SharedHttpClient::new(reply));
    let (endpoint, base, source) = (endpoint(), base(), name::<SourceName>("work"));
    match operation {
        "DescribeCluster" => {
            match cluster::describe(&aws, &endpoint.source, &endpoint.region, &name("prod"), &base).await {
                Ok(found) => {
                    assert!(HttpUrl::parse(&found.server).is_ok_and(|url| url.is_https()), "{}", found.server);
                    assert_eq!(cluster::ca_sha256(&found.certificate_authority_data).as_ref(), Some(&found.ca_sha256));
                    found.version.iter().chain(&found.status).for_each(|text| assert_line(text));
                }
                Err(error) => assert_body(&error.body()),
            }
        }
        "CreateAccessKey" => {
            match iam::create_access_key(&aws, &name("corp"), &endpoint.region, &base.credentials).await {
                Ok(key) => assert!(credentials::check(key, now()).is_ok()),
                Err(error) => assert_line(&error.to_string()),
            }
        }
        "GetCallerIdentity" => match sts::get_caller_identity(&aws, &endpoint, &base).await {
            Ok(arn) => assert_line(&arn),
            Err(error) => assert_body(&error.body(&source)),
        },
        "GetSessionToken" => {
            let (serial, code) = (name::<MfaSerial>("GAHT12345678"), Secret::new("123456".to_owned()));
            let code = MfaCode { serial: &serial, code: &code };
            match sts::get_session_token(&aws, &endpoint, &base, code, Duration::from_hours(12)).await {
                Ok(session) => assert_session(&session, Duration::from_hours(36)),
                Err(error) => assert_body(&error.body(&source)),
            }
        }
        "AssumeRole" => {
            let (step, name) = (step(), name::<SessionName>("dev@laptop"));
            let input = AssumeRoleInput {
                endpoint: &endpoint,
                step: &step,
                name: &name,
                base: &base,
                code: None,
                is_clamped: false,
            };
            match sts::assume_role(&aws, input).await {
                Ok(session) => {
                    let arn = session.arn.as_deref().unwrap_or_default();
                    let start = arn.get(..SESSION_OF_ROLE.len()).unwrap_or_default();
                    assert!(start.eq_ignore_ascii_case(SESSION_OF_ROLE), "{arn}");
                    assert_line(arn);
                    assert_session(&session, Duration::from_hours(12));
                }
                Err(error) => assert_body(&error.body(&source)),
            }
        }
        operation => match sso::fuzz::call(&aws, operation).await {
            Ok(session) => session.iter().for_each(|session| assert_session(session, Duration::from_hours(36))),
            Err(error) => assert_line(&error.to_string()),
        },
    }
}

fn assert_session(session: &Session, longest: Duration) {
    assert!(credentials::check(session.credentials.clone(), now()).is_ok(), "unusable credentials");
    assert!(session.expires().is_some_and(|expires| expires <= now() + longest), "{:?}", session.expires());
}

fn assert_body(body: &ErrorBody) {
    assert_line(&body.message);
    body.hint.iter().for_each(|hint| assert_line(hint.as_str()));
}

/// Checks that a text is one line of limited length without control characters.
fn assert_line(text: &str) {
    assert!(!text.chars().any(char::is_control) && text.len() < 4096, "{text:?}");
}

fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

/// A folder with the configuration file of the AWS profile `sso`. It is empty otherwise.
static FILES: LazyLock<(tempfile::TempDir, AwsFiles)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = |name: &str| folder.path().join(name);
    let files = AwsFiles { config: path("config"), credentials: path("credentials"), logins: path("") };
    std::fs::write(&files.config, "[profile sso]\nregion = eu-west-1\n").unwrap_or_else(|error| panic!("{error}"));
    (folder, files)
});

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + NOW
}

fn endpoint() -> StsEndpoint {
    let source = SourceConfig::plain(SourceKind::Keyring(name("corp")));
    StsEndpoint {
        source,
        region: name::<Region>("eu-west-1"),
        sts: rolecall_core::config::inputs::StsAddress::default(),
    }
}

fn step() -> RoleStep {
    RoleStep {
        role: name::<RoleArn>(ROLE),
        session_name: NameTemplate::new("dev@laptop", "", "", ""),
        external_id: None,
        duration: Duration::from_hours(1),
        inputs: None,
    }
}

fn base() -> Session {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "fuzz");
    Session { credentials, arn: None, issued: now(), is_clamped: false }
}

/// A clock that shows [`NOW`].
#[derive(Debug)]
struct StoppedClock;

impl ClockSource for StoppedClock {
    fn wall(&self) -> SystemTime {
        now()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn awake(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// An HTTP client that returns one response for every request.
#[derive(Debug, Clone)]
struct Reply {
    status: u16,
    error_type: Option<String>,
    body: Vec<u8>,
}

impl HttpConnector for Reply {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let status = StatusCode::try_from(self.status).unwrap_or_else(|error| panic!("{error}"));
        let mut response = HttpResponse::new(status, SdkBody::from(self.body.clone()));
        // A response with this header is not followed by another attempt.
        response.headers_mut().insert("retry-after", "1");
        if let Some(error_type) = self.error_type.clone() {
            response.headers_mut().insert("x-amzn-errortype", error_type);
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl HttpClient for Reply {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use rolecall_mutator::run;

    /// Fault matrix rows 64 to 66.
    #[test]
    fn aws_responses_of_any_bytes() {
        run("aws_responses", 500, super::aws_responses);
    }

    /// Fault matrix row 90.
    #[test]
    fn aws_files_of_any_bytes() {
        run("aws_files", 2_000, super::aws_files);
    }

    /// Fault matrix row 36.
    #[test]
    fn urls_of_any_bytes() {
        run("urls", 10_000, super::urls);
    }
}

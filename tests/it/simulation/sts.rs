//! STS in memory, as an HTTP client of the SDK.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::Format;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use tokio::time::Instant;

use super::Laptop;

/// How long a response takes.
const LATENCY: Duration = Duration::from_millis(50);
/// How much a signing time may differ from AWS's time (SigV4).
const SKEW: Duration = Duration::from_mins(5);

/// How STS responds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It responds.
    Well,
    /// The connection is refused.
    Unreachable,
    /// It accepts the call and never responds.
    Silent,
    /// It responds with an internal error.
    Broken,
    /// It throttles, with a Retry-After of this many seconds.
    Busy(u64),
    /// It denies every call.
    Denying,
}

/// A running STS. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Sts {
    laptop: Laptop,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    calls: Vec<Instant>,
    in_flight: usize,
    peak: usize,
    sessions: HashMap<String, (String, SystemTime)>,
}

/// The parts of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) key_id: String,
    pub(crate) role: String,
    pub(crate) session_ends: SystemTime,
    pub(crate) signed: SystemTime,
    pub(crate) url: String,
}

struct Flying<'a>(&'a Sts);

impl Sts {
    pub(super) fn new(laptop: Laptop) -> Self {
        let state = State { mood: Mood::Well, calls: Vec::new(), in_flight: 0, peak: 0, sessions: HashMap::new() };
        Self { laptop, state: Arc::new(Mutex::new(state)) }
    }

    pub(super) fn client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// Returns the number of calls, failed ones included.
    pub(crate) fn count(&self) -> usize {
        self.state().calls.len()
    }

    /// Returns the highest number of calls in flight at once.
    pub(crate) fn peak(&self) -> usize {
        self.state().peak
    }

    /// Returns the highest number of calls within any `window`.
    pub(crate) fn most_within(&self, window: Duration) -> usize {
        let times = self.state().calls.clone();
        let count = |begin: usize| times[begin..].iter().take_while(|at| **at <= times[begin] + window).count();
        (0..times.len()).map(count).max().unwrap_or_default()
    }

    /// Parses an ExecCredential as the authenticator and STS do.
    pub(super) fn read(&self, credential: &[u8]) -> Issued {
        let credential: serde_json::Value = serde_json::from_slice(credential).unwrap();
        let token = credential["status"]["token"].as_str().unwrap();
        let url = URL_SAFE_NO_PAD.decode(token.strip_prefix("k8s-aws-v1.").unwrap()).unwrap();
        let url = String::from_utf8(url).unwrap();
        let query = pairs(url.split_once('?').unwrap().1);
        let key_id = query["X-Amz-Credential"].split('/').next().unwrap().to_owned();
        let signed = basic(&query["X-Amz-Date"]);
        // A long-lived access key has no role and no expiry.
        let never = self.laptop.truth() + Duration::from_hours(9999);
        let (role, session_ends) = self.state().sessions.get(&key_id).cloned().unwrap_or((String::new(), never));
        Issued { key_id, role, session_ends, signed, url }
    }

    async fn answer(&self, body: Vec<u8>, date: String) -> Result<HttpResponse, ConnectorError> {
        let form = pairs(std::str::from_utf8(&body).unwrap());
        let role = form.get("RoleArn").cloned().unwrap_or_default();
        let mood = self.begin();
        let _flying = Flying(self);
        tokio::time::sleep(LATENCY).await;
        let truth = self.laptop.truth();
        let off = truth.duration_since(basic(&date)).unwrap_or_else(|error| error.duration());
        let (status, text, wait) = match mood {
            Mood::Unreachable => return Err(ConnectorError::io("connection refused".into())),
            Mood::Silent => return std::future::pending().await,
            Mood::Broken => (500, error("InternalFailure", "last_failure"), None),
            Mood::Busy(seconds) => (503, error("ServiceUnavailable", "slow down"), Some(seconds)),
            Mood::Denying => (403, error("AccessDenied", "not you"), None),
            Mood::Well if off > SKEW => (403, error("SignatureDoesNotMatch", "Signature expired: not now"), None),
            Mood::Well if form["Action"] == "GetCallerIdentity" => (200, identity(), None),
            Mood::Well => (200, self.assume(&role, &form["DurationSeconds"], truth), None),
        };
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(text));
        let date = DateTime::from(self.laptop.truth()).fmt(Format::HttpDate).unwrap();
        response.headers_mut().insert("date", date);
        if let Some(seconds) = wait {
            response.headers_mut().insert("retry-after", seconds.to_string());
        }
        Ok(response)
    }

    fn begin(&self) -> Mood {
        let mut state = self.state();
        state.calls.push(Instant::now());
        state.in_flight += 1;
        state.peak = state.peak.max(state.in_flight);
        state.mood
    }

    fn assume(&self, role: &str, seconds: &str, truth: SystemTime) -> String {
        let ends = truth + Duration::from_secs(seconds.parse().unwrap());
        let mut state = self.state();
        let key_id = format!("ASIA{:06}", state.sessions.len());
        state.sessions.insert(key_id.clone(), (role.to_owned(), ends));
        let expiration = DateTime::from(ends).fmt(Format::DateTime).unwrap();
        let assumed = role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/");
        format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
             <Credentials><AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{expiration}</Expiration></Credentials>\
             <AssumedRoleUser><AssumedRoleId>A:dev</AssumedRoleId><Arn>{assumed}/dev@laptop</Arn></AssumedRoleUser>\
             </AssumeRoleResult></AssumeRoleResponse>"
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl HttpClient for Sts {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Sts {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let sts = self.clone();
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let date = request.headers().get("x-amz-date").unwrap().to_owned();
        HttpConnectorFuture::new(async move { sts.answer(body, date).await })
    }
}

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}

fn identity() -> String {
    "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::111122223333:user/dev</Arn>\
     </GetCallerIdentityResult></GetCallerIdentityResponse>"
        .to_owned()
}

fn error(code: &str, message: &str) -> String {
    format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>")
}

fn pairs(query: &str) -> HashMap<String, String> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), decoded(v))).collect()
}

/// `20260102T030405Z`
fn basic(date: &str) -> SystemTime {
    let (day, time) = date.trim_end_matches('Z').split_once('T').unwrap();
    let text = format!("{}-{}-{}T{}:{}:{}Z", &day[..4], &day[4..6], &day[6..], &time[..2], &time[2..4], &time[4..]);
    text.parse::<jiff::Timestamp>().unwrap().into()
}

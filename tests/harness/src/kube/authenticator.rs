//! Maps a token to a user: aws-iam-authenticator, and the API server's cache of its responses.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::aws_auth;
use super::token::{self, Presigned};
use crate::arn::Arn;
use crate::aws::{AssociatedPolicy, AwsHandle, Grantee, without_path};
use crate::clock::Clock;

/// Default of `--authentication-token-webhook-cache-ttl`. Only successful responses are cached: the authenticator
/// reports everything else as an error.
const CACHE_TTL: Duration = Duration::from_mins(2);
/// The API server's timeout for a webhook.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// A user as the authenticator reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) username: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<&'static str, Vec<String>>,
    /// The access policies of its access entry. EKS does not show them in `extra`.
    pub(crate) policies: Vec<AssociatedPolicy>,
}

/// The cache slot of a token. Concurrent requests with one token wait for the first, as in the API server.
type Slot = Arc<tokio::sync::Mutex<Option<(User, SystemTime)>>>;

#[derive(Debug)]
pub(crate) struct Authenticator {
    clock: Clock,
    aws: AwsHandle,
    cluster: String,
    region: String,
    cache: Mutex<HashMap<String, Slot>>,
    sts_calls: AtomicUsize,
    cache_hits: AtomicUsize,
}

impl Authenticator {
    pub(crate) fn new(clock: Clock, aws: AwsHandle, cluster: &str, region: &str) -> Self {
        let (cluster, region) = (cluster.to_owned(), region.to_owned());
        Self {
            clock,
            aws,
            cluster,
            region,
            cache: Mutex::default(),
            sts_calls: AtomicUsize::new(0),
            cache_hits: AtomicUsize::new(0),
        }
    }

    pub(crate) fn sts_calls(&self) -> usize {
        self.sts_calls.load(Ordering::SeqCst)
    }

    pub(crate) fn cache_hits(&self) -> usize {
        self.cache_hits.load(Ordering::SeqCst)
    }

    pub(crate) fn clear_cache(&self) {
        self.slots().clear();
    }

    /// Returns the user of a token, or the reason why the token is invalid. `aws_auth` returns the data of that ConfigMap.
    pub(crate) async fn authenticate(&self, token: &str, aws_auth: impl Fn() -> Option<Value>) -> Result<User, String> {
        let slot = Arc::clone(self.slots().entry(token.to_owned()).or_default());
        let mut cached = slot.lock().await;
        if let Some((user, until)) = &*cached
            && self.clock.now() < *until
        {
            self.cache_hits.fetch_add(1, Ordering::SeqCst);
            return Ok(user.clone());
        }
        let presigned = token::verify(token, &self.region, self.clock.now())?;
        let caller = self.call_sts(&presigned).await?;
        let user = self.map(&caller, &presigned.access_key, aws_auth)?;
        *cached = Some((user.clone(), self.clock.now() + CACHE_TTL));
        Ok(user)
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<String, Slot>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the presigned URL to the embedded STS, whatever host it names.
    async fn call_sts(&self, presigned: &Presigned) -> Result<Caller, String> {
        self.sts_calls.fetch_add(1, Ordering::SeqCst);
        let request = tokio::time::timeout(WEBHOOK_TIMEOUT, get(self.aws.addr(), presigned, &self.cluster)).await;
        let (status, body) = request.map_err(|_| "error during GET: timeout".to_owned())??;
        if status != 200 {
            let text = String::from_utf8_lossy(&body);
            return Err(format!("error from AWS (expected 200, got {status}). Body: {text}"));
        }
        let response: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        Caller::read(&response["GetCallerIdentityResponse"]["GetCallerIdentityResult"])
    }

    /// Returns the access policies of the access entry of a canonical ARN.
    pub(crate) fn policies_of(&self, canonical: &str) -> Vec<AssociatedPolicy> {
        let found = self.aws.grantee(&self.cluster, &self.region, canonical, None);
        found.map(|grantee| grantee.policies).unwrap_or_default()
    }

    /// Maps a signer to its user, by the sources of the cluster's authentication mode. Access entries come first.
    fn map(&self, caller: &Caller, access_key: &str, aws_auth: impl Fn() -> Option<Value>) -> Result<User, String> {
        let canonical = canonical(&caller.arn).ok_or_else(|| format!("arn '{}' is invalid", caller.arn))?;
        let mode = self.aws.authentication_mode(&self.cluster, &self.region);
        let by_entry = || self.aws.grantee(&self.cluster, &self.region, &canonical, Some(&caller.principal_id));
        let creator = self.aws.hidden_administrator(&self.cluster, &self.region);
        if creator.is_some_and(|creator| without_path(&creator) == canonical) {
            let (username, groups) = ("kubernetes-admin".to_owned(), vec!["system:masters".to_owned()]);
            return Ok(user(caller, &canonical, access_key, Grantee { username, groups, policies: Vec::new() }));
        }
        let by_map = || aws_auth().and_then(|data| aws_auth::find(&data, &canonical));
        let found = match mode.as_str() {
            "CONFIG_MAP" => by_map(),
            "API" => by_entry(),
            _ => by_entry().or_else(by_map),
        };
        let grantee = found.ok_or_else(|| format!("ARN is not mapped: {}", canonical.to_lowercase()))?;
        Ok(user(caller, &canonical, access_key, grantee))
    }
}

/// The signer, as STS reports it.
struct Caller {
    account: String,
    arn: String,
    principal_id: String,
    session_name: String,
}

impl Caller {
    fn read(result: &Value) -> Result<Self, String> {
        let field = |name: &str| {
            result[name].as_str().map(str::to_owned).ok_or_else(|| format!("no {name} in the response of STS"))
        };
        let user_id = field("UserId")?;
        let (principal_id, session_name) = user_id.split_once(':').unwrap_or((&user_id, ""));
        Ok(Self {
            account: field("Account")?,
            arn: field("Arn")?,
            principal_id: principal_id.to_owned(),
            session_name: session_name.to_owned(),
        })
    }
}

/// Returns the canonical ARN: `arn:P:sts::A:assumed-role/R/S` becomes `arn:P:iam::A:role/R`; ARNs of users and
/// federated users stay.
fn canonical(arn: &str) -> Option<String> {
    let parsed = Arn::parse(arn)?;
    match (parsed.service.as_str(), parsed.kind()) {
        ("sts", "assumed-role") => {
            let role = parsed.resource.split('/').nth(1)?;
            Some(format!("arn:{}:iam::{}:role/{role}", parsed.partition, parsed.account))
        }
        ("sts", "federated-user") | ("iam", "role" | "user" | "root") => Some(arn.to_owned()),
        _ => None,
    }
}

fn user(caller: &Caller, canonical: &str, access_key: &str, grantee: Grantee) -> User {
    let username = grantee
        .username
        .replace("{{AccountID}}", &caller.account)
        .replace("{{AccessKeyID}}", access_key)
        // The authenticator replaces "@", which is not valid in every username.
        .replace("{{SessionName}}", &caller.session_name.replace('@', "-"))
        .replace("{{SessionNameRaw}}", &caller.session_name);
    let mut groups = grantee.groups;
    groups.push("system:authenticated".to_owned());
    let extra = [
        ("accessKeyId", access_key),
        ("arn", &caller.arn),
        ("canonicalArn", canonical),
        ("principalId", &caller.principal_id),
        ("sessionName", &caller.session_name),
        ("sigs.k8s.io/aws-iam-authenticator/principalId", &caller.principal_id),
    ];
    User {
        username,
        uid: format!("aws-iam-authenticator:{}:{}", caller.account, caller.principal_id),
        groups,
        policies: grantee.policies,
        extra: extra.into_iter().map(|(name, value)| (name, vec![value.to_owned()])).collect(),
    }
}

/// Sends the presigned URL with the cluster's own name in the header, and follows no redirect.
async fn get(sts: SocketAddr, presigned: &Presigned, cluster: &str) -> Result<(u16, Bytes), String> {
    let failed = |error: &dyn std::error::Error| format!("error during GET: {error}");
    let stream = TcpStream::connect(sts).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let driver = tokio::spawn(connection);
    let request = Request::get(format!("/?{}", presigned.query))
        .header("host", &presigned.host)
        .header("x-k8s-aws-id", cluster)
        .header("accept", "application/json")
        .header("user-agent", "aws-iam-authenticator (harness)")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
    driver.abort();
    Ok((status, body.map_err(|error| format!("error reading HTTP result: {error}"))?.to_bytes()))
}

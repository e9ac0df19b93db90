//! The key endpoints: stores, lists, rotates and forgets the access keys in the OS keyring.

mod rotation;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use rolecall_protocol::{
    ErrorBody, ErrorCode, KeyForgotten, KeyList, KeyName, KeyRotated, KeyStatus, PutKey, Region, SourceName,
};
use tokio::sync::watch;

use super::config::ConfigService;
use super::error::AgentError;
use super::lock::LockService;
use super::recovery::Recovery;
use crate::keyring::item::is_key_id;
use crate::keyring::{Keyring, KeyringError, NewKey, Replace};
use rolecall_aws::client::Aws;
use rolecall_aws::error::{AwsError, AwsErrorKind};
use rolecall_aws::sts;
use rolecall_core::config::inputs::StsAddress;
use rolecall_core::config::{SourceConfig, SourceKind, file};
use rolecall_core::role_chain::StsEndpoint;
use rolecall_core::session::Session;
use rotation::Rotation;

/// How long the prompt for the keyring's password is waited for in a call of 9 s.
const PROMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it is waited for in a call of 2 min.
const LONG_PROMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// Manages access keys.
pub struct KeyService {
    config: Arc<ConfigService>,
    lock: Arc<LockService>,
    keyring: Keyring,
    recovery: Arc<Recovery>,
    aws: Aws,
    changes: KeyChanges,
}

/// The access keys that are being changed: one change of a name at a time.
#[derive(Debug, Clone, Default)]
struct KeyChanges(Arc<watch::Sender<BTreeSet<KeyName>>>);

/// A change in progress. While it lives, no other change of that name begins.
#[derive(Debug)]
struct KeyChange {
    changes: KeyChanges,
    name: KeyName,
}

impl KeyService {
    pub(crate) fn new(
        config: Arc<ConfigService>,
        lock: Arc<LockService>,
        keyring: Keyring,
        recovery: Arc<Recovery>,
        aws: Aws,
    ) -> Self {
        Self { config, lock, keyring, recovery, aws, changes: KeyChanges::default() }
    }

    /// Lists all access keys in the keyring.
    pub async fn keys(&self) -> Result<KeyList, AgentError> {
        self.lock.check_unlocked()?;
        let failed = |error: KeyringError| AgentError(error.body(None));
        self.keyring.unlock(None, PROMPT_TIMEOUT).await.map_err(failed)?;
        let found = self.keyring.list().await.map_err(failed)?;
        let clock = self.aws.clock();
        Ok(KeyList { keys: found.iter().map(|(name, key)| key.status(name, clock)).collect() })
    }

    /// Checks an access key with AWS and stores it in the keyring.
    pub async fn put_key(&self, name: &KeyName, request: PutKey) -> Result<KeyStatus, AgentError> {
        self.lock.check_unlocked()?;
        let PutKey { access_key_id, secret_access_key, region, replace } = request;
        let credentials = check_format(name, &access_key_id, secret_access_key.expose())?;
        let _change = self.begin_change(name)?;
        let failed = |error: KeyringError| AgentError(error.body(Some(name)));
        self.keyring.unlock(Some(name), PROMPT_TIMEOUT).await.map_err(failed)?;
        match self.keyring.get_for_user(name).await {
            Ok(_) if !replace => return Err(failed(KeyringError::Exists)),
            Ok(_) | Err(KeyringError::NotFound) => {}
            Err(error) => return Err(failed(error)),
        }
        let arn = identify(&self.aws, name, &region, &credentials).await;
        let arn = arn.map_err(|error| AgentError(check_error(name, &error)))?;
        let replace = if replace { Replace::Any } else { Replace::Nothing };
        let stored = self.keyring.put(name, NewKey { credentials, arn: Some(arn), region }, replace).await;
        // Also after an error: the keyring may have stored the key.
        self.recovery.sources_changed();
        let stored = stored.map_err(failed)?;
        tracing::info!(key = %name, "access key stored");
        Ok(stored.status(name, self.aws.clock()))
    }

    /// Creates a new access key at AWS, stores it when it works, and deletes the old one at AWS. Goes on if the caller leaves: in
    /// the middle of a rotation only the agent knows the new key.
    pub async fn rotate_key(self: &Arc<Self>, name: &KeyName) -> Result<KeyRotated, AgentError> {
        self.lock.check_unlocked()?;
        let change = self.begin_change(name)?;
        let failed = |error: KeyringError| AgentError(error.body(Some(name)));
        self.keyring.unlock(Some(name), LONG_PROMPT_TIMEOUT).await.map_err(failed)?;
        let old = self.keyring.get_for_user(name).await.map_err(failed)?;
        let (service, name) = (Arc::clone(self), name.clone());
        let rotating = tokio::spawn(async move {
            let rotation = Rotation { aws: &service.aws, keyring: &service.keyring, name: &name, old: &old };
            let replaced = rotation.replace().await;
            service.recovery.sources_changed();
            let rotated = match replaced {
                Ok(new) => Ok(rotation.retire(new).await),
                Err(error) => Err(AgentError(error)),
            };
            drop(change);
            rotated
        });
        match rotating.await {
            Ok(rotated) => rotated,
            Err(_) => Err(AgentError(ErrorBody::new(ErrorCode::Internal, "the rotation ended unexpectedly"))),
        }
    }

    /// Deletes an access key from the keyring. The key stays valid at AWS.
    pub async fn forget_key(&self, name: &KeyName) -> Result<KeyForgotten, AgentError> {
        self.lock.check_unlocked()?;
        let _change = self.begin_change(name)?;
        let failed = |error: KeyringError| AgentError(error.body(Some(name)));
        self.keyring.unlock(Some(name), PROMPT_TIMEOUT).await.map_err(failed)?;
        let deleted = self.keyring.delete(name).await;
        self.recovery.sources_changed();
        deleted.map_err(failed)?;
        tracing::info!(key = %name, "access key deleted");
        Ok(KeyForgotten { used_by: self.sources_with(name).await })
    }

    /// Returns the first access key that is being changed.
    #[must_use]
    pub fn key_in_change(&self) -> Option<KeyName> {
        self.changes.0.borrow().first().cloned()
    }

    /// Errors with `restart_refused` while an access key is being changed: a restart would lose the new key of a rotation.
    pub fn check_settled(&self) -> Result<(), AgentError> {
        let Some(name) = self.key_in_change() else { return Ok(()) };
        let message = format!("the agent was not restarted: access key \"{name}\" is being changed");
        Err(AgentError(ErrorBody::new(ErrorCode::RestartRefused, message).hint("Try again in a minute.")))
    }

    /// Waits at most `limit` for changes of access keys to end, and logs those that do not.
    pub async fn settle(&self, limit: Duration) {
        for key in self.changes.left_after(limit).await {
            tracing::warn!(%key, "agent stopped during a change of an access key; check IAM for an unused key");
        }
    }

    fn begin_change(&self, name: &KeyName) -> Result<KeyChange, AgentError> {
        self.changes.begin(name).ok_or_else(|| {
            let message = format!("access key \"{name}\": another command is changing it");
            AgentError(ErrorBody::new(ErrorCode::KeyringUnavailable, message).hint("Wait until that command is done."))
        })
    }

    /// Returns the sources of the configuration file that use an access key, whether or not a profile uses them.
    async fn sources_with(&self, name: &KeyName) -> Vec<SourceName> {
        let path = self.config.path().to_owned();
        let read = tokio::task::spawn_blocking(move || file::load(&path)).await;
        // An invalid file is reported by the status.
        let sources = read.ok().and_then(Result::ok).map(|config| config.sources).unwrap_or_default();
        let uses = |source: &SourceConfig| matches!(&source.kind, SourceKind::Keyring(key) if key == name);
        sources.into_iter().filter(|(_, source)| uses(source)).map(|(source, _)| source).collect()
    }
}

impl KeyChanges {
    fn begin(&self, name: &KeyName) -> Option<KeyChange> {
        let is_new = self.0.send_if_modified(|names| names.insert(name.clone()));
        is_new.then(|| KeyChange { changes: self.clone(), name: name.clone() })
    }

    /// Waits at most `limit` until no change is in progress. Returns those that still are.
    async fn left_after(&self, limit: Duration) -> BTreeSet<KeyName> {
        let mut changes = self.0.subscribe();
        let settled = tokio::time::timeout(limit, changes.wait_for(BTreeSet::is_empty)).await.is_ok();
        if settled { BTreeSet::new() } else { self.0.borrow().clone() }
    }
}

impl Drop for KeyChange {
    fn drop(&mut self) {
        self.changes.0.send_if_modified(|names| names.remove(&self.name));
    }
}

/// Checks that an id and a secret have the format of a long-lived access key.
fn check_format(name: &KeyName, id: &str, secret: &str) -> Result<Credentials, AgentError> {
    let no = |message: &str, hint: &str| {
        AgentError(ErrorBody::new(ErrorCode::ConfigInvalid, format!("access key \"{name}\": {message}")).hint(hint))
    };
    let both = "Copy the whole id (AKIA…) and the whole secret (40 characters).";
    if id.starts_with("ASIA") {
        return Err(no(
            "this is a temporary access key, which expires",
            "Use the long-lived access key (AKIA…) of an IAM user, or an AWS profile as the source.",
        ));
    }
    if !id.starts_with("AKIA") || !is_key_id(id) {
        return Err(no("this is not an access key id", both));
    }
    if !(16..=128).contains(&secret.len()) || !secret.chars().all(|c| c.is_ascii_graphic()) {
        return Err(no("this is not a secret access key", both));
    }
    Ok(Credentials::new(id, secret, None, None, "Keyring"))
}

/// Returns the ARN of an access key's IAM user, from GetCallerIdentity.
async fn identify(aws: &Aws, name: &KeyName, region: &Region, credentials: &Credentials) -> Result<String, AwsError> {
    let source = SourceConfig::plain(SourceKind::Keyring(name.clone()));
    let endpoint = StsEndpoint { source, region: region.clone(), sts: StsAddress::default() };
    let session = Session { credentials: credentials.clone(), arn: None, issued: aws.now(), is_clamped: false };
    sts::get_caller_identity(aws, &endpoint, &session).await.map_err(|error| error.error)
}

/// Returns the error for an access key that AWS did not accept.
fn check_error(name: &KeyName, error: &AwsError) -> ErrorBody {
    let (what, hint) = match error.kind {
        AwsErrorKind::CredentialsRejected => (
            "AWS rejects it",
            "Check that both parts are complete, that the key is active in IAM, and that --region is in its partition.",
        ),
        _ => return call_error(name, "STS", error),
    };
    let message = format!("access key \"{name}\": {what}: {}", error.message);
    ErrorBody::new(error.kind.code(), message).hint(format!("Nothing was stored. {hint}"))
}

/// Returns the error of a call whose result does not concern the access key.
fn call_error(name: &KeyName, service: &str, error: &AwsError) -> ErrorBody {
    let cause = &error.message;
    if let Some((what, hint)) = error.of_endpoint(service) {
        return ErrorBody::new(error.kind.code(), format!("access key \"{name}\": {what}")).hint(hint);
    }
    let (what, hint) = match error.kind {
        AwsErrorKind::Denied => {
            (format!("AWS denies the call: {cause}"), "Ask the administrator of your IAM user for the permission.")
        }
        AwsErrorKind::Throttled => (format!("{service} throttles calls ({cause})"), "Try again in a moment."),
        AwsErrorKind::Clock => (format!("AWS rejects this machine's clock: {cause}"), "Set the clock."),
        _ => (format!("{service} rejects the call: {cause}"), "Check the access key and its region in IAM."),
    };
    ErrorBody::new(error.kind.code(), format!("access key \"{name}\": {what}")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12";

    #[test]
    fn format_of_access_key_is_checked() {
        let name: KeyName = "work".parse().unwrap();
        let check =
            |id: &str, secret: &str| check_format(&name, id, secret).map(drop).map_err(|error| error.0.to_string());
        assert_eq!(check("AKIAIOSFODNN7EXAMPLE", SECRET), Ok(()));
        assert!(check("ASIAIOSFODNN7EXAMPLE", SECRET).unwrap_err().contains("temporary"));
        for (id, secret) in [
            ("", SECRET),
            ("AKIA", SECRET),
            ("AKIA IOSFODNN7EXAMPLE", SECRET),
            ("AROAIOSFODNN7EXAMPLE", SECRET),
            ("AKIAIOSFODNN7EXAMPLE", ""),
            ("AKIAIOSFODNN7EXAMPLE", "with a space in between it"),
        ] {
            let error = check(id, secret).unwrap_err();
            assert!(!secret.contains(' ') || !error.contains(secret), "{error}");
        }
    }

    #[test]
    fn one_change_of_a_name_at_a_time() {
        let changes = KeyChanges::default();
        let name: KeyName = "work".parse().unwrap();
        let first = changes.begin(&name).unwrap();
        assert!(changes.begin(&name).is_none());
        assert!(changes.begin(&"other".parse().unwrap()).is_some());
        drop(first);
        assert!(changes.begin(&name).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn settling_ends_at_its_limit() {
        let changes = KeyChanges::default();
        let minute = Duration::from_mins(1);
        assert!(changes.left_after(minute).await.is_empty());
        let work = changes.begin(&"work".parse().unwrap()).unwrap();
        let other = changes.begin(&"other".parse().unwrap()).unwrap();
        let ending = async {
            tokio::time::sleep(minute / 2).await;
            drop(other);
        };
        let (left, ()) = tokio::join!(changes.left_after(minute), ending);
        assert_eq!(left, BTreeSet::from(["work".parse().unwrap()]));
        let ending = async {
            tokio::time::sleep(minute / 2).await;
            drop(work);
        };
        let (left, ()) = tokio::join!(changes.left_after(minute), ending);
        assert!(left.is_empty());
    }
}

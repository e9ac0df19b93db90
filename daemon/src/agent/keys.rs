//! Long-lived keys: put into the OS keyring, listed, rotated, forgotten. A person asks for each of these.

mod rotation;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use rolecall_protocol::{
    ErrorBody, ErrorCode, KeyForgotten, KeyList, KeyName, KeyRotated, KeyStatus, PutKey, Region, SourceName,
};
use tokio::sync::watch;

use super::{Agent, AgentError};
use crate::keyring::KeyringError;
use crate::keyring::NewKey;
use crate::keyring::Replace;
use crate::keyring::StoredKey;
use crate::keyring::item::is_key_id;
use rolecall_aws::client::Aws;
use rolecall_aws::error::AwsError;
use rolecall_aws::error::AwsErrorKind;
use rolecall_aws::sts;
use rolecall_core::config::SourceConfig;
use rolecall_core::config::SourceKind;
use rolecall_core::config::file;
use rolecall_core::config::inputs::StsAddress;
use rolecall_core::role_chain::StsEndpoint;
use rolecall_core::session::Session;
use rotation::Rotation;

/// How long a person's password for the keyring is waited for by a call that has nine seconds.
const PROMPT: Duration = Duration::from_secs(3);
/// The same by one that has two minutes.
const PROMPT_LONG: Duration = Duration::from_secs(30);

/// Which keys are being changed now: one change of a name at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Changing(Arc<watch::Sender<BTreeSet<KeyName>>>);

/// While it lives, nobody else changes the keys of that name.
#[derive(Debug)]
struct Change {
    of: Changing,
    name: KeyName,
}

impl Agent {
    /// Every key in the keyring.
    pub async fn keys(&self) -> Result<KeyList, AgentError> {
        let failed = |error: KeyringError| AgentError(error.body(None));
        self.keyring.unlock(None, PROMPT).await.map_err(failed)?;
        let found = self.keyring.list().await.map_err(failed)?;
        let clock = self.aws.clock();
        Ok(KeyList { keys: found.iter().map(|(name, key)| key.status(name, clock)).collect() })
    }

    /// Checks keys with AWS, and keeps them.
    pub async fn put_key(&self, name: &KeyName, wanted: PutKey) -> Result<KeyStatus, AgentError> {
        let PutKey { access_key_id, secret_access_key, region, replace } = wanted;
        let credentials = checked(name, &access_key_id, secret_access_key.expose())?;
        let _change = self.change(name)?;
        let failed = |error: KeyringError| AgentError(error.body(Some(name)));
        self.keyring.unlock(Some(name), PROMPT).await.map_err(failed)?;
        match self.keyring.get_for_user(name).await {
            Ok(_) if !replace => return Err(failed(KeyringError::Exists)),
            Ok(_) | Err(KeyringError::NotFound) => {}
            Err(error) => return Err(failed(error)),
        }
        let arn = identify(&self.aws, name, &region, &credentials).await;
        let arn = arn.map_err(|error| AgentError(refused(name, &error)))?;
        let replace = if replace { Replace::Any } else { Replace::Nothing };
        let kept = self.keyring.put(name, NewKey { credentials, arn: Some(arn), region }, replace).await;
        // Even where it failed: it may have been kept.
        self.keys_changed(name);
        let kept = kept.map_err(failed)?;
        tracing::info!(key = %name, "Keys were put into the OS keyring");
        Ok(kept.status(name, self.aws.clock()))
    }

    /// Makes new keys, and when they work keeps them and deletes the old ones. Goes on whether or not the caller waits: in
    /// the middle of it there are keys that nobody else knows.
    pub async fn rotate_key(self: &Arc<Self>, name: &KeyName) -> Result<KeyRotated, AgentError> {
        let change = self.change(name)?;
        let failed = |error: KeyringError| AgentError(error.body(Some(name)));
        self.keyring.unlock(Some(name), PROMPT_LONG).await.map_err(failed)?;
        let old = self.keyring.get_for_user(name).await.map_err(failed)?;
        let (agent, name) = (Arc::clone(self), name.clone());
        let rotating = tokio::spawn(async move {
            let rotation = Rotation { aws: &agent.aws, keyring: &agent.keyring, name: &name, old: &old };
            let kept = rotation.replace().await;
            agent.keys_changed(&name);
            let rotated = match kept {
                Ok(new) => Ok(rotation.retire(new).await),
                Err(error) => Err(AgentError(error)),
            };
            drop(change);
            rotated
        });
        match rotating.await {
            Ok(rotated) => rotated,
            Err(_) => Err(AgentError(ErrorBody::new(ErrorCode::Internal, "the rotation ended early"))),
        }
    }

    /// Removes keys from the keyring; AWS goes on taking them.
    pub async fn forget_key(&self, name: &KeyName) -> Result<KeyForgotten, AgentError> {
        let _change = self.change(name)?;
        let failed = |error: KeyringError| AgentError(error.body(Some(name)));
        self.keyring.unlock(Some(name), PROMPT).await.map_err(failed)?;
        let forgotten = self.keyring.delete(name).await;
        self.keys_changed(name);
        forgotten.map_err(failed)?;
        tracing::info!(key = %name, "Keys were removed from the OS keyring");
        Ok(KeyForgotten { used_by: self.sources_with(name).await })
    }

    /// The first of the keys that are being changed at this moment.
    #[must_use]
    pub fn key_in_change(&self) -> Option<KeyName> {
        self.changing_keys.0.borrow().first().cloned()
    }

    /// Refuses to restart while keys are being changed: there may be new ones that nobody else knows, and another program
    /// would not go on with that.
    pub fn check_keys_settled(&self) -> Result<(), AgentError> {
        let Some(name) = self.key_in_change() else { return Ok(()) };
        let message = format!("the agent goes on as it is, since keys are being changed at this moment: \"{name}\"");
        Err(AgentError(ErrorBody::new(ErrorCode::RestartRefused, message).hint("Try again in a minute.")))
    }

    /// Lets whoever changes keys come to an end, for at most that long. Which of them did not is in the log.
    pub async fn settle_keys(&self, limit: Duration) {
        for key in self.changing_keys.left_after(limit).await {
            tracing::warn!(
                %key,
                "The agent ends while these keys are being changed; look in IAM for an access key that nobody uses"
            );
        }
    }

    /// What was got with keys of that name is to be got anew.
    pub fn keys_changed(&self, _name: &KeyName) {
        self.sources_changed();
    }

    fn change(&self, name: &KeyName) -> Result<Change, AgentError> {
        self.changing_keys.begin(name).ok_or_else(|| {
            let message = format!("keys \"{name}\": they are being changed by another command at this moment");
            AgentError(ErrorBody::new(ErrorCode::KeyringUnavailable, message).hint("Wait until it is done."))
        })
    }

    /// The sources that are configured to use these keys, whether or not a profile uses them.
    async fn sources_with(&self, name: &KeyName) -> Vec<SourceName> {
        let path = self.config_path().to_owned();
        let read = tokio::task::spawn_blocking(move || file::load(&path)).await;
        // A configuration that is broken is told elsewhere.
        let sources = read.ok().and_then(Result::ok).map(|config| config.sources).unwrap_or_default();
        let uses = |source: &SourceConfig| matches!(&source.kind, SourceKind::Keyring(keys) if keys == name);
        sources.into_iter().filter(|(_, source)| uses(source)).map(|(source, _)| source).collect()
    }
}

impl Changing {
    fn begin(&self, name: &KeyName) -> Option<Change> {
        let is_new = self.0.send_if_modified(|names| names.insert(name.clone()));
        is_new.then(|| Change { of: self.clone(), name: name.clone() })
    }

    /// Waits until nothing is changed any more, at most that long, and says what still is.
    async fn left_after(&self, limit: Duration) -> BTreeSet<KeyName> {
        let mut changes = self.0.subscribe();
        let settled = tokio::time::timeout(limit, changes.wait_for(BTreeSet::is_empty)).await.is_ok();
        if settled { BTreeSet::new() } else { self.0.borrow().clone() }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self.of.0.send_if_modified(|names| names.remove(&self.name));
    }
}

/// Keys that may be long-lived ones, by their looks.
fn checked(name: &KeyName, id: &str, secret: &str) -> Result<Credentials, AgentError> {
    let no = |message: &str, hint: &str| {
        AgentError(ErrorBody::new(ErrorCode::ConfigInvalid, format!("keys \"{name}\": {message}")).hint(hint))
    };
    let both = "An access key of an IAM user has an id (AKIA…) and a secret (40 characters); copy both whole.";
    if id.starts_with("ASIA") {
        return Err(no(
            "this is a temporary access key, which ends by itself, so the keyring is no place for it",
            "Put the long-lived access key (AKIA…) of an IAM user there, or use an AWS profile as the source.",
        ));
    }
    if !id.starts_with("AKIA") || !is_key_id(id) {
        return Err(no("this is no access key id", both));
    }
    if !(16..=128).contains(&secret.len()) || !secret.chars().all(|c| c.is_ascii_graphic()) {
        return Err(no("this is no secret access key", both));
    }
    Ok(Credentials::new(id, secret, None, None, "Keyring"))
}

/// Asks STS whose keys these are.
async fn identify(aws: &Aws, name: &KeyName, region: &Region, credentials: &Credentials) -> Result<String, AwsError> {
    let source = SourceConfig::plain(SourceKind::Keyring(name.clone()));
    let endpoint = StsEndpoint { source, region: region.clone(), sts: StsAddress::default() };
    let session = Session { credentials: credentials.clone(), arn: None, issued: aws.now(), is_clamped: false };
    sts::get_caller_identity(aws, &endpoint, &session).await.map_err(|error| error.error)
}

/// Why keys were not kept.
fn refused(name: &KeyName, error: &AwsError) -> ErrorBody {
    let (what, hint) = match error.kind {
        AwsErrorKind::CredentialsRejected => (
            "AWS does not take them",
            "Check that both parts were copied whole, that the key is active in IAM, and that --region is of its partition.",
        ),
        _ => return unanswered(name, "STS", error),
    };
    let message = format!("keys \"{name}\": {what}: {}", error.message);
    ErrorBody::new(error.kind.code(), message).hint(format!("Nothing was put into the keyring. {hint}"))
}

/// An error that says nothing about the keys.
fn unanswered(name: &KeyName, service: &str, error: &AwsError) -> ErrorBody {
    let said = &error.message;
    let (what, hint) = match error.kind {
        AwsErrorKind::Denied => (format!("AWS does not allow it: {said}"), "Ask whoever manages your IAM user."),
        AwsErrorKind::Throttled => (format!("{service} asks for fewer calls ({said})"), "Try again in a moment."),
        AwsErrorKind::Unreachable => {
            (format!("{service} cannot be reached: {said}"), "Check the network, the VPN and the proxy.")
        }
        AwsErrorKind::InvalidResponse => (
            format!("what answers in the place of {service} is not {service}: {said}"),
            "Check the network: a login page or a proxy may be in between.",
        ),
        AwsErrorKind::Clock => (format!("AWS refuses the time of this machine: {said}"), "Set the clock."),
        _ => (format!("{service} refuses: {said}"), "Check the keys and their region in IAM."),
    };
    ErrorBody::new(error.kind.code(), format!("keys \"{name}\": {what}")).hint(hint)
}

/// As [`KeyStatus`], of keys that are kept.
fn status_of(aws: &Aws, name: &KeyName, key: &StoredKey) -> KeyStatus {
    key.status(name, aws.clock())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12";

    #[test]
    fn keys_by_their_looks() {
        let name: KeyName = "work".parse().unwrap();
        let told = |id: &str, secret: &str| checked(&name, id, secret).map(drop).map_err(|error| error.0.to_string());
        assert_eq!(told("AKIAIOSFODNN7EXAMPLE", SECRET), Ok(()));
        assert!(told("ASIAIOSFODNN7EXAMPLE", SECRET).unwrap_err().contains("temporary"));
        for (id, secret) in [
            ("", SECRET),
            ("AKIA", SECRET),
            ("AKIA IOSFODNN7EXAMPLE", SECRET),
            ("AROAIOSFODNN7EXAMPLE", SECRET),
            ("AKIAIOSFODNN7EXAMPLE", ""),
            ("AKIAIOSFODNN7EXAMPLE", "with a space in between it"),
        ] {
            let told = told(id, secret).unwrap_err();
            assert!(!secret.contains(' ') || !told.contains(secret), "{told}");
        }
    }

    #[test]
    fn one_change_of_a_name_at_a_time() {
        let changing = Changing::default();
        let name: KeyName = "work".parse().unwrap();
        let first = changing.begin(&name).unwrap();
        assert!(changing.begin(&name).is_none());
        assert!(changing.begin(&"other".parse().unwrap()).is_some());
        drop(first);
        assert!(changing.begin(&name).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_waited_for_but_not_for_ever() {
        let changing = Changing::default();
        let minute = Duration::from_mins(1);
        assert!(changing.left_after(minute).await.is_empty());
        let work = changing.begin(&"work".parse().unwrap()).unwrap();
        let other = changing.begin(&"other".parse().unwrap()).unwrap();
        let ending = async {
            tokio::time::sleep(minute / 2).await;
            drop(other);
        };
        let (left, ()) = tokio::join!(changing.left_after(minute), ending);
        assert_eq!(left, BTreeSet::from(["work".parse().unwrap()]));
        let ending = async {
            tokio::time::sleep(minute / 2).await;
            drop(work);
        };
        let (left, ()) = tokio::join!(changing.left_after(minute), ending);
        assert!(left.is_empty());
    }
}

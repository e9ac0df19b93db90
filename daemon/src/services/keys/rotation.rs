//! Rotation of an access key. At each point, also after an error, the keyring has an access key that works.

use std::time::Duration;

use aws_credential_types::Credentials;
use backon::{ExponentialBuilder, Retryable};
use rolecall_protocol::{ErrorBody, ErrorCode, KeyName, KeyRotated, join_sentences};

use super::{call_error, identify};
use crate::keyring::item::suffix;
use crate::keyring::{Keyring, KeyringError, NewKey, Replace, StoredKey};
use rolecall_aws::client::Aws;
use rolecall_aws::error::{AwsError, AwsErrorKind};
use rolecall_aws::iam;
use rolecall_aws::iam::IamError;

/// The first pause between two attempts.
const MIN_RETRY_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two attempts.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(4);
/// How long a new access key may take to work: IAM is eventually consistent, usually within seconds. Together with the other
/// timeouts this is less than the endpoint's timeout.
const PROPAGATION_TIMEOUT: Duration = Duration::from_secs(40);
/// How long storing the new key is retried while the keyring does not answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long deleting a key in IAM is retried.
const DELETE_TIMEOUT: Duration = Duration::from_secs(12);

/// One rotation.
pub(super) struct Rotation<'a> {
    pub(super) aws: &'a Aws,
    pub(super) keyring: &'a Keyring,
    pub(super) name: &'a KeyName,
    pub(super) old: &'a StoredKey,
}

impl Rotation<'_> {
    /// Creates and stores a new access key. If that fails, the old key stays, and the new one is deleted if nothing can use it.
    pub(super) async fn replace(&self) -> Result<StoredKey, ErrorBody> {
        let Self { aws, name, old, .. } = *self;
        let new = iam::create_access_key(aws, name, &old.region, &old.credentials).await;
        let new = new.map_err(|error| self.creation_error(&error))?;
        let arn = match self.wait_until_valid(&new).await {
            Ok(arn) => arn,
            Err(error) => {
                let message = format!(
                    "access key \"{name}\": the new key did not work within {} s ({})",
                    PROPAGATION_TIMEOUT.as_secs(),
                    error.message
                );
                return Err(self.delete_new(&new, ErrorBody::new(error.kind.code(), message)).await);
            }
        };
        match self.store(&new, arn).await {
            Ok(stored) => Ok(stored),
            // The keyring may still store the new key, which has to work then.
            Err(error @ KeyringError::NotAnswering { is_unsure: true }) => {
                let id = suffix(new.access_key_id());
                let message = format!("access key \"{name}\": {error}, and may have stored the new key (…{id})");
                Err(ErrorBody::new(ErrorCode::KeyringUnavailable, message).hint(
                    "Both keys work. Run rolecall keys list when the keyring answers, and delete the other key in IAM.",
                ))
            }
            Err(error) => Err(self.delete_new(&new, error.body(Some(name))).await),
        }
    }

    /// Deletes the old access key at AWS.
    pub(super) async fn retire(&self, new: StoredKey) -> KeyRotated {
        let Self { aws, name, old, .. } = *self;
        let deleted = self.delete(&new.credentials, old.credentials.access_key_id()).await;
        let old_stays = deleted.err().map(|error| {
            let message = format!("the old access key was not deleted at AWS: {}", error.error.message);
            ErrorBody::new(error.error.kind.code(), message).hint("The new key is in use. Delete the old one in IAM.")
        });
        tracing::info!(key = %name, is_old_deleted = old_stays.is_none(), "access key rotated");
        KeyRotated {
            key: new.status(name, aws.clock()),
            old_suffix: suffix(old.credentials.access_key_id()),
            old_stays,
        }
    }

    /// Waits until STS accepts the new access key. Returns the ARN of its IAM user.
    async fn wait_until_valid(&self, new: &Credentials) -> Result<String, AwsError> {
        let Self { aws, name, old, .. } = *self;
        let call = || identify(aws, name, &old.region, new);
        let may_become_valid =
            |error: &AwsError| error.kind == AwsErrorKind::CredentialsRejected || error.kind.is_transient();
        call.retry(pauses(PROPAGATION_TIMEOUT)).when(may_become_valid).await
    }

    async fn store(&self, new: &Credentials, arn: String) -> Result<StoredKey, KeyringError> {
        let put = || {
            let key = NewKey { credentials: new.clone(), arn: Some(arn.clone()), region: self.old.region.clone() };
            self.keyring.put(self.name, key, Replace::Any)
        };
        let mut may_be_stored = false;
        let hangs = |error: &KeyringError| matches!(error, KeyringError::NotAnswering { .. });
        let stored = put.retry(pauses(STORE_TIMEOUT)).when(hangs).notify(|error, _| {
            may_be_stored |= matches!(error, KeyringError::NotAnswering { is_unsure: true });
        });
        match stored.await {
            // The last attempt did not begin, but an earlier one may have stored the key.
            Err(_) if may_be_stored => Err(KeyringError::NotAnswering { is_unsure: true }),
            stored => stored,
        }
    }

    /// Deletes the new access key at AWS, and adds the result to the error's hint.
    async fn delete_new(&self, new: &Credentials, error: ErrorBody) -> ErrorBody {
        let result = match self.delete(&self.old.credentials, new.access_key_id()).await {
            Ok(()) => "The old key stays, and the new one was deleted.".to_owned(),
            Err(_) => format!("The old key stays. Delete the new one (…{}) in IAM.", suffix(new.access_key_id())),
        };
        let hint = join_sentences(&result, error.hint.as_ref());
        error.hint(hint)
    }

    async fn delete(&self, base: &Credentials, id: &str) -> Result<(), IamError> {
        let delete = || iam::delete_access_key(self.aws, self.name, &self.old.region, base, id);
        let may_pass =
            |error: &IamError| error.error.kind == AwsErrorKind::CredentialsRejected || error.error.kind.is_transient();
        match delete.retry(pauses(DELETE_TIMEOUT)).when(may_pass).await {
            Err(error) if error.is_not_found() => Ok(()),
            deleted => deleted,
        }
    }

    /// Returns the error of a failed CreateAccessKey, which is not retried: a call without an answer may have created a key.
    fn creation_error(&self, error: &IamError) -> ErrorBody {
        let Self { name, .. } = *self;
        if error.is_key_limit_reached() {
            let message = format!("access key \"{name}\": its IAM user has two access keys already, the maximum");
            return ErrorBody::new(ErrorCode::ConfigInvalid, message)
                .hint("Delete the unused one: aws iam list-access-keys, aws iam delete-access-key.");
        }
        match error.error.kind {
            AwsErrorKind::CredentialsRejected => {
                let message = format!("access key \"{name}\": AWS rejects it: {}", error.error.message);
                ErrorBody::new(ErrorCode::SourceUnavailable, message)
                    .hint(format!("Replace it: rolecall keys put {name} --replace"))
            }
            AwsErrorKind::Denied => {
                let message = format!("access key \"{name}\": AWS denies the call: {}", error.error.message);
                ErrorBody::new(ErrorCode::AccessDenied, message).hint(
                    "The old key stays. Its IAM user needs iam:CreateAccessKey and iam:DeleteAccessKey for itself.",
                )
            }
            kind if kind.is_endpoint_failure() && kind != AwsErrorKind::Throttled => {
                let body = call_error(name, "IAM", &error.error);
                body.hint("The old key stays. IAM may have created a new one: see aws iam list-access-keys.")
            }
            _ => call_error(name, "IAM", &error.error),
        }
    }
}

/// Returns growing pauses between attempts, for `total` time.
fn pauses(total: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(MIN_RETRY_PAUSE)
        .with_max_delay(MAX_RETRY_PAUSE)
        .without_max_times()
        .with_total_delay(Some(total))
        .with_jitter()
}

//! New keys in the place of old ones. Whatever goes wrong in between, the keyring has keys that work.

use std::time::Duration;

use aws_credential_types::Credentials;
use backon::{ExponentialBuilder, Retryable};
use rolecall_protocol::{ErrorBody, ErrorCode, KeyName, KeyRotated};

use super::{identify, status_of, unanswered};
use crate::keyring::Keyring;
use crate::keyring::KeyringError;
use crate::keyring::NewKey;
use crate::keyring::Replace;
use crate::keyring::StoredKey;
use crate::keyring::item::suffix;
use rolecall_aws::client::Aws;
use rolecall_aws::error::AwsError;
use rolecall_aws::error::AwsErrorKind;
use rolecall_aws::iam;
use rolecall_aws::iam::IamError;

/// The first pause between two attempts, and the longest.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// How long new keys may take to be known everywhere: IAM is eventually consistent, usually within seconds. All of these
/// together are less than what the endpoint may take.
const SPREADING: Duration = Duration::from_secs(40);
/// How long a keyring that does not answer is asked to keep them.
const KEEPING: Duration = Duration::from_secs(15);
/// How long IAM is asked to delete a key.
const DELETING: Duration = Duration::from_secs(12);

/// One rotation.
pub(super) struct Rotation<'a> {
    pub(super) aws: &'a Aws,
    pub(super) keyring: &'a Keyring,
    pub(super) name: &'a KeyName,
    pub(super) old: &'a StoredKey,
}

impl Rotation<'_> {
    /// Makes new keys and keeps them. If that fails the old ones stay, and the new ones are deleted again where that is
    /// certain to hit nobody.
    pub(super) async fn replace(&self) -> Result<StoredKey, ErrorBody> {
        let Self { aws, name, old, .. } = *self;
        let new = iam::create_access_key(aws, name, &old.region, &old.credentials).await;
        let new = new.map_err(|error| self.not_made(&error))?;
        let arn = match self.spread(&new).await {
            Ok(arn) => arn,
            Err(error) => {
                let said = format!(
                    "keys \"{name}\": the new ones did not work within {} s ({})",
                    SPREADING.as_secs(),
                    error.message
                );
                return Err(self.give_back(&new, ErrorBody::new(error.kind.code(), said)).await);
            }
        };
        match self.keep(&new, arn).await {
            Ok(kept) => Ok(kept),
            // It may yet keep them: then they have to work.
            Err(error @ KeyringError::NotAnswering { is_unsure: true }) => {
                let id = suffix(new.access_key_id());
                let message = format!("keys \"{name}\": {error}, and may or may not have kept the new ones (…{id})");
                Err(ErrorBody::new(ErrorCode::KeyringUnavailable, message).hint(
                    "Both work. See which it has with rolecall keys list once it answers, and delete the other in IAM.",
                ))
            }
            Err(error) => Err(self.give_back(&new, error.body(Some(name))).await),
        }
    }

    /// Deletes the old keys at AWS; nobody has them any more.
    pub(super) async fn retire(&self, new: StoredKey) -> KeyRotated {
        let Self { aws, name, old, .. } = *self;
        let deleted = self.delete(&new.credentials, old.credentials.access_key_id()).await;
        let old_stays = deleted.err().map(|error| {
            let body = unanswered(name, "IAM", &error.error);
            let message = format!("the old access key was not deleted at AWS: {}", error.error.message);
            ErrorBody::new(body.code, message).hint("The new ones are in use; delete the old one in IAM.")
        });
        tracing::info!(key = %name, is_old_deleted = old_stays.is_none(), "Keys were rotated");
        KeyRotated { key: status_of(aws, name, &new), old_suffix: suffix(old.credentials.access_key_id()), old_stays }
    }

    /// Waits until the new keys work, and says whose they are.
    async fn spread(&self, new: &Credentials) -> Result<String, AwsError> {
        let Self { aws, name, old, .. } = *self;
        let ask = || identify(aws, name, &old.region, new);
        // IAM may not have told STS yet.
        let may_come = |error: &AwsError| error.kind == AwsErrorKind::CredentialsRejected || error.kind.is_transient();
        ask.retry(pauses(SPREADING)).when(may_come).await
    }

    async fn keep(&self, new: &Credentials, arn: String) -> Result<StoredKey, KeyringError> {
        let put = || {
            let key = NewKey { credentials: new.clone(), arn: Some(arn.clone()), region: self.old.region.clone() };
            self.keyring.put(self.name, key, Replace::Any)
        };
        let mut is_unsure_of_one = false;
        let hangs = |error: &KeyringError| matches!(error, KeyringError::NotAnswering { .. });
        let kept = put.retry(pauses(KEEPING)).when(hangs).notify(|error, _| {
            is_unsure_of_one |= matches!(error, KeyringError::NotAnswering { is_unsure: true });
        });
        match kept.await {
            // The last attempt was not begun, but one before it was.
            Err(_) if is_unsure_of_one => Err(KeyringError::NotAnswering { is_unsure: true }),
            kept => kept,
        }
    }

    /// Deletes new keys that were of no use, and says so.
    async fn give_back(&self, new: &Credentials, error: ErrorBody) -> ErrorBody {
        let said = match self.delete(&self.old.credentials, new.access_key_id()).await {
            Ok(()) => "The old keys stay, and the new ones were deleted again.".to_owned(),
            Err(_) => format!(
                "The old keys stay; the new one (…{}) could not be deleted again: delete it in IAM.",
                suffix(new.access_key_id())
            ),
        };
        let hint = error.hint.clone().map_or_else(|| said.clone(), |hint| format!("{said} {hint}"));
        error.hint(hint)
    }

    async fn delete(&self, base: &Credentials, id: &str) -> Result<(), IamError> {
        let delete = || iam::delete_access_key(self.aws, self.name, &self.old.region, base, id);
        let may_pass =
            |error: &IamError| error.error.kind == AwsErrorKind::CredentialsRejected || error.error.kind.is_transient();
        match delete.retry(pauses(DELETING)).when(may_pass).await {
            Err(error) if error.is_not_found() => Ok(()),
            deleted => deleted,
        }
    }

    /// Why there are no new keys. Not tried again: what was not answered may have been done.
    fn not_made(&self, error: &IamError) -> ErrorBody {
        let Self { name, .. } = *self;
        if error.is_key_limit_reached() {
            let message =
                format!("keys \"{name}\": their user has two access keys already, which is all that IAM allows");
            return ErrorBody::new(ErrorCode::ConfigInvalid, message)
                .hint("Delete the one that is not in use: aws iam list-access-keys, aws iam delete-access-key.");
        }
        match error.error.kind {
            AwsErrorKind::CredentialsRejected => {
                let message = format!("keys \"{name}\": AWS does not take them any more: {}", error.error.message);
                ErrorBody::new(ErrorCode::SourceUnavailable, message)
                    .hint(format!("Put others in their place: rolecall keys put {name} --replace"))
            }
            AwsErrorKind::Denied => {
                let message = format!("keys \"{name}\": AWS does not allow it: {}", error.error.message);
                ErrorBody::new(ErrorCode::AccessDenied, message)
                    .hint("Their user needs iam:CreateAccessKey and iam:DeleteAccessKey for itself; the old keys stay.")
            }
            AwsErrorKind::Unreachable | AwsErrorKind::InvalidResponse => {
                let body = unanswered(name, "IAM", &error.error);
                body.hint("The old keys stay. IAM may have made a new one all the same: see aws iam list-access-keys.")
            }
            _ => unanswered(name, "IAM", &error.error),
        }
    }
}

/// Pauses that grow, for that long.
fn pauses(total: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(PAUSE)
        .with_max_delay(PAUSE_MAX)
        .without_max_times()
        .with_total_delay(Some(total))
        .with_jitter()
}
